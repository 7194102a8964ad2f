//! From a mapped row of the official columns to header and body, and the verdict that the validators would give.
//!
//! The rules are chain-core's, not copies of them. What only the ledger knows (rights, records filed before)
//! is left to it. In raw mode nothing is refused here: cells that cannot be read go into the body as they
//! are, so that the validators judge them.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::id::ChainId;
use chain_core::identifier::{contains_resident_number, uscc_is_individual_business};
use chain_core::json::to_canonical;
use chain_core::operation::Operation;
use chain_core::org::{OrgId, Scheme};
use chain_core::record::{
    BasisRef, Class, Details, Header, RecordType, Severity, SubjectKind as Kind, idempotency_digest,
    natural_key, record_id, subject_commit,
};
use chain_core::rules::{self, SCHEMA_VERSION};
use chain_core::transaction::Body;
use serde_json::{Map, Value as Json, json};

use crate::catalogue::{self, Basis, Catalogue};

use super::field::Value;
use super::mapping::{Format, Mapped, MappedSubject, SubjectKind};
use super::note::{Note, Notes};

/// What an authority contributes to its rows.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Its identifier.
    pub(crate) agency: OrgId,
    /// What recognises its numbers.
    pub(crate) dedupe: [u8; 32],
    /// The officers who answer for its acts; the first signs.
    pub(crate) officers: Vec<PublicKey>,
}

/// Fresh random bytes for one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Salts {
    /// Of the body's commitment.
    pub(crate) body: Digest,
    /// Of the subject's commitment.
    pub(crate) subject: Digest,
}

/// How rows are judged.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// Chain and legal bases.
    pub(crate) catalogue: &'a Catalogue,
    /// Type of every row.
    pub(crate) record_type: RecordType,
    /// Id of the legal basis, when the mapping fixes it.
    pub(crate) basis_id: Option<&'a str>,
    /// Tag of the texts.
    pub(crate) language: &'a str,
    /// The local day.
    pub(crate) today: Date,
    /// Whether to leave the verdict to the validators.
    pub(crate) raw: bool,
}

/// A row ready to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Its number.
    pub(crate) row: u64,
    /// What is signed.
    pub(crate) operation: Operation,
    /// What goes with it.
    pub(crate) body: Body,
    /// Privacy class.
    pub(crate) class: Class,
    /// What was changed.
    pub(crate) notes: Notes,
    /// What opens the commitments of the record; kept by whoever files it.
    pub(crate) openings: Option<Json>,
    /// The agency's own number in the form in which duplicates are recognised.
    pub(crate) natural_key: Option<Digest>,
}

/// The agency that a row names.
pub(crate) fn agency(code: &str) -> Result<OrgId, Refusal> {
    if code.is_empty() {
        return Err(Refusal::new(Code::MissingField, "the code of the authority is empty"));
    }
    OrgId::new(Scheme::Uscc, code)
}

/// Builds and judges a row. `occurrence` counts rows of this file with the same content, from 0.
pub(crate) fn judge(
    rules: &Rules<'_>,
    mapped: &Mapped,
    authority: &Authority,
    salts: Salts,
    occurrence: u32,
) -> Result<Ready, Refusal> {
    let mut row = Row::new(rules, mapped, authority, salts)?;
    if !rules.raw {
        screen(mapped)?;
        row.subject_code()?;
    }
    let draft = row.body();
    let text = to_canonical(&Json::Object(draft))?;
    let body = Body { salt: salts.body, json: text };
    let basis = row.basis()?;
    let header = row.header(&body, basis, occurrence);
    if !rules.raw {
        row.published_too_long(&header, basis)?;
        rules::check_submission(
            rules.catalogue.chain_id,
            &header,
            Some(&body),
            basis.map(|basis| &basis.details),
            rules.today,
        )?;
    }
    if rules.record_type == RecordType::Penalty && header.publish_from.is_none() {
        row.notes.add(Note::NotPublished);
    }
    Ok(Ready {
        row: mapped.row,
        class: header.class,
        natural_key: header.natural_key,
        operation: Operation::Submit(Box::new(header)),
        body,
        openings: None,
        notes: row.notes,
    })
}

