//! A receipt as a file, in whichever of its forms.

use chain_core::code::{Code, Refusal};
use chain_core::id::Epoch;
use chain_core::leaf::Leaf;
use chain_core::receipt::{CoseReceipt, LeafFacts, Receipt, Step, TlogProof, Verified};
use chain_core::trust::TrustPolicy;

use crate::error::{CliError, CliResult};

/// The form is told by the first byte: `{` begins the bundle, an array of two in CBOR the COSE form.
#[derive(Clone, Debug)]
pub(crate) enum ProofFile {
    /// JSON with body and decoded leaf.
    Bundle(Box<Receipt>),
    /// C2SP tlog-proof.
    Text(TlogProof),
    /// COSE messages (RFC 9942).
    Cose(CoseReceipt),
}

/// A receipt's verdict: what it proved, and about which record.
pub(crate) struct Judged {
    /// What was proved.
    pub(crate) verified: Verified,
    /// The leaf.
    pub(crate) facts: LeafFacts,
}

impl Judged {
    /// When it was cosigned, by the median of the cosigners' clocks, RFC 3339 in UTC.
    pub(crate) fn time(&self) -> Option<String> {
        let second = i64::try_from(self.verified.time_s()).ok()?;
        jiff::Timestamp::from_second(second).ok().map(|time| time.to_string())
    }
}

impl ProofFile {
    /// Reads a file's bytes; nothing is judged yet.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.first() == Some(&0x82) {
            return CoseReceipt::parse(bytes).map(Self::Cose);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Refusal::new(Code::ReceiptMalformed, format!("no text: {error}")))?;
        match text.trim_start().starts_with('{') {
            true => Receipt::parse(text).map(|receipt| Self::Bundle(Box::new(receipt))),
            false => TlogProof::parse(text).map(Self::Text),
        }
    }

    /// The epoch whose validators signed, where the form says it.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Bundle(receipt) => Some(receipt.epoch),
            Self::Text(_) | Self::Cose(_) => None,
        }
    }

    /// Whether enough of a policy's validators signed: how the epoch of the other forms is found.
    pub(crate) fn is_signed_by(&self, policy: &TrustPolicy) -> bool {
        match self {
            Self::Bundle(receipt) => {
                receipt.signed_checkpoint().is_ok_and(|signed| policy.verify(&signed).is_ok())
            }
            Self::Text(proof) => policy.verify(&proof.checkpoint).is_ok(),
            Self::Cose(receipt) => receipt.verify(policy).is_ok(),
        }
    }

    /// What the leaf says, nothing judged.
    pub(crate) fn facts(&self) -> CliResult<LeafFacts> {
        match self {
            Self::Bundle(receipt) => facts(&receipt.leaf_bytes()?),
            Self::Text(proof) => facts(proof.extra.as_deref().unwrap_or_default()),
            Self::Cose(receipt) => facts(&receipt.leaf),
        }
    }

    /// Which form it is.
    pub(crate) fn form(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "JSON bundle",
            Self::Text(_) => "C2SP tlog-proof",
            Self::Cose(_) => "COSE receipts (RFC 9942)",
        }
    }

    /// Every step of the verdict, up to the first that fails.
    pub(crate) fn explain(&self, policy: &TrustPolicy) -> Vec<Step> {
        match self {
            Self::Bundle(receipt) => receipt.explain(policy, self.facts().ok().as_ref()),
            Self::Text(proof) => proof.explain(policy),
            Self::Cose(receipt) => receipt.explain(policy),
        }
    }

    /// Verifies everything the file holds.
    pub(crate) fn judge(&self, policy: &TrustPolicy) -> CliResult<Judged> {
        let judged = |verified| Ok(Judged { verified, facts: self.facts()? });
        match self {
            Self::Bundle(receipt) => {
                of_chain(receipt, policy)?;
                judged(receipt.verify(policy, Some(&self.facts()?))?)
            }
            Self::Text(proof) => judged(proof.verify(None, policy)?),
            Self::Cose(receipt) => judged(receipt.verify(policy)?),
        }
    }
}

/// A receipt of another chain says nothing here: there is no trust to judge it by, so it is no alarm either.
fn of_chain(receipt: &Receipt, policy: &TrustPolicy) -> CliResult {
    match policy.chain_id() {
        Some(trusted) if trusted != receipt.chain_id => {
            let detail = format!("receipt of chain {}, trusted is chain {trusted}", receipt.chain_id);
            Err(CliError::new(Code::TrustMissing, detail)
                .hint("give that network's genesis or trust file: --genesis FILE or --trust FILE"))
        }
        _ => Ok(()),
    }
}

/// What the record rules read out of a leaf.
fn facts(bytes: &[u8]) -> CliResult<LeafFacts> {
    let malformed = |detail: String| CliError::new(Code::ReceiptMalformed, detail);
    let leaf = Leaf::decode(bytes).map_err(|error| malformed(format!("the leaf: {error}")))?;
    let (Some(record), Some(version)) = (leaf.record(), leaf.version()) else {
        return Err(malformed("the leaf is a seal and belongs to no record".to_owned()));
    };
    let body_commit = leaf.header().and_then(|header| header.body_commit);
    Ok(LeafFacts { record, version, decoded: leaf.to_json(), body_commit })
}
