//! Four validators in one process, over a network in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::any::Any;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chain_core::api::{Stage, TransactionStatus};
use chain_core::build::{self, Filing};
use chain_core::code::Refusal;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::genesis::{
    AgencyEntry, Council, Document, Genesis, LegalBasisEntry, MemberEntry, Months, Parameters, Permits,
    Publication, SCHEMA, ValidatorEntry, ValidatorSecrets,
};
use chain_core::id::{TxId, ValidatorIx};
use chain_core::read::Reader;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::transaction::Submission;
use city_node::config::{GuestConfig, ReaderConfig, VaultConfig};
use city_node::datadir::{DataDir, marker_of};
use city_node::handle::NodeHandle;
use city_node::link::{Frame, Inbox, Network, NoAnswer, PeerConnection, SyncRequest, SyncResponse};
use city_node::start::{NodeKeys, Running, Setup};
use consensus::Peers;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

const NETWORK: &str = "test-city";
/// The agency of each validator.
pub(crate) const AGENCIES: [&str; 4] =
    ["register:CN-T:0", "register:CN-T:1", "register:CN-T:2", "register:CN-T:3"];

/// The validator whose answers are for anybody; those of the others are for auditors.
pub(crate) const PUBLIC: usize = 3;

pub(crate) fn secret(kind: u8, ix: usize) -> SecretKey {
    SecretKey::from_seed(*Digest::tagged(b"node-test", &[&[kind], &ix.to_be_bytes()]).as_bytes())
}

pub(crate) fn clerk(ix: usize) -> SecretKey {
    secret(4, ix)
}

/// A member of an agency.
pub(crate) fn member(agency: &str, role: &str, from: &str, key: &SecretKey) -> MemberEntry {
    MemberEntry::new(NETWORK, agency, role, &format!("{role} desk"), from, key)
}

/// The genesis, with the ports validators listen on.
pub(crate) fn genesis(ports: [u16; 4]) -> Genesis {
    Genesis::from_document(document(ports)).unwrap()
}

/// What it says.
pub(crate) fn document(ports: [u16; 4]) -> Document {
    let validator = |ix: usize| {
        let secrets =
            ValidatorSecrets { consensus: &secret(1, ix), network: &secret(2, ix), log: &secret(3, ix) };
        ValidatorEntry::new(
            NETWORK,
            &format!("v{ix}"),
            AGENCIES[ix],
            &format!("/ip4/127.0.0.1/tcp/{}", ports[ix]),
            secrets,
        )
    };
    let agency = |ix: usize| AgencyEntry {
        id: AGENCIES[ix].into(),
        name: format!("示例机关{ix}"),
        name_en: String::new(),
        types: vec!["credit.licence".into(), "credit.penalty".into()],
        home_validator: format!("v{ix}"),
        from: "2026-01-01".into(),
        to: None,
    };
    let member = |role: &str, key: &SecretKey, ix: usize| member(AGENCIES[ix], role, "2026-01-01", key);
    let members = (0..4).flat_map(|ix| {
        [
            member("clerk", &clerk(ix), ix),
            member("council_member", &secret(5, ix), ix),
            member("agency_admin", &secret(6, ix), ix),
            member("agency_admin", &secret(7, ix), ix),
        ]
    });
    let basis = LegalBasisEntry {
        id: "cn-food-safety".into(),
        version: 1,
        title: "中华人民共和国食品安全法".into(),
        titles: vec!["《中华人民共和国食品安全法》".into()],
        instrument: "law".into(),
        issuer: "全国人民代表大会常务委员会".into(),
        doc_no: String::new(),
        article: String::new(),
        text_hash: Digest::tagged(b"text", &[]),
        in_force: "2015-10-01".into(),
        ends: None,
        permits: Permits {
            types: vec!["credit.licence".into(), "credit.penalty".into()],
            subject_kinds: vec!["organisation".into()],
            class_max: "P3".into(),
        },
        publication: Publication {
            allowed: true,
            months_max: Months { minor: Some(3), ordinary: Some(12), serious: Some(36), unclassified: None },
            months_min: Months { minor: None, ordinary: Some(3), serious: Some(12), unclassified: None },
        },
        repair: None,
        deadlines: Vec::new(),
        countersign_roles: vec!["supervisor".into()],
        codes: Vec::new(),
        expiry_required: false,
        hearing: false,
        retention_months: 60,
    };
    Document {
        schema: SCHEMA.into(),
        network: NETWORK.into(),
        suite: 1,
        sig_rule: 1,
        created: "2026-05-01T00:00:00Z".into(),
        utc_offset_minutes: 480,
        parameters: Parameters { block_interval_ms_min: 5, ..Parameters::default() },
        council: Council { threshold: 3 },
        recovery: None,
        subject_key: None,
        validators: (0..4).map(validator).collect(),
        agencies: (0..4).map(agency).collect(),
        members: members.collect(),
        legal_bases: vec![basis],
        calendars: Vec::new(),
        registered_types: Vec::new(),
    }
}

