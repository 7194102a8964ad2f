//! Genesis: what a network starts from, agreed by every agency before the first block.
//!
//! A genesis is a TOML document that people read and sign. [`Genesis::parse`] checks it and puts it in one
//! canonical form whose SHA-256 is the [`ChainId`]; [`Genesis::read_aloud`] gives that hash in a form for
//! the telephone. Several agencies make one genesis without trusting a coordinator: see [`ceremony`].
//!
//! Lists have no order of their own: validators stand by name, agencies by identifier, members by agency
//! and key, legal bases by id and version.

pub mod ceremony;
mod check;
pub mod document;
pub mod possession;
mod read_aloud;
mod state;
pub mod terms;
mod time;

use serde::de::DeserializeOwned;

pub use check::{AGENCIES_MAX, BASES_MAX, LIST_MAX, MEMBERS_MAX, NAME_MAX, REGISTERED_TYPES_MAX, TEXT_MAX};
pub use document::{
    AgencyEntry, Council, Document, LegalBasisEntry, MemberEntry, Months, Parameters, Permits, Publication,
    Recovery, RecoveryKeyEntry, SCHEMA, ValidatorEntry,
};
pub use possession::{KeyRole, Possession, ValidatorSecrets, prove};
pub use read_aloud::read_aloud;
pub use terms::{CALENDARS_MAX, CalendarEntry, DeadlineEntry, Repair};

use crate::code::{Code, Refusal};
use crate::committee::{Committee, Validator};
use crate::crypto::Digest;
use crate::id::{ChainId, Epoch};
use crate::recovery::RecoveryKeys;

/// Longest genesis text, bytes.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A complete genesis. Holding one is the proof that every rule of the document was checked, the proofs of
/// possession included; conversion to the domain's types is the record rules' part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Genesis {
    document: Document,
    canonical: Vec<u8>,
    committee: Committee,
    recovery: Option<RecoveryKeys>,
}

impl Genesis {
    /// Reads and checks a genesis.
    ///
    /// # Errors
    /// `GENESIS_INVALID`, naming the key, the value got and the value wanted.
    pub fn parse(toml: &str) -> Result<Self, Refusal> {
        Self::from_document(from_toml(toml)?)
    }

    /// Checks a document built in memory.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_document(mut document: Document) -> Result<Self, Refusal> {
        document.normalise();
        check::common(&document)?;
        check::complete(&document)?;
        let validators = document.validators.iter().map(validator).collect();
        let committee = Committee::new(Epoch::ZERO, validators)
            .map_err(|error| Refusal::new(Code::GenesisInvalid, format!("`validator`: {error}")))?;
        let recovery = document.recovery.as_ref().map(state::recovery).transpose()?;
        let canonical = document.canonical();
        Ok(Self { document, canonical, committee, recovery })
    }

    /// The content.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The fixed layout whose hash names the chain.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// SHA-256 over a tag and the canonical layout.
    pub fn chain_id(&self) -> ChainId {
        ChainId::new(Digest::tagged(b"CL/genesis/1", &[&self.canonical]))
    }

    /// The chain id as eight groups of four digits and a check word, to be read aloud and compared.
    pub fn read_aloud(&self) -> String {
        read_aloud(&self.chain_id())
    }

    /// The validators of epoch 0, indices in order of name.
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// Whose act carries the chain on when no quorum is left, if anybody's does.
    pub fn recovery_keys(&self) -> Option<&RecoveryKeys> {
        self.recovery.as_ref()
    }

    /// Limits and times of the protocol.
    pub fn parameters(&self) -> &Parameters {
        &self.document.parameters
    }

    /// When the network begins, milliseconds since 1970: the time of block 0.
    pub fn created_ms(&self) -> u64 {
        time::parse_instant(&self.document.created).unwrap_or(0)
    }

    /// Origin line of the record log's checkpoints: `<network>.city-ledger/<first 16 digits of the chain id>`.
    pub fn origin(&self) -> String {
        crate::checkpoint::origin(&self.document.network, &self.chain_id())
    }

    /// The document as TOML, lists in their order. Parsing it gives the same chain id.
    pub fn to_toml(&self) -> String {
        to_toml(&self.document)
    }
}

/// A genesis without its participants, or with some of them: what the coordinator sends to the agencies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft(Document);

impl Draft {
    /// Reads and checks a draft: every entry must be well-formed, but participants may be missing.
    ///
    /// # Errors
    /// `GENESIS_INVALID`, naming the key, the value got and the value wanted.
    pub fn parse(toml: &str) -> Result<Self, Refusal> {
        Self::from_document(from_toml(toml)?)
    }

    /// Checks a draft built in memory.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_document(mut document: Document) -> Result<Self, Refusal> {
        document.normalise();
        check::common(&document)?;
        Ok(Self(document))
    }

    /// The content.
    pub fn document(&self) -> &Document {
        &self.0
    }

    /// What parts are bound to: SHA-256 over a tag and the canonical layout.
    pub fn digest(&self) -> Digest {
        Digest::tagged(b"CL/genesis-draft/1", &[&self.0.canonical()])
    }

    /// The document as TOML.
    pub fn to_toml(&self) -> String {
        to_toml(&self.0)
    }
}

fn validator(entry: &ValidatorEntry) -> Validator {
    Validator {
        name: entry.name.clone(),
        agency: entry.agency.clone(),
        consensus_key: entry.consensus_key,
        network_key: entry.network_key,
        log_key: entry.log_key,
        address: entry.address.clone(),
        may_lead: true,
    }
}

/// Reads a TOML form of this module; unknown and repeated keys are refused by the parser.
fn from_toml<T: DeserializeOwned>(toml: &str) -> Result<T, Refusal> {
    if toml.len() > BYTES_MAX {
        let detail = format!("{} bytes, at most {BYTES_MAX}", toml.len());
        return Err(Refusal::new(Code::GenesisInvalid, detail));
    }
    toml::from_str(toml).map_err(|error| {
        let line = error.span().map_or(0, |span| toml[..span.start.min(toml.len())].lines().count().max(1));
        let source = toml.lines().nth(line.saturating_sub(1)).unwrap_or("").trim();
        let detail = format!("line {line} ({source}): {}", error.message());
        Refusal::new(Code::GenesisInvalid, detail)
    })
}

fn to_toml<T: serde::Serialize>(value: &T) -> String {
    #[expect(clippy::expect_used, reason = "the forms of this module hold only what TOML can write")]
    toml::to_string(value).expect("tables of texts, integers and lists")
}

#[cfg(test)]
mod tests;
