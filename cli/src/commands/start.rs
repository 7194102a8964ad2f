//! Commands to begin with.

pub(crate) mod devnet;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod play;
