//! Where the parts of a record's life are read from, and the record log as a checkpoint has it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chain_core::api::{HistoryEntry, RawBlock};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::id::{Height, RecordId};
use chain_core::leaf::{Leaf, LeafKind, SealLeaf};
use chain_core::merkle::tile::{Bundle, Tile, Tiles, WIDTH};
use chain_core::merkle::{Frontier, inclusion_path, leaf_hash, verify_inclusion};
use chain_core::state::EntryName;
use chain_core::state_proof::StateProof;

use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::auditor::audit::fetch;
use crate::commands::auditor::audit::finding::{Finding, Grade};
use crate::commands::auditor::audit::verify::Stopped;
use crate::commands::auditor::proved;
use crate::error::{CliError, CliResult};
use crate::interrupt;

/// Most places of a record's leaves that a source may name.
const PLACES_MAX: usize = 65_536;
/// Most leaves of one block: its operations, automatic steps, and some.
const BLOCK_LEAVES_MAX: u64 = 65_536;

/// Whoever has the parts. Nothing that it gives is believed.
pub(crate) trait Source {
    /// Places of a record's leaves in the log, ascending.
    fn places(&self, record: &RecordId) -> CliResult<Vec<u64>>;
    /// A bundle of leaves.
    fn bundle(&self, bundle: Bundle) -> CliResult<Vec<u8>>;
    /// A tile of hashes.
    fn tile(&self, tile: Tile) -> CliResult<Vec<u8>>;
    /// The proof about an entry of the state after a block, or the newest that can be proved.
    fn state(&self, entry: &EntryName, at: Option<Height>) -> CliResult<StateProof>;
    /// A whole block.
    fn block(&self, height: Height) -> CliResult<RawBlock>;
}

/// The nodes of a context.
pub(crate) struct Nodes<'a> {
    /// Manners, for patience.
    pub(crate) city: &'a City,
    /// The nodes.
    pub(crate) client: &'a Client,
}

impl Source for Nodes<'_> {
    fn places(&self, record: &RecordId) -> CliResult<Vec<u64>> {
        let path = |size, cursor: Option<&str>| paths::history(record, size, cursor);
        let listed = self.client.list::<HistoryEntry>(PLACES_MAX, path)?;
        if listed.goes_on {
            let detail = format!("over {PLACES_MAX} steps of record {record}");
            return Err(CliError::new(Code::SizeLimit, detail));
        }
        Ok(listed.items.iter().map(|entry| entry.leaf_index).collect())
    }

    fn bundle(&self, bundle: Bundle) -> CliResult<Vec<u8>> {
        self.client.get_bytes(&format!("/{}", bundle.path()))
    }

    fn tile(&self, tile: Tile) -> CliResult<Vec<u8>> {
        self.client.get_bytes(&format!("/{}", tile.path()))
    }

    fn state(&self, entry: &EntryName, at: Option<Height>) -> CliResult<StateProof> {
        proved::state_proof(self.city, self.client, entry, at)
    }

    fn block(&self, height: Height) -> CliResult<RawBlock> {
        fetch::decode(height, &self.client.get_bytes(&paths::raw_block(height))?)
    }
}

/// The record log under one checkpoint: a leaf comes out of it only with its proof.
pub(super) struct Log<'a, S> {
    source: &'a S,
    size: u64,
    root: Digest,
    bundles: RefCell<BTreeMap<u64, Vec<Vec<u8>>>>,
    tiles: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Where the leaves of every record stand, once the whole log was read.
    whole: Option<BTreeMap<RecordId, Vec<u64>>>,
}

impl<'a, S: Source> Log<'a, S> {
    pub(super) fn new(source: &'a S, size: u64, root: Digest) -> Self {
        let (bundles, tiles) = (RefCell::default(), RefCell::default());
        Self { source, size, root, bundles, tiles, whole: None }
    }

    /// Whether the whole log was read.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Reads every leaf, hashes them to the root, and notes whose they are.
    pub(super) fn read_whole(&mut self, mut progress: impl FnMut(u64)) -> Result<(), Stopped> {
        let mut whole: BTreeMap<RecordId, Vec<u64>> = BTreeMap::new();
        let mut log = Frontier::default();
        for index in 0..self.size.div_ceil(WIDTH) {
            if interrupt::asked() {
                return Err(
                    CliError::new(Code::Interrupted, format!("stopped at leaf {}", log.size())).into()
                );
            }
            for bytes in self.read_bundle(index)? {
                let place = log.size();
                log.push(&leaf_hash(&bytes));
                if let Some(record) = decode(place, &bytes)?.record() {
                    whole.entry(record).or_default().push(place);
                }
            }
            progress(log.size());
        }
        if log.root() != self.root {
            let detail = format!("the leaves lead to root {}, a quorum cosigned {}", log.root(), self.root);
            return Err(wrong(None, Code::ProofInvalid, detail));
        }
        self.whole = Some(whole);
        Ok(())
    }

