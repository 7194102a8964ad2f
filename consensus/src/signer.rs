//! The two things consensus asks of cryptography, so that the simulator may use a keyed hash instead.

use chain_core::committee::Committee;
use chain_core::crypto::{SecretKey, Signable, Signature, VerifyKey};
use chain_core::id::ValidatorIx;

/// Signs typed values with the consensus key. Held by the safety module alone.
pub trait Signer: Send {
    /// Signs one value.
    fn sign(&self, value: &dyn Signable) -> Signature;
}

impl Signer for SecretKey {
    fn sign(&self, value: &dyn Signable) -> Signature {
        Self::sign(self, value)
    }
}

/// Verifies signatures of validators.
pub trait Verifier: Send + Sync {
    /// Whether the validator's consensus key made this signature over the value.
    fn verify(&self, signer: ValidatorIx, value: &dyn Signable, signature: &Signature) -> bool;
}

/// Verifies with the consensus keys of a committee.
#[derive(Clone, Debug)]
pub struct CommitteeKeys(Vec<Option<VerifyKey>>);

impl CommitteeKeys {
    /// Decodes every key once.
    pub fn new(committee: &Committee) -> Self {
        Self(committee.validators().iter().map(|one| one.consensus_key.decode()).collect())
    }
}

impl Verifier for CommitteeKeys {
    fn verify(&self, signer: ValidatorIx, value: &dyn Signable, signature: &Signature) -> bool {
        self.0.get(signer.index()).and_then(Option::as_ref).is_some_and(|key| key.verify(value, signature))
    }
}
