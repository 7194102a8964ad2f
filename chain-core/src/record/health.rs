//! `health.commit_batch`: that a reporter held so many health documents of a day, at most, and which; nothing of what they
//! say (FHIR Bundle, Provenance; class P4).
//!
//! A batch is an RFC 6962 tree over salted commitments. Salts and documents stay with the reporter; who erases a document and
//! its salt leaves a number in the tree that leads nowhere. The tree is always filled up to its size class with random
//! numbers, and its leaves are sorted, so that neither an inclusion path nor a place in it tells how many there were.

use serde::{Deserialize, Serialize};

use super::body::{Derived, Fields, Origin};
use super::{Details, Header, SubjectKind};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::layout::{Layout, closed_list};
use crate::merkle;
use crate::org::OrgId;

closed_list!(
    /// How many leaves a batch has: the only size that it shows.
    SizeClass as u8, "size class" {
        /// 64 leaves.
        UpTo64 = 1, "<=64";
        /// 256 leaves.
        UpTo256 = 2, "<=256";
        /// 1,024 leaves.
        UpTo1024 = 3, "<=1024";
    }
);

impl SizeClass {
    /// The leaves of the tree, those that fill it up included.
    pub const fn leaves(self) -> usize {
        match self {
            Self::UpTo64 => 64,
            Self::UpTo256 => 256,
            Self::UpTo1024 => 1_024,
        }
    }

    /// The smallest class that holds so many commitments.
    pub const fn for_count(count: usize) -> Option<Self> {
        match count {
            0..=64 => Some(Self::UpTo64),
            65..=256 => Some(Self::UpTo256),
            257..=1_024 => Some(Self::UpTo1024),
            _ => None,
        }
    }
}

/// Body of `health.commit_batch`; kept in the reporter's vault alone. It holds no document, no person and no exact count.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommitBatchBody {
    /// [`batch_root`] of the commitments; header details.
    pub root: Digest,
    /// Its size class; header details.
    pub size_class: SizeClass,
    /// Who reports; the header's agency.
    pub reporter: OrgId,
    /// The whole day that the documents are of; header details.
    pub day: Date,
    /// Where the data came from.
    pub origin: Origin,
}

/// What the header of `health.commit_batch` says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommitBatchDetails {
    /// Root over the commitments.
    pub root: Digest,
    /// The size that it shows.
    pub size_class: SizeClass,
    /// The whole day that the documents are of.
    pub day: Date,
}

impl CommitBatchDetails {
    /// Refuses a header that says more than root, size and day: dates, references or a commitment to a subject would tell
    /// something of the documents.
    ///
    /// # Errors
    /// `PERSONAL_DATA_IN_CLEAR`.
    pub fn check(header: &Header) -> Result<(), Refusal> {
        let dates = [
            header.decided_on,
            header.conduct_on,
            header.effective_from,
            header.effective_to,
            header.publish_from,
            header.publish_min_until,
            header.publish_until,
        ];
        let bare = dates.iter().all(Option::is_none)
            && [header.subject_commit, header.natural_key, header.attachments_root]
                .iter()
                .all(Option::is_none)
            && header.officers.is_empty()
            && header.refs.is_empty();
        if bare {
            return Ok(());
        }
        let detail = "the header of a batch of commitments says root, size and day and nothing else";
        Err(Refusal::new(Code::PersonalDataInClear, detail))
    }
}

impl Layout for CommitBatchDetails {
    fn write(&self, writer: &mut Writer) {
        writer.digest(&self.root);
        self.size_class.write(writer);
        self.day.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { root: reader.digest()?, size_class: SizeClass::read(reader)?, day: Date::read(reader)? })
    }
}

/// The commitment to one document: SHA-256 over tag, salt and the document's bytes. The salt is 32 random bytes, of this
/// document alone; without it the commitment says nothing of the document.
pub fn document_commitment(salt: &Digest, document: &[u8]) -> Digest {
    let len = (document.len() as u64).to_be_bytes();
    Digest::tagged(b"cityledger/health/1", &[salt.as_bytes(), &len, document])
}

/// The root of a batch: an RFC 6962 tree over commitments and random numbers that fill it up to its size class, sorted.
///
/// # Errors
/// `SIZE_LIMIT` unless commitments and filling together are as many as the class has leaves; `BAD_PARAMETER` where one
/// stands twice.
pub fn batch_root(size: SizeClass, commitments: &[Digest], filling: &[Digest]) -> Result<Digest, Refusal> {
    let count = commitments.len() + filling.len();
    if count != size.leaves() {
        let detail = format!("{count} leaves with the filling, the class {size} has {}", size.leaves());
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    let mut leaves: Vec<&Digest> = commitments.iter().chain(filling).collect();
    leaves.sort_unstable_by_key(|leaf| *leaf.as_bytes());
    if leaves.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::new(Code::BadParameter, "a leaf stands twice"));
    }
    Ok(merkle::root(leaves.into_iter().map(Digest::as_bytes)))
}

pub(super) fn judge_commit_batch(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let details = CommitBatchDetails {
        root: fields.digest("root")?,
        size_class: fields.choice("size_class")?,
        day: fields.date("day")?,
    };
    Ok(Derived {
        subject_kind: Some(SubjectKind::None),
        issuer: Some(fields.org("reporter")?),
        details: Details::CommitBatch(details),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(tag: &[u8], count: usize) -> Vec<Digest> {
        (0..count).map(|at| Digest::tagged(tag, &[&at.to_be_bytes()])).collect()
    }

    #[test]
    fn a_batch_shows_its_class_and_nothing_else_of_its_size() {
        for (count, class) in [(1, SizeClass::UpTo64), (64, SizeClass::UpTo64), (65, SizeClass::UpTo256)] {
            assert_eq!(SizeClass::for_count(count), Some(class));
            let (real, filling) = (digests(b"real", count), digests(b"fill", class.leaves() - count));
            let root = batch_root(class, &real, &filling).unwrap();
            // Which leaves are filling does not show in the root.
            assert_eq!(batch_root(class, &filling, &real), Ok(root));
        }
        assert_eq!(SizeClass::for_count(1_025), None);
    }

    #[test]
    fn a_batch_that_is_not_full_or_names_a_leaf_twice_has_no_root() {
        let code = |real: &[Digest], filling: &[Digest]| {
            batch_root(SizeClass::UpTo64, real, filling).unwrap_err().code
        };
        assert_eq!(code(&digests(b"real", 3), &[]), Code::SizeLimit);
        assert_eq!(code(&digests(b"real", 65), &[]), Code::SizeLimit);
        let mut real = digests(b"real", 64);
        real[1] = real[0];
        assert_eq!(code(&real, &[]), Code::BadParameter);
    }

    #[test]
    fn the_same_document_under_another_salt_is_another_commitment() {
        let [one, two] = [b"1", b"2"].map(|salt| Digest::tagged(b"salt", &[salt]));
        assert_ne!(document_commitment(&one, b"{}"), document_commitment(&two, b"{}"));
        assert_ne!(document_commitment(&one, b"{}"), document_commitment(&one, b"{ }"));
    }
}
