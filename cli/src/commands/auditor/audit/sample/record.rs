//! A record with a life of several steps, the receipts of leaves, and everything as a node would give it.

use chain_core::api::RawBlock;
use chain_core::build::{self, Filed, Filing};
use chain_core::checkpoint::{Published, SignedCheckpoint, VerifierKey};
use chain_core::cose::RootStatement;
use chain_core::crypto::SecretKey;
use chain_core::execute::LedgerRead as _;
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::merkle::Tree;
use chain_core::merkle::tile::{Bundle, Tile};
use chain_core::operation::{AmendReason, Operation};
use chain_core::receipt::{LeafFacts, Receipt, TlogProof};
use chain_core::record::RecordType;
use chain_core::record::governance::Instrument;
use chain_core::record::type_file::TypeFile;
use chain_core::state::{EntryName, RecordHead, SchemaEntry, tree};
use chain_core::state_proof::StateProof;
use chain_core::transaction::{Body, Submission};

use super::{Chain, Digest, agency, secret, submission};
use crate::commands::auditor::audit::record::source::Source;
use crate::error::CliResult;

/// The registered type of the example city's manifests, which rest on laws alone here.
pub(super) fn manifest_type() -> TypeFile {
    let text = include_str!("../../../../../../genesis/schemas/export.manifest.json");
    let mut file = TypeFile::parse(text).unwrap();
    file.details.instruments = vec![Instrument::Law];
    file
}

impl Chain {
    /// The sample with a decision of the first agency in its life: filed, approved, corrected, approved, its
    /// publication stopped. A step a block, then an empty block with a certificate.
    pub(crate) fn decided() -> (Self, RecordId) {
        let mut chain = Self::sample();
        let (clerk, supervisor) = (secret(5, 0), secret(9, 0));
        let first = chain.decision(1, "停车管理办法");
        let record = first.header.record;
        let approve = |filed: &Filed| Operation::Countersign {
            record,
            version: filed.header.version,
            header_digest: filed.header.digest(),
        };
        let approval = approve(&first);
        let (submit, body, _) = first.submit();
        chain.step(&clerk, submit, body);
        chain.step(&supervisor, approval, None);
        let second = chain.decision(2, "停车管理办法（更正）");
        let approval = approve(&second);
        let (amend, body, _) = second.amend(AmendReason::Clerical);
        chain.step(&clerk, amend, body);
        chain.step(&supervisor, approval, None);
        let stop = Operation::StopPublication { record, version: 2, reason: "court order".to_owned() };
        chain.step(&supervisor, stop, None);
        chain.block(&[], true);
        (chain, record)
    }

    fn decision(&self, version: u32, title: &str) -> Filed {
        let home = agency(0);
        let digest = Digest::tagged(b"rule", &[title.as_bytes()]);
        let body = format!(
            r#"{{"adopted":"2026-10-01","body":"{home}","doc_no":"1","in_force":"2026-12-01","kind":"rule","languages":["zh-Hans"],"origin":{{"method":"manual","system":"s"}},"published":"2026-10-10","text":{{"class":"P0","media_type":"application/pdf","name":"rule.pdf","sha256":"{digest}","size":1024}},"title":[{{"lang":"zh-Hans","text":"{title}"}}],"uri":"https://example.org/1"}}"#
        );
        let filing = Filing {
            idempotency_key: "decision",
            version,
            salt: Digest::tagged(b"salt of a decision", &[&version.to_be_bytes()]),
            ..self.filing(0, RecordType::Decision)
        };
        build::file(&filing, &body).unwrap()
    }

    /// The sample with the manifest of an export, a record of a registered type, filed by the first agency. Then three of the
    /// council suspend the type.
    pub(crate) fn manifested() -> (Self, RecordId) {
        let mut chain = Self::sample();
        let filed = chain.manifest(&serde_json::json!({}));
        let record = filed.header.record;
        let (submit, body, _) = filed.submit();
        chain.step(&secret(5, 0), submit, body);
        let name = EntryName::Schema(manifest_type().details.key, 1);
        let entry = chain.ledger.get(&name.key()).unwrap().unwrap();
        let schema = SchemaEntry::from_canonical(&entry).unwrap().record;
        let reason = "under revision".to_owned();
        chain.step(
            &secret(4, 0),
            Operation::Suspend { record: schema, version: 1, until: None, reason },
            None,
        );
        for council in [1, 2] {
            let head = chain.ledger.get(&EntryName::Record(schema).key()).unwrap().unwrap();
            let head = RecordHead::from_canonical(&head).unwrap();
            let header_digest = head.pending.unwrap().digest;
            chain.step(
                &secret(4, council),
                Operation::Countersign { record: schema, version: 1, header_digest },
                None,
            );
        }
        chain.block(&[], true);
        (chain, record)
    }

    /// A manifest, its body changed by a merge patch.
    pub(crate) fn manifest(&self, patch: &serde_json::Value) -> Filed {
        let known = manifest_type();
        let mut body = serde_json::Value::Object(known.examples.accepted[0].body.clone());
        for (name, value) in patch.as_object().unwrap() {
            body[name] = value.clone();
        }
        let registered = known.check().unwrap();
        let filing = Filing { idempotency_key: "manifest", ..self.filing(0, registered.record_type()) };
        build::file_registered(&filing, &registered, &body.to_string()).unwrap()
    }

