//! Puts a node together, runs it, takes it apart.
//!
//! Order of starting: lock, stores, ledger replay, engine, threads, network, API. Order of stopping: API,
//! engine (which hands over if it leads), executor, network.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::SecretKey;
use chain_core::genesis::{self, Genesis, KeyRole};
use chain_core::id::{Height, ValidatorIx};
use chain_core::read::Reader;
use chain_core::trust::TrustPolicy;
use consensus::engine::{Restored, SafetyAtStart};
use consensus::signer::{CommitteeKeys, Signer};
use consensus::verified::Judge;
use consensus::{Engine, Params};

use crate::checkpoints::Checkpoints;
use crate::config::{ApiReader, Config, read_text};
use crate::datadir::{DataDir, Identity, take};
use crate::driver::core::{Core, CoreInbox, Input, Parts};
use crate::driver::{Driver, Recorder, Start, hooks};
use crate::executor::{Executor, QUEUE_MAX};
use crate::handle::NodeHandle;
use crate::keys::{read_key, read_passphrase};
use crate::link::{Inbox, Network};
use crate::local::Local;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;
use crate::vault::Vault;
use crate::why::farewell;

/// Headers handed to the engine at start.
const RECENT_HEADERS: u64 = 256;

/// The keys of a validator.
#[derive(Debug)]
pub struct NodeKeys {
    /// Signs proposals and votes.
    pub consensus: SecretKey,
    /// Identity on the network.
    pub network: SecretKey,
    /// Cosigns checkpoints.
    pub log: SecretKey,
}

/// Everything a node starts from.
#[derive(Debug)]
pub struct Setup {
    /// The genesis.
    pub genesis: Genesis,
    /// Its text as it was given.
    pub genesis_text: String,
    /// Position in the validator set.
    pub me: ValidatorIx,
    /// The keys.
    pub keys: NodeKeys,
    /// The data directory.
    pub data: DataDir,
    /// Key of the agency's vault.
    pub vault_key: Option<PathBuf>,
    /// On whose behalf the API reads.
    pub reader: Reader,
}

impl Setup {
    /// Reads everything a configuration names and checks that it fits together.
    ///
    /// # Errors
    /// The first file or value that does not fit.
    pub fn read(config: &Config) -> Result<Self, Refusal> {
        let genesis_text = read_text(&config.genesis, genesis::BYTES_MAX as u64)?;
        let genesis = Genesis::parse(&genesis_text)?;
        let passphrase = config.keys.passphrase_file.as_deref().map(read_passphrase).transpose()?;
        let passphrase = passphrase.as_ref();
        let keys = NodeKeys {
            consensus: read_key(&config.keys.consensus, KeyRole::Consensus, passphrase)?,
            network: read_key(&config.keys.network, KeyRole::Network, passphrase)?,
            log: read_key(&config.keys.log, KeyRole::Log, passphrase)?,
        };
        let mismatch = |detail: String| Refusal::new(Code::ConfigInvalid, detail);
        let consensus_key = keys.consensus.public();
        let me = genesis.committee().index_of(&consensus_key).ok_or_else(|| {
            mismatch(format!(
                "consensus key {} is not among the validators of the genesis",
                consensus_key.short()
            ))
        })?;
        let validator =
            genesis.committee().get(me).ok_or_else(|| mismatch("no such validator".to_owned()))?;
        for (what, have, want) in [
            ("network", keys.network.public(), validator.network_key),
            ("log", keys.log.public(), validator.log_key),
        ] {
            if have != want {
                let name = &validator.name;
                let detail = format!(
                    "the {what} key is {}, the genesis has {} for {name}",
                    have.short(),
                    want.short()
                );
                return Err(mismatch(detail));
            }
        }
        let vault_key = config.vault.as_ref().map(|vault| vault.key.clone());
        let data = DataDir::at(&config.data_dir);
        let reader = match config.api.reader {
            ApiReader::Public => Reader::Public,
            ApiReader::Auditor => Reader::Auditor,
        };
        Ok(Self { genesis, genesis_text, me, keys, data, vault_key, reader })
    }

    /// Whom the data directory must belong to.
    pub fn identity(&self) -> Identity {
        Identity::new(self.genesis.chain_id(), self.keys.consensus.public())
    }

    /// The protocol parameters that the genesis fixes.
    pub fn params(&self) -> Params {
        let parameters = self.genesis.parameters();
        // The genesis is checked: nothing in it is larger than the default.
        let narrow = |value: u64, most: u32| u32::try_from(value).unwrap_or(most);
        let standard = Params::default();
        Params {
            timeout_base_ms: parameters.view_timeout_base_ms_min,
            timeout_base_max_ms: parameters.view_timeout_base_ms_max,
            timeout_cap_ms: parameters.view_timeout_cap_ms,
            resend_ms: parameters.view_change_resend_ms,
            silence_ms: parameters.silence_timeout_ms,
            window: parameters.window,
            exec_lag_max: parameters.exec_lag_max,
            view_blocks_max: parameters.view_blocks_max,
            lane_batches_max: parameters.lane_batches_max,
            block_bytes_max: narrow(parameters.block_bytes_max, standard.block_bytes_max),
            block_records_max: narrow(parameters.block_records_max, standard.block_records_max),
            interval_ms: parameters.block_interval_ms_min,
            heartbeat_ms: parameters.heartbeat_ms,
            term_ms: parameters.leader_term_ms,
            checkpoint_ms: parameters.checkpoint_interval_ms_min,
            clock_ahead_ms: parameters.clock_ahead_ms_max,
            clock_behind_ms: parameters.clock_behind_ms_max,
            ..standard
        }
    }
}

