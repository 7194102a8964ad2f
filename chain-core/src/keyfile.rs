//! Key files: encrypted PKCS#8 v1 in PEM, which `openssl pkey` reads too.
//!
//! RFC 8018 PBES2 with scrypt (RFC 7914, N = 2^14, r = 8, p = 1: what OpenSSL accepts without options) and
//! AES-256-CBC, in RFC 7468 text. Lines before the PEM block say what the key is for; other software skips
//! them. This crate has no randomness: callers hand in [`Randomness`] fresh from the operating system.
//!
//! A file protects a key against whoever copies the file, not against whoever reads the running process.

use pkcs8::der::asn1::OctetString;
use pkcs8::pkcs5::EncryptionScheme as Pbes;
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters, Pbkdf2Prf, Salt, ScryptParams};
use pkcs8::{
    EncodePrivateKey as _, EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoOwned, LineEnding,
    PrivateKeyInfoRef, SecretDocument,
};
use zeroize::Zeroizing;

use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey, SUITE, SecretKey, hmac_sha256};
pub use crate::genesis::KeyRole;

/// First line of a key file.
const TITLE: &str = "City Ledger key file v1";
/// First line of a key file without encryption.
const TITLE_OPEN: &str = "City Ledger key file v1, NOT ENCRYPTED: for development networks only";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const OPEN: &str = "PRIVATE KEY";
/// Longest key file, bytes.
pub const BYTES_MAX: usize = 8 * 1024;
/// Shortest passphrase, bytes.
pub const PASSPHRASE_MIN: usize = 8;
/// Longest passphrase, bytes.
pub const PASSPHRASE_MAX: usize = 1024;
/// Dearest scrypt a file may ask for: N·r·p, about 256 MiB of memory traffic.
const SCRYPT_COST_MAX: u64 = 1 << 21;
/// Most PBKDF2 rounds a file may ask for.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// A passphrase, wiped on drop and never printed.
pub struct Passphrase(Zeroizing<String>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Passphrase {
    /// Wraps a passphrase; one line break at its end, as a file has, is removed.
    ///
    /// # Errors
    /// `BAD_PARAMETER` when it is shorter than [`PASSPHRASE_MIN`] or longer than [`PASSPHRASE_MAX`] bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let mut text = Zeroizing::new(text.into());
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if !(PASSPHRASE_MIN..=PASSPHRASE_MAX).contains(&text.len()) {
            let detail =
                format!("passphrase of {} bytes, wants {PASSPHRASE_MIN} to {PASSPHRASE_MAX}", text.len());
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        Ok(Self(text))
    }
}

/// Fresh random bytes for one encryption; never used twice.
#[derive(Clone, Copy)]
pub struct Randomness {
    /// Salt of the key derivation.
    pub salt: [u8; 16],
    /// Initialisation vector of the cipher.
    pub iv: [u8; 16],
}

impl Randomness {
    /// Splits 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut salt = [0; 16];
        let mut iv = [0; 16];
        salt.copy_from_slice(&bytes[..16]);
        iv.copy_from_slice(&bytes[16..]);
        Self { salt, iv }
    }
}

/// A key read from its file.
#[derive(Debug)]
pub struct KeyFile {
    /// What the file says the key is for; `None` in a file that other software wrote.
    pub role: Option<KeyRole>,
    /// The key.
    pub secret: SecretKey,
    /// Whether the file was encrypted.
    pub encrypted: bool,
}

/// What a key file says before it is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Label {
    /// What the key is for.
    pub role: Option<KeyRole>,
    /// The public key; not proved until the file is opened.
    pub public_key: Option<PublicKey>,
    /// Whether a passphrase is needed.
    pub encrypted: bool,
}

/// Writes a key under a passphrase.
///
/// # Errors
/// `INTERNAL` when the cipher library refuses, which no input of this signature makes it do.
pub fn encrypt(
    secret: &SecretKey,
    role: KeyRole,
    passphrase: &Passphrase,
    randomness: Randomness,
) -> Result<Zeroizing<String>, Refusal> {
    let internal = |error: &dyn std::fmt::Display| Refusal::new(Code::Internal, format!("key file: {error}"));
    let plain = secret.pkcs8_v1().to_pkcs8_der().map_err(|error| internal(&error))?;
    let kdf = Kdf::Scrypt(ScryptParams {
        salt: Salt::new(randomness.salt).map_err(|error| internal(&error))?,
        cost_parameter: 1 << 14,
        block_size: 8,
        parallelization: 1,
        key_length: None,
    });
    let parameters = Parameters { kdf, encryption: EncryptionScheme::Aes256Cbc { iv: randomness.iv } };
    let sealed =
        parameters.encrypt(passphrase.0.as_bytes(), plain.as_bytes()).map_err(|error| internal(&error))?;
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: Pbes::Pbes2(parameters),
        encrypted_data: OctetString::new(sealed).map_err(|error| internal(&error))?,
    };
    let document = SecretDocument::try_from(&info).map_err(|error| internal(&error))?;
    let pem = document.to_pem(ENCRYPTED, LineEnding::LF).map_err(|error| internal(&error))?;
    Ok(with_header(TITLE, secret, role, &pem))
}

