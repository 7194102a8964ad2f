//! What bodies have in common: attachments, texts, origin.

use serde::{Deserialize, Serialize};

use super::Class;
use crate::canonical::Writer;
use crate::crypto::Digest;
use crate::merkle;

/// A file that belongs to a record; the file itself is kept elsewhere.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// Media type, e.g. `application/pdf`.
    pub media_type: String,
    /// Name shown to readers.
    pub name: String,
    /// Privacy class of the file.
    pub class: Class,
}

/// RFC 6962 root over digest and size of each attachment in order; what a header carries.
pub fn attachments_root<'a>(attachments: impl IntoIterator<Item = (&'a Digest, u64)>) -> Digest {
    merkle::root(attachments.into_iter().map(|(sha256, size)| {
        let mut writer = Writer::new();
        writer.digest(sha256).u64(size);
        writer.finish()
    }))
}