/// A row while it is being built.
struct Row<'a> {
    rules: &'a Rules<'a>,
    mapped: &'a Mapped,
    named: &'a MappedSubject,
    authority: &'a Authority,
    salts: Salts,
    kind: Kind,
    class: Class,
    subject: Option<OrgId>,
    notes: Notes,
}

impl<'a> Row<'a> {
    fn new(
        rules: &'a Rules<'a>,
        mapped: &'a Mapped,
        authority: &'a Authority,
        salts: Salts,
    ) -> Result<Self, Refusal> {
        let named = mapped
            .subject
            .as_ref()
            .ok_or_else(|| Refusal::new(Code::BadMapping, "the mapping names no columns of the subject"))?;
        let mut notes = mapped.notes.clone();
        let kind = kind_of(named, &mut notes);
        let class = if kind == Kind::Organisation { Class::P1 } else { Class::P3 };
        let subject = match kind {
            Kind::Person => None,
            _ => OrgId::new(Scheme::Uscc, &named.code).ok(),
        };
        Ok(Self { rules, mapped, named, authority, salts, kind, class, subject, notes })
    }

    /// Refuses a code that is wrong; an organisation may have older codes instead.
    fn subject_code(&self) -> Result<(), Refusal> {
        if self.kind == Kind::Person {
            return Ok(());
        }
        check_subject_code(self.named)
    }

    fn body(&self) -> Map<String, Json> {
        let mut body = Map::new();
        body.insert("subject".to_owned(), Json::Object(subject_json(self.named, self.kind)));
        for (name, value) in &self.mapped.fields {
            // Dates of publication are decided below; what is not published must not say when.
            if name != "publish_until" && name != "data_source" {
                body.insert(name.clone(), self.field(name, value));
            }
        }
        if self.rules.record_type == RecordType::Penalty {
            let [from, min, until] = self.publication();
            for (name, date) in [("publish_from", from), ("publish_min_until", min), ("publish_until", until)]
            {
                if let Some(date) = date {
                    body.insert(name.to_owned(), json!(date));
                }
            }
            if let Some(title) = self.mapped.basis_title.as_deref().filter(|title| !title.is_empty()) {
                body.insert("basis_cited".to_owned(), localised(self.rules.language, title));
            }
        }
        body.insert("issuer".to_owned(), json!(self.authority.agency));
        let source = match self.mapped.fields.get("data_source") {
            Some(Value::Plain(code)) => json!(format!("uscc:{code}")),
            _ => json!(self.authority.agency),
        };
        body.insert("data_source".to_owned(), source);
        body.insert("origin".to_owned(), json!({ "method": "import", "system": Format::Sheet.system() }));
        if self.subject.is_some() {
            body.insert("subject_salt".to_owned(), json!(self.salts.subject));
        }
        body
    }

    fn field(&self, name: &str, value: &Value) -> Json {
        match value {
            Value::Choices(names) if name == "penalty_kinds" => json!(names),
            value => json_of(self.rules.language, value),
        }
    }

    fn date(&self, name: &str) -> Option<Date> {
        match self.mapped.fields.get(name) {
            Some(Value::Date(day)) => day.to_string().parse().ok(),
            _ => None,
        }
    }

    fn severity(&self) -> Option<Severity> {
        match self.mapped.fields.get("severity") {
            Some(Value::Choices(names)) => names.first()?.parse().ok(),
            _ => None,
        }
    }

    /// First day, end of the shortest, and last day of publication. Acts about persons are not published.
    fn publication(&self) -> [Option<Date>; 3] {
        let decided = self.date("decided_on");
        if self.rules.record_type != RecordType::Penalty {
            return [decided.filter(|_| self.class == Class::P1), None, None];
        }
        let until = self.date("publish_until").filter(|_| self.kind != Kind::Person);
        if until.is_none() {
            return [None; 3];
        }
        let min_months = match self.basis() {
            Ok(Some(basis)) => basis.details.publication.term(self.severity()).min_months,
            _ => 0,
        };
        let min = decided.filter(|_| min_months > 0).and_then(|day| day.add_months(u32::from(min_months)));
        [decided, min.filter(|min| Some(*min) <= until), until]
    }

