//! From a spreadsheet to signed transactions, row by row.
//!
//! [`source`] reads files: [`sheet`] CSV or flat JSON, [`entities`] NGSI (written as [`ngsi`] says), [`ocds`] releases, [`cap`]
//! alerts, [`gtfs`] feeds, [`fhir`] resources. [`mapping`] says which column is which [`field`], [`normalise`], [`date`],
//! [`decimal`], [`place`] and [`amount`] bring cells into one form, [`judge`] (official columns) and [`plain`] (all others) apply
//! the ledger's own rules and write down what was changed as [`note`]s; [`plan`] groups good rows into transactions and
//! [`journal`] keeps what was sent.

pub(crate) mod amount;
mod archive;
pub(crate) mod cap;
pub(crate) mod contact;
pub(crate) mod date;
pub(crate) mod decimal;
pub(crate) mod entities;
pub(crate) mod fhir;
pub(crate) mod field;
pub(crate) mod gtfs;
pub(crate) mod journal;
pub(crate) mod judge;
pub(crate) mod mapping;
pub(crate) mod ngsi;
pub(crate) mod normalise;
pub(crate) mod note;
pub(crate) mod ocds;
pub(crate) mod place;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod send;
pub(crate) mod sheet;
pub(crate) mod source;
