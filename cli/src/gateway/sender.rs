//! Takes sealed batches to the ledger, stream by stream and in order, until a quorum's receipt stands beside each.
//!
//! The same bytes go out again and again: a transaction is durable before its first byte leaves, and it is signed anew only when
//! its time is over. A batch that the ledger has under the same header is confirmed, however it got there: nobody can file two
//! under one number, so however often a batch is sent, it is in the ledger once.

use std::sync::Mutex;

use chain_core::code::{Code, Refusal};
use chain_core::codec;
use chain_core::crypto::SecretKey;
use chain_core::execute::Verdict;
use chain_core::id::{ChainId, RecordId};
use chain_core::leaf::Leaf;
use chain_core::record::Header;
use chain_core::transaction::Submission;

use super::intake::lock;
use super::store::{Store, Waiting};
use crate::error::{CliError, CliResult};
use crate::proof_file::ProofFile;

/// How long before its end a transaction is not sent any more, milliseconds.
const MARGIN_MS: u64 = 60_000;

/// The ledger, as far as batches need it.
pub(crate) trait Ledger: Sync {
    /// The network.
    fn chain_id(&self) -> ChainId;
    /// How long a transaction that is signed now may be valid, milliseconds.
    fn validity_ms(&self) -> u64;
    /// Sends a transaction of one operation and waits until a quorum ordered it.
    fn file(&self, submission: &Submission) -> CliResult<Verdict>;
    /// The receipt of a record, verified.
    fn receipt(&self, record: &RecordId) -> CliResult<Vec<u8>>;
}

/// What one step came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// No batch waits, or the ledger refuses the one that does.
    Idle,
    /// The receipt of a batch is there.
    Confirmed {
        /// Number of the batch.
        seq: u64,
    },
    /// The ledger refused a batch: nothing more of this stream is sent until the gateway is started again.
    Held {
        /// Number of the batch.
        seq: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// Brings the oldest batch of a stream a step further.
///
/// # Errors
/// When the ledger cannot be asked now, or the store cannot write.
pub(crate) fn step(
    store: &Mutex<Store>,
    ledger: &impl Ledger,
    author: &SecretKey,
    stream: usize,
    now_ms: u64,
) -> CliResult<Step> {
    let (waiting, agency) = {
        let store = lock(store);
        (store.waiting(stream)?, store.declared(stream).agency.clone())
    };
    let Some(waiting) = waiting else { return Ok(Step::Idle) };
    let header = waiting.sealed.header(ledger.chain_id(), &agency)?;
    let submission = match known_transaction(&waiting, now_ms) {
        Some(submission) => submission,
        None => sign(store, ledger, author, stream, &waiting, now_ms)?,
    };
    let refusal = match ledger.file(&submission) {
        Ok(Verdict::Accepted { .. }) => None,
        Ok(Verdict::Refused(refusal)) => Some(refusal),
        Err(error) if is_refusal(error.code()) => Some(error.refusal),
        Err(error) => return Err(error),
    };
    let seq = waiting.sealed.details.seq;
    match (ledger.receipt(&header.record), refusal) {
        (Ok(receipt), refusal) => match is_of(&receipt, &header)? {
            true => {
                lock(store).confirm(stream, seq, &receipt)?;
                Ok(Step::Confirmed { seq })
            }
            false => hold(store, stream, seq, refusal.unwrap_or_else(|| another(&header))),
        },
        // Its time was over by the ledger's clock: the next one is signed anew.
        (Err(_), Some(refusal)) if refusal.code == Code::Expired => {
            let again = sign(store, ledger, author, stream, &waiting, now_ms.saturating_add(MARGIN_MS))?;
            drop(again);
            Err(refusal.into())
        }
        (Err(error), Some(refusal)) if error.code() == Code::RecordNotFound => {
            hold(store, stream, seq, refusal)
        }
        (Err(error), _) => Err(error),
    }
}

fn hold(store: &Mutex<Store>, stream: usize, seq: u64, refusal: Refusal) -> CliResult<Step> {
    lock(store).refuse(stream, seq, &refusal)?;
    Ok(Step::Held { seq, refusal })
}

fn another(header: &Header) -> Refusal {
    let detail = format!("record {} is another batch of this stream and number", header.record);
    Refusal::new(Code::SeqReplay, detail)
}

/// The transaction that was signed before, while it is good.
fn known_transaction(waiting: &Waiting, now_ms: u64) -> Option<Submission> {
    let submission: Submission = codec::decode(waiting.transaction.as_deref()?).ok()?;
    let good = submission.signed.transaction.valid_until_ms > now_ms.saturating_add(MARGIN_MS);
    good.then_some(submission)
}

/// Signs the transaction of a batch and keeps it before anybody sees it.
fn sign(
    store: &Mutex<Store>,
    ledger: &impl Ledger,
    author: &SecretKey,
    stream: usize,
    waiting: &Waiting,
    now_ms: u64,
) -> CliResult<Submission> {
    let mut store = lock(store);
    let agency = &store.declared(stream).agency;
    let operation = waiting.sealed.operation(ledger.chain_id(), agency)?;
    let until = now_ms.saturating_add(ledger.validity_ms());
    let submission = chain_core::build::submission(ledger.chain_id(), author, until, false, vec![operation]);
    let bytes = codec::encode(&submission).map_err(CliError::internal)?;
    store.sending(stream, waiting.sealed.details.seq, &bytes)?;
    Ok(submission)
}

/// Whether a receipt is of this very header.
fn is_of(receipt: &[u8], header: &Header) -> CliResult<bool> {
    let ProofFile::Bundle(receipt) = ProofFile::parse(receipt)? else {
        return Err(CliError::new(Code::ReceiptMalformed, "the receipt of a batch is no JSON bundle"));
    };
    let leaf = Leaf::decode(&receipt.leaf_bytes()?)
        .map_err(|error| CliError::new(Code::ReceiptMalformed, format!("the leaf: {error}")))?;
    Ok(leaf.header().is_some_and(|found| found.digest() == header.digest()))
}

/// Whether a node understood and will never take these bytes; anything else may pass.
fn is_refusal(code: Code) -> bool {
    matches!(code.number() / 100, 1..=4) && code != Code::LaneFrozen
}

#[cfg(test)]
mod tests;
