//! The rules of a genesis that need nothing but the document itself.

use std::collections::BTreeSet;

use super::document::{Document, LegalBasisEntry, MemberEntry, Months, Parameters, SCHEMA, ValidatorEntry};
use super::possession::{KeyRole, Possession};
use super::{terms, time};
use crate::code::{Code, Refusal};
use crate::committee::{VALIDATORS_MAX, VALIDATORS_MIN};
use crate::crypto::{PublicKey, SUITE, Signature};
use crate::record::RecordType;
use crate::record::registered::RegisteredType;

/// Longest name of a network or validator, bytes.
pub const NAME_MAX: usize = 40;
/// Longest text of any field, bytes.
pub const TEXT_MAX: usize = 1_024;
/// Most agencies of a genesis.
pub const AGENCIES_MAX: usize = 1_000;
/// Most members of a genesis.
pub const MEMBERS_MAX: usize = 10_000;
/// Most legal bases of a genesis.
pub const BASES_MAX: usize = 10_000;
/// Most versions of registered types of a genesis.
pub const REGISTERED_TYPES_MAX: usize = 512;
/// Most texts of one list inside an entry.
pub const LIST_MAX: usize = 64;

/// The refusal every rule gives: the key, what stands there, what should.
pub(super) fn invalid(key: &str, got: impl std::fmt::Display, wanted: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::GenesisInvalid, format!("`{key}`: got {got}, wanted {wanted}"))
}

/// Rules of drafts and of finished documents alike.
pub(super) fn common(document: &Document) -> Result<(), Refusal> {
    if document.schema != SCHEMA {
        return Err(invalid("schema", format!("{:?}", document.schema), SCHEMA));
    }
    name("network", &document.network)?;
    if document.suite != SUITE {
        return Err(invalid("suite", document.suite, format!("{SUITE} (SHA-256 with Ed25519)")));
    }
    if document.sig_rule != 1 {
        return Err(invalid("sig_rule", document.sig_rule, "1 (verify_strict)"));
    }
    if time::parse_instant(&document.created).is_none() {
        let wanted = "RFC 3339 in UTC to the second, e.g. 2026-11-23T00:00:00Z";
        return Err(invalid("created", format!("{:?}", document.created), wanted));
    }
    if !(-14 * 60..=14 * 60).contains(&document.utc_offset_minutes) {
        return Err(invalid("utc_offset_minutes", document.utc_offset_minutes, "-840 to 840"));
    }
    parameters(&document.parameters)?;
    for (key, count, max) in [
        ("validator", document.validators.len(), VALIDATORS_MAX),
        ("agency", document.agencies.len(), AGENCIES_MAX),
        ("member", document.members.len(), MEMBERS_MAX),
        ("legal_basis", document.legal_bases.len(), BASES_MAX),
    ] {
        if count > max {
            return Err(invalid(key, format!("{count} entries"), format!("at most {max}")));
        }
    }
    validators(document)?;
    agencies(document)?;
    members(document)?;
    recovery(document)?;
    if let Some(key) = &document.subject_key {
        key.check().map_err(|error| invalid("subject_key", key, error))?;
        let taken = document.validators.iter().flat_map(|one| one.keys().map(|(_, key, _)| key));
        if taken.chain(document.members.iter().map(|member| member.key)).any(|other| other == *key) {
            return Err(invalid("subject_key", "the key of a validator or member", "a key of its own"));
        }
    }
    terms::check_calendars(&document.calendars)?;
    registered_types(document)?;
    legal_bases(document)
}

/// Registered types by themselves; whether a version follows on another, the ledger judges when it lays them down.
fn registered_types(document: &Document) -> Result<(), Refusal> {
    let types = &document.registered_types;
    if types.len() > REGISTERED_TYPES_MAX {
        let wanted = format!("at most {REGISTERED_TYPES_MAX}");
        return Err(invalid("registered_type", format!("{} entries", types.len()), wanted));
    }
    for one in types {
        RegisteredType::new(one.clone()).map_err(|refusal| {
            let detail = format!("registered_type {}: {refusal}", one.name());
            Refusal::new(Code::GenesisInvalid, detail)
        })?;
    }
    let known = |name: &str| match RecordType::from_name(name) {
        Some(RecordType::Registered(key)) => types.iter().any(|one| one.key == key),
        // The record rules refuse what is no type at all.
        _ => true,
    };
    let agencies = document.agencies.iter().flat_map(|agency| &agency.types);
    let bases = document.legal_bases.iter().flat_map(|basis| &basis.permits.types);
    match agencies.chain(bases).find(|name| !known(name)) {
        Some(name) => Err(invalid("types", format!("{name:?}"), "a core type or a [[registered_type]]")),
        None => Ok(()),
    }
}

