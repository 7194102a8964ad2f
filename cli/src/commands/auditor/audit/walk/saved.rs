//! Where a walk stands, in a file: everything that it needs to go on, and nothing that has to be believed of the node.
//!
//! A line that names the form; the position (headers, lanes, roots, counts); the entries of the executed ledger's state in
//! pieces; and a digest that each piece went into. On reading, the digest must fit, and the entries must lead to the root of the state
//! that the position names.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use chain_core::block::{ExecSummary, Header};
use chain_core::code::Code;
use chain_core::codec::{self, Wire};
use chain_core::crypto::Digest;
use chain_core::execute::ExecState;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height, View};
use chain_core::ledger::MemoryLedger;
use chain_core::merkle::Frontier;
use chain_core::recovery::SignedRecovery;
use serde::{Deserialize, Serialize};

use super::{Lane, Totals, Walk};
use crate::commands::auditor::audit::finding::Finding;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::sets::Sets;

/// The first line.
const FORM: &[u8] = b"city/v1/audit-state\n";
/// Longest key or value of a state entry; far above any that the ledger writes.
const ENTRY_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The position of a walk.
#[derive(Debug, Deserialize, Serialize)]
struct Position {
    chain_id: ChainId,
    epoch: Epoch,
    acts: Vec<SignedRecovery>,
    height: Height,
    digest: Digest,
    view: View,
    time_ms: u64,
    header: Option<Header>,
    lanes: Vec<Lane>,
    history: Frontier,
    roots: Vec<(Height, Digest)>,
    confirmed: Height,
    covered: Option<Height>,
    doubt: Option<Finding>,
    claim: Option<Finding>,
    noted: Vec<(u64, Digest)>,
    ends: Vec<(u64, Digest)>,
    totals: Totals,
    summary: ExecSummary,
    log: Frontier,
    entries: u64,
    took_ms: u64,
}

impl Wire for Position {
    const LIMIT: usize = 16 * 1024 * 1024;
}

/// A position that was read, with the state below it.
#[derive(Debug)]
pub(in crate::commands::auditor::audit) struct Saved {
    position: Position,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Saved {
    /// The newest block that was verified, and its digest.
    pub(in crate::commands::auditor::audit) fn newest(&self) -> (Height, Digest) {
        (self.position.height, self.position.digest)
    }

    /// Whether a quorum's certificate covers the newest block.
    pub(in crate::commands::auditor::audit) fn is_covered(&self) -> bool {
        self.position.covered >= Some(self.position.height)
    }

    /// Milliseconds that it took so far.
    pub(in crate::commands::auditor::audit) fn took_ms(&self) -> u64 {
        self.position.took_ms
    }

    /// Reads a file; none where there is none yet.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for one that was altered or damaged; `GENESIS_MISMATCH` for one of another chain.
    pub(in crate::commands::auditor::audit) fn read(
        path: &Path,
        genesis: &Genesis,
    ) -> CliResult<Option<Self>> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::file(path, &error)),
        };
        let saved = Self::parse(BufReader::new(file)).map_err(|why| {
            CliError::new(Code::StorageCorrupt, format!("{}: {why}", path.display())).hint(
                "the file was altered or damaged; keep it, and begin anew with another one: --state FILE",
            )
        })?;
        let chain_id = saved.position.chain_id;
        if chain_id == genesis.chain_id() {
            return Ok(Some(saved));
        }
        let detail = format!(
            "{} remembers chain {chain_id}, the genesis file is of {}",
            path.display(),
            genesis.chain_id()
        );
        Err(CliError::new(Code::GenesisMismatch, detail)
            .hint("each chain has a file of its own: --state FILE"))
    }

    fn parse(file: impl Read) -> Result<Self, String> {
        let mut source = Hashed { file, digest: Digest::ZERO };
        let mut form = [0; FORM.len()];
        source.fill(&mut form)?;
        if form != FORM {
            return Err("no audit state of a form that this program knows".to_owned());
        }
        let bytes = source.piece(u32::try_from(Position::LIMIT).unwrap_or(u32::MAX))?;
        let position: Position = codec::decode(&bytes).map_err(|error| format!("the position: {error}"))?;
        let mut state = BTreeMap::new();
        for _ in 0..position.entries {
            let key = source.piece(ENTRY_BYTES_MAX)?;
            state.insert(key, source.piece(ENTRY_BYTES_MAX)?);
        }
        let Hashed { mut file, digest: wanted } = source;
        let mut digest = [0; Digest::LEN];
        file.read_exact(&mut digest).map_err(|_| "it ends early".to_owned())?;
        let mut rest = [0];
        if file.read(&mut rest).map_err(|error| error.to_string())? > 0 {
            return Err("bytes follow its end".to_owned());
        }
        if Digest::new(digest) != wanted {
            return Err("its content does not fit its digest".to_owned());
        }
        Ok(Self { position, state })
    }
}

/// The digest after one more piece.
fn hashed(digest: &Digest, piece: &[u8]) -> Digest {
    Digest::tagged(b"city/v1/audit-state", &[digest.as_bytes(), piece])
}

