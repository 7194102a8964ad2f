//! `city record`: one record at a time.

mod deadlines;
mod file;
mod get;
mod history;
mod steps;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use chain_core::api::RecordView;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::RecordType;
use clap::Subcommand;

use crate::app::City;
use crate::client::pages::Listed;
use crate::client::{Client, paths};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::{self, Filed, Step};
use crate::keyring::KeyRing;
use crate::output::Shape;
use get::record_json;

/// File, read, approve and end single records
///
/// A record is a JSON file with its type, its legal basis and its body; issuer, data source and origin are
/// filled in. Every command that writes waits until a quorum has ordered the step and checks its proof.
///
/// city record submit licence.json
///
/// city record countersign 5f0c… --role supervisor
///
/// city record list --type credit.penalty --status submitted -o id | city record countersign - --role supervisor
///
/// city record get 5f0c… --as-of 2026-05-06
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// Judge record files with the ledger's rules; send nothing
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Key to sign with, by name
        #[arg(long)]
        key: Option<String>,
    },
    /// File a record
    Submit {
        /// The file
        file: PathBuf,
        /// Key to sign with, in place of the agency's first clerk
        #[arg(long)]
        key: Option<String>,
        /// Name under which filing it again is recognised; the decision number unless given
        #[arg(long)]
        idempotency_key: Option<String>,
        /// Write the receipt to this file
        #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "no_wait"])]
        receipt: Option<PathBuf>,
        /// Judge, but send nothing
        #[arg(long)]
        dry_run: bool,
        /// Wait until the record is final, as is usual
        #[arg(long, conflicts_with_all = ["dry_run", "no_wait"])]
        wait: bool,
        /// Go on as soon as a node has taken the record
        #[arg(long, conflicts_with = "dry_run")]
        no_wait: bool,
    },
    /// Show a record: how it stands, or how it stood on a day and what was known of it
    Get {
        /// Its id
        record: RecordId,
        #[command(flatten)]
        moment: get::MomentArgs,
    },
    /// Show every step of a record's life
    History {
        /// Its id
        record: RecordId,
    },
    /// List records
    List {
        /// Type, e.g. credit.licence
        #[arg(long = "type", value_name = "TYPE")]
        record_type: Option<String>,
        /// Acting agency, e.g. uscc:11320100MAXP23YC3L
        #[arg(long)]
        agency: Option<String>,
        /// Status, e.g. effective
        #[arg(long)]
        status: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// List what agencies owe by a day of the law: decisions on objections and repairs, publications, reviews
    Deadlines {
        #[command(flatten)]
        which: deadlines::DeadlineArgs,
    },
    /// File a new version of a record
    Amend {
        /// Its id
        record: RecordId,
        /// The new version, a whole record file
        file: PathBuf,
        /// clerical, correction_after_objection, change_on_application, renewal, court_or_review_order
        #[arg(long)]
        reason: String,
        /// Key to sign with
        #[arg(long)]
        key: Option<String>,
    },
    /// Approve records as a second officer, supervisor or legal reviewer
    Countersign {
        /// Their ids; `-` reads them from stdin
        #[arg(required = true)]
        records: Vec<String>,
        #[command(flatten)]
        signer: Signer,
    },
    #[command(flatten)]
    Step(steps::StepCommand),
}

/// Who signs a step.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Signer {
    /// Role of the officer; the ring's first key of the record's agency in it signs
    #[arg(long)]
    role: Option<String>,
    /// Which of several officers in that role, from 1
    #[arg(long, default_value_t = 1, value_name = "N")]
    nth: usize,
    /// Key by name, in place of the role
    #[arg(long, conflicts_with = "role")]
    key: Option<String>,
}

const RECORDS: Shape = Shape {
    schema: "records",
    columns: &["record", "type", "agency", "version", "status", "class", "changed_at"],
    id: "record",
    empty: "no records; file some: city batch submit SHEET --map licences",
};
/// Countersignatures under one signature.
const GROUP: usize = 100;

