//! `city agency`: agencies and their members, as the ledger has them.

use std::path::PathBuf;

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::crypto::{PublicKey, Signature};
use chain_core::date::Date;
use chain_core::execute::genesis_header;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::record::governance::{AgencyDetails, MemberDetails, NewKey, Possession};
use chain_core::record::{Details, RecordType};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::commands::clerk::batch::today;
use crate::commands::clerk::record::{known_agency, known_type, list};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::{self, Filed};
use crate::output::Shape;

use super::key::known_role;

/// Agencies and members: list them, add them, suspend them
///
/// Two administrators of an agency decide together about its members; the council decides about agencies. Each
/// command files the first signature and prints the record; the others approve it with `city record
/// countersign`.
///
/// city agency list
///
/// city agency member add --agency uscc:11320100MAXP23YC3L --role clerk --label "clerk 3" --member-key m-ortiz
///     --key market-regulation-agency-admin-1
///
/// city record countersign RECORD --key market-regulation-agency-admin-2
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum AgencyCommand {
    /// List the agencies
    List,
    /// Propose a new agency to the council
    Add {
        /// Identifier, e.g. uscc:11320100MAXP23YC3L
        id: String,
        /// Name
        #[arg(long)]
        name: String,
        /// Record type it may file; repeat it
        #[arg(long = "type", value_name = "TYPE", required = true)]
        types: Vec<String>,
        /// Proof of an administrator's key, made with `city agency member prove`; at least two
        #[arg(long = "admin", value_name = "FILE", required = true)]
        admins: Vec<PathBuf>,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// Members of an agency
    #[command(subcommand)]
    Member(MemberCommand),
}

/// Members of agencies.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List members
    List {
        /// Of this agency only
        #[arg(long)]
        agency: Option<String>,
    },
    /// Prove that a key of this ring is held here, for whoever registers it
    Prove {
        /// The key, by name
        member_key: String,
        /// The post, never a person's name
        #[arg(long)]
        label: String,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Register a member's key; a second administrator countersigns
    Add {
        /// Its agency
        #[arg(long)]
        agency: String,
        /// Its role, e.g. clerk
        #[arg(long)]
        role: String,
        /// The post, never a person's name
        #[arg(long, default_value = "")]
        label: String,
        /// The member's key in this ring, by name
        #[arg(long, conflicts_with = "proof", required_unless_present = "proof")]
        member_key: Option<String>,
        /// Proof of a key that is elsewhere
        #[arg(long, value_name = "FILE")]
        proof: Option<PathBuf>,
        /// Last day, YYYY-MM-DD
        #[arg(long)]
        until: Option<String>,
        /// Administrator's key that signs, by name
        #[arg(long)]
        key: String,
    },
    /// Suspend a member at once
    Suspend {
        /// The member's key in hexadecimal, or its record
        member: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// Administrator's key that signs, by name
        #[arg(long)]
        key: String,
    },
}

/// A proof of possession on its way to whoever registers the key.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ProofFile {
    key: PublicKey,
    label: String,
    possession: Signature,
}

const AGENCIES: Shape = Shape {
    schema: "agencies",
    columns: &["agency", "name", "types", "status", "record"],
    id: "agency",
    empty: "no agencies",
};
const MEMBERS: Shape = Shape {
    schema: "members",
    columns: &["agency", "role", "label", "key", "status", "record"],
    id: "key",
    empty: "no such members; the agencies are listed by: city agency list",
};

pub(crate) fn run(command: AgencyCommand, city: &City) -> CliResult {
    match command {
        AgencyCommand::List => {
            let views = registry(city, RecordType::Agency)?;
            let rows = views.iter().map(agency_row).collect::<CliResult<Vec<_>>>()?;
            city.out.list(AGENCIES, &rows)
        }
        AgencyCommand::Add { id, name, types, admins, key } => {
            let genesis = city.genesis()?;
            let id = known_agency(&id)?;
            let mut types = types.iter().map(|text| known_type(text)).collect::<CliResult<Vec<_>>>()?;
            types.sort();
            let admins = admins.iter().map(|path| read_proof(path)).collect::<CliResult<Vec<_>>>()?;
            let from = today(&genesis);
            let details = AgencyDetails { id, name, types, areas: Vec::new(), admins, from, to: None };
            details.check(Some(genesis.chain_id()))?;
            file(city, &genesis, Details::Agency(Box::new(details)), &key)
        }
        AgencyCommand::Member(command) => member(city, command),
    }
}

