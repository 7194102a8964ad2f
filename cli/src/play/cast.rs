//! Who acts in a scenario, and under which law: agencies, posts and legal bases, laid down in a genesis of their own.

mod law;

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey, SecretKey};
use chain_core::date::Date;
use chain_core::execute::{ChainParams, GenesisState};
use chain_core::id::ChainId;
use chain_core::org::{OrgId, Scheme};
use chain_core::record::governance::{AgencyDetails, BasisDetails, MemberDetails, NewKey, Possession, Role};
use chain_core::record::{BasisRef, RecordType};
use serde_json::Value;

use super::form::{Scenario, Step};
use super::paper::{self, registered};
pub(crate) use law::basis;

/// The agency of the portal through which subjects act.
const PORTAL: &str = "portal";
/// The agency of auditors that name no other.
const AUDIT: &str = "audit";
/// The agency of council members that name no other.
const COUNCIL: &str = "council";
/// The basis of records that name none.
const GENERAL: &str = "general";
/// The posts of an agency's first administrators; those whom a story names are registered beside them.
const HEAD: &str = "head";
/// Who must agree in the council, the proposer among them.
const COUNCIL_THRESHOLD: u16 = 2;

/// The cast of one scenario.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) chain: ChainParams,
    pub(crate) genesis: GenesisState,
    bases: BTreeMap<String, BasisRef>,
    /// Devices that take steps.
    pub(crate) devices: BTreeSet<String>,
}

impl Cast {
    /// Everybody whom a scenario names, and the laws that it names; but for those that its own steps bring in.
    pub(crate) fn of(scenario: &Scenario) -> Result<Self, Refusal> {
        let council = [1, 2].map(|at| format!("{COUNCIL}/council{at}"));
        let mut posts: BTreeSet<String> =
            [full("subject"), full("auditor")].into_iter().chain(council).collect();
        let mut agencies: BTreeSet<String> = scenario.agencies.keys().cloned().collect();
        let mut bases: BTreeSet<String> = [GENERAL.to_owned()].into();
        for step in &scenario.steps {
            posts.extend(named_posts(step).map(full));
            bases.extend(named_basis(step).map(str::to_owned));
        }
        // A device has its key by its registration.
        let bare = |post: &String| post.split(" with ").next().unwrap_or(post).to_owned();
        let devices = posts.iter().filter(|post| is_device(post)).map(bare).collect();
        agencies.extend(posts.iter().map(|post| agency_of(post).to_owned()));
        agencies.retain(|name| agency(name).is_ok());
        for name in &agencies {
            posts.extend(["clerk1", "clerk2", "supervisor1"].map(|post| format!("{name}/{post}")));
        }
        let newcomers = Newcomers::of(scenario);
        agencies.retain(|name| !newcomers.agencies.contains(name));
        posts.retain(|post| agencies.contains(agency_of(post)) && !newcomers.posts.contains(post));
        let members = posts.iter().filter_map(|post| Some((post, role(post)?)));
        let catalogue: Vec<BasisDetails> =
            (1_u32..).zip(&bases).map(|(at, text)| basis(&format!("basis-{at}"), text)).collect();
        let chain_id = ChainId::new(Digest::tagged(b"city/play/chain/1", &[]));
        let founded = |name: &String| -> Result<AgencyDetails, Refusal> {
            let types = law::competence(scenario.agencies.get(name).map_or("", String::as_str));
            Ok(AgencyDetails { types, ..agency_details(chain_id, name, HEAD)? })
        };
        Ok(Self {
            devices,
            chain: ChainParams { chain_id, utc_offset_minutes: 480, council_threshold: COUNCIL_THRESHOLD },
            bases: bases
                .into_iter()
                .zip(&catalogue)
                .map(|(text, basis)| (text, BasisRef { id: basis.id.clone(), version: basis.version }))
                .collect(),
            genesis: GenesisState {
                agencies: agencies.iter().map(founded).collect::<Result<_, _>>()?,
                members: members
                    .map(|(post, role)| member_details(chain_id, post, role))
                    .collect::<Result<_, _>>()?,
                bases: catalogue,
                schemas: registered::all().iter().map(|file| file.details.clone()).collect(),
                calendars: Vec::new(),
                validators: Vec::new(),
                recovery: None,
                index: None,
            },
        })
    }

    /// The basis that a text names; what names none rests on the general one, except entries in lists, which a law must
    /// have set up.
    pub(crate) fn basis(&self, named: Option<&Value>, record_type: RecordType) -> Option<BasisRef> {
        let text = match named {
            Some(named) => named.as_str()?,
            None if record_type == RecordType::ListEntry => return None,
            None => GENERAL,
        };
        self.bases.get(text).cloned()
    }
}

/// Whom the steps of a story bring in themselves.
struct Newcomers {
    agencies: BTreeSet<String>,
    posts: BTreeSet<String>,
}

impl Newcomers {
    fn of(scenario: &Scenario) -> Self {
        let (mut agencies, mut posts) = (BTreeSet::new(), BTreeSet::new());
        for step in scenario.steps.iter().filter(|step| step.op == "submit") {
            match step.args.get("type").and_then(Value::as_str) {
                Some("gov.agency") => agencies.extend([paper::agency_named(&step.args, &step.record)]),
                Some("gov.member") => {
                    posts.extend([paper::post_named(&step.args, &step.record, &full(&step.who))]);
                }
                _ => {}
            }
        }
        Self { agencies, posts }
    }
}

