//! Batches on their way: checked once, kept in memory until they are executed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chain_core::code::{Code, Refusal};
use chain_core::codec::{decode, decode_trusted, encode};
use chain_core::committee::Committee;
use chain_core::crypto::{PublicKey, Signature, VerifyKey};
use chain_core::execute::Outcome;
use chain_core::id::ChainId;
use chain_core::id::TxId;
use chain_core::lane::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BatchHeader, BatchRef, SignedBatchHeader};
use chain_core::transaction::{
    Batch, OPERATIONS_MAX, SignedTransaction, Submission, TRANSACTION_BYTES_MAX, payload_root,
};

/// Bytes of batches kept in memory; older ones are read from the store again.
const CACHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A batch whose header, author, sizes, root and body commitments hold.
#[derive(Debug)]
pub struct CheckedBatch {
    /// Its name.
    pub name: BatchRef,
    /// Decoded.
    pub batch: Batch,
    /// Encoded, as it is stored and sent.
    pub bytes: Arc<[u8]>,
    /// Transaction ids, in order.
    pub ids: Vec<TxId>,
    /// Per submission: whether its author's signature verifies. A bad one is an outcome, not a bad batch.
    pub signatures_ok: Vec<bool>,
    /// What its operations came to, where bodies are gone.
    pub recorded: Option<Vec<Outcome>>,
}

/// Checks batches against the chain and its validators.
#[derive(Debug)]
pub struct BatchJudge {
    chain_id: ChainId,
    committee: Arc<Committee>,
    keys: Vec<Option<VerifyKey>>,
    authors: DecodedKeys,
}

/// Keys of authors, decoded: officers sign again and again, and decoding costs a tenth of a verification.
#[derive(Debug, Default)]
struct DecodedKeys(RwLock<HashMap<PublicKey, Option<VerifyKey>>>);

impl DecodedKeys {
    /// Keys remembered; strangers' keys only cost their own decoding.
    const MAX: usize = 16 * 1024;

    fn get(&self, key: &PublicKey) -> Option<VerifyKey> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return known.clone();
        }
        let decoded = key.decode();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= Self::MAX {
            all.clear();
        }
        all.insert(*key, decoded.clone());
        decoded
    }
}

impl BatchJudge {
    /// A judge for one epoch.
    pub fn new(chain_id: ChainId, committee: Arc<Committee>) -> Self {
        let keys = committee.validators().iter().map(|one| one.consensus_key.decode()).collect();
        Self { chain_id, committee, keys, authors: DecodedKeys::default() }
    }

    /// Whether the author's signature verifies.
    pub fn verify(&self, signed: &SignedTransaction) -> bool {
        let author = self.authors.get(&signed.transaction.author);
        author.is_some_and(|author| signed.verify_signature_by(&author))
    }

    /// Checks a batch from anywhere: everything but what the ledger must decide.
    ///
    /// # Errors
    /// Names the first flaw; the sender or the author is to blame.
    pub fn check(&self, bytes: Arc<[u8]>) -> Result<CheckedBatch, Refusal> {
        self.check_with(bytes, None)
    }

    /// Checks a batch some of whose bodies are gone, with what its operations came to. Both are hearsay: nothing that is
    /// signed says which bodies are gone lawfully.
    ///
    /// # Errors
    /// As [`Self::check`]; also when no body is gone, or the outcomes are not of its operations.
    pub fn check_stripped(&self, bytes: Arc<[u8]>, recorded: Vec<Outcome>) -> Result<CheckedBatch, Refusal> {
        self.check_with(bytes, Some(recorded))
    }

    fn check_with(&self, bytes: Arc<[u8]>, recorded: Option<Vec<Outcome>>) -> Result<CheckedBatch, Refusal> {
        let malformed = |detail: String| Refusal::new(Code::MalformedBytes, detail);
        let batch: Batch = decode(&bytes).map_err(|error| malformed(format!("batch: {error}")))?;
        self.check_header(&batch.signed)?;
        let checked = check_payload(batch, bytes, recorded)?;
        let header = &checked.batch.signed.header;
        if payload_root(&checked.ids) != header.payload_root {
            return Err(malformed("batch: payload root does not match its transactions".into()));
        }
        let signatures_ok = checked.batch.submissions.iter().map(|one| self.verify(&one.signed)).collect();
        Ok(CheckedBatch { signatures_ok, ..checked })
    }

    fn check_header(&self, signed: &SignedBatchHeader) -> Result<(), Refusal> {
        let header = &signed.header;
        if header.chain_id != self.chain_id {
            return Err(Refusal::new(Code::WrongChain, "batch of another chain"));
        }
        if header.epoch != self.committee.epoch() {
            return Err(Refusal::new(Code::BadParameter, format!("batch of epoch {}", header.epoch)));
        }
        let key = self.keys.get(header.author.index()).and_then(Option::as_ref);
        if key.is_some_and(|key| key.verify(header, &signed.signature)) {
            Ok(())
        } else {
            Err(Refusal::new(Code::BadSignature, format!("batch of {}", header.author)))
        }
    }

