//! The node's private file: where things are and where to listen. Everything that all validators must agree
//! on stands in the genesis instead.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chain_core::block::CERTIFIED_EVERY;
use chain_core::code::{Code, Refusal};
use chain_core::record::RecordType;
use serde::Deserialize;

/// Longest configuration, bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// The configuration of one node. Relative paths are relative to the file's directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The genesis document.
    pub genesis: PathBuf,
    /// Where the node keeps its data.
    pub data_dir: PathBuf,
    /// The validator's keys.
    pub keys: Keys,
    /// The network between validators.
    pub p2p: P2p,
    /// The HTTP API.
    pub api: Api,
    /// The agency's vault for bodies about persons.
    #[serde(default)]
    pub vault: Option<VaultConfig>,
    /// Snapshots of the ledger.
    #[serde(default)]
    pub snapshots: SnapshotsConfig,
    /// Where backups are kept.
    #[serde(default)]
    pub backup: Option<BackupConfig>,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
}

/// Key files: PKCS#8 in PEM, mode 0600.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Signs proposals and votes.
    pub consensus: PathBuf,
    /// Identity on the network between validators.
    pub network: PathBuf,
    /// Cosigns checkpoints.
    pub log: PathBuf,
    /// Of the index of subjects, where the genesis names one; every validator has the same.
    #[serde(default)]
    pub subjects: Option<PathBuf>,
    /// One line that opens them; may be a systemd credential. Absent for keys without a passphrase.
    #[serde(default)]
    pub passphrase_file: Option<PathBuf>,
}

/// The network between validators.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P2p {
    /// Where to listen, a multiaddr.
    pub listen: String,
    /// Where to dial validators whose address differs from the genesis, by name.
    #[serde(default)]
    pub addresses: BTreeMap<String, String>,
}

/// The HTTP API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Where to listen, e.g. `127.0.0.1:8101`.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    #[serde(default)]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Whose eyes answers are for.
    #[serde(default)]
    pub reader: ApiReader,
}

/// For whom the API shows bodies of records.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ApiReader {
    /// Anybody: only what is published.
    #[default]
    Public,
    /// Whoever is on this machine, which alone reaches the address: also what waits for approval or is no longer
    /// published. Nobody logs in and no log says who read what, so no other address is allowed. Bodies in a vault are
    /// never shown.
    Auditor,
}

/// The agency's vault, and those of agencies that run no validator and are at home at this one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// 64 hexadecimal digits, mode 0600.
    pub key: PathBuf,
    /// The agency, for a validator that the genesis does not name.
    #[serde(default)]
    pub agency: Option<String>,
    /// Its guests.
    #[serde(default)]
    pub guests: Vec<GuestConfig>,
    /// Agencies whose officers may read bodies of class P2.
    #[serde(default)]
    pub readers: Vec<ReaderConfig>,
}

/// An agency whose officers may read what is restricted to named agencies (class P2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderConfig {
    /// The agency.
    pub agency: String,
    /// Whose records; those of the node's own agency where it is left out.
    #[serde(default)]
    pub of: Option<String>,
    /// Of which types.
    pub types: Vec<RecordType>,
}

/// The vault of a guest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestConfig {
    /// The agency.
    pub agency: String,
    /// As [`VaultConfig::key`].
    pub key: PathBuf,
}

impl VaultConfig {
    /// The files with the keys, the own one first.
    pub fn keys(&self) -> Vec<PathBuf> {
        [&self.key].into_iter().chain(self.guests.iter().map(|guest| &guest.key)).cloned().collect()
    }
}

/// When snapshots of the ledger are taken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotsConfig {
    /// After so many blocks, besides where epochs end; 0 for only there. A node that joins takes one that f+1 validators
    /// have, so all should say the same. A multiple of [`CERTIFIED_EVERY`].
    pub every: u64,
}

impl Default for SnapshotsConfig {
    fn default() -> Self {
        Self { every: crate::snapshots::EVERY }
    }
}

/// Where backups are kept. `city-node backup` makes them; a node tells how old the newest one is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// A folder outside the data directory, best on another disk.
    pub folder: PathBuf,
}

