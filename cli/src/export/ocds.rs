//! Procurements as a release package of the Open Contracting Data Standard 1.1.

use chain_core::code::Refusal;
use chain_core::org::{OrgId, Scheme};
use chain_core::record::egov::procurement::{ProcurementBody, ReleaseTag, Stage};
use serde_json::{Value, json};

use super::{Published, number};

/// Who publishes.
pub(crate) struct Publisher<'a> {
    /// Name of the network.
    pub(crate) name: &'a str,
    /// URI of the package.
    pub(crate) uri: String,
    /// When it was made, RFC 3339.
    pub(crate) published: String,
    /// Name of an agency, where it is known.
    pub(crate) name_of: &'a dyn Fn(&OrgId) -> Option<String>,
}

/// The release package of these records, in the order of their dates.
///
/// # Errors
/// `SCHEMA_INVALID` for a body that is no release's.
pub(crate) fn package(records: &[Published], publisher: &Publisher<'_>) -> Result<Value, Refusal> {
    let mut releases = Vec::new();
    for record in records {
        let body: ProcurementBody = record.body_of()?;
        releases.push((body.date.clone(), body.release_id.clone(), release(&body, publisher)));
    }
    releases.sort_by(|one, two| (&one.0, &one.1).cmp(&(&two.0, &two.1)));
    let releases: Vec<Value> = releases.into_iter().map(|(_, _, release)| release).collect();
    Ok(json!({
        "uri": publisher.uri,
        "version": "1.1",
        "publishedDate": publisher.published,
        "publisher": { "name": publisher.name },
        "releases": releases,
    }))
}

fn release(body: &ProcurementBody, publisher: &Publisher<'_>) -> Value {
    let last = body.tags.iter().max().copied();
    let stage = last.and_then(|tag: ReleaseTag| tag.begins().or(tag.wants())).unwrap_or(Stage::Planning);
    let (ocid, status) = (&body.ocid, body.status.name());
    let title = body.title.first();
    let text = title.map(|title| title.text.as_str());
    let value = body.value.as_ref().map(|money| {
        let amount = number(money.minor, money.currency.exponent());
        json!({ "amount": amount, "currency": money.currency })
    });
    let name = |org: &OrgId| (publisher.name_of)(org);
    let mut parties = vec![party(&body.buyer, name(&body.buyer), &["buyer"])];
    parties.extend(body.suppliers.iter().map(|one| party(one, name(one), &["supplier"])));
    let mut tender = json!({ "id": ocid, "title": text, "procurementMethod": body.method.name() });
    let mut release = json!({
        "ocid": ocid,
        "id": body.release_id,
        "date": body.date,
        "tag": body.tags.iter().map(|tag| tag.name()).collect::<Vec<_>>(),
        "initiationType": "tender",
        "language": title.map(|title| title.lang.as_str()),
        "parties": parties,
        "buyer": reference(&body.buyer, name(&body.buyer)),
    });
    let (award, contract) = (format!("{ocid}-award"), format!("{ocid}-contract"));
    let suppliers: Vec<Value> = body.suppliers.iter().map(|one| reference(one, name(one))).collect();
    match stage {
        Stage::Planning => {
            tender["status"] = json!(status);
            if let Some(value) = value {
                release["planning"] = json!({ "budget": { "amount": value } });
            }
        }
        Stage::Tender => {
            tender["status"] = json!(status);
            if let Some(value) = value {
                tender["value"] = value;
            }
        }
        Stage::Award => {
            let mut one = json!({ "id": award, "title": text, "status": status, "suppliers": suppliers });
            if let Some(value) = value {
                one["value"] = value;
            }
            release["awards"] = json!([one]);
        }
        Stage::Contract | Stage::Implementation => {
            let mut one = json!({ "id": contract, "awardID": award, "title": text, "status": status });
            if let Some(value) = value {
                one["value"] = value;
            }
            release["contracts"] = json!([one]);
            if !suppliers.is_empty() {
                release["awards"] = json!([{ "id": award, "title": text, "suppliers": suppliers }]);
            }
        }
    }
    release["tender"] = tender;
    release
}

/// The scheme of org-id.guide and the number.
fn identifier(org: &OrgId) -> (&str, &str) {
    match org.scheme() {
        Scheme::Uscc => ("CN-SCC", org.value()),
        Scheme::Lei => ("XI-LEI", org.value()),
        Scheme::Register => org.value().split_once(':').unwrap_or(("", org.value())),
        Scheme::Ocid => ("XI-OCDS", org.value()),
    }
}

fn reference(org: &OrgId, name: Option<String>) -> Value {
    let (scheme, number) = identifier(org);
    let mut reference = json!({ "id": format!("{scheme}-{number}") });
    if let Some(name) = name {
        reference["name"] = json!(name);
    }
    reference
}

fn party(org: &OrgId, name: Option<String>, roles: &[&str]) -> Value {
    let (scheme, number) = identifier(org);
    let mut party = reference(org, name);
    party["identifier"] = json!({ "scheme": scheme, "id": number });
    party["roles"] = json!(roles);
    party
}