/// Writes a key without encryption. For development networks only: whoever reads the file is the key's owner.
pub fn development_plaintext(secret: &SecretKey, role: KeyRole) -> Zeroizing<String> {
    #[expect(clippy::expect_used, reason = "32 fixed bytes always encode")]
    let pem = secret.pkcs8_v1().to_pkcs8_pem(LineEnding::LF).expect("an Ed25519 key encodes as PKCS#8");
    with_header(TITLE_OPEN, secret, role, &pem)
}

fn with_header(title: &str, secret: &SecretKey, role: KeyRole, pem: &str) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{title}\nsuite: {SUITE}\nrole: {}\npublic-key: {}\n\n{pem}",
        role.text(),
        secret.public()
    ))
}

/// What a file says of itself, without opening it.
///
/// # Errors
/// `KEY_FILE_INVALID` when it is no key file.
pub fn label(text: &str) -> Result<Label, Refusal> {
    split(text).map(|(label, _)| label)
}

/// Opens a key file.
///
/// # Arguments
/// `want` is the role the key will serve; a file that names another role is refused, one that names none
/// (written by other software) is taken. `passphrase` may be absent for a file without encryption.
///
/// # Errors
/// `KEY_FILE_INVALID`: damaged, another role, passphrase missing or wrong.
pub fn decrypt(text: &str, want: KeyRole, passphrase: Option<&Passphrase>) -> Result<KeyFile, Refusal> {
    let (label, pem) = split(text)?;
    if let Some(role) = label.role
        && role != want
    {
        let detail = format!("the file holds a {} key, wanted a {} key", role.text(), want.text());
        return Err(invalid(detail));
    }
    let (kind, document) = SecretDocument::from_pem(pem).map_err(|_| invalid("the PEM block is damaged"))?;
    let document = match kind {
        OPEN => document,
        ENCRYPTED => {
            let passphrase =
                passphrase.ok_or_else(|| invalid("the file is encrypted and no passphrase was given"))?;
            let info = document
                .decode_msg::<EncryptedPrivateKeyInfoOwned>()
                .map_err(|_| invalid("the PEM block is no PKCS#8 structure"))?;
            affordable(&info.encryption_algorithm)?;
            info.decrypt(passphrase.0.as_bytes())
                .map_err(|_| invalid("the passphrase is wrong or the file is damaged"))?
        }
        other => return Err(invalid(format!("a PEM block {other}, wanted {ENCRYPTED}"))),
    };
    let secret = document
        .decode_msg::<PrivateKeyInfoRef<'_>>()
        .ok()
        .and_then(|info| ed25519_dalek::pkcs8::KeypairBytes::try_from(info).ok())
        .map(|pair| SecretKey::from_seed(pair.secret_key))
        .ok_or_else(|| invalid("the passphrase is wrong, or the file holds no Ed25519 key"))?;
    if label.public_key.is_some_and(|public| public != secret.public()) {
        return Err(invalid("the public key in the file's heading is not that of the key"));
    }
    Ok(KeyFile { role: label.role, secret, encrypted: kind == ENCRYPTED })
}

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::KeyFileInvalid, detail)
}

fn split(text: &str) -> Result<(Label, &str), Refusal> {
    if text.len() > BYTES_MAX {
        return Err(invalid(format!("{} bytes, at most {BYTES_MAX}", text.len())));
    }
    let begin = text.find("-----BEGIN ").ok_or_else(|| invalid("no PEM block"))?;
    let (heading, pem) = text.split_at(begin);
    let mut label = Label {
        role: None,
        public_key: None,
        encrypted: pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
    };
    let value =
        |line: &str| line.split_once(": ").map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
    for line in heading.lines() {
        if line.starts_with("role: ") {
            let role = value(line);
            label.role =
                Some(KeyRole::from_text(&role).ok_or_else(|| invalid(format!("unknown role {role:?}")))?);
        } else if line.starts_with("public-key: ") {
            label.public_key = Some(value(line).parse().map_err(|error| invalid(format!("{error}")))?);
        } else if line.starts_with("suite: ") && value(line) != SUITE.to_string() {
            return Err(invalid(format!("suite {}, wanted {SUITE}", value(line))));
        }
    }
    Ok((label, pem))
}

