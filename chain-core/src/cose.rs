//! COSE receipts (RFC 9942): the record log's root, signed by each validator for readers of CBOR.
//!
//! A validator that cosigns a checkpoint signs its root a second time, as RFC 9942 wants it: a `COSE_Sign1`
//! (RFC 9052) whose payload is the detached root and whose protected header says by which algorithm (`alg`,
//! EdDSA), under which key (`kid`, the key id of C2SP signed-note), over which structure (`vds`, 1 for
//! `RFC9162_SHA256`), and in CWT claims (RFC 9597) who signed, about which log, when, and over how many leaves.
//! The path of a leaf stands in the unprotected header, so that one signature serves all leaves.
//!
//! The bytes are those of deterministic CBOR (RFC 8949 section 4.2.1): a reader that decodes a message and
//! encodes it again must find the same ones, so nothing in a receipt can be changed unseen.

use coset::cbor::Value;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, ProtectedHeader,
    RegisteredLabelWithPrivate, SignatureContext, TaggedCborSerializable as _, iana, sig_structure_data,
};

use crate::checkpoint::{Checkpoint, VerifierKey};
use crate::crypto::{Digest, Signable, Signature};
use crate::proof::InclusionPath;

/// Header parameter `CWT Claims` (RFC 9597).
const CLAIMS: i64 = 15;
/// Header parameter `vds` (RFC 9942).
const VDS: i64 = 395;
/// Header parameter `vdp` (RFC 9942).
const VDP: i64 = 396;
/// The structure `RFC9162_SHA256` (RFC 9942).
const RFC9162_SHA256: i64 = 1;
/// Inclusion proofs among those of `RFC9162_SHA256` (RFC 9942).
const INCLUSION: i64 = -1;
/// Claim `iss`: the validator's name.
const ISSUER: i64 = 1;
/// Claim `sub`: the log's origin.
const SUBJECT: i64 = 2;
/// Claim `iat`: when it was signed, seconds since 1970.
const ISSUED_AT: i64 = 6;
/// Claim of this profile: how many leaves the root is over. RFC 9942 leaves it unsigned.
const TREE_SIZE: &str = "tree_size";

/// What a validator signs about a root.
#[derive(Clone, Copy, Debug)]
pub struct RootStatement<'a> {
    /// The log's origin, size and root.
    pub checkpoint: &'a Checkpoint,
    /// Name of the validator that signs.
    pub cosigner: &'a str,
    /// First bytes of the digest of its key, the one that cosigns checkpoints: see [`VerifierKey::key_id`].
    pub key_id: [u8; 4],
    /// When, seconds since 1970: the time of the cosignature beside it.
    pub time_s: u64,
}

impl<'a> RootStatement<'a> {
    /// Of the validator that has this key.
    pub fn new(checkpoint: &'a Checkpoint, cosigner: &'a VerifierKey, time_s: u64) -> Self {
        Self { checkpoint, cosigner: &cosigner.name, key_id: cosigner.key_id(), time_s }
    }

    /// The protected header.
    fn protected(&self) -> Header {
        let claims = [
            (ISSUER.into(), Value::from(self.cosigner)),
            (SUBJECT.into(), Value::from(self.checkpoint.origin.as_str())),
            (ISSUED_AT.into(), Value::from(self.time_s)),
            (TREE_SIZE.into(), Value::from(self.checkpoint.size)),
        ];
        HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .key_id(self.key_id.to_vec())
            .value(CLAIMS, Value::Map(claims.into()))
            .value(VDS, RFC9162_SHA256.into())
            .build()
    }

    /// The receipt of a leaf: a tagged `COSE_Sign1` with the leaf's path and no payload.
    ///
    /// # Errors
    /// Never for what this type can hold; the encoder's error otherwise.
    pub fn receipt(&self, path: &InclusionPath, signature: &Signature) -> Result<Vec<u8>, CoseError> {
        let hashes = path.hashes.iter().map(|hash| Value::from(hash.as_bytes().as_slice())).collect();
        let proof = Value::Array(vec![path.size.into(), path.index.into(), Value::Array(hashes)]);
        let proofs = Value::Map(vec![(INCLUSION.into(), Value::Array(vec![Value::Bytes(encoded(&proof)?)]))]);
        CoseSign1Builder::new()
            .protected(self.protected())
            .unprotected(HeaderBuilder::new().value(VDP, proofs).build())
            .signature(signature.as_bytes().to_vec())
            .build()
            .to_tagged_vec()
            .map_err(CoseError::from)
    }
}

impl Signable for RootStatement<'_> {
    /// `Sig_structure` of RFC 9052 section 4.4. No other preimage begins like this array of four.
    fn preimage(&self) -> Vec<u8> {
        let protected = ProtectedHeader { original_data: None, header: self.protected() };
        let root = self.checkpoint.root.as_bytes();
        sig_structure_data(SignatureContext::CoseSign1, protected, None, &[], root)
    }
}

