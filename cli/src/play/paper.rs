//! What a clerk's software would write for a step: the body of a record of a type, filled in where a scenario says nothing.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::id::{ChainId, RecordId};
use chain_core::record::{BasisRef, Class, RecordType, Reference, Relation, SubjectKind};
use serde_json::{Map, Value, json};

use super::device;

/// The secret that the officers of the sample agencies share.
const DEDUPE_KEY: &[u8] = b"dedupe key of the players";

/// What is known when a record is filed.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    pub(crate) chain_id: ChainId,
    pub(crate) agency: chain_core::org::OrgId,
    pub(crate) record_type: RecordType,
    /// The story's own name of the record.
    pub(crate) label: &'a str,
    pub(crate) version: u32,
    pub(crate) args: &'a Map<String, Value>,
    /// The local day.
    pub(crate) day: Date,
    pub(crate) legal_basis: Option<BasisRef>,
    pub(crate) officers: Vec<PublicKey>,
    /// Class and subject of the record that a case is about.
    pub(crate) target: Option<(Class, SubjectKind)>,
    /// Records that the arguments name.
    pub(crate) links: Links,
}

/// Records that a record refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    pub(crate) target: Option<RecordId>,
    pub(crate) based_on: Vec<RecordId>,
    pub(crate) notice: Option<RecordId>,
    pub(crate) commitment: Option<RecordId>,
    pub(crate) prior: Option<RecordId>,
    pub(crate) explains: Option<RecordId>,
}

