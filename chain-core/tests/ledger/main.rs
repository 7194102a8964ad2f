//! The ledger acted on as members, time and adversaries act on it, one story per file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod accuse;
mod alerts;
mod amendment;
mod automatic;
mod cascade;
mod catalogue;
mod certificates;
mod city;
mod content;
mod countersign;
mod deadlines;
mod devices;
mod erasure;
mod governance;
mod official_data;
mod params;
mod pitfalls;
mod procurement;
mod reading;
mod recovery;
mod replay;
mod rights;
mod safeguards;
mod schemas;
mod sealed;
mod sensor_data;
mod sensor_vectors;
mod state_proof;
mod state_tree;
mod station;
mod steps;
mod story;
mod streams;
mod subjects;
mod timeline;
mod town;
mod transactions;
mod transitions;
mod validators;
mod vectors;
