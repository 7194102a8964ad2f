//! The sample city's registered types: each file is sound, its examples are judged as they say, the genesis holds the same,
//! and the ledger takes the accepted ones.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chain_core::build::{self, Filing};
use chain_core::code::Code;
use chain_core::genesis::Draft;
use chain_core::record::governance::{BasisDetails, Instrument};
use chain_core::record::schema::{Filer, SchemaDetails};
use chain_core::record::type_file::TypeFile;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use serde_json::Value;

use crate::city::{City, basis_details, filing, public};

/// The registered types of the record domain, without `egov.decision`, which has its rules in Rust.
const TYPES: [&str; 19] = [
    "ai.advisory",
    "ai.decision_trace",
    "ai.model",
    "commerce.food_inspection",
    "commerce.registration",
    "device.check",
    "egov.building_permit",
    "egov.exchange_batch",
    "egov.inspection",
    "egov.service_request",
    "energy.charging_site",
    "env.finding",
    "export.manifest",
    "health.aggregate",
    "kpi.value",
    "planning.plan",
    "security.camera_register",
    "transport.feed",
    "transport.works",
];

fn files() -> Vec<TypeFile> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../genesis/schemas");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let file = TypeFile::parse(&std::fs::read_to_string(path).unwrap())
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(file.details.key.as_str()));
        file
    };
    paths.iter().map(read).collect()
}

/// The file of a type.
pub(crate) fn file(key: &str) -> TypeFile {
    files().into_iter().find(|file| file.details.key.as_str() == key).unwrap()
}

#[test]
fn every_type_of_the_domain_is_there_with_examples_that_mean_what_they_say() {
    let files = files();
    let keys: Vec<&str> = files.iter().map(|file| file.details.key.as_str()).collect();
    assert_eq!(keys, TYPES);
    let flaws: Vec<String> = files
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.details.name(), file.check().err()?)))
        .collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
    for file in &files {
        let name = file.details.name();
        assert!(file.notice.contains("Sample") && file.details.title.contains("sample"), "{name}");
        assert!(!file.examples.accepted.is_empty() && file.examples.refused.len() >= 2, "{name}");
        let codes: BTreeSet<Code> = file.examples.refused.iter().map(|one| one.code).collect();
        assert!(codes.len() >= 2, "{name} is refused in one way only: {codes:?}");
    }
}

#[test]
fn an_example_that_says_something_else_is_found() {
    let mut file = files().remove(0);
    file.examples.refused[0].code = Code::BadDate;
    assert_eq!(file.check().unwrap_err().code, Code::BadParameter);
    let mut file = files().remove(0);
    file.examples.refused[0].at = "/elsewhere".to_owned();
    assert_eq!(file.check().unwrap_err().code, Code::BadParameter);
    let mut file = files().remove(0);
    file.examples.refused[0].patch.clear();
    assert!(file.check().unwrap_err().detail.contains("no refusal"));
    let mut file = files().remove(0);
    file.examples.accepted[0].body.insert("colour".to_owned(), Value::Bool(true));
    assert!(file.check().unwrap_err().detail.contains("accepted example 0 is refused"));
    for text in
        ["", "[]", "{}", "{\"schema\": 1}", "{\"schema\": {}, \"colour\": 1}", "{\"schema\": {\"a\": 1.5}}"]
    {
        assert!(TypeFile::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_sample_genesis_holds_the_same_types_and_somebody_may_file_each() {
    let draft = Draft::parse(include_str!("../../../genesis/example-city.toml")).unwrap();
    let document = draft.document();
    let written: Vec<SchemaDetails> = files().into_iter().map(|file| file.details).collect();
    assert_eq!(document.registered_types, written);
    for key in TYPES {
        let listed = |types: &[String]| types.iter().any(|one| one == key);
        assert!(document.agencies.iter().any(|agency| listed(&agency.types)), "no agency files {key}");
        assert!(
            document.legal_bases.iter().any(|basis| listed(&basis.permits.types)),
            "no basis permits {key}"
        );
    }
}

#[test]
fn the_ledger_takes_what_is_accepted_and_refuses_what_is_not() {
    let files = files();
    let types: Vec<RecordType> = TYPES.map(crate::schemas::registered_type).to_vec();
    let mut genesis = crate::city::genesis();
    genesis.schemas = files.iter().map(|file| file.details.clone()).collect();
    genesis.agencies[0].types = types.clone();
    genesis.members.push(crate::city::member_details("A1", "gateway1"));
    let basis = BasisDetails { types, instrument: Instrument::Law, ..basis_details("all") };
    genesis.bases.push(basis);
    let mut city = City::with(&genesis);
    for file in &files {
        let name = file.details.name();
        let registered = file.check().unwrap();
        let about_thing = file.details.subject_kinds[0];
        let mut file_as = |key: &str, class: Option<Class>, body: &Value, by_own: bool| {
            let filing = Filing {
                class: class.unwrap_or(file.details.classes[0]),
                subject_kind: about_thing,
                legal_basis: Some(BasisRef { id: "all".to_owned(), version: 1 }),
                officers: vec![public("A1/clerk1"), public("A1/clerk2")],
                ..filing(registered.record_type(), key)
            };
            let mut body = body.clone();
            if let Some(Value::Array(inspectors)) = body.get_mut("inspectors").filter(|_| by_own) {
                let keys = filing.officers.iter().map(|key| Value::from(key.to_string()));
                inspectors.iter_mut().zip(keys).for_each(|(named, key)| *named = key);
            }
            let filed = build::file_registered(&filing, &registered, &body.to_string()).unwrap();
            // Bodies that name another agency, and records that do not exist here, are questions for the ledger.
            let (operation, travelling, _) = filed.submit();
            let post = match file.details.terms.filed_by {
                Filer::Gateway => "A1/gateway1",
                Filer::Clerk | Filer::ClerkOrGateway => "A1/clerk1",
            };
            city.send_with(post, operation, travelling).map(|_| ())
        };
        for (at, one) in file.examples.accepted.iter().enumerate() {
            let got = file_as(&format!("{name} {at}"), one.class, &Value::Object(one.body.clone()), true);
            let fine = matches!(got, Ok(()) | Err(Code::ReferenceNotFound | Code::AgencyNotCompetent));
            assert!(fine, "{name}: {got:?}");
        }
        for (at, one) in file.examples.refused.iter().enumerate() {
            let class = one.class.or(file.examples.accepted[0].class);
            // Bodies of other classes never reach a validator.
            if class.unwrap_or(file.details.classes[0]).body_is_shared() {
                let got = file_as(&format!("{name} refused {at}"), class, &file.patched(one).unwrap(), false);
                assert_eq!(got, Err(one.code), "{name}: {}", one.why);
            }
        }
    }
    assert_ne!(
        files.iter().filter(|file| file.details.subject_kinds[0] == SubjectKind::Organisation).count(),
        0
    );
}