    /// Places of a record's leaves up to one, ascending. Where the whole log was read, the source must have named them
    /// all.
    pub(super) fn places(&self, record: &RecordId, last: u64) -> Result<Vec<u64>, Stopped> {
        let named: Vec<u64> =
            self.source.places(record)?.into_iter().filter(|place| *place <= last).collect();
        if !named.is_sorted_by(|one, two| one < two) {
            let detail = format!("record {record}: its steps are named out of order: {named:?}");
            return Err(wrong(None, Code::ProofInvalid, detail));
        }
        let Some(whole) = &self.whole else { return Ok(named) };
        let all = whole.get(record).into_iter().flatten().copied().filter(|place| *place <= last);
        let all: Vec<u64> = all.collect();
        if all == named {
            return Ok(named);
        }
        let hidden: Vec<u64> = all.iter().copied().filter(|place| !named.contains(place)).collect();
        let detail =
            format!("record {record}: the log holds its leaves {hidden:?}, the node does not name them");
        Err(wrong(None, Code::LeafMismatch, detail))
    }

    /// A leaf whose path leads to the root, and how many hashes the path has.
    pub(super) fn leaf(&self, place: u64) -> Result<(Vec<u8>, Leaf, usize), Stopped> {
        let bytes = self.bytes(place)?;
        let tiles = Tiles::new(self.size, |tile: Tile| self.tile(tile));
        let path = inclusion_path(&tiles, place, self.size)
            .map_err(|error| wrong(None, Code::ProofInvalid, format!("the node's tiles: {error}")))?;
        if !verify_inclusion(&leaf_hash(&bytes), &path, &self.root) {
            let detail = format!("leaf {place} does not lead to the root of {} leaves", self.size);
            return Err(wrong(None, Code::ProofInvalid, detail));
        }
        let leaf = decode(place, &bytes)?;
        Ok((bytes, leaf, path.hashes.len()))
    }

    /// The seal that ends the leaves of a block, found from one of them on.
    pub(super) fn seal_after(&self, place: u64) -> Result<SealLeaf, Stopped> {
        for at in place..self.size.min(place.saturating_add(BLOCK_LEAVES_MAX)) {
            if self.bytes(at)?.get(1) == Some(&LeafKind::Seal.number())
                && let (_, Leaf::Seal(seal), _) = self.leaf(at)?
            {
                return Ok(seal);
            }
        }
        Err(wrong(None, Code::ProofInvalid, format!("no seal follows on leaf {place}")))
    }

    fn bytes(&self, place: u64) -> Result<Vec<u8>, Stopped> {
        if place >= self.size {
            let detail = format!("leaf {place} of a log of {} leaves", self.size);
            return Err(wrong(None, Code::ProofInvalid, detail));
        }
        let index = place / WIDTH;
        if !self.bundles.borrow().contains_key(&index) {
            let bundle = self.read_bundle(index)?;
            self.bundles.borrow_mut().insert(index, bundle);
        }
        let within = usize::try_from(place % WIDTH).unwrap_or(usize::MAX);
        let found = self.bundles.borrow().get(&index).and_then(|bundle| bundle.get(within).cloned());
        found.ok_or_else(|| wrong(None, Code::ProofInvalid, format!("leaf {place} is missing in its bundle")))
    }

    fn read_bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, Stopped> {
        let bundle = Bundle::of_size(index, self.size)
            .ok_or_else(|| wrong(None, Code::ProofInvalid, format!("no bundle {index}")))?;
        let bytes = self.source.bundle(bundle)?;
        let entries = bundle
            .decode(&bytes)
            .map_err(|error| wrong(None, Code::ProofInvalid, format!("{}: {error}", bundle.path())))?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    fn tile(&self, tile: Tile) -> CliResult<Vec<u8>> {
        let path = tile.path();
        if let Some(known) = self.tiles.borrow().get(&path) {
            return Ok(known.clone());
        }
        let bytes = self.source.tile(tile)?;
        self.tiles.borrow_mut().insert(path, bytes.clone());
        Ok(bytes)
    }
}

fn decode(place: u64, bytes: &[u8]) -> Result<Leaf, Stopped> {
    Leaf::decode(bytes).map_err(|error| wrong(None, Code::ReceiptMalformed, format!("leaf {place}: {error}")))
}

/// Something that does not hold together; nobody's signature says so.
pub(super) fn wrong(height: Option<Height>, code: Code, detail: impl Into<String>) -> Stopped {
    Stopped::Found(Box::new(Finding::of(Grade::Wrong, height, code, detail)), None)
}
