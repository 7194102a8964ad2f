//! A small valid chain for tests, with real signatures: seven blocks, two views, three lanes.

pub(crate) mod record;

use chain_core::api::RawBlock;
use chain_core::block::{Flags, HEADER_VERSION, Header, batches_root, lanes_root};
use chain_core::build::{Filing, file, submission};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::checkpoint::{Checkpoint, SignedCheckpoint};
use chain_core::codec::encode;
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, SecretKey, Signature};
use chain_core::epoch::{ClosingProof, HandOver};
use chain_core::execute::{self, LedgerRead as _, OrderedBatch, OrderedBlock};
use chain_core::genesis::{
    AgencyEntry, Council, Document, Genesis, LegalBasisEntry, MemberEntry, Months, Parameters, Permits,
    Publication, Recovery, RecoveryKeyEntry, SCHEMA, ValidatorEntry, ValidatorSecrets,
};
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, LaneAdvance, SignedBatchHeader};
use chain_core::layout::Layout as _;
use chain_core::ledger::MemoryLedger;
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::validator::ValidatorDetails;
use chain_core::record::{BasisRef, Class, Details, RecordType, SubjectKind};
use chain_core::recovery::{Passage, RecoveryAct, SignedRecovery};
use chain_core::state::key;
use chain_core::subject::Index;
use chain_core::transaction::{Batch, Submission, payload_root};

use crate::sets::{Set, Sets};

/// Validators.
pub(crate) const N: u8 = 4;
const NETWORK: &str = "audit-city";

/// A key of the sample: kinds 1 to 3 are consensus, network and log keys, above are members'.
pub(crate) fn secret(kind: u8, ix: u8) -> SecretKey {
    SecretKey::from_seed([kind * 16 + ix; 32])
}

fn agency(ix: u8) -> String {
    format!("register:CN-T:{ix}")
}

/// The genesis; its time makes it another chain.
pub(crate) fn genesis(created: &str) -> Genesis {
    genesis_with(created, None)
}

/// The same, with a way out of a lost quorum.
fn genesis_with(created: &str, recovery: Option<Recovery>) -> Genesis {
    let validator = |ix| {
        let secrets =
            ValidatorSecrets { consensus: &secret(1, ix), network: &secret(2, ix), log: &secret(3, ix) };
        let address = format!("/ip4/127.0.0.1/tcp/{}", 7100 + u16::from(ix));
        ValidatorEntry::new(NETWORK, &format!("v{ix}"), &agency(ix), &address, secrets)
    };
    let member = |role: &str, kind, ix| {
        MemberEntry::new(NETWORK, &agency(ix), role, "a desk", "2026-01-01", &secret(kind, ix))
    };
    let types = || ["egov.decision", "egov.doc_fingerprint", "export.manifest"].map(str::to_owned).to_vec();
    let basis = |id: &str, instrument: &str| LegalBasisEntry {
        id: id.into(),
        version: 1,
        title: "档案法".into(),
        titles: Vec::new(),
        instrument: instrument.into(),
        issuer: "issuer".into(),
        doc_no: String::new(),
        article: String::new(),
        text_hash: Digest::tagged(b"text", &[]),
        in_force: "2021-01-01".into(),
        ends: None,
        permits: Permits { types: types(), subject_kinds: vec!["none".into()], class_max: "P1".into() },
        publication: Publication {
            allowed: true,
            months_max: Months::default(),
            months_min: Months::default(),
        },
        repair: None,
        deadlines: Vec::new(),
        countersign_roles: Vec::new(),
        codes: Vec::new(),
        expiry_required: false,
        hearing: false,
        retention_months: 0,
    };
    let roles =
        [("council_member", 4), ("clerk", 5), ("agency_admin", 6), ("agency_admin", 7), ("supervisor", 9)];
    let document = Document {
        schema: SCHEMA.into(),
        network: NETWORK.into(),
        suite: 1,
        sig_rule: 1,
        created: created.into(),
        utc_offset_minutes: 480,
        parameters: Parameters::default(),
        council: Council { threshold: 3 },
        recovery,
        subject_key: None,
        validators: (0..N).map(validator).collect(),
        agencies: (0..N)
            .map(|ix| AgencyEntry {
                id: agency(ix),
                name: format!("机关{ix}"),
                name_en: String::new(),
                types: types(),
                home_validator: format!("v{ix}"),
                from: "2026-01-01".into(),
                to: None,
            })
            .collect(),
        members: roles
            .iter()
            .flat_map(|&(role, kind)| (0..N).map(move |ix| member(role, kind, ix)))
            .collect(),
        legal_bases: vec![basis("archives", "law"), basis("notice", "policy")],
        calendars: Vec::new(),
        registered_types: vec![record::manifest_type().details],
    };
    Genesis::from_document(document).unwrap()
}

