//! What bodies have in common, and how validators read them.
//!
//! A body is one canonical JSON object ([`crate::json`]) with closed content. Clients write it from the typed
//! structs of [`super::credit`] and [`super::egov`]; validators read the raw text with [`Fields`], so that a
//! value of the wrong form gets the code that names its flaw.
//!
//! Common shapes:
//! ```json
//! {"lang":"zh-Hans","text":"准予食品经营许可"}           in a list; the first one is authoritative
//! {"currency":"CNY","minor":50000}                       money in whole minor units
//! {"id":"uscc:91440300100012316L","kind":"organisation","name":"示例有限公司"}
//! {"captured":"2026-05-06T09:00:00+08:00","method":"import","system":"permit-desk"}
//! ```
//! Dates are `YYYY-MM-DD`, organisations `scheme:value`, digests lower-case hexadecimal.

mod nested;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::governance::check_optional_text;
use super::{
    CODE_BYTES_MAX, Class, Details, NAME_BYTES_MAX, REFERENCES_MAX, RecordType, Reference, Relation,
    Severity, SubjectKind,
};
use crate::canonical::Writer;
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::json::{self, Json};
use crate::layout::closed_list;
use crate::merkle;
use crate::money::{Currency, Money};
use crate::org::OrgId;
use crate::text::shown;

/// Most bytes of a canonical body.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Most attachments of a body.
pub const ATTACHMENTS_MAX: usize = 16;
/// Most languages of a text.
pub const LANGUAGES_MAX: usize = 8;
/// Most bytes of a text in one language.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// A text in one language; lists of these begin with the authoritative one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LocalText {
    /// BCP 47 tag, e.g. `zh-Hans`.
    pub lang: String,
    /// 1 to 4,096 bytes.
    pub text: String,
}

/// Whom or what a record is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its identifier; may be absent when other codes are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<OrgId>,
    /// Its name, 1 to 256 bytes.
    pub name: String,
    /// What kind of subject it is; the same as in the header.
    pub kind: SubjectKind,
    /// Numbers of other registers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_codes: Vec<OtherCode>,
    /// Kind of a person's document. In bodies of class P3 and P4 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_kind: Option<String>,
    /// Number of a person's document. In bodies of class P3 and P4 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_no: Option<String>,
}

/// A number of a register without a scheme of its own, e.g. `business_registration`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtherCode {
    /// Which register, 1 to 64 bytes.
    pub scheme: String,
    /// The number, 1 to 64 bytes.
    pub value: String,
}

closed_list!(
    /// How a record came from its origin to the ledger.
    OriginMethod as u8, "origin method" {
        /// Typed in.
        Manual = 1, "manual";
        /// Read from another system's export.
        Import = 2, "import";
        /// Sent by a device.
        Device = 3, "device";
        /// Drafted with the help of a model, answered for by a person.
        AiAssisted = 4, "ai_assisted";
    }
);

/// Where a record came from: courts ask for the origin before the chain (Online Litigation Rules arts. 17-18).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The system it was kept in, 1 to 64 bytes.
    pub system: String,
    /// Its number there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_no: Option<String>,
    /// When it was captured: RFC 3339 with offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<String>,
    /// How.
    pub method: OriginMethod,
    /// Who held it until then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custody: Vec<LocalText>,
}

/// A file that belongs to a record; the file itself is kept elsewhere.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// Media type, e.g. `application/pdf`.
    pub media_type: String,
    /// Name shown to readers.
    pub name: String,
    /// Privacy class of the file.
    pub class: Class,
}

/// RFC 6962 root over digest and size of each attachment in order; what a header carries.
pub fn attachments_root<'a>(attachments: impl IntoIterator<Item = (&'a Digest, u64)>) -> Digest {
    merkle::root(attachments.into_iter().map(|(sha256, size)| {
        let mut writer = Writer::new();
        writer.digest(sha256).u64(size);
        writer.finish()
    }))
}