/// A validator's signature over a root, with what its statement said beside the checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootSignature {
    /// Name of the validator.
    pub cosigner: String,
    /// First bytes of its key's digest: see [`VerifierKey::key_id`].
    pub key_id: [u8; 4],
    /// When it signed, seconds since 1970.
    pub time_s: u64,
    /// Over [`RootStatement`].
    pub signature: Signature,
}

/// Bytes that are no receipt of this profile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CoseError {
    /// No CBOR, or no `COSE_Sign1`.
    #[error("no COSE message: {0}")]
    Message(String),
    /// A field that is missing or of another kind.
    #[error("{0} is missing or malformed")]
    Field(&'static str),
}

impl From<coset::CoseError> for CoseError {
    fn from(error: coset::CoseError) -> Self {
        Self::Message(error.to_string())
    }
}

/// A receipt as it was read: its claims and its path, nothing judged. Whoever believes it builds the same bytes
/// from it with [`RootStatement::receipt`] and compares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadReceipt {
    /// Which log.
    pub origin: String,
    /// The leaf's path.
    pub path: InclusionPath,
    /// Who signed, when, and the signature.
    pub by: RootSignature,
}

impl ReadReceipt {
    /// Reads a tagged `COSE_Sign1`.
    ///
    /// # Errors
    /// Names what is missing or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoseError> {
        let message = CoseSign1::from_tagged_slice(bytes)?;
        let header = &message.protected.header;
        if header.alg != Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)) {
            return Err(CoseError::Field("alg EdDSA"));
        }
        if integer(parameter(header, VDS)) != Some(RFC9162_SHA256.into()) {
            return Err(CoseError::Field("vds RFC9162_SHA256"));
        }
        let claims = parameter(header, CLAIMS).and_then(Value::as_map).ok_or(CoseError::Field("claims"))?;
        let claim = |name: Value| claims.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        let text = |name: i64| claim(name.into()).and_then(Value::as_text).map(str::to_owned);
        let number = |name: Value| integer(claim(name)).and_then(|number| u64::try_from(number).ok());
        let path = path(&message.unprotected).ok_or(CoseError::Field("inclusion proof"))?;
        if number(TREE_SIZE.into()) != Some(path.size) {
            return Err(CoseError::Field("tree_size, equal to that of the inclusion proof,"));
        }
        Ok(Self {
            origin: text(SUBJECT).ok_or(CoseError::Field("sub"))?,
            path,
            by: RootSignature {
                cosigner: text(ISSUER).ok_or(CoseError::Field("iss"))?,
                key_id: header.key_id.as_slice().try_into().map_err(|_| CoseError::Field("kid"))?,
                time_s: number(ISSUED_AT.into()).ok_or(CoseError::Field("iat"))?,
                signature: message
                    .signature
                    .as_slice()
                    .try_into()
                    .map(Signature::new)
                    .map_err(|_| CoseError::Field("signature"))?,
            },
        })
    }
}

fn parameter(header: &Header, label: i64) -> Option<&Value> {
    header.rest.iter().find(|(name, _)| *name == coset::Label::Int(label)).map(|(_, value)| value)
}

fn integer(value: Option<&Value>) -> Option<i128> {
    value.and_then(Value::as_integer).map(i128::from)
}

/// The one inclusion proof of an unprotected header.
fn path(header: &Header) -> Option<InclusionPath> {
    let [(kind, proofs)] = parameter(header, VDP)?.as_map()?.as_slice() else { return None };
    let [proof] = proofs.as_array()?.as_slice() else { return None };
    if integer(Some(kind)) != Some(INCLUSION.into()) {
        return None;
    }
    let proof = Value::from_slice(proof.as_bytes()?).ok()?;
    let [size, index, hashes] = proof.as_array()?.as_slice() else { return None };
    let number = |value: &Value| integer(Some(value)).and_then(|number| u64::try_from(number).ok());
    let hash = |value: &Value| Some(Digest::new(value.as_bytes()?.as_slice().try_into().ok()?));
    Some(InclusionPath {
        size: number(size)?,
        index: number(index)?,
        hashes: hashes.as_array()?.iter().map(hash).collect::<Option<_>>()?,
    })
}

/// Deterministic CBOR of a value whose maps are in order.
pub(crate) fn encoded(value: &Value) -> Result<Vec<u8>, CoseError> {
    Ok(value.clone().to_vec()?)
}

/// One CBOR value and nothing after it.
pub(crate) fn decoded(bytes: &[u8]) -> Result<Value, CoseError> {
    Ok(Value::from_slice(bytes)?)
}
