//! The log of reads: who asked an agency's node for what is not public, in which role, for what purpose, and whether it was
//! shown (Shenzhen credit regulation art. 45).
//!
//! An officer signs each question. The node writes it down, durably, before it answers, and the agency anchors each day's
//! entries with `audit.access_root` ([`crate::record::access`]). Entries are the leaves of an RFC 6962 tree in the order of
//! their times. Each holds the officer's signature and a random number of the client: nobody can guess an entry from the
//! root, the node cannot invent a read, and an officer cannot deny one.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::date::Date;
use crate::id::{ChainId, RecordId};
use crate::layout::{Layout, closed_list, read_option, write_option};
use crate::merkle::{self, Tree};
use crate::org::OrgId;
use crate::proof::InclusionPath;
use crate::record::governance::Role;
use crate::transaction::Body;

/// Most bytes of a purpose.
pub const PURPOSE_BYTES_MAX: usize = 256;
/// By how much a question's time may differ from the node's clock, in milliseconds.
pub const SKEW_MS_MAX: u64 = 5 * 60 * 1000;

closed_list!(
    /// What is asked.
    Question as u8, "question" {
        /// The body of a record that is not public.
        Body = 1, "body";
        /// Who asked for a record; on behalf of its subject, or to supervise.
        WhoAsked = 2, "who_asked";
        /// Every entry of a day; to supervise.
        Day = 3, "day";
    }
);

impl Question {
    /// The roles that may ask it, of the agency that holds the log.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Body => {
                &[Role::Clerk, Role::Supervisor, Role::LegalReviewer, Role::PrivacyOfficer, Role::Auditor]
            }
            Self::WhoAsked => &[Role::PrivacyOfficer, Role::Portal, Role::Auditor],
            Self::Day => &[Role::Auditor],
        }
    }
}

/// A question to an agency's node.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What is asked.
    pub question: Question,
    /// The record it is about; none for a whole day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// Which version of the record, for a body; none for the one that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The day it is about; none for a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Date>,
    /// For what purpose: 1 to 256 bytes. The subject may read it.
    pub purpose: String,
    /// When it was signed, milliseconds since 1970.
    pub time_ms: u64,
    /// 32 random bytes of the client; the same question is answered once.
    pub nonce: Digest,
}

impl Query {
    /// Refuses a question that does not say what it is about, or why it is asked.
    ///
    /// # Errors
    /// `BAD_PARAMETER`, `MISSING_FIELD`, `SIZE_LIMIT`.
    pub fn check(&self) -> Result<(), Refusal> {
        let about = (self.record.is_some(), self.version.is_some(), self.day.is_some());
        let (fits, wants) = match self.question {
            Question::Body => (matches!(about, (true, _, false)), "a record, perhaps a version, and no day"),
            Question::WhoAsked => (about == (true, false, false), "a record and nothing else"),
            Question::Day => (about == (false, false, true), "a day and nothing else"),
        };
        if !fits {
            return Err(Refusal::new(
                Code::BadParameter,
                format!("the question {} wants {wants}", self.question),
            ));
        }
        if self.purpose.trim().is_empty() {
            return Err(Refusal::new(Code::MissingField, "purpose is empty: say what the read is for"));
        }
        if self.purpose.len() > PURPOSE_BYTES_MAX {
            let detail = format!("purpose has {} bytes, at most {PURPOSE_BYTES_MAX}", self.purpose.len());
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        Ok(())
    }

    /// Signs it for one chain.
    pub fn sign(self, chain_id: ChainId, officer: &SecretKey) -> SignedQuery {
        let signature = officer.sign(&QueryPreimage { chain_id, query: &self });
        SignedQuery { query: self, officer: officer.public(), signature }
    }
}

impl Layout for Query {
    fn write(&self, writer: &mut Writer) {
        self.question.write(writer);
        write_option(writer, self.record.as_ref());
        writer.option(self.version, |writer, version| {
            writer.u32(version);
        });
        write_option(writer, self.day.as_ref());
        writer.text(&self.purpose).u64(self.time_ms).digest(&self.nonce);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            question: Question::read(reader)?,
            record: read_option(reader)?,
            version: reader.option(Reader::u32)?,
            day: read_option(reader)?,
            purpose: reader.text(PURPOSE_BYTES_MAX)?,
            time_ms: reader.u64()?,
            nonce: reader.digest()?,
        })
    }
}

