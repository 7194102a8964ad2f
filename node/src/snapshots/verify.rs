//! Holding a snapshot against a root that a quorum certified.
//!
//! Nothing that stands in the snapshot is believed. Everything under the certified root is read and hashed anew
//! ([`Contents`]); the root itself comes from a header of the consensus store that names exactly this height; the
//! commit certificate that makes this header final is judged by the validators of its epoch, and these are proved from
//! the genesis by how each epoch before ended. The snapshot lends the names of the validators of later sets, and the
//! block that ended the epoch before says by hash whether they are right.

use std::path::Path;
use std::time::{Duration, Instant};

use chain_core::block::{ExecSummary, Header};
use chain_core::certificate::VoteKind;
use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::epoch::HandOver;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::recovery::{Passage, PassageError, RecoveryKeys, verify_passages};
use consensus::engine::Tip;

use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::{Contents, LedgerStore, Snapshot};

/// What is believed without proof: what the genesis says.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The chain.
    pub chain_id: ChainId,
    /// The first validators.
    pub committee: &'a Committee,
    /// Whose act may replace validators, if anybody's.
    pub recovery_keys: Option<&'a RecoveryKeys>,
}

impl<'a> Trust<'a> {
    /// What a genesis says.
    pub fn of(genesis: &'a Genesis) -> Self {
        Self {
            chain_id: genesis.chain_id(),
            committee: genesis.committee(),
            recovery_keys: genesis.recovery_keys(),
        }
    }
}

/// What was found of a snapshot in which nothing is wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its height.
    pub height: Height,
    /// The block at this height.
    pub block: Digest,
    /// What it holds.
    pub contents: Contents,
    /// Whether a quorum certified it.
    pub standing: Standing,
    /// How long all of it took.
    pub took: Duration,
}

impl Report {
    /// Whether a quorum certified exactly this ledger.
    pub fn is_certified(&self) -> bool {
        matches!(self.standing, Standing::Certified(_))
    }
}

/// Whether a quorum certified exactly this ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It did.
    Certified(Certification),
    /// No final block known here certifies an execution this far yet.
    NotYet {
        /// The newest final block here.
        newest: Height,
    },
    /// A final block certified a later execution without this one: an act of recovery ended the epoch before.
    PassedOver {
        /// That block.
        by: Height,
    },
}

/// Who certified a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certification {
    /// The certified root.
    pub root: Digest,
    /// The block whose header names it.
    pub block: Height,
    /// The height whose certificate makes that block final.
    pub final_by: Height,
    /// The epoch of this certificate.
    pub epoch: Epoch,
    /// Its signatures.
    pub signatures: usize,
    /// The validators of the epoch.
    pub validators: usize,
}

/// Verifies the snapshot of a height.
///
/// # Errors
/// `STORAGE_CORRUPT` when it cannot be read or its parts do not fit together; `GENESIS_MISMATCH` when it is of another
/// chain; `STATE_MISMATCH` when a quorum certified another root; `CHAIN_BROKEN` or `CERTIFICATE_INVALID`, or the code of
/// the flaw of an act, when the proof of that root is none.
pub fn verify(
    path: &Path,
    height: Height,
    consensus: &ConsensusStore,
    trust: &Trust<'_>,
) -> Result<Report, Refusal> {
    let start = Instant::now();
    let store = LedgerStore::open_read_only(path).map_err(refuse)?;
    let snapshot = store.snapshot().map_err(refuse)?;
    check_chain(&store, trust)?;
    let tip = tip_of(&snapshot, height, trust)?;
    let stored = snapshot.summary(height).map_err(refuse)?;
    let stored = stored.ok_or_else(|| corrupt(format!("the summary of height {height} is missing")))?;
    let standing = if height == Height::ZERO {
        // The genesis is no block, and the first blocks certify nothing.
        Standing::NotYet { newest: consensus.final_height().map_err(refuse)? }
    } else {
        check_final(&tip, consensus)?;
        standing(&tip, &snapshot, consensus, trust)?
    };
    if let Standing::Certified(by) = &standing {
        check_certified(height, &stored, by)?;
    }
    let contents = snapshot.recompute(&stored.state_root).map_err(refuse)?;
    check_contents(&contents, &stored)?;
    if store.log_frontier().map_err(refuse)? != contents.log {
        return Err(corrupt(
            "the record log that the next block continues is not that of the leaves".to_owned(),
        ));
    }
    Ok(Report { height, block: tip.digest, contents, standing, took: start.elapsed() })
}

