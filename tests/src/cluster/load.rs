//! Records filed at every validator while something happens to them, and the memory of what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chain_core::execute::Verdict;
use chain_core::record::RecordType;

use super::clerk::{Officer, now_ms, officers};
use super::{Cluster, http};

/// Enough to keep every validator busy; more would only keep the processors busy.
const PAUSE: Duration = Duration::from_millis(15);
/// Before a clerk tries again whose validator does not answer.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Four clerks, each with a validator of its own.
#[derive(Debug, Default)]
pub struct Load {
    stop: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
}

impl Load {
    /// Ids of the records that some validator called executed, so far.
    pub fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many that are.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn run(&self, url: &str, clerk: &Officer, lane: usize) {
        let run = now_ms();
        let mut number = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let key = format!("load-{run}-{lane}-{number}");
            let status = http::submit(url, &clerk.file(&key, &key));
            let verdict = status.ok().and_then(|status| Some(status.outcomes.first()?.verdict.clone()));
            match verdict {
                Some(Verdict::Accepted { record, .. }) => {
                    let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(record.to_string());
                    drop(all);
                    std::thread::sleep(PAUSE);
                }
                _ => std::thread::sleep(PAUSE_AFTER_FAILURE),
            }
        }
    }
}

/// Files records at the first four validators while `work` is done; gives its result and the ids of the records that
/// were acknowledged.
///
/// # Panics
/// When the key ring cannot be read.
pub fn under_load<T>(cluster: &mut Cluster, work: impl FnOnce(&mut Cluster, &Load) -> T) -> (T, Vec<String>) {
    let clerks = officers(&cluster.genesis, &cluster.keys, "clerk", 4);
    let urls: Vec<String> = cluster.nodes.iter().map(super::Node::url).collect();
    let load = Load::default();
    let result = std::thread::scope(|scope| {
        for (lane, (clerk, url)) in clerks.iter().zip(&urls).enumerate() {
            let load = &load;
            scope.spawn(move || load.run(url, clerk, lane));
        }
        /// Also when the work panics: the scope would wait for ever.
        struct Stop<'a>(&'a Load);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop.store(true, Ordering::Relaxed);
            }
        }
        let stop = Stop(&load);
        let result = work(cluster, &load);
        drop(stop);
        result
    });
    (result, load.acknowledged())
}

/// Every acknowledged record is on every validator, exactly once.
///
/// # Panics
/// When one is missing or there twice.
pub fn assert_kept(cluster: &Cluster, acknowledged: &[String]) {
    cluster.wait_agreed();
    for node in &cluster.nodes {
        let found = http::listed(&node.url(), RecordType::DocFingerprint);
        for record in acknowledged {
            assert_eq!(found.get(record), Some(&1), "{}: acknowledged record {record}", node.name);
        }
    }
}
