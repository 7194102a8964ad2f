//! A validator of City Ledger: the only crate that knows libp2p, RocksDB and HTTP.
//!
//! One thread owns the consensus engine ([`driver`]) and one executes ordered blocks ([`executor`]); the
//! network ([`link`]) and the HTTP API ([`handle`]) talk to them through bounded queues. [`storage`] holds
//! the two stores, [`datadir`] the directory around them, [`start`] puts everything together. Start at
//! `main.rs`, which reads [`config`], builds, runs and shuts down.

pub mod api;
pub mod checkpoints;
pub mod driver;
mod executor;
pub mod handle;
pub mod keys;
pub mod link;
pub mod network;
pub mod storage;
pub mod vault;