/// What an officer signs.
struct QueryPreimage<'a> {
    chain_id: ChainId,
    query: &'a Query,
}

impl Signable for QueryPreimage<'_> {
    /// Kind 22: domain, kind, chain, question.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(22).digest(self.chain_id.digest());
        self.query.write(&mut writer);
        writer.finish()
    }
}

/// A question with its officer's signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignedQuery {
    /// The question.
    pub query: Query,
    /// The key of the post that asks.
    pub officer: PublicKey,
    /// Its signature.
    pub signature: Signature,
}

impl SignedQuery {
    /// Whether the officer signed this question for this chain.
    pub fn verify(&self, chain_id: ChainId) -> bool {
        self.officer.verify(&QueryPreimage { chain_id, query: &self.query }, &self.signature)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When the node answered, by its own clock; never before the entry before it.
    pub time_ms: u64,
    /// The role that the officer had.
    pub role: Role,
    /// The number of the error with which it was refused; none when it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u16>,
    /// What was asked, by whom.
    pub asked: SignedQuery,
}

impl Layout for Entry {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.time_ms);
        self.role.write(writer);
        writer.option(self.refused, |writer, code| {
            writer.u16(code);
        });
        self.asked.query.write(writer);
        writer.public_key(&self.asked.officer).signature(&self.asked.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            time_ms: reader.u64()?,
            role: Role::read(reader)?,
            refused: reader.option(Reader::u16)?,
            asked: SignedQuery {
                query: Query::read(reader)?,
                officer: reader.public_key()?,
                signature: reader.signature()?,
            },
        })
    }
}

/// What a day's entries come to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DayRoot {
    /// Whose log.
    pub agency: OrgId,
    /// The day, in the city's zone.
    pub day: Date,
    /// How many entries.
    pub queries: u32,
    /// Root over them.
    pub root: Digest,
    /// The record that anchors it, once it is filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchored_by: Option<RecordId>,
}

/// An entry and its place under the root of its day.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedEntry {
    /// The entry.
    pub entry: Entry,
    /// Path from its leaf to the root.
    pub path: InclusionPath,
}

/// Entries of one day, with its root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DayEntries {
    /// What the day comes to.
    pub root: DayRoot,
    /// Entries, in order: those about one record, or all.
    pub entries: Vec<ProvedEntry>,
}

/// What a node answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The body of a version, with its salt: together they have the commitment of the version's header.
    Body {
        /// The version.
        version: u32,
        /// Salt and text.
        body: Body,
    },
    /// Entries, day by day.
    Entries(Vec<DayEntries>),
}

/// The tree over entries.
pub fn tree(entries: &[Entry]) -> Tree {
    Tree::from_leaves(entries.iter().map(Layout::to_canonical))
}

impl DayEntries {
    /// Checks that each entry stands under the root, is signed by its officer for this chain, and that they are in order; and,
    /// where the day is given as whole, that none is left out. That the root is anchored takes the record.
    ///
    /// # Errors
    /// `PROOF_INVALID` with the entry that does not fit.
    pub fn verify(&self, chain_id: ChainId, whole: bool) -> Result<(), Refusal> {
        let day = self.root.day;
        let bad = |what: String| Err(Refusal::new(Code::ProofInvalid, format!("{day}: {what}")));
        let mut next = 0;
        for proved in &self.entries {
            let at = proved.path.index;
            if at < next {
                return bad(format!("entry {at} is out of order"));
            }
            next = at + 1;
            let leaf = merkle::leaf_hash(&proved.entry.to_canonical());
            let fits = proved.path.size == u64::from(self.root.queries)
                && merkle::verify_inclusion(&leaf, &proved.path, &self.root.root);
            if !fits {
                return bad(format!("entry {at} does not stand under the root"));
            }
            if !proved.entry.asked.verify(chain_id) {
                return bad(format!("entry {at} is not signed by its officer"));
            }
        }
        if whole && self.entries.len() != self.root.queries as usize {
            return bad(format!("{} entries, the root is over {}", self.entries.len(), self.root.queries));
        }
        if whole && self.entries.is_empty() && self.root.root != merkle::empty_root() {
            return bad("no entries, and the root is not that of nothing".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
