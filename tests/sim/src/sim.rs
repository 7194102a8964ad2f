//! A whole network of validators in one thread: real engines, real safety modules, real execution; virtual
//! time, network and disk. A seed decides everything, and one seed gives one trace.
//!
//! * [`world`] owns the nodes and the event queue and checks every step.
//! * [`disk`] keeps what is durable apart from what is merely written.
//! * [`faults`] draws loss, delay, partitions, crashes and restarts from the seed.
//! * [`judge`] watches from outside and survives every crash: agreement, durable-before-send, no two
//!   different messages signed for one slot.
//!
//! Signatures are a keyed hash here, so that a run costs microseconds a message; the code that makes and
//! checks them is the engine's own.

pub mod crypto;
pub mod disk;
pub mod faults;
pub mod judge;
pub mod ledger;
pub mod random;
pub mod world;

pub use faults::Faults;
pub use world::{Report, World};
