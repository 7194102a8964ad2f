//! What the tests of City Ledger share.
//!
//! The tests themselves live under `tests/tests/`, one story per file. [`skip()`] is how a test says
//! that it could not run here, and [`campaign`] how it learns how many seeds to draw. [`sim`] is a network
//! in one thread, [`kit`] makes signed evidence by hand, [`wire`] lists every encoded
//! type, [`cluster`] is four real processes, [`officer`] signs what is filed there,
//! [`python`] runs the software of others.

pub mod bench;
pub mod campaign;
pub mod cluster;
pub mod kit;
pub mod mutate;
pub mod officer;
pub mod python;
pub mod siege;
pub mod sim;
pub mod skip;
pub mod wire;

pub use skip::skip;
