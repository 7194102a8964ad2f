//! What agencies owe by a day of the law: as a list, and as a calendar that office programs subscribe to.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::api::{DeadlineView, Page};
use chain_core::code::{Code, Refusal};
use chain_core::org::OrgId;
use serde::Deserialize;

use super::Api;
use super::answer::{Freshness, bytes_as, json};
use super::problem::ApiError;
use super::record::{PageParams, page_size, registry};
use super::request::Params;
use crate::handle::PAGE_MAX;

/// Most deadlines of one calendar file.
const EVENTS_MAX: usize = 5_000;

/// Which deadlines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadlineParams {
    agency: Option<String>,
    #[serde(default)]
    overdue: bool,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Whose deadlines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedParams {
    agency: Option<String>,
}

fn agency(text: Option<&str>) -> Result<Option<OrgId>, ApiError> {
    Ok(text.map(str::parse).transpose()?)
}

/// `GET /v1/deadlines`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(params): Params<DeadlineParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (agency, limit) = (agency(params.agency.as_deref())?, page_size(params.limit)?);
    let page = api
        .read(move |node| node.deadlines(agency.as_ref(), params.overdue, params.cursor.as_deref(), limit))
        .await?;
    json(&page, Freshness::Revalidate, &headers)
}

/// `GET /v1/calendars`.
pub(super) async fn calendars(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    registry(&api, "gov.calendar", params, &headers).await
}

/// `GET /v1/deadlines.ics`.
pub(super) async fn feed(
    State(api): State<Arc<Api>>,
    Params(params): Params<FeedParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let agency = agency(params.agency.as_deref())?;
    let items =
        api.read(move |node| all(|cursor| node.deadlines(agency.as_ref(), false, cursor, PAGE_MAX))).await?;
    let text = calendar(&items);
    Ok(bytes_as("text/calendar; charset=utf-8", text.into_bytes(), Freshness::Revalidate, &headers))
}

/// All pages of a list, or `SIZE_LIMIT` where a calendar cannot hold them: half a calendar would look like a whole one.
fn all(
    page: impl Fn(Option<&str>) -> Result<Page<DeadlineView>, Refusal>,
) -> Result<Vec<DeadlineView>, Refusal> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let next = page(cursor.as_deref())?;
        items.extend(next.items);
        if items.len() > EVENTS_MAX {
            let detail = format!(
                "more than {EVENTS_MAX} open deadlines, a calendar holds at most {EVENTS_MAX}; ask for those of \
                 one agency with `agency`, or for pages of /v1/deadlines"
            );
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        cursor = next.next_cursor;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

/// An iCalendar object (RFC 5545): one all-day event on the last day of each deadline that nobody has met.
fn calendar(items: &[DeadlineView]) -> String {
    let mut out = String::new();
    for text in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//City Ledger//Deadlines//EN", "METHOD:PUBLISH"] {
        line(&mut out, text);
    }
    for item in items.iter().filter(|item| item.met_on.is_none()) {
        let compact = |date: chain_core::date::Date| date.to_string().replace('-', "");
        let (step, unit) = (item.step.replace('_', " "), item.unit.replace('_', " "));
        let provisional = if item.provisional { "; provisional, a calendar is missing" } else { "" };
        line(&mut out, "BEGIN:VEVENT");
        line(&mut out, &format!("UID:{}-{}-{}@city-ledger", item.record, item.step, item.from));
        // The term began on that day; the stamp must not change from one answer to the next.
        line(&mut out, &format!("DTSTAMP:{}T000000Z", compact(item.from)));
        line(&mut out, &format!("DTSTART;VALUE=DATE:{}", compact(item.due_on)));
        line(&mut out, &format!("SUMMARY:{}", escaped(&format!("{step} due{provisional}"))));
        let owed = item.agency.as_deref().unwrap_or_default();
        let detail = format!(
            "{owed} owes the step by the end of this day: {} {unit} from {}. Record {}",
            item.days, item.from, item.record
        );
        line(&mut out, &format!("DESCRIPTION:{}", escaped(&detail)));
        line(&mut out, "TRANSP:TRANSPARENT");
        line(&mut out, "END:VEVENT");
    }
    line(&mut out, "END:VCALENDAR");
    out
}

/// A text value (RFC 5545 section 3.3.11).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace('\n', "\\n")
}

/// Writes a content line, folded so that none has more than 75 octets (RFC 5545 section 3.1).
fn line(out: &mut String, text: &str) {
    let mut width = 0;
    for c in text.chars() {
        if width + c.len_utf8() > 75 {
            out.push_str("\r\n ");
            width = 1;
        }
        // Writing to a text cannot fail.
        let _ = out.write_char(c);
        width += c.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use chain_core::crypto::Digest;
    use chain_core::id::{Height, RecordId};

    use super::*;

    fn item(met: bool, provisional: bool) -> DeadlineView {
        let date = |text: &str| text.parse().unwrap();
        DeadlineView {
            agency: Some("uscc:11320100MAXP23YC3L".to_owned()),
            record: RecordId::new(Digest::tagged(b"record", &[])),
            step: "objection_decision".to_owned(),
            from: date("2026-09-24"),
            days: 3,
            unit: "working_days".to_owned(),
            due_on: date("2026-09-30"),
            provisional,
            met_on: met.then(|| date("2026-09-25")),
            overdue: false,
            working_days_late: 0,
        }
    }

    /// A list of so many deadlines.
    fn pages(count: usize) -> impl Fn(Option<&str>) -> Result<Page<DeadlineView>, Refusal> {
        move |cursor| {
            let from: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let end = count.min(from + PAGE_MAX);
            let next_cursor = (end < count).then(|| end.to_string());
            Ok(Page { items: vec![item(false, false); end - from], next_cursor, height: Height::new(1) })
        }
    }

    #[test]
    fn a_calendar_holds_all_deadlines_or_there_is_none() {
        for count in [0, 1, PAGE_MAX, PAGE_MAX + 1, EVENTS_MAX] {
            assert_eq!(all(pages(count)).unwrap().len(), count);
        }
        let refusal = all(pages(EVENTS_MAX + 1)).unwrap_err();
        assert_eq!(refusal.code, Code::SizeLimit);
        assert!(refusal.detail.contains("`agency`"), "{refusal}");
    }

    #[test]
    fn the_calendar_has_one_all_day_event_for_each_open_deadline() {
        let text = calendar(&[item(false, true), item(true, false)]);
        assert_eq!(text.matches("BEGIN:VEVENT\r\n").count(), 1);
        assert!(text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:"));
        assert!(text.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"));
        assert!(text.contains("DTSTART;VALUE=DATE:20260930\r\n"));
        assert!(text.contains("SUMMARY:objection decision due\\; provisional\\, a calendar is missing\r\n"));
        assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
        let unfolded = text.replace("\r\n ", "");
        let uid = format!("UID:{}-objection_decision-2026-09-24@city-ledger", item(false, false).record);
        assert!(unfolded.contains(&uid), "{unfolded}");
        assert!(unfolded.contains("3 working days from 2026-09-24."));
    }

    #[test]
    fn long_lines_are_folded_between_characters() {
        let mut out = String::new();
        line(&mut out, &"市".repeat(60));
        let lines: Vec<&str> = out.trim_end().split("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= 75));
        assert_eq!(out.replace("\r\n ", "").trim_end(), "市".repeat(60));
    }
}
