//! Who suppliers are: by identifiers of registers that name organisations alone.
//!
//! A release is public for ever, and so is every number in it. Registers of taxpayers and of residents name persons too, so an
//! identifier is taken only from a register that is known to list organisations.

use chain_core::code::{Code, Refusal};
use chain_core::identifier::contains_resident_number;
use chain_core::org::{OrgId, Scheme};

use super::{Identifier, Ocds, filled, missing, text_of};

/// Schemes of org-id.guide whose registers list companies, charities or public bodies, and no persons. `MX-RFC` lists both, and
/// its numbers tell which.
const SCHEMES: [&str; 20] = [
    "AU-ACNC",
    "CA-CC",
    "CA-CRA_ACR",
    "CN-SCC",
    "GB-CHC",
    "GB-COH",
    "GB-EDU",
    "GB-GOR",
    "GB-LAC",
    "GB-LAE",
    "GB-LAS",
    "GB-NHS",
    "GB-NIC",
    "GB-SC",
    "IE-CRO",
    "MX-RFC",
    "NG-CAC",
    "XI-LEI",
    "XM-DAC",
    "ZA-CIP",
];

/// A supplier by its identifier, whose scheme is the mapping's where it names none.
///
/// # Errors
/// `MISSING_FIELD` without number or scheme; `PERSONAL_DATA_IN_CLEAR` and `NATURAL_PERSON_ID` where the number is, or may be, a
/// person's; what the scheme asks of its numbers. No refusal repeats a number.
pub(super) fn supplier(identifier: &Identifier<'_>, ocds: &Ocds) -> Result<OrgId, Refusal> {
    let value = text_of(identifier.id).ok_or_else(|| missing("suppliers: identifier.id"))?;
    let scheme = filled(identifier.scheme.as_ref()).or(ocds.scheme.as_deref()).ok_or_else(|| {
        let detail = "suppliers: identifier.scheme is absent; say it in the mapping: [ocds] scheme";
        Refusal::new(Code::MissingField, detail)
    })?;
    let mut ours = ocds.schemes.iter().chain(&ocds.scheme);
    if !SCHEMES.contains(&scheme) && !ours.any(|one| one == scheme) {
        return Err(personal(
            "an identifier of a register that may list persons; name it in [ocds] schemes, where it lists none",
        ));
    }
    if contains_resident_number(&value) {
        return Err(Refusal::new(Code::NaturalPersonId, "suppliers: the identifier is a resident number"));
    }
    let named = match scheme {
        "CN-SCC" => OrgId::new(Scheme::Uscc, &value),
        "XI-LEI" => OrgId::new(Scheme::Lei, &value),
        "MX-RFC" if !is_organisations_rfc(&value) => {
            return Err(personal("no taxpayer's number of an organisation (MX-RFC)"));
        }
        scheme => OrgId::new(Scheme::Register, &format!("{scheme}:{value}")),
    };
    let named =
        named.map_err(|refusal| Refusal::new(refusal.code, format!("suppliers: no number of {scheme}")))?;
    if named.is_individual_business() {
        return Err(personal("an individual business, which is a person in practice"));
    }
    Ok(named)
}

/// Whether a Mexican taxpayer's number has the form of an organisation's: three letters, six digits of a date, three more. That of a
/// person begins with four letters.
fn is_organisations_rfc(value: &str) -> bool {
    let characters: Vec<char> = value.chars().collect();
    let letter = |c: &char| c.is_alphabetic() || *c == '&';
    characters.len() == 12
        && characters[..3].iter().all(letter)
        && characters[3..9].iter().all(char::is_ascii_digit)
        && characters[9..].iter().all(char::is_ascii_alphanumeric)
}

fn personal(what: &str) -> Refusal {
    Refusal::new(Code::PersonalDataInClear, format!("suppliers: {what}; persons are not named here"))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value as Json, json};

    use super::*;

    fn named(scheme: &str, id: &Json, ocds: &Ocds) -> Result<String, Refusal> {
        let raw: Box<RawValue> = serde_json::from_str(&id.to_string()).unwrap();
        let identifier = Identifier { scheme: Some(scheme.to_owned()), id: Some(&raw) };
        supplier(&identifier, ocds).map(|supplier| supplier.to_string())
    }

    #[test]
    fn numbers_of_registers_of_organisations_are_taken_and_no_others() {
        let built_in = Ocds::default();
        for (scheme, id, want) in [
            ("GB-COH", json!("09506232"), "register:GB-COH:09506232"),
            ("CN-SCC", json!("914403001922038216"), "uscc:914403001922038216"),
            ("MX-RFC", json!("ABC010203XY1"), "register:MX-RFC:ABC010203XY1"),
        ] {
            assert_eq!(named(scheme, &id, &built_in).unwrap(), want);
        }
        for (scheme, id, code) in [
            ("BR-CPF", json!("12345678909"), Code::PersonalDataInClear),
            ("BR-CPF", json!(12_345_678_909_u64), Code::PersonalDataInClear),
            ("br-cpf", json!("12345678909"), Code::PersonalDataInClear),
            ("UA-IPN", json!("3184710691"), Code::PersonalDataInClear),
            ("Wang Fang 123", json!("1"), Code::PersonalDataInClear),
            ("MX-RFC", json!("ABCD010203XY1"), Code::PersonalDataInClear),
            ("MX-RFC", json!("ABCD01020XY1"), Code::PersonalDataInClear),
            ("GB-COH", json!("11010519491231002X"), Code::NaturalPersonId),
        ] {
            let refusal = named(scheme, &id, &built_in).unwrap_err();
            assert_eq!(refusal.code, code, "{scheme} {id}");
            for said in ["12345678909", "3184710691", "010203", "1949", "Wang"] {
                assert!(!refusal.detail.contains(said), "{}", refusal.detail);
            }
        }
    }

    #[test]
    fn a_mapping_names_further_registers() {
        let ocds = Ocds { schemes: vec!["CO-RUE".to_owned()], ..Ocds::default() };
        assert_eq!(named("CO-RUE", &json!("900123456"), &ocds).unwrap(), "register:CO-RUE:900123456");
        let ocds = Ocds { scheme: Some("PE-RUC".to_owned()), ..Ocds::default() };
        assert_eq!(named("PE-RUC", &json!("20100070970"), &ocds).unwrap(), "register:PE-RUC:20100070970");
    }
}