/// Refuses a file whose key derivation would cost more than opening a key is worth.
fn affordable(scheme: &Pbes) -> Result<(), Refusal> {
    let Pbes::Pbes2(parameters) = scheme else {
        return Err(invalid("the file uses PBES1, which is broken"));
    };
    let fits = match &parameters.kdf {
        Kdf::Scrypt(scrypt) => {
            let cost = u64::from(scrypt.block_size).checked_mul(u64::from(scrypt.parallelization));
            cost.and_then(|cost| cost.checked_mul(scrypt.cost_parameter))
                .is_some_and(|cost| cost <= SCRYPT_COST_MAX)
        }
        Kdf::Pbkdf2(pbkdf2) => {
            pbkdf2.iteration_count <= PBKDF2_ROUNDS_MAX && pbkdf2.prf == Pbkdf2Prf::HmacWithSha256
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(invalid("the file's key derivation is unknown or too dear")) }
}

/// An agency's secret for recognising its own decision numbers and idempotency keys: officers of one agency
/// share it, nobody else can link or guess what it maps. Wiped on drop, redacted in `Debug`.
pub struct DedupeKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DedupeKey({})", self.check())
    }
}

const DEDUPE_TITLE: &str = "City Ledger dedupe key v1";

impl DedupeKey {
    /// Wraps 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// HMAC-SHA-256 of the concatenated parts: the caller makes them unambiguous.
    pub fn mac(&self, parts: &[&[u8]]) -> Digest {
        hmac_sha256(self.0.as_slice(), parts)
    }

    /// The secret, for functions that take raw bytes.
    pub fn secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// Eight digits by which officers see that they hold the same key.
    pub fn check(&self) -> String {
        self.mac(&[b"CL/dedupe-check/1"]).to_string()[..8].to_owned()
    }

    /// The key's text: title, agency, secret and check digits.
    pub fn to_text(&self, agency: &str) -> Zeroizing<String> {
        let secret = Zeroizing::new(Digest::new(*self.0).to_string());
        let check = self.check();
        Zeroizing::new(format!(
            "{DEDUPE_TITLE}\nagency: {agency}\nsecret: {}\ncheck: {check}\n",
            secret.as_str()
        ))
    }

