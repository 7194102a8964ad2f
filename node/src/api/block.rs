//! Blocks: for people, and whole for an auditor.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::api::RawBlock;
use chain_core::code::{Code, Refusal};
use chain_core::codec;
use chain_core::crypto::Digest;
use chain_core::id::Height;
use serde::Deserialize;

use super::Api;
use super::answer::{Freshness, bytes_as, json};
use super::problem::ApiError;
use super::record::{Nothing, PageParams, page_size};
use super::request::{Params, Segment, parse};
use crate::handle::{Node, RAW_BLOCKS_MAX};

/// Names one block.
#[derive(Clone, Copy, Debug)]
enum BlockId {
    Latest,
    Height(Height),
    Digest(Digest),
}

impl BlockId {
    fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "latest" => Ok(Self::Latest),
            digest if digest.len() == 64 => Ok(Self::Digest(parse("the block's digest", digest)?)),
            height => Ok(Self::Height(Height::new(parse("the block's height", height)?))),
        }
    }

    fn height(self, node: &dyn Node) -> Result<Height, Refusal> {
        match self {
            Self::Latest => Ok(node.height()),
            Self::Height(height) => Ok(height),
            Self::Digest(digest) => node.height_of(digest),
        }
    }
}

/// `GET /v1/blocks/{height|digest|latest}`.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = BlockId::parse(&id)?;
    let block = api.read(move |node| node.block(id.height(node)?)).await?;
    let fixed = block.certificate.is_some() && !matches!(id, BlockId::Latest);
    json(&block, if fixed { Freshness::Immutable } else { Freshness::Revalidate }, &headers)
}

/// `GET /v1/blocks`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(page): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = page_size(page.limit)?;
    let page = api.read(move |node| node.blocks(page.cursor.as_deref(), limit)).await?;
    json(&page, Freshness::Revalidate, &headers)
}

/// `GET /v1/blocks/{height|digest|latest}/raw`.
pub(super) async fn raw(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = BlockId::parse(&id)?;
    let bytes = api.read(move |node| {
        let height = id.height(node)?;
        let blocks = node.raw_blocks(height, 1)?;
        let block = blocks.into_iter().find(|block| block.header.height == height);
        encode(&block.ok_or_else(|| {
            Refusal::new(Code::NotYetExecuted, format!("block {height} is not executed here"))
        })?)
    });
    Ok(bytes_as("application/octet-stream", bytes.await?, Freshness::Revalidate, &headers))
}

fn encode(block: &RawBlock) -> Result<Vec<u8>, Refusal> {
    codec::encode(block).map_err(|error| Refusal::new(Code::Internal, error.to_string()))
}

/// Which raw blocks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParams {
    from: u64,
    limit: Option<usize>,
}

/// `GET /v1/raw-blocks`.
pub(super) async fn raw_list(
    State(api): State<Arc<Api>>,
    Params(params): Params<RawParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = match params.limit.unwrap_or(RAW_BLOCKS_MAX) {
        limit @ 1..=RAW_BLOCKS_MAX => limit,
        limit => {
            let detail = format!("limit is {limit}, wants 1 to {RAW_BLOCKS_MAX}");
            return Err(ApiError::new(Code::BadParameter, detail));
        }
    };
    let blocks = api.read(move |node| node.raw_blocks(Height::new(params.from), limit)).await?;
    json(&blocks, Freshness::Revalidate, &headers)
}
