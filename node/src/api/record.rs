//! Records, their history and receipts, and the registries that are records too.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::Response;
use chain_core::code::Code;
use chain_core::date::Date;
use chain_core::id::{Height, RecordId};
use chain_core::text::shown;
use serde::Deserialize;

use super::Api;
use super::answer::{Freshness, bytes_as, json};
use super::problem::ApiError;
use super::request::{Params, Segment, parse};
use crate::handle::{AskedMoment, PAGE_MAX, ReceiptForm, RecordFilter};

/// Items of a page when the client does not say.
const PAGE_DEFAULT: usize = 50;

/// How many items a page shall have.
pub(super) fn page_size(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        size @ 1..=PAGE_MAX => Ok(size),
        size => Err(ApiError::new(Code::BadParameter, format!("limit is {size}, wants 1 to {PAGE_MAX}"))),
    }
}

/// A day as a parameter.
fn day(name: &str, text: &str) -> Result<Date, ApiError> {
    text.parse::<Date>().map_err(|error| {
        let detail = format!("{name}: {}: {error}; wants YYYY-MM-DD", shown(text));
        ApiError::new(Code::BadDate, detail)
    })
}

/// No parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Which moment of a record's life; none for how it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MomentParams {
    at: Option<u64>,
    as_of: Option<String>,
    known_at: Option<String>,
}

impl MomentParams {
    fn moment(&self) -> Result<Option<AskedMoment>, ApiError> {
        let refuse = |detail: &str| Err(ApiError::new(Code::BadParameter, detail));
        match (self.at, &self.as_of, &self.known_at) {
            (None, None, None) => Ok(None),
            (Some(0), None, None) => refuse("at is 0, wants the height of a block: 1 or more"),
            (Some(height), None, None) => Ok(Some(AskedMoment::At(Height::new(height)))),
            (None, Some(as_of), known_at) => {
                let as_of = day("as_of", as_of)?;
                let known_at = known_at.as_deref().map(|text| day("known_at", text)).transpose()?;
                Ok(Some(AskedMoment::AsOf { day: as_of, known_at: known_at.unwrap_or(as_of) }))
            }
            (Some(_), _, _) => refuse("at names both clocks; give it without as_of and known_at"),
            (None, None, Some(_)) => refuse(
                "known_at says how far the ledger's knowledge counts; as_of must say which day is asked about",
            ),
        }
    }
}

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<usize>,
}

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    agency: Option<String>,
    #[serde(rename = "type")]
    record_type: Option<String>,
    status: Option<String>,
    from: Option<String>,
    to: Option<String>,
    number: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

impl ListParams {
    fn filter(self) -> Result<RecordFilter, ApiError> {
        let parsed = |name, text: &Option<String>| text.as_deref().map(|text| day(name, text)).transpose();
        let (from, to) = (parsed("from", &self.from)?, parsed("to", &self.to)?);
        let Self { agency, record_type, status, number, .. } = self;
        Ok(RecordFilter { agency, record_type, status, from, to, number })
    }
}

/// Which receipt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptParams {
    version: Option<u32>,
    form: Option<String>,
}

/// `GET /v1/records/{id}`.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(params): Params<MomentParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record: RecordId = parse("the record id", &id)?;
    if let Some(moment) = params.moment()? {
        let view = api.read(move |node| node.timeline(record, moment)).await?;
        return json(&view, Freshness::Revalidate, &headers);
    }
    json(&api.read(move |node| node.record(record)).await?, Freshness::Revalidate, &headers)
}

/// `GET /v1/records/{id}/history`.
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(page): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record: RecordId = parse("the record id", &id)?;
    let limit = page_size(page.limit)?;
    let page = api.read(move |node| node.history(record, page.cursor.as_deref(), limit)).await?;
    json(&page, Freshness::Revalidate, &headers)
}

/// `GET /v1/records/{id}/receipt`.
pub(super) async fn receipt(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(params): Params<ReceiptParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record: RecordId = parse("the record id", &id)?;
    let form = form(params.form.as_deref(), &headers)?;
    let bytes = api.read(move |node| node.receipt(record, params.version, form)).await?;
    let media_type = match form {
        ReceiptForm::Bundle => "application/json",
        ReceiptForm::TlogProof => TLOG_PROOF,
        ReceiptForm::Cose => COSE,
    };
    Ok(bytes_as(media_type, bytes, Freshness::Revalidate, &headers))
}

const TLOG_PROOF: &str = "application/vnd.c2sp.tlog-proof";
/// The file holds COSE messages and the leaf, so it is no COSE message itself.
const COSE: &str = "application/cbor";

/// The form asked for: by parameter, else by `Accept`, else the bundle.
fn form(param: Option<&str>, headers: &HeaderMap) -> Result<ReceiptForm, ApiError> {
    match param {
        Some("bundle" | "json") => return Ok(ReceiptForm::Bundle),
        Some("tlog-proof") => return Ok(ReceiptForm::TlogProof),
        Some("cose") => return Ok(ReceiptForm::Cose),
        Some(_) => return Err(ApiError::new(Code::BadParameter, "form wants bundle, tlog-proof or cose")),
        None => {}
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media_types =
        accepted.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
    Ok(match media_types.find(|one| ["application/json", TLOG_PROOF, "text/plain", COSE].contains(one)) {
        Some(TLOG_PROOF | "text/plain") => ReceiptForm::TlogProof,
        Some(COSE) => ReceiptForm::Cose,
        _ => ReceiptForm::Bundle,
    })
}

/// `GET /v1/records`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (cursor, limit) = (params.cursor.clone(), params.limit);
    records(&api, params.filter()?, cursor, limit, &headers).await
}

/// `GET /v1/agencies`.
pub(super) async fn agencies(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    registry(&api, "gov.agency", params, &headers).await
}

/// `GET /v1/members`.
pub(super) async fn members(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    registry(&api, "gov.member", params, &headers).await
}

/// `GET /v1/legal-bases`.
pub(super) async fn legal_bases(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    registry(&api, "gov.legal_basis", params, &headers).await
}

/// `GET /v1/schemas`.
pub(super) async fn schemas(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    registry(&api, "gov.schema", params, &headers).await
}

pub(super) async fn registry(
    api: &Arc<Api>,
    record_type: &str,
    page: PageParams,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let filter = RecordFilter { record_type: Some(record_type.to_owned()), ..RecordFilter::default() };
    records(api, filter, page.cursor, page.limit, headers).await
}

async fn records(
    api: &Arc<Api>,
    filter: RecordFilter,
    cursor: Option<String>,
    limit: Option<usize>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let limit = page_size(limit)?;
    let page = api.read(move |node| node.records(&filter, cursor.as_deref(), limit)).await?;
    json(&page, Freshness::Revalidate, headers)
}
