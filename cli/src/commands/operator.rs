//! Commands of whoever runs an agency's validator.

pub(crate) mod agency;
pub(crate) mod calendar;
pub(crate) mod gateway;
pub(crate) mod genesis;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod params;
pub(crate) mod recovery;
pub(crate) mod stores;
pub(crate) mod validator;
mod why;
