//! `city validator`: who takes part in consensus, and how that changes.

mod evidence;
mod propose;
mod ready;

use std::path::{Path, PathBuf};

use chain_core::api::{RecordView, ValidatorView, ValidatorsView};
use chain_core::code::Code;
use chain_core::genesis::{Genesis, ValidatorSecrets};
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::record::validator::ValidatorDetails;
use chain_core::record::{Details, RecordType};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::clock::utc;
use crate::commands::clerk::record::{approval, known_agency, list};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::{self, Filed};
use crate::output::Shape;

use propose::ProposeCommand;

/// Validators: who takes part, propose and approve changes, what is proven against them
///
/// The council decides which validators there should be; each change is proposed by one council member and approved
/// by the others. The set itself changes at the end of an epoch, and nobody joins or changes keys before its node has
/// said that it is ready.
///
/// city key new harbour --kind validator
///
/// city validator prove harbour --agency uscc:11320100MAXP23YC3L --address /ip4/10.0.0.5/tcp/7101 --out harbour.json
///
/// city validator propose add harbour.json --key council-1
///
/// city validator approve RECORD --key council-2
///
/// city validator ready harbour --from http://10.0.0.5:7100
///
/// city validator evidence
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum ValidatorCommand {
    /// List every validator that the ledger knows, and the epoch
    List,
    /// Show one validator with its keys
    Show {
        /// Its name
        name: String,
    },
    /// Prove that a validator's three keys of this ring are held here, for the council to register them
    Prove {
        /// Its name; the keys are NAME-consensus, NAME-network and NAME-log unless --keys-of says otherwise
        name: String,
        /// The agency that runs it
        #[arg(long)]
        agency: String,
        /// Where peers dial it, e.g. /ip4/10.0.0.5/tcp/7101
        #[arg(long)]
        address: String,
        /// Name under which `city key new --kind validator` made its keys
        #[arg(long, value_name = "KEYS")]
        keys_of: Option<String>,
        /// It votes, and its turn to lead never comes
        #[arg(long)]
        never_leads: bool,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Propose a change to the council
    #[command(subcommand)]
    Propose(ProposeCommand),
    /// List what waits for the council's approval
    Proposals,
    /// Approve a proposal as a council member
    Approve {
        /// Its record
        record: RecordId,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// Refuse a proposal as a council member
    Reject {
        /// Its record
        record: RecordId,
        /// Why
        #[arg(long)]
        reason: String,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// Fetch a joining node's word that it is ready, and file it
    Ready {
        /// The validator's name
        name: String,
        /// API of the joining node, in place of asking every node of the context
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// Key that signs, of a member of the validator's agency or of the council; the ring's first of that agency
        #[arg(long)]
        key: Option<String>,
    },
    /// List every offence that the ledger holds proof of; each proof is checked here
    Evidence,
}

const VALIDATORS: Shape = Shape {
    schema: "validators",
    columns: &[
        "name", "agency", "status", "in_set", "in_next", "ready", "leads", "address", "version", "record",
    ],
    id: "record",
    empty: "the ledger knows no validators",
};
const VALIDATOR: Shape = Shape {
    schema: "validator",
    columns: &[
        "name",
        "agency",
        "status",
        "in_set",
        "in_next",
        "ready_until",
        "leads",
        "offences",
        "address",
        "consensus_key",
        "network_key",
        "log_key",
        "record",
        "version",
        "epoch",
    ],
    id: "record",
    empty: "",
};
const PROPOSALS: Shape = Shape {
    schema: "validator-proposals",
    columns: &["record", "name", "change", "version", "missing", "address", "consensus_key"],
    id: "record",
    empty: "nothing waits for the council",
};

pub(crate) fn run(command: ValidatorCommand, city: &City) -> CliResult {
    match command {
        ValidatorCommand::List => {
            let all: ValidatorsView = city.client()?.get(paths::VALIDATORS)?;
            let rows: Vec<Value> = all.known.iter().map(|one| row(&all, one)).collect();
            city.out.list(VALIDATORS, &rows)?;
            explain(city, &all);
            Ok(())
        }
        ValidatorCommand::Show { name } => {
            let all: ValidatorsView = city.client()?.get(paths::VALIDATORS)?;
            city.out.item(VALIDATOR, &row(&all, known(&all, &name)?))
        }
        ValidatorCommand::Prove { name, agency, address, keys_of, never_leads, out } => {
            let genesis = city.genesis()?;
            let keys = keys_of.as_deref().unwrap_or(&name);
            let mut details = prove(city, &genesis, &name, keys, &agency, &address)?;
            details.may_lead = !never_leads;
            details.check(Some(genesis.chain_id()))?;
            let text = serde_json::to_string_pretty(&details).map_err(CliError::internal)?;
            files::create(&out, &(text + "\n"))?;
            city.out.done(format!("proof in {}; it holds no secret", out.display()));
            Ok(())
        }
        ValidatorCommand::Propose(command) => propose::run(command, city),
        ValidatorCommand::Proposals => {
            let filter = [("type", Some(RecordType::Validator.name().to_owned()))];
            let views = list(&city.client()?, &filter, usize::MAX)?.items;
            let open = views.iter().filter(|view| view.status == "submitted" || view.pending.is_some());
            city.out.list(PROPOSALS, &open.map(proposal).collect::<CliResult<Vec<_>>>()?)
        }
        ValidatorCommand::Approve { record, key } => {
            let view = proposed(city, &record)?;
            sign(city, approval(record, &view), &key)
        }
        ValidatorCommand::Reject { record, reason, key } => {
            let view = proposed(city, &record)?;
            let (version, digest) = match &view.pending {
                Some(pending) => (pending.version, pending.digest),
                None => (view.version, view.header_digest),
            };
            sign(city, Operation::Reject { record, version, header_digest: Some(digest), reason }, &key)
        }
        ValidatorCommand::Ready { name, from, key } => ready::run(city, &name, from, key.as_deref()),
        ValidatorCommand::Evidence => evidence::run(city),
    }
}

/// Signs one operation and follows it to its end.
fn sign(city: &City, operation: Operation, key: &str) -> CliResult {
    let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
    let secret = ring.secret(ring.find(key)?)?;
    let submission = filing::sign(&genesis, &secret, vec![(operation, None)], false);
    report(city, &filing::file(&client, &genesis, &submission, None, city.manners.timeout)?)
}

fn report(city: &City, filed: &Filed) -> CliResult {
    filing::show(&city.out, std::slice::from_ref(filed))?;
    filed.verdict()
}

/// A validator by name.
fn known<'a>(all: &'a ValidatorsView, name: &str) -> CliResult<&'a ValidatorView> {
    all.known.iter().find(|one| one.validator.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.known.iter().map(|one| one.validator.name.as_str()).collect();
        CliError::new(Code::NotFound, format!("no validator {name} in the ledger at height {}", all.height))
            .hint(format!("one of: {}; what waits for approval: city validator proposals", names.join(", ")))
    })
}

