//! The sample city's draft parses, resolves the laws that exports name, and becomes a genesis with parts.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;

use chain_core::genesis::{Draft, LegalBasisEntry};
use chain_core::record::{RecordType, SubjectKind};

const EXAMPLE: &str = include_str!("../../genesis/example-city.toml");

fn draft() -> Draft {
    Draft::parse(EXAMPLE).unwrap()
}

fn bases_of(title: &str) -> Vec<LegalBasisEntry> {
    let bases = draft().document().legal_bases.clone();
    bases.into_iter().filter(|basis| basis.titles.iter().any(|one| one == title)).collect()
}

#[test]
fn laws_named_in_exports_resolve_to_one_basis_each() {
    for title in [
        "《中华人民共和国食品安全法》",
        "《中华人民共和国安全生产法》",
        "《中华人民共和国建筑法》",
        "《中华人民共和国大气污染防治法》",
        "《中华人民共和国行政处罚法》",
    ] {
        let bases = bases_of(title);
        assert_eq!(bases.len(), 1, "{title}");
        let basis = &bases[0];
        assert!(basis.permits.types.contains(&"credit.penalty".to_owned()), "{title}");
        let max = basis.publication.months_max;
        assert_eq!((max.minor, max.ordinary, max.serious), (Some(3), Some(12), Some(36)), "{title}");
    }
    let licensing = bases_of("《中华人民共和国行政许可法》");
    assert_eq!(licensing[0].permits.types, ["credit.licence"]);
    assert_eq!(licensing[0].publication.months_max.ordinary, None);
}

#[test]
fn no_two_bases_share_a_title() {
    let mut seen = BTreeSet::new();
    for basis in &draft().document().legal_bases {
        for title in &basis.titles {
            assert!(seen.insert(title.clone()), "{title}");
        }
    }
}

#[test]
fn codes_of_the_agencies_have_valid_check_characters() {
    // GB 32100-2015: weights 3^i mod 31 over the first 17 characters.
    const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    assert_eq!(draft().document().agencies.len(), 11);
    for agency in &draft().document().agencies {
        let code = agency.id.strip_prefix("uscc:").unwrap();
        let values: Vec<usize> = code.chars().map(|c| ALPHABET.find(c).unwrap()).collect();
        let (sum, _) =
            values[..17].iter().fold((0, 1), |(sum, weight), value| (sum + value * weight, weight * 3 % 31));
        assert_eq!(values[17], (31 - sum % 31) % 31, "{code}");
    }
}

#[test]
fn every_type_can_be_filed_by_an_agency_under_a_legal_basis() {
    let draft = draft();
    let document = draft.document();
    let filed: BTreeSet<&str> =
        document.agencies.iter().flat_map(|agency| agency.types.iter().map(String::as_str)).collect();
    // Whom the bases that permit a type let it be about.
    let about = |name: &str| -> BTreeSet<&str> {
        let permits = document.legal_bases.iter().map(|basis| &basis.permits);
        let permits = permits.filter(|permits| permits.types.iter().any(|one| one == name));
        permits.flat_map(|permits| permits.subject_kinds.iter().map(String::as_str)).collect()
    };
    // The ledger itself records gaps.
    let core = RecordType::ALL.iter().filter(|one| !one.is_governance() && **one != RecordType::SensorGap);
    for name in core.map(|one| one.name()) {
        assert!(filed.contains(name), "no agency files {name}");
        assert!(!about(name).is_empty(), "no legal basis permits {name}");
    }
    for registered in &document.registered_types {
        let name = registered.key.as_str();
        assert!(filed.contains(name), "no agency files {name}");
        for kind in &registered.subject_kinds {
            assert!(about(name).contains(kind.name()), "no legal basis permits {name} about {kind}");
        }
    }
    // Whatever can be recorded can be objected to.
    let everybody = SubjectKind::ALL.iter().map(|kind| kind.name()).collect::<BTreeSet<_>>();
    assert_eq!(about(RecordType::Objection.name()), everybody);
}
