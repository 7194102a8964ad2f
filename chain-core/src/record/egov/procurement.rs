//! `egov.procurement`: the releases of a public procurement, one record each, chained by the process's ocid (Open Contracting
//! Data Standard 1.1; Government Procurement Law).
//!
//! What the order of stages and the separation of duties are judged by stands in the header's details; the ocid itself only
//! as a digest, so that a release of class P2 does not name it.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::id::RecordId;
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::money::Money;
use crate::org::OrgId;
use crate::record::body::{Attachment, Derived, Fields, LocalText, Origin, parse_instant};
use crate::record::{CODE_BYTES_MAX, Class, Details, Header, Reference, Relation, SubjectKind};
use crate::text::shown;

/// Most tags of a release.
pub const TAGS_MAX: usize = 8;
/// Most suppliers of a release.
pub const SUPPLIERS_MAX: usize = 32;

closed_list!(
    /// The stages of a procurement.
    Stage as u8, "stage" {
        /// Needs and budget.
        Planning = 1, "planning";
        /// The call for tenders, of whatever method.
        Tender = 2, "tender";
        /// Who was chosen.
        Award = 3, "award";
        /// What was agreed.
        Contract = 4, "contract";
        /// What was done and paid.
        Implementation = 5, "implementation";
    }
);

closed_list!(
    /// What a release is about (OCDS 1.1, codelist `releaseTag`; compiled records are made of releases and not recorded).
    ReleaseTag as u8, "release tag" {
        /// The planning begins.
        Planning = 1, "planning";
        /// Particulars of the planning.
        PlanningUpdate = 2, "planningUpdate";
        /// The tender is called.
        Tender = 3, "tender";
        /// The tender is amended.
        TenderAmendment = 4, "tenderAmendment";
        /// Particulars of the tender.
        TenderUpdate = 5, "tenderUpdate";
        /// The tender, and with it the process, is called off.
        TenderCancellation = 6, "tenderCancellation";
        /// The award.
        Award = 7, "award";
        /// Particulars of the award.
        AwardUpdate = 8, "awardUpdate";
        /// The award is taken back.
        AwardCancellation = 9, "awardCancellation";
        /// The contract is signed.
        Contract = 10, "contract";
        /// Particulars of the contract.
        ContractUpdate = 11, "contractUpdate";
        /// The contract is amended.
        ContractAmendment = 12, "contractAmendment";
        /// Work or delivery, and payment.
        Implementation = 13, "implementation";
        /// Particulars of it.
        ImplementationUpdate = 14, "implementationUpdate";
        /// The contract has ended.
        ContractTermination = 15, "contractTermination";
    }
);

impl ReleaseTag {
    /// The stage that it begins, if it begins one.
    pub const fn begins(self) -> Option<Stage> {
        match self {
            Self::Planning => Some(Stage::Planning),
            Self::Tender => Some(Stage::Tender),
            Self::Award => Some(Stage::Award),
            Self::Contract => Some(Stage::Contract),
            Self::Implementation => Some(Stage::Implementation),
            _ => None,
        }
    }

    /// The stage that must have begun before: of an update its own, of a stage the one before. Planning and tender may come
    /// first.
    pub const fn wants(self) -> Option<Stage> {
        match self {
            Self::Planning | Self::Tender => None,
            Self::PlanningUpdate => Some(Stage::Planning),
            Self::TenderAmendment | Self::TenderUpdate | Self::TenderCancellation | Self::Award => {
                Some(Stage::Tender)
            }
            Self::AwardUpdate | Self::AwardCancellation | Self::Contract => Some(Stage::Award),
            Self::ContractUpdate
            | Self::ContractAmendment
            | Self::ContractTermination
            | Self::Implementation => Some(Stage::Contract),
            Self::ImplementationUpdate => Some(Stage::Implementation),
        }
    }

    /// The stage that it is about.
    const fn about(self) -> Option<Stage> {
        match self.begins() {
            Some(stage) => Some(stage),
            None => self.wants(),
        }
    }
}

closed_list!(
    /// How suppliers are chosen (OCDS 1.1, codelist `method`).
    ProcurementMethod as u8, "procurement method" {
        /// Whoever wants may tender.
        Open = 1, "open";
        /// Whoever is qualified may tender.
        Selective = 2, "selective";
        /// Who is invited may tender.
        Limited = 3, "limited";
        /// One supplier.
        Direct = 4, "direct";
    }
);

