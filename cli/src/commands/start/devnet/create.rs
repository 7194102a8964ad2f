//! Making the sample city: one genesis ceremony with every agency's part, all on this machine.

use std::path::Path;

use chain_core::code::Code;
use chain_core::genesis::ceremony::{Signatures, assemble, sign};
use chain_core::genesis::{AgencyEntry, Document, Draft, Parameters, Recovery, RecoveryKeyEntry};

use crate::app::City;
use crate::commands::operator::genesis::{JoinArgs, join, now, slug};
use crate::commands::operator::key::{Kind, make};
use crate::context::{Context, Contexts};
use crate::error::{CliError, CliResult};
use crate::keyring::{KeyRing, Owner};
use crate::{files, passphrase};

use super::layout::{Layout, Validator};
use super::remembered::NAME;

/// The sample city.
const EXAMPLE: &str = include_str!("../../../../../genesis/example-city.toml");
/// Officers of every agency: enough for every countersignature, and a gateway for what no officer types in.
const OFFICERS: [&str; 8] = [
    "clerk",
    "clerk",
    "supervisor",
    "legal_reviewer",
    "agency_admin",
    "agency_admin",
    "privacy_officer",
    "gateway",
];
/// The first validators' agencies keep one each; two of them decide.
const RECOVERY_KEYS: usize = 3;
/// Name of the key of the index of subjects, which all validators share.
const SUBJECT_KEY: &str = "subjects";
/// File with the passphrase of every key of the network.
const PASSPHRASE: &str = "passphrase";

/// Makes a network in a folder that must not exist. An interrupted attempt leaves nothing behind that a
/// second one would stumble over.
pub(super) fn create(city: &City, root: &Path, validators: u16, base_port: u16) -> CliResult<Layout> {
    let mut name = root.as_os_str().to_owned();
    name.push(".new");
    let making = std::path::PathBuf::from(name);
    if making.exists() {
        std::fs::remove_dir_all(&making).map_err(|error| CliError::file(&making, &error))?;
    }
    if root.exists() && std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) {
        let detail = format!("{} exists and is no development network", root.display());
        return Err(CliError::new(Code::FileExists, detail).hint("choose another folder: --dir"));
    }
    let begun = std::time::Instant::now();
    let layout = fill(&making, root, validators, base_port)?;
    if root.exists() {
        std::fs::remove_dir(root).map_err(|error| CliError::file(root, &error))?;
    }
    std::fs::rename(&making, root).map_err(|error| CliError::file(root, &error))?;
    files::sync_parent(root)?;
    let chain = crate::app::read_genesis(&layout.genesis())?.chain_id().to_string();
    city.out.done(format!("genesis   chain {}   {:.1} s", &chain[..16], begun.elapsed().as_secs_f64()));
    Ok(layout)
}

/// Holds the ceremony in `making` for a network that will stand in `root`.
pub(crate) fn fill(making: &Path, root: &Path, count: u16, base_port: u16) -> CliResult<Layout> {
    let sample = draft(count)?;
    let validators = seats(&sample, count, base_port)?;
    let here = Layout::new(making, base_port, validators.clone())?;
    for validator in &validators {
        files::make_dir(&here.home(validator))?;
    }
    files::make_dir(&here.keys())?;
    let random: [u8; 24] = files::random()?;
    let passphrase: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    files::create_secret(&here.keys().join(PASSPHRASE), &passphrase)?;
    let mut ring = KeyRing::open(&here.keys(), passphrase::Source { file: None, no_input: true })?;
    ring.set_passphrase_file(PASSPHRASE.into())?;
    ring.set_development()?;
    let made = make(&mut ring, SUBJECT_KEY, Kind::Subjects, Owner::default())?;
    let document = Document { subject_key: Some(made[0].public), ..sample.document().clone() };
    let draft = Draft::from_document(document)?;
    files::create(&here.root().join("draft.toml"), &draft.to_toml())?;
    let mut parts = Vec::new();
    for (at, validator) in validators.iter().enumerate() {
        let safe = here.home(validator).join("recovery-key.toml");
        if at < RECOVERY_KEYS {
            recovery_key(&draft, validator, &mut ring, &safe)?;
        }
        let args = JoinArgs {
            draft: here.root().join("draft.toml"),
            validator: validator.name.clone(),
            agency: validator.agency.clone(),
            address: validator.multiaddr(),
            members: members(&draft, validator),
            recovery_keys: Some(safe).filter(|_| at < RECOVERY_KEYS).into_iter().collect(),
            from: "2026-01-01".to_owned(),
            out: here.home(validator).join("part.toml"),
        };
        let part = join(&draft, &args, &mut ring)?;
        files::create(&args.out, &part.to_toml())?;
        parts.push(part);
    }
    let genesis = assemble(&draft, &parts)?;
    files::create(&here.genesis(), &genesis.to_toml())?;
    let mut signatures = Signatures::new(&genesis);
    for validator in &validators {
        let entry = ring.find(&format!("{}-consensus", validator.name))?;
        signatures.add(sign(&genesis, ring.secret(entry)?.as_ref())?);
    }
    signatures.verify(&genesis)?;
    files::create(&here.root().join("genesis.sigs"), &signatures.to_toml())?;
    contexts(&here)?.save(&here.contexts())?;
    for validator in &validators {
        configure(&here, validator, &draft)?;
    }
    here.save()?;
    Layout::new(root, base_port, validators)
}

