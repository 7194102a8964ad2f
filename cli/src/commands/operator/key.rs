//! `city key`: make and see keys. Secrets stay in encrypted files and are never printed.

use std::path::Path;

use chain_core::code::Code;
use chain_core::crypto::PublicKey;
use chain_core::keyfile::KeyRole;
use chain_core::record::governance::Role;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::City;
use crate::commands::clerk::record::known_agency;
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
    /// An agency's part in the way out of a lost quorum; kept offline
    Recovery,
    /// The index of subjects; one for the whole network, kept by every validator
    Subjects,
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
            owner.check(kind)?;
            let made = make(&mut ring, &name, kind, owner)?;
            city.out.done(format!("{} in {}", name, ring.folder().display()));
            let rows = match kind {
                Kind::Dedupe => dedupe_views(&ring).filter(|row| row["name"] == name.as_str()).collect(),
                _ => made.iter().map(view).collect::<Vec<_>>(),
            };
            city.out.list(SHAPE, &rows)
        }
        KeyCommand::List => {
            let keys = ring.entries().iter().map(view);
            city.out.list(SHAPE, &keys.chain(dedupe_views(&ring)).collect::<Vec<_>>())
        }
        KeyCommand::Show { name } => match dedupe_views(&ring).find(|row| row["name"] == name.as_str()) {
            Some(row) => city.out.item(SHAPE, &row),
            None => city.out.item(SHAPE, &view(ring.find(&name)?)),
        },
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
                return Err(CliError::usage("a member's key needs --agency and --role")
                    .hint("city key new NAME --agency uscc:11320100MAXP23YC3L --role clerk"));
            }
            vec![one(ring, name, KeyRole::Member)?]
        }
        Kind::Consensus => vec![one(ring, name, KeyRole::Consensus)?],
        Kind::Network => vec![one(ring, name, KeyRole::Network)?],
        Kind::Log => vec![one(ring, name, KeyRole::Log)?],
        Kind::Subjects => vec![one(ring, name, KeyRole::Subjects)?],
        Kind::Validator => vec![
            one(ring, &format!("{name}-consensus"), KeyRole::Consensus)?,
            one(ring, &format!("{name}-network"), KeyRole::Network)?,
            one(ring, &format!("{name}-log"), KeyRole::Log)?,
        ],
        Kind::Recovery => {
            if owner.agency.is_none() {
                return Err(CliError::usage("a recovery key needs --agency")
                    .hint("city recovery key NAME --agency ID --draft FILE --out FILE"));
            }
            vec![one(ring, name, KeyRole::Recovery)?]
        }
        Kind::Dedupe => {
            let agency = owner.agency.ok_or_else(no_agency)?;
            ring.create_dedupe(&agency, name)?;
            Vec::new()
        }
    })
}

fn no_agency() -> CliError {
    CliError::usage("a dedupe key needs --agency")
        .hint("city key new NAME --kind dedupe --agency uscc:11320100MAXP23YC3L")
}

impl Owner {
    /// What is said of a new key must be something the ledger knows, or the key is good for nothing.
    fn check(&self, kind: Kind) -> CliResult {
        if let Some(agency) = &self.agency {
            known_agency(agency)?;
        }
        match &self.role {
            Some(role) if kind != Kind::Member => {
                Err(CliError::usage(format!("--role {role}: only a member's key has a role"))
                    .hint("leave --role out, or --kind"))
            }
            Some(role) => known_role(role).map(drop),
            None => Ok(()),
        }
    }
}

/// The role of a name, or what names there are.
pub(crate) fn known_role(name: &str) -> CliResult<Role> {
    name.parse().map_err(|_| {
        let known: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        CliError::usage(format!("no role {name}")).hint(format!("one of {}", known.join(", ")))
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

/// The agencies' dedupe keys as rows; they have no public half.
fn dedupe_views(ring: &KeyRing) -> impl Iterator<Item = Value> {
    ring.dedupe_files().map(|(agency, file)| {
        let name = file.file_stem().map(|stem| stem.to_string_lossy());
        json!({ "name": name, "kind": "dedupe", "agency": agency, "file": file })
    })
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
