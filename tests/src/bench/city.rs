//! The clerks whose records are filed, and the transactions they sign before the clock starts.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chain_core::build::{Filing, file, submission};
use chain_core::codec::encode;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::genesis::{Genesis, KeyRole};
use chain_core::id::TxId;
use chain_core::keyfile::{self, Passphrase};
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};

use super::{BenchResult, machine, stop};

/// Bytes of every body.
pub(super) const BODY_BYTES: usize = 300;
/// How long the transactions stay valid.
const VALID_MS: u64 = 6 * 60 * 60 * 1000;
/// Clerks that sign; each key file costs a tenth of a second to open.
const CLERKS_MAX: usize = 11;

/// One signed transaction, as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// Its id.
    pub(super) tx: TxId,
    /// Encoded submission.
    pub(super) bytes: Vec<u8>,
    /// Records in it.
    pub(super) records: u64,
}

/// Who signs.
#[derive(Debug)]
pub(super) struct City {
    genesis: Genesis,
    basis: BasisRef,
    clerks: Vec<(String, SecretKey)>,
    /// Makes the records of this run differ from those of every other.
    run: Digest,
    next: u64,
}

impl City {
    /// Reads clerks' keys from a key ring.
    pub(super) fn open(genesis: &Genesis, keys: &Path) -> BenchResult<Self> {
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
        let mut clerks: Vec<(String, SecretKey)> = Vec::new();
        for entry in list.get("key").and_then(toml::Value::as_array).into_iter().flatten() {
            let field = |name: &str| entry.get(name).and_then(toml::Value::as_str);
            let (Some("clerk"), Some(agency), Some(path)) = (field("role"), field("agency"), field("file"))
            else {
                continue;
            };
            if clerks.len() < CLERKS_MAX && !clerks.iter().any(|(known, _)| known == agency) {
                let text = std::fs::read_to_string(keys.join(path))?;
                let opened = keyfile::decrypt(&text, KeyRole::Member, passphrase.as_ref())?;
                clerks.push((agency.to_owned(), opened.secret));
            }
        }
        if clerks.is_empty() {
            return Err(format!("{} holds no clerk's key", keys.display()).into());
        }
        let run =
            Digest::tagged(b"bench-run", &[&now_ms()?.to_be_bytes(), &std::process::id().to_be_bytes()]);
        Ok(Self { genesis: genesis.clone(), basis, clerks, run, next: 0 })
    }

    /// Signs transactions of `each` records until they hold `records`, on all cores.
    pub(super) fn sign(&mut self, records: u64, each: u64) -> BenchResult<Vec<Signed>> {
        let count = records.div_ceil(each).max(1);
        let first = self.next;
        self.next += count * each;
        let until = now_ms()? + VALID_MS;
        let threads = machine::cores() as u64;
        let city = &*self;
        let parts: Vec<BenchResult<Vec<(u64, Signed)>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    scope.spawn(move || {
                        let mine = (worker..count).step_by(usize::try_from(threads).unwrap_or(1));
                        mine.map(|at| {
                            stop::check()?;
                            Ok((at, city.transaction(first + at * each, each, until)?))
                        })
                        .collect()
                    })
                })
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(|part| part.unwrap_or_else(|_| Err("a signing thread panicked".into()))).collect()
        });
        let mut signed = Vec::with_capacity(usize::try_from(count)?);
        for part in parts {
            signed.extend(part?);
        }
        signed.sort_unstable_by_key(|(at, _)| *at);
        Ok(signed.into_iter().map(|(_, one)| one).collect())
    }

    fn transaction(&self, first: u64, each: u64, valid_until_ms: u64) -> BenchResult<Signed> {
        let chain_id = self.genesis.chain_id();
        let (agency, key) = &self.clerks[usize::try_from(first / each)? % self.clerks.len()];
        let agency: chain_core::org::OrgId = agency.parse()?;
        let mut operations = Vec::with_capacity(usize::try_from(each)?);
        for number in first..first + each {
            let salt = Digest::tagged(b"bench-salt", &[self.run.as_bytes(), &number.to_be_bytes()]);
            let filing = Filing {
                chain_id,
                agency: agency.clone(),
                dedupe_key: self.run.as_bytes(),
                idempotency_key: &number.to_string(),
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
            let (operation, body, _) = file(&filing, &body(&salt))?.submit();
            operations.push((operation, body));
        }
        let submission = submission(chain_id, key, valid_until_ms, false, operations);
        Ok(Signed { tx: submission.signed.transaction.id(), bytes: encode(&submission)?, records: each })
    }
}

/// The fingerprint of a document, padded to [`BODY_BYTES`].
fn body(document: &Digest) -> String {
    let with = |pad: &str| {
        format!(
            concat!(
                r#"{{"custody":[{{"lang":"en","text":"registry{}"}}],"media_type":"application/pdf","#,
                r#""origin":{{"method":"manual","system":"registry"}},"purpose":"archive","sha256":"{}","size":4096}}"#
            ),
            pad, document
        )
    };
    let bare = with("").len();
    with(&".".repeat(BODY_BYTES.saturating_sub(bare)))
}

fn now_ms() -> BenchResult<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_stated_size_and_obey_the_rules() {
        let text = body(&Digest::tagged(b"document", &[]));
        assert_eq!(text.len(), BODY_BYTES);
        chain_core::record::body::judge(RecordType::DocFingerprint, Class::P0, &text).unwrap();
    }
}
