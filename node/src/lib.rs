//! A validator of City Ledger: the only crate that knows libp2p, RocksDB and HTTP.
//!
//! One thread owns the consensus engine ([`driver`]) and one executes ordered blocks (`executor`); the
//! network ([`network`], behind [`link`]) and the HTTP API ([`api`], behind [`handle`]) talk to them through
//! bounded queues. [`storage`] holds the two stores, [`datadir`] the directory around them, [`start`] puts
//! everything together, and `why` says why it does not move. Begin at `main.rs`, which reads [`config`], builds,
//! runs and shuts down.

pub mod api;
pub mod backup;
pub mod checkpoints;
pub mod config;
pub mod datadir;
pub mod driver;
pub mod epoch;
mod eraser;
mod executor;
pub mod fsck;
pub mod handle;
pub mod keys;
pub mod link;
mod local;
pub mod network;
pub mod recovery;
pub mod refill;
mod restoring;
#[cfg(test)]
mod samples;
pub mod snapshots;
pub mod start;
pub mod stopped;
pub mod storage;
pub mod upkeep;
pub mod vault;
mod why;
