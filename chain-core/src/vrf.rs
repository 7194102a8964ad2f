//! A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381.
//!
//! Whoever holds the secret key maps every text to one output that looks random to everybody else, and can prove that it
//! is this one; nobody can prove another output for the same text, not even the holder of the key. The ledger finds
//! organisations by it, see [`crate::subject`].
//!
//! Only what the RFC fixes is here: section 5.1 to 5.4 with the parameters of section 5.5, suite 0x03. The arithmetic is
//! curve25519-dalek's. Hashing to the curve takes a time that depends on the text, which is no secret among those who
//! hold the key (RFC 9381, 7.4).

use std::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use crate::crypto::{Digest, PublicKey};

/// ECVRF-EDWARDS25519-SHA512-TAI.
const SUITE: u8 = 3;
const ENCODE_TO_CURVE: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF_TO_HASH: u8 = 3;
/// Every domain ends with it.
const BACK: u8 = 0;
const CHALLENGE_BYTES: usize = 16;
/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32 + CHALLENGE_BYTES + 32;

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = Sha512::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// A point in its one encoding; none for bytes that RFC 8032, 5.1.3 does not decode.
fn point(bytes: [u8; 32]) -> Option<EdwardsPoint> {
    let compressed = CompressedEdwardsY(bytes);
    compressed.decompress().filter(|point| point.compress() == compressed)
}

/// The point of a text (5.4.1.1, try and increment); the salt is the public key.
fn encode_to_curve(key: &PublicKey, text: &[u8]) -> EdwardsPoint {
    // Each try succeeds with a chance of one half; 256 failures in a row do not happen.
    for count in 0..=u8::MAX {
        let hash = sha512(&[&[SUITE, ENCODE_TO_CURVE], key.as_bytes(), text, &[count, BACK]]);
        let (half, _) = hash.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
        let found = point(*half).map(|point| point.mul_by_cofactor());
        if let Some(found) = found.filter(|found| !found.is_identity()) {
            return found;
        }
    }
    EdwardsPoint::default()
}

/// The challenge over five points (5.4.3).
fn challenge(key: &PublicKey, points: [EdwardsPoint; 4]) -> [u8; CHALLENGE_BYTES] {
    let [h, gamma, u, v] = points.map(|point| point.compress().to_bytes());
    let hash = sha512(&[&[SUITE, CHALLENGE], key.as_bytes(), &h, &gamma, &u, &v, &[BACK]]);
    let mut challenge = [0; CHALLENGE_BYTES];
    challenge.copy_from_slice(&hash[..CHALLENGE_BYTES]);
    challenge
}

fn scalar_of(challenge: &[u8; CHALLENGE_BYTES]) -> Scalar {
    let mut bytes = [0; 32];
    bytes[..CHALLENGE_BYTES].copy_from_slice(challenge);
    Scalar::from_bytes_mod_order(bytes)
}

/// The output of a proof (5.2).
fn output(gamma: &EdwardsPoint) -> [u8; 64] {
    let gamma = gamma.mul_by_cofactor().compress().to_bytes();
    sha512(&[&[SUITE, PROOF_TO_HASH], &gamma, &[BACK]])
}

/// A secret key, made from 32 random bytes as RFC 8032 makes an Ed25519 key.
pub struct VrfSecret {
    scalar: Zeroizing<Scalar>,
    /// The second half of the hashed seed: what nonces are made of.
    prefix: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl fmt::Debug for VrfSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfSecret({})", self.public)
    }
}

impl VrfSecret {
    /// From a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let hashed = Zeroizing::new(sha512(&[seed]));
        let (mut low, mut prefix) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        low.copy_from_slice(&hashed[..32]);
        prefix.copy_from_slice(&hashed[32..]);
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*low)));
        let public = PublicKey::new(EdwardsPoint::mul_base(&scalar).compress().to_bytes());
        Self { scalar, prefix, public }
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The output for a text, without a proof: a third of the work.
    pub fn output(&self, text: &[u8]) -> [u8; 64] {
        output(&(encode_to_curve(&self.public, text) * *self.scalar))
    }

    /// The proof of the output for a text (5.1).
    pub fn prove(&self, text: &[u8]) -> VrfProof {
        let h = encode_to_curve(&self.public, text);
        let gamma = h * *self.scalar;
        let wide = Zeroizing::new(sha512(&[&*self.prefix, h.compress().as_bytes()]));
        let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
        let challenge = challenge(&self.public, [h, gamma, EdwardsPoint::mul_base(&nonce), h * *nonce]);
        let response = *nonce + scalar_of(&challenge) * *self.scalar;
        let mut bytes = [0; PROOF_BYTES];
        bytes[..32].copy_from_slice(gamma.compress().as_bytes());
        bytes[32..48].copy_from_slice(&challenge);
        bytes[48..].copy_from_slice(response.as_bytes());
        VrfProof(bytes)
    }
}

/// A proof that a text has an output under a public key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct VrfProof([u8; PROOF_BYTES]);

