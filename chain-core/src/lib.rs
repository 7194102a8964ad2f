//! What a record, a block and a proof are.
//!
//! This crate is everything an auditor must trust and nothing else: it opens no socket or file, reads
//! no clock, starts no thread and iterates no hash map. The same code runs in the validator, in the
//! `city` command and in an offline audit.
//!
//! Where to start: [`transaction`] is what a member signs, [`execute`] turns ordered transactions into
//! outcomes and leaves, [`block`] and [`certificate`] say what a quorum vouched for, [`merkle`] and
//! [`receipt`] prove one record to somebody who trusts none of us.
//!
//! Two encodings, never mixed: [`codec`] is for the wire and the disk; [`canonical`] is the fixed
//! big-endian layout of everything that is hashed or signed.

pub mod access;
pub mod api;
pub mod block;
pub mod build;
pub mod canonical;
pub mod certificate;
pub mod checkpoint;
pub mod code;
pub mod codec;
pub mod committee;
pub mod cose;
pub mod crypto;
pub mod date;
pub mod epoch;
pub mod evidence;
pub mod execute;
pub mod genesis;
pub mod id;
pub mod identifier;
pub mod json;
pub mod keyfile;
pub mod lane;
pub mod layout;
pub mod leaf;
pub mod ledger;
pub mod lifecycle;
pub mod merkle;
pub mod money;
pub mod operation;
pub mod org;
pub mod proof;
pub mod read;
pub mod receipt;
pub mod record;
pub mod recovery;
pub mod rules;
pub mod schema;
pub mod state;
pub mod state_proof;
pub mod subject;
pub mod text;
pub mod timeline;
pub mod transaction;
pub mod trust;
pub mod view_change;
pub mod vrf;
pub mod working_days;
