//! What can be judged of one block by itself, on any thread: every signature and every commitment.

use std::collections::BTreeMap;

use chain_core::api::RawBlock;
use chain_core::block::{Header, SlotPreimage};
use chain_core::certificate::VoteKind;
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, PublicKey, Signature, VerifyKey};
use chain_core::epoch::ClosingProof;
use chain_core::execute::Verdict;
use chain_core::id::{ChainId, Epoch, Height, TxId, ValidatorIx};
use chain_core::transaction::{Batch, Submission, TransactionPreimage, payload_root};

use super::finding::Finding;
use crate::sets::{Set, Sets};

/// Authors' keys kept decoded by one thread; a city has fewer officers.
const KEYS_MAX: usize = 8 * 1024;

/// One block with the verdicts of its signatures.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The block.
    pub(crate) block: RawBlock,
    /// Digest of its header.
    pub(crate) digest: Digest,
    /// Digests of its batches.
    pub(crate) batches: Vec<Digest>,
    /// Per batch and transaction: whether the author's signature holds.
    pub(crate) signatures: Vec<Vec<bool>>,
    /// Per batch: how many bodies that must travel are not held any more.
    pub(crate) erased: Vec<u64>,
    /// Bodies compared with their commitments.
    pub(crate) bodies: u64,
}

/// One thread's eyes.
pub(crate) struct Judge<'s> {
    chain_id: ChainId,
    sets: &'s Sets,
    /// Keys of the validators by epoch.
    validators: Vec<Vec<Option<VerifyKey>>>,
    authors: BTreeMap<PublicKey, Option<VerifyKey>>,
}

impl<'s> Judge<'s> {
    /// A judge who trusts these validator sets.
    pub(crate) fn new(chain_id: ChainId, sets: &'s Sets) -> Self {
        let decoded = |set: &Set| {
            set.committee.validators().iter().map(|one| one.consensus_key.decode()).collect::<Vec<_>>()
        };
        Self { chain_id, validators: sets.all().map(decoded).collect(), sets, authors: BTreeMap::new() }
    }

    /// Judges a block.
    ///
    /// # Errors
    /// The first thing that does not hold, and the block.
    pub(crate) fn judge(&mut self, block: RawBlock) -> Result<Judged, (Box<Finding>, Box<RawBlock>)> {
        let mut judged = Judged {
            digest: block.header.digest(),
            batches: Vec::with_capacity(block.batches.len()),
            signatures: Vec::with_capacity(block.batches.len()),
            erased: Vec::with_capacity(block.batches.len()),
            bodies: 0,
            block,
        };
        match self.judge_all(&mut judged) {
            Ok(()) => Ok(judged),
            Err(finding) => Err((finding, Box::new(judged.block))),
        }
    }

    fn judge_all(&mut self, judged: &mut Judged) -> Result<(), Box<Finding>> {
        let block = &judged.block;
        let header = &block.header;
        let height = header.height;
        let committee = self.position(header)?;
        let epoch = header.epoch;
        if !self.signed(epoch, header.proposer, &header.proposal(), &block.proposer_signature) {
            let detail =
                format!("the signature of proposer {} does not verify", self.name(epoch, header.proposer));
            return Err(Box::new(Finding::wrong(height, Code::BadSignature, detail)));
        }
        self.certificate(committee, block, &judged.digest)?;
        let mut outcomes = block.outcomes.iter();
        for batch in &block.batches {
            let (bodies, erased) = self.bodies(height, batch)?;
            let ids: Vec<TxId> = batch.submissions.iter().map(|one| one.signed.transaction.id()).collect();
            self.batch(header, batch, &ids)?;
            let mut signatures = Vec::with_capacity(ids.len());
            for (submission, id) in batch.submissions.iter().zip(&ids) {
                let holds = self.author(submission, *id);
                let operations = submission.signed.transaction.operations.len().max(1);
                // Counted to the end: every transaction takes its own outcomes off the list.
                let accepted = outcomes
                    .by_ref()
                    .take(operations)
                    .filter(|outcome| {
                        outcome.tx == *id && matches!(outcome.verdict, Verdict::Accepted { .. })
                    })
                    .count();
                if accepted > 0 && !holds {
                    let author = submission.signed.transaction.author.short();
                    let detail = format!(
                        "transaction {id} of {}: the signature of key {author} does not verify, yet it was accepted",
                        self.lane(batch)
                    );
                    return Err(Box::new(Finding::wrong(height, Code::BadSignature, detail)));
                }
                signatures.push(holds);
            }
            judged.batches.push(batch.signed.header.digest());
            judged.signatures.push(signatures);
            judged.erased.push(erased);
            judged.bodies += bodies;
        }
        Ok(())
    }

