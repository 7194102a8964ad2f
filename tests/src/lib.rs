//! What the tests of City Ledger share.
//!
//! The tests themselves live under `tests/tests/`, one story per file. [`skip()`] is how a test says
//! that it could not run here, and [`campaign`] how it learns how many seeds to draw.

pub mod bench;
pub mod campaign;
pub mod skip;

pub use skip::skip;
pub mod sim;