impl Setup {
    /// Looks at the data directory of a stopped node without changing it.
    ///
    /// # Errors
    /// The first thing that would keep the node from starting.
    pub fn inspect(&self) -> Result<serde_json::Value, Refusal> {
        let identity = self.identity();
        let mut lock = self.data.lock_file()?;
        let _held = take(&mut lock, self.data.path())?;
        self.data.check(&identity)?;
        let store = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
        let (safety, _) = self.data.safety(&store, &identity)?;
        let newest = store.final_height().map_err(refuse)?;
        let mut executed = None;
        if self.data.ledger().exists() {
            let ledger = LedgerStore::open(&self.data.ledger()).map_err(refuse)?;
            let snapshot = ledger.snapshot().map_err(refuse)?;
            executed = snapshot.summary(snapshot.height()).map_err(refuse)?;
        }
        Ok(serde_json::json!({
            "chain_id": identity.chain_id,
            "validator": self.genesis.committee().get(self.me).map(|one| &one.name),
            "votes": matches!(safety, SafetyAtStart::Present(_)),
            "does_not_vote_because": match &safety {
                SafetyAtStart::Present(_) => None,
                SafetyAtStart::Lost(refusal) => Some(refusal),
            },
            "safety": match &safety {
                SafetyAtStart::Present(record) => Some(serde_json::json!({
                    "last_prepare": record.last_prepare.map(|slot| slot.rank),
                    "high_qc": record.high_qc.rank(),
                    "vc_view": record.vc_view,
                    "lane": record.lane.map(|(seq, _)| seq),
                })),
                SafetyAtStart::Lost(_) => None,
            },
            "final_height": newest,
            "executed": executed,
        }))
    }
}

/// A running node without its network and API.
pub struct Running {
    core: Arc<Core>,
    handle: NodeHandle,
    data: DataDir,
    driver: Option<JoinHandle<()>>,
    executor: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({:?})", self.core)
    }
}

impl Running {
    /// Opens the stores, executes what is final, and starts the threads. Call it with the directory locked,
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// Whatever keeps the node from starting.
    pub fn start(setup: Setup) -> Result<Self, Refusal> {
        let prepared = Prepared::open(setup)?;
        prepared.run()
    }

    /// Attaches the network.
    pub fn attach(&self, network: Arc<dyn Network>) {
        self.core.attach(network);
    }

    /// The network's way in.
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(CoreInbox(self.core.clone()))
    }

    /// The API's way in.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Ends the node because a part outside it failed.
    pub fn fail(&self, refusal: Refusal) {
        self.core.stop.fail(refusal);
    }

    /// A way to end the node from a callback.
    pub fn failer(&self) -> impl FnOnce(Refusal) + Send + use<> {
        let core = self.core.clone();
        move |refusal| core.stop.fail(refusal)
    }

    /// Resolves when the node has ended, with the reason.
    ///
    /// # Errors
    /// The reason, unless it was told to.
    pub async fn ended(&self) -> Result<(), Refusal> {
        self.core.stop.ended().await
    }

    /// Tells the peers why this node is about to be gone.
    pub fn farewell(&self, reason: &Result<(), Refusal>) {
        farewell(&self.core, reason);
    }

    /// Tells the engine to hand over and stop.
    pub fn shut_down(&self) {
        self.core.inputs.push(Input::Shutdown);
    }

    /// Waits for the threads; blocks. Call it after [`Self::ended`].
    ///
    /// # Errors
    /// Why the node stopped, unless it was told to.
    pub fn join(mut self, reason: Result<(), Refusal>) -> Result<(), Refusal> {
        for thread in [self.driver.take(), self.executor.take()].into_iter().flatten() {
            // A panic was logged where it happened, and ended the process.
            let _ = thread.join();
        }
        if let Err(refusal) = &reason
            && refusal.code == Code::ForkDetected
        {
            let path = self.data.keep_fork_proof(&refusal.detail)?;
            return Err(Refusal::new(Code::ForkDetected, format!("the proof is in {}", path.display())));
        }
        reason
    }
}

/// Stores open, nothing running.
struct Prepared {
    core: Arc<Core>,
    setup: Setup,
    policy: TrustPolicy,
    safety: SafetyAtStart,
    high_water: Option<crate::storage::high_water::HighWater>,
}