    /// A row about a person is not published, but a term in it that the basis forbids is wrong all the same.
    fn published_too_long(&self, header: &Header, basis: Option<&Basis>) -> Result<(), Refusal> {
        let (Some(basis), Some(until)) = (basis, self.date("publish_until")) else { return Ok(()) };
        if self.kind != Kind::Person {
            return Ok(());
        }
        let mut claimed = header.clone();
        claimed.publish_from = header.decided_on;
        claimed.publish_until = Some(until);
        rules::check_basis(&claimed, &basis.details, self.rules.today)
    }

    fn basis(&self) -> Result<Option<&'a Basis>, Refusal> {
        let on = self.date("decided_on");
        let found = match (self.rules.basis_id, self.mapped.basis_title.as_deref()) {
            (Some(id), _) => self.rules.catalogue.by_id(id, on).ok_or(id),
            (None, title) => {
                let title = title.unwrap_or("");
                self.rules.catalogue.by_title(title, on).ok_or(title)
            }
        };
        match found {
            Ok(basis) => Ok(Some(basis)),
            Err(_) if self.rules.raw => Ok(None),
            Err(title) => Err(catalogue::unknown(title)),
        }
    }

    fn header(&self, body: &Body, basis: Option<&Basis>, occurrence: u32) -> Header {
        let record_type = self.rules.record_type;
        let dedupe = &self.authority.dedupe;
        let number = match self.mapped.fields.get("decision_no") {
            Some(Value::Plain(number)) => Some(number.as_str()),
            _ => None,
        };
        let key = format!("{}#{}#{occurrence}", number.unwrap_or(""), self.content_digest());
        let idempotency = idempotency_digest(dedupe, record_type, &key);
        let [publish_from, publish_min_until, publish_until] = self.publication();
        let penalty = record_type == RecordType::Penalty;
        let decided_on = self.date("decided_on");
        Header {
            record: record_id(self.chain_id(), &self.authority.agency, record_type, &idempotency),
            record_type,
            schema_version: SCHEMA_VERSION,
            version: 1,
            idempotency,
            agency: self.authority.agency.clone(),
            legal_basis: basis
                .map(|basis| BasisRef { id: basis.details.id.clone(), version: basis.details.version }),
            class: self.class,
            subject_kind: self.kind,
            body_commit: Some(body.commitment()),
            subject_commit: self.subject.as_ref().map(|subject| subject_commit(&self.salts.subject, subject)),
            natural_key: number.map(|number| natural_key(dedupe, record_type, number)),
            decided_on,
            conduct_on: None,
            effective_from: if penalty { decided_on } else { self.date("valid_from") },
            effective_to: self.date("valid_to"),
            publish_from,
            publish_min_until,
            publish_until,
            dispose_on: None,
            severity: self.severity().filter(|_| penalty),
            heard: false,
            officers: if penalty { self.authority.officers.clone() } else { Vec::new() },
            refs: Vec::new(),
            attachments_root: None,
            details: Details::None,
        }
    }

    fn chain_id(&self) -> ChainId {
        self.rules.catalogue.chain_id
    }

    fn content_digest(&self) -> Digest {
        content_digest(self.mapped)
    }
}

/// Digest of what a row says, salts left out: the same row always has the same idempotency key.
pub(super) fn content_digest(mapped: &Mapped) -> Digest {
    let text =
        format!("{:?}|{:?}|{:?}|{:?}", mapped.subject, mapped.basis_title, mapped.fields, mapped.lists);
    Digest::tagged(b"city/import-row/1", &[text.as_bytes()])
}

/// Digest of what a row says, by which repeated rows of a file are counted.
pub(crate) fn likeness(mapped: &Mapped) -> Digest {
    let text = format!("{:?}|{:?}|{:?}|{:?}", mapped.authority, mapped.subject, mapped.fields, mapped.lists);
    Digest::tagged(b"city/import-likeness/1", &[text.as_bytes()])
}

/// Refuses persons' numbers in text that the rules of the body do not see.
pub(super) fn screen(mapped: &Mapped) -> Result<(), Refusal> {
    if mapped.screened.iter().any(|text| contains_resident_number(text)) {
        return Err(Refusal::new(Code::NaturalPersonId, "a remark holds a resident number"));
    }
    Ok(())
}

