//! Commands.
pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod block;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod proved;
pub(crate) mod state;
pub(crate) mod subject;
pub(crate) mod trust;
pub(crate) mod witness;