/// What a document needs beyond a draft: enough validators, everybody's home, a council that can act.
pub(super) fn complete(document: &Document) -> Result<(), Refusal> {
    let count = document.validators.len();
    if count < VALIDATORS_MIN {
        return Err(invalid("validator", format!("{count} entries"), format!("at least {VALIDATORS_MIN}")));
    }
    let agencies: BTreeSet<&str> = document.agencies.iter().map(|agency| agency.id.as_str()).collect();
    let validators: BTreeSet<&str> = document.validators.iter().map(|one| one.name.as_str()).collect();
    for validator in &document.validators {
        if !agencies.contains(validator.agency.as_str()) {
            let key = format!("validator {}.agency", validator.name);
            return Err(invalid(&key, &validator.agency, "the id of an [[agency]]"));
        }
    }
    for agency in &document.agencies {
        if !validators.contains(agency.home_validator.as_str()) {
            let key = format!("agency {}.home_validator", agency.id);
            return Err(invalid(&key, format!("{:?}", agency.home_validator), "the name of a [[validator]]"));
        }
    }
    for key in document.recovery.iter().flat_map(|recovery| &recovery.keys) {
        if !agencies.contains(key.agency.as_str()) {
            let name = format!("recovery key {}.agency", key.name);
            return Err(invalid(&name, &key.agency, "the id of an [[agency]]"));
        }
    }
    let mut council = 0_u64;
    for member in &document.members {
        if !agencies.contains(member.agency.as_str()) {
            let key = format!("member {}.agency", member.key.short());
            return Err(invalid(&key, &member.agency, "the id of an [[agency]]"));
        }
        council += u64::from(member.role == "council_member");
    }
    let threshold = u64::from(document.council.threshold);
    if threshold == 0 || threshold > council {
        let wanted = format!("1 to {council}, the number of members with role council_member");
        return Err(invalid("council.threshold", threshold, wanted));
    }
    Ok(())
}

/// Parameters that have a place in the genesis and no other value yet: better refused than ignored.
pub(super) const NOT_YET_FREE: [&str; 4] =
    ["batch_bytes_max", "validity_ms_max", "checkpoint_interval_ms_max", "expiries_per_block_max"];

fn parameters(parameters: &Parameters) -> Result<(), Refusal> {
    for (&(name, min, default, max), value) in Parameters::BOUNDS.iter().zip(parameters.values()) {
        if !(min..=max).contains(&value) {
            return Err(invalid(&format!("parameters.{name}"), value, format!("{min} to {max}")));
        }
        if NOT_YET_FREE.contains(&name) && value != default {
            let wanted = format!("{default}, the only value that this release knows");
            return Err(invalid(&format!("parameters.{name}"), value, wanted));
        }
    }
    for (low_name, low, high_name, high) in [
        (
            "view_timeout_base_ms_min",
            parameters.view_timeout_base_ms_min,
            "view_timeout_base_ms_max",
            parameters.view_timeout_base_ms_max,
        ),
        (
            "view_timeout_base_ms_max",
            parameters.view_timeout_base_ms_max,
            "view_timeout_cap_ms",
            parameters.view_timeout_cap_ms,
        ),
        (
            "checkpoint_interval_ms_min",
            parameters.checkpoint_interval_ms_min,
            "checkpoint_interval_ms_max",
            parameters.checkpoint_interval_ms_max,
        ),
        ("batch_bytes_max", parameters.batch_bytes_max, "block_bytes_max", parameters.block_bytes_max),
        ("window", parameters.window, "exec_lag_max", parameters.exec_lag_max),
    ] {
        if low > high {
            return Err(invalid(
                &format!("parameters.{low_name}"),
                low,
                format!("at most {high_name}, {high}"),
            ));
        }
    }
    Ok(())
}

