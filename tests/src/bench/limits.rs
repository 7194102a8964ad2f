//! What this machine could do at best: the figures are read against it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::{ChainId, TxId};
use chain_core::transaction::TransactionPreimage;
use serde_json::{Value, json};

use super::stats::Times;
use super::{BenchResult, machine};

/// How long each limit is measured.
const SPAN: Duration = Duration::from_secs(2);

/// Limits of the machine, measured in the same run as the figures.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Signatures verified a second by one thread, key decoded before.
    pub(super) verify_one: u64,
    /// The same with a thread for each core.
    pub(super) verify_all: u64,
    /// Appends of 4 KiB with `fdatasync`.
    pub(super) sync: Times,
    /// How many a second.
    pub(super) syncs: u64,
}

impl Limits {
    /// Measures in a folder, on whose disk the files are synced.
    pub(super) fn measure(folder: &Path) -> BenchResult<Self> {
        let verify_one = verify_rate(1);
        let verify_all = verify_rate(machine::cores());
        let (sync, syncs) = sync_rate(folder)?;
        Ok(Self { verify_one, verify_all, sync, syncs })
    }

    /// Share of the signature limit that a rate of signatures reaches, in percent: each of `nodes` verifies
    /// every signature, all on these cores.
    pub(super) fn share(&self, signatures: u64, nodes: u64) -> f64 {
        if self.verify_all == 0 {
            return 0.0;
        }
        let rate = signatures.saturating_mul(nodes).saturating_mul(1000) / self.verify_all;
        f64::from(u32::try_from(rate).unwrap_or(u32::MAX)) / 10.0
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "verify_per_second_one_thread": self.verify_one,
            "verify_per_second_all_cores": self.verify_all,
            "sync_4kib": self.sync.json(),
            "syncs_per_second": self.syncs,
        })
    }
}

/// Signatures that so many threads verify a second.
pub(super) fn verify_rate(threads: usize) -> u64 {
    let secret = SecretKey::from_seed([7; 32]);
    let counted: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|at| {
                let secret = &secret;
                scope.spawn(move || {
                    let id = TxId::new(Digest::tagged(b"bench-limit", &[&at.to_be_bytes()]));
                    let preimage = TransactionPreimage { chain_id: ChainId::new(Digest::ZERO), id };
                    let signature = secret.sign(&preimage);
                    let Some(key) = secret.public().decode() else { return 0 };
                    let started = Instant::now();
                    let mut count = 0_u64;
                    while started.elapsed() < SPAN {
                        for _ in 0..64 {
                            count += u64::from(key.verify(&preimage, &signature));
                        }
                    }
                    count
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    });
    counted / SPAN.as_secs()
}

fn sync_rate(folder: &Path) -> BenchResult<(Times, u64)> {
    let path = folder.join("sync-rate.tmp");
    let mut file = File::create(&path)?;
    let block = [0x5a; 4096];
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < SPAN {
        let one = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    drop(file);
    std::fs::remove_file(&path)?;
    let count = times.len() as u64 / SPAN.as_secs();
    Ok((Times::new(times), count))
}