closed_list!(
    /// How the stage that the release is about stands (OCDS 1.1, codelists of tender, award and contract status).
    ReleaseStatus as u8, "release status" {
        /// Being planned.
        Planning = 1, "planning";
        /// Announced.
        Planned = 2, "planned";
        /// Proposed, or agreed and not in force yet.
        Pending = 3, "pending";
        /// Open, or in force.
        Active = 4, "active";
        /// Called off.
        Cancelled = 5, "cancelled";
        /// Without a result.
        Unsuccessful = 6, "unsuccessful";
        /// Over, with its result.
        Complete = 7, "complete";
        /// Taken back.
        Withdrawn = 8, "withdrawn";
        /// Ended.
        Terminated = 9, "terminated";
    }
);

impl ReleaseStatus {
    /// Whether it fits a tender that is called off.
    const fn is_called_off(self) -> bool {
        matches!(self, Self::Cancelled | Self::Unsuccessful | Self::Withdrawn)
    }
}

/// Body of `egov.procurement`: one OCDS release. Points of contact are persons and stay out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProcurementBody {
    /// The process: `ocds-`, six characters of the publisher's prefix, and its own number, at most 64 bytes.
    pub ocid: String,
    /// The release, 1 to 64 bytes; unique with the buyer.
    pub release_id: String,
    /// What it is about, 1 to 8 tags; header details.
    pub tags: Vec<ReleaseTag>,
    /// Its date, RFC 3339 with offset; header details.
    pub date: String,
    /// Title of the procurement.
    pub title: Vec<LocalText>,
    /// Who buys; the header's agency.
    pub buyer: OrgId,
    /// How suppliers are chosen.
    pub method: ProcurementMethod,
    /// How the stage stands.
    pub status: ReleaseStatus,
    /// Value of the award or contract, and before them its estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    /// Who was chosen, from the award on; up to 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppliers: Vec<OrgId>,
    /// Documents of the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Attachment>,
    /// The release before it in the process; header reference `previous_in_process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// SHA-256 of the OCDS release package that it was published in.
    pub package: Digest,
    /// Where the data came from.
    pub origin: Origin,
}

/// What the header of `egov.procurement` says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProcurementDetails {
    /// [`process_of`] its ocid.
    pub process: Digest,
    /// What it is about, ascending.
    pub tags: Vec<ReleaseTag>,
    /// Its date, milliseconds since 1970.
    pub date_ms: u64,
    /// The release before it.
    pub previous: Option<RecordId>,
}

/// The digest of an ocid that stands in headers: SHA-256 over tag and ocid.
pub fn process_of(ocid: &str) -> Digest {
    Digest::tagged(b"cityledger/procurement/1", &[ocid.as_bytes()])
}

impl ProcurementDetails {
    /// The stages that the release begins.
    pub fn begins(&self) -> impl Iterator<Item = Stage> + '_ {
        self.tags.iter().filter_map(|tag| tag.begins())
    }

    /// Whether it is about award or contract, which a supervisor approves.
    pub fn is_decision(&self) -> bool {
        self.tags.iter().any(|tag| matches!(tag.about(), Some(Stage::Award | Stage::Contract)))
    }

    /// Checks what the header says of itself.
    ///
    /// # Errors
    /// `BAD_PARAMETER`, `CLASS_NOT_PERMITTED`, `HEADER_MISMATCH`.
    pub fn check(&self, header: &Header) -> Result<(), Refusal> {
        if self.tags.is_empty() || !self.tags.is_sorted_by(|one, two| one < two) {
            return Err(Refusal::new(Code::BadParameter, "tags want one or more, ascending without repeats"));
        }
        let early = |tag: &ReleaseTag| matches!(tag.about(), Some(Stage::Planning | Stage::Tender));
        if header.class == Class::P2 && !self.tags.iter().all(early) {
            let detail = "from the award on, releases are public: class P0";
            return Err(Refusal::new(Code::ClassNotPermitted, detail));
        }
        let named = |reference: &&Reference| reference.rel == Relation::PreviousInProcess;
        if !header.refs.iter().filter(named).map(|reference| reference.record).eq(self.previous) {
            let detail = "previous of the details is the header's reference previous_in_process";
            return Err(Refusal::new(Code::HeaderMismatch, detail));
        }
        Ok(())
    }
}

