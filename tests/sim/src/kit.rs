//! A validator set with real keys, and the signed things it can say: for tests that build evidence by hand.
//!
//! [`Kit`] makes votes, certificates, view changes and blocks; [`table`] puts real engines around a table
//! where the test decides which messages arrive; [`town`] gives them clocks, disks and a power switch.

pub mod table;
pub mod town;

use std::sync::Arc;

use chain_core::block::{self, Flags, HEADER_VERSION, Header};
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, SecretKey, Signable, Signature};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, LaneAdvance, SignedBatchHeader};
use consensus::engine::Tip;
use consensus::message::{
    Claim, EntryProof, HighQc, Justification, Message, Proposal, TimeoutCert, ViewChange, ViewChangePreimage,
    Vote,
};
use consensus::safety::{Safety, SafetyRecord};
use consensus::signer::{CommitteeKeys, Signer, Verifier};
use consensus::verified::Judge;

use crate::sim::crypto::{SimSigner, SimVerifier};

/// Wall clock of everything in a kit, milliseconds since 1970.
pub const WALL_MS: u64 = 1_780_000_000_000;

/// One epoch's validators, with their secrets.
#[derive(Debug)]
pub struct Kit {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The validators.
    pub committee: Arc<Committee>,
    /// Whether signatures are the simulator's keyed hash instead of Ed25519.
    pub fast: bool,
    /// The chain at the base of the epoch.
    pub start: Tip,
}

/// A validator's secret key of a role: 1 consensus, 2 network, 3 log.
pub fn secret(role: u8, ix: u16) -> SecretKey {
    SecretKey::from_seed(*Digest::tagged(b"kit-key", &[&[role], &ix.to_be_bytes()]).as_bytes())
}

/// A rank.
pub fn rank(view: u64, height: u64) -> Rank {
    Rank { view: View::new(view), height: Height::new(height) }
}

/// A block as it travels.
pub fn propose(proposal: &Proposal) -> Message {
    Message::Propose(Box::new(proposal.clone()))
}

/// The validator at an index.
pub fn ix(index: u16) -> ValidatorIx {
    ValidatorIx::new(index)
}

impl Kit {
    /// `n` validators of epoch 0 on the chain `kit`.
    pub fn new(n: u16) -> Self {
        Self::on("kit", Epoch::ZERO, n)
    }

    /// `n` validators, on a chain whose view 0 this one leads.
    ///
    /// # Panics
    /// When no short name gives such a chain.
    pub fn led_by(n: u16, leader: u16) -> Self {
        (0..100)
            .map(|name| Self::on(&format!("kit-{name}"), Epoch::ZERO, n))
            .find(|kit| kit.leader(0) == ix(leader))
            .expect("one name in n will do")
    }

    /// The same validators, so the same keys, on another chain or in another epoch.
    ///
    /// # Panics
    /// For sizes outside 4 to 100.
    pub fn on(chain: &str, epoch: Epoch, n: u16) -> Self {
        let validators = (0..n)
            .map(|ix| Validator {
                name: format!("validator-{ix}"),
                agency: format!("register:CN-T:{ix}"),
                consensus_key: secret(1, ix).public(),
                network_key: secret(2, ix).public(),
                log_key: secret(3, ix).public(),
                address: format!("/ip4/127.0.0.1/tcp/{}", 7101 + ix),
                may_lead: true,
            })
            .collect();
        let committee = Arc::new(Committee::new(epoch, validators).expect("a valid committee"));
        let chain_id = ChainId::new(Digest::tagged(chain.as_bytes(), &[]));
        let start = Tip::genesis(chain_id, WALL_MS - 1_000);
        Self { chain_id, epoch, committee, fast: false, start }
    }

    /// The next epoch of the same chain, for the first `n` validators, after the closing block at this tip.
    pub fn after(&self, n: u16, closing: &Tip) -> Self {
        let next = Self::on("kit", self.epoch.next(), n);
        Self { chain_id: self.chain_id, fast: self.fast, start: closing.clone(), ..next }
    }

    /// `n` validators whose signatures are a keyed hash: for tests of many thousand messages.
    pub fn fast(n: u16) -> Self {
        Self { fast: true, ..Self::new(n) }
    }

