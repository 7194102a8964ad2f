//! Every type that crosses the wire or rests on the disk in the codec's encoding: its name, sample values,
//! and the promise that hostile bytes are refused or are the only encoding of a value.
//!
//! Golden bytes, the hostile-input test and the fuzz targets all go through [`TYPES`]; a test compares the
//! list with the sources, so that a new type cannot be forgotten.

mod samples;

use chain_core::codec::{CodecError, Wire, decode, encode};

/// One wire type.
#[derive(Clone, Copy, Debug)]
pub struct WireType {
    /// Its name in the sources.
    pub name: &'static str,
    /// Folder of its crate; golden bytes stand there under `vectors/wire.hex`.
    pub home: &'static str,
    /// Most bytes of an encoding.
    pub limit: usize,
    /// Valid values, each with a name.
    pub samples: fn() -> Vec<Sample>,
    /// Decodes; when that succeeds, encodes again and compares. True when the bytes were a value.
    pub judge: fn(&[u8]) -> Result<bool, String>,
}

/// A valid encoding.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it shows.
    pub name: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

macro_rules! types {
    ($($home:literal: $($type:ty as $name:literal = $samples:path;)+)+) => {
        /// All of them.
        pub const TYPES: &[WireType] = &[
            $($(WireType {
                name: $name,
                home: $home,
                limit: <$type as Wire>::LIMIT,
                samples: || encoded::<$type>($samples()),
                judge: judge::<$type>,
            },)+)+
        ];
    };
}

types! {
    "chain-core":
        chain_core::block::Header as "Header" = samples::headers;
        chain_core::block::ExecSummary as "ExecSummary" = samples::summaries;
        chain_core::proof::FinalityProof as "FinalityProof" = samples::finality_proofs;
        chain_core::committee::Committee as "Committee" = samples::committees;
        chain_core::epoch::ClosingProof as "ClosingProof" = samples::closing_proofs;
        chain_core::epoch::HandOver as "HandOver" = samples::hand_overs;
        chain_core::recovery::SignedRecovery as "SignedRecovery" = samples::recoveries;
        chain_core::transaction::Submission as "Submission" = samples::submissions;
        chain_core::transaction::Batch as "Batch" = samples::batches;
        chain_core::certificate::Cert as "Cert" = samples::certs;
        chain_core::lane::SignedBatchHeader as "SignedBatchHeader" = samples::batch_headers;
        chain_core::execute::Outcome as "Outcome" = samples::outcomes;
        chain_core::api::RawBlock as "RawBlock" = samples::raw_blocks;
    "consensus":
        consensus::message::Message as "Message" = samples::messages;
        consensus::message::Proposal as "Proposal" = samples::proposals;
        consensus::safety::SafetyRecord as "SafetyRecord" = samples::safety_records;
        consensus::engine::Tip as "Tip" = samples::tips;
}

/// The type with this name.
///
/// # Panics
/// When there is none: a slip of the caller.
pub fn named(name: &str) -> &'static WireType {
    TYPES.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no wire type is called {name}"))
}

/// The fuzz target of a type: `SignedBatchHeader` is fuzzed by `signed_batch_header`.
pub fn target_of(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// For fuzz targets: the promise holds for these bytes.
///
/// # Panics
/// When it does not.
pub fn poke(name: &str, bytes: &[u8]) {
    if let Err(flaw) = (named(name).judge)(bytes) {
        panic!("{name}: {flaw}");
    }
}

fn encoded<T: Wire>(samples: Vec<(&'static str, T)>) -> Vec<Sample> {
    let bytes = |value: &T| encode(value).expect("a sample fits its limit");
    samples.iter().map(|(name, value)| Sample { name, bytes: bytes(value) }).collect()
}

fn judge<T: Wire>(bytes: &[u8]) -> Result<bool, String> {
    match decode::<T>(bytes) {
        Ok(value) => match encode(&value) {
            Ok(again) if again == bytes => Ok(true),
            Ok(again) => Err(format!(
                "{} bytes decode, and encode again to {others}",
                bytes.len(),
                others = again.len()
            )),
            Err(error) => Err(format!("decodes, but has no encoding: {error}")),
        },
        Err(CodecError::TooLong { .. }) if bytes.len() <= T::LIMIT => {
            Err("refused as too long, but is not".into())
        }
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_accepted() {
        for one in TYPES {
            let samples = (one.samples)();
            assert!(!samples.is_empty(), "{}", one.name);
            for sample in samples {
                assert_eq!((one.judge)(&sample.bytes), Ok(true), "{} / {}", one.name, sample.name);
            }
        }
    }
}