    /// One step in a block of its own.
    fn step(&mut self, by: &SecretKey, operation: Operation, body: Option<Body>) {
        let until = self.time_ms() + 3_600_000;
        let one: Submission = submission(self.genesis.chain_id(), by, until, false, vec![(operation, body)]);
        self.block(&[(0, vec![one])], false);
    }

    /// The receipt of a leaf under a checkpoint of the log as it is, cosigned by these validators.
    pub(crate) fn receipt(&self, index: usize, cosigners: &[u8]) -> Receipt {
        let leaves = self.ledger.leaves();
        let signed = SignedCheckpoint::parse(&self.checkpoint(None, cosigners)).unwrap();
        let root_signatures = cosigners
            .iter()
            .map(|&ix| {
                let cosigner = VerifierKey::cosigner(&format!("v{ix}"), secret(3, ix).public());
                secret(3, ix).sign(&RootStatement::new(&signed.checkpoint, &cosigner, 1_795_392_000))
            })
            .collect();
        let leaf = Leaf::decode(&leaves[index].bytes).unwrap();
        let facts = LeafFacts {
            record: leaf.record().unwrap(),
            version: leaf.version().unwrap(),
            decoded: leaf.to_json(),
            body_commit: leaf.header().and_then(|header| header.body_commit),
        };
        let tree = Tree::from_leaves(leaves.iter().map(|leaf| &leaf.bytes));
        let path = tree.inclusion(index as u64).unwrap();
        let policy = self.sets.policies().next().unwrap();
        let published = Published { signed, root_signatures };
        Receipt::new(&leaves[index].bytes, facts, None, path, &published, &policy).unwrap()
    }
}

/// What a node gives out about a chain, to be lied with.
pub(crate) struct Given {
    /// The chain as it is.
    pub(crate) chain: Chain,
    /// Its blocks as they are told.
    pub(crate) blocks: Vec<RawBlock>,
    /// Its leaves as they are told.
    pub(crate) leaves: Vec<Vec<u8>>,
    /// Leaves that are not named as any record's.
    pub(crate) hidden: Vec<u64>,
    /// Whether a record's leaves are named backwards.
    pub(crate) backwards: bool,
    /// The checkpoint, when it is another one than that of the chain's own log.
    pub(crate) checkpoint: Option<String>,
}

impl Given {
    /// The truth.
    pub(crate) fn of(chain: Chain) -> Self {
        let blocks = chain.blocks.clone();
        let leaves = chain.ledger.leaves().iter().map(|leaf| leaf.bytes.clone()).collect();
        Self { chain, blocks, leaves, hidden: Vec::new(), backwards: false, checkpoint: None }
    }

    /// A checkpoint of the leaves as they are told, cosigned by a quorum that lies.
    pub(crate) fn cosign_lies(&mut self) {
        let root = self.tree().root();
        self.checkpoint = Some(self.chain.checkpoint(Some(root), &[0, 2, 3]));
    }

    fn tree(&self) -> Tree {
        Tree::from_leaves(&self.leaves)
    }

    /// The seal under the checkpoint: the true one, unless a quorum cosigned lies.
    fn seal(&self) -> TlogProof {
        let (text, tree) = match &self.checkpoint {
            Some(lied) => (lied.clone(), self.tree()),
            None => {
                let leaves = self.chain.ledger.leaves().iter().map(|leaf| &leaf.bytes);
                (self.chain.checkpoint(None, &[0, 2, 3]), Tree::from_leaves(leaves))
            }
        };
        let index = tree.size() - 1;
        TlogProof {
            extra: self.leaves.last().cloned(),
            index,
            hashes: tree.inclusion(index).unwrap().hashes,
            checkpoint: SignedCheckpoint::parse(&text).unwrap(),
        }
    }
}

impl Source for Given {
    fn places(&self, record: &RecordId) -> CliResult<Vec<u64>> {
        let all = (0..).zip(&self.leaves);
        let own = all.filter(|(_, leaf)| Leaf::decode(leaf).unwrap().record() == Some(*record));
        let mut places: Vec<u64> = own.map(|(at, _)| at).filter(|at| !self.hidden.contains(at)).collect();
        if self.backwards {
            places.reverse();
        }
        Ok(places)
    }

    fn bundle(&self, bundle: Bundle) -> CliResult<Vec<u8>> {
        let leaves = bundle.leaves().map(|at| &self.leaves[usize::try_from(at).unwrap()]);
        Ok(bundle.encode(&leaves.collect::<Vec<_>>()).unwrap())
    }

    fn tile(&self, tile: Tile) -> CliResult<Vec<u8>> {
        let Ok(bytes) = tile.read(&self.tree());
        Ok(bytes)
    }

    fn state(&self, entry: &EntryName, _: Option<Height>) -> CliResult<StateProof> {
        let ledger = &self.chain.ledger;
        let path = tree::prove(ledger, ledger.height(), &entry.key()).unwrap();
        let value = ledger.get(&entry.key()).unwrap();
        let policy = self.chain.sets.policies().next().unwrap();
        Ok(StateProof::new(entry.clone(), value.as_deref(), path, &self.seal(), &policy)?)
    }

    fn block(&self, height: Height) -> CliResult<RawBlock> {
        let at = usize::try_from(height.get()).unwrap() - 1;
        Ok(self.blocks[at].clone())
    }
}

/// The leaf at a place, changed.
pub(crate) fn changed(leaves: &mut [Vec<u8>], place: usize, change: impl FnOnce(&mut Leaf)) {
    let mut leaf = Leaf::decode(&leaves[place]).unwrap();
    change(&mut leaf);
    leaves[place] = leaf.to_canonical();
}