fn check_chain(store: &LedgerStore, trust: &Trust<'_>) -> Result<(), Refusal> {
    match store.chain().map_err(refuse)? {
        Some(chain) if chain == trust.chain_id.digest().as_bytes() => Ok(()),
        _ => Err(Refusal::new(
            Code::GenesisMismatch,
            format!("the snapshot is not of chain {}", trust.chain_id),
        )),
    }
}

/// The chain as the snapshot has it: what the next block will be executed on.
fn tip_of(snapshot: &Snapshot<'_>, height: Height, trust: &Trust<'_>) -> Result<Tip, Refusal> {
    if snapshot.height() != height {
        return Err(corrupt(format!("it holds the ledger at height {}, wants {height}", snapshot.height())));
    }
    let tip = snapshot.tip().map_err(refuse)?;
    let tip = tip.ok_or_else(|| corrupt(format!("the block at height {height} is missing")))?;
    if height == Height::ZERO && tip.header.is_none() && tip.digest == *trust.chain_id.digest() {
        return Ok(tip);
    }
    let of_header = |header: &Header| (header.digest(), header.height, header.view, header.time_ms);
    if tip.header.as_ref().map(of_header) != Some((tip.digest, height, tip.view, tip.time_ms)) {
        return Err(corrupt(format!(
            "the block at height {height} is not the one that its header describes"
        )));
    }
    Ok(tip)
}

/// The ledger must continue in the consensus store: it is executed up to the present from there.
fn check_final(tip: &Tip, consensus: &ConsensusStore) -> Result<(), Refusal> {
    let found = consensus.final_digest(tip.height).map_err(refuse)?;
    if found == Some(tip.digest) {
        return Ok(());
    }
    let found = found.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
    let detail = format!("block {}: {} in the snapshot, final here is {found}", tip.height, tip.digest);
    Err(Refusal::new(Code::ChainBroken, detail))
}

/// Whether a final header certifies the execution of a height.
#[derive(Debug)]
pub(crate) enum Covering {
    /// The last of these does, which follow the height without gaps.
    By(Vec<Header>),
    /// None does: this block certifies a later one.
    PassedOver(Height),
    /// None does so far.
    NotYet,
}

/// Finds the header that certifies a height.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn covering(height: Height, consensus: &ConsensusStore) -> Result<Covering, Refusal> {
    let (mut headers, mut next) = (Vec::new(), height.next());
    loop {
        let Some(block) = consensus.final_block(next).map_err(refuse)? else { return Ok(Covering::NotYet) };
        let covered = block.header.exec_height;
        if covered > height {
            return Ok(Covering::PassedOver(next));
        }
        headers.push(block.header);
        if covered == height {
            return Ok(Covering::By(headers));
        }
        next = next.next();
    }
}

/// Finds the header that certifies this height, and proves it.
fn standing(
    tip: &Tip,
    snapshot: &Snapshot<'_>,
    consensus: &ConsensusStore,
    trust: &Trust<'_>,
) -> Result<Standing, Refusal> {
    let newest = consensus.final_height().map_err(refuse)?;
    let mut headers = match covering(tip.height, consensus)? {
        Covering::By(headers) => headers,
        Covering::PassedOver(by) => return Ok(Standing::PassedOver { by }),
        Covering::NotYet => return Ok(Standing::NotYet { newest }),
    };
    let Some((certifying, root)) = headers.last().map(|header| (header.height, header.exec_root)) else {
        return Ok(Standing::NotYet { newest });
    };
    let Some((last, certified)) = consensus.certified_from(certifying).map_err(refuse)? else {
        return Ok(Standing::NotYet { newest });
    };
    let mut height = certifying;
    while height < last {
        height = height.next();
        let missing = || corrupt(format!("block {height} is final, and not in the consensus store"));
        let block = consensus.final_block(height).map_err(refuse)?;
        headers.push(block.ok_or_else(missing)?.header);
    }
    headers.extend(certified.suffixes);
    let newest = check_links(tip, &headers, trust)?;
    let certificate = certified.certificate;
    if (certificate.digest, certificate.height) != newest {
        let detail = format!("the certificate of block {last} is over another block");
        return Err(Refusal::new(Code::CertificateInvalid, detail));
    }
    let committee = committee_of(certificate.epoch, snapshot, consensus, trust)?;
    certificate.verify(trust.chain_id, &committee, VoteKind::Commit).map_err(|error| {
        Refusal::new(Code::CertificateInvalid, format!("the certificate of block {last}: {error}"))
    })?;
    Ok(Standing::Certified(Certification {
        root,
        block: certifying,
        final_by: last,
        epoch: certificate.epoch,
        signatures: certificate.signatures.len(),
        validators: committee.size(),
    }))
}

