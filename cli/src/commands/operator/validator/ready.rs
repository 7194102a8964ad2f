//! `city validator ready`: a joining node's word on its way to the ledger.

use std::time::{Duration, Instant};

use chain_core::api::{ReadyView, ValidatorsView};
use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::operation::Operation;
use chain_core::record::validator::Ready;

use super::{known, report};
use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::filing;
use crate::interrupt;

/// How often a node that has not caught up is asked again.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) fn run(city: &City, name: &str, from: Option<String>, key: Option<&str>) -> CliResult {
    let (client, genesis) = (city.client()?, city.genesis()?);
    let all: ValidatorsView = client.get(paths::VALIDATORS)?;
    let one = known(&all, name)?;
    if one.in_set {
        let detail = format!("{name} takes part in epoch {} under these keys", all.epoch);
        return Err(CliError::new(Code::ReadyNotNeeded, detail));
    }
    if one.status != "effective" {
        let detail = format!("{name} is {}, wants effective", one.status);
        return Err(CliError::new(Code::BadState, detail)
            .hint("have the council approve it: city validator propose add, or city record history"));
    }
    let word = match from {
        Some(url) => {
            let joining = Client::new(&[url], city.manners.timeout, city.context()?.tls_ca.as_deref())?;
            fetch(&joining, name, city.manners.timeout)?
        }
        None => fetch(&client, name, city.manners.timeout)?,
    };
    check(&genesis, &all, &word, name)?;
    let ring = city.ring()?;
    let entry = match key {
        Some(key) => ring.find(key)?,
        None => {
            let mine = |entry: &&crate::keyring::Entry| {
                entry.kind == "member" && entry.agency.as_deref() == Some(word.agency.as_str())
            };
            ring.entries().iter().find(mine).ok_or_else(|| {
                CliError::new(Code::NoKeyForAuthority, format!("the key ring has no key of {}", word.agency))
                    .hint("give --key NAME, of a member of that agency or of the council: city key list")
            })?
        }
    };
    let ReadyView { record, version, time_ms, signature, .. } = word;
    let operation = Operation::Ready { record, version, time_ms, signature };
    let submission = filing::sign(&genesis, &*ring.secret(entry)?, vec![(operation, None)], false);
    report(city, &filing::file(&client, &genesis, &submission, None, city.manners.timeout)?)?;
    city.out.say(format!("  {name} joins with the next epoch; see: city validator list"));
    Ok(())
}

/// Asks for the word until the time is over, as long as the node only needs more time.
fn fetch(nodes: &Client, name: &str, patience: Duration) -> CliResult<ReadyView> {
    let deadline = Instant::now() + patience;
    loop {
        let error = match ask(nodes, name) {
            Ok(word) => return Ok(word),
            Err(error) => error,
        };
        let passes = matches!(error.code(), Code::NotReady | Code::Unreachable | Code::NotWanted);
        if !passes || Instant::now() + AGAIN >= deadline {
            return Err(error);
        }
        if !interrupt::sleep(AGAIN) {
            return Err(CliError::new(Code::Interrupted, "nothing was filed"));
        }
    }
}

/// Asks every node once: the first that speaks for the validator, else the refusal that says most.
fn ask(nodes: &Client, name: &str) -> CliResult<ReadyView> {
    let mut refused: Option<CliError> = None;
    for node in 0..nodes.len() {
        match nodes.get_from::<ReadyView>(node, paths::READY) {
            Ok(word) if word.name == name || nodes.len() == 1 => return Ok(word),
            Ok(_) => {}
            // Validators of the epoch have nothing to say; one that is not ready yet is the one that is meant.
            Err(error) => {
                let says_more = refused.as_ref().is_none_or(|before| rank(before) < rank(&error));
                if says_more {
                    refused = Some(error);
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        CliError::new(Code::NotFound, format!("no node of the context speaks for {name}"))
            .hint("give the joining node's own address: --from URL")
    }))
}

fn rank(error: &CliError) -> u8 {
    match error.code() {
        Code::NotReady | Code::SafetyLost => 3,
        Code::NotWanted => 2,
        Code::Unreachable => 1,
        _ => 0,
    }
}

/// That the word is this validator's, and good for what the ledger waits for.
fn check(genesis: &Genesis, all: &ValidatorsView, word: &ReadyView, name: &str) -> CliResult {
    let one = known(all, name)?;
    if word.name != name || word.consensus_key != one.validator.consensus_key {
        let detail = format!(
            "the node speaks for {} with consensus key {}, wants {name} with {}",
            word.name,
            word.consensus_key.short(),
            one.validator.consensus_key.short()
        );
        return Err(
            CliError::new(Code::NotOwnNode, detail).hint("give the joining node's own address: --from URL")
        );
    }
    if (word.record, word.version, word.epoch) != (one.record, one.version, all.epoch) {
        let detail = format!(
            "the node is ready for version {} in epoch {}, wants version {} in epoch {}",
            word.version, word.epoch, one.version, all.epoch
        );
        return Err(CliError::new(Code::NotReady, detail).hint("it has not caught up: try again in a moment"));
    }
    let ready = Ready {
        chain_id: genesis.chain_id(),
        epoch: word.epoch,
        record: word.record,
        version: word.version,
        consensus_key: word.consensus_key,
        time_ms: word.time_ms,
    };
    if !word.consensus_key.verify(&ready, &word.signature) {
        let detail = format!("key {} did not sign that it is ready", word.consensus_key.short());
        return Err(CliError::new(Code::BadSignature, detail).hint("tell the operator of the joining node"));
    }
    Ok(())
}
