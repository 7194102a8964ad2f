//! Judges a whole sheet and groups its good rows into signed transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use chain_core::code::{Code, Refusal};
use chain_core::codec;
use chain_core::crypto::{Digest, PublicKey, SecretKey};
use chain_core::date::Date;
use chain_core::genesis::Genesis;
use chain_core::record::RecordType;
use chain_core::record::registered::RegisteredType;
use chain_core::transaction::{
    SignedTransaction, Submission, TRANSACTION_BYTES_MAX, TRANSACTION_VERSION, Transaction,
};

use crate::catalogue::{self, Catalogue};
use crate::draft::filed_by;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::keyring::KeyRing;

use super::journal::{RefusedRow, Sent};
use super::judge::{self, Authority, Ready, Rules, Salts};
use super::mapping::Mapping;
use super::ocds::chain::{self, Processes};
use super::plain;
use super::source::Source;

/// How long a transaction stays good: an import may be resumed within this time.
const VALIDITY_MS: u64 = 6 * 24 * 60 * 60 * 1000;
/// Bytes of one transaction that leave room for its frame.
const BYTES_MAX: usize = TRANSACTION_BYTES_MAX - 16 * 1024;

/// What became of the rows before sending.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Good rows, in order.
    pub(crate) ready: Vec<(Ready, String)>,
    /// Rows that are not sent, and why.
    pub(crate) refused: Vec<RefusedRow>,
}

/// How a sheet is judged.
#[derive(Clone, Debug)]
pub(crate) struct Judging<'a> {
    /// Chain and legal bases.
    pub(crate) catalogue: &'a Catalogue,
    /// The mapping.
    pub(crate) mapping: &'a Mapping,
    /// The version of the registered type that rows are filed under.
    pub(crate) registered: Option<&'a RegisteredType>,
    /// Who acts, where the sheet does not say it.
    pub(crate) agency: Option<&'a str>,
    /// The newest releases of contracting processes that the network has.
    pub(crate) processes: Processes,
    /// The local day.
    pub(crate) today: Date,
    /// Leave the verdict to the validators.
    pub(crate) raw: bool,
    /// Where keys are; without it rows are judged as if every key were there.
    pub(crate) ring: Option<&'a KeyRing>,
}