pub(crate) fn run(command: RecordCommand, city: &City) -> CliResult {
    match command {
        RecordCommand::Check { files, key } => file::check(city, &files, key.as_deref(), None),
        RecordCommand::Submit { file: path, key, idempotency_key, receipt, dry_run, wait: _, no_wait } => {
            let (key, idempotency) = (key.as_deref(), idempotency_key.as_deref());
            if dry_run {
                return file::check(city, &[path], key, idempotency);
            }
            file::submit(city, &path, key, idempotency, receipt.as_deref(), no_wait)
        }
        RecordCommand::Get { record, moment } => get::run(city, &record, &moment),
        RecordCommand::History { record } => history::history(city, &record),
        RecordCommand::List { record_type, agency, status, limit } => {
            let filters = filters(record_type, agency, status)?;
            let filtered = filters.iter().any(|(_, value)| value.is_some());
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let listed = list(&city.client()?, &filters, limit)?;
            let empty =
                if filtered { "no such records; without filters: city record list" } else { RECORDS.empty };
            let rows: Vec<_> = listed.items.iter().map(record_json).collect();
            city.out.list(Shape { empty, ..RECORDS }, &rows)?;
            listed.tell_of_more(&city.out);
            Ok(())
        }
        RecordCommand::Deadlines { which } => deadlines::run(city, &which),
        RecordCommand::Amend { record, file: path, reason, key } => {
            file::amend(city, &record, &path, &reason, key.as_deref())
        }
        RecordCommand::Countersign { records, signer } => {
            let ids = ids(&records)?;
            if ids.is_empty() {
                city.out.say("no record ids were given: nothing to countersign");
                return Ok(());
            }
            let filed = countersign(city, &ids, &signer)?;
            report(city, &filed)
        }
        RecordCommand::Step(command) => steps::run(command, city),
    }
}