/// A chain that grows by valid blocks.
pub(crate) struct Chain {
    pub(crate) genesis: Genesis,
    pub(crate) ledger: MemoryLedger,
    pub(crate) blocks: Vec<RawBlock>,
    /// The validators of every epoch, as hand-overs prove them.
    pub(crate) sets: Sets,
    lanes: Vec<(u64, Digest)>,
    history: Frontier,
    view: View,
    records: u64,
    /// Acts that the next block executes.
    acts: Vec<SignedRecovery>,
}

impl Chain {
    /// Genesis alone.
    pub(crate) fn new() -> Self {
        Self::of(genesis("2026-11-23T00:00:00Z"))
    }

    fn of(genesis: Genesis) -> Self {
        let ledger = MemoryLedger::new(genesis.chain_params(), &genesis.state().unwrap()).unwrap();
        let lanes = vec![(0, Digest::ZERO); usize::from(N)];
        let (history, view, sets) = (Frontier::default(), View::ZERO, Sets::of(&genesis));
        Self { genesis, ledger, blocks: Vec::new(), sets, lanes, history, view, records: 0, acts: Vec::new() }
    }

    /// Seven blocks; 2, 4 and 7 carry certificates; 5 begins a view.
    pub(crate) fn sample() -> Self {
        Self::new().grown()
    }

    fn grown(mut self) -> Self {
        let chain = &mut self;
        chain.block(&[], false);
        let one = chain.records(0, 1);
        let two = chain.records(1, 1);
        chain.block(&[(0, vec![one]), (1, vec![two])], true);
        let (many, expired, mut forged) = (chain.records(0, 10), chain.expired(2), chain.records(2, 1));
        forged.signed.signature = Signature::ZERO;
        let last = chain.records(2, 2);
        chain.block(&[(0, vec![many]), (2, vec![expired, forged]), (2, vec![last])], false);
        chain.block(&[], true);
        chain.view = View::new(1);
        chain.block(&[], false);
        let more = chain.records(1, 3);
        chain.block(&[(1, vec![more])], false);
        chain.block(&[], true);
        self
    }

    /// The sample of a city with three recovery keys, of which two end epoch 0 at block 7; then three blocks of epoch 1,
    /// or of epoch 2 when they sign a second act before epoch 1 has a block.
    pub(crate) fn recovered(acts: u64) -> Self {
        let safes = (0..3)
            .map(|ix| RecoveryKeyEntry::new(NETWORK, &format!("safe-{ix}"), &agency(ix), &secret(8, ix)));
        let recovery = Recovery { threshold: 2, keys: safes.collect() };
        let mut chain = Self::of(genesis_with("2026-11-23T00:00:00Z", Some(recovery))).grown();
        for epoch in 0..acts {
            let act = chain.act(epoch);
            let signatures = [0, 2].map(|ix| act.sign(&secret(8, ix))).to_vec();
            let recovery = SignedRecovery::new(act, signatures);
            chain.sets.take(Passage::Recovery(recovery.clone())).unwrap();
            chain.acts.push(recovery);
        }
        chain.lanes = vec![(0, Digest::ZERO); usize::from(N)];
        chain.view = View::ZERO;
        chain.block(&[], false);
        let more = chain.records(1, 2);
        chain.block(&[(1, vec![more])], false);
        chain.block(&[], true);
        chain
    }

