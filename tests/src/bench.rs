//! The benchmark of a whole network: real processes, real signatures, real disks, clients included.
//!
//! A record counts when it is final at the client's node *and* the client has verified the proof of it:
//! batch, block, descendants, a quorum's commit certificate. Transactions are signed before the clock starts,
//! and the output says so. Everything stays on the loopback interface, and processes are ended by their id.
//!
//! `figures` says what is measured, `load` how; `network` owns the processes, `city` makes the records.

mod city;
mod client;
mod figures;
mod limits;
mod load;
mod machine;
mod network;
mod options;
mod output;
mod stats;
mod stop;

pub use figures::run;
pub use options::Options;

/// What goes wrong while measuring; the text is for the person at the terminal.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;
/// What measuring returns.
pub type BenchResult<T = ()> = Result<T, BenchError>;
