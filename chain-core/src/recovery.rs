//! The way out of a lost quorum: agencies' recovery keys say from which block, and with whom, a chain goes on.
//!
//! When so many validators are gone for good that no quorum is left, no block and so no governance can put
//! others in their place. Then M of the recovery keys that the genesis names sign one [`RecoveryAct`]. It ends
//! the epoch at a final block as a closing block would, and stays in the record log for ever, so that nobody
//! can take such a step unseen. `docs/adr/0008-way-out-of-a-lost-quorum.md` says what it costs.

mod file;

use serde::{Deserialize, Serialize};

pub use file::{ACT_BYTES_MAX, ACT_SCHEMA};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::codec::Wire;
use crate::committee::Committee;
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::epoch::{EpochError, HandOver};
use crate::genesis::NAME_MAX;
use crate::id::{ChainId, Epoch, Height, RecordId};
use crate::layout::{Layout, read_list, write_list};
use crate::operation::NOTE_BYTES_MAX;
use crate::org::OrgId;
use crate::record::governance::check_text;
use crate::record::validator::ValidatorDetails;

/// Most recovery keys of a chain.
pub const RECOVERY_KEYS_MAX: usize = 100;

/// The key of one agency for the day when no quorum is left; kept offline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryKey {
    /// Short name, unique: lower-case letters, digits and inner hyphens, at most 40 bytes.
    pub name: String,
    /// The agency that keeps it; each has one at most.
    pub agency: OrgId,
    /// The key.
    pub key: PublicKey,
}

impl Layout for RecoveryKey {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.name);
        self.agency.write(writer);
        writer.public_key(&self.key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { name: reader.text(NAME_MAX)?, agency: OrgId::read(reader)?, key: reader.public_key()? })
    }
}

/// All recovery keys of a chain, and how many of them decide.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecoveryKeys {
    threshold: u16,
    keys: Vec<RecoveryKey>,
}

/// Recovery keys that a genesis may not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecoveryKeysError {
    /// Too few or too many.
    #[error("{0} recovery keys, wants 2 to {RECOVERY_KEYS_MAX}")]
    Count(usize),
    /// Two that are not more than half could decide against each other.
    #[error("a threshold of {threshold} among {keys} recovery keys, wants more than half and at most all")]
    Threshold {
        /// The threshold.
        threshold: u16,
        /// How many keys there are.
        keys: usize,
    },
    /// A name, a key or an agency stands there twice.
    #[error("recovery key {0} shares its name, key or agency with another")]
    Shared(String),
}

impl RecoveryKeys {
    /// Checks and wraps recovery keys.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn new(threshold: u16, keys: Vec<RecoveryKey>) -> Result<Self, RecoveryKeysError> {
        if !(2..=RECOVERY_KEYS_MAX).contains(&keys.len()) {
            return Err(RecoveryKeysError::Count(keys.len()));
        }
        let decisive = 2 * usize::from(threshold) > keys.len() && usize::from(threshold) <= keys.len();
        if !decisive {
            return Err(RecoveryKeysError::Threshold { threshold, keys: keys.len() });
        }
        for (at, one) in keys.iter().enumerate() {
            let same = |other: &RecoveryKey| {
                other.name == one.name || other.key == one.key || other.agency == one.agency
            };
            if keys[..at].iter().any(same) {
                return Err(RecoveryKeysError::Shared(one.name.clone()));
            }
        }
        Ok(Self { threshold, keys })
    }

    /// How many must sign: M.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// All of them.
    pub fn keys(&self) -> &[RecoveryKey] {
        &self.keys
    }
}

impl Layout for RecoveryKeys {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.threshold);
        write_list(writer, &self.keys);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let threshold = reader.u16()?;
        let keys = read_list(reader, RECOVERY_KEYS_MAX)?;
        Self::new(threshold, keys).map_err(|_| reader.error("these recovery keys could decide nothing"))
    }
}

/// What the agencies agree on: where the chain goes on, and with whom.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryAct {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch that ends.
    pub epoch: Epoch,
    /// Height of its last block.
    pub height: Height,
    /// Digest of that block: the newest final one that the agencies know.
    pub block_digest: Digest,
    /// The validators of the next epoch.
    pub next: Committee,
    /// What happened, 1 to [`NOTE_BYTES_MAX`] bytes; public for ever, so without persons' data.
    pub reason: String,
    /// When it was drawn up, milliseconds since 1970.
    pub time_ms: u64,
}