    /// An act for the end of an epoch at the newest block; it moves the first validator.
    pub(crate) fn act(&self, epoch: u64) -> RecoveryAct {
        let newest = &self.blocks.last().unwrap().header;
        let mut validators = self.genesis.committee().validators().to_vec();
        validators[0].address = format!("/ip4/10.0.0.{}/tcp/7101", epoch + 1);
        RecoveryAct {
            chain_id: self.genesis.chain_id(),
            epoch: Epoch::new(epoch),
            height: newest.height,
            block_digest: newest.digest(),
            next: Committee::new(Epoch::new(epoch + 1), validators).unwrap(),
            reason: "two machine rooms burnt".into(),
            time_ms: 1_795_392_000_000,
        }
    }

    /// The sample, and then a second epoch: the council moves a validator, block 9 closes the first one, made final by
    /// a suffix if wanted, and three blocks follow. Gives the suffix too.
    pub(crate) fn two_epochs(suffix: bool) -> Self {
        Self::two_epochs_with(suffix, true)
    }

    /// The same; lanes may wrongly go on where the first epoch left them.
    pub(crate) fn two_epochs_with(suffix: bool, lanes_begin_anew: bool) -> Self {
        let mut chain = Self::sample();
        let moved = chain.moved(1);
        chain.block(&[(0, moved)], false);
        let settled = execute::epoch(&chain.ledger).unwrap().unwrap().scheduled.unwrap().next;
        chain.append(&[], !suffix, Flags::SEAL.with(Flags::CLOSING), settled.hash());
        let closing = chain.blocks.last_mut().unwrap();
        if suffix {
            let below = Header {
                view: closing.header.view.next(),
                height: closing.header.height.next(),
                parent: closing.header.digest(),
                flags: Flags::SEAL.with(Flags::SUFFIX),
                ..closing.header.clone()
            };
            closing.certificate = Some(certificate(&below, &[0, 1, 3]));
            closing.suffixes = vec![below];
        }
        let headers = std::iter::once(&closing.header).chain(&closing.suffixes).cloned().collect();
        let proof = ClosingProof { headers, certificate: closing.certificate.clone().unwrap() };
        chain.sets.take(Passage::HandOver(HandOver { proof, next: settled })).unwrap();
        if lanes_begin_anew {
            chain.lanes = vec![(0, Digest::ZERO); usize::from(N)];
        }
        chain.view = View::ZERO;
        chain.block(&[], false);
        let more = chain.records(1, 2);
        chain.block(&[(1, vec![more])], false);
        chain.block(&[], true);
        chain
    }

    /// Three council members give a validator another address.
    fn moved(&mut self, ix: u8) -> Vec<Submission> {
        let known = execute::validators(&self.ledger).unwrap();
        let entry = known.iter().find(|one| one.validator.name == format!("v{ix}")).unwrap();
        let old = self.ledger.get(&key::governance(&entry.record, entry.version)).unwrap().unwrap();
        let old = chain_core::record::Header::from_canonical(&old).unwrap();
        let secrets =
            ValidatorSecrets { consensus: &secret(1, ix), network: &secret(2, ix), log: &secret(3, ix) };
        let (chain_id, home) = (self.genesis.chain_id(), agency(ix).parse().unwrap());
        let details =
            ValidatorDetails::prove(chain_id, &format!("v{ix}"), &home, "/ip4/10.0.0.1/tcp/7101", secrets);
        let details = Details::Validator(Box::new(details));
        let header = chain_core::record::Header { version: old.version + 1, details, ..old };
        let approve = Operation::Countersign {
            record: header.record,
            version: header.version,
            header_digest: header.digest(),
        };
        let amend = Operation::Amend { header: Box::new(header), reason: AmendReason::ChangeOnApplication };
        let until = self.time_ms() + 3_600_000;
        let sign =
            |(by, operation)| submission(chain_id, &secret(4, by), until, false, vec![(operation, None)]);
        [(0, amend), (1, approve.clone()), (2, approve)].map(sign).into()
    }