    /// A consensus key.
    pub fn signer(&self, signer: u16) -> Box<dyn Signer> {
        if self.fast { Box::new(SimSigner::new(ix(signer))) } else { Box::new(secret(1, signer)) }
    }

    /// A validator's signature, whatever it is over.
    pub fn sign(&self, signer: u16, value: &dyn Signable) -> Signature {
        self.signer(signer).sign(value)
    }

    /// Validators.
    pub fn n(&self) -> usize {
        self.committee.size()
    }

    /// Fewest signatures that decide.
    pub fn quorum(&self) -> u16 {
        u16::try_from(self.committee.quorum()).unwrap_or(u16::MAX)
    }

    /// The judge of this epoch.
    pub fn judge(&self) -> Judge {
        let keys: Arc<dyn Verifier> = if self.fast {
            Arc::new(SimVerifier::new(u16::try_from(self.n()).unwrap_or(0)))
        } else {
            Arc::new(CommitteeKeys::new(&self.committee))
        };
        Judge::new(self.chain_id, self.committee.clone(), self.base(), keys)
    }

    /// Height and digest of the epoch's base.
    pub fn base(&self) -> (Height, Digest) {
        (self.start.height, self.start.digest)
    }

    /// The high QC of one that knows no certificate.
    pub fn base_qc(&self) -> HighQc {
        HighQc::Base { height: self.base().0, digest: self.base().1 }
    }

    /// The chain at the base.
    pub fn genesis(&self) -> Tip {
        self.start.clone()
    }

    /// Leader of a view.
    pub fn leader(&self, view: u64) -> ValidatorIx {
        self.committee.leader(&self.base().1, View::new(view))
    }

    /// A validator's safety record as key creation makes it.
    pub fn fresh_record(&self, signer: u16) -> SafetyRecord {
        SafetyRecord::fresh(self.chain_id, self.epoch, secret(1, signer).public(), self.base())
    }

    /// A safety module that may vote.
    pub fn safety(&self, signer: u16) -> Safety {
        let mut safety =
            Safety::new(self.fresh_record(signer), self.judge(), ix(signer), self.signer(signer));
        safety.allow_voting();
        safety
    }

    /// One vote.
    pub fn vote(&self, kind: VoteKind, rank: Rank, digest: Digest, signer: u16) -> Vote {
        let mut vote = Vote {
            kind,
            epoch: self.epoch,
            view: rank.view,
            height: rank.height,
            digest,
            signer: ix(signer),
            signature: Signature::ZERO,
        };
        vote.signature = self.sign(signer, &vote.slot(self.chain_id));
        vote
    }

    /// One vote for a block, as it travels.
    pub fn vote_on(&self, kind: VoteKind, header: &Header, signer: u16) -> Message {
        let rank = Rank { view: header.view, height: header.height };
        Message::Vote(self.vote(kind, rank, header.digest(), signer), Height::ZERO)
    }

    /// A certificate by these signers, which must ascend.
    pub fn cert_by(&self, kind: VoteKind, rank: Rank, digest: Digest, signers: &[u16]) -> Cert {
        let votes = signers.iter().map(|one| (ix(*one), self.vote(kind, rank, digest, *one).signature));
        Cert::from_votes(kind, self.epoch, rank, digest, self.n(), votes.collect::<Vec<_>>())
    }

    /// A certificate by the first quorum of validators.
    pub fn cert(&self, kind: VoteKind, rank: Rank, digest: Digest) -> Cert {
        self.cert_by(kind, rank, digest, &(0..self.quorum()).collect::<Vec<_>>())
    }

    /// A certificate over a header.
    pub fn cert_of(&self, kind: VoteKind, header: &Header) -> Cert {
        self.cert(kind, Rank { view: header.view, height: header.height }, header.digest())
    }

