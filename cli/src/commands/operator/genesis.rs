//! `city genesis`: how several agencies make one genesis without trusting a coordinator.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::crypto::PublicKey;
use chain_core::date::Date;
use chain_core::genesis::ceremony::{Part, Signatures, assemble, sign};
use chain_core::genesis::{
    Council, Document, Draft, Genesis, KeyRole, MemberEntry, Parameters, RecoveryKeyEntry, SCHEMA,
    ValidatorEntry, prove,
};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::{City, read_genesis};
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::files;
use crate::keyring::{KeyRing, Owner};
use crate::output::Shape;

use super::key::{Kind, known_role, make};

/// Make and check the genesis of a network
///
/// One agency drafts (`new`), each agency makes its own part offline with keys that never leave it (`join`),
/// anybody puts the parts together (`assemble`), every agency compares the hash by telephone (`hash`) and
/// signs (`sign`), and everybody checks the signatures (`verify`).
///
/// city genesis new --network example-city --from genesis/example-city.toml --out draft.toml
///
/// city genesis join draft.toml --validator market --agency uscc:11320100MAXP23YC3L
///     --address /ip4/10.0.0.1/tcp/7101 --member clerk --member supervisor --out market.part.toml
///
/// city genesis assemble draft.toml *.part.toml --out genesis.toml
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum GenesisCommand {
    /// Draft a genesis: agencies and legal bases, no keys yet
    New {
        /// Name of the network: lower-case letters, digits and hyphens
        #[arg(long)]
        network: String,
        /// Take agencies, legal bases, council and parameters from this document
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Keep an index of subjects under this key of the ring, made with `city key new NAME --kind subjects`
        #[arg(long, value_name = "NAME")]
        subject_key: Option<String>,
        /// File to write
        #[arg(long, default_value = "draft.toml", value_name = "FILE")]
        out: PathBuf,
    },
    /// Make this agency's part: its validator, its members, its signature
    Join(JoinArgs),
    /// Put draft and parts together
    Assemble {
        /// The draft
        draft: PathBuf,
        /// The parts, in any order
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        /// File to write
        #[arg(long, default_value = "genesis.toml", value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign the finished genesis as one of its validators
    Sign {
        /// The genesis
        genesis: PathBuf,
        /// Name of the validator's consensus key in the ring
        #[arg(long, value_name = "NAME")]
        key: String,
        /// Signature file, added to when it exists
        #[arg(long, default_value = "genesis.sigs", value_name = "FILE")]
        signatures: PathBuf,
    },
    /// Show what a genesis says
    Show {
        /// The genesis
        genesis: PathBuf,
    },
    /// Print the hash, and the words to compare by telephone
    Hash {
        /// The genesis
        genesis: PathBuf,
    },
    /// Check a genesis and, when given, every validator's signature under it
    Verify {
        /// The genesis
        genesis: PathBuf,
        /// Signature file
        #[arg(long, value_name = "FILE")]
        signatures: Option<PathBuf>,
        /// Hash that was agreed on
        #[arg(long, value_name = "HASH")]
        expect: Option<String>,
    },
}

/// What `join` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JoinArgs {
    /// The draft
    pub(crate) draft: PathBuf,
    /// Name of the validator
    #[arg(long)]
    pub(crate) validator: String,
    /// Agency that runs it
    #[arg(long)]
    pub(crate) agency: String,
    /// Where peers reach it, e.g. /ip4/10.0.0.1/tcp/7101
    #[arg(long)]
    pub(crate) address: String,
    /// Role of a member to make a key for; repeat it, twice for two clerks. ROLE@AGENCY for another agency
    /// that is at home at this validator
    #[arg(long = "member", value_name = "ROLE[@AGENCY]")]
    pub(crate) members: Vec<String>,
    /// Entry of the agency's recovery key, made with `city recovery key`; repeat it for other agencies at home here
    #[arg(long = "recovery-key", value_name = "FILE")]
    pub(crate) recovery_keys: Vec<PathBuf>,
    /// First day of the members, YYYY-MM-DD
    #[arg(long, default_value = "2026-01-01", value_name = "DATE")]
    pub(crate) from: String,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

const SHAPE: Shape = Shape {
    schema: "genesis",
    columns: &[
        "network",
        "chain_id",
        "read_aloud",
        "created",
        "validators",
        "agencies",
        "members",
        "recovery",
        "subject_key",
        "legal_bases",
        "calendars",
    ],
    id: "chain_id",
    empty: "",
};

pub(crate) fn run(command: GenesisCommand, city: &City) -> CliResult {
    match command {
        GenesisCommand::New { network, from, subject_key, out } => {
            new(city, network, from.as_deref(), subject_key.as_deref(), &out)
        }
        GenesisCommand::Join(args) => {
            let draft = read_draft(&args.draft)?;
            joins(&draft, &args)?;
            let mut ring = city.ring()?;
            let part = join(&draft, &args, &mut ring)?;
            files::create(&args.out, &part.to_toml())?;
            city.out.done(format!("part of {} in {}", args.validator, args.out.display()));
            city.out.say("  Send the part to the coordinator. The keys stay here.");
            Ok(())
        }
        GenesisCommand::Assemble { draft, parts, out } => {
            let draft = read_draft(&draft)?;
            let parts = parts
                .iter()
                .map(|path| Part::parse(&files::read(path)?).map_err(|refusal| in_file(refusal, path)))
                .collect::<CliResult<Vec<Part>>>()?;
            let genesis = assemble(&draft, &parts)?;
            files::create(&out, &genesis.to_toml())?;
            city.out.done(format!("genesis in {}", out.display()));
            show(city, &genesis)
        }
        GenesisCommand::Sign { genesis, key, signatures } => {
            let genesis = read_genesis(&genesis)?;
            let ring = city.ring()?;
            let secret = ring.secret(ring.find(&key)?)?;
            let mut file = if signatures.exists() {
                Signatures::parse(&files::read(&signatures)?)
                    .map_err(|refusal| in_file(refusal, &signatures))?
            } else {
                Signatures::new(&genesis)
            };
            if file.chain_id != genesis.chain_id() {
                let detail = format!("{} signs another genesis", signatures.display());
                return Err(CliError::new(Code::GenesisMismatch, detail));
            }
            file.add(sign(&genesis, &secret)?);
            files::replace(&signatures, file.to_toml())?;
            city.out.done(format!("signed; missing: {}", none_or(&file.missing(&genesis))));
            Ok(())
        }
        GenesisCommand::Show { genesis } => show(city, &read_genesis(&genesis)?),
        GenesisCommand::Hash { genesis } => {
            let view = view(&read_genesis(&genesis)?);
            city.out.item(Shape { columns: &["chain_id", "read_aloud"], ..SHAPE }, &view)
        }
        GenesisCommand::Verify { genesis, signatures, expect } => {
            let genesis = read_genesis(&genesis)?;
            if let Some(expect) = expect {
                let plain = expected(&expect)?;
                if plain != genesis.chain_id().to_string() {
                    let detail = format!("the genesis is {}, expected {expect}", genesis.chain_id());
                    return Err(CliError::new(Code::GenesisMismatch, detail));
                }
                city.out.done("the hash is the expected one");
            }
            if let Some(path) = signatures {
                verify_signatures(&genesis, &path)?;
                city.out.done(format!("signed by all {} validators", genesis.committee().size()));
            }
            show(city, &genesis)
        }
    }
}

/// A hash as people type it: spaces and capitals do not matter, its length does.
fn expected(text: &str) -> CliResult<String> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    if plain.len() == 64 && plain.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(plain);
    }
    Err(CliError::usage(format!("--expect {text:?} is no hash of 64 hexadecimal digits"))
        .hint("print it with: city genesis hash GENESIS -o id"))
}