/// What a body says that its header must say too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Derived {
    /// Kind of the subject, if the type has one.
    pub subject_kind: Option<SubjectKind>,
    /// Identifier of the subject.
    pub subject: Option<OrgId>,
    /// Salt of the header's subject commitment.
    pub subject_salt: Option<Digest>,
    /// The agency named as the one that acted.
    pub issuer: Option<OrgId>,
    /// The agency's own number.
    pub number: Option<String>,
    /// When it was decided.
    pub decided_on: Option<Date>,
    /// When the conduct took place.
    pub conduct_on: Option<Date>,
    /// First day of effect.
    pub effective_from: Option<Date>,
    /// Last day of effect.
    pub effective_to: Option<Date>,
    /// Publication, where the type's body states it: first day, last day of the shortest, last day.
    pub publication: Option<[Option<Date>; 3]>,
    /// Severity.
    pub severity: Option<Severity>,
    /// Whether a hearing was held.
    pub heard: bool,
    /// What became of the hearing, of penalties.
    pub hearing: Option<super::credit::Hearing>,
    /// What must stand in the header's details; none for types whose details are not in the body.
    pub details: Details,
    /// The data of a batch of readings.
    pub data: Option<Vec<u8>>,
    /// References that must stand in the header.
    pub refs: Vec<Reference>,
    /// The officers, where the body names them: the header names the same.
    pub officers: Option<Vec<crate::crypto::PublicKey>>,
    /// The list or the measure that it is of, by its code in the catalogue.
    pub catalogue_code: Option<String>,
    /// Root over the attachments.
    pub attachments_root: Option<Digest>,
    /// When it was captured, milliseconds since 1970.
    pub captured_ms: Option<u64>,
}

/// Judges a body by the rules of its type.
///
/// `class` decides whether a person's document number may stand in the subject.
///
/// # Errors
/// The code of the first flaw: form of the JSON, characters, resident numbers anywhere, then the fields in
/// the order of the type.
pub fn judge(record_type: RecordType, class: Class, text: &str) -> Result<Derived, Refusal> {
    let body = read(class, text)?;
    let mut fields = Fields::new(&body, Path::default())?;
    let derived = match record_type {
        RecordType::Licence => super::credit::judge_licence(&mut fields, class),
        RecordType::Penalty => super::credit::judge_penalty(&mut fields, class),
        RecordType::Commitment => super::credit::case::judge_commitment(&mut fields, class),
        RecordType::ListEntry => super::credit::burden::judge_list_entry(&mut fields, class),
        RecordType::Measure => super::credit::burden::judge_measure(&mut fields, class),
        RecordType::Objection => super::credit::case::judge_objection(&mut fields),
        RecordType::Repair => super::credit::case::judge_repair(&mut fields),
        RecordType::Decision => super::egov::judge_decision(&mut fields),
        RecordType::PropertyEvent => super::egov::property::judge_property_event(&mut fields),
        RecordType::DocFingerprint => super::egov::judge_fingerprint(&mut fields, class),
        RecordType::Device => super::device::judge_registration(&mut fields),
        RecordType::SensorBatch => super::device::batch::judge_batch(&mut fields),
        RecordType::Alert => super::alert::judge_alert(&mut fields),
        RecordType::CommitBatch => super::health::judge_commit_batch(&mut fields),
        RecordType::Certificate => super::egov::certificate::judge_certificate(&mut fields),
        RecordType::AccessRoot => super::access::judge_access_root(&mut fields),
        RecordType::StatusList => super::egov::certificate::judge_status_list(&mut fields),
        RecordType::Procurement => super::egov::procurement::judge_procurement(&mut fields),
        RecordType::Agency
        | RecordType::Member
        | RecordType::LegalBasis
        | RecordType::Validator
        | RecordType::Calendar
        | RecordType::Schema
        | RecordType::Params
        | RecordType::DeviceKey
        | RecordType::SensorGap => {
            return Err(Refusal::new(Code::BodyNotAllowed, format!("{record_type} has no body")));
        }
        RecordType::Registered(key) => {
            let detail = format!("a body of {key} is judged by its schema, which is not at hand here");
            return Err(Refusal::new(Code::SchemaNotInForce, detail));
        }
    }?;
    fields.finish()?;
    Ok(derived)
}

