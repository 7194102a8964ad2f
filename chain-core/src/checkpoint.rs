//! Checkpoints of the record log: C2SP signed notes that any transparency-log tool reads.
//!
//! A checkpoint says "the log of this origin has this many leaves and this root" (`c2sp.org/tlog-checkpoint`).
//! It carries two kinds of signature line (`c2sp.org/signed-note`):
//! * type 0x01 by the node that answers, over the body, under the origin as its name;
//! * type 0x04 by each validator, over the body and the second of signing (`c2sp.org/tlog-cosignature`,
//!   cosignature/v1), under the validator's own name. A quorum of these is what a receipt rests on.
//!
//! Both are made with a validator's log key. They cannot be confused: no origin begins `cosignature/v1`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::crypto::{Digest, PublicKey, SecretKey, Signable, Signature};
use crate::id::ChainId;

/// Most signature lines of a note: every validator twice, and some strangers.
pub const LINES_MAX: usize = 256;
/// Longest note, bytes.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Longest key name, bytes.
pub const KEY_NAME_MAX: usize = 255;
/// What begins every cosigned message.
const COSIGNATURE: &str = "cosignature/v1";

/// Origin line of a chain's record log: `<network>.city-ledger/<first 16 digits of the chain id>`.
pub fn origin(network: &str, chain_id: &ChainId) -> String {
    format!("{}.city-ledger/{}", key_name(network), &chain_id.to_string()[..16])
}

/// A name as notes allow it: white space, control characters and `+` become `-`; empty becomes `-`.
pub fn key_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let c = if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c };
        if out.len() + c.len_utf8() > KEY_NAME_MAX {
            break;
        }
        out.push(c);
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && key_name(name) == name
}

/// Text that is no checkpoint, note or verifier key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`] or with more lines than [`LINES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes or {LINES_MAX} signatures")]
    TooLong,
    /// A control character.
    #[error("the note holds a control character")]
    Control,
    /// No blank line between body and signatures, or nothing after it.
    #[error("the note has no signatures")]
    Unsigned,
    /// Not origin, size and root.
    #[error("the body is not three lines: origin, size, root")]
    Body,
    /// A name that notes do not allow.
    #[error("{0:?} is no key name")]
    Name(String),
    /// A number with signs, zeroes or letters in front.
    #[error("{0:?} is no decimal number")]
    Number(String),
    /// Base64 that is not the canonical one, or of another length.
    #[error("{0:?} is not the base64 of the wanted length")]
    Base64(String),
    /// Not `— name base64`.
    #[error("signature line {0} is malformed")]
    Line(usize),
    /// Not `name+id+base64`.
    #[error("not a verifier key")]
    VerifierKey,
    /// The key id does not fit name, type and key.
    #[error("verifier key {0} has another key id than its content gives")]
    KeyId(String),
    /// A signature type that this software does not use.
    #[error("signature type {0:#04x} is not known here")]
    Kind(u8),
    /// A key that may not be trusted.
    #[error("verifier key {name}: {source}")]
    Key {
        /// Name of the key.
        name: String,
        /// What is wrong with it.
        source: crate::crypto::KeyError,
    },
}

fn decode_base64(text: &str) -> Result<Vec<u8>, NoteError> {
    STANDARD.decode(text).map_err(|_| NoteError::Base64(text.to_owned()))
}

/// A hash as base64, the form of checkpoints and tlog-proofs.
pub(crate) fn hash_base64(hash: &Digest) -> String {
    STANDARD.encode(hash.as_bytes())
}

/// A hash from its base64.
pub(crate) fn parse_hash(text: &str) -> Result<Digest, NoteError> {
    let bytes: [u8; 32] = decode_base64(text)?.try_into().map_err(|_| NoteError::Base64(text.to_owned()))?;
    Ok(Digest::new(bytes))
}

/// An ASCII decimal without leading zeroes.
pub(crate) fn parse_decimal(text: &str) -> Result<u64, NoteError> {
    let wrong = || NoteError::Number(text.to_owned());
    let value: u64 = text.parse().map_err(|_| wrong())?;
    if value.to_string() == text { Ok(value) } else { Err(wrong()) }
}