/// A file that is hashed as it is read.
struct Hashed<R> {
    file: R,
    digest: Digest,
}

impl<R: Read> Hashed<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.file.read_exact(bytes).map_err(|_| "it ends early".to_owned())?;
        self.digest = hashed(&self.digest, bytes);
        Ok(())
    }

    /// Bytes after their length; what is not there is not allocated.
    fn piece(&mut self, limit: u32) -> Result<Vec<u8>, String> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > limit {
            return Err(format!("a piece of {length} bytes, at most {limit}"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(u64::from(length)).read_to_end(&mut bytes);
        if read.map_err(|error| error.to_string())? < length as usize {
            return Err("it ends early".to_owned());
        }
        self.digest = hashed(&self.digest, &bytes);
        Ok(bytes)
    }
}

impl<'g> Walk<'g> {
    /// Writes where the walk stands, as a whole or not at all. Only a walk from genesis has a memory.
    pub(in crate::commands::auditor::audit) fn save(&self, path: &Path, took_ms: u64) -> CliResult {
        let Some(bytes) = self.saved(took_ms)? else { return Ok(()) };
        files::replace(path, bytes)
    }

    /// The bytes of the file; none for a walk that began later, or before its first block.
    pub(in crate::commands::auditor::audit) fn saved(&self, took_ms: u64) -> CliResult<Option<Vec<u8>>> {
        let (Some(ledger), Some(history), Some((height, digest)), Some(epoch)) =
            (&self.ledger, &self.history, self.at, self.epoch)
        else {
            return Ok(None);
        };
        let noted = self.wanted.iter().filter_map(|(size, root)| Some((*size, (*root)?)));
        let ExecState { summary, log } = ledger.exec_state().clone();
        let position = Position {
            chain_id: self.chain_id,
            epoch: epoch.committee.epoch(),
            acts: self.acts.clone(),
            height,
            digest,
            view: self.view,
            time_ms: self.time_ms,
            header: self.header.clone(),
            lanes: self.lanes.clone(),
            history: history.clone(),
            roots: self.roots.iter().copied().collect(),
            confirmed: self.confirmed,
            covered: self.covered,
            doubt: self.doubt.clone(),
            claim: self.claim.clone(),
            noted: noted.collect(),
            ends: self.ends.iter().copied().collect(),
            totals: self.totals.clone(),
            summary,
            log,
            entries: ledger.entries().count() as u64,
            took_ms,
        };
        let (mut bytes, mut digest) = (Vec::new(), Digest::ZERO);
        let mut put = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            digest = hashed(&digest, piece);
        };
        put(FORM);
        let encoded = codec::encode(&position).map_err(CliError::internal)?;
        let pieces = ledger.entries().flat_map(|(key, value)| [key, value]);
        for piece in std::iter::once(encoded.as_slice()).chain(pieces) {
            put(&u32::try_from(piece.len()).map_err(CliError::internal)?.to_be_bytes());
            put(piece);
        }
        bytes.extend_from_slice(digest.as_bytes());
        Ok(Some(bytes))
    }

    /// Goes on where a walk stood; roots of the log at `sizes` are found among those remembered, or noted on the way.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when the state is not the one that the position names; `UNKNOWN_SIGNER` when no hand-over leads
    /// to its epoch.
    pub(in crate::commands::auditor::audit) fn resumed(
        genesis: &Genesis,
        sets: &'g Sets,
        saved: Saved,
        sizes: &[u64],
    ) -> CliResult<Self> {
        let Saved { position, state } = saved;
        let epoch = sets.get(position.epoch).ok_or_else(|| {
            let detail = format!("epoch {}: no hand-over that the node gives leads there", position.epoch);
            CliError::new(Code::UnknownSigner, detail)
        })?;
        let at = ExecState { summary: position.summary, log: position.log };
        let ledger = MemoryLedger::restore(genesis.chain_params(), at, state).map_err(|error| {
            CliError::new(Code::StorageCorrupt, format!("the remembered ledger: {}", error.0))
                .hint("the file was altered; keep it, and begin anew with another one: --state FILE")
        })?;
        let known: BTreeMap<u64, Digest> = position.ends.iter().chain(&position.noted).copied().collect();
        let mut wanted: BTreeMap<u64, Option<Digest>> =
            position.noted.iter().map(|(size, root)| (*size, Some(*root))).collect();
        wanted.extend(sizes.iter().map(|size| (*size, known.get(size).copied())));
        Ok(Self {
            sets,
            chain_id: position.chain_id,
            epoch: Some(epoch),
            acts: position.acts,
            at: Some((position.height, position.digest)),
            view: position.view,
            time_ms: position.time_ms,
            header: position.header,
            lanes: position.lanes,
            history: Some(position.history),
            ledger: Some(ledger),
            indexed: genesis.document().subject_key.is_some(),
            roots: position.roots.into(),
            confirmed: position.confirmed,
            covered: position.covered,
            doubt: position.doubt,
            claim: position.claim,
            wanted,
            oldest: position.ends.first().map_or(position.summary.log_size, |(size, _)| *size),
            ends: position.ends.into(),
            totals: position.totals,
        })
    }
}

#[cfg(test)]
mod tests;
