//! Opening a store: after a stop, after a crash at any point, and for the first time.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{PublicKey, SecretKey};
use chain_core::id::ChainId;
use chain_core::record::device::batch::BatchPreimage;
use chain_core::record::device::readings::Reading;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::batch::{Part, Shelf};
use super::lines::Lines;
use super::stream::{Base, Declared, State, Tally};
use super::{Aside, Bounds, Entry, STREAMS_MAX, Store};
use crate::error::{CliError, CliResult};
use crate::files;

/// Name and version of the list of streams.
const SCHEMA: &str = "city/v1/gateway-streams";

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema: String,
    chain_id: ChainId,
    streams: Vec<Declared>,
}

/// A stream to open, with the key that signs its batches from now on.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The stream.
    pub(crate) declared: Declared,
    /// The device's key.
    pub(crate) key: SecretKey,
}

/// The streams that a folder knows already; none in a folder that is new.
pub(crate) fn known(folder: &Path, chain_id: ChainId) -> CliResult<Vec<Declared>> {
    let path = folder.join("streams.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let list: List = serde_json::from_str(&files::read(&path)?)
        .map_err(|error| CliError::new(Code::StorageCorrupt, format!("{}: {error}", path.display())))?;
    if list.schema != SCHEMA || list.chain_id != chain_id {
        let detail = format!(
            "{} is {} of chain {}, wanted {SCHEMA} of chain {chain_id}",
            path.display(),
            list.schema,
            list.chain_id
        );
        return Err(CliError::new(Code::StoreFormat, detail).hint("give another folder for this network"));
    }
    Ok(list.streams)
}

impl Store {
    /// Opens the store in a folder. The first streams are those that it knows, in their order; others may follow.
    ///
    /// # Errors
    /// `LOCK_HELD` when another process uses it, `STORAGE_CORRUPT` when it is not what was written.
    pub(crate) fn open(
        folder: &Path,
        chain_id: ChainId,
        bounds: Bounds,
        streams: Vec<Opening>,
    ) -> CliResult<Self> {
        bounds.check()?;
        if streams.len() > STREAMS_MAX {
            let detail = format!("{} streams, at most {STREAMS_MAX}", streams.len());
            return Err(CliError::new(Code::SizeLimit, detail));
        }
        files::make_dir(folder)?;
        let lock = lock(folder)?;
        keep_list(folder, chain_id, &streams)?;
        let (mut states, mut batch_bytes) = (Vec::with_capacity(streams.len()), 0);
        for (number, opening) in streams.into_iter().enumerate() {
            let shelf = Shelf::open(folder.join("batches").join(format!("{number:04}")))?;
            let (state, bytes) = revive(opening, shelf, chain_id)?;
            batch_bytes += bytes;
            states.push(state);
        }
        let journal = replay(&folder.join("journal"), &mut states)?;
        let mut strays = 0;
        let aside =
            Lines::open(&folder.join("aside"), |aside: Aside| strays += u64::from(aside.stream.is_none()))?;
        let folder = folder.to_owned();
        let (streams, broken) = (states, false);
        Ok(Self {
            folder,
            chain_id,
            bounds,
            streams,
            journal,
            aside,
            strays,
            batch_bytes,
            broken,
            _lock: lock,
        })
    }
}

fn lock(folder: &Path) -> CliResult<std::fs::File> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| CliError::file(&path, &error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(CliError::new(Code::LockHeld, format!("{} is in use", folder.display()))
            .hint("one gateway uses a folder; stop the other one")),
    }
}

/// Streams are only ever added: their numbers name folders and stand in the journal.
fn keep_list(folder: &Path, chain_id: ChainId, streams: &[Opening]) -> CliResult {
    let before = known(folder, chain_id)?;
    let now: Vec<Declared> = streams.iter().map(|one| one.declared.clone()).collect();
    let kept = before.iter().zip(&now).all(|(old, new)| {
        (&old.device, &old.record, &old.stream.id, &old.base)
            == (&new.device, &new.record, &new.stream.id, &new.base)
    });
    if !kept || now.len() < before.len() {
        return Err(CliError::new(
            Code::StorageCorrupt,
            "the streams of the store are not those it was made with",
        ));
    }
    if before != now {
        let list = List { schema: SCHEMA.to_owned(), chain_id, streams: now };
        let text = serde_json::to_string_pretty(&list).map_err(CliError::internal)?;
        files::replace(&folder.join("streams.json"), text)?;
    }
    Ok(())
}

/// A stream as its batches' files have it.
fn revive(opening: Opening, shelf: Shelf, chain_id: ChainId) -> CliResult<(State, u64)> {
    let Opening { declared, key } = opening;
    let (newest, bytes) = shelf.survey()?;
    let first = declared.base.seq + 1;
    let tip = match newest.filter(|newest| *newest >= first) {
        Some(newest) => {
            let details = shelf.batch(newest)?.details;
            Base { seq: newest, prev: details.digest(), last_ms: Some(details.last_ms) }
        }
        None => declared.base,
    };
    let mut unconfirmed = tip.seq + 1;
    while unconfirmed > first && !shelf.has(unconfirmed - 1, Part::Receipt) {
        unconfirmed -= 1;
    }
    if shelf.has(unconfirmed, Part::Refusal) {
        try_again(&shelf, unconfirmed..=tip.seq, &key, chain_id)?;
    }
    let (open, tally) = (Vec::new(), Tally::default());
    let state =
        State { declared, key, shelf, open, opened_ms: None, tally, tip, unconfirmed, first, held: false };
    Ok((state, bytes))
}

/// A refused batch is sent once more after a start, in a transaction of its own: what it was refused for may be over. Where
/// the device has another key by now, that one signs; number, readings and chain of digests stay (docs/adr/0017).
fn try_again(
    shelf: &Shelf,
    numbers: std::ops::RangeInclusive<u64>,
    key: &SecretKey,
    chain_id: ChainId,
) -> CliResult {
    let refused = *numbers.start();
    for seq in numbers {
        let mut sealed = shelf.batch(seq)?;
        let message = BatchPreimage { chain_id, digest: sealed.details.digest() };
        let signer: PublicKey = key.public();
        if !signer.verify(&message, &sealed.details.signature) {
            sealed.details.sign(chain_id, key);
            shelf.put(&sealed)?;
        }
        shelf.remove(seq, Part::Transaction)?;
    }
    shelf.remove(refused, Part::Refusal)
}

/// Puts what the journal holds into the open windows, but for readings that are in a batch.
fn replay(path: &Path, states: &mut [State]) -> CliResult<Lines> {
    let (mut tallies, mut unknown) = (vec![Tally::default(); states.len()], None);
    let journal = Lines::open(path, |entry: Entry| {
        for (stream, time_ms, value, quality) in entry.readings {
            match states.get_mut(stream) {
                Some(state) if !state.is_closed(time_ms) => {
                    state.insert(Reading { time_ms, value, quality }, 0);
                }
                Some(_) => {}
                None => unknown = Some(stream),
            }
        }
        for (stream, tally) in entry.tallies {
            match tallies.get_mut(stream) {
                Some(place) => *place = tally,
                None => unknown = Some(stream),
            }
        }
    })?;
    if let Some(stream) = unknown {
        let detail = format!("{}: stream {stream} is none of the store's", path.display());
        return Err(CliError::from(Refusal::new(Code::StorageCorrupt, detail)));
    }
    for (state, tally) in states.iter_mut().zip(tallies) {
        state.tally = tally;
    }
    Ok(journal)
}
