//! Consensus and execution without a node: everything of the tests that needs neither socket nor database,
//! so that it compiles in seconds and runs many times faster than real time.
//!
//! [`sim`] is a network in one thread under a seed, [`kit`] makes signed evidence by hand, [`siege`] is one
//! engine among liars, [`stage`] puts real engines among liars that do one thing for ever, [`campaign`] says how
//! many seeds a test draws, [`mutate`] damages bytes.

pub mod campaign;
pub mod kit;
pub mod mutate;
pub mod siege;
pub mod sim;
pub mod stage;