impl Layout for ProcurementDetails {
    fn write(&self, writer: &mut Writer) {
        writer.digest(&self.process);
        write_list(writer, &self.tags);
        writer.u64(self.date_ms);
        write_option(writer, self.previous.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            process: reader.digest()?,
            tags: read_list(reader, TAGS_MAX)?,
            date_ms: reader.u64()?,
            previous: read_option(reader)?,
        })
    }
}

/// Whether a text has the form of an ocid: `ocds-`, six letters and digits, a hyphen and a number.
fn is_ocid(text: &str) -> bool {
    let Some((prefix, local)) = text.strip_prefix("ocds-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    prefix.len() == 6
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !local.is_empty()
        && local.bytes().all(|byte| byte.is_ascii_graphic())
}

fn judge_suppliers(fields: &mut Fields<'_>) -> Result<usize, Refusal> {
    let wrong = || Refusal::new(Code::SchemaInvalid, "suppliers: wants organisations, each once");
    let mut suppliers: Vec<OrgId> = Vec::new();
    for item in fields.list("suppliers", SUPPLIERS_MAX)? {
        let crate::json::Json::Text(text) = item else { return Err(wrong()) };
        let supplier: OrgId = text.parse().map_err(|refusal: Refusal| {
            Refusal::new(refusal.code, format!("suppliers: {}", refusal.detail))
        })?;
        if supplier.is_individual_business() {
            let detail =
                "suppliers: an individual business (prefix 92) is a person in practice; name none here";
            return Err(Refusal::new(Code::PersonalDataInClear, detail));
        }
        if suppliers.contains(&supplier) {
            return Err(wrong());
        }
        suppliers.push(supplier);
    }
    Ok(suppliers.len())
}

pub(crate) fn judge_procurement(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let ocid = fields.text("ocid", CODE_BYTES_MAX)?;
    if !is_ocid(ocid) {
        let detail = format!("ocid is {}, wants ocds-, a prefix of six, a hyphen and a number", shown(ocid));
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    }
    let number = fields.text("release_id", CODE_BYTES_MAX)?.to_owned();
    let mut tags: Vec<ReleaseTag> = fields.choices("tags")?;
    if tags.len() > TAGS_MAX {
        return Err(Refusal::new(Code::SizeLimit, format!("{} tags, at most {TAGS_MAX}", tags.len())));
    }
    tags.sort_unstable();
    let date = fields.text("date", CODE_BYTES_MAX)?;
    let date_ms = parse_instant(date).ok_or_else(|| {
        let detail = format!("date is {}, wants an RFC 3339 time with offset", shown(date));
        Refusal::new(Code::BadDate, detail)
    })?;
    fields.localised("title")?;
    let buyer = fields.org("buyer")?;
    fields.choice::<ProcurementMethod>("method")?;
    let status: ReleaseStatus = fields.choice("status")?;
    let value = fields.optional_money("value")?;
    let suppliers = judge_suppliers(fields)?;
    let attachments_root = fields.attachments("documents")?;
    let previous = fields.optional_digest("previous")?.map(RecordId::new);
    fields.digest("package")?;
    let missing = |name: &str| Refusal::new(Code::MissingField, format!("{name} is absent or empty"));
    let decided = tags.iter().any(|tag| matches!(tag, ReleaseTag::Award | ReleaseTag::Contract));
    if decided && value.is_none() {
        return Err(missing("value"));
    }
    if decided && suppliers == 0 {
        return Err(missing("suppliers"));
    }
    let before = |tag: &ReleaseTag| matches!(tag.about(), Some(Stage::Planning | Stage::Tender));
    if tags.iter().all(before) && suppliers > 0 {
        let detail = "suppliers are named from the award on; who tenders is secret before";
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    if tags.contains(&ReleaseTag::TenderCancellation) && !status.is_called_off() {
        let detail = format!(
            "status {status} of a tender that is called off, wants cancelled, unsuccessful or withdrawn"
        );
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    let details = ProcurementDetails { process: process_of(ocid), tags, date_ms, previous };
    Ok(Derived {
        subject_kind: Some(SubjectKind::None),
        issuer: Some(buyer),
        number: Some(number),
        details: Details::Procurement(Box::new(details)),
        refs: previous
            .map(|record| Reference { rel: Relation::PreviousInProcess, record })
            .into_iter()
            .collect(),
        attachments_root,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