/// Reads the text of a body of whatever type.
///
/// # Errors
/// `SIZE_LIMIT`, the codes of [`json::parse_canonical`], `NATURAL_PERSON_ID`.
pub(super) fn read(class: Class, text: &str) -> Result<Json<'_>, Refusal> {
    if text.len() > BODY_BYTES_MAX {
        let detail = format!("the body has {} bytes, at most {BODY_BYTES_MAX}", text.len());
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    let body = json::parse_canonical(text)?;
    if holds_resident_number(&body, class) {
        return Err(Refusal::new(Code::NaturalPersonId, "the body holds a resident number"));
    }
    Ok(body)
}

fn holds_resident_number(body: &Json<'_>, class: Class) -> bool {
    let found = |text: &str| crate::identifier::contains_resident_number(text);
    let Json::Object(members) = body else {
        return body.any_text(&found);
    };
    members.iter().any(|(name, value)| match value {
        // The one place where a vault may keep it.
        Json::Object(subject) if name == "subject" && !class.body_is_shared() => {
            subject.iter().any(|(name, value)| name != "document_no" && value.any_text(&found))
        }
        _ => found(name) || value.any_text(&found),
    })
}

/// Reads the members of one object, each once, and refuses what is left over.
#[derive(Debug)]
pub struct Fields<'a> {
    path: Path,
    members: &'a [(Cow<'a, str>, Json<'a>)],
    used: Vec<bool>,
}

/// Where an object stands in the body: the names that lead to it. Built without allocating, for messages only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path([&'static str; 2]);

impl Path {
    fn member(self, name: &'static str) -> Self {
        if self.0[0].is_empty() { Self([name, ""]) } else { Self([self.0[0], name]) }
    }
}

impl std::fmt::Display for Path {
    /// Each name with a point after it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().filter(|name| !name.is_empty()).try_for_each(|name| write!(f, "{name}."))
    }
}

/// Words that make a property a score of its subject: English, Chinese, pinyin.
const SCORE_WORDS: &[&str] = &[
    "score",
    "scoring",
    "rating",
    "rank",
    "jibie",
    "xinyongfen",
    "pingfen",
    "fenshu",
    "jifen",
    "dengji",
    "pingji",
    "paiming",
    "评分",
    "分数",
    "积分",
    "等级",
    "评级",
    "排名",
    "信用分",
    "级别",
];
/// What stands before "rating" in words that have nothing to do with one: operating, generating, migrating.
const NO_RATINGS: &[&str] =
    &["calib", "concent", "deco", "gene", "integ", "mig", "ope", "penet", "sepa", "vib"];

/// Whether a property name means a score, rating, rank, level or points.
pub fn means_a_score(name: &str) -> bool {
    let lower = name.to_lowercase();
    let has_rating =
        |part: &str| part.split_once("rating").is_some_and(|(front, _)| !NO_RATINGS.contains(&front));
    let is_of_kind = |word: &str| match word {
        "rating" => lower.split(['_', '-']).any(has_rating),
        word => lower.contains(word),
    };
    SCORE_WORDS.iter().any(|word| is_of_kind(word))
        || lower
            .split(['_', '-'])
            .any(|part| matches!(part, "level" | "levels" | "points" | "grade" | "grades"))
}

/// Whether a free text speaks of a score: as a word of its own, or as part of a text in Chinese.
pub(super) fn speaks_of_a_score(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| SCORE_WORDS.contains(&word))
        || SCORE_WORDS.iter().any(|word| !word.is_ascii() && lower.contains(word))
}

impl<'a> Fields<'a> {
    /// Starts reading an object; `path` names it in messages.
    ///
    /// # Errors
    /// `SCHEMA_INVALID` when it is no object.
    pub fn new(value: &'a Json<'a>, path: Path) -> Result<Self, Refusal> {
        let Json::Object(members) = value else {
            let what = if path.0[0].is_empty() { "the body".to_owned() } else { path.to_string() };
            return Err(Refusal::new(
                Code::SchemaInvalid,
                format!("{} is {}, wants an object", what.trim_end_matches('.'), value.kind()),
            ));
        };
        Ok(Self { path, members, used: vec![false; members.len()] })
    }

