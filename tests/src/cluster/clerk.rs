//! Officers with keys from a development key ring, and the transactions they sign, right or wrong.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chain_core::build::{Filed, Filing, file, submission};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::genesis::{Genesis, KeyRole};
use chain_core::id::ChainId;
use chain_core::keyfile::{self, Passphrase};
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::transaction::{Body, Submission};

/// How long a transaction stays valid.
const VALID_MS: u64 = 60 * 60 * 1000;

/// One officer.
#[derive(Debug)]
pub struct Officer {
    /// The network.
    pub chain_id: ChainId,
    /// For whom.
    pub agency: OrgId,
    /// Opens its own signature.
    pub key: SecretKey,
    /// The legal basis it files under.
    pub basis: BasisRef,
}

/// Milliseconds since 1970.
///
/// # Panics
/// Before 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Officers of a role in the order of the key ring, at most `most`.
///
/// # Panics
/// When the ring cannot be read.
pub fn officers(genesis: &Genesis, keys: &Path, role: &str, most: usize) -> Vec<Officer> {
    let kind = RecordType::DocFingerprint.name();
    let basis = genesis.document().legal_bases.iter().find(|one| {
        one.permits.types.iter().any(|name| name == kind)
            && one.permits.subject_kinds.iter().any(|name| name == SubjectKind::None.name())
            && one.countersign_roles.is_empty()
            && !one.expiry_required
    });
    let basis = basis.expect("a legal basis for fingerprints of documents");
    let basis = BasisRef { id: basis.id.clone(), version: basis.version };
    let list = std::fs::read_to_string(keys.join("keyring.toml")).expect("a key ring");
    let list: toml::Table = toml::from_str(&list).expect("a key ring");
    let passphrase = list.get("passphrase_file").and_then(toml::Value::as_str).map(|file| {
        let text = std::fs::read_to_string(keys.join(file)).expect("a passphrase");
        Passphrase::new(text).expect("a passphrase")
    });
    let mut found = Vec::new();
    for entry in list.get("key").and_then(toml::Value::as_array).into_iter().flatten() {
        let field = |name: &str| entry.get(name).and_then(toml::Value::as_str);
        if found.len() == most || field("role") != Some(role) {
            continue;
        }
        let (Some(agency), Some(path)) = (field("agency"), field("file")) else { continue };
        let text = std::fs::read_to_string(keys.join(path)).expect("a key file");
        let opened = keyfile::decrypt(&text, KeyRole::Member, passphrase.as_ref()).expect("a key");
        found.push(Officer {
            chain_id: genesis.chain_id(),
            agency: agency.parse().expect("an agency"),
            key: opened.secret,
            basis: basis.clone(),
        });
    }
    found
}

impl Officer {
    /// The fingerprint of an invented document. The idempotency key names the record; `document` what is in it.
    ///
    /// # Panics
    /// When the rules for building a record do not allow it.
    pub fn filing(&self, idempotency_key: &str, document: &str) -> Filed {
        let salt = Digest::tagged(b"test-salt", &[idempotency_key.as_bytes(), document.as_bytes()]);
        let filing = Filing {
            chain_id: self.chain_id,
            agency: self.agency.clone(),
            dedupe_key: b"test-dedupe-key",
            idempotency_key,
            record_type: RecordType::DocFingerprint,
            version: 1,
            class: Class::P0,
            subject_kind: SubjectKind::None,
            legal_basis: Some(self.basis.clone()),
            salt,
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        };
        let sha256 = Digest::tagged(b"test-document", &[document.as_bytes()]);
        let body = format!(
            concat!(
                r#"{{"custody":[{{"lang":"en","text":"registry"}}],"media_type":"application/pdf","#,
                r#""origin":{{"method":"manual","system":"registry"}},"purpose":"archive","sha256":"{}","size":4096}}"#
            ),
            sha256
        );
        file(&filing, &body).expect("a filing that obeys the rules")
    }

    /// Signs operations with their bodies, valid for an hour.
    pub fn sign(&self, operations: Vec<(Operation, Option<Body>)>) -> Submission {
        submission(self.chain_id, &self.key, now_ms() + VALID_MS, false, operations)
    }

    /// Files one fingerprint.
    pub fn file(&self, idempotency_key: &str, document: &str) -> Submission {
        let (operation, body, _) = self.filing(idempotency_key, document).submit();
        self.sign(vec![(operation, body)])
    }
}
