//! The final blocks from a snapshot's own up to the one that certifies its execution, each run with its certificate.

use std::sync::Arc;

use chain_core::block::lanes_root;
use chain_core::certificate::VoteKind;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::id::{ChainId, Height, ValidatorIx};
use consensus::message::SYNC_BLOCKS_MAX;
use consensus::signer::CommitteeKeys;
use consensus::verified::Judge;

use super::Source;
use super::ladder::Ladder;
use crate::link::{SyncRequest, SyncResponse};
use crate::storage::consensus::Run;

/// Runs fetched until one must certify the snapshot: execution lags behind by far fewer blocks.
const RUNS_MAX: usize = 64;

/// What a run must begin with.
#[derive(Clone, Copy, Debug)]
enum Follows {
    /// With this block.
    From(Height, Digest),
    /// After it.
    After(Height, Digest),
}

/// Fetches the blocks.
///
/// # Errors
/// `NOT_READY` when nobody gives them; `NO_SNAPSHOT` when a header certifies a later execution.
pub(super) async fn runs_after(
    source: &Source,
    ladder: &Ladder,
    (height, digest): (Height, Digest),
    holders: &[ValidatorIx],
) -> Result<Vec<Run>, Refusal> {
    let mut runs: Vec<Run> = Vec::new();
    let mut follows = Follows::From(height, digest);
    for _ in 0..RUNS_MAX {
        let run = run_from(source, ladder, follows, holders).await?;
        let covered = run.blocks.iter().map(|block| (block.header.height, block.header.exec_height));
        let first = covered.into_iter().find(|(at, covered)| *at > height && *covered >= height);
        let last = run.blocks.last().map(|block| (block.header.height, block.header.digest()));
        runs.push(run);
        match (first, last) {
            (Some((_, covered)), _) if covered == height => return Ok(runs),
            (Some((by, _)), _) => {
                let detail = format!("block {by} certifies a later execution than that of {height}");
                return Err(Refusal::new(Code::NoSnapshot, detail));
            }
            (None, Some((height, digest))) => follows = Follows::After(height, digest),
            (None, None) => {}
        }
    }
    Err(Refusal::new(Code::NotReady, format!("no block certifies the execution of {height} so far")))
}

/// The next run, from the first holder that gives one that proves itself.
async fn run_from(
    source: &Source,
    ladder: &Ladder,
    follows: Follows,
    holders: &[ValidatorIx],
) -> Result<Run, Refusal> {
    let from = match follows {
        Follows::From(height, _) => height,
        Follows::After(height, _) => height.next(),
    };
    let mut why = "nobody has them".to_owned();
    for holder in holders {
        let answer = source.network.request(*holder, SyncRequest::Blocks { from }).await;
        let Ok(SyncResponse::Blocks(run)) = answer else { continue };
        match check(&run, follows, ladder) {
            Ok(()) => return Ok(*run),
            Err(refusal) => {
                let validator = source.name(*holder);
                tracing::warn!(validator, detail = refusal.detail, "gave blocks that prove nothing");
                why = format!("{validator}: {refusal}");
            }
        }
    }
    Err(Refusal::new(Code::NotReady, format!("the blocks from {from} on are missing: {why}")))
}

/// A run is in order, without gaps, signed by its leaders, and proved by its certificate from its last block down to the
/// one that it must begin with or follow.
fn check(run: &Run, follows: Follows, ladder: &Ladder) -> Result<(), Refusal> {
    let broken = |detail: String| Err(Refusal::new(Code::ChainBroken, detail));
    let (Some(first), Some(last)) = (run.blocks.first(), run.blocks.last()) else {
        return broken("no block".to_owned());
    };
    if run.blocks.len() as u64 > SYNC_BLOCKS_MAX {
        return broken(format!("{} blocks, at most {SYNC_BLOCKS_MAX}", run.blocks.len()));
    }
    let begins = match follows {
        Follows::From(height, digest) => first.header.height == height && first.header.digest() == digest,
        Follows::After(height, digest) => {
            first.header.height == height.next() && first.header.parent == digest
        }
    };
    if !begins {
        return broken(format!("block {} is not what was asked for: {follows:?}", first.header.height));
    }
    let epoch = first.header.epoch;
    let Some(term) = ladder.term(epoch) else {
        return broken(format!("block {} is of epoch {epoch}, which nothing proves", first.header.height));
    };
    let chain_id = ladder.chain_id();
    let judge = judge_of(chain_id, term);
    for pair in run.blocks.windows(2) {
        let (before, after) = (&pair[0].header, &pair[1].header);
        if after.parent != before.digest() || after.height != before.height.next() {
            return broken(format!("block {} does not follow block {}", after.height, before.height));
        }
    }
    for block in &run.blocks {
        let header = &block.header;
        if header.epoch != epoch || header.chain_id != chain_id {
            return broken(format!("block {} is of another epoch or chain", header.height));
        }
        if header.lanes_root != lanes_root(&block.advances) {
            return broken(format!("block {}: its lanes are not those that its header names", header.height));
        }
        if !judge.proposal(block) {
            return broken(format!("block {} does not carry its leader's signature", header.height));
        }
    }
    let flaw = |error: &dyn std::fmt::Display| {
        Refusal::new(Code::CertificateInvalid, format!("block {}: {error}", last.header.height))
    };
    let certificate = run.certificate.clone();
    if run.suffixes.is_empty() {
        if (certificate.digest, certificate.height) != (last.header.digest(), last.header.height) {
            return Err(flaw(&"the certificate is over another block"));
        }
        judge.cert(certificate, VoteKind::Commit).map(|_| ()).map_err(|error| flaw(&error))
    } else {
        let headers = std::iter::once(&last.header).chain(&run.suffixes).cloned().collect();
        judge.closing(ClosingProof { headers, certificate }).map(|_| ()).map_err(|error| flaw(&error))
    }
}

fn judge_of(chain_id: ChainId, term: &super::ladder::Term) -> Judge {
    let verifier = Arc::new(CommitteeKeys::new(&term.committee));
    Judge::new(chain_id, term.committee.clone(), term.base, verifier)
}

#[cfg(test)]
mod tests;
