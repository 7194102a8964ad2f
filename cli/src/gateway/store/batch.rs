//! The files of one sealed batch: what was sealed, the transaction that carries it, and how the ledger answered.
//!
//! `000000000007.batch.json` is written once, when the batch is sealed. Beside it come `….tx`, the signed transaction, before its
//! first byte leaves; `….receipt.json`, when a quorum vouched for it; or `….refused.json`. Which of them exist says where the
//! batch stands.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::build;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::ChainId;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::Header;
use chain_core::record::device::batch::BatchDetails;
use chain_core::record::device::readings::Reading;
use chain_core::transaction::Body;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;

/// Name and version of the form.
const SCHEMA: &str = "city/v1/gateway-batch";

/// A sealed batch with its readings.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    schema: String,
    /// What the device signed.
    pub(crate) details: BatchDetails,
    /// The readings in compact form, in Base64.
    data: String,
    /// Hides the body where the data travels with the batch.
    salt: Digest,
}

impl Sealed {
    pub(super) fn new(details: BatchDetails, data: &[u8], salt: Digest) -> Self {
        Self { schema: SCHEMA.to_owned(), details, data: STANDARD.encode(data), salt }
    }

    /// Its readings, compared with what was signed.
    ///
    /// # Errors
    /// `BATCH_DATA`.
    pub(crate) fn readings(&self) -> Result<Vec<Reading>, Refusal> {
        self.details.check_data(&self.data()?)
    }

    fn data(&self) -> Result<Vec<u8>, Refusal> {
        let broken = |_| Refusal::new(Code::BatchData, "the data of a sealed batch is no Base64");
        STANDARD.decode(&self.data).map_err(broken)
    }

    /// The operation that files it, with the body that travels beside it. Always the same.
    pub(crate) fn operation(
        &self,
        chain_id: ChainId,
        agency: &OrgId,
    ) -> Result<(Operation, Option<Body>), Refusal> {
        build::batch(chain_id, agency, (self.details.clone(), self.data()?), self.salt)
    }

    /// The header under which it is filed.
    pub(crate) fn header(&self, chain_id: ChainId, agency: &OrgId) -> Result<Header, Refusal> {
        let (operation, _) = self.operation(chain_id, agency)?;
        let header = operation.header().cloned();
        header.ok_or_else(|| Refusal::new(Code::Internal, "a batch is filed without a header"))
    }
}

/// The files of the batches of one stream.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// What may stand beside a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Batch,
    Transaction,
    Receipt,
    Refusal,
}

impl Part {
    const fn ending(self) -> &'static str {
        match self {
            Self::Batch => "batch.json",
            Self::Transaction => "tx",
            Self::Receipt => "receipt.json",
            Self::Refusal => "refused.json",
        }
    }
}

impl Shelf {
    /// The shelf in a folder, which is made where it is missing.
    pub(super) fn open(folder: PathBuf) -> CliResult<Self> {
        files::make_dir(&folder)?;
        files::sync_parent(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, seq: u64, part: Part) -> PathBuf {
        self.folder.join(format!("{seq:012}.{}", part.ending()))
    }

    /// Whether a part is there.
    pub(super) fn has(&self, seq: u64, part: Part) -> bool {
        self.path(seq, part).exists()
    }

    /// Number of the newest batch, and the bytes of all files. What a crash left half written is removed.
    pub(super) fn survey(&self) -> CliResult<(Option<u64>, u64)> {
        let failed = |error: std::io::Error| CliError::file(&self.folder, &error);
        let (mut newest, mut bytes) = (None, 0);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".tmp") {
                std::fs::remove_file(entry.path()).map_err(failed)?;
                continue;
            }
            bytes += entry.metadata().map_err(failed)?.len();
            let number = name.split_once('.').filter(|(_, ending)| *ending == Part::Batch.ending());
            let number: Option<u64> = number.and_then(|(number, _)| number.parse().ok());
            newest = newest.max(number);
        }
        Ok((newest, bytes))
    }

    /// A part, as it was written.
    pub(super) fn read(&self, seq: u64, part: Part) -> CliResult<Vec<u8>> {
        files::read_bytes(&self.path(seq, part))
    }

    /// Writes a part; it is durable when this returns. Gives its length.
    pub(super) fn write(&self, seq: u64, part: Part, content: &[u8]) -> CliResult<u64> {
        files::replace(&self.path(seq, part), content)?;
        Ok(content.len() as u64)
    }

    /// Takes a part away, if it is there.
    pub(super) fn remove(&self, seq: u64, part: Part) -> CliResult {
        let path = self.path(seq, part);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file(&path, &error)),
            _ => files::sync_parent(&path),
        }
    }

    /// A batch.
    pub(super) fn batch(&self, seq: u64) -> CliResult<Sealed> {
        let path = self.path(seq, Part::Batch);
        let sealed: Sealed = serde_json::from_slice(&files::read_bytes(&path)?)
            .map_err(|error| corrupt(&path, &error.to_string()))?;
        match sealed.schema == SCHEMA && sealed.details.seq == seq {
            true => Ok(sealed),
            false => Err(corrupt(&path, "it is another batch, or of another form")),
        }
    }

    /// Writes a batch; gives its length.
    pub(super) fn put(&self, sealed: &Sealed) -> CliResult<u64> {
        let text = serde_json::to_vec(sealed).map_err(CliError::internal)?;
        self.write(sealed.details.seq, Part::Batch, &text)
    }
}

fn corrupt(path: &Path, why: &str) -> CliError {
    CliError::new(Code::StorageCorrupt, format!("{}: {why}", path.display()))
        .hint("keep the folder as it is, and put a copy of the file in its place")
}
