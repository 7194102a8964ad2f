//! The smallest valid body of each core type.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::record::{RecordType, SubjectKind};
use serde_json::{Value, json};

use super::subject::Subject;
use super::{Sheet, attachment, registered, text};
use crate::play::device;
use crate::play::form::Args;

/// What an alert says in each language, and nowhere else.
const INFO: [&str; 12] = [
    "lang",
    "category",
    "event",
    "urgency",
    "severity",
    "certainty",
    "level",
    "effective",
    "onset",
    "expires",
    "headline",
    "description",
];
/// The procurement of whoever names none.
const OCID: &str = "ocds-play00";

impl Sheet<'_> {
    /// The body, as far as the step does not say otherwise. What shapes it, and is no member of it, is read here.
    pub(super) fn body(&self, args: &mut Args, subject: &Subject) -> Result<Value, Refusal> {
        let day = self.day.to_string();
        let agency = self.agency.to_string();
        let number = self.label;
        let whom = &subject.json;
        let mut body = match self.record_type {
            RecordType::Licence => {
                let decided = self.said_day(args, "decided_on")?.to_string();
                json!({
                    "subject": whom, "decision_no": number, "decision_title": text("许可决定书"),
                    "licence_class": "ordinary", "content": text("准予许可"), "decided_on": decided,
                    "valid_from": decided, "issuer": agency, "data_source": agency,
                })
            }
            RecordType::Penalty => self.penalty(args, whom)?,
            RecordType::ListEntry => json!({
                "subject": whom, "list_code": number, "list_kind": "serious_dishonesty",
                "grounds": text("列入事由"), "decision_no": number, "decided_on": day, "entry_from": day,
                "exit_conditions": text("移出条件"), "remedies": text("救济途径"), "based_on": [],
                "attachments": [attachment("decision.pdf")],
            }),
            RecordType::Measure => json!({
                "subject": whom, "measure_code": number, "direction": "restriction",
                "matter_code": "sample", "from": day, "relation": text("与失信行为相关"),
            }),
            RecordType::Commitment => {
                let verification = args.text("verification")?.unwrap_or_else(|| "pending".to_owned());
                let found_on = ["kept", "broken"].contains(&verification.as_str()).then(|| day.clone());
                json!({
                    "subject": whom, "kind": "repair", "matter_code": "sample", "text": text("承诺不再发生"),
                    "made_on": day, "verification": verification, "found_on": found_on,
                })
            }
            RecordType::Objection => {
                json!({ "kind": "error", "statement": text("记载有误"), "received_on": day })
            }
            RecordType::Repair => json!({ "evidence": [], "received_on": day }),
            RecordType::Decision => json!({
                "doc_no": number, "title": text("示例决定"), "kind": "decision", "body": agency, "adopted": day,
                "published": day, "in_force": day, "uri": "https://example.org/decision",
                "text": attachment("decision.pdf"), "languages": ["zh-Hans"],
            }),
            RecordType::DocFingerprint => json!({
                "sha256": self.digest("document"), "size": 4096, "media_type": "application/pdf",
                "purpose": "evidence", "custody": text("由当事人提交"), "subject": whom,
            }),
            RecordType::PropertyEvent => self.property_event(args)?,
            RecordType::Device => {
                device::registration_body(self.chain_id, &self.agency, number, args, self.day)?
            }
            RecordType::Alert => self.alert(args)?,
            RecordType::Procurement => self.procurement(args)?,
            RecordType::Certificate => json!({
                "certificate_type": "residence_permit", "issuer": agency,
                "holder_kind": SubjectKind::name(subject.kind), "holder": self.digest("holder"),
                "content": self.digest("content"), "issued_on": day,
                "status_index": self.digest("index").as_bytes()[0],
            }),
            RecordType::StatusList => self.status_list(),
            RecordType::CommitBatch => json!({
                "root": self.digest("root"), "size_class": "<=64", "reporter": agency,
                "day": self.yesterday().to_string(),
            }),
            RecordType::AccessRoot => json!({
                "agency": agency, "day": self.yesterday().to_string(), "queries": 3, "root": self.digest("root"),
            }),
            RecordType::Registered(_) => registered::body(self, whom)?,
            other => {
                let detail = format!("a scenario cannot file {other}; the ledger writes it itself");
                return Err(Refusal::new(Code::UnknownType, detail));
            }
        };
        if self.registered.is_none() {
            body["origin"] = json!({ "system": "play", "method": "manual" });
        }
        Ok(body)
    }

    fn penalty(&self, args: &mut Args, whom: &Value) -> Result<Value, Refusal> {
        let decided = self.said_day(args, "decided_on")?;
        let severity = args.text("severity")?.unwrap_or_else(|| "ordinary".to_owned());
        // The longest that the sample bases allow; minor acts are not published.
        let months = match severity.as_str() {
            "minor" => None,
            "serious" => Some(36),
            _ => Some(12),
        };
        let until = months.and_then(|months| decided.add_months(months)).map(|last| last.to_string());
        let shown = until.is_some() || args.names("publish_until");
        let agency = self.agency.to_string();
        Ok(json!({
            "subject": whom, "decision_no": self.label, "violation_type": text("未按规定公示"),
            "facts": text("经查明，当事人存在上述行为。"), "penalty_kinds": ["fine"],
            "content": text("罚款"), "severity": severity, "procedure": "ordinary", "hearing": "not_required",
            "decided_on": decided.to_string(), "publish_from": shown.then(|| decided.to_string()),
            "publish_until": until, "issuer": agency, "data_source": agency,
        }))
    }

    fn property_event(&self, args: &mut Args) -> Result<Value, Refusal> {
        let event = args.text("event")?.unwrap_or_else(|| "first".to_owned());
        let registered = self.said_day(args, "registered_on")?;
        // Civil Code arts. 220-221, as the registry's software reckons them.
        let lapses = match event.as_str() {
            "objection" => registered.add_days(15),
            "pre_notice" => registered.add_days(90),
            _ => None,
        };
        Ok(json!({
            "event_no": self.label, "event": event, "registered_on": registered.to_string(),
            "extract": self.digest("extract"), "lapses_on": lapses.map(|last| last.to_string()),
        }))
    }

    fn alert(&self, args: &mut Args) -> Result<Value, Refusal> {
        let kind = args.text("msg_type")?.unwrap_or_else(|| "alert".to_owned());
        let sent = args.text("sent")?.unwrap_or_else(|| instant(self.now_ms));
        let mut info = json!({
            "lang": "zh-Hans", "category": "met", "event": "暴雨", "urgency": "expected", "severity": "severe",
            "certainty": "likely", "level": "II", "expires": instant(self.now_ms + 6 * 60 * 60 * 1_000),
            "headline": "暴雨预警", "description": "预计有暴雨。", "instruction": "请减少外出。",
        });
        for name in INFO.into_iter().chain(["instruction"]) {
            if args.names(name) {
                info[name] = args.value(name).unwrap_or_default();
            }
        }
        if let Value::Object(members) = &mut info {
            members.retain(|_, value| !value.is_null());
        }
        let mut body = json!({
            "identifier": self.label, "sender": self.agency.to_string(), "sent": sent, "status": "actual",
            "msg_type": kind, "info": [info], "areas": [{ "desc": "示例区" }],
        });
        if let Some(area) = args.value("area") {
            body["areas"] = json!([{ "desc": area }]);
        }
        Ok(body)
    }

    fn procurement(&self, args: &mut Args) -> Result<Value, Refusal> {
        let tags = match args.value("tags") {
            None => json!(["tender"]),
            Some(Value::String(tag)) => json!([tag]),
            Some(tags) => tags,
        };
        let inherited = self.previous.as_ref().map(|before| before["ocid"].clone());
        let mut body = json!({
            "ocid": inherited.unwrap_or_else(|| json!(format!("{OCID}-{}", self.label))),
            "release_id": self.label, "tags": tags, "date": instant(self.now_ms), "title": text("示例采购"),
            "buyer": self.agency.to_string(), "method": "open", "status": "active",
            "package": self.digest("package"),
        });
        let decided = |tag: &Value| matches!(tag.as_str(), Some("award" | "contract"));
        if body["tags"].as_array().is_some_and(|tags| tags.iter().any(decided)) {
            body["value"] = json!({ "currency": "CNY", "minor": 100_000_000 });
            body["suppliers"] = json!(["uscc:91440300100012316L"]);
        }
        if body["tags"].as_array().is_some_and(|tags| tags.contains(&json!("tenderCancellation"))) {
            body["status"] = json!("cancelled");
        }
        Ok(body)
    }

    fn status_list(&self) -> Value {
        let mut body = json!({
            "list_id": self.label, "issuer": self.agency.to_string(), "purpose": "revocation", "bits": 131_072,
            "encoded": self.digest("list"), "version": 1, "valid_from": instant(self.now_ms), "ttl_s": 300,
        });
        if let Some(before) = &self.previous {
            for name in ["list_id", "purpose", "bits", "ttl_s"] {
                body[name] = before[name].clone();
            }
            body["version"] = json!(before["version"].as_u64().unwrap_or(0) + 1);
        }
        body
    }

    /// The day that a step says, left for the body; else the local day.
    fn said_day(&self, args: &mut Args, name: &str) -> Result<Date, Refusal> {
        Ok(args.date(name)?.unwrap_or(self.day))
    }

    fn yesterday(&self) -> Date {
        self.day.day_number().checked_sub(1).and_then(Date::from_day_number).unwrap_or(self.day)
    }

    /// A digest of the record's own.
    pub(super) fn digest(&self, what: &str) -> Digest {
        Digest::tagged(b"city/play/digest/1", &[what.as_bytes(), self.label.as_bytes()])
    }
}

/// An instant in the zone of the city.
fn instant(time_ms: u64) -> String {
    let local_s = time_ms / 1_000 + 8 * 60 * 60;
    let (hour, minute, second) = (local_s / 3_600 % 24, local_s / 60 % 60, local_s % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}+08:00", Date::of_time(time_ms, 480))
}
