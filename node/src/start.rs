//! Puts a node together, runs it, takes it apart.
//!
//! Order of starting: lock, stores, ledger replay, engine, threads, network, API. Order of stopping: API,
//! engine (which hands over if it leads), executor, network.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use chain_core::code::{Code, Refusal};
use chain_core::committee::Validator;
use chain_core::crypto::{PublicKey, SecretKey};
use chain_core::genesis::{self, Genesis, KeyRole};
use chain_core::read::Reader;
use chain_core::subject::SubjectKey;
use chain_core::vrf::VrfSecret;
use consensus::Params;
use consensus::engine::SafetyAtStart;
use tokio::sync::watch;

use crate::backup::Shelf;
use crate::backup::verified::Watched;
use crate::checkpoints::Checkpoints;
use crate::config::{ApiReader, Config, VaultConfig, read_text};
use crate::datadir::{DataDir, Identity};
use crate::driver::core::{Core, CoreInbox, Input, Parts};
use crate::driver::epochs::Epochs;
use crate::driver::{Accuser, Driver, Recorder, Start, hooks};
use crate::epoch::{Directory, Part};
use crate::eraser::Eraser;
use crate::executor::{Executor, QUEUE_MAX};
use crate::handle::NodeHandle;
use crate::keys::{read_key, read_passphrase};
use crate::link::Inbox;
use crate::local::Local;
use crate::restoring;
use crate::snapshots::Snapshots;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;
use crate::vault::{Holder, NamedReader, Vaults};
use crate::why::farewell;

/// The keys of a validator.
#[derive(Debug)]
pub struct NodeKeys {
    /// Signs proposals and votes.
    pub consensus: SecretKey,
    /// Identity on the network.
    pub network: SecretKey,
    /// Cosigns checkpoints.
    pub log: SecretKey,
    /// Of the index of subjects, where the genesis names one.
    pub subjects: Option<SecretKey>,
}

