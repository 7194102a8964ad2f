//! What the tests of City Ledger share.
//!
//! The tests themselves live under `tests/tests/`, one story per file. [`skip()`] is how a test says
//! that it could not run here. [`wire`] lists every encoded type, [`cluster`] is four real processes,
//! [`acts`] are bodies filed there, [`officer`] signs what is filed, [`python`] runs the software of others.
//! What needs neither socket nor database stands in the package `city-sim` (tests/sim).

pub mod acts;
pub mod bench;
pub mod cluster;
pub mod officer;
pub mod python;
pub mod skip;
pub mod wire;

pub use skip::skip;