/// Every validator's signature: one that is wrong is an alarm, one that is missing says nothing yet.
fn verify_signatures(genesis: &Genesis, path: &Path) -> CliResult {
    let file = Signatures::parse(&files::read(path)?).map_err(|refusal| in_file(refusal, path))?;
    let Err(refusal) = file.verify(genesis) else { return Ok(()) };
    let missing = file.missing(genesis);
    if missing.is_empty() || refusal.code != Code::GenesisInvalid || !refusal.detail.contains("got none of") {
        return Err(in_file(refusal, path).exit(Exit::Invalid));
    }
    let detail = format!("{} is not signed by {}", path.display(), missing.join(", "));
    Err(CliError::new(Code::QuorumNotMet, detail)
        .hint("each of them signs: city genesis sign GENESIS --key NAME-consensus"))
}

/// What would make the part be refused, found before any key is made: keys are never made twice.
fn joins(draft: &Draft, args: &JoinArgs) -> CliResult {
    let agencies = &draft.document().agencies;
    let at_home = |agency: &str| {
        let entry = agencies.iter().find(|entry| entry.id == agency).ok_or_else(|| {
            let known: Vec<&str> = agencies.iter().map(|entry| entry.id.as_str()).collect();
            CliError::new(Code::UnknownAgency, format!("the draft has no agency {agency}"))
                .hint(format!("one of {}", known.join(", ")))
        })?;
        if entry.home_validator == args.validator {
            return Ok(());
        }
        let detail = format!(
            "agency {agency} is at home at validator {}, not at {}",
            entry.home_validator, args.validator
        );
        Err(CliError::usage(detail).hint(format!("give --validator {}", entry.home_validator)))
    };
    for member in &args.members {
        let (role, agency) = member.split_once('@').unwrap_or((member, &args.agency));
        known_role(role)?;
        at_home(agency)?;
    }
    if !agencies.iter().any(|entry| entry.id == args.agency) {
        at_home(&args.agency)?;
    }
    if !args.address.starts_with('/') {
        return Err(CliError::usage(format!("--address {:?} is no multiaddress", args.address))
            .hint("it is written like /ip4/10.0.0.1/tcp/7101"));
    }
    args.from.parse::<Date>().map_err(|error| {
        CliError::new(Code::BadDate, format!("--from {}: {error}", args.from)).exit(Exit::Usage)
    })?;
    if !args.recovery_keys.is_empty() && draft.document().recovery.is_none() {
        return Err(CliError::usage("--recovery-key: the draft has no section [recovery]")
            .hint("the coordinator adds it to the draft: [recovery] with threshold = M"));
    }
    for path in &args.recovery_keys {
        at_home(&recovery_entry(path)?.agency)?;
    }
    if args.out.exists() {
        return Err(CliError::new(Code::FileExists, args.out.display().to_string()));
    }
    Ok(())
}

