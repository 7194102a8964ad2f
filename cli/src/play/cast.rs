//! Who acts in a scenario, and under which law: agencies, posts and legal bases, laid down in a genesis of their own.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::Refusal;
use chain_core::crypto::{Digest, PublicKey, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::execute::{ChainParams, GenesisState};
use chain_core::id::ChainId;
use chain_core::org::{OrgId, Scheme};
use chain_core::record::governance::{
    AgencyDetails, BasisDetails, Instrument, MemberDetails, NewKey, PublicationRules, RepairRules, Role, Term,
};
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};

use super::form::Scenario;

/// The agency of the portal through which subjects act.
const PORTAL: &str = "portal";
/// The agency of auditors that name no other.
const AUDIT: &str = "audit";
/// The basis of records that name none.
const GENERAL: &str = "general";

/// The cast of one scenario.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) chain: ChainParams,
    pub(crate) genesis: GenesisState,
    bases: BTreeMap<String, BasisRef>,
}

impl Cast {
    /// Everybody whom a scenario names, and the laws that it names.
    pub(crate) fn of(scenario: &Scenario) -> Result<Self, Refusal> {
        let mut agencies: BTreeSet<String> = scenario.agencies.keys().cloned().collect();
        let mut posts: BTreeSet<String> = [full("subject"), full("auditor")].into();
        let mut bases: BTreeSet<String> = [GENERAL.to_owned()].into();
        for step in &scenario.steps {
            let officers = step.args.get("officers").and_then(|value| value.as_array());
            let named = officers.into_iter().flatten().filter_map(|officer| officer.as_str());
            posts.extend(named.chain([step.who.as_str()]).map(full));
            bases.extend(step.args.get("legal_basis").and_then(|basis| basis.as_str()).map(str::to_owned));
        }
        // A device has its key by its registration.
        let devices = posts
            .iter()
            .filter(|post| post.split_once('/').is_some_and(|(_, name)| name.starts_with("device")));
        agencies.extend(devices.map(|post| agency_of(post).to_owned()));
        posts.retain(|post| role(post).is_some());
        agencies.extend(posts.iter().map(|post| agency_of(post).to_owned()));
        for agency in &agencies {
            posts.extend(["clerk1", "clerk2", "supervisor1"].map(|post| format!("{agency}/{post}")));
        }
        let members = posts.iter().filter_map(|post| Some((post, role(post)?)));
        let catalogue: Vec<BasisDetails> = (1_u32..).zip(&bases).map(|(at, text)| basis(at, text)).collect();
        Ok(Self {
            chain: ChainParams {
                chain_id: ChainId::new(Digest::tagged(b"city/play/chain/1", &[])),
                utc_offset_minutes: 480,
                council_threshold: 1,
            },
            bases: bases
                .into_iter()
                .zip(&catalogue)
                .map(|(text, basis)| (text, BasisRef { id: basis.id.clone(), version: basis.version }))
                .collect(),
            genesis: GenesisState {
                agencies: agencies.iter().map(|agency| agency_details(agency)).collect::<Result<_, _>>()?,
                members: members.map(|(post, role)| member_details(post, role)).collect::<Result<_, _>>()?,
                bases: catalogue,
                schemas: Vec::new(),
                calendars: Vec::new(),
                validators: Vec::new(),
                recovery: None,
                index: None,
            },
        })
    }

    /// The basis that a text names; what names none rests on the general one, except entries in lists, which a law must
    /// have set up.
    pub(crate) fn basis(&self, named: Option<&str>, record_type: RecordType) -> Option<BasisRef> {
        let text = match named {
            Some(text) => text,
            None if record_type == RecordType::ListEntry => return None,
            None => GENERAL,
        };
        self.bases.get(text).cloned()
    }
}

/// A post with its agency.
pub(crate) fn full(who: &str) -> String {
    match who {
        "subject" => format!("{PORTAL}/portal1"),
        "auditor" => format!("{AUDIT}/auditor1"),
        other => other.to_owned(),
    }
}

/// The short name of the agency of a post.
pub(crate) fn agency_of(post: &str) -> &str {
    post.split('/').next().unwrap_or(post)
}

