//! The benchmark of a whole network: real processes, real signatures, real disks, clients included.
//!
//! A record counts when it is final at the client's node *and* the client has verified the proof of it:
//! batch, block, descendants, a quorum's commit certificate. Transactions are signed before the clock starts,
//! and the output says so. Everything stays on the loopback interface, and processes are ended by their id.
//!
//! `figures` says what is measured, `load` how; `network` owns the processes, `city` makes the records.
//! `leader_faults`, `outage` and `slow` measure what happens when something is done to the validators, `ledger` what a
//! ledger of many records costs, `rules` what judging one record does, `lives` what one step does that moves many others.

mod city;
mod client;
mod fault;
mod figures;
mod leader_faults;
mod ledger;
mod limits;
mod lives;
mod load;
mod machine;
mod network;
mod options;
mod outage;
mod output;
mod rules;
mod slow;
mod stats;
mod stop;

pub use fault::Fault;
pub use figures::run;
pub use leader_faults::{LeaderFault, Strike, Struck, strike_leaders};
pub use options::{Options, SlowOptions, Trial};
pub use outage::{Outage, outage};

/// What goes wrong while measuring; the text is for the person at the terminal.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;
/// What measuring returns.
pub type BenchResult<T = ()> = Result<T, BenchError>;