fn new(
    city: &City,
    network: String,
    from: Option<&Path>,
    subject_key: Option<&str>,
    out: &Path,
) -> CliResult {
    let mut document = match from {
        Some(path) => {
            let template = read_draft(path)?;
            Document { network, ..template.document().clone() }
        }
        None => Document {
            schema: SCHEMA.to_owned(),
            network,
            suite: chain_core::crypto::SUITE,
            sig_rule: 1,
            created: now(),
            utc_offset_minutes: 0,
            parameters: Parameters::default(),
            council: Council { threshold: 1 },
            recovery: None,
            subject_key: None,
            validators: Vec::new(),
            agencies: Vec::new(),
            members: Vec::new(),
            legal_bases: Vec::new(),
            calendars: Vec::new(),
            registered_types: Vec::new(),
        },
    };
    if let Some(name) = subject_key {
        document.subject_key = Some(subjects_of(city, name)?);
    }
    let draft = Draft::from_document(document)?;
    files::create(out, &draft.to_toml())?;
    city.out.done(format!("draft in {}", out.display()));
    if subject_key.is_some() {
        city.out.say("  Every validator needs the key of the index of subjects: give each a copy, and its passphrase by another way.");
    }
    city.out.say("  Send it to every agency; each answers with a part: city genesis join");
    Ok(())
}

/// The public half of a key of the ring for the index of subjects.
fn subjects_of(city: &City, name: &str) -> CliResult<PublicKey> {
    let ring = city.ring()?;
    let entry = ring.find(name)?;
    if entry.kind != KeyRole::Subjects.text() {
        return Err(CliError::usage(format!("--subject-key {name} is a {} key, wants subjects", entry.kind))
            .hint("make one: city key new NAME --kind subjects"));
    }
    Ok(entry.public)
}