/// Refuses a code of an organisation or business that is wrong; it may have other codes instead.
pub(super) fn check_subject_code(named: &MappedSubject) -> Result<(), Refusal> {
    let code = named.code.as_str();
    if code.is_empty() && !named.other_codes.is_empty() {
        return Ok(());
    }
    if code.is_empty() {
        return Err(Refusal::new(Code::MissingField, "the subject has no code"));
    }
    OrgId::new(Scheme::Uscc, code).map(|_| ())
}

/// The subject as bodies name it.
pub(super) fn subject_json(named: &MappedSubject, kind: Kind) -> Map<String, Json> {
    let mut subject = Map::new();
    subject.insert("name".to_owned(), json!(named.name));
    subject.insert("kind".to_owned(), json!(kind));
    if kind != Kind::Person && !named.code.is_empty() {
        subject.insert("id".to_owned(), json!(format!("uscc:{}", named.code)));
    }
    if named.code.is_empty() && !named.other_codes.is_empty() {
        let others: Vec<Json> = named
            .other_codes
            .iter()
            .map(|(scheme, value)| json!({ "scheme": scheme, "value": value }))
            .collect();
        subject.insert("other_codes".to_owned(), Json::Array(others));
    }
    if kind == Kind::Person && !named.document.is_empty() {
        subject.insert("document_no".to_owned(), json!(named.document));
    }
    subject
}

/// What kind of subject a row is about. An individual business is a person in practice, whatever the sheet calls it.
pub(super) fn kind_of(named: &MappedSubject, notes: &mut Notes) -> Kind {
    let business = uscc_is_individual_business(&named.code) || named.kind == SubjectKind::IndividualBusiness;
    match named.kind {
        SubjectKind::Person => {
            notes.add(Note::PersonalToVault);
            Kind::Person
        }
        _ if business => {
            notes.add(Note::TreatAsPersonal);
            Kind::IndividualBusiness
        }
        _ => Kind::Organisation,
    }
}

/// A cell as bodies have it.
pub(super) fn json_of(language: &str, value: &Value) -> Json {
    match value {
        Value::Date(day) => json!(day.to_string()),
        Value::Amount(fen) => json!({ "currency": "CNY", "minor": fen }),
        Value::UnreadAmount(minor) => json!({ "currency": "CNY", "minor": minor }),
        Value::Choices(names) => json!(names.first()),
        Value::Text(text) => localised(language, text),
        Value::Plain(text) | Value::Unread(text) => json!(text),
        Value::Ready(json) => json.clone(),
        // What takes the agency, its officers or its calendars is resolved where they are known.
        Value::Committed(_)
        | Value::Term(..)
        | Value::Agency
        | Value::Today
        | Value::Earlier(_)
        | Value::Officers(_) => Json::Null,
    }
}

fn localised(language: &str, text: &str) -> Json {
    json!([{ "lang": language, "text": text }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_row_is_about_decides_what_is_kept_of_the_documents() {
        let named = |kind, code: &str| MappedSubject {
            kind,
            name: "示例".to_owned(),
            code: code.to_owned(),
            other_codes: Vec::new(),
            document: "A1".to_owned(),
        };
        for (kind, code, want, note) in [
            (SubjectKind::Person, "", Kind::Person, "PERSONAL_TO_VAULT"),
            (SubjectKind::Organisation, "92320199MAX0B0FC0W", Kind::IndividualBusiness, "TREAT_AS_PERSONAL"),
            (SubjectKind::IndividualBusiness, "", Kind::IndividualBusiness, "TREAT_AS_PERSONAL"),
            (SubjectKind::Organisation, "91440300100012316L", Kind::Organisation, ""),
        ] {
            let (named, mut notes) = (named(kind, code), Notes::default());
            assert_eq!(
                (kind_of(&named, &mut notes), notes.to_string().as_str()),
                (want, note),
                "{kind:?} {code}"
            );
            let document = subject_json(&named, want).get("document_no").cloned();
            assert_eq!(document, (want == Kind::Person).then(|| json!("A1")), "{kind:?} {code}");
        }
    }
}
