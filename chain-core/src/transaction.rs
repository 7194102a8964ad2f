//! What a member signs: one or more operations under one signature.
//!
//! A transaction holds headers only. Bodies travel beside it in a [`Submission`] and are bound to it by the
//! salted commitment in each header, so that erasing a body later breaks nothing that was signed.

use serde::{Deserialize, Serialize};

use crate::canonical::Writer;
use crate::codec::Wire;
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature, VerifyKey};
use crate::id::{ChainId, TxId};
use crate::lane::{BATCH_BYTES_MAX, SignedBatchHeader};
use crate::merkle;
use crate::operation::Operation;

/// Version of the transaction format.
pub const TRANSACTION_VERSION: u16 = 1;
/// Most bytes of a submission: transaction, signature and bodies.
pub const TRANSACTION_BYTES_MAX: usize = 512 * 1024;
/// Most operations of a transaction.
pub const OPERATIONS_MAX: usize = 1_024;
/// How far ahead of block time `valid_until_ms` may lie: seven days.
pub const VALIDITY_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1000;

/// A member's request, before its signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Format version.
    pub version: u16,
    /// The chain it is meant for.
    pub chain_id: ChainId,
    /// Key of the member who signs.
    pub author: PublicKey,
    /// Refused when block time is later; at most [`VALIDITY_MS_MAX`] ahead of block time.
    pub valid_until_ms: u64,
    /// Whether all operations stand or fall together.
    pub atomic: bool,
    /// The steps, in order.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// SHA-256 over the canonical layout; what is signed and what replay protection remembers.
    pub fn id(&self) -> TxId {
        self.id_with(self.operations.iter().map(Operation::canonical))
    }

    /// The canonical layout: what the id is the digest of.
    pub fn canonical(&self) -> Vec<u8> {
        self.canonical_with(self.operations.iter().map(Operation::canonical))
    }

    /// The id, given the operations as their canonical bytes.
    pub(crate) fn id_with<B: AsRef<[u8]>>(&self, operations: impl ExactSizeIterator<Item = B>) -> TxId {
        TxId::new(Digest::tagged(b"CL/tx/1", &[&self.canonical_with(operations)]))
    }

    fn canonical_with<B: AsRef<[u8]>>(&self, operations: impl ExactSizeIterator<Item = B>) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128 + 512 * operations.len());
        writer.u16(self.version).digest(self.chain_id.digest()).public_key(&self.author);
        writer.u64(self.valid_until_ms).u8(u8::from(self.atomic)).count(operations.len());
        for operation in operations {
            writer.bytes(operation.as_ref());
        }
        writer.finish()
    }

    /// Signs the transaction with its author's key.
    pub fn sign(self, key: &SecretKey) -> SignedTransaction {
        let signature = key.sign(&TransactionPreimage { chain_id: self.chain_id, id: self.id() });
        SignedTransaction { transaction: self, signature }
    }
}

/// Kind 6: domain, kind, chain, transaction id.
#[derive(Clone, Copy, Debug)]
pub struct TransactionPreimage {
    /// The chain.
    pub chain_id: ChainId,
    /// The transaction.
    pub id: TxId,
}

impl Signable for TransactionPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(6).digest(self.chain_id.digest()).digest(self.id.digest());
        writer.finish()
    }
}

/// A transaction with its author's signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// Over [`TransactionPreimage`].
    pub signature: Signature,
}

impl SignedTransaction {
    /// Whether the author's signature verifies.
    pub fn verify_signature(&self) -> bool {
        self.transaction.author.decode().is_some_and(|author| self.verify_signature_by(&author))
    }

    /// Whether the signature is this key's, which must be the author's, decoded.
    pub fn verify_signature_by(&self, author: &VerifyKey) -> bool {
        let transaction = &self.transaction;
        let preimage = TransactionPreimage { chain_id: transaction.chain_id, id: transaction.id() };
        author.verify(&preimage, &self.signature)
    }
}

/// The removable part of an operation: canonical JSON and the salt of its commitment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// 32 random bytes per version, kept and destroyed with the body.
    pub salt: Digest,
    /// RFC 8785 canonical JSON text.
    pub json: String,
}

impl Body {
    /// `SHA-256(tag ‖ salt ‖ len ‖ body)`, the commitment that the header carries.
    pub fn commitment(&self) -> Digest {
        let len = (self.json.len() as u64).to_be_bytes();
        Digest::tagged(b"cityledger/body/1", &[self.salt.as_bytes(), &len, self.json.as_bytes()])
    }
}

/// A signed transaction with the bodies that travel beside it: what a client sends and a lane carries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The transaction.
    pub signed: SignedTransaction,
    /// One entry per operation, in order; `None` where there is none or it must not travel.
    pub bodies: Vec<Option<Body>>,
}

impl Wire for Submission {
    const LIMIT: usize = TRANSACTION_BYTES_MAX;
}

/// One link of a lane: the signed header and what it commits to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Batch {
    /// The author's header.
    pub signed: SignedBatchHeader,
    /// Transactions with their P0/P1 bodies, in execution order.
    pub submissions: Vec<Submission>,
}

impl Wire for Batch {
    const LIMIT: usize = BATCH_BYTES_MAX + 1024;
}

/// RFC 6962 root over transaction ids: the `payload_root` of a batch header.
pub fn payload_root<'a>(ids: impl IntoIterator<Item = &'a TxId>) -> Digest {
    merkle::root(ids.into_iter().map(|id| *id.digest().as_bytes()))
}