    /// A member, if it is there.
    pub fn optional(&mut self, name: &str) -> Option<&'a Json<'a>> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        self.used[at] = true;
        Some(&self.members[at].1)
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// `MISSING_FIELD`.
    pub fn required(&mut self, name: &str) -> Result<&'a Json<'a>, Refusal> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Refusal {
        Refusal::new(Code::MissingField, format!("{}{name} is absent or empty", self.path))
    }

    fn wrong(&self, name: &str, got: &Json<'_>, want: &str) -> Refusal {
        Refusal::new(Code::SchemaInvalid, format!("{}{name} is {}, wants {want}", self.path, got.kind()))
    }

    fn invalid(&self, name: &str, got: &str, want: &str) -> Refusal {
        Refusal::new(Code::SchemaInvalid, format!("{}{name} is {}, wants {want}", self.path, shown(got)))
    }

    /// A text of 1 to `limit` bytes.
    ///
    /// # Errors
    /// `MISSING_FIELD` when absent or empty, `SCHEMA_INVALID`, `SIZE_LIMIT`.
    pub fn text(&mut self, name: &'static str, limit: usize) -> Result<&'a str, Refusal> {
        self.optional_text(name, limit)?.ok_or_else(|| self.missing(name))
    }

    /// A text of at most `limit` bytes; an empty one counts as absent.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `SIZE_LIMIT`.
    pub fn optional_text(&mut self, name: &'static str, limit: usize) -> Result<Option<&'a str>, Refusal> {
        match self.optional(name) {
            None => Ok(None),
            Some(Json::Text(text)) if text.len() > limit => Err(Refusal::new(
                Code::SizeLimit,
                format!("{}{name} has {} bytes, at most {limit}", self.path, text.len()),
            )),
            Some(Json::Text(text)) => Ok(Some(text.as_ref()).filter(|text| !text.trim().is_empty())),
            Some(other) => Err(self.wrong(name, other, "a text")),
        }
    }

    /// A date.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, `BAD_DATE`.
    pub fn date(&mut self, name: &'static str) -> Result<Date, Refusal> {
        self.optional_date(name)?.ok_or_else(|| self.missing(name))
    }

    /// A date, if there is one.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `BAD_DATE`.
    pub fn optional_date(&mut self, name: &'static str) -> Result<Option<Date>, Refusal> {
        let Some(text) = self.optional_text(name, NAME_BYTES_MAX)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error| {
            Refusal::new(Code::BadDate, format!("{}{name} is {}: {error}", self.path, shown(text)))
        })
    }

    /// One of a closed list of names.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn choice<T: std::str::FromStr<Err = crate::layout::UnknownName>>(
        &mut self,
        name: &'static str,
    ) -> Result<T, Refusal> {
        let text = self.text(name, NAME_BYTES_MAX)?;
        self.parse_choice(name, text)
    }

    fn parse_choice<T: std::str::FromStr<Err = crate::layout::UnknownName>>(
        &self,
        name: &str,
        text: &str,
    ) -> Result<T, Refusal> {
        text.parse().map_err(|error: crate::layout::UnknownName| {
            self.invalid(name, text, &format!("one of: {}", error.known))
        })
    }

    /// A list of different names of a closed list, at least one.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn choices<T>(&mut self, name: &'static str) -> Result<Vec<T>, Refusal>
    where
        T: std::str::FromStr<Err = crate::layout::UnknownName> + PartialEq,
    {
        let mut chosen: Vec<T> = Vec::new();
        for item in self.list(name, 64)? {
            let Json::Text(text) = item else {
                return Err(self.wrong(name, item, "texts"));
            };
            let one = self.parse_choice(name, text)?;
            if chosen.contains(&one) {
                return Err(self.invalid(name, text, "each name once"));
            }
            chosen.push(one);
        }
        if chosen.is_empty() { Err(self.missing(name)) } else { Ok(chosen) }
    }

