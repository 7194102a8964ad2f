//! What a client knows of a network before it asks: its chain, and the legal bases and calendars of its genesis.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::genesis::Genesis;
use chain_core::id::ChainId;
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::governance::BasisDetails;

use crate::error::{CliError, CliResult};

/// The catalogue that records are judged by before they are sent.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    /// The network.
    pub(crate) chain_id: ChainId,
    /// By year.
    pub(crate) calendars: BTreeMap<u32, CalendarDetails>,
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
        let titles = genesis.document().legal_bases.iter().map(|entry| entry.titles.clone());
        let state = genesis.state()?;
        let bases =
            state.bases.into_iter().zip(titles).map(|(details, titles)| Basis { details, titles }).collect();
        let by_year = state.calendars.into_iter().map(|calendar| (u32::from(calendar.year), calendar));
        Ok(Self { chain_id: genesis.chain_id(), calendars: by_year.collect(), bases })
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