/// Makes the keys of a validator and its agency's members, and signs them into a part.
pub(crate) fn join(draft: &Draft, args: &JoinArgs, ring: &mut KeyRing) -> CliResult<Part> {
    let network = &draft.document().network;
    let recovery_keys =
        args.recovery_keys.iter().map(|path| recovery_entry(path)).collect::<CliResult<_>>()?;
    let keys = make(ring, &args.validator, Kind::Validator, Owner::default())?;
    let secrets = keys.iter().map(|entry| ring.secret(entry)).collect::<CliResult<Vec<_>>>()?;
    let possession = |at: usize, role: KeyRole| prove(network, &args.validator, role, &secrets[at]);
    let validator = ValidatorEntry {
        name: args.validator.clone(),
        agency: args.agency.clone(),
        consensus_key: keys[0].public,
        network_key: keys[1].public,
        log_key: keys[2].public,
        address: args.address.clone(),
        consensus_possession: possession(0, KeyRole::Consensus),
        network_possession: possession(1, KeyRole::Network),
        log_possession: possession(2, KeyRole::Log),
    };
    let mut members = Vec::new();
    for (at, member) in args.members.iter().enumerate() {
        let (role, agency) = member.split_once('@').unwrap_or((member, &args.agency));
        let short = short_name(draft, agency);
        if ring.dedupe(agency).is_err() {
            make(ring, &short, Kind::Dedupe, Owner { agency: Some(agency.to_owned()), ..Owner::default() })?;
        }
        let nth = args.members[..at].iter().filter(|earlier| *earlier == member).count() + 1;
        let label = format!("{} {nth}", role.replace('_', " "));
        let owner = Owner {
            agency: Some(agency.to_owned()),
            role: Some(role.to_owned()),
            label: Some(label.clone()),
        };
        let name = format!("{short}-{}-{nth}", role.replace('_', "-"));
        let made = make(ring, &name, Kind::Member, owner)?;
        let secret = ring.secret(&made[0])?;
        members.push(MemberEntry {
            key: secret.public(),
            agency: agency.to_owned(),
            role: role.to_owned(),
            label,
            from: args.from.clone(),
            to: None,
            possession: prove(network, agency, KeyRole::Member, &secret),
        });
    }
    Ok(Part::new(draft, vec![validator], Vec::new(), members, recovery_keys, &[secrets[0].as_ref()])?)
}

/// The public entry of a recovery key.
fn recovery_entry(path: &Path) -> CliResult<RecoveryKeyEntry> {
    toml::from_str(&files::read(path)?).map_err(|error| {
        let detail = format!("{}: no entry of a recovery key: {}", path.display(), error.to_string().trim());
        CliError::new(Code::ConfigInvalid, detail)
            .hint("make it with: city recovery key NAME --agency ID --draft FILE --out FILE")
    })
}

/// A name for an agency's files: its English name in small letters, or its identifier.
fn short_name(draft: &Draft, agency: &str) -> String {
    let entry = draft.document().agencies.iter().find(|entry| entry.id == agency);
    match entry {
        Some(entry) if !entry.name_en.is_empty() => slug(&entry.name_en),
        _ => slug(agency),
    }
}

/// A name as file names and validators have it: `Housing and Construction` is `housing-construction`.
pub(crate) fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.to_ascii_lowercase().replace(" and ", " ").chars().map(plain).collect()
}

fn show(city: &City, genesis: &Genesis) -> CliResult {
    city.out.item(SHAPE, &view(genesis))
}

fn view(genesis: &Genesis) -> Value {
    let document = genesis.document();
    let validators: Vec<String> = document
        .validators
        .iter()
        .map(|one| format!("{} ({}) {}", one.name, one.agency, one.address))
        .collect();
    let agencies: Vec<String> =
        document.agencies.iter().map(|one| format!("{} {}", one.id, one.name)).collect();
    let bases: Vec<String> =
        document.legal_bases.iter().map(|one| format!("{} v{}", one.id, one.version)).collect();
    json!({
        "network": document.network,
        "chain_id": genesis.chain_id(),
        "read_aloud": genesis.read_aloud(),
        "created": document.created,
        "validators": validators,
        "agencies": agencies,
        "members": document.members.len(),
        "recovery": document.recovery.as_ref().map(|one| {
            let keys: Vec<String> = one.keys.iter().map(|key| format!("{} ({})", key.name, key.agency)).collect();
            format!("{} of {}", one.threshold, keys.join(", "))
        }),
        "subject_key": document.subject_key,
        "legal_bases": bases,
        "calendars": document.calendars.iter().map(|one| one.year).collect::<Vec<_>>(),
    })
}

/// Reads and checks a draft.
pub(crate) fn read_draft(path: &Path) -> CliResult<Draft> {
    Draft::parse(&files::read(path)?).map_err(|refusal| in_file(refusal, path))
}

fn in_file(refusal: chain_core::code::Refusal, path: &Path) -> CliError {
    CliError::from(refusal).hint(format!("the file is {}", path.display()))
}

fn none_or(names: &[&str]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// The present second, RFC 3339 in UTC.
pub(crate) fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}
