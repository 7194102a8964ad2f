//! Commands.
pub(crate) mod batch;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod schema;