    /// An empty block's header on a tip.
    pub fn header(&self, parent: &Tip, view: u64, flags: Flags) -> Header {
        let (exec_height, exec_root) =
            parent.header.as_ref().map_or((Height::ZERO, table::summary(Height::ZERO).root()), |one| {
                (one.exec_height, one.exec_root)
            });
        let set = self.committee.hash();
        Header {
            version: HEADER_VERSION,
            chain_id: self.chain_id,
            epoch: self.epoch,
            view: View::new(view),
            height: parent.height.next(),
            parent: parent.digest,
            proposer: self.leader(view),
            time_ms: parent.time_ms.saturating_add(1).max(WALL_MS),
            flags: flags.with(Flags::SEAL),
            lanes_root: block::lanes_root(&[]),
            batches_root: block::batches_root([]),
            n_batches: 0,
            n_records: 0,
            n_bytes: 0,
            exec_height,
            exec_root,
            history_root: parent.history.root(),
            validators_hash: set,
            next_validators_hash: set,
        }
    }

    /// A header as its leader proposes it.
    pub fn propose(&self, header: Header, justification: Option<Justification>) -> Proposal {
        let signature = self.sign(header.proposer.get(), &header.proposal());
        Proposal { header, advances: Vec::new(), signature, justification }
    }

    /// A header that orders lane advances, as its leader proposes it. The sums in it are the caller's.
    pub fn propose_advances(&self, mut header: Header, advances: Vec<LaneAdvance>) -> Proposal {
        header.lanes_root = block::lanes_root(&advances);
        let signature = self.sign(header.proposer.get(), &header.proposal());
        Proposal { header, advances, signature, justification: None }
    }

    /// `count` connected empty blocks of one view on a tip, without justification.
    pub fn chain(&self, from: &Tip, view: u64, count: usize) -> Vec<Proposal> {
        let mut tip = from.clone();
        (0..count)
            .map(|_| {
                let proposal = self.propose(self.header(&tip, view, Flags::NONE), None);
                tip = tip.after(&proposal);
                proposal
            })
            .collect()
    }

    /// One signed claim of a VIEW-CHANGE.
    pub fn claim(&self, new_view: u64, claim: Claim, signer: u16) -> (ValidatorIx, Claim, Signature) {
        let preimage = ViewChangePreimage {
            chain_id: self.chain_id,
            epoch: self.epoch,
            new_view: View::new(new_view),
            claim,
        };
        (ix(signer), claim, self.sign(signer, &preimage))
    }

    /// A timeout certificate from what each signer knows; the best of it is named as such.
    ///
    /// # Panics
    /// Without any signer.
    pub fn timeout(&self, new_view: u64, known: &[(u16, HighQc)]) -> TimeoutCert {
        let claims = known.iter().map(|(signer, qc)| self.claim(new_view, qc.claim(), *signer)).collect();
        let best = known.iter().map(|(_, qc)| qc).max_by_key(|qc| qc.rank()).expect("a signer").clone();
        TimeoutCert { epoch: self.epoch, new_view: View::new(new_view), claims, best }
    }

    /// A timeout certificate of a quorum that knows nothing but the base.
    pub fn timeout_on_base(&self, new_view: u64) -> TimeoutCert {
        let known: Vec<_> = (0..self.quorum()).map(|signer| (signer, self.base_qc())).collect();
        self.timeout(new_view, &known)
    }

    /// A VIEW-CHANGE.
    pub fn view_change(
        &self,
        new_view: u64,
        high_qc: HighQc,
        entry: Option<EntryProof>,
        signer: u16,
    ) -> ViewChange {
        let (signer, _, signature) = self.claim(new_view, high_qc.claim(), signer);
        ViewChange { epoch: self.epoch, new_view: View::new(new_view), high_qc, entry, signer, signature }
    }

    /// A batch header of a lane.
    pub fn batch(&self, author: u16, seq: u64, prev: Digest, count: u32) -> SignedBatchHeader {
        let header = BatchHeader {
            chain_id: self.chain_id,
            epoch: self.epoch,
            author: ix(author),
            seq,
            prev,
            payload_root: Digest::tagged(b"kit-payload", &[&author.to_be_bytes(), &seq.to_be_bytes()]),
            bytes: 300 * count,
            count,
            time_ms: WALL_MS,
        };
        let signature = self.sign(author, &header);
        SignedBatchHeader { header, signature }
    }
}
