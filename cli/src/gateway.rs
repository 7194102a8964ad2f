//! The gateway between measuring devices and the ledger: it takes readings in, keeps them, seals them into batches, and files
//! those until a quorum's receipt is there.
//!
//! [`store`] is what must not be lost: a reading is durable before its sender hears that it was taken. [`http`] and [`mqtt`] are
//! the ways in; both hand what they read to [`intake`], entities of a context broker by way of [`entity`]. [`sender`] takes sealed batches to the ledger, which [`ledger`] speaks
//! with. [`proof`] shows one reading to somebody who trusts neither the gateway nor the network.

pub(crate) mod config;
pub(crate) mod entity;
pub(crate) mod http;
pub(crate) mod intake;
pub(crate) mod ledger;
pub(crate) mod message;
pub(crate) mod mqtt;
pub(crate) mod proof;
pub(crate) mod sender;
pub(crate) mod store;
