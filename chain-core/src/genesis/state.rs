//! From the genesis document to the state of height 0: names and codes become the record rules' types.

use std::str::FromStr;

use super::Genesis;
use super::document::{
    AgencyEntry, LegalBasisEntry, MemberEntry, Recovery, RecoveryKeyEntry, ValidatorEntry,
};
use super::terms::CalendarEntry;
use crate::code::{Code, Refusal};
use crate::execute::{ChainParams, GenesisState, genesis_block};
use crate::layout::Layout as _;
use crate::record::governance::{
    AgencyDetails, BasisDetails, MemberDetails, NewKey, PublicationRules, Role, Term,
};
use crate::record::validator::{ProvenKey, ValidatorDetails};
use crate::recovery::{RecoveryKey, RecoveryKeys};
use crate::state::EpochEntry;

impl Genesis {
    /// What execution needs to know of the chain.
    pub fn chain_params(&self) -> ChainParams {
        ChainParams {
            chain_id: self.chain_id(),
            utc_offset_minutes: self.document().utc_offset_minutes,
            council_threshold: self.document().council.threshold,
        }
    }

    /// Agencies with their administrators, members and the catalogue, as the state of height 0 has them.
    ///
    /// # Errors
    /// `GENESIS_INVALID`, naming the entry that breaks a rule of its record type.
    pub fn state(&self) -> Result<GenesisState, Refusal> {
        let document = self.document();
        let admin = |member: &&MemberEntry| member.role == Role::AgencyAdmin.name();
        let state = GenesisState {
            agencies: document
                .agencies
                .iter()
                .map(|one| {
                    agency(
                        one,
                        document.members.iter().filter(admin).filter(|member| member.agency == one.id),
                    )
                })
                .collect::<Result<_, _>>()?,
            members: document
                .members
                .iter()
                .filter(|member| !admin(member))
                .map(member)
                .collect::<Result<_, _>>()?,
            bases: document.legal_bases.iter().map(basis).collect::<Result<_, _>>()?,
            schemas: document.registered_types.clone(),
            calendars: document.calendars.iter().map(CalendarEntry::details).collect::<Result<_, _>>()?,
            validators: document.validators.iter().map(validator).collect::<Result<_, _>>()?,
            recovery: document.recovery.as_ref().map(recovery).transpose()?,
            index: document.subject_key,
        };
        // Lays it down once, so that a genesis that passes here starts on every validator.
        let laid = genesis_block(&self.chain_params(), &state)
            .map_err(|refusal| Refusal::new(Code::GenesisInvalid, refusal.to_string()))?;
        let epoch = laid.state.iter().find(|(key, _)| *key == crate::state::key::epoch());
        let epoch = epoch.and_then(|(_, value)| EpochEntry::from_canonical(value.as_ref()?).ok());
        if epoch.is_none_or(|epoch| epoch.current != *self.committee()) {
            let detail = "the validators of the document are not those of the ledger";
            return Err(Refusal::new(Code::GenesisInvalid, detail));
        }
        Ok(state)
    }
}

pub(super) fn field<T: FromStr>(entry: &str, name: &str, text: &str) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    let invalid = |error: T::Err| Refusal::new(Code::GenesisInvalid, format!("{entry}: `{name}`: {error}"));
    text.parse().map_err(invalid)
}

fn list<T: FromStr + Ord>(entry: &str, name: &str, texts: &[String]) -> Result<Vec<T>, Refusal>
where
    T::Err: std::fmt::Display,
{
    let mut values: Vec<T> = texts.iter().map(|text| field(entry, name, text)).collect::<Result<_, _>>()?;
    values.sort();
    Ok(values)
}

fn new_key(member: &MemberEntry) -> NewKey {
    NewKey { key: member.key, label: member.label.clone(), possession: member.possession }
}

fn agency<'a>(
    entry: &AgencyEntry,
    admins: impl Iterator<Item = &'a MemberEntry>,
) -> Result<AgencyDetails, Refusal> {
    let named = format!("agency {}", entry.id);
    Ok(AgencyDetails {
        id: field(&named, "id", &entry.id)?,
        name: entry.name.clone(),
        types: list(&named, "types", &entry.types)?,
        areas: Vec::new(),
        admins: admins.map(new_key).collect(),
        from: field(&named, "from", &entry.from)?,
        to: entry.to.as_deref().map(|text| field(&named, "to", text)).transpose()?,
    })
}

