//! Whether a text gives away how to reach a person.

use chain_core::code::{Code, Refusal};
use chain_core::identifier::contains_resident_number;

/// Refuses a text with a resident number or an e-mail address; the text is not repeated.
///
/// # Errors
/// `NATURAL_PERSON_ID`, `PERSONAL_DATA_IN_CLEAR`.
pub(crate) fn screen(name: &str, text: &str) -> Result<(), Refusal> {
    if contains_resident_number(text) {
        return Err(Refusal::new(Code::NaturalPersonId, format!("{name} holds a resident number")));
    }
    if holds_address(text) {
        let detail = format!("{name} holds an e-mail address; leave it out in the source system");
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    Ok(())
}

/// Whether a text holds something of the form `name@host.domain` (RFC 5321, as people write it).
fn holds_address(text: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let of_host = |c: char| c.is_alphanumeric() || ".-".contains(c);
    text.match_indices('@').any(|(at, _)| {
        let named = text[..at].chars().next_back().is_some_and(of_name);
        let host: &str = text[at + 1..].split(|c| !of_host(c)).next().unwrap_or_default();
        let host = host.trim_end_matches(['.', '-']);
        let domain = host.rsplit_once('.');
        named && domain.is_some_and(|(host, domain)| !host.is_empty() && domain.chars().count() >= 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_resident_numbers_are_found_and_not_repeated() {
        for (text, code) in [
            ("ask x.y@city.example, please", Some(Code::PersonalDataInClear)),
            ("mailto:张三@例子.公司", Some(Code::PersonalDataInClear)),
            ("11010519491231002X", Some(Code::NaturalPersonId)),
            ("COMUNIC@RTE & CONSULTING", None),
            ("a @ b", None),
            ("@context", None),
            ("http://datos.madrid.es", None),
        ] {
            let refusal = screen("title", text).err();
            assert_eq!(refusal.as_ref().map(|refusal| refusal.code), code, "{text}");
            assert!(refusal.is_none_or(|refusal| !refusal.detail.contains(text)), "{text}");
        }
    }
}
