//! Sends transactions in a window, follows each to a verified end, and writes that into the journal.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chain_core::api::{Stage, TransactionStatus};
use chain_core::code::Code;
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;

use crate::client::{Client, verified_height};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::progress::Progress;

use super::journal::{Final, Journal, RefusedRow, RowOutcome, Sent};

/// How long one request waits for a transaction before it is asked for, or sent, again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an import is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// Transactions under way at once.
    pub(crate) window: usize,
    /// Longest time without any transaction becoming final.
    pub(crate) stall: Duration,
}

/// Sends every transaction of the queue and follows it until the journal says `final`.
///
/// Ends early at Ctrl-C or when nothing has become final for too long; the journal then knows the rest.
pub(crate) fn send_all(
    client: &Client,
    genesis: &Genesis,
    journal: &Mutex<&mut Journal>,
    queue: Vec<Sent>,
    sending: Sending,
) -> CliResult {
    let rows: u64 = queue.iter().map(|sent| sent.rows.len() as u64).sum();
    let mut progress = Progress::new("submit", rows);
    let queue = Mutex::new(VecDeque::from(queue));
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failure: Mutex<Option<CliError>> = Mutex::new(None);
    // Why it does not move: what the last attempt was told.
    let trouble: Mutex<Option<CliError>> = Mutex::new(None);
    let running = AtomicU64::new(sending.window as u64);
    std::thread::scope(|scope| {
        for _ in 0..sending.window {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && !interrupt::asked() {
                    let Some(sent) = lock(&queue).pop_front() else { break };
                    let written = match follow(client, genesis, &sent, &stop, &trouble) {
                        Ok(None) => break,
                        Ok(Some(End::HomeDown)) => {
                            let mut queue = lock(&queue);
                            // In a window of one the order of the rows matters.
                            if sending.window > 1 {
                                queue.push_back(sent)
                            } else {
                                queue.push_front(sent)
                            }
                            continue;
                        }
                        Ok(Some(End::Final(end))) => lock(journal).finish(end),
                        Ok(Some(End::NotTaken(row))) => lock(journal).refuse(vec![row]),
                        Err(error) => Err(error),
                    };
                    match written {
                        Ok(()) => {
                            done.fetch_add(sent.rows.len() as u64, Ordering::Relaxed);
                        }
                        Err(error) => {
                            lock(&failure).get_or_insert(error);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut last = (0, std::time::Instant::now());
        while running.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(20));
            let now = done.load(Ordering::Relaxed);
            if now > last.0 {
                last = (now, std::time::Instant::now());
            } else if last.1.elapsed() > sending.stall {
                stop.store(true, Ordering::Relaxed);
            }
            let remark = if last.1.elapsed() > PATIENCE { "waiting for the network" } else { "" };
            progress.set(now, remark);
        }
    });
    let done = done.load(Ordering::Relaxed);
    progress.set(done, "");
    progress.finish("");
    if let Some(error) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    if done < rows && !interrupt::asked() {
        let mut detail = format!("{} of {rows} rows are not final and nothing moves", rows - done);
        let trouble = trouble.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // An import of which nothing at all arrived is no import that got stuck.
        let nowhere = done == 0 && trouble.as_ref().is_some_and(|error| error.code() == Code::Unreachable);
        if let Some(error) = trouble {
            detail.push_str(&format!("; last: {}", error.refusal));
        }
        return Err(CliError::new(if nowhere { Code::Unreachable } else { Code::NotFinal }, detail));
    }
    Ok(())
}

/// How a transaction ended.
enum End {
    /// A quorum ordered it, and the outcomes are known.
    Final(Final),
    /// A single row that the node refused before ordering it: bodies about persons are judged at the agency's
    /// own node, which is the only one to see them.
    NotTaken(RefusedRow),
    /// Not ended: the only node that may take it does not at the moment. Others need not wait for it.
    HomeDown,
}

/// Sends one transaction and sends it again, elsewhere, until its end is verified. `None` when stopped.
fn follow(
    client: &Client,
    genesis: &Genesis,
    sent: &Sent,
    stop: &AtomicBool,
    trouble: &Mutex<Option<CliError>>,
) -> CliResult<Option<End>> {
    let bytes = sent.bytes()?;
    let mut submitted = false;
    loop {
        if stop.load(Ordering::Relaxed) || interrupt::asked() {
            return Ok(None);
        }
        let answer = if submitted {
            client.transaction(&sent.tx, Stage::Executed, PATIENCE)
        } else {
            client.submit(&bytes, Stage::Executed, sent.home.as_deref(), PATIENCE)
        };
        match answer {
            Ok(status) => {
                if let Some(end) = ended(client, genesis, sent, &status)? {
                    return Ok(Some(End::Final(end)));
                }
                // Whoever took it may have lost it: look, then send again, through the next node.
                submitted = status.stage >= Stage::Final || !submitted && status.stage == Stage::Accepted;
                if !submitted {
                    client.turn();
                }
            }
            Err(error) if passes(error.code()) => {
                *lock(trouble) = Some(error);
                submitted = false;
                client.turn();
                if !interrupt::sleep(Duration::from_millis(200)) {
                    return Ok(None);
                }
                if sent.home.is_some() {
                    return Ok(Some(End::HomeDown));
                }
            }
            Err(error) if matches!(error.code().number() / 100, 1 | 4) && sent.rows.len() == 1 => {
                let row = RefusedRow { row: sent.rows[0], refusal: error.refusal };
                return Ok(Some(End::NotTaken(row)));
            }
            // Refused as a whole before it was ordered: another network, a key that is no longer good, a bug.
            // The same bytes will never be taken, so the import stops and says why.
            Err(error) => return Err(error),
        }
    }
}

/// Failures that another node or a later moment may not have.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unreachable
            | Code::NotReady
            | Code::RequestTimeout
            | Code::QueueFull
            | Code::NotFinal
            | Code::NotFound
            | Code::NotYetExecuted
    )
}

/// The outcome, when the transaction is executed and its proof holds.
fn ended(
    client: &Client,
    genesis: &Genesis,
    sent: &Sent,
    status: &TransactionStatus,
) -> CliResult<Option<Final>> {
    if status.stage != Stage::Executed || status.proof.is_none() || status.outcomes.len() != sent.rows.len() {
        return Ok(None);
    }
    let height = verified_height(client, genesis, status, &sent.tx)?;
    let outcomes = sent.rows.iter().zip(&status.outcomes).map(|(&row, outcome)| match &outcome.verdict {
        Verdict::Accepted { record, duplicate, .. } => {
            RowOutcome { row, record: Some(*record), duplicate: *duplicate, refusal: None }
        }
        Verdict::Refused(refusal) => {
            RowOutcome { row, record: None, duplicate: false, refusal: Some(refusal.clone()) }
        }
    });
    Ok(Some(Final { tx: sent.tx, height, outcomes: outcomes.collect() }))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
