//! Whom a step says that its record is about.

use chain_core::code::{Code, Refusal};
use chain_core::record::{Class, SubjectKind};
use serde_json::{Value, json};

/// The organisation of whoever names none.
const SAMPLE: &str = "uscc:91440300100012316L";
/// Fewest digits that make a word an identifier, or a number in a text worth screening.
const DIGITS_MIN: usize = 8;
/// Fewest characters of an identifier among other words: those of the old registration numbers.
const CODE_MIN: usize = 15;

/// Class, kind and the member `subject` of the body.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) class: Class,
    pub(super) kind: SubjectKind,
    pub(super) json: Value,
}

impl Subject {
    /// Reads an identifier, an object as in bodies, or words: `person commitment`, `resident number in clear`,
    /// `individual business`, an organisation otherwise.
    ///
    /// # Errors
    /// `BAD_PARAMETER`.
    pub(super) fn read(given: Option<Value>, named_type: &str) -> Result<Self, Refusal> {
        match given {
            None if named_type.contains("person subject") => {
                Ok(Self::personal(Class::P3, SubjectKind::Person))
            }
            None => Ok(Self::organisation(SAMPLE, "示例有限公司")),
            Some(Value::String(text)) => Ok(Self::of_text(&text)),
            Some(Value::Object(members)) => {
                let named = members.get("kind").and_then(Value::as_str).unwrap_or("organisation");
                let kind = SubjectKind::from_name(named).ok_or_else(|| {
                    Refusal::new(Code::BadParameter, format!("args.subject.kind is {named:?}"))
                })?;
                let mut subject = if kind.is_personal() {
                    Self::personal(Class::P3, kind)
                } else {
                    Self::organisation(SAMPLE, "示例有限公司")
                };
                members.into_iter().for_each(|(name, value)| subject.json[name.as_str()] = value);
                Ok(subject)
            }
            Some(other) => {
                let detail = format!("args.subject is {other}, wants an identifier, words or an object");
                Err(Refusal::new(Code::BadParameter, detail))
            }
        }
    }

    fn of_text(text: &str) -> Self {
        let lower = text.to_lowercase();
        let speaks = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let numbers_only = text.split_whitespace().all(|word| word.chars().any(char::is_numeric));
        if digits_of(text) >= DIGITS_MIN && numbers_only {
            return Self::organisation(&with_scheme(text), "示例有限公司");
        }
        let code = text.split_whitespace().find(|word| is_code(word));
        let business = speaks(&["individual business", "individual_business", "sole trader"]);
        match code {
            _ if speaks(&["in clear"]) => Self::personal(Class::P1, SubjectKind::Person),
            code if business => {
                let mut subject = Self::personal(Class::P3, SubjectKind::IndividualBusiness);
                code.into_iter().for_each(|code| subject.json["id"] = json!(with_scheme(code)));
                subject
            }
            Some(code) => Self::organisation(&with_scheme(code), "示例有限公司"),
            None if digits_of(text) >= DIGITS_MIN => Self::organisation(SAMPLE, text),
            None if speaks(&["person", "citizen", "resident"]) => {
                Self::personal(Class::P3, SubjectKind::Person)
            }
            None => Self::organisation(SAMPLE, text),
        }
    }

    fn organisation(id: &str, name: &str) -> Self {
        let json = json!({ "id": id, "kind": "organisation", "name": name });
        Self { class: Class::P1, kind: SubjectKind::Organisation, json }
    }

    fn personal(class: Class, kind: SubjectKind) -> Self {
        Self { class, kind, json: json!({ "kind": kind.name(), "name": "示例" }) }
    }
}

fn digits_of(text: &str) -> usize {
    text.chars().filter(|c| c.is_numeric()).count()
}

/// Whether a word in a text can only be meant as an identifier.
fn is_code(word: &str) -> bool {
    word.chars().count() >= CODE_MIN && digits_of(word) >= DIGITS_MIN
}

/// An identifier with its scheme: a unified social credit code unless it says otherwise or has the length of an LEI.
pub(super) fn with_scheme(text: &str) -> String {
    match text {
        text if text.contains(':') => text.to_owned(),
        text if text.chars().count() == 20 && !text.contains(char::is_whitespace) => format!("lei:{text}"),
        text => format!("uscc:{text}"),
    }
}
