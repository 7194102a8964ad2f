//! Judging and filing records, and new versions of them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::crypto::SecretKey;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::lifecycle::roles_to_file;
use chain_core::operation::{AmendReason, Operation};
use chain_core::org::OrgId;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{Header, TypeKey};
use chain_core::transaction::Body;
use serde_json::json;

use super::{choice, report};
use crate::app::City;
use crate::catalogue::Catalogue;
use crate::client::paths;
use crate::commands::clerk::batch::today;
use crate::commands::clerk::receipt::{Form, fetch};
use crate::draft::{Before, Draft, Office, shown_header};
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing;
use crate::import::plan::home_of;
use crate::keyring::KeyRing;
use crate::output::Shape;
use crate::registered;

const CHECKED: Shape = Shape {
    schema: "checked",
    columns: &["file", "verdict", "record", "class", "code", "detail"],
    id: "record",
    empty: "",
};

pub(super) fn check(
    city: &City,
    files: &[PathBuf],
    key: Option<&str>,
    idempotency: Option<&str>,
) -> CliResult {
    let (genesis, ring) = (city.genesis()?, city.ring()?);
    let mut rows = Vec::new();
    let mut failed = None;
    for file in files {
        let types = |known| registered::find(city, &genesis, known, today(&genesis), false);
        let known =
            Known { genesis: &genesis, types: &types, record: &|id| header_of(city, id), ring: &ring };
        let built = build(&known, file, key, idempotency, None)
            .and_then(|built| entitled(&ring, key, &built.1).map(|()| built));
        match built {
            Ok((_, header, _, _)) => {
                rows.push(json!({ "file": file, "verdict": "good", "record": header.record, "class": header.class }));
            }
            Err(error) => {
                rows.push(json!({
                    "file": file,
                    "verdict": "bad",
                    "code": error.code().name(),
                    "detail": error.refusal.detail,
                }));
                failed.get_or_insert(error);
            }
        }
    }
    city.out.list(CHECKED, &rows)?;
    failed.map_or(Ok(()), Err)
}

/// Whether the validators would let this key file the record, as far as the key ring knows it.
fn entitled(ring: &KeyRing, key: Option<&str>, header: &Header) -> CliResult {
    let Some(key) = key else { return Ok(()) };
    let (entry, agency) = (ring.find(key)?, header.agency.to_string());
    if let Some(own) = entry.agency.as_deref().filter(|own| *own != agency) {
        let detail = format!("key {key} belongs to an officer of {own}, the record is filed by {agency}");
        return Err(CliError::new(Code::AgencyNotCompetent, detail));
    }
    let wanted: Vec<&str> = roles_to_file(header).iter().map(|role| role.name()).collect();
    match entry.role.as_deref() {
        Some(role) if !wanted.contains(&role) => {
            let detail = format!("key {key} belongs to a {role}, wants a {}", wanted.join(" or a "));
            Err(CliError::new(Code::RoleNotAllowed, detail))
        }
        _ => Ok(()),
    }
}

type Built = (Rc<SecretKey>, Header, Body, OrgId);

/// What a record is judged by.
struct Known<'a> {
    genesis: &'a Genesis,
    /// Registered types.
    types: &'a dyn Fn(TypeKey) -> CliResult<RegisteredType>,
    /// Headers of records that others are about.
    record: &'a dyn Fn(&RecordId) -> CliResult<Header>,
    ring: &'a KeyRing,
}

/// The header of a record as a node shows it.
fn header_of(city: &City, record: &RecordId) -> CliResult<Header> {
    shown_header(&city.client()?.get(&paths::record(record))?)
}

fn build(
    known: &Known<'_>,
    file: &Path,
    key: Option<&str>,
    idempotency: Option<&str>,
    before: Option<&Before>,
) -> CliResult<Built> {
    let Known { genesis, ring, .. } = known;
    let mut draft = Draft::parse(&file.display().to_string(), &files::read(file)?)?;
    if let Some(before) = before {
        draft.follows(&file.display().to_string(), &before.header)?;
    }
    match (draft.target().transpose()?, before) {
        (Some(_), Some(before)) => draft.concern(&before.header),
        (Some(target), None) => draft.concern(&(known.record)(&target)?),
        (None, _) => {}
    }
    let agency = match (&draft.agency, key, before) {
        (_, _, Some(before)) => before.header.agency.to_string(),
        (Some(agency), _, _) => agency.clone(),
        (None, Some(key), _) => ring.find(key)?.agency.clone().unwrap_or_default(),
        (None, None, _) => only_agency(ring)?,
    };
    let (clerks, role) = (ring.of(&agency, "clerk"), draft.filed_by());
    let entry = match key {
        Some(key) => ring.find(key)?,
        None => *ring.of(&agency, role).first().ok_or_else(|| {
            CliError::new(Code::NoKeyForAuthority, format!("the key ring has no {role} key of {agency}"))
        })?,
    };
    let mut officers = vec![entry.public];
    officers.extend(clerks.iter().map(|clerk| clerk.public).filter(|public| *public != entry.public).take(1));
    let dedupe = ring.dedupe(&agency)?;
    let agency: OrgId = agency.parse()?;
    let office = Office { agency: agency.clone(), dedupe: dedupe.secret(), officers };
    let catalogue = Catalogue::of(genesis)?;
    let (header, body) =
        draft.build(&catalogue, known.types, &office, idempotency, before, today(genesis))?;
    Ok((ring.secret(entry)?, header, body, agency))
}

