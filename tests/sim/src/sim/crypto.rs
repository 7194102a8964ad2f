//! Signatures as a keyed hash: unforgeable for everything that runs inside a simulation.

use chain_core::crypto::{Digest, Signable, Signature};
use chain_core::id::ValidatorIx;
use consensus::signer::{Signer, Verifier};

fn sign(key: &Digest, preimage: &[u8]) -> Signature {
    let half = Digest::tagged(b"sim-signature", &[key.as_bytes(), preimage]);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(half.as_bytes());
    bytes[32..].copy_from_slice(key.as_bytes());
    bytes[32..].reverse();
    Signature::new(bytes)
}

fn key_of(ix: ValidatorIx) -> Digest {
    Digest::tagged(b"sim-key", &[&ix.get().to_be_bytes()])
}

/// One validator's key.
#[derive(Debug)]
pub struct SimSigner(Digest);

impl SimSigner {
    /// The key of a validator.
    pub fn new(ix: ValidatorIx) -> Self {
        Self(key_of(ix))
    }
}

impl Signer for SimSigner {
    fn sign(&self, value: &dyn Signable) -> Signature {
        sign(&self.0, &value.preimage())
    }
}

/// Checks everybody's signatures.
#[derive(Debug)]
pub struct SimVerifier(Vec<Digest>);

impl SimVerifier {
    /// Keys of `n` validators.
    pub fn new(n: u16) -> Self {
        Self((0..n).map(|ix| key_of(ValidatorIx::new(ix))).collect())
    }
}

impl Verifier for SimVerifier {
    fn verify(&self, signer: ValidatorIx, value: &dyn Signable, signature: &Signature) -> bool {
        self.0.get(signer.index()).is_some_and(|key| sign(key, &value.preimage()) == *signature)
    }
}
