//! `c2sp.org/tlog-proof@v1`: a receipt as text for other people's tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Verified, malformed, prove};
use crate::checkpoint::{SignedCheckpoint, hash_base64, parse_decimal, parse_hash};
use crate::code::Refusal;
use crate::crypto::Digest;
use crate::merkle::path::PATH_MAX;
use crate::merkle::tile::ENTRY_MAX;
use crate::proof::InclusionPath;
use crate::trust::TrustPolicy;

/// Longest proof text, bytes.
pub const PROOF_BYTES_MAX: usize = 256 * 1024;
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An offline proof that a leaf is in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlogProof {
    /// Opaque data; we put the leaf here, so that the file is complete. Not trusted by itself: the leaf counts
    /// because its hash leads to the root.
    pub extra: Option<Vec<u8>>,
    /// Position of the leaf.
    pub index: u64,
    /// Sibling hashes, from the leaf up.
    pub hashes: Vec<Digest>,
    /// The checkpoint with its signatures.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// The text, to be stored with the extension `.tlog-proof`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&hash_base64(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint.to_text());
        text
    }

    /// Reads a proof in its one spelling.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, naming the flaw.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(malformed(format!("{} bytes, at most {PROOF_BYTES_MAX}", text.len())));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed(format!("the first line is not {FIRST_LINE}")));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            None => None,
            Some(line) => {
                let extra = STANDARD.decode(&line["extra ".len()..]);
                Some(extra.map_err(|_| malformed("the extra data is no base64"))?)
            }
        };
        if extra.as_ref().is_some_and(|extra| extra.len() > ENTRY_MAX) {
            return Err(malformed(format!("extra data longer than {ENTRY_MAX} bytes")));
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|index| parse_decimal(index).ok())
            .ok_or_else(|| malformed("no line `index <number>`"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == PATH_MAX {
                return Err(malformed(format!("more than {PATH_MAX} hashes")));
            }
            hashes.push(parse_hash(line).map_err(malformed)?);
        }
        let checkpoint = SignedCheckpoint::parse(checkpoint).map_err(malformed)?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// The path; its size is the checkpoint's.
    pub fn inclusion(&self) -> InclusionPath {
        InclusionPath {
            index: self.index,
            size: self.checkpoint.checkpoint.size,
            hashes: self.hashes.clone(),
        }
    }

    /// Verifies that `leaf` is in the log; `None` takes the leaf from the extra data.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` (no leaf anywhere), `PROOF_INVALID`, `UNKNOWN_SIGNER`, `QUORUM_NOT_MET`.
    pub fn verify(&self, leaf: Option<&[u8]>, policy: &TrustPolicy) -> Result<Verified, Refusal> {
        let leaf = leaf
            .or(self.extra.as_deref())
            .ok_or_else(|| malformed("the proof carries no leaf and none was given"))?;
        prove(leaf, &self.inclusion(), &self.checkpoint, policy)
    }
}
