//! Officers with keys from a development key ring, and the fingerprints of documents that they file.

use std::error::Error;
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

/// What sets one fingerprint apart from others.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Key of the agency under which duplicates show.
    pub dedupe_key: &'a [u8],
    /// Names the record.
    pub idempotency_key: &'a str,
    /// Hides the body.
    pub salt: Digest,
    /// Digest of the invented document.
    pub sha256: Digest,
    /// Makes the body longer by as many bytes.
    pub padding: &'a str,
}

impl Document<'_> {
    /// The body of its record.
    pub fn body(&self) -> String {
        format!(
            concat!(
                r#"{{"custody":[{{"lang":"en","text":"registry{}"}}],"media_type":"application/pdf","#,
                r#""origin":{{"method":"manual","system":"registry"}},"purpose":"archive","sha256":"{}","size":4096}}"#
            ),
            self.padding, self.sha256
        )
    }
}

/// Milliseconds since 1970.
///
/// # Panics
/// Before 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Officers of a role in the order of the key ring, those that are wanted beside the ones found before. Opening a
/// key takes a tenth of a second.
///
/// # Errors
/// When the ring cannot be read, or no legal basis of the genesis allows fingerprints.
pub fn officers(
    genesis: &Genesis,
    keys: &Path,
    role: &str,
    wanted: impl Fn(&[Officer], &OrgId) -> bool,
) -> Result<Vec<Officer>, Box<dyn Error + Send + Sync>> {
    let kind = RecordType::DocFingerprint.name();
    let basis = genesis.document().legal_bases.iter().find(|one| {
        one.permits.types.iter().any(|name| name == kind)
            && one.permits.subject_kinds.iter().any(|name| name == SubjectKind::None.name())
            && one.countersign_roles.is_empty()
            && !one.expiry_required
    });
    let basis = basis.ok_or_else(|| format!("no legal basis of the genesis allows {kind}"))?;
    let basis = BasisRef { id: basis.id.clone(), version: basis.version };
    let list: toml::Table = toml::from_str(&std::fs::read_to_string(keys.join("keyring.toml"))?)?;
    let passphrase = match list.get("passphrase_file").and_then(toml::Value::as_str) {
        Some(file) => Some(Passphrase::new(std::fs::read_to_string(keys.join(file))?)?),
        None => None,
    };
    let mut found = Vec::new();
    for entry in list.get("key").and_then(toml::Value::as_array).into_iter().flatten() {
        let field = |name: &str| entry.get(name).and_then(toml::Value::as_str);
        let (Some(agency), Some(path)) = (field("agency"), field("file")) else { continue };
        let agency: OrgId = agency.parse()?;
        if field("role") != Some(role) || !wanted(&found, &agency) {
            continue;
        }
        let text = std::fs::read_to_string(keys.join(path))?;
        let opened = keyfile::decrypt(&text, KeyRole::Member, passphrase.as_ref())?;
        found.push(Officer {
            chain_id: genesis.chain_id(),
            agency,
            key: opened.secret,
            basis: basis.clone(),
        });
    }
    Ok(found)
}

impl Officer {
    /// The fingerprint of an invented document.
    ///
    /// # Panics
    /// When the rules for building a record do not allow it.
    pub fn fingerprint(&self, document: &Document<'_>) -> Filed {
        let filing = Filing {
            chain_id: self.chain_id,
            agency: self.agency.clone(),
            dedupe_key: document.dedupe_key,
            idempotency_key: document.idempotency_key,
            record_type: RecordType::DocFingerprint,
            version: 1,
            class: Class::P0,
            subject_kind: SubjectKind::None,
            legal_basis: Some(self.basis.clone()),
            salt: document.salt,
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        };
        file(&filing, &document.body()).expect("a filing that obeys the rules")
    }

    /// Signs operations with their bodies.
    pub fn sign_until(&self, valid_until_ms: u64, operations: Vec<(Operation, Option<Body>)>) -> Submission {
        submission(self.chain_id, &self.key, valid_until_ms, false, operations)
    }
}
