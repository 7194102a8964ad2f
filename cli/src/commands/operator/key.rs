//! `city key`: make and see keys. Secrets stay in encrypted files and are never printed.

use std::path::Path;

use chain_core::code::Code;
use chain_core::crypto::PublicKey;
use chain_core::keyfile::KeyRole;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::keyring::{Entry, KeyRing, Owner};
use crate::output::Shape;

/// Make, list and show keys
///
/// The keys are encrypted PKCS#8 files that `openssl pkey` reads too. The passphrase is asked for, or comes
/// from --passphrase-file or the systemd credential city-passphrase; it is never part of a command line.
///
/// city key new m-ortiz --agency uscc:11320100MAXP23YC3L --role clerk
///
/// city key new market --kind validator
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key in the key ring
    New {
        /// Name in the ring; a validator's three keys get the endings -consensus, -network and -log
        name: String,
        /// What the key is for
        #[arg(long, value_enum, default_value_t)]
        kind: Kind,
        /// Agency of a member, e.g. uscc:11320100MAXP23YC3L
        #[arg(long)]
        agency: Option<String>,
        /// Role of a member, e.g. clerk
        #[arg(long)]
        role: Option<String>,
        /// The post, never a person's name
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys of the ring
    List,
    /// Show one key's public half
    Show {
        /// Name in the ring
        name: String,
    },
}

/// What a new key is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// A member of an agency signs records with it
    #[default]
    Member,
    /// All three keys of a validator
    Validator,
    /// Votes of a validator
    Consensus,
    /// Identity of a validator on the network
    Network,
    /// Checkpoints of a validator
    Log,
    /// What the officers of an agency share to recognise their own decision numbers
    Dedupe,
}

const SHAPE: Shape = Shape {
    schema: "keys",
    columns: &["name", "kind", "agency", "role", "label", "public", "file"],
    id: "public",
    empty: "the key ring is empty; make a key: city key new NAME --agency ID --role clerk",
};

pub(crate) fn run(command: KeyCommand, city: &City) -> CliResult {
    let mut ring = city.ring()?;
    match command {
        KeyCommand::New { name, kind, agency, role, label } => {
            let owner = Owner { agency, role, label };
            let made = make(&mut ring, &name, kind, owner)?;
            city.out.done(format!("{} in {}", name, ring.folder().display()));
            city.out.list(SHAPE, &made.iter().map(view).collect::<Vec<_>>())
        }
        KeyCommand::List => city.out.list(SHAPE, &ring.entries().iter().map(view).collect::<Vec<_>>()),
        KeyCommand::Show { name } => city.out.item(SHAPE, &view(ring.find(&name)?)),
    }
}

/// Makes the keys of a kind.
pub(crate) fn make(ring: &mut KeyRing, name: &str, kind: Kind, owner: Owner) -> CliResult<Vec<Entry>> {
    check_name(name)?;
    let one = |ring: &mut KeyRing, name: &str, role: KeyRole| -> CliResult<Entry> {
        let entry = ring.create(name, role, owner.clone())?;
        if role == KeyRole::Consensus {
            mark_fresh(&ring.folder().join(&entry.file), &entry.public)?;
        }
        Ok(entry)
    };
    Ok(match kind {
        Kind::Member => {
            if owner.agency.is_none() || owner.role.is_none() {
                return Err(CliError::usage("a member's key needs --agency and --role"));
            }
            vec![one(ring, name, KeyRole::Member)?]
        }
        Kind::Consensus => vec![one(ring, name, KeyRole::Consensus)?],
        Kind::Network => vec![one(ring, name, KeyRole::Network)?],
        Kind::Log => vec![one(ring, name, KeyRole::Log)?],
        Kind::Validator => vec![
            one(ring, &format!("{name}-consensus"), KeyRole::Consensus)?,
            one(ring, &format!("{name}-network"), KeyRole::Network)?,
            one(ring, &format!("{name}-log"), KeyRole::Log)?,
        ],
        Kind::Dedupe => {
            let agency = owner.agency.ok_or_else(|| CliError::usage("a dedupe key needs --agency"))?;
            ring.create_dedupe(&agency, name)?;
            Vec::new()
        }
    })
}

/// Leaves the marker that lets a validator start with this key exactly once: a key without it may have
/// signed before, and only its safety record would know what.
fn mark_fresh(key_file: &Path, public: &PublicKey) -> CliResult {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".fresh");
    files::create_secret(Path::new(&name), &format!("{public}\n"))
}

fn check_name(name: &str) -> CliResult {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    Err(CliError::new(Code::BadParameter, format!("key name {name:?}"))
        .hint("use lower-case letters, digits and hyphens, at most 64"))
}

fn view(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "kind": entry.kind,
        "agency": entry.agency,
        "role": entry.role,
        "label": entry.label,
        "public": entry.public,
        "file": entry.file,
    })
}