/// Origin, size and root of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Leaves in it.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The three lines that are signed, each with its line break.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, hash_base64(&self.root))
    }

    /// Reads a body. Extension lines are refused: nothing here would check what they say.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse_body(body: &str) -> Result<Self, NoteError> {
        let lines: Vec<&str> = body.strip_suffix('\n').ok_or(NoteError::Body)?.split('\n').collect();
        let [origin, size, root] = lines[..] else {
            return Err(NoteError::Body);
        };
        if !is_key_name(origin) {
            return Err(NoteError::Name(origin.to_owned()));
        }
        Ok(Self { origin: origin.to_owned(), size: parse_decimal(size)?, root: parse_hash(root)? })
    }

    /// The answering node's own line, type 0x01, under the origin as its name.
    pub fn sign(&self, key: &SecretKey) -> SignatureLine {
        let signature = key.sign(&CheckpointPreimage { checkpoint: self });
        let verifier = VerifierKey { name: self.origin.clone(), kind: NoteKind::Log, key: key.public() };
        SignatureLine { key_id: verifier.key_id(), name: verifier.name, blob: signature.as_bytes().to_vec() }
    }

    /// A validator's cosignature at `time_s`, seconds since 1970.
    pub fn cosign(&self, time_s: u64, key: &SecretKey) -> Cosignature {
        let signature = key.sign(&CosignaturePreimage { checkpoint: self, time_s });
        Cosignature { time_s, signature }
    }
}

/// Note signature type 0x01: the body itself.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointPreimage<'a> {
    /// What is signed.
    pub checkpoint: &'a Checkpoint,
}

impl Signable for CheckpointPreimage<'_> {
    fn preimage(&self) -> Vec<u8> {
        self.checkpoint.body().into_bytes()
    }
}

/// Note signature type 0x04: `cosignature/v1`, the time, the body.
#[derive(Clone, Copy, Debug)]
pub struct CosignaturePreimage<'a> {
    /// What is cosigned.
    pub checkpoint: &'a Checkpoint,
    /// When, seconds since 1970.
    pub time_s: u64,
}

impl Signable for CosignaturePreimage<'_> {
    fn preimage(&self) -> Vec<u8> {
        format!("{COSIGNATURE}\ntime {}\n{}", self.time_s, self.checkpoint.body()).into_bytes()
    }
}

/// One validator's cosignature, as it travels between nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Cosignature {
    /// When it was made, seconds since 1970.
    pub time_s: u64,
    /// Over [`CosignaturePreimage`].
    pub signature: Signature,
}

impl Cosignature {
    /// Whether it is this key's over the checkpoint.
    pub fn verify(&self, checkpoint: &Checkpoint, key: &PublicKey) -> bool {
        // The specification bounds the time, so that signed and unsigned readers agree.
        self.time_s <= i64::MAX as u64
            && key.verify(&CosignaturePreimage { checkpoint, time_s: self.time_s }, &self.signature)
    }

    /// Its line in a note, under the cosigner's name.
    pub fn line(&self, name: &str, key: &PublicKey) -> SignatureLine {
        let verifier = VerifierKey::cosigner(name, *key);
        let mut blob = self.time_s.to_be_bytes().to_vec();
        blob.extend_from_slice(self.signature.as_bytes());
        SignatureLine { key_id: verifier.key_id(), name: verifier.name, blob }
    }
}

/// What kind of signature a verifier key makes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NoteKind {
    /// 0x01: Ed25519 over the note's text.
    Log,
    /// 0x04: Ed25519 over time and text.
    Cosignature,
}

impl NoteKind {
    /// The type byte of C2SP signed-note.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A name, kind and public key: `<name>+<key id>+<base64(type ‖ key)>` in text.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct VerifierKey {
    /// Name of the key; for a log, its origin.
    pub name: String,
    /// What it signs.
    pub kind: NoteKind,
    /// The key.
    pub key: PublicKey,
}

impl VerifierKey {
    /// A validator's key for cosignatures, under its name as notes allow it.
    pub fn cosigner(name: &str, key: PublicKey) -> Self {
        Self { name: key_name(name), kind: NoteKind::Cosignature, key }
    }

