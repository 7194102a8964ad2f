//! From a spreadsheet to signed transactions, row by row.
//!
//! [`sheet`] reads the CSV, [`mapping`] says which column is which field, [`normalise`], [`date`] and
//! [`amount`] bring cells into one form, [`judge`] applies the ledger's own rules and writes down what was
//! changed as [`note`]s; [`plan`] groups good rows into transactions and [`journal`] keeps what was sent.

pub(crate) mod amount;
pub(crate) mod catalogue;
pub(crate) mod date;
pub(crate) mod journal;
pub(crate) mod judge;
pub(crate) mod mapping;
pub(crate) mod normalise;
pub(crate) mod note;
pub(crate) mod plan;
pub(crate) mod send;
pub(crate) mod sheet;
