//! A stopped node takes a snapshot from the validators, or gets old blocks back, and speaks to them for as long as that
//! takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, PublicKey, SecretKey, Signature};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx};
use consensus::safety::HelloPreimage;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::fetch::ladder::Ladder;
use super::fetch::{self, Fetched, Source};
use super::verify::Trust;
use crate::config::{Config, P2p};
use crate::epoch::{Directory, Part};
use crate::link::{Frame, Inbox, Network, SyncRequest, SyncResponse};
use crate::network::{self, NetworkConfig, NetworkHandle};
use crate::refill::{Refill, Refilled};
use crate::restoring::{Reached, replace};
use crate::start::Setup;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;

/// Longest wait for connections.
const CONNECTING: Duration = Duration::from_secs(30);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How the validators are reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Where to listen.
    pub listen: String,
    /// Where to dial validators whose address differs from the ledger's, by name.
    pub addresses: BTreeMap<String, String>,
    /// How long to wait for validators to connect and to offer the same snapshot.
    pub patience: Duration,
}

impl Reach {
    /// As a configuration says.
    pub fn of(config: &Config) -> Self {
        let P2p { listen, addresses } = config.p2p.clone();
        Self { listen, addresses, patience: fetch::PATIENCE }
    }
}

/// What speaks for a node that only asks: it answers nothing and listens to nothing.
#[derive(Debug)]
struct Asking {
    chain_id: ChainId,
    epoch: Epoch,
    key: SecretKey,
}

impl Inbox for Asking {
    fn attached(&self, _: Arc<dyn Network>) {}

    fn connected(&self, _: ValidatorIx) {}

    fn disconnected(&self, _: ValidatorIx) {}

    fn deliver(&self, _: ValidatorIx, _: Frame) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }

    fn serve(&self, _: ValidatorIx, _: SyncRequest) -> SyncResponse {
        SyncResponse::Nothing
    }

    fn hello(&self, network_key: PublicKey, challenge: Digest) -> BoxFuture<'static, Option<Signature>> {
        let preimage = HelloPreimage { chain_id: self.chain_id, epoch: self.epoch, network_key, challenge };
        let signature = self.key.sign(&preimage);
        async move { Some(signature) }.boxed()
    }
}

impl Setup {
    /// Fetches the newest certified snapshot from the validators, verifies it and puts it in the place of the ledger. A node
    /// without a block begins the chain there: what is above comes with the next start, what is below it does not have. One
    /// that has blocks, and has lost the ledger that they follow, keeps them. The safety record stays what it is.
    ///
    /// # Errors
    /// `LOCK_HELD` while the node runs; `ALREADY_INITIALISED` when it has blocks; `UNREACHABLE` when no validator is
    /// reached; as [`Source::fetch`].
    pub fn join(&self, reach: &Reach, runtime: &tokio::runtime::Runtime) -> Result<Fetched, Refusal> {
        self.held(|_| {
            let make = |folder: &Path, _: &mut Reached<'_>| {
                let own = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
                self.check_in_need(&own)?;
                runtime.block_on(self.fetch(reach, folder, &own))
            };
            let (fetched, _) = replace(&self.data, make, &mut |_| Ok(()))?;
            Ok(fetched)
        })
    }

    /// Gets back the blocks that a stopped node does not keep, down to a height; `told` is called with the lowest one after
    /// each step. Cut off, what came is kept.
    ///
    /// # Errors
    /// `LOCK_HELD` while the node runs; `UNREACHABLE` when no validator is reached; `NOT_READY` when none gives what is
    /// missing.
    pub fn refill(
        &self,
        lowest: Height,
        reach: &Reach,
        runtime: &tokio::runtime::Runtime,
        told: impl FnMut(Height),
    ) -> Result<Refilled, Refusal> {
        self.held(|_| {
            let consensus = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
            let ledger = LedgerStore::open(&self.data.ledger()).map_err(refuse)?;
            let snapshot = ledger.snapshot().map_err(refuse)?;
            let committee = Arc::new(Part::entry(&snapshot)?.current);
            runtime.block_on(async {
                let (network, source) = self.connect(reach, &committee).await?;
                let chain_id = self.genesis.chain_id();
                let refill = Refill { chain_id, source: &source, consensus: &consensus, ledger: &snapshot };
                let refilled = refill.down_to(lowest, told).await;
                network.shutdown().await;
                refilled
            })
        })
    }

    /// Only a node that cannot go on from its own blocks needs a snapshot of others.
    fn check_in_need(&self, own: &ConsensusStore) -> Result<(), Refusal> {
        let height = own.final_height().map_err(refuse)?;
        let executed = match self.data.ledger().exists() {
            true => LedgerStore::open_read_only(&self.data.ledger())
                .and_then(|store| Ok(store.snapshot()?.height()))
                .map_err(refuse)?,
            false => Height::ZERO,
        };
        if height == Height::ZERO || executed.next() < own.first().map_err(refuse)? {
            return Ok(());
        }
        let detail = format!(
            "it has the blocks up to {height}; start the node, and it fetches and executes the others"
        );
        Err(Refusal::new(Code::AlreadyInitialised, detail))
    }

    async fn fetch(&self, reach: &Reach, folder: &Path, own: &ConsensusStore) -> Result<Fetched, Refusal> {
        let trust = Trust::of(&self.genesis);
        let mut ladder = Ladder::new(&trust);
        let first = ladder.newest().clone();
        let (network, source) = self.connect(reach, &first.committee).await?;
        ladder.ask(&trust, &source).await;
        let newest = ladder.newest().clone();
        let (network, source) = if newest.committee.epoch() == first.committee.epoch() {
            (network, source)
        } else {
            // Others vote now.
            network.shutdown().await;
            self.connect(reach, &newest.committee).await?
        };
        let fetched = source.fetch(&trust, &ladder, folder, own).await;
        network.shutdown().await;
        fetched
    }

    /// Connects with the validators of an epoch, with f+1 of them if so many can be reached.
    async fn connect(
        &self,
        reach: &Reach,
        committee: &Arc<Committee>,
    ) -> Result<(NetworkHandle, Source), Refusal> {
        let committee = committee.clone();
        let known: Vec<Validator> = self.genesis.committee().validators().to_vec();
        let chain_id = self.genesis.chain_id();
        let inbox = Asking {
            chain_id,
            epoch: committee.epoch(),
            key: SecretKey::from_seed(*self.keys.consensus.seed()),
        };
        let config = NetworkConfig {
            listen: reach.listen.clone(),
            directory: Directory::new(committee.clone(), known, &self.own()),
            addresses: reach.addresses.clone(),
            chain_id,
            network_key: SecretKey::from_seed(*self.keys.network.seed()),
            process: network::process()?,
            on_failure: Box::new(|detail| tracing::error!(detail, "the network failed")),
        };
        let network = network::start(config, Arc::new(inbox)).await?;
        let source =
            Source { patience: reach.patience, ..Source::new(Arc::new(network.clone()), committee.clone()) };
        let until = Instant::now() + CONNECTING.min(reach.patience);
        let wanted = committee.faults() + 1;
        while source.connected().len() < wanted && Instant::now() < until {
            sleep(LOOK).await;
        }
        if source.connected().is_empty() {
            network.shutdown().await;
            let detail = format!(
                "none of the {} validators of epoch {} was reached within {} s",
                committee.size(),
                committee.epoch(),
                CONNECTING.min(reach.patience).as_secs()
            );
            return Err(Refusal::new(Code::Unreachable, detail));
        }
        Ok((network, source))
    }
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
