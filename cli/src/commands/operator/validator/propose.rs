//! `city validator propose`: the first signature under a change of the validator set.

use std::path::PathBuf;

use chain_core::api::{RecordView, ValidatorView, ValidatorsView};
use chain_core::build::governance_header;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use chain_core::layout::Layout as _;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::validator::ValidatorDetails;
use chain_core::record::{Details, Header};
use clap::Subcommand;

use super::{details_of, known, read_proof, report};
use crate::app::City;
use crate::client::paths;
use crate::commands::clerk::record::known_agency;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::filing;

/// Changes of the validator set.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ProposeCommand {
    /// Another validator joins
    Add {
        /// Proof of its keys, made with `city validator prove`
        file: PathBuf,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// A validator leaves for good
    Remove {
        /// Its name
        name: String,
        /// Order or file number
        #[arg(long, default_value = "")]
        note: String,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// A validator goes on under new keys: a new consensus key and a new network key
    ReplaceKey {
        /// Proof of the new keys, made with `city validator prove` under the validator's name
        file: PathBuf,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// A validator is dialled at another address
    Move {
        /// Its name
        name: String,
        /// The new address, e.g. /ip4/10.0.0.9/tcp/7101
        #[arg(long)]
        address: String,
        /// Proof of its keys, made with `city validator prove`; needed once for a validator of the genesis
        #[arg(long, value_name = "FILE")]
        proof: Option<PathBuf>,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
}

pub(super) fn run(command: ProposeCommand, city: &City) -> CliResult {
    let genesis = city.genesis()?;
    let all: ValidatorsView = city.client()?.get(paths::VALIDATORS)?;
    match command {
        ProposeCommand::Add { file, key } => add(city, &genesis, &all, read_proof(&file, &genesis)?, &key),
        ProposeCommand::Remove { name, note, key } => {
            let (one, _) = standing(city, &all, &name)?;
            let operation = Operation::Revoke {
                record: one.record,
                version: one.version,
                reason: RevokeReason::Ended,
                effect: Effect::FromNow,
                note,
            };
            file(city, &genesis, operation, &key)
        }
        ProposeCommand::ReplaceKey { file: path, key } => {
            let details = read_proof(&path, &genesis)?;
            let (_, header) = standing(city, &all, &details.name)?;
            new_keys(&header, &details)?;
            amend(city, &genesis, header, details, &key)
        }
        ProposeCommand::Move { name, address, proof, key } => {
            let (_, header) = standing(city, &all, &name)?;
            let old = validator_in(&header)?;
            let mut details = match proof {
                Some(path) => read_proof(&path, &genesis)?,
                None => old.clone(),
            };
            if details.keys().map(|(_, one)| one.key) != old.keys().map(|(_, one)| one.key) {
                return Err(CliError::new(
                    Code::BadParameter,
                    format!("the proof is of other keys than {name} has"),
                )
                .hint("for new keys: city validator propose replace-key FILE"));
            }
            details.address = address;
            details.check(Some(genesis.chain_id())).map_err(|refusal| {
                CliError::from(refusal).hint(format!(
                    "a validator of the genesis proves its keys once more: city validator prove {name} --agency {} \
                     --address ADDRESS --out FILE, then give --proof FILE",
                    old.agency
                ))
            })?;
            amend(city, &genesis, header, details, &key)
        }
    }
}

fn add(
    city: &City,
    genesis: &Genesis,
    all: &ValidatorsView,
    details: ValidatorDetails,
    key: &str,
) -> CliResult {
    if let Some(one) =
        all.known.iter().find(|one| one.validator.name == details.name && one.status != "revoked")
    {
        let detail = format!("validator {} has record {}, which is {}", details.name, one.record, one.status);
        return Err(CliError::new(Code::AlreadyExists, detail).hint(format!(
            "for new keys: city validator propose replace-key FILE; or remove it first: city validator propose remove {}",
            details.name
        )));
    }
    let ring = city.ring()?;
    let agency = ring.find(key)?.agency.as_deref().ok_or_else(|| {
        CliError::usage(format!("key {key} is of no agency"))
            .hint("sign with the key of a council member: city key list")
    })?;
    let agency = known_agency(agency)?;
    let details = Details::Validator(Box::new(details));
    // The same proposal made twice in one epoch is one; after a removal the same keys may come again.
    let content = Digest::tagged(b"city/validator-proposal/1", &[&details.to_canonical()]);
    let name = format!("{content}/{}", all.epoch);
    let header = governance_header(genesis.chain_id(), &agency, &[], &name, 1, details);
    file(city, genesis, Operation::Submit(Box::new(header)), key)
}

fn amend(city: &City, genesis: &Genesis, old: Header, details: ValidatorDetails, key: &str) -> CliResult {
    let details = Details::Validator(Box::new(details));
    let header = Header { version: old.version.saturating_add(1), details, ..old };
    let reason = AmendReason::ChangeOnApplication;
    file(city, genesis, Operation::Amend { header: Box::new(header), reason }, key)
}

/// Files the first signature and says who is next.
fn file(city: &City, genesis: &Genesis, operation: Operation, key: &str) -> CliResult {
    let (client, ring) = (city.client()?, city.ring()?);
    let record = operation.record();
    let secret = ring.secret(ring.find(key)?)?;
    let submission = filing::sign(genesis, &secret, vec![(operation, None)], false);
    report(city, &filing::file(&client, genesis, &submission, None, city.manners.timeout)?)?;
    city.out.say(format!("  Now the council approves it: city validator approve {record} --key NAME"));
    Ok(())
}

/// A validator that is not gone, with its record's header in effect.
fn standing<'a>(city: &City, all: &'a ValidatorsView, name: &str) -> CliResult<(&'a ValidatorView, Header)> {
    let one = known(all, name)?;
    if one.status == "revoked" {
        let detail = format!("validator {name} is revoked, wants effective or suspended");
        return Err(
            CliError::new(Code::BadState, detail).hint("to have it back: city validator propose add FILE")
        );
    }
    let view: RecordView = city.client()?.get(&paths::record(&one.record))?;
    details_of(&view)?;
    if let Some(pending) = &view.pending {
        let detail = format!("a step to {} {name} waits for approval", pending.operation);
        let record = one.record;
        return Err(CliError::new(Code::BadState, detail).hint(format!(
            "settle that first: city validator approve {record} --key NAME, or city validator reject {record}"
        )));
    }
    Ok((one, shown_header(&view)?))
}

fn validator_in(header: &Header) -> CliResult<ValidatorDetails> {
    match &header.details {
        Details::Validator(details) => Ok((**details).clone()),
        _ => Err(CliError::internal("a validator's record holds none")),
    }
}

/// The new node must be able to follow beside the old one until it takes over, so it must be another host to its peers,
/// and the old key must not be able to vote for it.
fn new_keys(header: &Header, new: &ValidatorDetails) -> CliResult {
    let old = validator_in(header)?;
    if old.agency != new.agency {
        let detail = format!("the proof is of agency {}, {} is run by {}", new.agency, old.name, old.agency);
        return Err(CliError::new(Code::NotAmendable, detail)
            .hint("a validator of another agency is another validator: propose remove, then propose add"));
    }
    for (role, before, now) in [
        ("consensus", old.consensus_key.key, new.consensus_key.key),
        ("network", old.network_key.key, new.network_key.key),
    ] {
        if before == now {
            let detail = format!("the {role} key is still {}, wants a new one", now.short());
            return Err(CliError::new(Code::KeyInUse, detail).hint(format!(
                "make new keys: city key new {}-2 --kind validator; then city validator prove {} --keys-of {}-2",
                old.name, old.name, old.name
            )));
        }
    }
    Ok(())
}