/// Filters of a listing, each value one that can be.
pub(crate) fn filters(
    record_type: Option<String>,
    agency: Option<String>,
    status: Option<String>,
) -> CliResult<[(&'static str, Option<String>); 3]> {
    if let Some(name) = &record_type {
        known_type(name)?;
    }
    if let Some(id) = &agency {
        known_agency(id)?;
    }
    Ok([("type", record_type), ("agency", agency), ("status", status)])
}

/// Reads records by filter, at most `limit`.
pub(crate) fn list(
    client: &Client,
    filters: &[(&str, Option<String>)],
    limit: usize,
) -> CliResult<Listed<RecordView>> {
    let filters: Vec<(&str, &str)> =
        filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    client.list(limit, |size, cursor| paths::records(&filters, size, cursor))
}

/// Countersigns records, one transaction per agency and hundred.
pub(crate) fn countersign(city: &City, records: &[RecordId], signer: &Signer) -> CliResult<Vec<Filed>> {
    let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
    let mut by_agency: std::collections::BTreeMap<String, Vec<Step>> = std::collections::BTreeMap::new();
    for &record in records {
        let view: RecordView = client.get(&paths::record(&record))?;
        shown_header(&view)?;
        by_agency.entry(view.agency.clone()).or_default().push((approval(record, &view), None));
    }
    let mut filed = Vec::new();
    for (agency, steps) in by_agency {
        let secret = signer.secret(&ring, &agency)?;
        for chunk in steps.chunks(GROUP) {
            let submission = filing::sign(&genesis, &secret, chunk.to_vec(), false);
            filed.push(filing::file(&client, &genesis, &submission, None, city.manners.timeout)?);
        }
    }
    Ok(filed)
}

/// Approves what waits for approval.
pub(crate) fn approval(record: RecordId, view: &RecordView) -> Operation {
    let (version, header_digest) = waiting(view);
    Operation::Countersign { record, version, header_digest }
}

/// Version and digest of what waits for approval: a step to amend, revoke, suspend and so on, else the record itself.
fn waiting(view: &RecordView) -> (u32, Digest) {
    match &view.pending {
        Some(pending) => (pending.version, pending.digest),
        None => (view.version, view.header_digest),
    }
}

impl Signer {
    /// The officer of a role.
    pub(crate) fn role(role: &str, nth: usize) -> Self {
        Self { role: Some(role.to_owned()), nth, key: None }
    }

    /// The officer of a role where none was named.
    fn usually(mut self, role: &str) -> Self {
        if self.key.is_none() {
            self.role.get_or_insert_with(|| role.to_owned());
        }
        self
    }

    fn secret(&self, ring: &KeyRing, agency: &str) -> CliResult<Rc<SecretKey>> {
        if let Some(name) = &self.key {
            return ring.secret(ring.find(name)?);
        }
        let role = self.role.as_deref().unwrap_or("supervisor");
        // Auditors are none of the agency that they audit.
        let keys = if role == "auditor" { ring.in_role(role) } else { ring.of(agency, role) };
        let entry = keys.get(self.nth.saturating_sub(1)).ok_or_else(|| {
            let whose = if role == "auditor" { String::new() } else { format!(" of {agency}") };
            let detail = format!("the key ring has {} keys{whose} in the role {role}", keys.len());
            CliError::new(Code::NoKeyForAuthority, detail).hint("see `city key list`, and --role or --key")
        })?;
        ring.secret(entry)
    }
}

fn report(city: &City, filed: &[Filed]) -> CliResult {
    filing::show(&city.out, filed)?;
    filed.iter().try_for_each(Filed::verdict)
}

/// The type of a name, or what names there are.
pub(crate) fn known_type(name: &str) -> CliResult<RecordType> {
    name.parse().map_err(|_| {
        let known: Vec<&str> = RecordType::ALL.iter().map(|one| one.name()).collect();
        CliError::new(Code::UnknownType, format!("no type {name}"))
            .hint(format!("one of {}, or a registered one: city schema list", known.join(", ")))
    })
}

/// The identifier of an agency, or how one is written.
pub(crate) fn known_agency(id: &str) -> CliResult<OrgId> {
    id.parse().map_err(|refusal: Refusal| {
        CliError::from(refusal).hint("agencies are written as `city agency list` has them: uscc:…")
    })
}

fn ids(texts: &[String]) -> CliResult<Vec<RecordId>> {
    let mut ids = Vec::new();
    for text in texts {
        let lines = if text == "-" { files::read(Path::new("-"))? } else { text.clone() };
        for word in lines.split_whitespace() {
            ids.push(word.parse().map_err(|error| CliError::usage(format!("record id {word:?}: {error}")))?);
        }
    }
    Ok(ids)
}

fn choice<T: std::str::FromStr>(flag: &str, text: &str) -> CliResult<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| CliError::usage(format!("{flag}: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn view(pending: Value) -> RecordView {
        let id = "ab".repeat(32);
        serde_json::from_value(json!({
            "record": id, "record_type": "credit.penalty", "agency": "uscc:11320100MAXP23YC3L", "version": 3,
            "status": "effective", "flags": [], "class": "P1", "header_digest": id, "header": {}, "body": null,
            "leaf_index": 0, "signers": [], "missing": [], "pending": pending, "changed_at": 1, "height": 1,
        }))
        .unwrap()
    }

    #[test]
    fn approving_means_the_step_that_waits_and_else_the_record() {
        let record: RecordId = "ab".repeat(32).parse().unwrap();
        let digest = "cd".repeat(32);
        let revoke = json!({
            "operation": "revoke", "version": 4, "digest": digest, "missing": ["legal_reviewer"], "signers": [],
        });
        for (pending, want) in [(Value::Null, (3, "ab".repeat(32))), (revoke, (4, digest))] {
            let operation = approval(record, &view(pending));
            let Operation::Countersign { version, header_digest, .. } = operation else {
                panic!("{operation:?}")
            };
            assert_eq!((version, header_digest.to_string()), want);
        }
    }
}
