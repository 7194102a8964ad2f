//! The key ring: a folder of key files and one list that says whose they are.
//!
//! An importer finds the clerk key of the authority named in a row here; which key may do what is the
//! ledger's to judge.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chain_core::code::Code;
use chain_core::crypto::{PublicKey, SecretKey};
use chain_core::keyfile::{self, DedupeKey, KeyRole, Passphrase, Randomness};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::{files, passphrase};

/// Name of the list in the ring's folder.
const LIST: &str = "keyring.toml";

/// Names that a hint lists; of more it says where they are.
const NAMES_SHOWN: usize = 12;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// File with the passphrase of every key here; for services and development networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase_file: Option<PathBuf>,
    /// Members' keys are written without encryption: the whole network is on one machine anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    development: bool,
    #[serde(default, rename = "key")]
    keys: Vec<Entry>,
    /// Dedupe key files by agency.
    #[serde(default, rename = "dedupe")]
    dedupe: BTreeMap<String, PathBuf>,
}

/// What the ring says of one key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Name in this ring.
    pub(crate) name: String,
    /// Key file in the ring's folder.
    pub(crate) file: PathBuf,
    /// `consensus`, `network`, `log` or `member`.
    pub(crate) kind: String,
    /// The public half.
    pub(crate) public: PublicKey,
    /// Agency of a member's key, e.g. `uscc:11320100MAXP23YC3L`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agency: Option<String>,
    /// Role of a member's key, e.g. `clerk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// The post, never a person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
}

/// An opened ring. Secrets are read when they are first needed and kept until the command ends.
#[derive(Debug)]
pub(crate) struct KeyRing {
    folder: PathBuf,
    list: List,
    source: passphrase::Source,
    passphrase: OnceCell<Passphrase>,
    opened: RefCell<BTreeMap<String, Rc<SecretKey>>>,
}

impl KeyRing {
    /// Opens a folder; one without a list is an empty ring.
    pub(crate) fn open(folder: &Path, source: passphrase::Source) -> CliResult<Self> {
        let path = folder.join(LIST);
        let list = match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                let detail = format!("{}: {}", path.display(), error.to_string().trim());
                CliError::new(Code::ConfigInvalid, detail)
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => List::default(),
            Err(error) => return Err(CliError::file(&path, &error)),
        };
        let opened = RefCell::default();
        Ok(Self { folder: folder.to_owned(), list, source, passphrase: OnceCell::new(), opened })
    }

    /// Where the ring is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names the file whose passphrase opens every key here.
    pub(crate) fn set_passphrase_file(&mut self, file: PathBuf) -> CliResult {
        self.list.passphrase_file = Some(file);
        self.save()
    }

    /// Makes this the ring of a development network: members' keys are not encrypted from now on.
    pub(crate) fn set_development(&mut self) -> CliResult {
        self.list.development = true;
        self.save()
    }

    /// Every key in order of addition.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.list.keys
    }

    /// The key of this name.
    pub(crate) fn find(&self, name: &str) -> CliResult<&Entry> {
        self.list.keys.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.list.keys.iter().map(|entry| entry.name.as_str()).collect();
            let detail = format!("no key {name} in {}", self.folder.display());
            CliError::new(Code::FileNotFound, detail).hint(match names.len() {
                0 => "the ring is empty: give --keys DIR, or make a key: city key new".to_owned(),
                1..=NAMES_SHOWN => format!("one of: {}", names.join(", ")),
                _ => format!("see: city key list --keys {}", self.folder.display()),
            })
        })
    }

    /// Keys in a role, of whatever agency.
    pub(crate) fn in_role(&self, role: &str) -> Vec<&Entry> {
        self.entries().iter().filter(|entry| entry.role.as_deref() == Some(role)).collect()
    }

    /// Keys of an agency in a role.
    pub(crate) fn of(&self, agency: &str, role: &str) -> Vec<&Entry> {
        let fits =
            |entry: &&Entry| entry.agency.as_deref() == Some(agency) && entry.role.as_deref() == Some(role);
        self.list.keys.iter().filter(fits).collect()
    }

    /// Makes a key, encrypts it, and writes it to a file that must not exist.
    pub(crate) fn create(&mut self, name: &str, kind: KeyRole, owner: Owner) -> CliResult<Entry> {
        if self.list.keys.iter().any(|entry| entry.name == name) {
            let detail = format!("the ring has a key {name} already");
            return Err(CliError::new(Code::FileExists, detail).hint("choose another name"));
        }
        files::make_dir(&self.folder)?;
        let secret = SecretKey::from_seed(files::random()?);
        let text = if self.list.development && kind == KeyRole::Member {
            keyfile::development_plaintext(&secret, kind)
        } else {
            let randomness = Randomness::from_bytes(files::random()?);
            keyfile::encrypt(&secret, kind, self.chosen_passphrase()?, randomness)?
        };
        let file = PathBuf::from(format!("{name}.pem"));
        files::create_secret(&self.folder.join(&file), &text)?;
        let entry = Entry {
            name: name.to_owned(),
            file,
            kind: kind.text().to_owned(),
            public: secret.public(),
            agency: owner.agency,
            role: owner.role,
            label: owner.label,
        };
        self.list.keys.push(entry.clone());
        self.opened.borrow_mut().insert(name.to_owned(), Rc::new(secret));
        self.save()?;
        Ok(entry)
    }

    /// The secret of an entry.
    pub(crate) fn secret(&self, entry: &Entry) -> CliResult<Rc<SecretKey>> {
        if let Some(secret) = self.opened.borrow().get(&entry.name) {
            return Ok(Rc::clone(secret));
        }
        let path = self.folder.join(&entry.file);
        let text = files::read_secret(&path)?;
        let kind = KeyRole::from_text(&entry.kind).ok_or_else(|| {
            CliError::new(
                Code::ConfigInvalid,
                format!("key {} has the unknown kind {}", entry.name, entry.kind),
            )
        })?;
        let passphrase = if keyfile::label(&text)?.encrypted { Some(self.known_passphrase()?) } else { None };
        let opened = keyfile::decrypt(&text, kind, passphrase)
            .map_err(|refusal| CliError::from(refusal).hint(format!("the file is {}", path.display())))?;
        let secret = Rc::new(opened.secret);
        self.opened.borrow_mut().insert(entry.name.clone(), Rc::clone(&secret));
        Ok(secret)
    }

    /// Makes the dedupe key of an agency; its officers share the file.
    pub(crate) fn create_dedupe(&mut self, agency: &str, name: &str) -> CliResult {
        // A second one would not recognise what was filed under the first.
        if let Some(file) = self.list.dedupe.get(agency) {
            let detail = format!("the ring holds a dedupe key of {agency} already: {}", file.display());
            return Err(CliError::new(Code::FileExists, detail).hint("the agency's officers share that file"));
        }
        files::make_dir(&self.folder)?;
        let file = PathBuf::from(format!("{name}.dedupe"));
        let key = DedupeKey::from_seed(files::random()?);
        files::create_secret(&self.folder.join(&file), &key.to_text(agency))?;
        self.list.dedupe.insert(agency.to_owned(), file);
        self.save()
    }

    /// Agencies and the files of their dedupe keys.
    pub(crate) fn dedupe_files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.list.dedupe.iter().map(|(agency, file)| (agency.as_str(), file.as_path()))
    }

    /// The dedupe key of an agency.
    pub(crate) fn dedupe(&self, agency: &str) -> CliResult<DedupeKey> {
        let file = self.list.dedupe.get(agency).ok_or_else(|| {
            let detail = format!("the ring holds no dedupe key of {agency}");
            CliError::new(Code::NoKeyForAuthority, detail)
                .hint("copy the agency's .dedupe file into the ring, or make one: city key new NAME --kind dedupe --agency ID")
        })?;
        let (owner, key) = DedupeKey::parse(&files::read_secret(&self.folder.join(file))?)?;
        if owner != agency {
            let detail = format!("{} belongs to {owner}, not to {agency}", file.display());
            return Err(CliError::new(Code::KeyFileInvalid, detail));
        }
        Ok(key)
    }

    fn chosen_passphrase(&self) -> CliResult<&Passphrase> {
        if self.passphrase.get().is_none() {
            let what = self.folder.display().to_string();
            let passphrase = self.source.choose(&what, self.passphrase_file().as_deref())?;
            let _ = self.passphrase.set(passphrase);
        }
        self.passphrase.get().ok_or_else(|| CliError::internal("passphrase was not kept"))
    }

    fn known_passphrase(&self) -> CliResult<&Passphrase> {
        if self.passphrase.get().is_none() {
            let what = self.folder.display().to_string();
            let passphrase = self.source.get(&what, self.passphrase_file().as_deref())?;
            let _ = self.passphrase.set(passphrase);
        }
        self.passphrase.get().ok_or_else(|| CliError::internal("passphrase was not kept"))
    }

    fn passphrase_file(&self) -> Option<PathBuf> {
        self.list.passphrase_file.as_ref().map(|file| self.folder.join(file))
    }

    fn save(&self) -> CliResult {
        files::make_dir(&self.folder)?;
        files::replace(&self.folder.join(LIST), &toml::to_string(&self.list).map_err(CliError::internal)?)
    }
}