impl Sheet<'_> {
    /// Header and body.
    pub(crate) fn file(&self) -> Result<Filed, Refusal> {
        let (class, subject_kind) = self.class();
        let key = self.text("idempotency_key").unwrap_or(self.label);
        let mut body = self.body(subject_kind)?;
        // A scenario may speak of a property that no type has.
        if let Some(extra) = self.text("type").and_then(property_named) {
            body[extra] = json!(1);
        }
        let published = (self.record_type == RecordType::Licence && class == Class::P1).then_some(self.day);
        let filing = Filing {
            chain_id: self.chain_id,
            agency: self.agency.clone(),
            dedupe_key: DEDUPE_KEY,
            idempotency_key: key,
            record_type: self.record_type,
            version: self.version,
            class,
            subject_kind,
            legal_basis: self.legal_basis.clone(),
            salt: Digest::tagged(b"city/play/salt/1", &[key.as_bytes(), &self.version.to_be_bytes()]),
            officers: self.officers.clone(),
            refs: self.refs(),
            publication: [published, None, published.and(self.date("publish_until")?)],
            dispose_on: self.date("dispose_on")?,
        };
        build::file(&filing, &body.to_string())
    }

    fn class(&self) -> (Class, SubjectKind) {
        use RecordType as T;
        let subject = self.text("subject").unwrap_or_default();
        let whole = self.text("type").unwrap_or_default();
        match self.record_type {
            T::Decision => (Class::P0, SubjectKind::None),
            T::DocFingerprint => (Class::P0, SubjectKind::None),
            T::Device => (Class::P0, SubjectKind::Thing),
            T::PropertyEvent => (Class::P3, SubjectKind::Thing),
            T::Objection | T::Repair => self.target.unwrap_or((Class::P1, SubjectKind::Organisation)),
            _ if subject.contains("in clear") => (Class::P1, SubjectKind::Person),
            _ if subject.contains("individual business") => (Class::P3, SubjectKind::IndividualBusiness),
            _ if subject.contains("person") || whole.contains("person subject") => {
                (Class::P3, SubjectKind::Person)
            }
            _ => (Class::P1, SubjectKind::Organisation),
        }
    }

    fn refs(&self) -> Vec<Reference> {
        let explains = |record| Reference { rel: Relation::Explains, record };
        self.links.explains.map(explains).into_iter().collect()
    }

    fn body(&self, kind: SubjectKind) -> Result<Value, Refusal> {
        let day = self.day.to_string();
        let agency = self.agency.to_string();
        let number = self.text("decision_no").unwrap_or(self.label);
        let subject = match kind {
            SubjectKind::Organisation => {
                json!({ "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例有限公司" })
            }
            kind => json!({ "kind": kind.name(), "name": "示例" }),
        };
        let mut body = match self.record_type {
            RecordType::Licence => json!({
                "subject": subject, "decision_no": number, "decision_title": text("许可决定书"),
                "licence_class": self.text("licence_class").unwrap_or("ordinary"),
                "content": text("准予许可"), "decided_on": day,
                "valid_from": self.day_of("valid_from")?.unwrap_or_else(|| day.clone()),
                "valid_to": self.day_of("valid_to")?, "issuer": agency, "data_source": agency,
            }),
            RecordType::Penalty => {
                let severity = self.text("severity").unwrap_or("ordinary");
                let until = self.publish_until(severity)?;
                let shown = until.is_some() || self.args.contains_key("publish_until");
                json!({
                    "subject": subject, "decision_no": number, "violation_type": text("未按规定公示"),
                    "facts": text("经查明，当事人存在上述行为。"), "penalty_kinds": ["fine"],
                    "content": text("罚款"), "severity": severity, "procedure": "ordinary",
                    "hearing": self.text("hearing").unwrap_or("not_required"), "decided_on": day,
                    "conduct_on": self.day_of("conduct_on")?, "valid_to": self.day_of("valid_to")?,
                    "publish_from": shown.then_some(&day),
                    "publish_min_until": self.day_of("publish_min_until")?, "publish_until": until,
                    "issuer": agency, "data_source": agency,
                })
            }
            RecordType::ListEntry => json!({
                "subject": subject, "list_code": self.text("list_code").unwrap_or(self.label),
                "list_kind": self.text("list_kind").unwrap_or("serious_dishonesty"),
                "grounds": text("列入事由"), "decision_no": number, "decided_on": day,
                "entry_from": self.day_of("entry_from")?.unwrap_or_else(|| day.clone()),
                "earliest_exit": self.day_of("earliest_exit")?, "entry_until": self.day_of("entry_until")?,
                "exit_conditions": text("移出条件"), "remedies": text("救济途径"),
                "prior_notice": self.links.notice, "based_on": self.links.based_on,
            }),
            RecordType::Measure => json!({
                "subject": subject, "measure_code": self.label, "direction": "restriction",
                "matter_code": "sample", "from": self.day_of("from")?.unwrap_or_else(|| day.clone()),
                "until": self.day_of("until")?, "based_on": self.links.based_on.first(),
                "relation": text("与失信行为相关"), "notice": self.links.notice,
            }),
            RecordType::Commitment => json!({
                "subject": subject, "kind": self.text("kind").unwrap_or("repair"), "matter_code": "sample",
                "text": text("承诺不再发生"), "made_on": day, "verify_by": self.day_of("verify_by")?,
                "verification": self.text("verification").unwrap_or("pending"),
            }),
            RecordType::Objection => json!({
                "target": self.links.target, "kind": self.text("kind").unwrap_or("error"),
                "statement": text("记载有误"), "received_on": day,
            }),
            RecordType::Repair => json!({
                "target": self.links.target, "commitment": self.links.commitment, "received_on": day,
                "evidence": if self.is_given("evidence") { json!([attachment("evidence.pdf")]) } else { json!([]) },
            }),
            RecordType::Decision => json!({
                "doc_no": self.text("doc_no").unwrap_or(self.label), "title": text("示例决定"),
                "kind": self.text("kind").unwrap_or("decision"), "body": agency, "adopted": day,
                "published": day, "in_force": day, "ends": self.day_of("ends")?,
                "uri": "https://example.org/decision", "text": attachment("decision.pdf"),
                "languages": ["zh-Hans"],
            }),
            RecordType::DocFingerprint => json!({
                "sha256": Digest::tagged(b"city/play/document/1", &[self.label.as_bytes()]), "size": 4096,
                "media_type": "application/pdf", "purpose": "evidence", "custody": text("由当事人提交"),
            }),
            RecordType::PropertyEvent => {
                let event = self.text("event").unwrap_or("first");
                // Civil Code arts. 220-221, as the registry's software reckons them.
                let lapses = match event {
                    "objection" => self.day.add_days(15),
                    "pre_notice" => self.day.add_days(90),
                    _ => None,
                };
                json!({
                    "event_no": self.label, "event": event, "registered_on": day,
                    "extract": Digest::tagged(b"city/play/extract/1", &[self.label.as_bytes()]),
                    "prior": self.links.prior,
                    "lapses_on": self.day_of("lapses_on")?.or(lapses.map(|day| day.to_string())),
                })
            }
            RecordType::Device => {
                let device = self.text("device").unwrap_or(self.label);
                device::registration_body(self.chain_id, &self.agency, device, self.args, self.day)
            }
            other => {
                let detail = format!("a scenario cannot file {other}");
                return Err(Refusal::new(Code::UnknownType, detail));
            }
        };
        body["origin"] = json!({ "system": "play", "method": "manual" });
        if let Value::Object(members) = &mut body {
            members.retain(|_, value| !value.is_null());
        }
        Ok(body)
    }

    /// The last day of publication: what the scenario says, else the longest that the sample bases allow.
    fn publish_until(&self, severity: &str) -> Result<Option<String>, Refusal> {
        if self.args.contains_key("publish_until") {
            return self.day_of("publish_until");
        }
        let months = match severity {
            "minor" => return Ok(None),
            "serious" => 36,
            _ => 12,
        };
        Ok(self.day.add_months(months).map(|day| day.to_string()))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.args.get(name).and_then(Value::as_str)
    }

    fn is_given(&self, name: &str) -> bool {
        self.args.get(name).is_some_and(|value| !value.is_null())
    }

    fn date(&self, name: &str) -> Result<Option<Date>, Refusal> {
        let bad = |text: &str| Refusal::new(Code::BadDate, format!("{name} is {text}, wants YYYY-MM-DD"));
        self.text(name).map(|text| text.parse().map_err(|_| bad(text))).transpose()
    }

    fn day_of(&self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.date(name)?.map(|day| day.to_string()))
    }
}

/// The property of which a text says that it has one, as in `a type with a property named score`.
pub(crate) fn property_named(text: &str) -> Option<&str> {
    text.split_once("property named ")?.1.split_whitespace().next()
}

fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn attachment(name: &str) -> Value {
    json!({
        "sha256": Digest::tagged(b"city/play/file/1", &[name.as_bytes()]),
        "size": 1024,
        "media_type": "application/pdf",
        "name": name,
        "class": "P1",
    })
}
