//! What an importer knows of a network: its chain, and the legal bases of its genesis.

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::genesis::{Document, Genesis, LegalBasisEntry};
use chain_core::id::ChainId;
use chain_core::record::governance::{BasisDetails, Instrument, PublicationRules, RepairRules, Term};
use chain_core::record::{Class, RecordType, SubjectKind};

use crate::error::{CliError, CliResult};

/// The catalogue an import is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    /// The network.
    pub(crate) chain_id: ChainId,
    bases: Vec<Basis>,
}

/// One basis.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// What the ledger knows of it.
    pub(crate) details: BasisDetails,
    titles: Vec<String>,
}

impl Catalogue {
    /// The catalogue of a genesis.
    pub(crate) fn of(genesis: &Genesis) -> CliResult<Self> {
        Self::from_document(genesis.chain_id(), genesis.document())
    }

    /// The catalogue of a document, finished or not.
    pub(crate) fn from_document(chain_id: ChainId, document: &Document) -> CliResult<Self> {
        let bases = document.legal_bases.iter().map(basis).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self { chain_id, bases })
    }

    /// The newest version of an entry that is in force on a day, else its newest version.
    pub(crate) fn by_id(&self, id: &str, on: Option<Date>) -> Option<&Basis> {
        self.newest(on, |basis| basis.details.id == id)
    }

    /// As [`Self::by_id`], by a spelling of the title.
    pub(crate) fn by_title(&self, title: &str, on: Option<Date>) -> Option<&Basis> {
        self.newest(on, |basis| basis.titles.iter().any(|one| one == title) || basis.details.title == title)
    }

    fn newest(&self, on: Option<Date>, fits: impl Fn(&Basis) -> bool) -> Option<&Basis> {
        let in_force = |basis: &&Basis| {
            let details = &basis.details;
            on.is_none_or(|day| details.in_force <= day && details.ends.is_none_or(|ends| day <= ends))
        };
        let fitting = || self.bases.iter().filter(|basis| fits(basis));
        let newest = fitting().filter(in_force).max_by_key(|basis| basis.details.version);
        newest.or_else(|| fitting().max_by_key(|basis| basis.details.version))
    }
}

fn basis(entry: &LegalBasisEntry) -> Result<Basis, Refusal> {
    let bad = |what: &str, text: &str| {
        Refusal::new(Code::GenesisInvalid, format!("legal basis {}: {what} {text:?}", entry.id))
    };
    let day = |text: &str| text.parse::<Date>().map_err(|_| bad("date", text));
    let mut types = entry
        .permits
        .types
        .iter()
        .map(|text| text.parse::<RecordType>().map_err(|_| bad("type", text)))
        .collect::<Result<Vec<_>, _>>()?;
    types.sort();
    let mut subject_kinds = entry
        .permits
        .subject_kinds
        .iter()
        .map(|text| text.parse::<SubjectKind>().map_err(|_| bad("subject kind", text)))
        .collect::<Result<Vec<_>, _>>()?;
    subject_kinds.sort();
    let (min, max) = (&entry.publication.months_min, &entry.publication.months_max);
    let term = |min: Option<u16>, max_months| Term { min_months: min.unwrap_or(0), max_months };
    let details = BasisDetails {
        id: entry.id.clone(),
        version: entry.version,
        title: entry.title.clone(),
        instrument: entry
            .instrument
            .parse::<Instrument>()
            .map_err(|_| bad("instrument", &entry.instrument))?,
        issuer: entry.issuer.clone(),
        doc_no: entry.doc_no.clone(),
        article: entry.article.clone(),
        text: entry.text_hash,
        in_force: day(&entry.in_force)?,
        ends: entry.ends.as_deref().map(day).transpose()?,
        types,
        subject_kinds,
        max_class: entry
            .permits
            .class_max
            .parse::<Class>()
            .map_err(|_| bad("class", &entry.permits.class_max))?,
        publication: PublicationRules {
            allowed: entry.publication.allowed,
            minor: term(min.minor, max.minor),
            ordinary: term(min.ordinary, max.ordinary),
            serious: term(min.serious, max.serious),
            unclassified: term(None, None),
        },
        repair: RepairRules { allowed: false, after_months: 0 },
        deadlines: Vec::new(),
        legal_review: entry.countersign_roles.iter().any(|role| role == "legal_reviewer"),
        expiry_required: entry.expiry_required,
        retention_years: 0,
    };
    Ok(Basis { details, titles: entry.titles.clone() })
}

/// The refusal of a basis that the catalogue lacks.
pub(crate) fn unknown(title: &str) -> Refusal {
    let detail = if title.is_empty() {
        "the row names no legal basis".to_owned()
    } else {
        format!("the catalogue has no legal basis {}", chain_core::text::shown(title))
    };
    Refusal::new(Code::LegalBasisMissing, detail)
}

/// A mapping whose constant basis the catalogue lacks.
pub(crate) fn missing_constant(id: &str) -> CliError {
    CliError::new(Code::BadMapping, format!("the catalogue of this network has no legal basis {id}"))
}
