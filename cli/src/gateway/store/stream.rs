//! One stream of the store: the window that is open, where the batches have come to, and what was counted.

use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::RecordId;
use chain_core::org::OrgId;
use chain_core::record::device::Stream;
use chain_core::record::device::readings::Reading;
use serde::{Deserialize, Serialize};

use super::batch::Shelf;

/// A stream as the store knows it between starts: what was declared, and where its batches begin here.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    /// The agency's number of the device.
    pub(crate) device: String,
    /// The device's registration.
    pub(crate) record: RecordId,
    /// The agency.
    pub(crate) agency: OrgId,
    /// What the registration says of the stream.
    pub(crate) stream: Stream,
    /// Where the ledger had come to when the gateway took the stream over.
    pub(crate) base: Base,
}

/// What the next batch of a stream follows on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    /// Number of the last batch; 0 before the first.
    pub(crate) seq: u64,
    /// Its digest; zero before the first.
    pub(crate) prev: Digest,
    /// Time of its last reading; none before the first.
    pub(crate) last_ms: Option<u64>,
}

/// What became of the readings of a stream, counted since the store was made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tally {
    /// Taken, each once.
    pub(crate) taken: u64,
    /// Of those, taken after a later one of the same window; they were put in order.
    pub(crate) out_of_order: u64,
    /// Sent again, the very same.
    pub(crate) doubled: u64,
    /// Not after the last batch: set aside.
    pub(crate) late: u64,
    /// Not readings of this stream: set aside.
    pub(crate) refused: u64,
}

/// A stream at work.
#[derive(Debug)]
pub(super) struct State {
    pub(super) declared: Declared,
    pub(super) key: SecretKey,
    pub(super) shelf: Shelf,
    /// The open window, in the order of time, value and quality, each reading once.
    pub(super) open: Vec<Reading>,
    /// When the first reading of the open window came, by the gateway's clock.
    pub(super) opened_ms: Option<u64>,
    pub(super) tally: Tally,
    /// What the next batch follows on.
    pub(super) tip: Base,
    /// The oldest batch without a receipt.
    pub(super) unconfirmed: u64,
    /// Batches sealed here begin with this number.
    pub(super) first: u64,
    /// The ledger refused the oldest one.
    pub(super) held: bool,
}

impl State {
    /// Puts a reading in its place in the open window; false when the very same is there.
    pub(super) fn insert(&mut self, reading: Reading, now_ms: u64) -> bool {
        let order = |one: &Reading| (one.time_ms, one.value, one.quality);
        match self.open.binary_search_by_key(&order(&reading), order) {
            Ok(_) => false,
            Err(at) => {
                self.tally.taken += 1;
                self.tally.out_of_order += u64::from(at < self.open.len());
                self.open.insert(at, reading);
                self.opened_ms.get_or_insert(now_ms);
                true
            }
        }
    }

    /// Whether a batch that is sealed already ends after this time, or with it.
    pub(super) fn is_closed(&self, time_ms: u64) -> bool {
        self.tip.last_ms.is_some_and(|last| time_ms <= last)
    }
}