/// The agency with a short name.
pub(crate) fn agency(name: &str) -> Result<OrgId, Refusal> {
    OrgId::new(Scheme::Register, &format!("CN-PLAY:{name}"))
}

/// The key of a post.
pub(crate) fn secret(post: &str) -> SecretKey {
    SecretKey::from_seed(*Digest::tagged(b"city/play/post/1", &[post.as_bytes()]).as_bytes())
}

/// The public key of a post.
pub(crate) fn public(post: &str) -> PublicKey {
    secret(post).public()
}

fn role(post: &str) -> Option<Role> {
    let (_, name) = post.split_once('/')?;
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "clerk" | "counter" => Some(Role::Clerk),
        "supervisor" => Some(Role::Supervisor),
        "legal" => Some(Role::LegalReviewer),
        "privacy" => Some(Role::PrivacyOfficer),
        "auditor" => Some(Role::Auditor),
        "admin" => Some(Role::AgencyAdmin),
        "council" => Some(Role::CouncilMember),
        "portal" => Some(Role::Portal),
        "gateway" => Some(Role::Gateway),
        _ => None,
    }
}

fn new_key(post: &str) -> NewKey {
    NewKey { key: public(post), label: post.replace('/', " "), possession: Signature::ZERO }
}

fn agency_details(name: &str) -> Result<AgencyDetails, Refusal> {
    Ok(AgencyDetails {
        id: agency(name)?,
        name: format!("Agency {name}"),
        types: content_types(),
        areas: Vec::new(),
        admins: [1, 2].map(|at| new_key(&format!("{name}/head{at}"))).to_vec(),
        from: Date::MIN,
        to: None,
    })
}

fn member_details(post: &str, role: Role) -> Result<MemberDetails, Refusal> {
    Ok(MemberDetails {
        key: new_key(post),
        agency: agency(agency_of(post))?,
        role,
        from: Date::MIN,
        to: None,
    })
}

/// The types that a text about a basis speaks of; all, where it speaks of none.
fn types_of(text: &str) -> Vec<RecordType> {
    let speaks = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let named = |one: RecordType| match one {
        RecordType::Penalty => speaks(&["penalt"]),
        RecordType::Licence => speaks(&["licence"]),
        RecordType::ListEntry => speaks(&["list"]),
        RecordType::Measure => speaks(&["measure"]),
        RecordType::PropertyEvent => speaks(&["property"]),
        _ => false,
    };
    let content = content_types();
    let found: Vec<RecordType> = content.iter().copied().filter(|one| named(*one)).collect();
    if found.is_empty() { content } else { found }
}

/// Every type that is not governance, in the order in which agencies and legal bases list them.
fn content_types() -> Vec<RecordType> {
    let mut types: Vec<RecordType> =
        RecordType::ALL.iter().copied().filter(|one| !one.is_governance()).collect();
    types.sort_unstable();
    types
}

fn basis(at: u32, text: &str) -> BasisDetails {
    let speaks = |word: &str| text.contains(word);
    let term = |min_months, max_months| Term { min_months, max_months };
    let over = speaks("not in force") || speaks("repealed") || speaks("expired");
    BasisDetails {
        id: format!("basis-{at}"),
        version: 1,
        title: text.chars().take(60).collect(),
        instrument: Instrument::Law,
        issuer: "sample".to_owned(),
        doc_no: String::new(),
        article: String::new(),
        text: Digest::tagged(b"city/play/basis/1", &[text.as_bytes()]),
        in_force: Date::MIN,
        ends: over.then_some(Date::MIN),
        types: types_of(text),
        subject_kinds: SubjectKind::ALL.to_vec(),
        max_class: Class::P3,
        publication: PublicationRules {
            allowed: true,
            minor: term(0, Some(3)),
            ordinary: term(3, Some(12)),
            serious: term(12, Some(36)),
            unclassified: term(0, None),
        },
        repair: RepairRules {
            allowed: !(speaks("no repair") || speaks("without repair") || speaks("excludes repair")),
            after_months: 0,
        },
        deadlines: Vec::new(),
        legal_review: speaks("legal review"),
        expiry_required: speaks("expiry") || speaks("end date"),
        retention_years: 5,
    }
}