impl Prepared {
    fn open(mut setup: Setup) -> Result<Self, Refusal> {
        hooks::arm().map_err(|detail| Refusal::new(Code::ConfigInvalid, detail))?;
        let identity = setup.identity();
        setup.data.check(&identity)?;
        let consensus = ConsensusStore::open(&setup.data.consensus()).map_err(refuse)?;
        let (safety, high_water) = setup.data.safety(&consensus, &identity)?;
        if let SafetyAtStart::Lost(refusal) = &safety {
            tracing::error!(code = refusal.code.name(), detail = refusal.detail, "following without voting");
        }
        let genesis = &setup.genesis;
        let committee = Arc::new(genesis.committee().clone());
        let agency = committee.get(setup.me).map(|one| one.agency.clone()).unwrap_or_default();
        let vault = setup
            .vault_key
            .as_deref()
            .map(|key| Vault::open(&setup.data.vault(), key, &agency))
            .transpose()?;
        let log_key = SecretKey::from_seed(*setup.keys.log.seed());
        let core = Core::new(Parts {
            chain: genesis.chain_params(),
            params: setup.params(),
            me: Some(setup.me),
            consensus,
            ledger: LedgerStore::open(&setup.data.ledger()).map_err(refuse)?,
            vault,
            checkpoints: Checkpoints::new(genesis.origin(), Some(log_key)),
            runtime: tokio::runtime::Handle::current(),
            committee,
        });
        let core =
            core.map_err(|error| Refusal::new(Code::Internal, format!("starting threads: {error}")))?;
        let policy = TrustPolicy::from_genesis(genesis);
        // The text is not needed twice.
        setup.genesis_text.shrink_to_fit();
        Ok(Self { core: Arc::new(core), setup, policy, safety, high_water })
    }

    fn run(self) -> Result<Running, Refusal> {
        let Self { core, setup, policy, safety, high_water } = self;
        let genesis_state = setup.genesis.state()?;
        let executed = {
            let mut executor = Executor::open(&core, &genesis_state, setup.genesis.created_ms())?;
            executor.replay()?;
            executor.tip().clone()
        };
        let lost = matches!(safety, SafetyAtStart::Lost(_));
        let restored = restore(&core, safety, executed)?;
        let pending = restored.batches.clone();
        let base = (Height::ZERO, *core.chain_id().digest());
        let verifier = Arc::new(CommitteeKeys::new(&core.committee));
        let judge = Judge::new(core.chain_id(), core.committee.clone(), base, verifier);
        let params = setup.params();
        params.check().map_err(|error| Refusal::new(Code::GenesisInvalid, error.to_string()))?;
        let seed = setup.keys.consensus.seed();
        let hello_key = lost.then(|| SecretKey::from_seed(*seed));
        let signer: Box<dyn Signer> = Box::new(setup.keys.consensus);
        let engine = Engine::new(params, judge, Some((setup.me, signer)), restored);
        let recorder = Recorder::from_env(core.me)
            .map_err(|error| Refusal::new(Code::ConfigInvalid, format!("CITY_VOTE_RECORDER: {error}")))?;
        let (deliveries, delivered) = mpsc::sync_channel(QUEUE_MAX);
        let start = Start {
            core: core.clone(),
            engine,
            hello_key,
            high_water,
            recorder,
            executor: deliveries,
            pending,
        };
        let created_ms = setup.genesis.created_ms();
        let executor_core = core.clone();
        let executor =
            spawn("executor", move || match Executor::open(&executor_core, &genesis_state, created_ms) {
                Ok(executor) => executor.run(&delivered),
                Err(refusal) => executor_core.stop.fail(refusal),
            })?;
        let driver = spawn("engine", move || Driver::new(start).run())?;
        let handle: NodeHandle =
            Arc::new(Local::new(core.clone(), Arc::from(setup.genesis_text), policy, setup.reader));
        Ok(Running { core, handle, data: setup.data, driver: Some(driver), executor: Some(executor) })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Refusal> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Refusal::new(Code::Internal, format!("starting the {name} thread: {error}")))
}

/// What the engine wants to know of the stores.
fn restore(
    core: &Core,
    safety: SafetyAtStart,
    executed: consensus::engine::Tip,
) -> Result<Restored, Refusal> {
    let store = &core.consensus;
    let newest = store.final_height().map_err(refuse)?;
    let above = usize::try_from(newest.since(executed.height)).unwrap_or(usize::MAX);
    let committed = store.final_blocks(executed.height.next(), above).map_err(refuse)?;
    let first = executed.height.get().saturating_sub(RECENT_HEADERS - 1).max(1);
    let count = usize::try_from(executed.height.get() + 1 - first).unwrap_or(0);
    let recent = store.final_blocks(Height::new(first), count).map_err(refuse)?;
    Ok(Restored {
        safety,
        certificate: store.certificate_to(newest).map_err(refuse)?,
        blocks: store.blocks_above(newest).map_err(refuse)?,
        summaries: core.ledger.recent_summaries(executed.height).map_err(refuse)?,
        recent: recent.into_iter().map(|block| block.header).collect(),
        batches: store.batches_above(&executed.lanes, core.committee.size()).map_err(refuse)?,
        committed,
        executed,
    })
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
