//! Digests, keys and signatures: the one place that names algorithms.
//!
//! Suite 1, fixed by genesis: SHA-256 (FIPS 180-4) and pure Ed25519 (RFC 8032). Signatures are judged by
//! one predicate only, [`PublicKey::verify`], which is `verify_strict` of ed25519-dalek: it refuses
//! small-order keys and non-canonical encodings, so every validator reaches the same verdict.
//!
//! There is no `sign(bytes)`: a key signs a value that implements [`Signable`], and each such type has its
//! own domain-separated, fixed-layout preimage.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::KeypairBytes;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Tag at the start of every signed preimage.
pub const SIGNATURE_DOMAIN: &[u8; 13] = b"CITYLEDGER-V1";

/// The algorithms of a chain: 1 is SHA-256 with Ed25519. Chosen by genesis, never by a message.
pub const SUITE: u8 = 1;

macro_rules! fixed_bytes {
    ($name:ident, $len:expr, $what:literal) => {
        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps raw bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: [u8; 16] = *b"0123456789abcdef";
                let mut text = [0; 2 * $len];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in &self.0[..4] {
                    write!(f, "{byte:02x}")?;
                }
                write!(f, "…")
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                decode_hex(text, &mut bytes, $what)?;
                Ok(Self(bytes))
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    use serde::ser::SerializeTuple as _;
                    let mut tuple = serializer.serialize_tuple($len)?;
                    for byte in &self.0 {
                        tuple.serialize_element(byte)?;
                    }
                    tuple.end()
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} lower-case hexadecimal digits", 2 * $len)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<$name, A::Error> {
                        let mut bytes = [0; $len];
                        for (at, byte) in bytes.iter_mut().enumerate() {
                            *byte = seq
                                .next_element()?
                                .ok_or_else(|| serde::de::Error::invalid_length(at, &self))?;
                        }
                        Ok($name(bytes))
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Visitor)
                } else {
                    deserializer.deserialize_tuple($len, Visitor)
                }
            }
        }
    };
}

/// A SHA-256 digest.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);
fixed_bytes!(Digest, 32, "digest");

impl Digest {
    /// All zero bytes: the digest "before the first" of a hash chain.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 over `tag` and then each part, nothing between them: the layout must be unambiguous by
    /// itself (fixed lengths, or lengths written before variable parts).
    pub fn tagged(tag: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(tag);
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The first eight bytes as a big-endian number.
    pub fn prefix_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }
}

/// SHA-256 of bytes that come piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// Takes the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    pub fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// HMAC-SHA-256 (RFC 2104) of the concatenated parts.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Digest {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts every key length");
    for part in parts {
        mac.update(part);
    }
    Digest(mac.finalize().into_bytes().into())
}

/// Text that is not the hexadecimal form of a fixed-length value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HexError {
    /// Wrong number of characters.
    #[error("{what} has {got} characters, wants {want}")]
    Length {
        /// What was being read.
        what: &'static str,
        /// Characters found.
        got: usize,
        /// Characters wanted.
        want: usize,
    },
    /// Not a lower-case hexadecimal digit.
    #[error("{what} has a character at {at} that is no lower-case hexadecimal digit")]
    Character {
        /// What was being read.
        what: &'static str,
        /// Offset of the character.
        at: usize,
    },
}

fn decode_hex(text: &str, out: &mut [u8], what: &'static str) -> Result<(), HexError> {
    let digits = text.as_bytes();
    if digits.len() != out.len() * 2 {
        return Err(HexError::Length { what, got: digits.len(), want: out.len() * 2 });
    }
    let value = |at: usize| match digits[at] {
        digit @ b'0'..=b'9' => Ok(digit - b'0'),
        digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HexError::Character { what, at }),
    };
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = value(2 * at)? << 4 | value(2 * at + 1)?;
    }
    Ok(())
}

/// An Ed25519 public key as 32 bytes. Holding one does not mean it decodes: [`PublicKey::check`] does.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicKey([u8; 32]);
fixed_bytes!(PublicKey, 32, "public key");

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signature([u8; 64]);
fixed_bytes!(Signature, 64, "signature");

impl Signature {
    /// A placeholder that verifies nothing.
    pub const ZERO: Self = Self([0; 64]);
}

/// Why a public key may not be registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not the canonical encoding of a curve point.
    #[error("public key is not a canonical curve point")]
    NotCanonical,
    /// A point of small order verifies signatures nobody made.
    #[error("public key has small order")]
    SmallOrder,
    /// A torsion component makes libraries disagree about signatures.
    #[error("public key has a torsion component")]
    Torsion,
}