impl RecoveryAct {
    /// SHA-256 over tag and canonical layout.
    pub fn digest(&self) -> Digest {
        Digest::tagged(b"cityledger/recovery/1", &[&self.to_canonical()])
    }

    /// Under which record id its leaf is found.
    pub fn record(&self) -> RecordId {
        RecordId::new(self.digest())
    }

    /// Checks what the act says, for a chain in an epoch, without a look at any signature; gives the next set.
    ///
    /// # Errors
    /// Names the first flaw.
    pub fn check(&self, chain_id: ChainId, epoch: Epoch) -> Result<&Committee, RecoveryError> {
        if self.chain_id != chain_id {
            return Err(RecoveryError::Chain(self.chain_id));
        }
        if self.epoch != epoch {
            return Err(RecoveryError::Epoch { got: self.epoch, want: epoch });
        }
        let want = epoch.next();
        if self.next.epoch() != want {
            return Err(RecoveryError::NextEpoch { got: self.next.epoch(), want });
        }
        if check_text("reason", &self.reason, NOTE_BYTES_MAX).is_err() {
            return Err(RecoveryError::Reason);
        }
        for one in self.next.validators() {
            if ValidatorDetails::unproven(one).is_err() {
                return Err(RecoveryError::Validator(crate::text::shown(&one.name)));
            }
        }
        Ok(&self.next)
    }

    /// Signs with one agency's recovery key.
    pub fn sign(&self, secret: &SecretKey) -> RecoverySignature {
        RecoverySignature { key: secret.public(), signature: secret.sign(self) }
    }
}

impl Layout for RecoveryAct {
    fn write(&self, writer: &mut Writer) {
        writer.digest(self.chain_id.digest()).u64(self.epoch.get()).u64(self.height.get());
        writer.digest(&self.block_digest);
        self.next.write(writer);
        writer.text(&self.reason).u64(self.time_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            chain_id: ChainId::new(reader.digest()?),
            epoch: Epoch::new(reader.u64()?),
            height: Height::new(reader.u64()?),
            block_digest: reader.digest()?,
            next: Committee::read(reader)?,
            reason: reader.text(NOTE_BYTES_MAX)?,
            time_ms: reader.u64()?,
        })
    }
}

impl Signable for RecoveryAct {
    /// Kind 17: domain, kind, chain, epoch, height, block digest, digest of the act.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(17).digest(self.chain_id.digest()).u64(self.epoch.get());
        writer.u64(self.height.get()).digest(&self.block_digest).digest(&self.digest());
        writer.finish()
    }
}

/// One agency's signature of an act.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoverySignature {
    /// The recovery key.
    pub key: PublicKey,
    /// Over [`RecoveryAct`].
    pub signature: Signature,
}

impl Layout for RecoverySignature {
    fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key).signature(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { key: reader.public_key()?, signature: reader.signature()? })
    }
}

/// An act with the signatures that make it binding.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedRecovery {
    /// What was agreed.
    pub act: RecoveryAct,
    /// Signatures, by ascending key.
    pub signatures: Vec<RecoverySignature>,
}

impl Wire for SignedRecovery {
    const LIMIT: usize = Committee::LIMIT + RECOVERY_KEYS_MAX * 96 + 4096;
}

impl Layout for SignedRecovery {
    fn write(&self, writer: &mut Writer) {
        self.act.write(writer);
        write_list(writer, &self.signatures);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { act: RecoveryAct::read(reader)?, signatures: read_list(reader, RECOVERY_KEYS_MAX)? })
    }
}

/// Why an act binds nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecoveryError {
    /// Made for another chain.
    #[error("the act is of chain {0}")]
    Chain(ChainId),
    /// It ends another epoch than the one in force.
    #[error("the act ends epoch {got}, in force is {want}")]
    Epoch {
        /// Epoch found.
        got: Epoch,
        /// Epoch in force.
        want: Epoch,
    },
    /// The next set is not of the epoch after.
    #[error("the act's validators are of epoch {got}, wants {want}")]
    NextEpoch {
        /// Epoch found.
        got: Epoch,
        /// The epoch after the one that ends.
        want: Epoch,
    },
    /// The reason is empty, too long or holds what may not be public.
    #[error("the act's reason is empty, too long or may not be public")]
    Reason,
    /// A validator of the next set is not described as the state wants it.
    #[error("validator {0} of the act: name, agency or address is malformed")]
    Validator(String),
    /// A signature of no recovery key, or keys not ascending.
    #[error("key {0} is no recovery key of this chain, or stands out of order")]
    Signer(String),
    /// One signature does not verify; the whole act falls with it.
    #[error("the signature of recovery key {0} does not verify")]
    BadSignature(String),
    /// Too few.
    #[error("{have} signatures, needs {need}")]
    Short {
        /// Signatures found.
        have: usize,
        /// The threshold.
        need: u16,
    },
}

