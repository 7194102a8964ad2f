//! `city schema`: the registered record types, their JSON Schemas, and new ones for the council.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::SchemaDetails;
use chain_core::record::type_file::TypeFile;
use chain_core::record::{Details, TypeKey};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::commands::operator::agency;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;
use crate::registered::{Known, of_network};

/// Registered record types: list them, show one, check a file, propose one to the council
///
/// The file of a type is JSON: what gov.schema says, the JSON Schema under `schema`, and examples. Those of the sample
/// city stand in genesis/schemas/.
///
/// city schema list
///
/// city schema show env.finding > env.finding.schema.json
///
/// city schema check env.finding.json
///
/// city schema propose env.finding.json --key market-regulation-council-member
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum SchemaCommand {
    /// List the types and their versions
    List,
    /// Print the JSON Schema of a type, for validators of others
    #[command(disable_version_flag = true)]
    Show {
        /// The type, e.g. env.finding
        r#type: String,
        /// This version in place of the newest
        #[arg(long, value_name = "N")]
        version: Option<u16>,
        /// Print what stands beside the schema: classes, approvals, retention, what the header takes from the body
        #[arg(long)]
        terms: bool,
    },
    /// Judge a type's file and its examples, offline; with --follows also against the version before it
    Check {
        /// The file
        file: PathBuf,
        /// File of the version before it
        #[arg(long, value_name = "FILE")]
        follows: Option<PathBuf>,
    },
    /// Propose a type, or the next version of one, to the council
    Propose {
        /// The file
        file: PathBuf,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
}

const SCHEMAS: Shape = Shape {
    schema: "schemas",
    columns: &["type", "version", "title", "lifecycle", "classes", "from", "status", "record"],
    id: "type",
    empty: "no registered types; the council registers one: city schema propose FILE --key NAME",
};
const TYPE: Shape = Shape { schema: "registered-type", columns: &[], id: "key", empty: "" };
const CHECKED: Shape = Shape {
    schema: "schema-checked",
    columns: &["file", "type", "version", "bytes", "accepted", "refused"],
    id: "type",
    empty: "",
};

pub(crate) fn run(command: SchemaCommand, city: &City) -> CliResult {
    match command {
        SchemaCommand::List => {
            let rows: Vec<Value> = of_network(city)?.iter().map(row).collect();
            city.out.list(SCHEMAS, &rows)
        }
        SchemaCommand::Show { r#type, version, terms } => {
            let details = find(city, &r#type, version)?;
            if terms {
                return city.out.item(TYPE, &terms_of(&details)?);
            }
            let schema: Value = serde_json::from_str(&details.json_schema).map_err(CliError::internal)?;
            let text = serde_json::to_string_pretty(&schema).map_err(CliError::internal)?;
            city.out.data(text + "\n")
        }
        SchemaCommand::Check { file, follows } => {
            let (read, new) = check(&file)?;
            if let Some(path) = follows {
                let (_, earlier) = check(&path)?;
                new.check_follows(&earlier).map_err(|refusal| in_file(refusal, &file))?;
            }
            city.out.list(CHECKED, &[checked(&file, &read)])
        }
        SchemaCommand::Propose { file, key } => {
            let (read, _) = check(&file)?;
            let genesis = city.genesis()?;
            let details = Details::Schema(Box::new(read.details));
            let operation = agency::first(city, &genesis, details, &key)?;
            agency::send(city, &genesis, operation, &key)
        }
    }
}

/// Reads a file and judges what it says.
fn check(path: &Path) -> CliResult<(TypeFile, RegisteredType)> {
    let text = files::read(path)?;
    let read = TypeFile::parse(&text).map_err(|refusal| in_file(refusal, path))?;
    let registered = read.check().map_err(|refusal| in_file(refusal, path))?;
    Ok((read, registered))
}

fn in_file(refusal: chain_core::code::Refusal, path: &Path) -> CliError {
    CliError::new(refusal.code, format!("{}: {}", path.display(), refusal.detail))
}

fn checked(path: &Path, read: &TypeFile) -> Value {
    json!({
        "file": path,
        "type": read.details.key,
        "version": read.details.version,
        "bytes": read.details.json_schema.len(),
        "accepted": read.examples.accepted.len(),
        "refused": read.examples.refused.len(),
    })
}

fn row(known: &Known) -> Value {
    let details = &known.details;
    json!({
        "type": details.key,
        "version": details.version,
        "title": details.title,
        "lifecycle": details.terms.lifecycle,
        "classes": details.classes,
        "from": details.from,
        "status": known.status,
        "record": known.record,
    })
}

fn find(city: &City, name: &str, version: Option<u16>) -> CliResult<SchemaDetails> {
    let key = TypeKey::new(name);
    let fits = |one: &&Known| {
        Some(one.details.key) == key && version.is_none_or(|version| one.details.version == version)
    };
    let all = of_network(city)?;
    let found = all.iter().filter(fits).max_by_key(|one| one.details.version);
    found.map(|one| one.details.clone()).ok_or_else(|| {
        let version = version.map_or_else(String::new, |version| format!(" with version {version}"));
        CliError::new(Code::UnknownType, format!("no registered type {name}{version}"))
            .hint("the types are listed by: city schema list")
    })
}

/// Everything but the schema itself.
fn terms_of(details: &SchemaDetails) -> CliResult<Value> {
    let mut terms = serde_json::to_value(details).map_err(CliError::internal)?;
    if let Some(members) = terms.as_object_mut() {
        members.remove("json_schema");
    }
    Ok(terms)
}
