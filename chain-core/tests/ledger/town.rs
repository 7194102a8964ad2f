//! The city with every type that an agency may file, one legal basis for all of them, and a table of what is refused.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::{Code, Refusal};
use chain_core::execute::GenesisState;
use chain_core::record::governance::{BasisDetails, MemberDetails, Role};
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use serde_json::{Value, json};

use crate::city::{agency, agency_details, basis_details, calendars, date, filing, genesis, new_key};

/// The types of the town's agencies.
fn types() -> Vec<RecordType> {
    let mut types: Vec<RecordType> =
        RecordType::ALL.iter().copied().filter(|one| !one.is_governance()).collect();
    types.sort_unstable();
    types
}

/// Genesis of the town: as that of the city, with all types for A1 and A2, and the basis `official` for them.
pub(crate) fn state() -> GenesisState {
    let mut state = genesis();
    for (at, name) in ["A1", "A2"].into_iter().enumerate() {
        state.agencies[at] = agency_details(name, &types());
        let gateway = MemberDetails {
            key: new_key(&format!("{name}/gateway1")),
            agency: agency(name),
            role: Role::Gateway,
            from: date("2020-01-01"),
            to: None,
        };
        state.members.push(gateway);
    }
    state.bases.push(BasisDetails { types: types(), max_class: Class::P4, ..basis_details("official") });
    state.calendars = calendars();
    state
}

/// Files a body of a type under the basis `official`, for A1.
pub(crate) fn file(record_type: RecordType, class: Class, key: &str, body: &Value) -> Result<Filed, Refusal> {
    file_of("A1", record_type, class, key, body)
}

/// As [`file()`], for another agency.
pub(crate) fn file_of(
    by: &str,
    record_type: RecordType,
    class: Class,
    key: &str,
    body: &Value,
) -> Result<Filed, Refusal> {
    let filing = Filing {
        agency: agency(by),
        class,
        subject_kind: SubjectKind::None,
        legal_basis: Some(BasisRef { id: "official".to_owned(), version: 1 }),
        ..filing(record_type, key)
    };
    build::file(&filing, &body.to_string())
}

pub(crate) fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

pub(crate) fn origin() -> Value {
    json!({ "system": "desk", "method": "manual" })
}

/// A filing with another body, as a client would send it that judges nothing: the validators are to find the flaw.
pub(crate) fn forced(filed: Filed, body: &Value) -> Filed {
    let Filed { mut header, body: mut sent } = filed;
    sent.json = chain_core::json::canonicalise(&body.to_string()).unwrap();
    header.body_commit = Some(sent.commitment());
    Filed { header, body: sent }
}

/// A body with a change.
pub(crate) fn with(body: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut body = body.clone();
    change(&mut body);
    body
}

/// Collects all rows that came to something else, so that one run names every check that is missing.
#[derive(Default)]
pub(crate) struct Table {
    wrong: Vec<String>,
    rows: usize,
}

impl Table {
    /// One row.
    pub(crate) fn row<T>(&mut self, what: &str, got: Result<T, Code>, want: Result<(), Code>) {
        self.rows += 1;
        let got = got.map(|_| ());
        if got != want {
            self.wrong.push(format!("{what}: {got:?}, wants {want:?}"));
        }
    }

    /// A row that is refused with a code.
    pub(crate) fn refused<T>(&mut self, what: &str, got: Result<T, Code>, want: Code) {
        self.row(what, got, Err(want));
    }

    /// Fails with all rows that are wrong.
    pub(crate) fn end(self, rows: usize) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} rows:\n{}",
            self.wrong.len(),
            self.rows,
            self.wrong.join("\n")
        );
        assert_eq!(self.rows, rows);
    }
}
