//! Officers of a cluster's key ring, and the transactions they sign, right or wrong.

use std::path::Path;

use chain_core::api::{RecordView, TransactionStatus};
use chain_core::build::Filed;
use chain_core::crypto::Digest;
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;
use chain_core::operation::Operation;
use chain_core::transaction::{Body, Submission};

use crate::officer::{self, Document};
pub use crate::officer::{Officer, now_ms};

/// How long a transaction stays valid.
const VALID_MS: u64 = 60 * 60 * 1000;

/// Officers of a role in the order of the key ring, at most `most`.
///
/// # Panics
/// When the ring cannot be read.
pub fn officers(genesis: &Genesis, keys: &Path, role: &str, most: usize) -> Vec<Officer> {
    officer::officers(genesis, keys, role, |found, _| found.len() < most).expect("a key ring")
}

/// Approves what waits of a record as a node shows it: a step, else the record itself.
pub fn approval(view: &RecordView) -> Operation {
    let (version, header_digest) = match &view.pending {
        Some(pending) => (pending.version, pending.digest),
        None => (view.version, view.header_digest),
    };
    Operation::Countersign { record: view.record, version, header_digest }
}

/// The record that an executed filing made.
///
/// # Panics
/// When it was refused.
pub fn record_of(status: &TransactionStatus) -> String {
    match &status.outcomes[0].verdict {
        Verdict::Accepted { record, .. } => record.to_string(),
        Verdict::Refused(refusal) => panic!("{refusal}"),
    }
}

impl Officer {
    /// The fingerprint of an invented document. The idempotency key names the record; `document` what is in it.
    ///
    /// # Panics
    /// When the rules for building a record do not allow it.
    pub fn filing(&self, idempotency_key: &str, document: &str) -> Filed {
        self.fingerprint(&Document {
            dedupe_key: b"test-dedupe-key",
            idempotency_key,
            salt: Digest::tagged(b"test-salt", &[idempotency_key.as_bytes(), document.as_bytes()]),
            sha256: Digest::tagged(b"test-document", &[document.as_bytes()]),
            padding: "",
        })
    }

    /// Signs operations with their bodies, valid for an hour.
    pub fn sign(&self, operations: Vec<(Operation, Option<Body>)>) -> Submission {
        self.sign_until(now_ms() + VALID_MS, operations)
    }

    /// Files one fingerprint.
    pub fn file(&self, idempotency_key: &str, document: &str) -> Submission {
        let (operation, body, _) = self.filing(idempotency_key, document).submit();
        self.sign(vec![(operation, body)])
    }
}
