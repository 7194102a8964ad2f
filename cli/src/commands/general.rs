//! Commands about the command itself.

pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod topic;
pub(crate) mod version;
