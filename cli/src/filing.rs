//! Signing a few operations as one officer and following them to a verified end.

use std::time::Duration;

use chain_core::api::{NodeStatus, Stage, TransactionStatus};
use chain_core::code::Code;
use chain_core::codec;
use chain_core::crypto::SecretKey;
use chain_core::execute::{Outcome, Verdict};
use chain_core::genesis::Genesis;
use chain_core::id::{Height, RecordId, TxId};
use chain_core::operation::Operation;
use chain_core::transaction::{Body, Submission, TRANSACTION_VERSION, Transaction};
use serde_json::{Value, json};

use crate::client::{Client, paths, verified_height};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::output::{Format, Output, Shape};

/// How long such a transaction stays good.
const VALIDITY_MS: u64 = 24 * 60 * 60 * 1000;

/// One step with what goes beside it.
pub(crate) type Step = (Operation, Option<Body>);

/// What became of a transaction.
#[derive(Debug)]
pub(crate) struct Filed {
    /// The block that orders it; verified.
    pub(crate) height: Height,
    /// One per step.
    pub(crate) outcomes: Vec<Outcome>,
    /// The record of every step, so that a refusal names what was refused.
    records: Vec<RecordId>,
}

/// Signs steps as one transaction.
pub(crate) fn sign(genesis: &Genesis, secret: &SecretKey, steps: Vec<Step>, atomic: bool) -> Submission {
    let (operations, bodies) = steps.into_iter().unzip();
    let signed = Transaction {
        version: TRANSACTION_VERSION,
        chain_id: genesis.chain_id(),
        author: secret.public(),
        valid_until_ms: now_ms() + VALIDITY_MS.min(genesis.parameters().validity_ms_max / 2),
        atomic,
        operations,
    }
    .sign(secret);
    Submission { signed, bodies }
}

/// Sends a transaction and waits until it is executed and its finality is verified.
pub(crate) fn file(
    client: &Client,
    genesis: &Genesis,
    submission: &Submission,
    home: Option<&str>,
    timeout: Duration,
) -> CliResult<Filed> {
    let tx = submission.signed.transaction.id();
    let bytes = codec::encode(submission).map_err(CliError::internal)?;
    let deadline = std::time::Instant::now() + timeout;
    let mut status = client.submit(&bytes, Stage::Executed, home, timeout)?;
    loop {
        if let Some(filed) = ended(client, genesis, &status, submission, &tx)? {
            if home.is_some() {
                wait_elsewhere(client, filed.height, deadline);
            }
            return Ok(filed);
        }
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() || !interrupt::sleep(Duration::from_millis(20)) {
            return Err(not_final(submission, timeout));
        }
        status = match status.stage {
            // Whoever took it has lost it, or left the validator set since: sent again, it is the same transaction.
            Stage::Unknown => client.submit(&bytes, Stage::Executed, home, left)?,
            _ => client.transaction(&tx, Stage::Executed, left)?,
        };
    }
}

/// Waits until the node that is asked everything else has executed what an agency's own node has: what is asked next, by
/// this command or the next one, is about it. One that lags for longer, or does not answer, will say so itself.
fn wait_elsewhere(client: &Client, height: Height, deadline: std::time::Instant) {
    let lags = || match client.get::<NodeStatus>(paths::STATUS) {
        Ok(status) => status.executed < height,
        Err(_) => false,
    };
    while lags() && std::time::Instant::now() < deadline && interrupt::sleep(Duration::from_millis(20)) {}
}

fn ended(
    client: &Client,
    genesis: &Genesis,
    status: &TransactionStatus,
    submission: &Submission,
    tx: &TxId,
) -> CliResult<Option<Filed>> {
    let records = records(submission);
    if status.stage != Stage::Executed || status.proof.is_none() || status.outcomes.len() != records.len() {
        return Ok(None);
    }
    let height = verified_height(client, genesis, status, tx)?;
    Ok(Some(Filed { height, outcomes: status.outcomes.clone(), records }))
}

/// The record of every step.
pub(crate) fn records(submission: &Submission) -> Vec<RecordId> {
    submission.signed.transaction.operations.iter().map(Operation::record).collect()
}

/// Sent, but the end is not known: the record's history will tell.
fn not_final(submission: &Submission, timeout: Duration) -> CliError {
    let tx = submission.signed.transaction.id();
    let detail = format!("transaction {tx} was sent and is not final after {} ms", timeout.as_millis());
    let error = CliError::new(Code::NotFinal, detail);
    match records(submission).first() {
        Some(record) => error.hint(format!("ask later: city record history {record}")),
        None => error,
    }
}

/// Sends a transaction and goes on as soon as a node has taken it.
pub(crate) fn send(
    client: &Client,
    submission: &Submission,
    home: Option<&str>,
    timeout: Duration,
) -> CliResult<Vec<Value>> {
    let bytes = codec::encode(submission).map_err(CliError::internal)?;
    let status = client.submit(&bytes, Stage::Accepted, home, timeout)?;
    if status.stage == Stage::Unknown {
        return Err(not_final(submission, timeout));
    }
    let tx = submission.signed.transaction.id();
    let row = |record: &RecordId| json!({ "outcome": "sent", "record": record, "tx": tx });
    Ok(records(submission).iter().map(row).collect())
}

/// What is told of each step that was filed.
pub(crate) const FILED: Shape = Shape {
    schema: "filed",
    columns: &["outcome", "record", "version", "height", "code", "detail"],
    id: "record",
    empty: "",
};

/// Prints what became of every step. As ids only those that took effect: a refused one is nothing to go on with.
pub(crate) fn show(out: &Output, filed: &[Filed]) -> CliResult {
    let mut rows: Vec<Value> = filed.iter().flat_map(Filed::rows).collect();
    if out.format() == Format::Id {
        rows.retain(|row| row["outcome"] != "refused");
    }
    out.list(FILED, &rows)
}

impl Filed {
    /// One row per step, for tables.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let row = |(outcome, asked): (&Outcome, &RecordId)| match &outcome.verdict {
            Verdict::Accepted { record, version, duplicate, .. } => json!({
                "outcome": if *duplicate { "filed before" } else { "accepted" },
                "record": record,
                "version": version,
                "height": self.height,
                "tx": outcome.tx,
            }),
            Verdict::Refused(refusal) => json!({
                "outcome": "refused",
                "record": asked,
                "code": refusal.code.name(),
                "detail": refusal.detail,
                "height": self.height,
                "tx": outcome.tx,
            }),
        };
        self.outcomes.iter().zip(&self.records).map(row).collect()
    }

    /// The refusal, when any step was refused: of the whole when all were, else that it is in part.
    pub(crate) fn verdict(&self) -> CliResult {
        let refusals: Vec<_> = self
            .outcomes
            .iter()
            .filter_map(|outcome| match &outcome.verdict {
                Verdict::Refused(refusal) => Some(refusal.clone()),
                Verdict::Accepted { .. } => None,
            })
            .collect();
        match refusals.first() {
            None => Ok(()),
            Some(first) if refusals.len() == self.outcomes.len() => Err(CliError::from(first.clone())),
            Some(first) => {
                let detail = format!(
                    "{} of {} steps were refused, first: {first}",
                    refusals.len(),
                    self.outcomes.len()
                );
                Err(CliError::new(Code::BatchIncomplete, detail))
            }
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