    /// A batch from this node's own store: it was checked before it was stored, but the verdict on its
    /// signatures is not kept. What was recorded of it stands beside it where bodies are gone.
    ///
    /// # Errors
    /// When the stored bytes are no batch.
    pub fn recheck(&self, bytes: Vec<u8>, recorded: Option<Vec<Outcome>>) -> Result<CheckedBatch, Refusal> {
        let batch: Batch = decode_trusted(&bytes)
            .map_err(|error| Refusal::new(Code::StorageCorrupt, format!("batch: {error}")))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = batch.submissions.len().div_ceil(threads).max(16);
        let signatures_ok = std::thread::scope(|scope| {
            let parts: Vec<_> = batch
                .submissions
                .chunks(share)
                .map(|part| scope.spawn(|| part.iter().map(|one| self.verify(&one.signed)).collect()))
                .collect();
            let verdicts = parts.into_iter().map(|part| part.join().unwrap_or_default());
            verdicts.collect::<Vec<Vec<bool>>>().concat()
        });
        let header = &batch.signed.header;
        let name = BatchRef::of(header);
        let ids = batch.submissions.iter().map(|one| one.signed.transaction.id()).collect();
        Ok(CheckedBatch { name, batch, bytes: Arc::from(bytes), ids, signatures_ok, recorded })
    }

    /// Joins a header that the engine just signed to its records, which were checked when they came in.
    ///
    /// # Errors
    /// When the records have no encoding within the limits: a bug of the intake.
    pub fn seal(
        &self,
        signed: SignedBatchHeader,
        submissions: Vec<Submission>,
    ) -> Result<CheckedBatch, Refusal> {
        let batch = Batch { signed, submissions };
        let bytes = encode(&batch).map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
        let checked = check_payload(batch, Arc::from(bytes), None)?;
        Ok(CheckedBatch { signatures_ok: vec![true; checked.batch.submissions.len()], ..checked })
    }
}

/// Counts, sizes and bodies against the header. Where outcomes are recorded, bodies are gone.
fn check_payload(
    batch: Batch,
    bytes: Arc<[u8]>,
    recorded: Option<Vec<Outcome>>,
) -> Result<CheckedBatch, Refusal> {
    let refuse = |code, detail: String| Err(Refusal::new(code, detail));
    let header = &batch.signed.header;
    let payload = bytes.len().saturating_sub(empty_len());
    let said = header.bytes as usize;
    let fits = if recorded.is_some() { payload < said } else { payload == said };
    if !fits || payload > BATCH_BYTES_MAX {
        return refuse(
            Code::SizeLimit,
            format!("batch of {payload} bytes, its header says {}", header.bytes),
        );
    }
    let count: usize = batch.submissions.iter().map(|one| one.signed.transaction.operations.len()).sum();
    if count != header.count as usize || header.count > BATCH_RECORDS_MAX || batch.submissions.is_empty() {
        return refuse(
            Code::SizeLimit,
            format!("batch of {count} operations, its header says {}", header.count),
        );
    }
    let ids: Vec<TxId> = batch.submissions.iter().map(|one| one.signed.transaction.id()).collect();
    match &recorded {
        None => batch.submissions.iter().try_for_each(check_submission)?,
        Some(outcomes) => check_outcomes(&batch, &ids, outcomes)?,
    }
    let name = BatchRef::of(header);
    Ok(CheckedBatch { name, batch, bytes, ids, signatures_ok: Vec::new(), recorded })
}

/// Bodies that are left, and that the outcomes are those of these operations, one of each.
fn check_outcomes(batch: &Batch, ids: &[TxId], outcomes: &[Outcome]) -> Result<(), Refusal> {
    let mut gone = 0;
    let mut wanted = Vec::with_capacity(outcomes.len());
    for (submission, id) in batch.submissions.iter().zip(ids) {
        check_operations(submission)?;
        gone += chain_core::rules::check_kept_bodies(submission)?.len();
        wanted.extend((0..).take(submission.bodies.len()).map(|at: u16| (*id, at)));
    }
    if gone == 0 {
        return Err(Refusal::new(Code::MalformedBytes, "batch: outcomes without a body that is gone"));
    }
    if wanted.into_iter().ne(outcomes.iter().map(|one| (one.tx, one.operation))) {
        return Err(Refusal::new(Code::MalformedBytes, "batch: outcomes of other operations"));
    }
    Ok(())
}

/// Bytes of a batch without submissions. Headers have a fixed width.
fn empty_len() -> usize {
    use chain_core::crypto::Digest;
    use chain_core::id::{Epoch, ValidatorIx};
    static LEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LEN.get_or_init(|| {
        let header = BatchHeader {
            chain_id: ChainId::new(Digest::ZERO),
            epoch: Epoch::ZERO,
            author: ValidatorIx::new(0),
            seq: 0,
            prev: Digest::ZERO,
            payload_root: Digest::ZERO,
            bytes: 0,
            count: 0,
            time_ms: 0,
        };
        let signed = SignedBatchHeader { header, signature: Signature::ZERO };
        encode(&Batch { signed, submissions: Vec::new() }).map_or(0, |bytes| bytes.len())
    })
}