    /// First four bytes of SHA-256 over name, line break, type and key: tells keys apart, proves nothing.
    pub fn key_id(&self) -> [u8; 4] {
        let digest = Digest::tagged(self.name.as_bytes(), &[b"\n", &[self.kind.byte()], self.key.as_bytes()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }

    /// Whether the line claims to be this key's.
    pub fn owns(&self, line: &SignatureLine) -> bool {
        self.name == line.name && self.key_id() == line.key_id
    }

    /// Verifies a line that this key owns; `None` when it does not hold.
    pub fn verify(&self, checkpoint: &Checkpoint, line: &SignatureLine) -> Option<Holds> {
        match self.kind {
            NoteKind::Log => {
                let signature = Signature::new(line.blob.as_slice().try_into().ok()?);
                self.key.verify(&CheckpointPreimage { checkpoint }, &signature).then_some(Holds::Log)
            }
            NoteKind::Cosignature => {
                let cosignature = line.cosignature()?;
                cosignature
                    .verify(checkpoint, &self.key)
                    .then_some(Holds::Cosigned { time_s: cosignature.time_s })
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[self.kind.byte()], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.key_id()), STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    /// Reads a verifier key and checks that its id fits and its public key may be trusted.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::VerifierKey)?;
        let (id, material) = rest.split_once('+').ok_or(NoteError::VerifierKey)?;
        if !is_key_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        let material = decode_base64(material)?;
        let (&kind, key) = material.split_first().ok_or(NoteError::VerifierKey)?;
        let kind = match kind {
            1 => NoteKind::Log,
            4 => NoteKind::Cosignature,
            other => return Err(NoteError::Kind(other)),
        };
        let key = PublicKey::new(key.try_into().map_err(|_| NoteError::VerifierKey)?);
        key.check().map_err(|source| NoteError::Key { name: name.to_owned(), source })?;
        let read = Self { name: name.to_owned(), kind, key };
        if id.len() != 8 || u32::from_str_radix(id, 16).ok() != Some(u32::from_be_bytes(read.key_id())) {
            return Err(NoteError::KeyId(name.to_owned()));
        }
        Ok(read)
    }
}

/// What a signature line that verified says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holds {
    /// The log answered with this checkpoint.
    Log,
    /// A validator saw it.
    Cosigned {
        /// When, seconds since 1970, by its own clock.
        time_s: u64,
    },
}

/// One signature line of a note: who claims to have signed, and the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// See [`VerifierKey::key_id`].
    pub key_id: [u8; 4],
    /// 64 bytes of a log signature, or time and 64 bytes of a cosignature.
    pub blob: Vec<u8>,
}

impl SignatureLine {
    /// Its content read as a cosignature; `None` when it has another length.
    pub fn cosignature(&self) -> Option<Cosignature> {
        let (time, signature) = self.blob.split_first_chunk::<8>()?;
        let signature = Signature::new(signature.try_into().ok()?);
        Some(Cosignature { time_s: u64::from_be_bytes(*time), signature })
    }

    fn text(&self) -> String {
        let blob = [self.key_id.as_slice(), &self.blob].concat();
        format!("— {} {}\n", self.name, STANDARD.encode(blob))
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_id, blob) = blob.split_first_chunk::<4>()?;
        (is_key_name(name) && !blob.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_id: *key_id,
            blob: blob.to_vec(),
        })
    }
}

/// A checkpoint with its signature lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The lines, in the order of the text.
    pub lines: Vec<SignatureLine>,
}

impl SignedCheckpoint {
    /// The note: body, blank line, signature lines.
    pub fn to_text(&self) -> String {
        let mut text = self.checkpoint.body();
        text.push('\n');
        for line in &self.lines {
            text.push_str(&line.text());
        }
        text
    }

    /// Reads a note in its one spelling. Whose signatures it carries, and whether they hold, is judged by
    /// [`crate::trust::TrustPolicy::verify`].
    ///
    /// # Errors
    /// Names the flaw.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if text.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Control);
        }
        let split = text.rfind("\n\n").ok_or(NoteError::Unsigned)?;
        let checkpoint = Checkpoint::parse_body(&text[..=split])?;
        let block = text[split + 2..].strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut lines = Vec::new();
        for (at, line) in block.split('\n').enumerate() {
            if at == LINES_MAX {
                return Err(NoteError::TooLong);
            }
            lines.push(SignatureLine::parse(line).ok_or(NoteError::Line(at + 1))?);
        }
        Ok(Self { checkpoint, lines })
    }
}