fn member(entry: &MemberEntry) -> Result<MemberDetails, Refusal> {
    let named = format!("member {}", entry.key.short());
    Ok(MemberDetails {
        key: new_key(entry),
        agency: field(&named, "agency", &entry.agency)?,
        role: field(&named, "role", &entry.role)?,
        from: field(&named, "from", &entry.from)?,
        to: entry.to.as_deref().map(|text| field(&named, "to", text)).transpose()?,
    })
}

/// The proofs of possession stay those of the document: its keys cannot sign the id of the chain they make.
fn validator(entry: &ValidatorEntry) -> Result<ValidatorDetails, Refusal> {
    let named = format!("validator {}", entry.name);
    let [consensus_key, network_key, log_key] =
        entry.keys().map(|(_, key, possession)| ProvenKey { key, possession });
    Ok(ValidatorDetails {
        name: entry.name.clone(),
        agency: field(&named, "agency", &entry.agency)?,
        consensus_key,
        network_key,
        log_key,
        address: entry.address.clone(),
        may_lead: true,
    })
}

/// Names and agencies as the record rules have them.
pub(super) fn recovery(entry: &Recovery) -> Result<RecoveryKeys, Refusal> {
    let key = |one: &RecoveryKeyEntry| {
        let agency = field(&format!("recovery key {}", one.name), "agency", &one.agency)?;
        Ok(RecoveryKey { name: one.name.clone(), agency, key: one.key })
    };
    let keys = entry.keys.iter().map(key).collect::<Result<_, Refusal>>()?;
    RecoveryKeys::new(entry.threshold, keys)
        .map_err(|error| Refusal::new(Code::GenesisInvalid, format!("`recovery`: {error}")))
}

fn basis(entry: &LegalBasisEntry) -> Result<BasisDetails, Refusal> {
    let named = format!("legal basis {} version {}", entry.id, entry.version);
    let publication = &entry.publication;
    let term = |min: Option<u16>, max: Option<u16>| Term { min_months: min.unwrap_or(0), max_months: max };
    let years = entry.retention_months.div_ceil(12);
    let retention_years = u16::try_from(years).map_err(|_| {
        Refusal::new(Code::GenesisInvalid, format!("{named}: `retention_months` is too large"))
    })?;
    let may_be_asked = [Role::Supervisor, Role::LegalReviewer];
    let other =
        entry.countersign_roles.iter().find(|role| may_be_asked.iter().all(|known| role != &known.name()));
    if let Some(other) = other {
        let names = may_be_asked.map(Role::name).join(" or ");
        let detail = format!("{named}: `countersign_roles` has {}, wants {names}", crate::text::shown(other));
        return Err(Refusal::new(Code::GenesisInvalid, detail));
    }
    let asks_for = |wanted: Role| entry.countersign_roles.iter().any(|role| role == wanted.name());
    Ok(BasisDetails {
        id: entry.id.clone(),
        version: entry.version,
        title: entry.title.clone(),
        instrument: field(&named, "instrument", &entry.instrument)?,
        issuer: entry.issuer.clone(),
        doc_no: entry.doc_no.clone(),
        article: entry.article.clone(),
        text: entry.text_hash,
        in_force: field(&named, "in_force", &entry.in_force)?,
        ends: entry.ends.as_deref().map(|text| field(&named, "ends", text)).transpose()?,
        types: list(&named, "permits.types", &entry.permits.types)?,
        subject_kinds: list(&named, "permits.subject_kinds", &entry.permits.subject_kinds)?,
        max_class: field(&named, "permits.class_max", &entry.permits.class_max)?,
        publication: PublicationRules {
            allowed: publication.allowed,
            minor: term(publication.months_min.minor, publication.months_max.minor),
            ordinary: term(publication.months_min.ordinary, publication.months_max.ordinary),
            serious: term(publication.months_min.serious, publication.months_max.serious),
            unclassified: term(publication.months_min.unclassified, publication.months_max.unclassified),
        },
        repair: entry.repair_rules(),
        deadlines: entry.deadline_rules(&named)?,
        supervisor: asks_for(Role::Supervisor),
        legal_review: asks_for(Role::LegalReviewer),
        hearing: entry.hearing,
        expiry_required: entry.expiry_required,
        retention_years,
        codes: entry.codes.clone(),
    })
}
