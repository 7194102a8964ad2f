//! The clerks whose records are filed, and the transactions they sign before the clock starts.

use std::path::Path;

use chain_core::codec::encode;
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use chain_core::id::TxId;

use super::{BenchResult, machine, stop};
use crate::officer::{Document, Officer, now_ms, officers};

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
    /// One of each agency.
    clerks: Vec<Officer>,
    /// Makes the records of this run differ from those of every other.
    run: Digest,
    next: u64,
}

impl City {
    /// Reads clerks' keys from a key ring.
    pub(super) fn open(genesis: &Genesis, keys: &Path) -> BenchResult<Self> {
        let clerks = officers(genesis, keys, "clerk", |found, agency| {
            found.len() < CLERKS_MAX && found.iter().all(|one| one.agency != *agency)
        })?;
        if clerks.is_empty() {
            return Err(format!("{} holds no clerk's key", keys.display()).into());
        }
        let run = Digest::tagged(b"bench-run", &[&now_ms().to_be_bytes(), &std::process::id().to_be_bytes()]);
        Ok(Self { clerks, run, next: 0 })
    }

    /// Signs transactions of `each` records until they hold `records`, on all cores.
    pub(super) fn sign(&mut self, records: u64, each: u64) -> BenchResult<Vec<Signed>> {
        let count = records.div_ceil(each).max(1);
        let first = self.next;
        self.next += count * each;
        let until = now_ms() + VALID_MS;
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
        let clerk = &self.clerks[usize::try_from(first / each)? % self.clerks.len()];
        let mut operations = Vec::with_capacity(usize::try_from(each)?);
        let padding = padding();
        for number in first..first + each {
            let salt = Digest::tagged(b"bench-salt", &[self.run.as_bytes(), &number.to_be_bytes()]);
            let idempotency_key = number.to_string();
            let document = Document {
                dedupe_key: self.run.as_bytes(),
                idempotency_key: &idempotency_key,
                salt,
                sha256: salt,
                padding: &padding,
            };
            let (operation, body, _) = clerk.fingerprint(&document).submit();
            operations.push((operation, body));
        }
        let submission = clerk.sign_until(valid_until_ms, operations);
        Ok(Signed { tx: submission.signed.transaction.id(), bytes: encode(&submission)?, records: each })
    }
}

/// What makes a body [`BODY_BYTES`] long.
fn padding() -> String {
    let bare = Document {
        dedupe_key: b"",
        idempotency_key: "",
        salt: Digest::ZERO,
        sha256: Digest::ZERO,
        padding: "",
    };
    ".".repeat(BODY_BYTES.saturating_sub(bare.body().len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::record::{Class, RecordType};

    #[test]
    fn bodies_have_the_stated_size_and_obey_the_rules() {
        let padding = padding();
        let document = Document {
            dedupe_key: b"",
            idempotency_key: "",
            salt: Digest::ZERO,
            sha256: Digest::tagged(b"document", &[]),
            padding: &padding,
        };
        let text = document.body();
        assert_eq!(text.len(), BODY_BYTES);
        chain_core::record::body::judge(RecordType::DocFingerprint, Class::P0, &text).unwrap();
    }
}