/// A licence of an agency, signed by its clerk; its number is its idempotency key.
pub(crate) fn licence(genesis: &Genesis, ix: usize, number: &str) -> Submission {
    let text = |text: &str| json!([{ "lang": "zh-Hans", "text": text }]);
    let body = json!({
        "subject": { "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例食品有限公司" },
        "decision_no": number,
        "decision_title": text("食品经营许可决定书"),
        "licence_class": "ordinary",
        "certificate_name": "食品经营许可证",
        "certificate_no": "JY132019900000",
        "content": text("准予食品经营许可"),
        "decided_on": "2026-05-06",
        "valid_from": "2026-05-06",
        "valid_to": "2027-05-06",
        "issuer": AGENCIES[ix],
        "data_source": AGENCIES[ix],
        "origin": { "system": "permit-desk", "method": "import" },
    });
    let filing = filing(genesis, AGENCIES[ix], RecordType::Licence, number);
    let filing = Filing { class: Class::P1, subject_kind: SubjectKind::Organisation, ..filing };
    filed(genesis, &filing, &body, &clerk(ix))
}

/// A filing in class P2 about nobody, under the law of the genesis.
pub(crate) fn filing<'a>(
    genesis: &Genesis,
    agency: &str,
    record_type: RecordType,
    number: &'a str,
) -> Filing<'a> {
    Filing {
        chain_id: genesis.chain_id(),
        agency: agency.parse().unwrap(),
        dedupe_key: b"dedupe",
        idempotency_key: number,
        record_type,
        version: 1,
        class: Class::P2,
        subject_kind: SubjectKind::None,
        legal_basis: Some(BasisRef { id: "cn-food-safety".to_owned(), version: 1 }),
        salt: Digest::tagged(b"salt", &[number.as_bytes()]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None, None, None],
        dispose_on: None,
    }
}

/// What a client sends of it, with a body for the vault too.
pub(crate) fn filed(genesis: &Genesis, filing: &Filing<'_>, body: &Value, key: &SecretKey) -> Submission {
    let (operation, travelling, kept) = build::file(filing, &body.to_string()).unwrap().submit();
    let valid_until_ms = city_node::driver::core::Core::wall_ms() + 3_600_000;
    build::submission(genesis.chain_id(), key, valid_until_ms, false, vec![(operation, travelling.or(kept))])
}

/// Frames carried in memory, each peer's in order.
#[derive(Default)]
pub(crate) struct Wires {
    inboxes: Mutex<Vec<Option<Arc<dyn Inbox>>>>,
}

struct Port {
    me: ValidatorIx,
    wires: Arc<Wires>,
    outgoing: Vec<tokio::sync::mpsc::Sender<Vec<u8>>>,
    runtime: tokio::runtime::Handle,
}

impl Wires {
    fn inbox(&self, ix: ValidatorIx) -> Option<Arc<dyn Inbox>> {
        self.inboxes.lock().unwrap()[ix.index()].clone()
    }
}

impl Network for Port {
    fn send(&self, to: Peers, frame: Frame) {
        // Every frame goes through its encoding, as on a real wire.
        let bytes = frame.to_bytes().unwrap();
        let targets: Vec<usize> = match to {
            Peers::One(ix) => vec![ix.index()],
            Peers::All => (0..self.outgoing.len()).filter(|ix| *ix != self.me.index()).collect(),
        };
        for target in targets {
            let _ = self.outgoing[target].try_send(bytes.clone());
        }
    }