/// What is logged, as JSON lines on standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least level, or a filter such as `info,city_node::network=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned() }
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND`, `CONFIG_INVALID` with line, key and value.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let text = read_text(path, BYTES_MAX)?;
        let mut config = Self::parse(&text).map_err(|refusal| {
            Refusal::new(refusal.code, format!("{}: {}", path.display(), refusal.detail))
        })?;
        config.resolve(path.parent().unwrap_or_else(|| Path::new(".")));
        Ok(config)
    }

    /// Parses a configuration.
    ///
    /// # Errors
    /// `CONFIG_INVALID`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let invalid = |detail: String| Refusal::new(Code::ConfigInvalid, detail);
        let config: Self = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            invalid(format!("line {line}: {}", error.message()))
        })?;
        if config.api.tls_certificate.is_some() != config.api.tls_key.is_some() {
            return Err(invalid("`api.tls_certificate` and `api.tls_key` go together".to_owned()));
        }
        if config.api.reader == ApiReader::Auditor && !config.api.listen.ip().is_loopback() {
            let detail = format!(
                "`api.reader` is \"auditor\" and `api.listen` is {}: answers of that kind show what is not published, ask for no \
                 login and stand in no log; wants an address of this machine alone, like 127.0.0.1:7100, or reader = \"public\" \
                 and `city access read` for officers",
                config.api.listen
            );
            return Err(invalid(detail));
        }
        if !config.p2p.listen.starts_with('/') {
            let detail = format!(
                "`p2p.listen` is {:?}, wants a multiaddr like /ip4/0.0.0.0/tcp/7101",
                config.p2p.listen
            );
            return Err(invalid(detail));
        }
        if !config.snapshots.every.is_multiple_of(CERTIFIED_EVERY) {
            let detail = format!(
                "`snapshots.every` is {}, wants a multiple of {CERTIFIED_EVERY}: only of these heights is every execution certified",
                config.snapshots.every
            );
            return Err(invalid(detail));
        }
        Ok(config)
    }

    fn resolve(&mut self, base: &Path) {
        let Self { genesis, data_dir, keys, api, vault, backup, .. } = self;
        let paths = [genesis, data_dir, &mut keys.consensus, &mut keys.network, &mut keys.log];
        let optional =
            [&mut keys.subjects, &mut keys.passphrase_file, &mut api.tls_certificate, &mut api.tls_key];
        let optional = optional
            .into_iter()
            .flatten()
            .chain(vault.iter_mut().flat_map(|vault| {
                [&mut vault.key].into_iter().chain(vault.guests.iter_mut().map(|guest| &mut guest.key))
            }))
            .chain(backup.as_mut().map(|backup| &mut backup.folder));
        for path in paths.into_iter().chain(optional) {
            if path.is_relative() {
                *path = base.join(&*path);
            }
        }
    }
}

/// Reads a text file of bounded size.
///
/// # Errors
/// `FILE_NOT_FOUND`, `CONFIG_INVALID` when it is too long or no text.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, Refusal> {
    use std::io::Read as _;
    let missing = |error| Refusal::new(Code::FileNotFound, format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(missing)?;
    let mut text = String::new();
    file.take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|error| Refusal::new(Code::ConfigInvalid, format!("{}: {error}", path.display())))?;
    if text.len() as u64 > bytes_max {
        let detail = format!("{} is longer than {bytes_max} bytes", path.display());
        return Err(Refusal::new(Code::ConfigInvalid, detail));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
genesis = "genesis.toml"
data_dir = "/var/lib/city"
[keys]
consensus = "c.pem"
network = "n.pem"
log = "l.pem"
[p2p]
listen = "/ip4/127.0.0.1/tcp/7101"
[api]
listen = "127.0.0.1:8101"
"#;

    #[test]
    fn a_good_file_is_read_with_its_paths_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, format!("{GOOD}[backup]\nfolder = \"copies\"\n")).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.backup.unwrap().folder, dir.path().join("copies"));
        assert_eq!(config.genesis, dir.path().join("genesis.toml"));
        assert_eq!(config.data_dir, Path::new("/var/lib/city"));
        assert_eq!(config.log.filter, "info");
    }

    #[test]
    fn what_is_not_published_is_served_to_this_machine_alone() {
        for (listen, reader) in [
            ("127.0.0.1:8101", "auditor"),
            ("[::1]:8101", "auditor"),
            ("0.0.0.0:8101", "public"),
            ("10.1.2.3:8101", "public"),
        ] {
            let to = format!("{listen}\"\nreader = \"{reader}\"");
            let config = Config::parse(&GOOD.replacen("127.0.0.1:8101\"", &to, 1)).unwrap();
            assert_eq!(config.api.listen.to_string(), listen);
        }
    }

    #[test]
    fn every_flaw_is_named() {
        // (what is changed, into what, what the refusal says)
        for (from, to, says) in [
            ("[api]", "[api]\nport = 1", "unknown field `port`"),
            ("data_dir", "data_dri", "data_dri"),
            ("127.0.0.1:8101", "8101", "invalid socket address"),
            ("/ip4/127.0.0.1/tcp/7101", "127.0.0.1:7101", "multiaddr"),
            ("log = \"l.pem\"", "", "missing field `log`"),
            ("[api]", "[api]\ntls_key = \"k\"", "go together"),
            ("127.0.0.1:8101\"", "0.0.0.0:8101\"\nreader = \"auditor\"", "`api.listen` is 0.0.0.0:8101"),
            ("127.0.0.1:8101\"", "10.1.2.3:8101\"\nreader = \"auditor\"", "city access read"),
            (
                "127.0.0.1:8101\"",
                "[::]:8101\"\nreader = \"auditor\"",
                "wants an address of this machine alone",
            ),
            ("[keys]", "[keys", "line 4"),
            ("[p2p]", "[keys]", "duplicate"),
            ("[api]", "[backup]\n[api]", "missing field `folder`"),
            ("[api]", "[snapshots]\nevery = 40\n[api]", "`snapshots.every` is 40, wants a multiple of 64"),
            ("[api]", "[backup]\nfolder = \"b\"\nkeep = 3\n[api]", "unknown field `keep`"),
        ] {
            let refusal = Config::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert_eq!(refusal.code, Code::ConfigInvalid, "{to}");
            assert!(refusal.detail.contains(says), "{to}: {}", refusal.detail);
        }
    }
}
