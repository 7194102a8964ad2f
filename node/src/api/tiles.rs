//! The record log for any client of C2SP tlog-tiles: `/checkpoint` and `/tile/...`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::code::Code;

use super::Api;
use super::answer::{Freshness, bytes_as};
use super::problem::ApiError;
use super::request::Segment;

/// Leaves or hashes of a full tile.
const WIDTH: u16 = 256;
/// Highest level a log of 2^48 leaves has.
const LEVEL_MAX: u8 = 5;

/// `GET /checkpoint`.
pub(super) async fn checkpoint(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let text = api.read(|node| node.checkpoint()).await?;
    Ok(bytes_as("text/plain; charset=utf-8", text.into_bytes(), Freshness::Revalidate, &headers))
}

/// `GET /tile/<L>/<N>[.p/<W>]` and `/tile/entries/<N>[.p/<W>]`.
pub(super) async fn tile(
    State(api): State<Arc<Api>>,
    Segment(path): Segment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tile = Tile::parse(&path).ok_or_else(|| ApiError::new(Code::NotFound, "no path of a tile"))?;
    let bytes = api.read(move |node| match tile.level {
        Some(level) => node.tile(level, tile.index, tile.width),
        None => node.entries(tile.index, tile.width),
    });
    Ok(bytes_as("application/octet-stream", bytes.await?, Freshness::Immutable, &headers))
}

/// Names one tile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Tile {
    /// Level of hashes; `None` for a bundle of entries.
    level: Option<u8>,
    index: u64,
    width: u16,
}

impl Tile {
    fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level = match level {
            "entries" => None,
            digits => Some(number::<u8>(digits)?).filter(|&level| level <= LEVEL_MAX).map(Some)?,
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, number::<u16>(width).filter(|width| (1..WIDTH).contains(width))?),
            None => (rest, WIDTH),
        };
        Some(Self { level, index: parse_index(index)?, width })
    }
}

/// Groups of three digits, all but the last marked by `x`: `x001/x234/067`.
fn parse_index(text: &str) -> Option<u64> {
    let mut groups = text.split('/').peekable();
    let mut index = 0_u64;
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: u64 = digits.parse().ok()?;
        if first && value == 0 && groups.peek().is_some() {
            return None;
        }
        first = false;
        index = index.checked_mul(1_000)?.checked_add(value)?;
    }
    Some(index)
}

/// Decimal without sign or leading zeros.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_tiles_have_one_spelling() {
        let tile = |level, index, width| Some(Tile { level, index, width });
        let cases = [
            ("0/000", tile(Some(0), 0, 256)),
            ("1/x001/x234/067", tile(Some(1), 1_234_067, 256)),
            ("entries/042.p/17", tile(None, 42, 17)),
            ("0/000.p/255", tile(Some(0), 0, 255)),
            ("0/000.p/256", None),
            ("0/000.p/0", None),
            ("0/000.p/01", None),
            ("0/0", None),
            ("0/x000/001", None),
            ("0/001/002", None),
            ("00/001", None),
            ("6/000", None),
            ("0/+01", None),
            ("0/", None),
            ("entries", None),
            ("0/x999/x999/x999/x999/x999/x999/x999/999", None),
        ];
        for (path, want) in cases {
            assert_eq!(Tile::parse(path), want, "{path}");
        }
    }
}
