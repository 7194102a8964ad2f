//! Signatures as a keyed hash: unforgeable for everything that runs inside a simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

fn key_of(name: u16, generation: u16) -> Digest {
    let name = name.to_be_bytes();
    match generation {
        0 => Digest::tagged(b"sim-key", &[&name]),
        _ => Digest::tagged(b"sim-key", &[&name, &generation.to_be_bytes()]),
    }
}

/// One validator's key.
#[derive(Clone, Debug)]
pub struct SimSigner(Digest);

impl SimSigner {
    /// The first key of a validator.
    pub fn new(ix: ValidatorIx) -> Self {
        Self(key_of(ix.get(), 0))
    }

    /// A key of a member whose place in the validator set may change, and whose key may be replaced.
    pub fn of(name: u16, generation: u16) -> Self {
        Self(key_of(name, generation))
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
    /// First keys of `n` validators.
    pub fn new(n: u16) -> Self {
        Self::of((0..n).map(|ix| (ix, 0)))
    }

    /// Keys by name and generation, in the order of the validator set.
    pub fn of(members: impl IntoIterator<Item = (u16, u16)>) -> Self {
        Self(members.into_iter().map(|(name, generation)| key_of(name, generation)).collect())
    }
}

impl Verifier for SimVerifier {
    fn verify(&self, signer: ValidatorIx, value: &dyn Signable, signature: &Signature) -> bool {
        self.0.get(signer.index()).is_some_and(|key| sign(key, &value.preimage()) == *signature)
    }
}

/// Counts the checks that another verifier makes.
pub struct Counting {
    inner: Box<dyn Verifier>,
    checks: Arc<AtomicU64>,
}

impl std::fmt::Debug for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counting({})", self.checks.load(Ordering::Relaxed))
    }
}

impl Counting {
    /// Adds to `checks` for every signature that `inner` looks at.
    pub fn new(inner: Box<dyn Verifier>, checks: Arc<AtomicU64>) -> Self {
        Self { inner, checks }
    }
}

impl Verifier for Counting {
    fn verify(&self, signer: ValidatorIx, value: &dyn Signable, signature: &Signature) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.inner.verify(signer, value, signature)
    }
}
