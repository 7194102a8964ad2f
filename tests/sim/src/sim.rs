//! A whole network of validators in one thread: real engines, real safety modules, real execution; virtual
//! time, network and disk. A seed decides everything, and one seed gives one trace.
//!
//! * [`run`] turns a seed into a profile of [`faults`], a run, a verdict, and a failure into its smallest form.
//! * [`world`] owns the nodes, the event queue and virtual time; `node` runs one engine between a [`disk`] and
//!   a [`ledger`] as the driver does; `post` carries [`parcel`]s over the [`network`]; [`submit`] holds the
//!   clients; `nemesis` strikes; `heal` ends every fault and demands progress.
//! * [`byzantine`] validators lie, [`twins`] share a key.
//! * [`judge`] watches from outside and survives every crash: agreement, durable-before-send, I1 to I6, no two
//!   different messages signed for one slot. [`checks`] bounds memory.
//! * [`cost`] measures what a block costs and how long it takes.
//! * [`epoch`], [`roster`] and [`churn`] say who takes part, [`epochs`] takes every node from one epoch to the
//!   next; [`agreement`] is one chain over all of them.
//!
//! Signatures are a keyed hash here, so that a run costs microseconds a message; the code that makes and
//! checks them is the engine's own. One seed in a hundred uses Ed25519.

mod accusations;
pub mod agreement;
pub mod byzantine;
pub mod checks;
pub mod churn;
pub mod cost;
pub mod crypto;
pub mod disk;
pub mod epoch;
pub mod epochs;
pub mod faults;
mod heal;
pub mod judge;
pub mod ledger;
mod nemesis;
pub mod network;
mod node;
pub mod parcel;
mod post;
pub mod random;
pub mod report;
pub mod roster;
pub mod run;
pub mod submit;
pub mod transcript;
pub mod twins;
pub mod world;

pub use faults::Faults;
pub use report::Report;
pub use run::Plan;
pub use world::World;