/// Judges every row that is not in `skip`. Rows of the file that were sent before still count as filed.
pub(crate) fn judge_sheet(judging: Judging<'_>, source: &Source, skip: &BTreeSet<u64>) -> CliResult<Judged> {
    let mapping = judging.mapping;
    let rows = source.rows(mapping, judging.raw)?;
    let record_type: RecordType = mapping
        .record_type
        .parse()
        .map_err(|_| CliError::new(Code::BadMapping, format!("unknown type {}", mapping.record_type)))?;
    let basis_id = mapping.legal_basis.id.as_deref();
    if let Some(id) = basis_id.filter(|id| judging.catalogue.by_id(id, None).is_none()) {
        return Err(catalogue::missing_constant(id));
    }
    if judging.raw && !mapping.is_official() {
        return Err(CliError::usage("--raw is for the official columns of licences and penalties"));
    }
    if mapping.authority.is_none() && judging.agency.is_none() {
        return Err(CliError::usage("the sheet does not say whose records these are")
            .hint("name the agency: --agency ID"));
    }
    let rules = Rules {
        catalogue: judging.catalogue,
        record_type,
        basis_id,
        language: &mapping.language,
        today: judging.today,
        raw: judging.raw,
    };
    let role = filed_by(&mapping.record_type);
    let mut judged = Judged::default();
    let mut authorities = BTreeMap::new();
    let mut likenesses: BTreeMap<Digest, u32> = BTreeMap::new();
    let mut filed: BTreeSet<(String, Digest)> = BTreeSet::new();
    let mut processes = judging.processes.clone();
    for (number, mapped) in rows {
        let verdict = (|| -> CliResult<Result<(Ready, String), Refusal>> {
            let mut mapped = match mapped {
                Ok(mapped) => mapped,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let Err(refusal) = chain::complete(&mut mapped, &processes) {
                return Ok(Err(refusal));
            }
            let authority = match authority(&judging, mapped.authority.as_deref(), &mut authorities)? {
                Ok(authority) => authority,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let occurrence = likenesses.entry(judge::likeness(&mapped)).or_default();
            let verdict = if mapping.is_official() {
                let salts =
                    Salts { body: Digest::new(files::random()?), subject: Digest::new(files::random()?) };
                judge::judge(&rules, &mapped, &authority.known, salts, *occurrence)
            } else {
                let registered = judging.registered;
                plain::judge(&rules, mapping, registered, &mapped, &authority.known, *occurrence)
            };
            *occurrence += 1;
            let ready = match verdict {
                Ok(ready) => ready,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let agency = authority.known.agency.to_string();
            if let Some(key) = ready.natural_key.filter(|_| !judging.raw)
                && !filed.insert((agency.clone(), key))
            {
                let detail = "an earlier row of this file has the same number";
                return Ok(Err(Refusal::new(Code::DuplicateNaturalKey, detail)));
            }
            chain::remember(&mapped, &ready.operation, &mut processes);
            if !authority.has_keys {
                let detail = format!("the key ring has no {role} key of {agency}");
                return Ok(Err(Refusal::new(Code::NoKeyForAuthority, detail)));
            }
            Ok(Ok((ready, agency)))
        })()?;
        if skip.contains(&number) {
            continue;
        }
        match verdict {
            Ok(ready) => judged.ready.push(ready),
            Err(refusal) => judged.refused.push(RefusedRow { row: number, refusal }),
        }
    }
    Ok(judged)
}

/// What is known of an authority that rows name.
#[derive(Debug)]
struct Known {
    known: Authority,
    has_keys: bool,
}

fn authority(
    judging: &Judging<'_>,
    code: Option<&str>,
    seen: &mut BTreeMap<String, Rc<Known>>,
) -> CliResult<Result<Rc<Known>, Refusal>> {
    // In the official columns an agency is named by its code alone, on the command line with its scheme.
    let name = code.or(judging.agency).unwrap_or_default();
    if let Some(known) = seen.get(name) {
        return Ok(Ok(Rc::clone(known)));
    }
    let parsed = if code.is_some() { judge::agency(name) } else { name.parse() };
    let agency = match parsed {
        Ok(agency) => agency,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let text = agency.to_string();
    let clerks: Vec<PublicKey> = judging
        .ring
        .map(|ring| {
            ring.of(&text, filed_by(&judging.mapping.record_type)).iter().map(|entry| entry.public).collect()
        })
        .unwrap_or_default();
    let has_keys = judging.ring.is_none() || !clerks.is_empty();
    // Without the agency's keys rows are still judged, with stand-ins that are never sent.
    let known = if let (Some(ring), false) = (judging.ring, clerks.is_empty()) {
        let officers = clerks.into_iter().take(2).collect();
        Authority { agency, dedupe: *ring.dedupe(&text)?.secret(), officers }
    } else {
        let stand_in = |number: u8| SecretKey::from_seed([number; 32]).public();
        Authority { agency, dedupe: [0; 32], officers: vec![stand_in(1), stand_in(2)] }
    };
    let known = Rc::new(Known { known, has_keys });
    seen.insert(name.to_owned(), Rc::clone(&known));
    Ok(Ok(known))
}

/// Signs good rows into transactions of at most `group` operations each, as the `nth` officer of the agency in a role. Rows of one authority go together;
/// rows about persons apart from the others, because their bodies go to the agency's own node only.
pub(crate) fn sign(
    ring: &KeyRing,
    genesis: &Genesis,
    ready: Vec<(Ready, String)>,
    (role, nth): (&str, usize),
    group: usize,
    now_ms: u64,
) -> CliResult<Vec<Sent>> {
    let mut groups: BTreeMap<(String, bool), Vec<Vec<Ready>>> = BTreeMap::new();
    for (row, agency) in ready {
        let private = !row.class.body_is_shared();
        let chunks = groups.entry((agency, private)).or_default();
        let fits = chunks.last().is_some_and(|chunk| {
            chunk.len() < group && chunk.iter().map(weight).sum::<usize>() + weight(&row) <= BYTES_MAX
        });
        match chunks.last_mut() {
            Some(chunk) if fits => chunk.push(row),
            _ => chunks.push(vec![row]),
        }
    }
    let mut sent = Vec::new();
    for ((agency, private), chunks) in groups {
        let keys = ring.of(&agency, role);
        let clerk = keys.get(nth.saturating_sub(1)).ok_or_else(|| {
            let detail = format!("the key ring has {} {role} keys of {agency}, wants {nth}", keys.len());
            CliError::new(Code::NoKeyForAuthority, detail).hint("see `city key list`, and --nth")
        })?;
        let secret = ring.secret(clerk)?;
        let home = private.then(|| home_of(genesis, &agency)).transpose()?;
        for chunk in chunks {
            sent.push(transaction(genesis, &secret, chunk, home.clone(), now_ms)?);
        }
    }
    sent.sort_by_key(|sent| sent.rows.first().copied());
    Ok(sent)
}

fn transaction(
    genesis: &Genesis,
    secret: &SecretKey,
    rows: Vec<Ready>,
    home: Option<String>,
    now_ms: u64,
) -> CliResult<Sent> {
    let mut operations = Vec::new();
    let mut bodies = Vec::new();
    let (mut numbers, mut notes) = (Vec::new(), Vec::new());
    for row in rows {
        operations.push(row.operation);
        bodies.push(Some(row.body));
        numbers.push(row.row);
        notes.push(row.notes);
    }
    let signed: SignedTransaction = Transaction {
        version: TRANSACTION_VERSION,
        chain_id: genesis.chain_id(),
        author: secret.public(),
        valid_until_ms: now_ms + VALIDITY_MS.min(genesis.parameters().validity_ms_max / 2),
        atomic: false,
        operations,
    }
    .sign(secret);
    let tx = signed.transaction.id();
    let submission = Submission { signed, bodies };
    let bytes = codec::encode(&submission).map_err(CliError::internal)?;
    Ok(Sent::new(tx, numbers, notes, home, &bytes))
}

/// The validator that keeps an agency's private bodies.
pub(crate) fn home_of(genesis: &Genesis, agency: &str) -> CliResult<String> {
    let entry = genesis.document().agencies.iter().find(|entry| entry.id == agency);
    entry
        .map(|entry| entry.home_validator.clone())
        .ok_or_else(|| CliError::new(Code::UnknownAgency, format!("the genesis names no agency {agency}")))
}

fn weight(row: &Ready) -> usize {
    // Header and framing stay well below this; the body decides.
    row.body.json.len() + 1_024
}

#[cfg(test)]
mod tests;