    /// A list of at most `limit` values; absent means empty.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `SIZE_LIMIT`.
    pub fn list(&mut self, name: &'static str, limit: usize) -> Result<&'a [Json<'a>], Refusal> {
        match self.optional(name) {
            None => Ok(&[]),
            Some(Json::Array(items)) if items.len() > limit => Err(Refusal::new(
                Code::SizeLimit,
                format!("{}{name} has {} entries, at most {limit}", self.path, items.len()),
            )),
            Some(Json::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(name, other, "a list")),
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, `BAD_NUMBER`.
    pub fn count(&mut self, name: &'static str) -> Result<u64, Refusal> {
        match self.required(name)? {
            Json::Integer(value) => u64::try_from(*value).map_err(|_| {
                Refusal::new(Code::BadNumber, format!("{}{name} is {value}, wants 0 or more", self.path))
            }),
            other => Err(self.wrong(name, other, "a number")),
        }
    }

    /// An organisation in text form.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, or the code of the identifier's flaw.
    pub fn org(&mut self, name: &'static str) -> Result<OrgId, Refusal> {
        self.optional_org(name)?.ok_or_else(|| self.missing(name))
    }

    /// An organisation in text form, if there is one.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, or the code of the identifier's flaw.
    pub fn optional_org(&mut self, name: &'static str) -> Result<Option<OrgId>, Refusal> {
        let Some(text) = self.optional_text(name, NAME_BYTES_MAX)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|refusal: Refusal| {
            Refusal::new(refusal.code, format!("{}{name}: {}", self.path, refusal.detail))
        })
    }

    /// A digest or record id.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`.
    pub fn optional_digest(&mut self, name: &'static str) -> Result<Option<Digest>, Refusal> {
        let Some(text) = self.optional_text(name, NAME_BYTES_MAX)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| self.invalid(name, text, "64 lower-case hexadecimal digits"))
    }

    /// A digest or record id that must be there.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn digest(&mut self, name: &'static str) -> Result<Digest, Refusal> {
        self.optional_digest(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text in one or more languages.
    ///
    /// # Errors
    /// `MISSING_FIELD` when absent or empty, and as [`Fields::optional_localised`].
    pub fn localised(&mut self, name: &'static str) -> Result<(), Refusal> {
        if self.optional_localised(name)? { Ok(()) } else { Err(self.missing(name)) }
    }

    /// A text in one or more languages, if there is one.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `MISSING_FIELD` inside, `SIZE_LIMIT`.
    pub fn optional_localised(&mut self, name: &'static str) -> Result<bool, Refusal> {
        let items = self.list(name, LANGUAGES_MAX)?;
        let mut languages = Vec::new();
        for item in items {
            let mut entry = Fields::new(item, self.path.member(name))?;
            let lang = entry.text("lang", CODE_BYTES_MAX)?;
            entry.text("text", TEXT_BYTES_MAX)?;
            entry.finish()?;
            if !is_language_tag(lang) {
                return Err(self.invalid(name, lang, "a BCP 47 language tag"));
            }
            if languages.contains(&lang) {
                return Err(self.invalid(name, lang, "each language once"));
            }
            languages.push(lang);
        }
        Ok(!items.is_empty())
    }

    /// An amount of money that is not negative.
    ///
    /// # Errors
    /// `NEGATIVE_AMOUNT`; `AMOUNT_BELOW_MINOR_UNIT` when the minor units are a text with decimals;
    /// `SCHEMA_INVALID`, `MISSING_FIELD`.
    pub fn optional_money(&mut self, name: &'static str) -> Result<Option<Money>, Refusal> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        let mut fields = Fields::new(value, self.path.member(name))?;
        let code = fields.text("currency", 8)?;
        let currency: Currency =
            code.parse().map_err(|_| fields.invalid("currency", code, "three capital letters (ISO 4217)"))?;
        let minor = match fields.required("minor")? {
            Json::Integer(minor) => *minor,
            // A client that did not convert: name the flaw of the amount, not of its type.
            Json::Text(text) => return Err(judge_decimal(fields.path, text)),
            other => return Err(fields.wrong("minor", other, "a whole number")),
        };
        fields.finish()?;
        if minor < 0 {
            let detail = format!("{}minor is {minor}, wants 0 or more", fields.path);
            return Err(Refusal::new(Code::NegativeAmount, detail));
        }
        Ok(Some(Money { currency, minor }))
    }

    /// Attachments and their root; `None` when there are none.
    ///
    /// # Errors
    /// As the fields of each entry.
    pub fn attachments(&mut self, name: &'static str) -> Result<Option<Digest>, Refusal> {
        let items = self.list(name, ATTACHMENTS_MAX)?;
        let path = self.path.member(name);
        let files = items.iter().map(|item| judge_attachment(item, path)).collect::<Result<Vec<_>, _>>()?;
        Ok((!files.is_empty()).then(|| attachments_root(files.iter().map(|(sha256, size)| (sha256, *size)))))
    }

    /// One attachment that must be there; gives the root over it alone.
    ///
    /// # Errors
    /// As its fields.
    pub fn attachment(&mut self, name: &'static str) -> Result<Digest, Refusal> {
        let path = self.path.member(name);
        let (sha256, size) = judge_attachment(self.required(name)?, path)?;
        Ok(attachments_root([(&sha256, size)]))
    }

    /// Whether a member is there.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    /// A list of records that this one refers to; absent means none.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `SIZE_LIMIT`.
    pub fn records(&mut self, name: &'static str, rel: Relation) -> Result<Vec<Reference>, Refusal> {
        let record = |item: &Json<'_>| match item {
            Json::Text(text) => text.parse().ok().map(|record| Reference { rel, record }),
            _ => None,
        };
        let wrong = || Refusal::new(Code::SchemaInvalid, format!("{name}: wants record ids"));
        self.list(name, REFERENCES_MAX)?.iter().map(|item| record(item).ok_or_else(wrong)).collect()
    }

    /// The subject: kind and identifier.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, the code of the identifier's flaw, or `PERSONAL_DATA_IN_CLEAR` when
    /// a person would stand in a shared body.
    pub fn subject(
        &mut self,
        name: &'static str,
        class: Class,
    ) -> Result<(SubjectKind, Option<OrgId>), Refusal> {
        let value = self.required(name)?;
        let mut fields = Fields::new(value, self.path.member(name))?;
        let kind: SubjectKind = fields.choice("kind")?;
        if kind.is_personal() && class.body_is_shared() {
            let detail = format!("{}kind is {kind}, not allowed in class {class}", fields.path);
            return Err(Refusal::new(Code::PersonalDataInClear, detail));
        }
        fields.text("name", NAME_BYTES_MAX)?;
        let id = fields.optional_org("id")?;
        let mut others = false;
        let others_path = fields.path.member("other_codes");
        for item in fields.list("other_codes", 8)? {
            let mut other = Fields::new(item, others_path)?;
            other.text("scheme", CODE_BYTES_MAX)?;
            other.text("value", CODE_BYTES_MAX)?;
            other.finish()?;
            others = true;
        }
        if !class.body_is_shared() {
            fields.optional_text("document_kind", CODE_BYTES_MAX)?;
            fields.optional_text("document_no", CODE_BYTES_MAX)?;
        }
        if kind == SubjectKind::Organisation && id.is_none() && !others {
            return Err(fields.missing("id"));
        }
        if let Some(id) = &id
            && id.is_individual_business()
            && kind != SubjectKind::IndividualBusiness
        {
            let detail = format!("{}id is an individual business (prefix 92), kind is {kind}", fields.path);
            return Err(Refusal::new(Code::PersonalDataInClear, detail));
        }
        fields.finish()?;
        Ok((kind, id))
    }

    /// The origin; gives the time of capture, if stated.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, `BAD_DATE`.
    pub fn origin(&mut self, name: &'static str) -> Result<Option<u64>, Refusal> {
        let value = self.required(name)?;
        let mut fields = Fields::new(value, self.path.member(name))?;
        fields.text("system", CODE_BYTES_MAX)?;
        fields.choice::<OriginMethod>("method")?;
        fields.optional_text("source_no", NAME_BYTES_MAX)?;
        fields.optional_localised("custody")?;
        let captured = match fields.optional_text("captured", CODE_BYTES_MAX)? {
            None => None,
            Some(text) => Some(parse_instant(text).ok_or_else(|| {
                let detail =
                    format!("{}captured is {}, wants an RFC 3339 time with offset", fields.path, shown(text));
                Refusal::new(Code::BadDate, detail)
            })?),
        };
        fields.finish()?;
        Ok(captured)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// For a member that is not part of the type: `SCORE_FORBIDDEN` when its name means a score, else
    /// `UNKNOWN_FIELD`.
    pub fn finish(&self) -> Result<(), Refusal> {
        let Some(at) = self.used.iter().position(|used| !used) else {
            return Ok(());
        };
        let name = &self.members[at].0;
        let code = if means_a_score(name) { Code::ScoreForbidden } else { Code::UnknownField };
        Err(Refusal::new(code, format!("{}{}", self.path, crate::text::clip(name))))
    }
}

fn judge_decimal(path: Path, text: &str) -> Refusal {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let formed = !whole.is_empty() && plain(whole) && plain(fraction);
    if formed && sign {
        return Refusal::new(
            Code::NegativeAmount,
            format!("{path}minor is {}, wants 0 or more", shown(text)),
        );
    }
    if formed && !fraction.trim_end_matches('0').is_empty() {
        let detail = format!("{path}minor is {}, wants whole minor units", shown(text));
        return Refusal::new(Code::AmountBelowMinorUnit, detail);
    }
    Refusal::new(Code::SchemaInvalid, format!("{path}minor is a text, wants a whole number"))
}

fn judge_attachment(item: &Json<'_>, path: Path) -> Result<(Digest, u64), Refusal> {
    let mut file = Fields::new(item, path)?;
    let sha256 = file.digest("sha256")?;
    let size = file.count("size")?;
    file.text("media_type", CODE_BYTES_MAX * 2)?;
    file.text("name", NAME_BYTES_MAX)?;
    file.choice::<Class>("class")?;
    file.finish()?;
    Ok((sha256, size))
}

/// Whether a text has the form of a BCP 47 tag: letters first, then parts of 1 to 8 letters and digits.
pub(crate) fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or("");
    (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// Milliseconds since 1970 of an RFC 3339 time with offset, e.g. `2026-05-06T09:00:00+08:00`.
pub fn parse_instant(text: &str) -> Option<u64> {
    let date: Date = text.get(..10)?.parse().ok()?;
    let rest = text.get(10..)?;
    let time = rest.strip_prefix('T')?;
    let offset_at = time.find(['Z', '+', '-'])?;
    let (clock, offset) = time.split_at(offset_at);
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let two = |text: &str, max: u64| -> Option<u64> {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&value| plain && value <= max)
    };
    let mut parts = hms.split(':');
    let (hour, minute, second) = (two(parts.next()?, 23)?, two(parts.next()?, 59)?, two(parts.next()?, 59)?);
    if parts.next().is_some()
        || !(1..=9).contains(&fraction.len())
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_minutes: i64 = if offset == "Z" {
        0
    } else {
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes = i64::try_from(two(hours, 23)? * 60 + two(minutes, 59)?).ok()?;
        if offset.starts_with('-') { -minutes } else { minutes }
    };
    let days = i64::from(date.day_number()) - 719_162;
    let of_day = i64::try_from((hour * 3600 + minute * 60 + second) * 1000 + ms).ok()?;
    u64::try_from(days * 86_400_000 + of_day - offset_minutes * 60_000).ok()
}

/// Refuses a note that is too long, holds bad characters or a person's number, or, on a record about persons,
/// is more than a code.
///
/// # Errors
/// `SIZE_LIMIT`, `BAD_TEXT`, `NATURAL_PERSON_ID`, `PERSONAL_DATA_IN_CLEAR`.
pub fn check_note(note: &str, class: Class, limit: usize) -> Result<(), Refusal> {
    check_optional_text("reason", note, limit)?;
    let is_code = note.len() <= CODE_BYTES_MAX
        && note.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !class.body_is_shared() && !is_code {
        let detail = format!("a reason on a record of class {class} must be a code of a-z, 0-9 and _");
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> T {
        let value = json::parse(text).unwrap();
        read(&mut Fields::new(&value, Path::default()).unwrap())
    }

    #[test]
    fn money_is_judged_by_what_is_wrong_with_the_amount() {
        for (money, want) in [
            (r#"{"currency":"CNY","minor":50000}"#, Ok(50_000)),
            (r#"{"currency":"CNY","minor":0}"#, Ok(0)),
            (r#"{"currency":"CNY","minor":-1}"#, Err(Code::NegativeAmount)),
            (r#"{"currency":"CNY","minor":"-0.5"}"#, Err(Code::NegativeAmount)),
            (r#"{"currency":"CNY","minor":"1234567.8"}"#, Err(Code::AmountBelowMinorUnit)),
            (r#"{"currency":"CNY","minor":"12"}"#, Err(Code::SchemaInvalid)),
            (r#"{"currency":"CNY","minor":"x"}"#, Err(Code::SchemaInvalid)),
            (r#"{"currency":"yuan","minor":1}"#, Err(Code::SchemaInvalid)),
            (r#"{"currency":"CNY"}"#, Err(Code::MissingField)),
            (r#"{"currency":"CNY","minor":1,"unit":1}"#, Err(Code::UnknownField)),
            ("7", Err(Code::SchemaInvalid)),
        ] {
            let got = with(&format!(r#"{{"fine":{money}}}"#), |fields| {
                fields.optional_money("fine").map(|money| money.unwrap().minor)
            });
            assert_eq!(got.map_err(|refusal| refusal.code), want, "{money}");
        }
    }

    #[test]
    fn a_score_has_its_own_refusal() {
        for (name, want) in [
            ("credit_score", Code::ScoreForbidden),
            ("信用评分", Code::ScoreForbidden),
            ("xinyong_dengji", Code::ScoreForbidden),
            ("risk_level", Code::ScoreForbidden),
            ("colour", Code::UnknownField),
        ] {
            let got = with(&format!(r#"{{"{name}":1}}"#), |fields| fields.finish().unwrap_err().code);
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn instants_need_an_offset() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T08:00:00+08:00", Some(0)),
            ("1970-01-01T00:00:01.5Z", Some(1_500)),
            ("1969-12-31T23:00:00-02:00", Some(3_600_000)),
            ("1969-12-31T23:00:00Z", None),
            ("2026-05-06T09:00:00", None),
            ("2026-05-06 09:00:00Z", None),
            ("2026-02-30T09:00:00Z", None),
            ("2026-05-06T24:00:00Z", None),
            ("2026-05-06T09:00Z", None),
            ("2026-05-06T09:00:00.Z", None),
            ("文文文T", None),
        ] {
            assert_eq!(parse_instant(text), want, "{text}");
        }
    }

    #[test]
    fn a_subject_that_is_a_person_stays_out_of_shared_bodies() {
        let org = r#"{"id":"uscc:91440300100012316L","kind":"organisation","name":"x"}"#;
        let business = r#"{"id":"uscc:92320199MAX0B0FC0W","kind":"organisation","name":"x"}"#;
        let person = r#"{"document_no":"11010519491231002X","kind":"person","name":"x"}"#;
        for (subject, class, want) in [
            (org, Class::P1, None),
            (business, Class::P1, Some(Code::PersonalDataInClear)),
            (business, Class::P3, Some(Code::PersonalDataInClear)),
            (person, Class::P1, Some(Code::PersonalDataInClear)),
            (person, Class::P3, None),
            (r#"{"kind":"organisation","name":"x"}"#, Class::P1, Some(Code::MissingField)),
            (r#"{"kind":"organisation","name":""}"#, Class::P1, Some(Code::MissingField)),
        ] {
            let got = with(&format!(r#"{{"subject":{subject}}}"#), |fields| {
                fields.subject("subject", class).err().map(|refusal| refusal.code)
            });
            assert_eq!(got, want, "{subject} {class}");
        }
    }

    #[test]
    fn notes_on_records_about_persons_are_codes() {
        assert_eq!(check_note("court order 12", Class::P1, 512), Ok(()));
        assert_eq!(check_note("court_order", Class::P3, 512), Ok(()));
        let code = |note: &str, class| check_note(note, class, 512).unwrap_err().code;
        assert_eq!(code("Mr Li asked", Class::P3), Code::PersonalDataInClear);
        assert_eq!(code("no. 11010519491231002X", Class::P1), Code::NaturalPersonId);
        assert_eq!(code(&"x".repeat(513), Class::P1), Code::SizeLimit);
    }
}
