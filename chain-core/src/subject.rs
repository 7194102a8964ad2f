//! Which published records an organisation has, so that somebody who asks can be shown all of them.
//!
//! The public log must not say whom a record is about once its publication has ended, and codes of organisations are few
//! enough to try them all. So a leaf has only a commitment under a salt of its own, and what links the records of one
//! organisation stands in an index beside the state tree, which forgets a record when its publication ends.
//!
//! An entry of the index is found by the organisation's [`SubjectTag`], the output of a verifiable random function whose
//! key the validators hold: without the key nobody tells from a tag whose it is, and with a proof everybody sees that an
//! organisation has this tag and no other. All entries of one organisation stand in one subtree, so a proof shows the
//! whole subtree. See `docs/adr/0010-an-index-of-subjects-that-forgets.md`.

pub mod proof;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey};
use crate::id::{ChainId, RecordId};
use crate::layout::{Layout, read_option, write_option};
use crate::org::OrgId;
use crate::state::tree::{EMPTY_ROOT, TreeLeaf};
use crate::vrf::{VrfProof, VrfSecret};

/// First bytes of a tag with which every place of its organisation begins. Two of a million organisations have the same
/// ten with a chance of one in two million million; what they have can then not be shown.
pub const PREFIX_BYTES: usize = 10;
/// The depth of an organisation's subtree.
pub const PREFIX_BITS: usize = 8 * PREFIX_BYTES;

/// What stands for an organisation in the index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SubjectTag(Digest);

impl SubjectTag {
    fn of_output(output: [u8; 64]) -> Self {
        let mut half = [0; 32];
        half.copy_from_slice(&output[..32]);
        Self(Digest::new(half))
    }

    /// The tag that a proof shows an organisation to have under a key.
    pub fn proved(proof: &VrfProof, key: &PublicKey, chain: ChainId, subject: &OrgId) -> Option<Self> {
        proof.verify(key, &text_of(chain, subject)).map(Self::of_output)
    }

    /// All of it.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// The first bytes of its places.
    pub fn prefix(&self) -> [u8; PREFIX_BYTES] {
        let mut prefix = [0; PREFIX_BYTES];
        prefix.copy_from_slice(&self.0.as_bytes()[..PREFIX_BYTES]);
        prefix
    }

    /// A place in its subtree where no entry stands: what a proof of absence is asked for.
    pub fn first_place(&self) -> Digest {
        let mut place = [0; 32];
        place[..PREFIX_BYTES].copy_from_slice(&self.prefix());
        Digest::new(place)
    }
}

/// What the function is asked for: the chain, so that a key used twice links nothing, and the organisation.
fn text_of(chain: ChainId, subject: &OrgId) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text("cityledger/subject-tag/1").digest(chain.digest());
    subject.write(&mut writer);
    writer.finish()
}

/// The key of the index; every validator of a chain has the same.
pub struct SubjectKey {
    chain: ChainId,
    secret: VrfSecret,
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({})", self.secret.public())
    }
}

impl SubjectKey {
    /// A key for a chain.
    pub fn new(chain: ChainId, secret: VrfSecret) -> Self {
        Self { chain, secret }
    }

    /// The public key; the genesis names it.
    pub fn public(&self) -> PublicKey {
        self.secret.public()
    }

    /// The tag of an organisation.
    pub fn tag(&self, subject: &OrgId) -> SubjectTag {
        SubjectTag::of_output(self.secret.output(&text_of(self.chain, subject)))
    }

    /// The proof that an organisation has its tag.
    pub fn prove(&self, subject: &OrgId) -> VrfProof {
        self.secret.prove(&text_of(self.chain, subject))
    }
}

/// What the index needs to know of a version of a record: forgotten with its publication.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listing {
    /// The tag of the organisation it is about.
    tag: Digest,
    /// The salt of the record's subject commitment, from its body; none when the body has none.
    salt: Option<Digest>,
}

impl Listing {
    /// Of a version about an organisation.
    pub fn new(tag: SubjectTag, salt: Option<Digest>) -> Self {
        Self { tag: tag.0, salt }
    }

    /// The tag.
    pub fn tag(&self) -> SubjectTag {
        SubjectTag(self.tag)
    }

    /// The salt.
    pub fn salt(&self) -> Option<Digest> {
        self.salt
    }

    /// Where the record stands in the index. The salt keeps a place from being tried out against the records of the log.
    pub fn place(&self, record: &RecordId) -> Digest {
        let tail = self.hash(b"cityledger/subject-place/1", record);
        let mut place = [0; 32];
        place[..PREFIX_BYTES].copy_from_slice(&self.tag().prefix());
        place[PREFIX_BYTES..].copy_from_slice(&tail.as_bytes()[PREFIX_BYTES..]);
        Digest::new(place)
    }

    /// What stands there.
    pub fn value(&self, record: &RecordId) -> Digest {
        self.hash(b"cityledger/subject-entry/1", record)
    }

    /// The leaf of the index.
    pub fn leaf(&self, record: &RecordId) -> TreeLeaf {
        TreeLeaf::at(self.place(record), &self.value(record))
    }

    fn hash(&self, tag: &[u8], record: &RecordId) -> Digest {
        let salt = self.salt.unwrap_or(Digest::ZERO);
        Digest::tagged(tag, &[self.tag.as_bytes(), record.digest().as_bytes(), salt.as_bytes()])
    }
}

impl Layout for Listing {
    fn write(&self, writer: &mut Writer) {
        writer.digest(&self.tag);
        write_option(writer, self.salt.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { tag: reader.digest()?, salt: read_option(reader)? })
    }
}

/// The index as the state tree holds it: the value under [`crate::state::key::index`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IndexEntry {
    /// The public key that tags are proved by.
    pub key: PublicKey,
    /// How often the index was changed.
    pub changes: u64,
    /// Its root, a tree like that of the state.
    pub root: Digest,
}

impl IndexEntry {
    /// An index without an entry.
    pub fn empty(key: PublicKey) -> Self {
        Self { key, changes: 0, root: EMPTY_ROOT }
    }
}

impl Layout for IndexEntry {
    fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key).u64(self.changes).digest(&self.root);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { key: reader.public_key()?, changes: reader.u64()?, root: reader.digest()? })
    }
}

/// Where a block's index comes from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Index<'a> {
    /// The chain keeps none.
    #[default]
    None,
    /// From the bodies, with the key: at the first execution.
    Computed(&'a SubjectKey),
    /// From the record of the first execution, for whoever has not the key or no longer all bodies: the entry after the
    /// block, or none where the block did not change it. The certified execution root says whether it is right.
    Recorded(Option<IndexEntry>),
    /// From the bodies that are left and the record of the first execution together: by a node that has not every body
    /// of the records that were listed then, and will list later ones itself.
    Completed(&'a SubjectKey, Option<IndexEntry>),
}

impl<'a> Index<'a> {
    /// The key, where what bodies say is listed here.
    pub fn key(&self) -> Option<&'a SubjectKey> {
        match self {
            Self::Computed(key) | Self::Completed(key, _) => Some(key),
            Self::None | Self::Recorded(_) => None,
        }
    }
}
