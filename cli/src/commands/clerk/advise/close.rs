//! Closing an advisory, and what became of all of them.

use std::collections::BTreeMap;

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, Operation};
use serde_json::{Value, json};

use super::{ADVISORY, Review, advisory_type};
use crate::app::City;
use crate::catalogue::Catalogue;
use crate::client::paths;
use crate::commands::clerk::batch::today;
use crate::commands::clerk::record::list;
use crate::draft::{Before, Draft, Office, shown_header};
use crate::error::{CliError, CliResult};
use crate::filing;
use crate::output::Shape;
use crate::registered;

/// Files the version that closes an advisory: the same content with what the look came to, by whom and when.
pub(super) fn close(city: &City, record: &RecordId, review: Review, key: &str) -> CliResult {
    let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
    let view: RecordView = client.get(&paths::record(record))?;
    let before = Before { header: shown_header(&view)? };
    if view.record_type != ADVISORY || before.header.effective_to.is_some() {
        let detail = format!("record {record} is a {} and not an open {ADVISORY}", view.record_type);
        return Err(CliError::new(Code::BadState, detail).hint(format!("see: city record get {record}")));
    }
    let entry = ring.find(key)?;
    if view.signers.iter().any(|signer| signer.key == entry.public) {
        let detail = format!("key {key} filed advisory {record}");
        return Err(CliError::new(Code::SamePerson, detail));
    }
    let Some(Value::Object(mut body)) = view.body else {
        return Err(CliError::new(Code::BodyMissing, format!("no node shows the body of {record}")));
    };
    let day = today(&genesis);
    for (name, value) in [
        ("review", json!(review.name())),
        ("reviewer", json!(entry.public)),
        ("closed_on", json!(day.to_string())),
    ] {
        body.insert(name.to_owned(), value);
    }
    let agency = before.header.agency.clone();
    let dedupe = ring.dedupe(&agency.to_string())?;
    let office = Office { agency, dedupe: dedupe.secret(), officers: vec![entry.public] };
    let of_type = registered::find(city, &genesis, advisory_type()?, day, true)?;
    let basis = before.header.legal_basis.as_ref().map(|basis| basis.id.clone()).unwrap_or_default();
    let draft = Draft::of_row(ADVISORY, &basis, Some(before.header.class), body);
    let (header, body) = draft.build(
        &Catalogue::of(&genesis)?,
        &|_| Ok(of_type.clone()),
        &office,
        None,
        Some(&before),
        day,
    )?;
    let step = Operation::Amend { header: Box::new(header), reason: AmendReason::Clerical };
    let submission = filing::sign(&genesis, &*ring.secret(entry)?, vec![(step, Some(body))], false);
    let filed = filing::file(&client, &genesis, &submission, None, city.manners.timeout)?;
    filing::show(&city.out, std::slice::from_ref(&filed))?;
    filed.verdict()
}

/// Counts advisories by model and by what became of them.
pub(super) fn report(city: &City, agency: Option<String>, shape: Shape) -> CliResult {
    let client = city.client()?;
    let filter = [("type", Some(ADVISORY.to_owned())), ("agency", agency)];
    let mut models: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for listed in list(&client, &filter, usize::MAX)?.items {
        let view: RecordView = client.get(&paths::record(&listed.record))?;
        let body = view.body.unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or("not shown").to_owned();
        *models.entry(text("model")).or_default().entry(text("review")).or_default() += 1;
    }
    let rows: Vec<Value> = models
        .into_iter()
        .map(|(model, reviews)| {
            let mut row = json!({
                "model": model,
                "advisories": reviews.values().sum::<u64>(),
                "open": reviews.get("open").copied().unwrap_or(0),
            });
            for review in Review::ALL {
                row[review.name()] = json!(reviews.get(review.name()).copied().unwrap_or(0));
            }
            row["confirmed_pct"] = json!(confirmed_pct(&reviews));
            row
        })
        .collect();
    city.out.list(shape, &rows)
}

/// Confirmed advisories among those that were closed, per cent with one place, rounded down; nothing while none is closed.
fn confirmed_pct(reviews: &BTreeMap<String, u64>) -> Option<String> {
    let of = |review: Review| reviews.get(review.name()).copied().unwrap_or(0);
    let closed: u64 = Review::ALL.into_iter().map(of).sum();
    let thousandths = (of(Review::Confirmed) * 1_000).checked_div(closed)?;
    Some(format!("{}.{}", thousandths / 10, thousandths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_confirmations_is_among_closed_advisories() {
        let rate = |counts: &[(&str, u64)]| {
            confirmed_pct(&counts.iter().map(|(review, count)| ((*review).to_owned(), *count)).collect())
        };
        let counts = [("open", 9), ("confirmed", 2), ("false_alarm", 3), ("no_action", 1)];
        assert_eq!(rate(&counts).as_deref(), Some("33.3"));
        assert_eq!(rate(&[("false_alarm", 4)]).as_deref(), Some("0.0"));
        assert_eq!(rate(&[("open", 4)]), None);
    }
}