    /// Reads the key's text; returns the agency it belongs to as well.
    ///
    /// # Errors
    /// `KEY_FILE_INVALID` when a line is missing or the check digits do not fit.
    pub fn parse(text: &str) -> Result<(String, Self), Refusal> {
        let lines: Vec<&str> = text.lines().collect();
        let [DEDUPE_TITLE, agency, secret, check] = lines[..] else {
            return Err(invalid(format!("not the four lines of a {DEDUPE_TITLE:?}")));
        };
        let field = |line: &'_ str, name: &str| {
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or_else(|| invalid(format!("no line `{name}: …`")))
        };
        let agency = field(agency, "agency")?;
        let secret = Zeroizing::new(field(secret, "secret")?);
        let bytes: Digest = secret.parse().map_err(|_| invalid("the secret is not 64 hexadecimal digits"))?;
        let key = Self::from_seed(*bytes.as_bytes());
        if field(check, "check")? != key.check() {
            return Err(invalid("the check digits do not fit the secret"));
        }
        Ok((agency, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOMNESS: Randomness = Randomness { salt: [7; 16], iv: [9; 16] };

    fn secret() -> SecretKey {
        SecretKey::from_seed([3; 32])
    }

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse\n").unwrap()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn a_key_file_opens_with_its_passphrase_only() {
        let text = encrypt(&secret(), KeyRole::Log, &passphrase(), RANDOMNESS).unwrap();
        let opened = decrypt(&text, KeyRole::Log, Some(&passphrase())).unwrap();
        assert_eq!(
            (opened.secret.public(), opened.role, opened.encrypted),
            (secret().public(), Some(KeyRole::Log), true)
        );
        let wrong = Passphrase::new("correct house").unwrap();
        assert_eq!(code(decrypt(&text, KeyRole::Log, Some(&wrong))), Code::KeyFileInvalid);
        assert_eq!(code(decrypt(&text, KeyRole::Log, None)), Code::KeyFileInvalid);
        assert_eq!(code(decrypt(&text, KeyRole::Consensus, Some(&passphrase()))), Code::KeyFileInvalid);
    }

    #[test]
    fn heading_and_block_must_agree() {
        let text = encrypt(&secret(), KeyRole::Log, &passphrase(), RANDOMNESS).unwrap();
        let other = SecretKey::from_seed([4; 32]).public();
        let swapped = text.replace(&secret().public().to_string(), &other.to_string());
        assert_eq!(code(decrypt(&swapped, KeyRole::Log, Some(&passphrase()))), Code::KeyFileInvalid);
        let label = label(&text).unwrap();
        let want = Label { role: Some(KeyRole::Log), public_key: Some(secret().public()), encrypted: true };
        assert_eq!(label, want);
    }

    #[test]
    fn a_file_of_other_software_has_no_heading() {
        let text = development_plaintext(&secret(), KeyRole::Member);
        assert!(text.starts_with(TITLE_OPEN));
        let bare = &text[text.find("-----BEGIN").unwrap()..];
        let opened = decrypt(bare, KeyRole::Member, None).unwrap();
        assert_eq!((opened.role, opened.encrypted, opened.secret.public()), (None, false, secret().public()));
    }

    #[test]
    fn every_damaged_byte_of_the_block_is_noticed() {
        // Without the public key in the heading only the padding and the structure protect the block; with it,
        // nothing goes unnoticed.
        let text = encrypt(&secret(), KeyRole::Log, &passphrase(), RANDOMNESS).unwrap();
        let begin = text.find("-----BEGIN").unwrap();
        for at in (begin + 40..text.len() - 40).step_by(29) {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(bytes).unwrap();
            assert_eq!(
                code(decrypt(&damaged, KeyRole::Log, Some(&passphrase()))),
                Code::KeyFileInvalid,
                "byte {at}"
            );
        }
        assert_eq!(code(decrypt("", KeyRole::Log, None)), Code::KeyFileInvalid);
        assert_eq!(code(decrypt(&"x".repeat(BYTES_MAX + 1), KeyRole::Log, None)), Code::KeyFileInvalid);
    }

    #[test]
    fn a_hostile_key_derivation_is_refused_before_it_runs() {
        let scrypt = |cost_parameter, block_size, parallelization| {
            let salt = Salt::new([0; 16]).unwrap();
            let kdf = Kdf::Scrypt(ScryptParams {
                salt,
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            });
            Pbes::Pbes2(Parameters { kdf, encryption: EncryptionScheme::Aes256Cbc { iv: [0; 16] } })
        };
        affordable(&scrypt(1 << 14, 8, 1)).unwrap();
        for hostile in [scrypt(1 << 40, 8, 1), scrypt(1 << 14, u16::MAX, u16::MAX)] {
            let info = EncryptedPrivateKeyInfo {
                encryption_algorithm: hostile,
                encrypted_data: OctetString::new([0; 64]).unwrap(),
            };
            let pem = SecretDocument::try_from(&info).unwrap().to_pem(ENCRYPTED, LineEnding::LF).unwrap();
            let refusal = decrypt(&pem, KeyRole::Log, Some(&passphrase())).unwrap_err();
            assert_eq!(refusal.code, Code::KeyFileInvalid);
            assert!(refusal.detail.contains("too dear"), "{refusal}");
        }
    }

    #[test]
    fn short_and_endless_passphrases_are_refused() {
        assert_eq!(code(Passphrase::new("short")), Code::BadParameter);
        assert_eq!(code(Passphrase::new("x".repeat(PASSPHRASE_MAX + 1))), Code::BadParameter);
        assert_eq!(format!("{:?}", passphrase()), "Passphrase(…)");
    }

    #[test]
    fn a_dedupe_key_is_read_as_it_was_written() {
        let key = DedupeKey::from_seed([5; 32]);
        let text = key.to_text("uscc:11320100MAXP23YC3L");
        let (agency, read) = DedupeKey::parse(&text).unwrap();
        assert_eq!((agency.as_str(), read.secret()), ("uscc:11320100MAXP23YC3L", key.secret()));
        assert_eq!(code(DedupeKey::parse(&text.replace("0505", "0506"))), Code::KeyFileInvalid);
        assert_eq!(code(DedupeKey::parse("agency: x")), Code::KeyFileInvalid);
        assert!(!format!("{key:?}").contains("0505"));
    }
}