/// Whoever takes a step, and the officers that it names.
fn named_posts(step: &Step) -> impl Iterator<Item = &str> {
    let lists = ["officers", "inspectors"].into_iter().filter_map(|name| step.args.get(name)?.as_array());
    lists.flatten().chain(step.args.get("human")).filter_map(Value::as_str).chain([step.who.as_str()])
}

/// The text that a step names as a legal basis.
fn named_basis(step: &Step) -> Option<&str> {
    step.args.get("legal_basis").and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// Refuses whoever has no key that a member, a device or a subject could have.
///
/// # Errors
/// `MISSING_FIELD` for nobody, `BAD_IDENTIFIER` for an agency whose name no identifier can hold, `ROLE_NOT_ALLOWED` for
/// readers and validators, `BAD_PARAMETER` for a post that no role has.
pub(crate) fn check_post(who: &str) -> Result<(), Refusal> {
    if who.trim().is_empty() {
        return Err(Refusal::new(Code::MissingField, "who of the step is absent or empty"));
    }
    let post = full(who);
    let (name, local) = post.split_once('/').unwrap_or((post.as_str(), ""));
    if let "reader" | "validator" = kind_of(if local.is_empty() { name } else { local }) {
        let detail = format!("who is {who:?}, which signs no records; wants a member, a device or a subject");
        return Err(Refusal::new(Code::RoleNotAllowed, detail));
    }
    agency(name)?;
    if role(&post).is_some() || is_device(&post) {
        return Ok(());
    }
    let detail =
        format!("who is {who:?}, wants AGENCY/POST as A1/clerk1 or A1/device7, or subject or auditor");
    Err(Refusal::new(Code::BadParameter, detail))
}

/// Whether a post is that of a device.
pub(crate) fn is_device(post: &str) -> bool {
    post.split_once('/').is_some_and(|(_, name)| name.starts_with("device"))
}

/// A post with its agency.
pub(crate) fn full(who: &str) -> String {
    if who.contains('/') {
        return who.to_owned();
    }
    let number = who.trim_start_matches(|c: char| !c.is_ascii_digit());
    let number = if number.is_empty() { "1" } else { number };
    match kind_of(who) {
        "subject" | "portal" => format!("{PORTAL}/portal{number}"),
        "auditor" => format!("{AUDIT}/auditor{number}"),
        "council" | "council_member" => format!("{COUNCIL}/council{number}"),
        _ => who.to_owned(),
    }
}

/// The name of a post without its number.
fn kind_of(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
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

/// The role of a post, by its name.
pub(crate) fn role(post: &str) -> Option<Role> {
    let (_, name) = post.split_once('/')?;
    match kind_of(name) {
        "clerk" | "counter" | "officer" | "inspector" | "notary" => Some(Role::Clerk),
        "supervisor" => Some(Role::Supervisor),
        "legal" | "legal_reviewer" => Some(Role::LegalReviewer),
        "privacy" | "privacy_officer" => Some(Role::PrivacyOfficer),
        "auditor" => Some(Role::Auditor),
        "admin" | "agency_admin" => Some(Role::AgencyAdmin),
        "council" | "council_member" => Some(Role::CouncilMember),
        "portal" => Some(Role::Portal),
        "gateway" => Some(Role::Gateway),
        _ => None,
    }
}

/// The key of a post with the proof that its holder has it.
pub(crate) fn new_key(chain_id: ChainId, post: &str) -> NewKey {
    let (key, label) = (secret(post), post.split_once('/').map_or(post, |(_, local)| local));
    NewKey { key: key.public(), label: label.to_owned(), possession: Possession::prove(chain_id, &key) }
}

/// An agency that files everything, with two administrators of such posts.
pub(crate) fn agency_details(chain_id: ChainId, name: &str, admins: &str) -> Result<AgencyDetails, Refusal> {
    Ok(AgencyDetails {
        id: agency(name)?,
        name: format!("Agency {name}"),
        types: content_types(),
        areas: Vec::new(),
        admins: [1, 2].map(|at| new_key(chain_id, &format!("{name}/{admins}{at}"))).to_vec(),
        from: Date::MIN,
        to: None,
    })
}

/// A member of the agency that its post names.
pub(crate) fn member_details(chain_id: ChainId, post: &str, role: Role) -> Result<MemberDetails, Refusal> {
    Ok(MemberDetails {
        key: new_key(chain_id, post),
        agency: agency(agency_of(post))?,
        role,
        from: Date::MIN,
        to: None,
    })
}

/// Every type that is not governance, in the order in which agencies and legal bases list them.
fn content_types() -> Vec<RecordType> {
    let core = RecordType::ALL.iter().copied().filter(|one| !one.is_governance());
    let registered = registered::all().iter().map(|file| RecordType::Registered(file.details.key));
    let mut types: Vec<RecordType> = core.chain(registered).collect();
    types.sort_unstable();
    types
}
