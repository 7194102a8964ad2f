//! Commands.
pub(crate) mod audit;
pub(crate) mod block;
