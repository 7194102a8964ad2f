//! The program `city-node`.
//!
//! Exit codes: 0 stopped as told · 1 failed, a restart may help · 2 wrong usage · 3 configuration, key or
//! genesis does not fit · 4 storage, or a snapshot or backup that is not what it should be · 5 stopped for safety
//! (divergence, fork): do not restart · 6 another process holds the directory or the port · 7 a snapshot in which
//! nothing is wrong, and which no quorum has certified. For systemd: `Restart=on-failure`,
//! `RestartPreventExitStatus=2 3 5`.

#[path = "main/backup.rs"]
mod backup;
#[path = "main/fsck.rs"]
mod fsck;
#[path = "main/snapshot.rs"]
mod snapshot;
#[path = "main/storage.rs"]
mod storage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::ChainId;
use chain_core::recovery::{ACT_BYTES_MAX, SignedRecovery};
use city_node::api::{self, ApiConfig, Limits, TlsFiles};
use city_node::config::{Config, read_text};
use city_node::datadir::{Initialised, take};
use city_node::epoch::Directory;
use city_node::network::{self, NetworkConfig, NetworkHandle};
use city_node::recovery::Effect;
use city_node::start::{Running, Setup};
use city_node::stopped::Taken;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Measured against the system's allocator: fewer cycles for each record, and memory does not creep up.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A validator of City Ledger
#[derive(Debug, Parser)]
#[command(name = "city-node", version)]
struct Args {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Make the data directory of a new validator, once
    Init {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run the validator until SIGTERM or Ctrl-C
    Start {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Give a stopped node the agencies' act that ends an epoch without a quorum
    ///
    /// From its next start on the node signs nothing in that epoch, and goes on with the validators of the act.
    Recover {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The act, signed by enough recovery keys: `city recovery draft`, `city recovery sign`
        #[arg(value_name = "ACT")]
        act: PathBuf,
    },
    /// Look at, verify or put back snapshots of the ledger of a stopped node
    Snapshot {
        #[command(subcommand)]
        command: snapshot::SnapshotCommand,
    },
    /// See what the stores of a node take on the disk, write them anew, read them through, let go of old blocks
    Storage {
        #[command(subcommand)]
        command: storage::StorageCommand,
    },
    /// Make, verify and put back backups; a running node is backed up as it is
    Backup {
        #[command(subcommand)]
        command: backup::BackupCommand,
    },
    /// Read everything that a stopped node holds and hold it against what was signed; nothing is changed
    ///
    /// Every block, certificate, batch, transaction, leaf and entry of the state. Names the first bad block, and file and
    /// byte where the disk's checksum fails. Exit code 4 when something is wrong.
    Fsck(fsck::FsckArgs),
    /// Check configuration, keys, genesis and data directory of a stopped node
    Check {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Longest time for the threads to end once network and API have, so that ten seconds suffice for all.
const STOP_TIME: Duration = Duration::from_secs(4);
/// Time for the last words to peers to leave.
const FAREWELL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    if std::env::var_os("SSLKEYLOGFILE").is_some() {
        // Libraries would write TLS secrets there. Changing the environment of a running process is not
        // sound, so the program starts itself again without it.
        let error = match std::env::current_exe() {
            Ok(program) => {
                Command::new(program).args(std::env::args_os().skip(1)).env_remove("SSLKEYLOGFILE").exec()
            }
            Err(error) => error,
        };
        eprintln!("city-node: cannot start again without SSLKEYLOGFILE: {error}");
        return ExitCode::from(1);
    }
    let result = match Args::parse().command {
        NodeCommand::Init { config } => init(&config).map(|()| ExitCode::SUCCESS),
        NodeCommand::Start { config } => start(&config).map(|()| ExitCode::SUCCESS),
        NodeCommand::Recover { config, act } => recover(&config, &act).map(|()| ExitCode::SUCCESS),
        NodeCommand::Snapshot { command } => snapshot::run(&command),
        NodeCommand::Storage { command } => storage::run(&command),
        NodeCommand::Backup { command } => backup::run(&command),
        NodeCommand::Fsck(args) => fsck::run(&args),
        NodeCommand::Check { config } => check(&config).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(refusal) => {
            let code = refusal.code;
            eprintln!("city-node: {refusal}\n  {}\n  hint: {}", code.meaning(), code.hint());
            ExitCode::from(exit_code(code))
        }
    }
}

fn exit_code(code: Code) -> u8 {
    match code {
        Code::StateDivergence | Code::ForkDetected | Code::RecoveryOtherBlock => 5,
        Code::LockHeld | Code::PortInUse => 6,
        Code::GenesisMismatch => 3,
        Code::StateMismatch | Code::ChainBroken | Code::CertificateInvalid | Code::BlockPruned => 4,
        _ => match code.number() / 100 {
            8 => 4,
            9 if code != Code::Internal => 3,
            _ => 1,
        },
    }
}

fn init(path: &std::path::Path) -> Result<(), Refusal> {
    let config = Config::read(path)?;
    let setup = Setup::read(&config)?;
    let name = setup.named.as_ref().map_or("that is to join", |one| one.name.as_str());
    match setup.data.init(&setup.identity(), &config.keys.consensus)? {
        Initialised::Voting => {
            println!("initialised {} for validator {name}", config.data_dir.display());
        }
        Initialised::Following => {
            println!("initialised {} for validator {name}, without a vote", config.data_dir.display());
            eprintln!(
                "The consensus key is not fresh: it may have signed before, and only its safety record would know \
                 what. The node will follow the chain without voting. If the record is lost, give the validator a \
                 new consensus key."
            );
        }
    }
    Ok(())
}

fn check(path: &std::path::Path) -> Result<(), Refusal> {
    let config = Config::read(path)?;
    let setup = Setup::read(&config)?;
    let report = setup.inspect()?;
    println!("{report:#}");
    Ok(())
}

fn recover(path: &std::path::Path, act: &std::path::Path) -> Result<(), Refusal> {
    let config = Config::read(path)?;
    let setup = Setup::read(&config)?;
    let recovery = SignedRecovery::parse(&read_text(act, ACT_BYTES_MAX as u64)?)?;
    let Taken { effect, standing, member } = setup.recover(&recovery)?;
    let act = &recovery.act;
    println!(
        "taken: act {} ends epoch {} at block {} {}",
        act.record(),
        act.epoch,
        act.height,
        act.block_digest
    );
    println!(
        "{}",
        match effect {
            Effect::AtOnce => format!("epoch {} begins with the next start", act.next.epoch()),
            Effect::Later => format!(
                "this node stands at block {} of epoch {}; it follows to block {} first, without a vote",
                standing.newest.0, standing.epoch, act.height
            ),
        }
    );
    println!(
        "{}",
        if member {
            "this node's key is in the new set"
        } else {
            "this node's key is not in the new set: it follows as an observer"
        }
    );
    Ok(())
}

fn start(path: &std::path::Path) -> Result<(), Refusal> {
    let config = Config::read(path)?;
    log_to_stderr(&config.log.filter)?;
    end_on_panic();
    let setup = Setup::read(&config)?;
    let data = setup.data.clone();
    let mut lock = data.lock_file()?;
    let _held = take(&mut lock, data.path())?;
    let runtime = runtime()?;
    let _inside = runtime.enter();

    let peering = Peering {
        listen: config.p2p.listen.clone(),
        addresses: config.p2p.addresses.clone(),
        chain_id: setup.genesis.chain_id(),
        network_key: SecretKey::from_seed(*setup.keys.network.seed()),
        process: network::process()?,
    };
    let running = Running::start(setup)?;
    let reason = runtime.block_on(serve(&running, &peering, api_config(&config)?));
    // What hangs now is not worth waiting for: everything that counts is durable or can be redone.
    std::thread::spawn(|| {
        std::thread::sleep(STOP_TIME);
        tracing::error!("stopping took too long");
        std::process::exit(1);
    });
    let result = running.join(reason);
    runtime.shutdown_timeout(Duration::from_secs(2));
    match &result {
        Ok(()) => tracing::info!("stopped"),
        Err(refusal) => tracing::error!(code = refusal.code.name(), detail = refusal.detail, "stopped"),
    }
    result
}

/// Runs network and API until the node ends or is told to.
async fn serve(running: &Running, peering: &Peering, api: ApiConfig) -> Result<(), Refusal> {
    let result = serve_until(running, peering, api).await;
    if let Err(refusal) = &result {
        running.fail(refusal.clone());
    }
    result
}

/// What every network of this node has in common; who may connect changes with the ledger.
struct Peering {
    listen: String,
    addresses: BTreeMap<String, String>,
    chain_id: ChainId,
    network_key: SecretKey,
    process: Digest,
}

impl Peering {
    async fn start(&self, running: &Running, directory: Directory) -> Result<NetworkHandle, Refusal> {
        let known = |name: &String| {
            directory.indices().any(|ix| directory.get(ix).is_some_and(|one| one.name == *name))
        };
        for name in self.addresses.keys().filter(|name| !known(name)) {
            tracing::warn!(
                name,
                "`p2p.addresses` names no validator that the ledger knows; its address is not used"
            );
        }
        let inbox = running.inbox(&directory);
        let failer = running.failer();
        let config = NetworkConfig {
            listen: self.listen.clone(),
            directory,
            addresses: self.addresses.clone(),
            chain_id: self.chain_id,
            network_key: SecretKey::from_seed(*self.network_key.seed()),
            process: self.process,
            on_failure: Box::new(move |detail| failer(Refusal::new(Code::Internal, detail))),
        };
        network::start(config, inbox).await
    }
}

async fn serve_until(running: &Running, peering: &Peering, api: ApiConfig) -> Result<(), Refusal> {
    let signals = |error: std::io::Error| Refusal::new(Code::Internal, format!("signal handlers: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut peers_changed = running.peers_changed();
    let mut directory = running.directory()?;
    let mut network = peering.start(running, directory.clone()).await?;
    let mut server = api::start(api, running.handle()).await?;
    tracing::info!(api = %server.address(), p2p = %network.listening(), "started");
    let early = loop {
        tokio::select! {
            ended = running.ended() => break Some(ended),
            () = server.ended() => break Some(Err(Refusal::new(Code::Internal, "the API's accept loop ended"))),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            Ok(()) = peers_changed.changed() => {}
        }
        // Others may connect now, or under other indices: a network of its own for each set of peers.
        let wanted = running.directory()?;
        if wanted != directory {
            network.shutdown().await;
            network = peering.start(running, wanted.clone()).await?;
            directory = wanted;
        }
    };
    let result = match early {
        Some(result) => result,
        None => {
            tracing::info!("stopping");
            running.shut_down();
            running.ended().await
        }
    };
    running.farewell(&result);
    // Whoever still waits for an answer may get it from a node that was told to stop. One that failed has none to give.
    let patience = if result.is_ok() { Duration::from_secs(5) } else { Duration::from_millis(500) };
    let _ = tokio::time::timeout(patience, server.shutdown()).await;
    // What was just said is on its way.
    tokio::time::sleep(FAREWELL).await;
    network.shutdown().await;
    result
}

fn api_config(config: &Config) -> Result<ApiConfig, Refusal> {
    let listen: SocketAddr = config.api.listen;
    let tls = match (&config.api.tls_certificate, &config.api.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    Ok(ApiConfig { listen, tls, limits: Limits::default() })
}

fn runtime() -> Result<tokio::runtime::Runtime, Refusal> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::new(Code::Internal, format!("starting the runtime: {error}")))
}

fn log_to_stderr(filter: &str) -> Result<(), Refusal> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Refusal::new(Code::ConfigInvalid, format!("`log.filter`: {error}")))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Refusal::new(Code::Internal, format!("logging: {error}")))
}

/// A panic anywhere ends the process: a node that lost a thread only looks alive.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name(), detail = %panic, "panic");
        std::process::abort();
    }));
}