/// Everything a node starts from.
#[derive(Debug)]
pub struct Setup {
    /// The genesis.
    pub genesis: Genesis,
    /// Its text as it was given.
    pub genesis_text: String,
    /// The validator of the genesis that has this node's keys; none for one that joins later.
    pub named: Option<Validator>,
    /// The keys.
    pub keys: NodeKeys,
    /// The data directory.
    pub data: DataDir,
    /// Keys of the vaults, and the agency where the genesis does not say it.
    pub vault: Option<VaultConfig>,
    /// On whose behalf the API reads.
    pub reader: Reader,
    /// Blocks after which a snapshot of the ledger is taken.
    pub snapshots_every: u64,
    /// The folder for backups, if there is one.
    pub backups: Option<PathBuf>,
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
            subjects: config
                .keys
                .subjects
                .as_deref()
                .map(|path| read_key(path, KeyRole::Subjects, passphrase))
                .transpose()?,
        };
        check_subjects(&genesis, keys.subjects.as_ref())?;
        let named = named_in(&genesis, &keys)?;
        let data = DataDir::at(&config.data_dir);
        let reader = match config.api.reader {
            ApiReader::Public => Reader::Public,
            ApiReader::Auditor => Reader::Auditor,
        };
        let (vault, snapshots_every) = (config.vault.clone(), config.snapshots.every);
        let backups = config.backup.as_ref().map(|backup| backup.folder.clone());
        Ok(Self { genesis, genesis_text, named, keys, data, vault, reader, snapshots_every, backups })
    }

    /// Opens the vaults, if it keeps any.
    fn vaults(&self) -> Result<Option<Vaults>, Refusal> {
        let Some(config) = &self.vault else { return Ok(None) };
        let named = self.named.as_ref().map(|one| one.agency.clone());
        let own = Holder {
            agency: named.or_else(|| config.agency.clone()).unwrap_or_default(),
            key_file: config.key.clone(),
        };
        let guests = config.guests.iter();
        let guests = guests.map(|one| Holder { agency: one.agency.clone(), key_file: one.key.clone() });
        let readers = config.readers.iter().map(|one| NamedReader {
            agency: one.agency.clone(),
            of: one.of.as_ref().unwrap_or(&own.agency).clone(),
            types: one.types.clone(),
        });
        let vaults = Vaults::open(&self.data.vault(), &own, &guests.collect::<Vec<_>>())?;
        vaults.with_readers(readers.collect()).map(Some)
    }

    /// The validator that this node is by its own account: what the genesis says, or its keys under no name.
    pub fn own(&self) -> Validator {
        self.named.clone().unwrap_or_else(|| Validator {
            name: String::new(),
            agency: String::new(),
            consensus_key: self.keys.consensus.public(),
            network_key: self.keys.network.public(),
            log_key: self.keys.log.public(),
            address: String::new(),
            may_lead: false,
        })
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
            skip_ms: parameters.skip_timeout_ms,
            inclusion_ms: standard.inclusion_ms.min(parameters.inclusion_timeout_ms_max),
            inclusion_max_ms: parameters.inclusion_timeout_ms_max,
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

/// A running node without its network and API.
pub struct Running {
    core: Arc<Core>,
    handle: NodeHandle,
    data: DataDir,
    own: Validator,
    threads: Vec<JoinHandle<()>>,
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

    /// A network's way in, in the epoch of its directory: who has which index there must be who has it here.
    pub fn inbox(&self, directory: &Directory) -> Arc<dyn Inbox> {
        Arc::new(CoreInbox::new(self.core.clone(), directory.committee.epoch()))
    }

    /// Whom the node connects with now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn directory(&self) -> Result<Directory, Refusal> {
        let snapshot = self.core.ledger.snapshot().map_err(refuse)?;
        Directory::read(&snapshot, &self.core.part(), &self.own)
    }

    /// Says when [`Self::directory`] may have changed.
    pub fn peers_changed(&self) -> watch::Receiver<u64> {
        self.core.peers_changed.subscribe()
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
        for thread in self.threads.drain(..) {
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
    safety: SafetyAtStart,
    high_water: Option<crate::storage::high_water::HighWater>,
}

impl Prepared {
    fn open(mut setup: Setup) -> Result<Self, Refusal> {
        hooks::arm().map_err(|detail| Refusal::new(Code::ConfigInvalid, detail))?;
        let identity = setup.identity();
        if restoring::settle(&setup.data)? {
            tracing::warn!("a restoring had been cut off; it is complete now");
        }
        setup.data.check(&identity)?;
        let consensus = ConsensusStore::open(&setup.data.consensus()).map_err(refuse)?;
        let (safety, high_water) = setup.data.safety(&consensus, &identity)?;
        if let SafetyAtStart::Lost(refusal) = &safety {
            tracing::error!(code = refusal.code.name(), detail = refusal.detail, "following without voting");
        }
        let genesis = &setup.genesis;
        let vaults = setup.vaults()?;
        let snapshots = Snapshots::of(&setup.data).every(setup.snapshots_every);
        if let Err(refusal) = snapshots.tidy() {
            tracing::warn!(detail = refusal.detail, "what a crash left of a snapshot was not removed");
        }
        let key = setup.keys.consensus.public();
        let log_key = SecretKey::from_seed(*setup.keys.log.seed());
        let core = Core::new(Parts {
            chain: genesis.chain_params(),
            params: setup.params(),
            key,
            recovery_keys: genesis.recovery_keys().cloned(),
            subjects: setup
                .keys
                .subjects
                .as_ref()
                .map(|key| SubjectKey::new(genesis.chain_id(), VrfSecret::from_seed(&key.seed()))),
            part: Part::of_genesis(genesis, &key),
            consensus,
            ledger: LedgerStore::open(&setup.data.ledger()).map_err(refuse)?,
            snapshots,
            vaults,
            checkpoints: Checkpoints::new(genesis.origin(), Some(log_key)),
            runtime: tokio::runtime::Handle::current(),
        });
        let core =
            core.map_err(|error| Refusal::new(Code::Internal, format!("starting threads: {error}")))?;
        // The text is not needed twice.
        setup.genesis_text.shrink_to_fit();
        Ok(Self { core: Arc::new(core), setup, safety, high_water })
    }

    fn run(self) -> Result<Running, Refusal> {
        let Self { core, setup, safety, mut high_water } = self;
        let own = setup.own();
        let genesis_state = setup.genesis.state()?;
        Executor::open(&core, &genesis_state, setup.genesis.created_ms())?.replay()?;
        let params = setup.params();
        params.check().map_err(|error| Refusal::new(Code::GenesisInvalid, error.to_string()))?;
        let accuser = Accuser::new(SecretKey::from_seed(*setup.keys.log.seed()));
        let lost = match safety {
            SafetyAtStart::Lost(refusal) => Some(refusal),
            SafetyAtStart::Present(_) => None,
        };
        let epochs = Epochs::new(core.clone(), params, setup.keys.consensus, lost);
        let part = epochs.part()?;
        epochs.carry_over_recovered()?;
        if let Some(recovery) = &part.ended_by {
            let (epoch, block) = (recovery.act.epoch.get(), recovery.act.height.get());
            tracing::warn!(epoch, block, "the agencies ended this epoch; following to its last block");
        }
        let safety = epochs.record(&part, high_water.as_mut())?;
        let (engine, pending) = epochs.engine(&part, safety)?;
        core.enter(part);
        let recorder = Recorder::from_env(core.me())
            .map_err(|error| Refusal::new(Code::ConfigInvalid, format!("CITY_VOTE_RECORDER: {error}")))?;
        let (deliveries, delivered) = mpsc::sync_channel(QUEUE_MAX);
        let start = Start {
            core: core.clone(),
            engine,
            epochs,
            high_water,
            recorder,
            accuser,
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
        let shelf = setup.backups.as_deref().map(Shelf::at);
        let eraser = Eraser::new(core.clone(), SecretKey::from_seed(*setup.keys.log.seed()), shelf);
        let eraser = spawn("eraser", move || eraser.run())?;
        let driver = spawn("engine", move || Driver::new(start).run())?;
        let network = setup.genesis.document().network.clone();
        let backups = setup.backups.as_deref().map(|folder| Arc::new(Watched::at(folder)));
        if let Some(backups) = &backups {
            let failed =
                |error| Refusal::new(Code::Internal, format!("starting the backups thread: {error}"));
            backups.clone().watch().map_err(failed)?;
        }
        let local = Local::new(core.clone(), Arc::from(setup.genesis_text), network, setup.reader);
        let handle: NodeHandle = Arc::new(local.watching(backups));
        Ok(Running { core, handle, data: setup.data, own, threads: vec![driver, executor, eraser] })
    }
}

/// The key of the index of subjects must be the one that the genesis names, if it names one.
fn check_subjects(genesis: &Genesis, key: Option<&SecretKey>) -> Result<(), Refusal> {
    let (want, have) = (genesis.document().subject_key, key.map(SecretKey::public));
    if want == have {
        return Ok(());
    }
    let name = |key: Option<PublicKey>| key.map_or_else(|| "none".to_owned(), |key| key.to_string());
    let detail = format!(
        "`keys.subjects` is {}, the genesis has {}; every validator keeps the same key, get it from another agency",
        name(have),
        name(want)
    );
    Err(Refusal::new(Code::ConfigInvalid, detail))
}

/// The validator of the genesis with this node's consensus key, whose other keys must be this node's too.
fn named_in(genesis: &Genesis, keys: &NodeKeys) -> Result<Option<Validator>, Refusal> {
    let committee = genesis.committee();
    let found = committee.index_of(&keys.consensus.public()).and_then(|ix| committee.get(ix));
    let Some(validator) = found else { return Ok(None) };
    for (what, have, want) in [
        ("network", keys.network.public(), validator.network_key),
        ("log", keys.log.public(), validator.log_key),
    ] {
        if have != want {
            let (have, want, name) = (have.short(), want.short(), &validator.name);
            let detail = format!("the {what} key is {have}, the genesis has {want} for {name}");
            return Err(Refusal::new(Code::ConfigInvalid, detail));
        }
    }
    Ok(Some(validator.clone()))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Refusal> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Refusal::new(Code::Internal, format!("starting the {name} thread: {error}")))
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