    fn request(
        &self,
        to: ValidatorIx,
        request: SyncRequest,
    ) -> BoxFuture<'static, Result<SyncResponse, NoAnswer>> {
        let inbox = self.wires.inbox(to);
        let (me, runtime) = (self.me, self.runtime.clone());
        async move {
            let inbox = inbox.ok_or(NoAnswer)?;
            runtime.spawn_blocking(move || inbox.serve(me, request)).await.map_err(|_| NoAnswer)
        }
        .boxed()
    }

    fn peers(&self) -> Vec<PeerConnection> {
        Vec::new()
    }
}

pub(crate) struct City {
    pub(crate) genesis: Genesis,
    /// Whose vaults the first validator keeps besides its own, and who may read in them; without it, it keeps none.
    vaults: Option<(Vec<String>, Vec<ReaderConfig>)>,
    dir: tempfile::TempDir,
    wires: Arc<Wires>,
    nodes: Vec<Option<(Running, Arc<AtomicBool>)>>,
    runtime: tokio::runtime::Runtime,
    /// Given up last.
    _turn: Box<dyn Any>,
}

/// Cities of one process stand beside each other, but for one that counts what the process has open.
static TURNS: RwLock<()> = RwLock::new(());

impl City {
    /// Four validators with fresh keys, none running.
    pub(crate) fn new() -> Self {
        Self::of(genesis([7900, 7901, 7902, 7903]), None)
    }

    /// The same, of another genesis, and with vaults at the first validator.
    pub(crate) fn of(genesis: Genesis, vaults: Option<(Vec<String>, Vec<ReaderConfig>)>) -> Self {
        Self::in_turn(genesis, vaults, Box::new(TURNS.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// As [`Self::new`], with no other city in this process as long as it stands.
    pub(crate) fn alone() -> Self {
        let turn = Box::new(TURNS.write().unwrap_or_else(PoisonError::into_inner));
        Self::in_turn(genesis([7900, 7901, 7902, 7903]), None, turn)
    }

    fn in_turn(
        genesis: Genesis,
        vaults: Option<(Vec<String>, Vec<ReaderConfig>)>,
        turn: Box<dyn Any>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wires = Wires { inboxes: Mutex::new(vec![None, None, None, None]) };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let nodes = (0..4).map(|_| None).collect();
        let city = Self { genesis, vaults, dir, wires: Arc::new(wires), nodes, runtime, _turn: turn };
        for ix in 0..4 {
            let key_file = city.key_file(ix);
            std::fs::write(marker_of(&key_file), format!("{}\n", secret(1, ix).public())).unwrap();
            city.init(ix);
        }
        city
    }

    pub(crate) fn data(&self, ix: usize) -> DataDir {
        DataDir::at(&self.dir.path().join(format!("v{ix}")))
    }

    fn key_file(&self, ix: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("v{ix}.pem"))
    }

    pub(crate) fn init(&self, ix: usize) {
        let setup = self.setup(ix);
        setup.data.init(&setup.identity(), &self.key_file(ix)).unwrap();
    }

    fn setup(&self, ix: usize) -> Setup {
        Setup {
            genesis: self.genesis.clone(),
            genesis_text: self.genesis.to_toml(),
            named: self.genesis.committee().validators().get(ix).cloned(),
            keys: NodeKeys {
                consensus: secret(1, ix),
                network: secret(2, ix),
                log: secret(3, ix),
                subjects: None,
            },
            data: self.data(ix),
            vault: self.vault(ix),
            reader: if ix == PUBLIC { Reader::Public } else { Reader::Auditor },
            snapshots_every: city_node::snapshots::EVERY,
            backups: None,
        }
    }

    fn vault(&self, ix: usize) -> Option<VaultConfig> {
        let (guests, readers) = self.vaults.as_ref().filter(|_| ix == 0)?;
        let key = |digit: usize| {
            let path = self.dir.path().join(format!("vault-{digit}.key"));
            std::fs::write(&path, digit.to_string().repeat(64)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let guests = guests.iter().zip(1..);
        let guests = guests.map(|(agency, digit)| GuestConfig { agency: agency.clone(), key: key(digit) });
        Some(VaultConfig { key: key(0), agency: None, guests: guests.collect(), readers: readers.clone() })
    }

    pub(crate) fn start(&mut self, ix: usize) {
        let _inside = self.runtime.enter();
        let running = Running::start(self.setup(ix)).unwrap();
        let me = ValidatorIx::new(u16::try_from(ix).unwrap());
        let closed = Arc::new(AtomicBool::new(false));
        let outgoing = (0..4_u16)
            .map(|to| {
                let (send, mut receive) = tokio::sync::mpsc::channel::<Vec<u8>>(4_096);
                let (wires, closed) = (self.wires.clone(), closed.clone());
                self.runtime.spawn(async move {
                    while let Some(bytes) = receive.recv().await {
                        if closed.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Some(inbox) = wires.inbox(ValidatorIx::new(to)) {
                            inbox.deliver(me, Frame::from_bytes(&bytes).unwrap()).await;
                        }
                    }
                });
                send
            })
            .collect();
        let port = Port { me, wires: self.wires.clone(), outgoing, runtime: self.runtime.handle().clone() };
        let directory = running.directory().unwrap();
        running.inbox(&directory).attached(Arc::new(port));
        self.wires.inboxes.lock().unwrap()[ix] = Some(running.inbox(&directory));
        let others: Vec<ValidatorIx> =
            self.indices().filter(|other| self.nodes[other.index()].is_some()).collect();
        for other in others {
            running.inbox(&directory).connected(other);
            if let Some(inbox) = self.wires.inbox(other) {
                inbox.connected(me);
            }
        }
        self.nodes[ix] = Some((running, closed));
    }

    fn indices(&self) -> impl Iterator<Item = ValidatorIx> + use<> {
        (0..4).map(ValidatorIx::new)
    }

    pub(crate) fn start_all(&mut self) {
        (0..4).for_each(|ix| self.start(ix));
    }

    /// Stops a validator as SIGTERM does.
    pub(crate) fn stop(&mut self, ix: usize) {
        let (running, closed) = self.nodes[ix].take().unwrap();
        running.shut_down();
        let reason = self.runtime.block_on(running.ended());
        closed.store(true, Ordering::Relaxed);
        self.wires.inboxes.lock().unwrap()[ix] = None;
        let me = ValidatorIx::new(u16::try_from(ix).unwrap());
        for other in self.indices() {
            if let Some(inbox) = self.wires.inbox(other) {
                inbox.disconnected(me);
            }
        }
        running.join(reason).unwrap();
    }

    /// Waits until a validator ends by itself; gives its reason.
    pub(crate) fn ended(&mut self, ix: usize) -> Result<(), Refusal> {
        let (running, closed) = self.nodes[ix].take().unwrap();
        let reason = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), running.ended()).await.expect("it goes on")
        });
        closed.store(true, Ordering::Relaxed);
        self.wires.inboxes.lock().unwrap()[ix] = None;
        running.join(reason)
    }

