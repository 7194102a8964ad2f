//! Licences and penalties.