/// Each header must follow from the one before, and the first from the snapshot's own block; gives digest and height
/// of the last one.
fn check_links(tip: &Tip, headers: &[Header], trust: &Trust<'_>) -> Result<(Digest, Height), Refusal> {
    let mut newest = (tip.digest, tip.height);
    for header in headers {
        let follows = header.parent == newest.0
            && header.height == newest.1.next()
            && header.chain_id == trust.chain_id;
        if !follows {
            let detail = format!("block {} does not follow block {}", header.height, newest.1);
            return Err(Refusal::new(Code::ChainBroken, detail));
        }
        newest = (header.digest(), header.height);
    }
    // The next blocks' headers name all blocks before them: a node that had another list could not judge them.
    match headers.first() {
        Some(first) if first.history_root != tip.history.root() => {
            Err(corrupt("the list of blocks is not the one that the next header names".to_owned()))
        }
        _ => Ok(newest),
    }
}

/// How an epoch ended; none where nothing here says so.
///
/// # Errors
/// When a store cannot be read.
pub(crate) fn passage_of(
    ended: Epoch,
    snapshot: &Snapshot<'_>,
    consensus: &ConsensusStore,
) -> Result<Option<Passage>, StorageError> {
    let next = snapshot.validator_set(ended.next())?;
    Ok(match (consensus.closing(ended)?, next, consensus.act(ended)?) {
        (Some(proof), Some(next), _) => Some(Passage::HandOver(HandOver { proof, next })),
        (None, _, Some(recovery)) => Some(Passage::Recovery(recovery)),
        _ => None,
    })
}

/// The validators of an epoch, proved from the genesis.
pub(crate) fn committee_of(
    epoch: Epoch,
    snapshot: &Snapshot<'_>,
    consensus: &ConsensusStore,
    trust: &Trust<'_>,
) -> Result<Committee, Refusal> {
    let passage = |ended: Epoch| {
        let found = passage_of(ended, snapshot, consensus).map_err(refuse)?;
        found.ok_or_else(|| corrupt(format!("nothing here proves who votes in epoch {}", ended.next())))
    };
    let passages = (0..epoch.get()).map(|ended| passage(Epoch::new(ended))).collect::<Result<Vec<_>, _>>()?;
    verify_passages(trust.chain_id, trust.committee, trust.recovery_keys, &passages)
        .map_err(|error| passage_refusal(epoch, &error))
}

/// What it means that nothing proves the validators of an epoch.
pub(crate) fn passage_refusal(epoch: Epoch, error: &PassageError) -> Refusal {
    let code = match error {
        PassageError::HandOver(_) => Code::CertificateInvalid,
        PassageError::Recovery(flaw) => flaw.code(),
        PassageError::NoKeys => Code::RecoveryUnknown,
    };
    let why = std::error::Error::source(error).map_or_else(String::new, |why| format!(": {why}"));
    Refusal::new(code, format!("the validators of epoch {epoch}: {error}{why}"))
}

fn check_certified(height: Height, stored: &ExecSummary, by: &Certification) -> Result<(), Refusal> {
    let got = stored.root();
    if stored.height == height && got == by.root {
        return Ok(());
    }
    let detail = format!(
        "summary of height {height}: root {got} of height {}, block {} certifies {}",
        stored.height, by.block, by.root
    );
    Err(Refusal::new(Code::StateMismatch, detail))
}

/// What is there must give what the summary says, part by part.
fn check_contents(contents: &Contents, stored: &ExecSummary) -> Result<(), Refusal> {
    let got = &contents.summary;
    let parts = [("state", got.state_root, stored.state_root), ("record log", got.log_root, stored.log_root)];
    for (part, got, want) in parts {
        if got != want {
            return Err(corrupt(format!("{part}: its entries give root {got}, the summary says {want}")));
        }
    }
    if got == stored {
        return Ok(());
    }
    Err(corrupt(format!("the summary says height {} and {} leaves", stored.height, stored.log_size)))
}

fn corrupt(detail: String) -> Refusal {
    Refusal::new(Code::StorageCorrupt, detail)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
pub(super) mod tests;