fn validators(document: &Document) -> Result<(), Refusal> {
    let mut keys = BTreeSet::new();
    for (at, validator) in document.validators.iter().enumerate() {
        let key = |field: &str| format!("validator {}.{field}", validator.name);
        name(&key("name"), &validator.name)?;
        if at > 0 && document.validators[at - 1].name == validator.name {
            return Err(invalid(&key("name"), "the name twice", "one entry per name"));
        }
        text(&key("agency"), &validator.agency, 1)?;
        if !validator.address.starts_with('/') {
            let wanted = "a multiaddr such as /ip4/10.0.0.1/tcp/7101";
            return Err(invalid(&key("address"), format!("{:?}", validator.address), wanted));
        }
        text(&key("address"), &validator.address, 2)?;
        for (role, public, possession) in validator.keys() {
            key_with_possession(
                &document.network,
                &validator.name,
                &key(role.text()),
                role,
                public,
                possession,
            )?;
            if !keys.insert(public) {
                return Err(invalid(
                    &key(role.text()),
                    format!("key {} twice", public.short()),
                    "a key of its own",
                ));
            }
        }
    }
    Ok(())
}

impl ValidatorEntry {
    /// Role, key and proof of possession of its three keys.
    pub fn keys(&self) -> [(KeyRole, PublicKey, Signature); 3] {
        [
            (KeyRole::Consensus, self.consensus_key, self.consensus_possession),
            (KeyRole::Network, self.network_key, self.network_possession),
            (KeyRole::Log, self.log_key, self.log_possession),
        ]
    }
}

fn agencies(document: &Document) -> Result<(), Refusal> {
    for (at, agency) in document.agencies.iter().enumerate() {
        let key = |field: &str| format!("agency {}.{field}", agency.id);
        text("agency.id", &agency.id, 1)?;
        if at > 0 && document.agencies[at - 1].id == agency.id {
            return Err(invalid(&key("id"), "the id twice", "one entry per agency"));
        }
        text(&key("name"), &agency.name, 1)?;
        text(&key("name_en"), &agency.name_en, 0)?;
        set(&key("types"), &agency.types)?;
        if !agency.home_validator.is_empty() {
            name(&key("home_validator"), &agency.home_validator)?;
        }
        term(&key("from"), &agency.from, &key("to"), agency.to.as_deref())?;
    }
    Ok(())
}

fn members(document: &Document) -> Result<(), Refusal> {
    let validator_keys: BTreeSet<PublicKey> =
        document.validators.iter().flat_map(|one| one.keys().map(|(_, key, _)| key)).collect();
    let mut keys = BTreeSet::new();
    for member in &document.members {
        let key = |field: &str| format!("member {}.{field}", member.key.short());
        MemberEntry::check(member, &document.network, &key)?;
        if validator_keys.contains(&member.key) {
            return Err(invalid(&key("key"), "a validator's key", "a key of its own"));
        }
        if !keys.insert(member.key) {
            return Err(invalid(&key("key"), "the key twice", "one entry per key"));
        }
    }
    Ok(())
}

/// Form, possession, and that the keys are the agencies' own.
fn recovery(document: &Document) -> Result<(), Refusal> {
    let Some(recovery) = &document.recovery else {
        return Ok(());
    };
    let taken: BTreeSet<PublicKey> = document
        .validators
        .iter()
        .flat_map(|one| one.keys().map(|(_, key, _)| key))
        .chain(document.members.iter().map(|member| member.key))
        .collect();
    for entry in &recovery.keys {
        let key = |field: &str| format!("recovery key {}.{field}", entry.name);
        name(&key("name"), &entry.name)?;
        text(&key("agency"), &entry.agency, 1)?;
        let (public, possession) = (entry.key, entry.possession);
        key_with_possession(
            &document.network,
            &entry.name,
            &key("key"),
            KeyRole::Recovery,
            public,
            possession,
        )?;
        if taken.contains(&public) {
            return Err(invalid(&key("key"), "the key of a validator or member", "a key of its own"));
        }
    }
    Ok(())
}

impl MemberEntry {
    fn check(&self, network: &str, key: &impl Fn(&str) -> String) -> Result<(), Refusal> {
        text(&key("agency"), &self.agency, 1)?;
        word(&key("role"), &self.role)?;
        text(&key("label"), &self.label, 1)?;
        term(&key("from"), &self.from, &key("to"), self.to.as_deref())?;
        key_with_possession(network, &self.agency, &key("key"), KeyRole::Member, self.key, self.possession)
    }
}

fn legal_bases(document: &Document) -> Result<(), Refusal> {
    for (at, basis) in document.legal_bases.iter().enumerate() {
        let key = |field: &str| format!("legal_basis {} v{}.{field}", basis.id, basis.version);
        if at > 0 {
            let before = &document.legal_bases[at - 1];
            if (&before.id, before.version) == (&basis.id, basis.version) {
                return Err(invalid(&key("id"), "id and version twice", "one entry per version"));
            }
        }
        legal_basis(basis, &key)?;
    }
    Ok(())
}

