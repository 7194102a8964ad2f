//! The feed: every leaf of the record log as an event, in its one order.
//!
//! Events are CloudEvents 1.0 in their JSON form. Only what is final is in the feed, so nothing is ever taken back; an
//! event's `id` is unique in its chain, and its cursor says where to go on after it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::{ChainId, Height, RecordId};
use crate::layout::closed_list;
use crate::leaf::Leaf;
use crate::merkle::leaf_hash;

/// Most events of one page.
pub const FEED_MAX: usize = 500;
/// Digits of the chain id in a cursor.
const CHAIN_DIGITS: usize = 16;

closed_list!(
    /// What an event is about.
    FeedKind as u8, "kind of event" {
        /// A step in a record's life, signed or by itself.
        Record = 1, "record";
        /// The end of a block.
        Block = 2, "block";
        /// Proof of an offence of a validator.
        Evidence = 3, "evidence";
        /// The agencies' act after a lost quorum.
        Recovery = 4, "recovery";
        /// An entry of the genesis.
        Genesis = 5, "genesis";
    }
);

impl FeedKind {
    /// What a leaf is in the feed.
    pub fn of(leaf: &Leaf) -> Self {
        match leaf {
            Leaf::Signed(_) | Leaf::Automatic(_) | Leaf::Linked(_) | Leaf::Erasure(_) | Leaf::Found(_) => {
                Self::Record
            }
            Leaf::Seal(_) => Self::Block,
            Leaf::Evidence(_) => Self::Evidence,
            Leaf::Recovery(_) => Self::Recovery,
            Leaf::Genesis(_) => Self::Genesis,
        }
    }

    /// The event's type.
    pub fn event_type(self) -> String {
        let what = match self {
            Self::Record => "record.committed",
            Self::Block => "block.finalized",
            Self::Evidence => "evidence",
            Self::Recovery => "recovery",
            Self::Genesis => "genesis",
        };
        format!("city.{what}.v1")
    }
}

/// Where to go on: the next leaf of a chain's record log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    chain: [u8; CHAIN_DIGITS / 2],
    /// The leaf.
    pub leaf: u64,
}

impl Cursor {
    /// The cursor of a leaf.
    pub fn new(chain: ChainId, leaf: u64) -> Self {
        let mut digits = [0; CHAIN_DIGITS / 2];
        digits.copy_from_slice(&chain.digest().as_bytes()[..CHAIN_DIGITS / 2]);
        Self { chain: digits, leaf }
    }

    /// Whether it is one of this chain.
    pub fn is_of(&self, chain: ChainId) -> bool {
        chain.digest().as_bytes().starts_with(&self.chain)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{}", self.leaf)
    }
}

impl FromStr for Cursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bad = || {
            let shown = crate::text::shown(text);
            Refusal::new(Code::BadParameter, format!("cursor {shown} is none that a feed gave"))
        };
        let (chain, leaf) = text.split_once('-').ok_or_else(bad)?;
        let whole = format!("{chain}{}", "0".repeat(64_usize.saturating_sub(chain.len())));
        let digest: Digest = whole.parse().map_err(|_| bad())?;
        let cursor = Self::new(ChainId::new(digest), leaf.parse().map_err(|_| bad())?);
        // One spelling: no signs, no leading zeros, sixteen digits.
        if cursor.to_string() == text { Ok(cursor) } else { Err(bad()) }
    }
}

/// One event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FeedEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// Height and leaf: unique in the chain.
    pub id: String,
    /// `urn:city:<chain id>`.
    pub source: String,
    /// What happened, see [`FeedKind::event_type`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// The record it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<RecordId>,
    /// Block time, RFC 3339 in UTC; absent for entries of the genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Where to go on after this event.
    pub citycursor: String,
    /// The leaf.
    pub data: FeedData,
}

/// The leaf of an event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeedData {
    /// Block height; 0 for entries of the genesis.
    pub height: Height,
    /// Position in the record log.
    pub leaf_index: u64,
    /// Its hash there: what a proof of inclusion begins with.
    pub leaf_hash: Digest,
    /// The leaf, decoded; absent where only hashes were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<Value>,
}

impl FeedEvent {
    /// The event of a leaf. `time_ms` is the time of its block, for leaves that do not say it.
    pub fn new(
        chain: ChainId,
        leaf_index: u64,
        bytes: &[u8],
        leaf: &Leaf,
        time_ms: Option<u64>,
        whole: bool,
    ) -> Self {
        let (height, own) = match leaf {
            Leaf::Signed(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Automatic(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Linked(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Found(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Evidence(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Recovery(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Erasure(leaf) => (leaf.height, Some(leaf.time_ms)),
            Leaf::Seal(leaf) => (leaf.height, None),
            Leaf::Genesis(_) => (Height::ZERO, None),
        };
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{height}:{leaf_index}"),
            source: format!("urn:city:{chain}"),
            event_type: FeedKind::of(leaf).event_type(),
            subject: leaf.record(),
            time: own.or(time_ms).map(rfc3339),
            datacontenttype: "application/json".to_owned(),
            citycursor: Cursor::new(chain, leaf_index.saturating_add(1)).to_string(),
            data: FeedData {
                height,
                leaf_index,
                leaf_hash: leaf_hash(bytes),
                leaf: whole.then(|| leaf.to_json()),
            },
        }
    }
}

/// A time in UTC to the millisecond.
fn rfc3339(time_ms: u64) -> String {
    let (day, of_day) = (Date::of_time(time_ms, 0), time_ms % 86_400_000);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    format!("{day}T{hour:02}:{minute:02}:{:02}.{:03}Z", of_day / 1_000 % 60, of_day % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_392_000_007, "2026-11-23T00:00:00.007Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(time_ms), text);
        }
    }

    #[test]
    fn a_cursor_has_one_spelling_and_one_chain() {
        let chain = ChainId::new(Digest::tagged(b"chain", &[]));
        let cursor = Cursor::new(chain, 42);
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        assert!(cursor.is_of(chain) && !cursor.is_of(ChainId::new(Digest::ZERO)));
        let good = cursor.to_string();
        for bad in ["", "42", "-42", &good[1..], &format!("{good} "), &good.replace("-42", "-042"), "x-1"] {
            assert_eq!(bad.parse::<Cursor>().unwrap_err().code, Code::BadParameter, "{bad}");
        }
    }
}
