//! Decisions and document fingerprints.