fn only_agency(ring: &KeyRing) -> CliResult<String> {
    let mut agencies: Vec<&str> = ring
        .entries()
        .iter()
        .filter(|entry| entry.role.as_deref() == Some("clerk"))
        .filter_map(|entry| entry.agency.as_deref())
        .collect();
    agencies.sort_unstable();
    agencies.dedup();
    match agencies[..] {
        [one] => Ok(one.to_owned()),
        [] => Err(CliError::new(Code::NoKeyForAuthority, "the key ring has no clerk key")
            .hint("make one: city key new NAME --agency ID --role clerk")),
        _ => Err(CliError::usage(format!("the key ring has clerks of {} agencies", agencies.len()))
            .hint("name the agency in the file, or the key with --key")),
    }
}

pub(super) fn submit(
    city: &City,
    file: &Path,
    key: Option<&str>,
    idempotency: Option<&str>,
    receipt: Option<&Path>,
    no_wait: bool,
) -> CliResult {
    let (genesis, ring) = (city.genesis()?, city.ring()?);
    let types = |known| registered::find(city, &genesis, known, today(&genesis), true);
    let known = Known { genesis: &genesis, types: &types, record: &|id| header_of(city, id), ring: &ring };
    let (secret, header, body, agency) = build(&known, file, key, idempotency, None)?;
    city.out.done(format!("checked against the rules of {}", header.record_type));
    let home =
        (!header.class.body_is_shared()).then(|| home_of(&genesis, &agency.to_string())).transpose()?;
    let record = header.record;
    let steps = vec![(Operation::Submit(Box::new(header)), Some(body))];
    let submission = filing::sign(&genesis, &secret, steps, false);
    city.out.done(format!("signed with key {}", secret.public().short()));
    let begun = std::time::Instant::now();
    let client = city.client()?;
    if no_wait {
        let rows = filing::send(&client, &submission, home.as_deref(), city.manners.timeout)?;
        city.out.list(filing::FILED, &rows)?;
        city.out.say(format!("  Whether it is final: city record history {record}"));
        return Ok(());
    }
    let filed = filing::file(&client, &genesis, &submission, home.as_deref(), city.manners.timeout)?;
    filed.verdict().map_err(|error| match error.code() {
        Code::IdempotencyConflict | Code::DuplicateNaturalKey => {
            error.hint(format!("it was filed before; see what stands there: city record get {record}"))
        }
        _ => error,
    })?;
    city.out.done(format!(
        "final in block {}   {} ms, proof verified",
        filed.height,
        begun.elapsed().as_millis()
    ));
    // The record is filed whatever becomes of its receipt, so its id comes first.
    city.out.list(filing::FILED, &filed.rows())?;
    if let Some(path) = receipt {
        let written = fetch(&client, &record, None, Form::Bundle, city.manners.timeout)
            .and_then(|bytes| files::replace(path, bytes));
        written.map_err(|error| {
            error.hint(format!("the record is filed; fetch its receipt later: city receipt get {record}"))
        })?;
        city.out.done(format!("receipt {}   verify: city receipt verify {}", path.display(), path.display()));
    }
    Ok(())
}

pub(super) fn amend(
    city: &City,
    record: &RecordId,
    file: &Path,
    reason: &str,
    key: Option<&str>,
) -> CliResult {
    let reason: AmendReason = choice("--reason", reason)?;
    let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
    let view: RecordView = client.get(&paths::record(record))?;
    let before = Before { header: shown_header(&view)? };
    let types = |known| registered::find(city, &genesis, known, today(&genesis), true);
    let known = Known { genesis: &genesis, types: &types, record: &|id| header_of(city, id), ring: &ring };
    let (secret, header, body, agency) = build(&known, file, key, None, Some(&before))?;
    let home =
        (!header.class.body_is_shared()).then(|| home_of(&genesis, &agency.to_string())).transpose()?;
    let steps = vec![(Operation::Amend { header: Box::new(header), reason }, Some(body))];
    let submission = filing::sign(&genesis, &secret, steps, false);
    let filed = filing::file(&client, &genesis, &submission, home.as_deref(), city.manners.timeout)?;
    report(city, &[filed])
}