fn member(city: &City, command: MemberCommand) -> CliResult {
    match command {
        MemberCommand::List { agency } => {
            if let Some(id) = &agency {
                known_agency(id)?;
            }
            let views = registry(city, RecordType::Member)?;
            let mine =
                views.iter().filter(|view| agency.as_ref().is_none_or(|agency| view.agency == *agency));
            let rows = mine.map(member_row).collect::<CliResult<Vec<_>>>()?;
            city.out.list(MEMBERS, &rows)
        }
        MemberCommand::Prove { member_key, label, out } => {
            let genesis = city.genesis()?;
            let proof = prove(city, &genesis, &member_key, &label)?;
            let file = ProofFile { key: proof.key, label: proof.label, possession: proof.possession };
            let text = serde_json::to_string_pretty(&file).map_err(CliError::internal)?;
            files::create(&out, &(text + "\n"))?;
            city.out.done(format!("proof in {}; it holds no secret", out.display()));
            Ok(())
        }
        MemberCommand::Add { agency, role, label, member_key, proof, until, key } => {
            let genesis = city.genesis()?;
            let agency = known_agency(&agency)?;
            let role = known_role(&role)?;
            let to = until.as_deref().map(day).transpose()?;
            let proof = match (proof, member_key) {
                (Some(path), _) => read_proof(&path)?,
                (None, Some(name)) => {
                    prove(city, &genesis, &name, if label.is_empty() { role.name() } else { &label })?
                }
                (None, None) => return Err(CliError::usage("give --member-key or --proof")),
            };
            let details = MemberDetails { key: proof, agency, role, from: today(&genesis), to };
            details.check(Some(genesis.chain_id()))?;
            file(city, &genesis, Details::Member(Box::new(details)), &key)
        }
        MemberCommand::Suspend { member, reason, key } => {
            let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
            let record = record_of(city, &member)?;
            let view: RecordView = client.get(&paths::record(&record))?;
            shown_header(&view)?;
            let operation = Operation::Suspend { record, version: view.version, until: None, reason };
            let secret = ring.secret(ring.find(&key)?)?;
            let submission = filing::sign(&genesis, &secret, vec![(operation, None)], false);
            report(city, &filing::file(&client, &genesis, &submission, None, city.manners.timeout)?)
        }
    }
}

/// Files a governance record as its first signer, in the name of the signer's agency: a new agency is an act of the
/// council members', not its own.
fn file(city: &City, genesis: &Genesis, details: Details, key: &str) -> CliResult {
    let operation = first(city, genesis, details, key)?;
    send(city, genesis, operation, key)
}

/// The first version of a governance record, in the name of the signer's agency.
pub(crate) fn first(city: &City, genesis: &Genesis, details: Details, key: &str) -> CliResult<Operation> {
    let ring = city.ring()?;
    let entry = ring.find(key)?;
    let agency = entry.agency.as_deref().ok_or_else(|| {
        CliError::usage(format!("key {key} is of no agency"))
            .hint("sign with the key of a member: city key list")
    })?;
    let header = genesis_header(&genesis.chain_params(), &known_agency(agency)?, details);
    Ok(Operation::Submit(Box::new(header)))
}

/// Files the first signature under a step on a governance record, and says who is next.
pub(crate) fn send(city: &City, genesis: &Genesis, operation: Operation, key: &str) -> CliResult {
    let (client, ring) = (city.client()?, city.ring()?);
    let secret = ring.secret(ring.find(key)?)?;
    let record = operation.record();
    let submission = filing::sign(genesis, &secret, vec![(operation, None)], false);
    let filed = filing::file(&client, genesis, &submission, None, city.manners.timeout)?;
    report(city, &filed)?;
    city.out.say(format!("  Now another officer approves it: city record countersign {record} --key NAME"));
    Ok(())
}

fn report(city: &City, filed: &Filed) -> CliResult {
    filing::show(&city.out, std::slice::from_ref(filed))?;
    filed.verdict()
}

fn registry(city: &City, record_type: RecordType) -> CliResult<Vec<RecordView>> {
    let filter = [("type", Some(record_type.name().to_owned()))];
    Ok(list(&city.client()?, &filter, usize::MAX)?.items)
}

fn agency_row(view: &RecordView) -> CliResult<Value> {
    let header = shown_header(view)?;
    let Details::Agency(details) = &header.details else { return Err(strange(view)) };
    let types: Vec<&str> = details.types.iter().map(|one| one.name()).collect();
    Ok(json!({
        "agency": details.id,
        "name": details.name,
        "types": types,
        "status": view.status,
        "record": view.record,
    }))
}

fn member_row(view: &RecordView) -> CliResult<Value> {
    let header = shown_header(view)?;
    let Details::Member(details) = &header.details else { return Err(strange(view)) };
    Ok(json!({
        "agency": details.agency,
        "role": details.role.name(),
        "label": details.key.label,
        "key": details.key.key,
        "status": view.status,
        "record": view.record,
    }))
}

fn record_of(city: &City, member: &str) -> CliResult<RecordId> {
    for view in registry(city, RecordType::Member)? {
        let header = shown_header(&view)?;
        let Details::Member(details) = &header.details else { continue };
        if details.key.key.to_string() == member || view.record.to_string() == member {
            return Ok(view.record);
        }
    }
    Err(CliError::new(Code::UnknownAuthor, format!("no member has the key or record {member}"))
        .hint("see `city agency member list`"))
}

fn prove(city: &City, genesis: &Genesis, name: &str, label: &str) -> CliResult<NewKey> {
    let ring = city.ring()?;
    let secret = ring.secret(ring.find(name)?)?;
    let possession = Possession::prove(genesis.chain_id(), &secret);
    Ok(NewKey { key: secret.public(), label: label.to_owned(), possession })
}

fn read_proof(path: &std::path::Path) -> CliResult<NewKey> {
    let file: ProofFile = serde_json::from_str(&files::read(path)?)
        .map_err(|error| CliError::new(Code::MalformedJson, format!("{}: {error}", path.display())))
        .map_err(|error| error.hint("make it with: city agency member prove KEY --label POST --out FILE"))?;
    Ok(NewKey { key: file.key, label: file.label, possession: file.possession })
}

fn day(text: &str) -> CliResult<Date> {
    text.parse().map_err(|error| CliError::new(Code::BadDate, format!("{text}: {error}")))
}

pub(super) fn strange(view: &RecordView) -> CliError {
    CliError::new(Code::HeaderMismatch, format!("record {} is not what its type says", view.record))
}