/// A checkpoint that a quorum cosigned, with what receipts in COSE need beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// The checkpoint with its lines.
    pub signed: SignedCheckpoint,
    /// For each cosigner, in the order of the lines, its signature over [`crate::cose::RootStatement`].
    pub root_signatures: Vec<Signature>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::test_support::secret;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "test.city-ledger/00".into(), size: 42, root: Digest::tagged(b"root", &[]) }
    }

    fn signed() -> SignedCheckpoint {
        let checkpoint = checkpoint();
        let mut lines = vec![checkpoint.sign(&secret(3, 0))];
        for ix in 0..3 {
            let key = secret(3, ix);
            lines.push(
                checkpoint.cosign(1_795_392_000 + ix as u64, &key).line(&format!("v{ix}"), &key.public()),
            );
        }
        SignedCheckpoint { checkpoint, lines }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let text = signed().to_text();
        assert_eq!(SignedCheckpoint::parse(&text), Ok(signed()));
        assert!(text.starts_with("test.city-ledger/00\n42\n"), "{text}");
    }

    #[test]
    fn the_body_is_that_of_another_implementation() {
        let body = checkpoint().body();
        let theirs = tlog_tiles::Checkpoint::from_bytes(body.as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size()), ("test.city-ledger/00", 42));
        assert_eq!(theirs.hash().0, *checkpoint().root.as_bytes());
        assert_eq!(theirs.to_bytes(), body.as_bytes());
    }

    #[test]
    fn the_example_of_the_specification_parses() {
        // c2sp.org/tlog-cosignature, first example; it gives no public keys, so only the form is compared.
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
            — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let read = SignedCheckpoint::parse(text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!(read.checkpoint.size, 20_852_163);
        assert_eq!(read.lines[1].cosignature().unwrap().time_s, 1_679_315_147);
    }

    #[test]
    fn a_line_verifies_under_its_own_key_and_kind_only() {
        let signed = signed();
        let log = VerifierKey { name: checkpoint().origin, kind: NoteKind::Log, key: secret(3, 0).public() };
        assert!(log.owns(&signed.lines[0]));
        assert_eq!(log.verify(&signed.checkpoint, &signed.lines[0]), Some(Holds::Log));
        let witness =
            VerifierKey { name: "v0".into(), kind: NoteKind::Cosignature, key: secret(3, 0).public() };
        assert!(
            witness.owns(&signed.lines[1]) && !witness.owns(&signed.lines[0]) && !log.owns(&signed.lines[1])
        );
        assert_eq!(
            witness.verify(&signed.checkpoint, &signed.lines[1]),
            Some(Holds::Cosigned { time_s: 1_795_392_000 })
        );
        assert_eq!(witness.verify(&signed.checkpoint, &signed.lines[2]), None);
        let larger = Checkpoint { size: 43, ..checkpoint() };
        assert_eq!(witness.verify(&larger, &signed.lines[1]), None);
        assert_eq!(log.verify(&larger, &signed.lines[0]), None);
    }

    #[test]
    fn verifier_keys_are_read_strictly() {
        let key = VerifierKey { name: "v0".into(), kind: NoteKind::Cosignature, key: secret(3, 0).public() };
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key.clone()));
        let other_id = text.replacen(&text[3..11], "00000000", 1);
        assert_eq!(other_id.parse::<VerifierKey>(), Err(NoteError::KeyId("v0".into())));
        assert!(text.replacen("v0", "v 0", 1).parse::<VerifierKey>().is_err());
        assert!(text[..text.len() - 1].parse::<VerifierKey>().is_err());
        let weak = VerifierKey { key: PublicKey::new([0; 32]), ..key };
        assert!(matches!(weak.to_string().parse::<VerifierKey>(), Err(NoteError::Key { .. })));
    }

    #[test]
    fn keys_and_a_note_of_other_software_hold() {
        // The example of Go's golang.org/x/mod/sumdb/note, and the key of the Go checksum database, whose
        // base64 holds a plus sign.
        struct Text(&'static str);
        impl Signable for Text {
            fn preimage(&self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }
        }
        let key: VerifierKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = Text(
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
        );
        let line = SignatureLine::parse(
            "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
        );
        let line = line.unwrap();
        assert!(key.owns(&line));
        assert!(key.key.verify(&text, &Signature::new(line.blob.try_into().unwrap())));
        let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
    }

    #[test]
    fn a_note_has_one_spelling() {
        let text = signed().to_text();
        for (what, bad) in [
            ("carriage return", text.replacen('\n', "\r\n", 1)),
            ("leading zero", text.replacen("42", "042", 1)),
            ("sign", text.replacen("42", "+42", 1)),
            ("extension line", text.replacen("\n\n", "\nextension\n\n", 1)),
            ("no signatures", checkpoint().body()),
            ("empty block", format!("{}\n", checkpoint().body())),
            ("no final line break", text.trim_end().to_owned()),
            ("two dashes", text.replacen('—', "--", 1)),
            ("padding", text.replacen("=\n", "\n", 1)),
            ("blank line inside", text.replacen("\n—", "\n\n—", 2)),
            ("too long", format!("{text}{}", "x".repeat(NOTE_BYTES_MAX))),
        ] {
            assert!(SignedCheckpoint::parse(&bad).is_err(), "{what}: {bad}");
        }
    }

    #[test]
    fn names_become_valid_for_notes() {
        assert_eq!(key_name("market regulation+1\t"), "market-regulation-1-");
        assert_eq!(key_name(""), "-");
        assert_eq!(key_name(&"局".repeat(100)).len(), 255);
    }
}