/// A public key decoded for repeated verification: decoding costs about a tenth of a verification.
#[derive(Clone, Debug)]
pub struct VerifyKey(VerifyingKey);

impl VerifyKey {
    /// Whether `signature` is this key's over the typed value.
    pub fn verify<T: Signable + ?Sized>(&self, value: &T, signature: &Signature) -> bool {
        self.verify_preimage(&value.preimage(), signature)
    }

    fn verify_preimage(&self, preimage: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(preimage, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }
}

impl PublicKey {
    /// Checks that the key may be registered: canonical, not of small order, torsion-free
    /// (Chalkias, Garillot, Nikolaenko 2020, "Taming the many EdDSAs").
    ///
    /// # Errors
    /// Says which of the three conditions failed.
    pub fn check(&self) -> Result<(), KeyError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotCanonical)?;
        let point = curve25519_dalek::edwards::CompressedEdwardsY(self.0)
            .decompress()
            .ok_or(KeyError::NotCanonical)?;
        if point.compress().0 != self.0 {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() {
            return Err(KeyError::SmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        Ok(())
    }

    /// Decodes the key for repeated use; `None` when it is no curve point.
    pub fn decode(&self) -> Option<VerifyKey> {
        VerifyingKey::from_bytes(&self.0).ok().map(VerifyKey)
    }

    /// Whether `signature` is this key's over the typed value.
    pub fn verify<T: Signable + ?Sized>(&self, value: &T, signature: &Signature) -> bool {
        self.decode().is_some_and(|key| key.verify(value, signature))
    }

    /// The first eight bytes in hexadecimal: enough for people to tell keys apart.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

/// A value with a fixed-layout, domain-separated preimage that a key may sign.
pub trait Signable {
    /// The exact bytes that are signed.
    fn preimage(&self) -> Vec<u8>;
}

/// An Ed25519 secret key. Not `Clone`, not serialisable, redacted in `Debug`, wiped on drop.
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().short())
    }
}

impl SecretKey {
    /// Makes the key of a 32-byte seed. The caller owns the randomness: this crate has none.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a typed value. Deterministic (RFC 8032), so signing again after a crash repeats the bytes.
    pub fn sign<T: Signable + ?Sized>(&self, value: &T) -> Signature {
        Signature(self.0.sign(&value.preimage()).to_bytes())
    }

    /// The seed, for the key file and for handing a network key to the transport. Wiped by the caller.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The key as PKCS#8 v1 (RFC 5958 without the public key, the form OpenSSL 3.0 reads).
    pub(crate) fn pkcs8_v1(&self) -> KeypairBytes {
        KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Note(&'static [u8]);
    impl Signable for Note {
        fn preimage(&self) -> Vec<u8> {
            self.0.to_vec()
        }
    }

    #[test]
    fn a_signature_holds_for_its_value_and_key_only() {
        let (one, two) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let signature = one.sign(&Note(b"act"));
        assert!(one.public().verify(&Note(b"act"), &signature));
        assert!(!one.public().verify(&Note(b"acT"), &signature));
        assert!(!two.public().verify(&Note(b"act"), &signature));
    }

    #[test]
    fn the_digest_of_pieces_is_that_of_the_whole() {
        let mut pieces = Hashing::default();
        for piece in [&b"a"[..], b"", b"bc"] {
            pieces.add(piece);
        }
        assert_eq!(pieces.digest(), Digest::tagged(b"abc", &[]));
    }

    #[test]
    fn weak_and_torsioned_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey(identity).check(), Err(KeyError::SmallOrder));
        // Identity with the sign bit set: a second encoding of the same point.
        identity[31] = 0x80;
        assert!(PublicKey(identity).check().is_err());
        // An honest key plus the point of order eight.
        let honest = SecretKey::from_seed([7; 32]).public();
        honest.check().unwrap();
        let point = curve25519_dalek::edwards::CompressedEdwardsY(honest.0).decompress().unwrap();
        let mixed = point + curve25519_dalek::constants::EIGHT_TORSION[1];
        assert_eq!(PublicKey(mixed.compress().0).check(), Err(KeyError::Torsion));
    }

    #[test]
    fn a_small_order_key_does_not_verify_anything() {
        // A = R = identity, s = 0 satisfies the cofactorless equation for every message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey(identity).verify(&Note(b"anything"), &Signature(signature)));
    }

    #[test]
    fn hex_text_round_trips_and_names_its_flaw() {
        let digest = Digest::tagged(b"t", &[b"x"]);
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!(matches!("ab".parse::<Digest>(), Err(HexError::Length { got: 2, .. })));
        let upper = digest.to_string().to_uppercase();
        assert!(matches!(upper.parse::<Digest>(), Err(HexError::Character { .. })));
    }
}