    /// Something arrives at a validator on the channel of one that the test plays.
    pub(crate) fn whisper(&self, from: usize, to: usize, frame: Frame) {
        let from = ValidatorIx::new(u16::try_from(from).unwrap());
        let inbox = self.wires.inbox(ValidatorIx::new(u16::try_from(to).unwrap())).unwrap();
        self.runtime.block_on(inbox.deliver(from, frame));
    }

    pub(crate) fn node(&self, ix: usize) -> NodeHandle {
        self.nodes[ix].as_ref().unwrap().0.handle()
    }

    /// Waits for a transaction to be executed at a node.
    pub(crate) fn executed(&self, ix: usize, tx: TxId) -> TransactionStatus {
        let node = self.node(ix);
        self.runtime.block_on(async {
            let waited = tokio::time::timeout(Duration::from_secs(30), node.wait(tx, Stage::Executed)).await;
            assert!(waited.is_ok(), "{tx} not executed at v{ix}: {:?}", node.status());
        });
        node.transaction(tx).unwrap()
    }

    /// Polls until a condition holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}: {}", self.describe());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn describe(&self) -> String {
        let lines = (0..4).filter(|ix| self.nodes[*ix].is_some()).map(|ix| {
            let status = self.node(ix).status();
            format!(
                "v{ix}: view {} committed {} executed {} voting {} {:?}",
                status.view, status.committed, status.executed, status.voting, status.not_voting_because
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for City {
    fn drop(&mut self) {
        for ix in 0..4 {
            if self.nodes[ix].is_some() {
                self.stop(ix);
            }
        }
    }
}
