//! One reading, proved: it is under the root of a batch, and the batch is in the ledger's log under a quorum's checkpoint.
//!
//! The file is checked with public keys alone, against nobody's word: neither the gateway's nor a node's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::code::{Code, Refusal};
use chain_core::leaf::Leaf;
use chain_core::proof::InclusionPath;
use chain_core::receipt::Receipt;
use chain_core::record::Details;
use chain_core::record::device::batch::{BatchBody, BatchDetails};
use chain_core::record::device::readings::{self, Reading};
use chain_core::trust::TrustPolicy;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::proof_file::{Judged, ProofFile};

/// Name and version of the form.
const SCHEMA: &str = "city/v1/reading-proof";

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadingProof {
    schema: String,
    /// The reading.
    pub(crate) reading: Reading,
    /// Its path to the root of the batch.
    path: InclusionPath,
    /// The batch's receipt.
    pub(crate) receipt: Receipt,
}

impl ReadingProof {
    /// The proof of the first reading of a time (and of a value, where one is named) among a batch's readings.
    ///
    /// # Errors
    /// `NOT_FOUND` when the batch has none.
    pub(crate) fn new(receipt: &[u8], all: &[Reading], time_ms: u64, value: Option<i64>) -> CliResult<Self> {
        let wanted = |one: &Reading| one.time_ms == time_ms && value.is_none_or(|value| one.value == value);
        let found = all.iter().position(wanted).and_then(|index| {
            let path = readings::prove(all, index as u64)?;
            Some((all[index], path))
        });
        let Some((reading, path)) = found else {
            let detail = format!("the batch has no such reading of {time_ms} (ms since 1970)");
            return Err(CliError::new(Code::NotFound, detail));
        };
        Ok(Self { schema: SCHEMA.to_owned(), reading, path, receipt: bundle(receipt)? })
    }

    /// The same from the ledger alone: the receipt of a batch whose data travelled with it.
    ///
    /// # Errors
    /// `BODY_MISSING` when the data is kept elsewhere; as [`Self::new`].
    pub(crate) fn of_receipt(receipt: &[u8], time_ms: u64, value: Option<i64>) -> CliResult<Self> {
        let bundle = bundle(receipt)?;
        let details = batch(&bundle)?;
        let body = bundle.body.as_ref().ok_or_else(|| {
            let detail = format!("the data of batch {} is not in the ledger", bundle.record);
            CliError::new(Code::BodyMissing, detail)
                .hint("ask the gateway that keeps it: city gateway proof --gateway URL --device N --stream S --time T")
        })?;
        let body: BatchBody = serde_json::from_str(&body.json)
            .map_err(|error| CliError::new(Code::MalformedJson, format!("the body: {error}")))?;
        let data = STANDARD
            .decode(body.data)
            .map_err(|error| CliError::new(Code::BatchData, format!("the body: {error}")))?;
        Self::new(receipt, &details.check_data(&data)?, time_ms, value)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`.
    pub(crate) fn parse(text: &[u8]) -> CliResult<Self> {
        let malformed = |detail: String| CliError::new(Code::ReceiptMalformed, detail);
        let proof: Self = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
        match proof.schema == SCHEMA {
            true => Ok(proof),
            false => Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", proof.schema))),
        }
    }

    /// The receipt as a file of its own.
    pub(crate) fn receipt(&self) -> ProofFile {
        ProofFile::Bundle(Box::new(self.receipt.clone()))
    }

    /// Verifies every step: path, leaf, log, checkpoint, signatures. Gives what the batch says, and who vouched for it.
    ///
    /// # Errors
    /// `PROOF_INVALID` for a reading that is not under the root; as [`ProofFile::judge`] for the rest.
    pub(crate) fn verify(&self, policy: &TrustPolicy) -> CliResult<(BatchDetails, Judged)> {
        let judged = self.receipt().judge(policy)?;
        let details = batch(&self.receipt)?;
        details.verify_reading(&self.reading, &self.path)?;
        Ok((details, judged))
    }
}

fn bundle(receipt: &[u8]) -> CliResult<Receipt> {
    match ProofFile::parse(receipt)? {
        ProofFile::Bundle(bundle) => Ok(*bundle),
        ProofFile::Text(_) | ProofFile::Cose(_) => {
            Err(CliError::new(Code::ReceiptMalformed, "wanted the JSON bundle of a batch's receipt"))
        }
    }
}

/// What the leaf of a batch's receipt says.
fn batch(receipt: &Receipt) -> Result<BatchDetails, Refusal> {
    let leaf = Leaf::decode(&receipt.leaf_bytes()?)
        .map_err(|error| Refusal::new(Code::ReceiptMalformed, format!("the leaf: {error}")))?;
    match leaf.header().map(|header| &header.details) {
        Some(Details::Batch(details)) => Ok((**details).clone()),
        _ => {
            let detail = format!("record {} is no sensor.batch", receipt.record);
            Err(Refusal::new(Code::ReceiptMalformed, detail))
        }
    }
}
