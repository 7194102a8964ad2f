//! Commands.
pub(crate) mod audit;
pub(crate) mod block;
mod proved;
pub(crate) mod state;
pub(crate) mod subject;
