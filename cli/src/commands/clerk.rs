//! Commands.
pub(crate) mod advise;
pub(crate) mod batch;
pub(crate) mod indicator;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod schema;
mod stream;
