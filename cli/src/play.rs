//! Playing scenarios: steps of a record's life, with what each must come to, carried out by the ledger's own executor on
//! a ledger in memory. Keys are made from names; signatures and rules are the real ones.
//!
//! A file is a list of scenarios, each with steps `{at, who, op, record, args, expect}`; see `docs/operate/scenarios.md`.

pub(crate) mod cast;
pub(crate) mod device;
pub(crate) mod form;
pub(crate) mod paper;
pub(crate) mod stage;