    /// Records of one officer under one signature.
    pub(crate) fn records(&mut self, officer: u8, count: u64) -> Submission {
        self.signed(officer, count, self.time_ms() + 3_600_000)
    }

    fn expired(&mut self, officer: u8) -> Submission {
        self.signed(officer, 1, self.time_ms() - 1)
    }

    fn signed(&mut self, officer: u8, count: u64, valid_until_ms: u64) -> Submission {
        let chain_id = self.genesis.chain_id();
        let operations = (0..count).map(|_| {
            self.records += 1;
            let number = self.records.to_be_bytes();
            let body = format!(
                r#"{{"custody":[{{"lang":"en","text":"desk"}}],"media_type":"application/pdf","origin":{{"method":"manual","system":"s"}},"purpose":"archive","sha256":"{}","size":4096}}"#,
                Digest::tagged(b"document", &[&number])
            );
            let filing = Filing {
                idempotency_key: &self.records.to_string(),
                salt: Digest::tagged(b"salt", &[&number]),
                ..self.filing(officer, RecordType::DocFingerprint)
            };
            let (operation, body, _) = file(&filing, &body).unwrap().submit();
            (operation, body)
        });
        submission(chain_id, &secret(5, officer), valid_until_ms, false, operations.collect())
    }

    /// What all records of an agency have in common here.
    fn filing(&self, officer: u8, record_type: RecordType) -> Filing<'static> {
        Filing {
            chain_id: self.genesis.chain_id(),
            agency: agency(officer).parse().unwrap(),
            dedupe_key: b"dedupe",
            idempotency_key: "",
            record_type,
            version: 1,
            class: Class::P0,
            subject_kind: SubjectKind::None,
            legal_basis: Some(BasisRef { id: "archives".into(), version: 1 }),
            salt: Digest::tagged(b"salt", &[]),
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        }
    }

    fn time_ms(&self) -> u64 {
        self.blocks.last().map_or(self.genesis.created_ms(), |block| block.header.time_ms)
    }

    /// Appends a block with these batches, sorted by author.
    pub(crate) fn block(&mut self, batches: &[(u16, Vec<Submission>)], certified: bool) {
        let flags = if batches.is_empty() { Flags::SEAL } else { Flags::NONE };
        self.append(batches, certified, flags, self.sets.newest().committee.hash());
    }

    fn append(&mut self, batches: &[(u16, Vec<Submission>)], certified: bool, flags: Flags, next: Digest) {
        let batches: Vec<Batch> =
            batches.iter().map(|(author, submissions)| self.batch(*author, submissions.clone())).collect();
        let mut advances: Vec<LaneAdvance> = Vec::new();
        for batch in &batches {
            let header = &batch.signed.header;
            advances.retain(|one| one.author != header.author);
            advances.push(LaneAdvance { author: header.author, seq: header.seq, tip: header.digest() });
        }
        let digests: Vec<Digest> = batches.iter().map(|one| one.signed.header.digest()).collect();
        let Set { committee, base, .. } = self.sets.newest();
        let parent = self.blocks.last().map(|one| one.header.digest());
        let summary = *self.ledger.summary();
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.genesis.chain_id(),
            epoch: committee.epoch(),
            view: self.view,
            height: Height::new(self.blocks.len() as u64 + 1),
            parent: parent.unwrap_or(*self.genesis.chain_id().digest()),
            proposer: committee.leader(&base.1, self.view),
            time_ms: self.time_ms() + 1000,
            flags,
            lanes_root: lanes_root(&advances),
            batches_root: batches_root(&digests),
            n_batches: u32::try_from(batches.len()).unwrap(),
            n_records: batches.iter().map(|one| one.signed.header.count).sum(),
            n_bytes: batches.iter().map(|one| one.signed.header.bytes).sum(),
            exec_height: summary.height,
            exec_root: summary.root(),
            history_root: self.history.root(),
            validators_hash: committee.hash(),
            next_validators_hash: next,
        };
        let signatures: Vec<Vec<bool>> = batches
            .iter()
            .map(|batch| batch.submissions.iter().map(|one| one.signed.verify_signature()).collect())
            .collect();
        let ordered = OrderedBlock {
            header: &header,
            batches: batches
                .iter()
                .zip(&signatures)
                .map(|(batch, signatures_ok)| OrderedBatch { batch, signatures_ok, recorded: None })
                .collect(),
            index: Index::None,
        };
        let outcomes = match &std::mem::take(&mut self.acts)[..] {
            [] => self.ledger.execute(&ordered).unwrap(),
            acts => self.ledger.execute_recovered(&ordered, acts).unwrap(),
        };
        self.history.push(&leaf_hash(header.digest().as_bytes()));
        let mut block = RawBlock {
            header,
            advances,
            proposer_signature: Signature::ZERO,
            batches,
            outcomes,
            certificate: None,
            suffixes: Vec::new(),
            exec_root: self.ledger.summary().root(),
            index: None,
        };
        sign(&mut block);
        if certified {
            block.certificate = Some(certificate(&block.header, &[0, 1, 3]));
        }
        self.blocks.push(block);
    }

    fn batch(&mut self, author: u16, submissions: Vec<Submission>) -> Batch {
        let (seq, prev) = self.lanes[usize::from(author)];
        let ids: Vec<_> = submissions.iter().map(|one| one.signed.transaction.id()).collect();
        let bytes: usize = submissions.iter().map(|one| encode(one).unwrap().len()).sum();
        let count: usize = submissions.iter().map(|one| one.signed.transaction.operations.len()).sum();
        let header = BatchHeader {
            chain_id: self.genesis.chain_id(),
            epoch: self.sets.newest().committee.epoch(),
            author: ValidatorIx::new(author),
            seq,
            prev,
            payload_root: payload_root(&ids),
            bytes: u32::try_from(bytes).unwrap(),
            count: u32::try_from(count).unwrap(),
            time_ms: 0,
        };
        self.lanes[usize::from(author)] = (seq + 1, header.digest());
        let signature = secret(1, u8::try_from(author).unwrap()).sign(&header);
        Batch { signed: SignedBatchHeader { header, signature }, submissions }
    }

    /// A checkpoint of the log as it is, cosigned by these validators.
    pub(crate) fn checkpoint(&self, root: Option<Digest>, cosigners: &[u8]) -> String {
        let summary = self.ledger.summary();
        let checkpoint = Checkpoint {
            origin: self.genesis.origin(),
            size: summary.log_size,
            root: root.unwrap_or(summary.log_root),
        };
        let mut lines = vec![checkpoint.sign(&secret(3, 0))];
        for &ix in cosigners {
            let key = secret(3, ix);
            lines.push(checkpoint.cosign(1_795_392_000, &key).line(&format!("v{ix}"), &key.public()));
        }
        SignedCheckpoint { checkpoint, lines }.to_text()
    }
}

/// The proposer's signature over what the header says now.
pub(crate) fn sign(block: &mut RawBlock) {
    let proposer = u8::try_from(block.header.proposer.get()).unwrap();
    block.proposer_signature = secret(1, proposer).sign(&block.header.proposal());
}

/// A commit certificate for what the header says now.
pub(crate) fn certificate(header: &Header, signers: &[u8]) -> Cert {
    let rank = chain_core::certificate::Rank { view: header.view, height: header.height };
    let blank = Cert::from_votes(VoteKind::Commit, header.epoch, rank, header.digest(), usize::from(N), []);
    let slot = blank.slot(header.chain_id);
    let votes = signers.iter().map(|&ix| (ValidatorIx::new(u16::from(ix)), secret(1, ix).sign(&slot)));
    Cert::from_votes(VoteKind::Commit, header.epoch, rank, header.digest(), usize::from(N), votes)
}