impl RecoveryError {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Self::Chain(_) => Code::GenesisMismatch,
            Self::Epoch { .. } => Code::RecoveryEpoch,
            Self::Short { .. } => Code::RecoveryShort,
            _ => Code::RecoveryInvalid,
        }
    }

    /// The refusal that states it.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(self.code(), self.to_string())
    }
}

impl SignedRecovery {
    /// Puts signatures of one act in order; one of each key.
    pub fn new(act: RecoveryAct, mut signatures: Vec<RecoverySignature>) -> Self {
        signatures.sort_by_key(|one| one.key);
        signatures.dedup_by_key(|one| one.key);
        Self { act, signatures }
    }

    /// Verifies the act for a chain in an epoch; gives the next set. That the block it names is final in that
    /// epoch is for whoever holds the blocks to check.
    ///
    /// # Errors
    /// Names the first flaw; one bad signature condemns the act.
    pub fn verify(
        &self,
        chain_id: ChainId,
        epoch: Epoch,
        keys: &RecoveryKeys,
    ) -> Result<&Committee, RecoveryError> {
        let next = self.act.check(chain_id, epoch)?;
        self.check_signatures(keys)?;
        if self.signatures.len() < usize::from(keys.threshold) {
            return Err(RecoveryError::Short { have: self.signatures.len(), need: keys.threshold });
        }
        Ok(next)
    }

    /// Checks the signatures that there are, however few.
    ///
    /// # Errors
    /// Names the first that is none of this chain's recovery keys, out of order, or does not verify.
    pub fn check_signatures(&self, keys: &RecoveryKeys) -> Result<(), RecoveryError> {
        for (at, one) in self.signatures.iter().enumerate() {
            let known = keys.keys.iter().any(|known| known.key == one.key);
            let ascending = at == 0 || self.signatures[at - 1].key < one.key;
            if !known || !ascending {
                return Err(RecoveryError::Signer(one.key.short()));
            }
            if !one.key.verify(&self.act, &one.signature) {
                return Err(RecoveryError::BadSignature(one.key.short()));
            }
        }
        Ok(())
    }

    /// The same act with one more signature.
    #[must_use]
    pub fn with(self, signature: RecoverySignature) -> Self {
        let mut signatures = self.signatures;
        signatures.retain(|one| one.key != signature.key);
        signatures.push(signature);
        Self::new(self.act, signatures)
    }

    /// Whether the holder of a recovery key signed.
    pub fn is_signed_by(&self, key: &RecoveryKey) -> bool {
        self.signatures.iter().any(|one| one.key == key.key)
    }
}

/// How one epoch gave way to the next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Passage {
    /// Its own validators closed it.
    HandOver(HandOver),
    /// The agencies ended it after its quorum was lost.
    Recovery(SignedRecovery),
}

/// Why a chain of passages does not lead from the first validator set to a later one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PassageError {
    /// A hand-over proves nothing.
    #[error("a hand-over does not verify")]
    HandOver(#[from] EpochError),
    /// An act of recovery binds nobody.
    #[error("an act of recovery does not verify")]
    Recovery(#[from] RecoveryError),
    /// An act of recovery in a chain whose genesis names no keys for it.
    #[error("the genesis of this chain names no recovery keys")]
    NoKeys,
}

/// Walks from the first validator set to that of the epoch after the last passage, acts of recovery included.
///
/// # Errors
/// At the first passage that does not follow from the set before it, with its flaw.
pub fn verify_passages(
    chain_id: ChainId,
    genesis: &Committee,
    keys: Option<&RecoveryKeys>,
    passages: &[Passage],
) -> Result<Committee, PassageError> {
    let mut committee = genesis;
    for passage in passages {
        committee = match passage {
            Passage::HandOver(hand_over) => hand_over.verify(chain_id, committee)?,
            Passage::Recovery(recovery) => {
                recovery.verify(chain_id, committee.epoch(), keys.ok_or(PassageError::NoKeys)?)?
            }
        };
    }
    Ok(committee.clone())
}

#[cfg(test)]
mod tests;
