//! Bodies of acts that several tests and benchmarks file, about an invented company.

use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::org::OrgId;
use serde_json::{Value, json};

/// A text in Chinese.
pub fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

/// Where an act came from.
pub fn origin() -> Value {
    json!({ "system": "counter", "method": "manual" })
}

/// The company.
pub fn organisation() -> Value {
    json!({ "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例有限公司" })
}

/// A file of a privacy class.
pub fn attachment(class: &str) -> Value {
    json!({
        "sha256": Digest::tagged(b"file", &[]), "size": 1024, "media_type": "application/pdf", "name": "file.pdf",
        "class": class,
    })
}

/// The fingerprint of a deed.
pub fn fingerprint() -> Value {
    json!({
        "sha256": Digest::tagged(b"deed", &[]), "size": 4096, "media_type": "application/pdf", "purpose": "evidence",
        "custody": text("由当事人提交"), "origin": origin(),
    })
}

/// `credit.penalty`: a fine, published for a year from its decision on.
pub fn penalty(number: &str, issuer: &OrgId, decided: Date) -> Value {
    json!({
        "subject": organisation(), "decision_no": number, "violation_type": text("未按规定公示"),
        "facts": text("经查明，当事人存在上述行为。"), "penalty_kinds": ["fine"], "content": text("罚款"),
        "severity": "ordinary", "procedure": "ordinary", "hearing": "not_required", "decided_on": decided,
        "publish_from": decided, "publish_min_until": decided.add_months(3), "publish_until": decided.add_months(12),
        "issuer": issuer, "data_source": issuer, "origin": origin(),
    })
}

/// `credit.licence`, good for a year.
pub fn licence(number: &str, issuer: &OrgId, decided: Date) -> Value {
    json!({
        "subject": organisation(), "decision_no": number, "decision_title": text("许可决定书"),
        "licence_class": "ordinary", "content": text("准予许可"), "decided_on": decided, "valid_from": decided,
        "valid_to": decided.add_months(12), "issuer": issuer, "data_source": issuer, "origin": origin(),
    })
}

/// `credit.measure`: kept out of tenders for as long as a penalty is published.
pub fn measure(code: &str, from: Date, until: Date, based_on: RecordId, notice: RecordId) -> Value {
    json!({
        "subject": organisation(), "measure_code": code, "direction": "restriction", "matter_code": "tender",
        "from": from, "until": until, "based_on": based_on, "relation": text("与失信行为相关"), "notice": notice,
        "origin": origin(),
    })
}
