//! Deterministic detectors over anchored streams, and what they say to a person who reviews it.
//!
//! A detector sees readings and nothing else, in whole numbers: the same readings give the same episodes on every machine.
//! [`detector`] names the methods with their parameters and their hash, [`scale`] says what is usual, [`alarm`] which readings
//! are not, [`episode`] joins them, [`evaluate`] counts windows found and false alarms, never the one without the other.

mod alarm;
pub(crate) mod detector;
pub(crate) mod episode;
pub(crate) mod evaluate;
mod scale;
