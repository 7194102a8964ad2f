//! Commands.
pub(crate) mod audit;
pub(crate) mod block;
pub(crate) mod state;
