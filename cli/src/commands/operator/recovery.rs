//! `city recovery`: the way out when more validators are gone for good than the quorum can spare.

mod draft;

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::genesis::{Genesis, RecoveryKeyEntry, read_aloud};
use chain_core::id::ChainId;
use chain_core::recovery::{RecoveryError, RecoveryKey, RecoveryKeys, SignedRecovery};
use clap::Subcommand;
use serde_json::{Value, json};

use super::genesis::read_draft;
use super::key::{Kind, make};
use crate::app::City;
use crate::clock::utc;
use crate::commands::clerk::record::known_agency;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::keyring::Owner;
use crate::output::Shape;

use draft::DraftArgs;

/// Go on after a quorum is lost for good: make the agencies' keys for that day, draw up their act, sign it
///
/// The keys are made for the genesis and kept offline. On the day, one agency draws up the act with the newest final
/// block and the next validators; enough agencies sign the same file, each on a machine of its own and without a network;
/// every validator of the new set takes it while it is stopped.
///
/// city recovery draft --keep market --keep housing --add fresh-1.json --add fresh-2.json
///     --reason "two machine rooms burnt" --out act.json
///
/// city recovery sign act.json --key safe-market
///
/// city recovery verify act.json
///
/// city-node recover --config node.toml act.json
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum RecoveryCommand {
    /// Make an agency's recovery key, and the public entry that its part of the genesis brings along
    Key {
        /// Name in the ring and in the genesis: lower-case letters, digits and hyphens
        name: String,
        /// The agency that keeps it, e.g. uscc:11320100MAXP23YC3L
        #[arg(long)]
        agency: String,
        /// The draft of the genesis that it is for
        #[arg(long, value_name = "FILE")]
        draft: PathBuf,
        /// File to write the entry to; it holds no secret
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Draw up an act: where the chain goes on, and with whom
    Draft(DraftArgs),
    /// Read an act aloud and sign it with one agency's recovery key; needs no network
    Sign {
        /// The act; the signature is added to it
        act: PathBuf,
        /// Name of the recovery key in the ring
        #[arg(long, value_name = "NAME")]
        key: String,
    },
    /// Show what an act says and who has signed it
    Show {
        /// The act
        act: PathBuf,
    },
    /// Check that an act binds: enough recovery keys of the genesis signed exactly this
    Verify {
        /// The act
        act: PathBuf,
    },
}

const SHAPE: Shape = Shape {
    schema: "recovery-act",
    columns: &[
        "binding",
        "chain_id",
        "epoch",
        "height",
        "block_digest",
        "next_epoch",
        "validators",
        "quorum",
        "reason",
        "time",
        "signed_by",
        "missing",
        "not_signed",
        "read_aloud",
        "act",
    ],
    id: "act",
    empty: "",
};

pub(crate) fn run(command: RecoveryCommand, city: &City) -> CliResult {
    match command {
        RecoveryCommand::Key { name, agency, draft, out } => key(city, &name, &agency, &draft, &out),
        RecoveryCommand::Draft(args) => draft::run(&args, city),
        RecoveryCommand::Sign { act, key } => sign(city, &act, &key),
        RecoveryCommand::Show { act } => {
            let (genesis, recovery) = (city.genesis()?, read(&act)?);
            city.out.item(SHAPE, &view(&genesis, &recovery)?)
        }
        RecoveryCommand::Verify { act } => {
            let (genesis, recovery) = (city.genesis()?, read(&act)?);
            let keys = keys_of(&genesis)?;
            recovery.verify(genesis.chain_id(), recovery.act.epoch, keys).map_err(|error| refused(&error))?;
            city.out.done("the act binds; whether it fits what is final, each node checks when it takes it");
            city.out.item(SHAPE, &view(&genesis, &recovery)?)
        }
    }
}

/// Makes the key, unless an earlier attempt did, and writes its entry.
fn key(city: &City, name: &str, agency: &str, draft: &Path, out: &Path) -> CliResult {
    known_agency(agency)?;
    let draft = read_draft(draft)?;
    if draft.document().recovery.is_none() {
        return Err(CliError::new(Code::RecoveryUnknown, "the draft has no section [recovery]")
            .hint("add to the draft, before it is sent round: [recovery] with threshold = M"));
    }
    let mut ring = city.ring()?;
    if ring.entries().iter().all(|entry| entry.name != name) {
        let owner = Owner { agency: Some(agency.to_owned()), ..Owner::default() };
        make(&mut ring, name, Kind::Recovery, owner)?;
    }
    let entry = ring.find(name)?;
    if entry.kind != "recovery" || entry.agency.as_deref() != Some(agency) {
        let of = entry.agency.as_deref().unwrap_or("no agency");
        let detail = format!("key {name} is a {} key of {of}, wants a recovery key of {agency}", entry.kind);
        return Err(CliError::usage(detail).hint("choose another name"));
    }
    let secret = ring.secret(entry)?;
    let entry = RecoveryKeyEntry::new(&draft.document().network, name, agency, &secret);
    files::create(out, &toml::to_string(&entry).map_err(CliError::internal)?)?;
    city.out.done(format!(
        "recovery key {name} in {}; its entry in {}",
        ring.folder().display(),
        out.display()
    ));
    city.out
        .say("  Keep the key offline. The entry goes into your part: city genesis join --recovery-key FILE");
    Ok(())
}

/// Adds a signature to the act, once a person has seen what it says.
fn sign(city: &City, path: &Path, name: &str) -> CliResult {
    let (genesis, recovery) = (city.genesis()?, read(path)?);
    let keys = keys_of(&genesis)?;
    recovery.act.check(genesis.chain_id(), recovery.act.epoch).map_err(|error| refused(&error))?;
    recovery.check_signatures(keys).map_err(|error| refused(&error))?;
    let ring = city.ring()?;
    let secret = ring.secret(ring.find(name)?)?;
    if !keys.keys().iter().any(|known| known.key == secret.public()) {
        let detail = format!("key {name} is no recovery key of chain {}", genesis.chain_id());
        return Err(CliError::new(Code::RecoveryInvalid, detail)
            .hint(format!("the genesis names: {}", names(keys.keys().iter()))));
    }
    for line in aloud(&genesis, &recovery) {
        city.out.say(line);
    }
    let what = format!("Sign that epoch {} ends at block {}", recovery.act.epoch, recovery.act.height);
    city.confirm(&what, "sign")?;
    let signature = recovery.act.sign(&secret);
    let recovery = recovery.with(signature);
    files::replace(path, recovery.to_json())?;
    let missing = usize::from(keys.threshold()).saturating_sub(recovery.signatures.len());
    city.out.done(match missing {
        0 => "signed; the act binds".to_owned(),
        missing => format!("signed; {missing} more of {} keys are needed", keys.keys().len()),
    });
    city.out.item(SHAPE, &view(&genesis, &recovery)?)
}

/// What whoever signs must have understood.
fn aloud(genesis: &Genesis, recovery: &SignedRecovery) -> Vec<String> {
    let act = &recovery.act;
    let mut lines = vec![
        format!("Act of recovery of {}, chain {}", genesis.document().network, genesis.read_aloud()),
        format!("  It ends epoch {} at block {}, {}.", act.epoch, act.height, act.block_digest),
        format!(
            "  Whatever was final above block {} anywhere is passed over; receipts for it will contradict the log.",
            act.height
        ),
        format!(
            "  From block {} on these {} validators decide, {} of them together:",
            act.height.next(),
            act.next.size(),
            act.next.quorum()
        ),
    ];
    lines.extend(act.next.validators().iter().map(|one| {
        format!("    {}   {}   {}   key {}", one.name, one.agency, one.address, one.consensus_key.short())
    }));
    lines.extend([
        format!("  Reason: {}", act.reason),
        format!("  Drawn up {}", utc(act.time_ms)),
        format!("  Read this aloud to the other agencies: {}", words(recovery)),
        "  Sign only if the validators that are left out are gone for good, and not only out of sight."
            .to_owned(),
    ]);
    lines
}

/// The act's digest in a form for the telephone.
fn words(recovery: &SignedRecovery) -> String {
    read_aloud(&ChainId::new(recovery.act.digest()))
}

fn view(genesis: &Genesis, recovery: &SignedRecovery) -> CliResult<Value> {
    let (act, keys) = (&recovery.act, keys_of(genesis)?);
    let verdict = recovery.verify(genesis.chain_id(), act.epoch, keys);
    let (signed, open): (Vec<&RecoveryKey>, Vec<&RecoveryKey>) =
        keys.keys().iter().partition(|key| recovery.is_signed_by(key));
    let validators = act.next.validators().iter();
    Ok(json!({
        "binding": verdict.is_ok(),
        "because": verdict.as_ref().err().map(ToString::to_string),
        "code": verdict.as_ref().err().map(|error| error.code().name()),
        "chain_id": act.chain_id,
        "epoch": act.epoch,
        "height": act.height,
        "block_digest": act.block_digest,
        "next_epoch": act.next.epoch(),
        "validators": validators.map(|one| format!("{} ({}) {}", one.name, one.agency, one.address)).collect::<Vec<_>>(),
        "quorum": act.next.quorum(),
        "reason": act.reason,
        "time": utc(act.time_ms),
        "signed_by": signed.iter().map(|key| &key.name).collect::<Vec<_>>(),
        "missing": usize::from(keys.threshold()).saturating_sub(signed.len()),
        "not_signed": open.iter().map(|key| &key.name).collect::<Vec<_>>(),
        "read_aloud": words(recovery),
        "act": act.record(),
    }))
}

fn names<'k>(keys: impl Iterator<Item = &'k RecoveryKey>) -> String {
    keys.map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Reads an act's file.
fn read(path: &Path) -> CliResult<SignedRecovery> {
    SignedRecovery::parse(&files::read(path)?)
        .map_err(|refusal| CliError::from(refusal).hint(format!("the file is {}", path.display())))
}

/// Whose act binds on this chain.
fn keys_of(genesis: &Genesis) -> CliResult<&RecoveryKeys> {
    genesis.recovery_keys().ok_or_else(|| {
        let detail = format!("the genesis of {} has no section [recovery]", genesis.document().network);
        CliError::new(Code::RecoveryUnknown, detail)
    })
}

fn refused(error: &RecoveryError) -> CliError {
    error.refusal().into()
}