fn legal_basis(basis: &LegalBasisEntry, key: &impl Fn(&str) -> String) -> Result<(), Refusal> {
    name("legal_basis.id", &basis.id)?;
    if basis.version == 0 {
        return Err(invalid(&key("version"), 0, "1 or more"));
    }
    text(&key("title"), &basis.title, 1)?;
    set(&key("titles"), &basis.titles)?;
    word(&key("instrument"), &basis.instrument)?;
    text(&key("issuer"), &basis.issuer, 1)?;
    text(&key("doc_no"), &basis.doc_no, 0)?;
    text(&key("article"), &basis.article, 0)?;
    term(&key("in_force"), &basis.in_force, &key("ends"), basis.ends.as_deref())?;
    set(&key("permits.types"), &basis.permits.types)?;
    set(&key("permits.subject_kinds"), &basis.permits.subject_kinds)?;
    if basis.permits.types.is_empty() || basis.permits.subject_kinds.is_empty() {
        return Err(invalid(&key("permits"), "an empty list", "at least one type and one kind of subject"));
    }
    if !["P0", "P1", "P2", "P3", "P4"].contains(&basis.permits.class_max.as_str()) {
        let got = format!("{:?}", basis.permits.class_max);
        return Err(invalid(&key("permits.class_max"), got, "P0 to P4"));
    }
    terms::check_deadlines(basis, key)?;
    set(&key("countersign_roles"), &basis.countersign_roles)?;
    let months = |months: &Months| [months.minor, months.ordinary, months.serious];
    for (least, most) in
        months(&basis.publication.months_min).into_iter().zip(months(&basis.publication.months_max))
    {
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            return Err(invalid(&key("publication.months_min"), least, format!("at most {most}")));
        }
    }
    Ok(())
}

fn key_with_possession(
    network: &str,
    owner: &str,
    key: &str,
    role: KeyRole,
    public: PublicKey,
    possession: Signature,
) -> Result<(), Refusal> {
    public.check().map_err(|error| invalid(key, error, "an Ed25519 key that may be registered"))?;
    let preimage = Possession { network, owner, role, key: public };
    if !public.verify(&preimage, &possession) {
        return Err(invalid(key, "a proof of possession that does not verify", "one made with this key"));
    }
    Ok(())
}

/// A short name: lower-case letters, digits, hyphens; begins and ends with a letter or digit.
pub(super) fn name(key: &str, value: &str) -> Result<(), Refusal> {
    if crate::text::is_short_name(value, NAME_MAX) {
        return Ok(());
    }
    let wanted = format!("1 to {NAME_MAX} lower-case letters, digits and inner hyphens");
    Err(invalid(key, format!("{value:?}"), wanted))
}

fn word(key: &str, value: &str) -> Result<(), Refusal> {
    let fits = (1..=NAME_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits { Ok(()) } else { Err(invalid(key, format!("{value:?}"), "lower-case letters, digits and _")) }
}

pub(super) fn text(key: &str, value: &str, least: usize) -> Result<(), Refusal> {
    if !(least..=TEXT_MAX).contains(&value.len()) {
        return Err(invalid(key, format!("{} bytes", value.len()), format!("{least} to {TEXT_MAX}")));
    }
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if value.chars().any(hidden) || value.trim() != value {
        return Err(invalid(
            key,
            format!("{value:?}"),
            "no control, hidden or surrounding white-space characters",
        ));
    }
    if !unicode_normalization::is_nfc(value) {
        return Err(invalid(key, format!("{value:?}"), "text in Unicode form NFC"));
    }
    Ok(())
}

/// A list without order: sorted by normalisation, so a repetition stands side by side.
fn set(key: &str, values: &[String]) -> Result<(), Refusal> {
    if values.len() > LIST_MAX {
        return Err(invalid(key, format!("{} texts", values.len()), format!("at most {LIST_MAX}")));
    }
    for value in values {
        text(key, value, 1)?;
    }
    match values.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(key, format!("{:?} twice", pair[0]), "each once")),
        None => Ok(()),
    }
}

fn term(from_key: &str, from: &str, to_key: &str, to: Option<&str>) -> Result<(), Refusal> {
    let date = |key: &str, value: &str| {
        time::parse_date(value)
            .ok_or_else(|| invalid(key, format!("{value:?}"), "a day of the calendar as YYYY-MM-DD"))
    };
    let from = date(from_key, from)?;
    if let Some(to) = to
        && date(to_key, to)? < from
    {
        return Err(invalid(to_key, to, "a day not before the first"));
    }
    Ok(())
}