/// A validator's record that waits for approval.
fn proposed(city: &City, record: &RecordId) -> CliResult<RecordView> {
    let view: RecordView = city.client()?.get(&paths::record(record))?;
    details_of(&view)?;
    if view.status != "submitted" && view.pending.is_none() {
        let detail = format!("record {record} is {}, and nothing about it waits for approval", view.status);
        return Err(CliError::new(Code::BadState, detail).hint("see what waits: city validator proposals"));
    }
    Ok(view)
}

/// What a validator's record says, in the version in effect, or the first one.
fn details_of(view: &RecordView) -> CliResult<ValidatorDetails> {
    match shown_header(view)?.details {
        Details::Validator(details) => Ok(*details),
        _ => {
            let detail =
                format!("record {} is a {}, wants {}", view.record, view.record_type, RecordType::Validator);
            Err(CliError::new(Code::BadState, detail)
                .hint("validators' records are listed by: city validator list"))
        }
    }
}

fn prove(
    city: &City,
    genesis: &Genesis,
    name: &str,
    keys: &str,
    agency: &str,
    address: &str,
) -> CliResult<ValidatorDetails> {
    let agency = known_agency(agency)?;
    let ring = city.ring()?;
    let secret = |role: &str| ring.secret(ring.find(&format!("{keys}-{role}"))?);
    let (consensus, network, log) = (secret("consensus")?, secret("network")?, secret("log")?);
    let secrets = ValidatorSecrets { consensus: &consensus, network: &network, log: &log };
    Ok(ValidatorDetails::prove(genesis.chain_id(), name, &agency, address, secrets))
}

pub(crate) fn read_proof(path: &Path, genesis: &Genesis) -> CliResult<ValidatorDetails> {
    let how = "make it with: city validator prove NAME --agency ID --address ADDRESS --out FILE";
    let details: ValidatorDetails = serde_json::from_str(&files::read(path)?).map_err(|error| {
        CliError::new(Code::MalformedJson, format!("{}: {error}", path.display())).hint(how)
    })?;
    details.check(Some(genesis.chain_id())).map_err(|refusal| CliError::from(refusal).hint(how))?;
    Ok(details)
}

fn row(all: &ValidatorsView, one: &ValidatorView) -> Value {
    let validator = &one.validator;
    json!({
        "name": validator.name,
        "agency": validator.agency,
        "status": one.status,
        "in_set": one.in_set,
        "in_next": one.in_next,
        "ready": one.ready_until_ms.is_some(),
        "ready_until": one.ready_until_ms.map(utc),
        "leads": validator.may_lead && one.offences == 0,
        "offences": one.offences,
        "address": validator.address,
        "consensus_key": validator.consensus_key,
        "network_key": validator.network_key,
        "log_key": validator.log_key,
        "record": one.record,
        "version": one.version,
        "epoch": all.epoch,
    })
}

/// Says what the table cannot: the epoch, what comes next, and who is waited for.
fn explain(city: &City, all: &ValidatorsView) {
    city.out.say(format!(
        "  Epoch {} since block {}: {} validators, {} votes decide, {} may fail",
        all.epoch,
        all.base_height,
        all.committee.size(),
        all.quorum,
        all.faults
    ));
    if let Some(next) = &all.scheduled {
        let names: Vec<&str> = next.next.validators().iter().map(|one| one.name.as_str()).collect();
        city.out.say(format!(
            "  Epoch {} is settled at block {}: {}",
            next.next.epoch(),
            next.height,
            names.join(", ")
        ));
        return;
    }
    for one in all.known.iter().filter(|one| one.status == "effective" && !one.in_set) {
        let name = &one.validator.name;
        city.out.say(match one.ready_until_ms {
            None => format!("  {name} is waited for: city validator ready {name} --from URL"),
            Some(_) => format!("  {name} is ready, and joins as soon as the set has room for it"),
        });
    }
}

fn proposal(view: &RecordView) -> CliResult<Value> {
    let details = details_of(view)?;
    let (change, version, missing) = match &view.pending {
        Some(pending) => (pending.operation.as_str(), pending.version, &pending.missing),
        None => ("add", view.version, &view.missing),
    };
    Ok(json!({
        "record": view.record,
        "name": details.name,
        "agency": details.agency,
        "change": change,
        "version": version,
        "missing": missing,
        "address": details.address,
        "consensus_key": details.consensus_key.key,
    }))
}