    /// Chain, epoch and proposer: whether this judge may judge it at all. Gives the epoch's validators.
    fn position(&self, header: &Header) -> Result<&'s Committee, Box<Finding>> {
        if header.chain_id != self.chain_id {
            let detail = format!("the header is of chain {}", header.chain_id);
            return Err(Box::new(Finding::wrong(header.height, Code::GenesisMismatch, detail)));
        }
        let Some(set) = self.sets.get(header.epoch) else {
            let detail = format!(
                "epoch {}: no hand-over leads there, the newest validators known are those of epoch {}",
                header.epoch,
                self.sets.newest().committee.epoch()
            );
            return Err(Box::new(Finding::unknown(header.height, Code::UnknownSigner, detail)));
        };
        if header.height == Height::ZERO {
            return Err(Box::new(Finding::wrong(header.height, Code::ChainBroken, "genesis is no block")));
        }
        if header.proposer.index() >= set.committee.size() {
            let detail = format!("proposer {} is not in the validator set", header.proposer);
            return Err(Box::new(Finding::wrong(header.height, Code::ChainBroken, detail)));
        }
        Ok(&set.committee)
    }

    fn certificate(
        &self,
        committee: &Committee,
        block: &RawBlock,
        digest: &Digest,
    ) -> Result<(), Box<Finding>> {
        let header = &block.header;
        let wrong =
            |detail: String| Err(Box::new(Finding::wrong(header.height, Code::CertificateInvalid, detail)));
        let Some(certificate) = &block.certificate else {
            return match block.suffixes.is_empty() {
                true => Ok(()),
                false => wrong("suffixes without a certificate".to_owned()),
            };
        };
        let signed = |signer: ValidatorIx, slot: &SlotPreimage, signature: &Signature| {
            self.signed(header.epoch, signer, slot, signature)
        };
        if !block.suffixes.is_empty() {
            // A quorum committed an empty block below the closing one, and the closing one with it.
            let headers = std::iter::once(header).chain(&block.suffixes).cloned().collect();
            let proof = ClosingProof { headers, certificate: certificate.clone() };
            return match proof.verify_by(self.chain_id, committee, signed) {
                Ok(_) => Ok(()),
                Err(error) => wrong(format!("end of epoch {}: {error}", header.epoch)),
            };
        }
        if let Err(error) = certificate.verify_by(self.chain_id, committee, VoteKind::Commit, signed) {
            return wrong(format!("commit certificate: {error}"));
        }
        if certificate.height == header.height && certificate.digest != *digest {
            let detail = format!(
                "a quorum committed block {} at this height, the node gave {digest}",
                certificate.digest
            );
            return Err(Box::new(Finding::tampered(header.height, Code::ForkDetected, detail)));
        }
        if (certificate.height, certificate.view) != (header.height, header.view) {
            return wrong(format!(
                "the commit certificate is for block {} of view {}",
                certificate.height, certificate.view
            ));
        }
        Ok(())
    }

    /// The batch's own header, its author's signature and what it commits to.
    fn batch(&self, block: &Header, batch: &Batch, ids: &[TxId]) -> Result<(), Box<Finding>> {
        let header = &batch.signed.header;
        let wrong = |code, what: &str| {
            Err(Box::new(Finding::wrong(block.height, code, format!("{}: {what}", self.lane(batch)))))
        };
        if header.chain_id != self.chain_id || header.epoch != block.epoch {
            return wrong(Code::ChainBroken, "the batch is of another chain or epoch");
        }
        if !self.signed(header.epoch, header.author, header, &batch.signed.signature) {
            return wrong(Code::BadSignature, "the signature of the batch's author does not verify");
        }
        if header.payload_root != payload_root(ids) {
            return wrong(Code::ProofInvalid, "the transactions are not those that the batch commits to");
        }
        let operations = batch.submissions.iter().map(|one| one.signed.transaction.operations.len() as u64);
        if u64::from(header.count) != operations.sum::<u64>() {
            return wrong(Code::ProofInvalid, "the batch counts other operations than it holds");
        }
        Ok(())
    }

    /// Compares every body with the commitment in its operation's header; gives how many there were and how
    /// many are gone.
    fn bodies(&self, height: Height, batch: &Batch) -> Result<(u64, u64), Box<Finding>> {
        let (mut held, mut erased) = (0, 0);
        for (at, submission) in batch.submissions.iter().enumerate() {
            let operations = &submission.signed.transaction.operations;
            let wrong = |code, what: String| {
                let detail = format!("{}, transaction {at}: {what}", self.lane(batch));
                Box::new(Finding::wrong(height, code, detail))
            };
            if submission.bodies.len() != operations.len() {
                let what = format!("{} bodies for {} operations", submission.bodies.len(), operations.len());
                return Err(wrong(Code::BodyMissing, what));
            }
            for (operation, body) in operations.iter().zip(&submission.bodies) {
                let record = operation.record();
                match (operation.shared_body_commit(), body) {
                    (None, None) => {}
                    (Some(_), None) => erased += 1,
                    (Some(commit), Some(body)) if body.commitment() == commit => held += 1,
                    (Some(_), Some(_)) => {
                        let what =
                            format!("the body of record {record} is not the one its header commits to");
                        return Err(wrong(Code::BodyCommitment, what));
                    }
                    (None, Some(_)) => {
                        return Err(wrong(
                            Code::BodyNotAllowed,
                            format!("a body of record {record} stands where none may"),
                        ));
                    }
                }
            }
        }
        Ok((held, erased))
    }

    fn author(&mut self, submission: &Submission, id: TxId) -> bool {
        let transaction = &submission.signed.transaction;
        if self.authors.len() >= KEYS_MAX {
            self.authors.clear();
        }
        let key = self.authors.entry(transaction.author).or_insert_with(|| transaction.author.decode());
        let preimage = TransactionPreimage { chain_id: transaction.chain_id, id };
        key.as_ref().is_some_and(|key| key.verify(&preimage, &submission.signed.signature))
    }

    fn signed<T: chain_core::crypto::Signable>(
        &self,
        epoch: Epoch,
        signer: ValidatorIx,
        value: &T,
        signature: &Signature,
    ) -> bool {
        usize::try_from(epoch.get())
            .ok()
            .and_then(|at| self.validators.get(at)?.get(signer.index()))
            .and_then(Option::as_ref)
            .is_some_and(|key| key.verify(value, signature))
    }

    fn name(&self, epoch: Epoch, validator: ValidatorIx) -> &str {
        let known = self.sets.get(epoch).and_then(|set| set.committee.get(validator));
        known.map_or("?", |one| one.name.as_str())
    }

    fn lane(&self, batch: &Batch) -> String {
        let header = &batch.signed.header;
        format!("batch {} of {}", header.seq, self.name(header.epoch, header.author))
    }
}