impl VrfProof {
    /// The output, if the proof holds for a text under a key that was checked (5.3).
    pub fn verify(&self, key: &PublicKey, text: &[u8]) -> Option<[u8; 64]> {
        let (gamma, rest) = self.0.split_first_chunk::<32>()?;
        let (sent, response) = rest.split_first_chunk::<CHALLENGE_BYTES>()?;
        let gamma = point(*gamma)?;
        let response = Option::<Scalar>::from(Scalar::from_canonical_bytes(response.try_into().ok()?))?;
        // A key of small order has many outputs for one text (5.4.5).
        let public = point(*key.as_bytes()).filter(|public| !public.is_small_order())?;
        let h = encode_to_curve(key, text);
        let minus = -scalar_of(sent);
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&minus, &public, &response);
        let v = h * response + gamma * minus;
        (challenge(key, [h, gamma, u, v]) == *sent).then(|| output(&gamma))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; PROOF_BYTES] {
        &self.0
    }
}

impl fmt::Display for VrfProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for VrfProof {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VrfProof {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        // Gamma and the scalar have the length of a digest each; the challenge stands between them.
        let text = String::deserialize(deserializer)?;
        let (gamma, rest) =
            text.split_at_checked(64).ok_or_else(|| D::Error::custom("a proof of 160 digits"))?;
        let (middle, response) =
            rest.split_at_checked(32).ok_or_else(|| D::Error::custom("a proof of 160 digits"))?;
        let half = |text: &str| text.parse::<Digest>().map_err(D::Error::custom);
        let (gamma, response) = (half(gamma)?, half(response)?);
        let challenge = half(&format!("{middle}{}", "0".repeat(32)))?;
        let mut bytes = [0; PROOF_BYTES];
        bytes[..32].copy_from_slice(gamma.as_bytes());
        bytes[32..48].copy_from_slice(&challenge.as_bytes()[..CHALLENGE_BYTES]);
        bytes[48..].copy_from_slice(response.as_bytes());
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seed(text: &str) -> [u8; 32] {
        *text.parse::<Digest>().unwrap().as_bytes()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 9381, B.3, examples 16 to 18: secret key, public key, text, proof, output.
    const EXAMPLES: [(&str, &str, &[u8], &str, &str); 3] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            b"\xaf\x82",
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c452118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
        ),
    ];

    #[test]
    fn the_examples_of_the_standard_come_out_byte_for_byte() {
        for (secret, public, text, proof, out) in EXAMPLES {
            let key = VrfSecret::from_seed(&seed(secret));
            assert_eq!(key.public().to_string(), public);
            let made = key.prove(text);
            assert_eq!(made.to_string(), proof);
            assert_eq!(hex(&key.output(text)), out);
            assert_eq!(made.verify(&key.public(), text).map(|out| hex(&out)).as_deref(), Some(out));
            let json = serde_json::to_string(&made).unwrap();
            assert_eq!(serde_json::from_str::<VrfProof>(&json).unwrap(), made);
        }
        for flaw in
            ["\"\"".to_owned(), format!("\"{}\"", "0".repeat(159)), format!("\"{}\"", "g".repeat(160))]
        {
            assert!(serde_json::from_str::<VrfProof>(&flaw).is_err(), "{flaw}");
        }
    }

    #[test]
    fn no_bit_of_a_proof_may_change() {
        let key = VrfSecret::from_seed(&[7; 32]);
        let text = b"uscc:91440300100012316L";
        let good = key.prove(text);
        for bit in 0..8 * PROOF_BYTES {
            let mut forged = good;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(forged.verify(&key.public(), text), None, "bit {bit}");
        }
        assert_eq!(good.verify(&key.public(), b"uscc:91440300100012316M"), None);
        assert_eq!(good.verify(&VrfSecret::from_seed(&[8; 32]).public(), text), None);
    }

    /// RFC 8032, 5.1.3: y below the prime, and no sign for x = 0.
    #[test]
    fn a_point_has_one_encoding() {
        let mut above = [0xff; 32];
        (above[0], above[31]) = (0xee, 0x7f);
        let mut signed = [0; 32];
        (signed[0], signed[31]) = (1, 0x80);
        for bytes in [above, signed] {
            assert!(CompressedEdwardsY(bytes).decompress().is_some(), "only the spelling is wrong");
            assert_eq!(point(bytes), None);
        }
        assert_eq!(point(EdwardsPoint::default().compress().to_bytes()), Some(EdwardsPoint::default()));
    }

    /// With a key of small order every text would have an output for whoever asks: the same one.
    #[test]
    fn keys_of_small_order_prove_nothing() {
        let identity = PublicKey::new(EdwardsPoint::default().compress().to_bytes());
        // With the scalar zero the equations hold for this key.
        let h = encode_to_curve(&identity, b"text");
        let none = EdwardsPoint::default();
        let nonce = Scalar::from(5_u64);
        let sent = challenge(&identity, [h, none, EdwardsPoint::mul_base(&nonce), h * nonce]);
        let mut forged = VrfProof([0; PROOF_BYTES]);
        forged.0[..32].copy_from_slice(none.compress().as_bytes());
        forged.0[32..48].copy_from_slice(&sent);
        forged.0[48..].copy_from_slice(nonce.as_bytes());
        assert_eq!(forged.verify(&identity, b"text"), None);
    }

    proptest! {
        #[test]
        fn what_is_proved_is_what_comes_out(secret: [u8; 32], text in prop::collection::vec(any::<u8>(), 0..64)) {
            let key = VrfSecret::from_seed(&secret);
            let out = key.prove(&text).verify(&key.public(), &text);
            prop_assert_eq!(out, Some(key.output(&text)));
        }
    }
}