/// Whose key a new one will be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner {
    /// Agency of a member.
    pub(crate) agency: Option<String>,
    /// Role of a member.
    pub(crate) role: Option<String>,
    /// Post of a member.
    pub(crate) label: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(folder: &Path) -> KeyRing {
        std::fs::write(folder.join("pass"), "correct horse\n").unwrap();
        std::fs::set_permissions(folder.join("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let source = passphrase::Source { file: Some(folder.join("pass")), no_input: true };
        KeyRing::open(folder, source).unwrap()
    }

    #[test]
    fn keys_are_found_by_agency_and_role_and_open_again() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner { agency: Some("uscc:A".into()), role: Some("clerk".into()), label: None };
        let made = ring(dir.path()).create("c1", KeyRole::Member, owner).unwrap();
        let again = ring(dir.path());
        let found = again.of("uscc:A", "clerk");
        assert_eq!(found, [&made]);
        assert!(again.of("uscc:B", "clerk").is_empty());
        assert_eq!(again.secret(found[0]).unwrap().public(), made.public);
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = ring(dir.path());
        ring.create("c1", KeyRole::Member, Owner::default()).unwrap();
        let error = ring.create("c1", KeyRole::Member, Owner::default()).unwrap_err();
        assert_eq!(error.code(), Code::FileExists);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let entry = ring(dir.path()).create("c1", KeyRole::Member, Owner::default()).unwrap();
        let path = dir.path().join(&entry.file);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(ring(dir.path()).secret(&entry).unwrap_err().code(), Code::KeyFilePermissions);
    }

    #[test]
    fn a_dedupe_key_serves_its_own_agency() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = ring(dir.path());
        ring.create_dedupe("uscc:A", "a").unwrap();
        assert_eq!(ring.create_dedupe("uscc:A", "b").unwrap_err().code(), Code::FileExists);
        assert_eq!(ring.dedupe_files().collect::<Vec<_>>(), [("uscc:A", Path::new("a.dedupe"))]);
        ring.dedupe("uscc:A").unwrap();
        assert_eq!(ring.dedupe("uscc:B").unwrap_err().code(), Code::NoKeyForAuthority);
    }
}