/// What a submission adds to a batch's bytes.
///
/// # Errors
/// `SIZE_LIMIT` when it is too large to travel.
pub fn payload_bytes(submission: &Submission) -> Result<u32, Refusal> {
    let bytes = encode(submission).map_err(|_| {
        Refusal::new(Code::SizeLimit, format!("a submission may have {TRANSACTION_BYTES_MAX} bytes"))
    })?;
    u32::try_from(bytes.len() - 1).map_err(|_| Refusal::new(Code::SizeLimit, "submission too large"))
}

/// What decides whether a batch with this submission counts as held; it must not depend on the ledger.
///
/// # Errors
/// `NO_OPERATIONS`, `TOO_MANY_OPERATIONS`, or as [`chain_core::rules::check_bodies`].
pub fn check_submission(submission: &Submission) -> Result<(), Refusal> {
    check_operations(submission)?;
    chain_core::rules::check_bodies(submission)
}

/// Whether a submission has operations, not too many, and one place for a body with each.
///
/// # Errors
/// `NO_OPERATIONS`, `TOO_MANY_OPERATIONS`, `BODY_MISSING`.
pub fn check_counts(submission: &Submission) -> Result<(), Refusal> {
    check_operations(submission)?;
    let (bodies, operations) = (submission.bodies.len(), submission.signed.transaction.operations.len());
    if bodies != operations {
        let detail = format!("{bodies} bodies for {operations} operations; null stands for none");
        return Err(Refusal::new(Code::BodyMissing, detail));
    }
    Ok(())
}

fn check_operations(submission: &Submission) -> Result<(), Refusal> {
    let operations = submission.signed.transaction.operations.len();
    if operations == 0 {
        return Err(Refusal::new(Code::NoOperations, "a transaction needs an operation"));
    }
    if operations > OPERATIONS_MAX {
        let detail = format!("{operations} operations, at most {OPERATIONS_MAX}");
        return Err(Refusal::new(Code::TooManyOperations, detail));
    }
    Ok(())
}

/// Checked batches by name, the newest up to 64 MiB.
#[derive(Debug, Default)]
pub struct BatchCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    batches: BTreeMap<BatchRef, Arc<CheckedBatch>>,
    order: VecDeque<BatchRef>,
    bytes: usize,
}

impl BatchCache {
    /// Remembers a batch.
    pub fn insert(&self, batch: Arc<CheckedBatch>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, bytes) = (batch.name, batch.bytes.len());
        if cached.batches.insert(name, batch).is_none() {
            cached.bytes += bytes;
            cached.order.push_back(name);
        }
        while cached.bytes > CACHED_BYTES_MAX
            && let Some(oldest) = cached.order.pop_front()
        {
            cached.forget(&oldest);
        }
    }

    /// A batch, if it is remembered.
    pub fn get(&self, name: &BatchRef) -> Option<Arc<CheckedBatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).batches.get(name).cloned()
    }

    /// Forgets batches that were executed.
    pub fn remove(&self, names: &[BatchRef]) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            cached.forget(name);
        }
        // Names of forgotten batches stay in the order until they outnumber the rest.
        if cached.order.len() > 2 * cached.batches.len() {
            let Cached { batches, order, .. } = &mut *cached;
            order.retain(|name| batches.contains_key(name));
        }
    }
}

impl Cached {
    fn forget(&mut self, name: &BatchRef) {
        if let Some(batch) = self.batches.remove(name) {
            self.bytes -= batch.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::batch_header;

    fn batch(seq: u64, bytes: usize) -> Arc<CheckedBatch> {
        let header = batch_header(0, 0, seq);
        let name = BatchRef::of(&header);
        let signed = SignedBatchHeader { header, signature: Signature::ZERO };
        let batch = Batch { signed, submissions: Vec::new() };
        Arc::new(CheckedBatch {
            name,
            batch,
            bytes: Arc::from(vec![0; bytes]),
            ids: Vec::new(),
            signatures_ok: Vec::new(),
            recorded: None,
        })
    }

    #[test]
    fn the_cache_is_bounded_by_bytes_and_forgets_the_oldest() {
        let cache = BatchCache::default();
        let all: Vec<_> = (0..100).map(|seq| batch(seq, 1024 * 1024)).collect();
        for one in &all {
            cache.insert(one.clone());
            cache.insert(one.clone());
        }
        assert!(cache.get(&all[99].name).is_some() && cache.get(&all[0].name).is_none());
        let kept = all.iter().filter(|one| cache.get(&one.name).is_some()).count();
        assert_eq!(kept * 1024 * 1024, CACHED_BYTES_MAX);
        let names: Vec<_> = all.iter().map(|one| one.name).collect();
        cache.remove(&names);
        assert!(all.iter().all(|one| cache.get(&one.name).is_none()));
        let cached = cache.0.lock().unwrap();
        assert_eq!((cached.bytes, cached.order.len()), (0, 0));
    }
}