/// Makes the recovery key of a validator's agency, so that the way out of a lost quorum can be practised.
fn recovery_key(draft: &Draft, validator: &Validator, ring: &mut KeyRing, out: &Path) -> CliResult {
    let (name, owner) = (format!("safe-{}", validator.name), validator.agency.clone());
    let made = make(ring, &name, Kind::Recovery, Owner { agency: Some(owner), ..Owner::default() })?;
    let secret = ring.secret(&made[0])?;
    let entry = RecoveryKeyEntry::new(&draft.document().network, &name, &validator.agency, &secret);
    files::create(out, &toml::to_string(&entry).map_err(CliError::internal)?)
}

/// The sample city, beginning now.
fn draft(count: u16) -> CliResult<Draft> {
    let example = Draft::parse(EXAMPLE)?;
    let suffix: [u8; 2] = files::random()?;
    // A first block soon after the start, and signs of life that a person waits for.
    let parameters = Parameters { heartbeat_ms: 2_000, ..example.document().parameters.clone() };
    let document = Document {
        parameters,
        network: format!("devnet-{:02x}{:02x}", suffix[0], suffix[1]),
        created: now(),
        recovery: Some(Recovery { threshold: 2, keys: Vec::new() }),
        ..example.document().clone()
    };
    if count < 4 {
        return Err(CliError::usage(format!(
            "{count} validators; four is the fewest that tolerate one fault"
        )));
    }
    Ok(Draft::from_document(document)?)
}

/// Who runs which validator: the homes the sample names, then further ones of its agencies in turn.
fn seats(draft: &Draft, count: u16, base_port: u16) -> CliResult<Vec<Validator>> {
    let agencies = &draft.document().agencies;
    let mut named: Vec<(String, String)> = Vec::new();
    for agency in agencies {
        let home = &agency.home_validator;
        match named.iter_mut().find(|(name, _)| name == home) {
            // The validator that bears an agency's name is run by that agency; its other guests follow.
            Some((_, runner)) if slug(&agency.name_en) == *home => runner.clone_from(&agency.id),
            Some(_) => {}
            None => named.push((home.clone(), agency.id.clone())),
        }
    }
    (1..=count)
        .map(|number| {
            let at = usize::from(number - 1);
            match named.get(at) {
                Some((name, agency)) => Validator::new(number, name, agency, base_port),
                None => {
                    let agency = &agencies[at % agencies.len()].id;
                    Validator::new(number, &format!("validator-{number}"), agency, base_port)
                }
            }
        })
        .collect()
}

/// Officers of every agency at home at a validator; a council member and an auditor each for the agencies that run one.
fn members(draft: &Draft, validator: &Validator) -> Vec<String> {
    let mut members = Vec::new();
    for agency in draft.document().agencies.iter().filter(|agency| agency.home_validator == validator.name) {
        members.extend(OFFICERS.iter().map(|role| format!("{role}@{}", agency.id)));
        if agency.id == validator.agency {
            members.extend(["council_member", "auditor"].map(|role| format!("{role}@{}", agency.id)));
        }
    }
    members
}

fn contexts(layout: &Layout) -> CliResult<Contexts> {
    let mut contexts = Contexts { current: Some(NAME.to_owned()), ..Contexts::default() };
    let context = Context {
        nodes: layout.urls(),
        genesis: Some("genesis.toml".into()),
        keys: Some("keys".into()),
        tls_ca: None,
    };
    contexts.by_name.insert(NAME.to_owned(), context);
    Ok(contexts)
}

/// Makes the key of a vault in a validator's home.
fn vault_key(here: &Layout, validator: &Validator, name: &str) -> CliResult {
    let key: [u8; 32] = files::random()?;
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    files::create_secret(&here.home(validator).join(name), &key)
}

/// The vaults of the agency that runs a validator and of those that are at home there, with a key for each.
fn vaults(here: &Layout, validator: &Validator, draft: &Draft) -> CliResult<String> {
    vault_key(here, validator, "vault.key")?;
    let mut text = "[vault]\nkey = \"vault.key\"\n".to_owned();
    let home =
        |agency: &&AgencyEntry| agency.home_validator == validator.name && agency.id != validator.agency;
    for agency in draft.document().agencies.iter().filter(home) {
        let name = format!("vault-{}.key", agency.id.replace(':', "-"));
        vault_key(here, validator, &name)?;
        text.push_str(&format!("\n[[vault.guests]]\nagency = \"{}\"\nkey = \"{name}\"\n", agency.id));
    }
    Ok(text)
}

/// Writes a validator's configuration; its paths are relative, so the network may be moved.
fn configure(here: &Layout, validator: &Validator, draft: &Draft) -> CliResult {
    let vaults = vaults(here, validator, draft)?;
    let text = format!(
        "# Validator {number} of a development network.\n\
         genesis = \"../genesis.toml\"\n\
         data_dir = \"data\"\n\
         \n\
         [keys]\n\
         consensus = \"../keys/{name}-consensus.pem\"\n\
         network = \"../keys/{name}-network.pem\"\n\
         log = \"../keys/{name}-log.pem\"\n\
         subjects = \"../keys/{SUBJECT_KEY}.pem\"\n\
         passphrase_file = \"../keys/{PASSPHRASE}\"\n\
         \n\
         [p2p]\n\
         listen = \"{p2p}\"\n\
         \n\
         [api]\n\
         listen = \"127.0.0.1:{api}\"\n\
         # Only this machine's user reaches it.\n\
         reader = \"auditor\"\n\
         \n\
         {vaults}",
        number = validator.number,
        name = validator.name,
        p2p = validator.multiaddr(),
        api = validator.api_port,
    );
    files::create(&here.config(validator), &text)
}
