//! Where a development network keeps what.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;

/// Name of the file that makes a folder a development network.
const LIST: &str = "devnet.toml";
/// Ports between the first of one validator and the first of the next.
const PORT_STEP: u16 = 10;

/// Folder of the network that commands mean without `--dir`.
pub(crate) const DEFAULT_DIR: &str = "devnet";

/// A development network on disk.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    list: List,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct List {
    base_port: u16,
    #[serde(rename = "validator")]
    validators: Vec<Validator>,
}

/// One validator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validator {
    /// Its number, from 1.
    pub(crate) number: u16,
    /// Its name.
    pub(crate) name: String,
    /// Its agency.
    pub(crate) agency: String,
    /// Port of its HTTP API.
    pub(crate) api_port: u16,
    /// Port for its peers.
    pub(crate) p2p_port: u16,
}

impl Validator {
    /// The validator of a number.
    pub(crate) fn new(number: u16, name: &str, agency: &str, base_port: u16) -> CliResult<Self> {
        let port = number
            .checked_sub(1)
            .and_then(|at| at.checked_mul(PORT_STEP))
            .and_then(|offset| base_port.checked_add(offset))
            .filter(|port| *port < u16::MAX)
            .ok_or_else(|| CliError::usage(format!("--base-port {base_port} leaves too few ports")))?;
        Ok(Self {
            number,
            name: name.to_owned(),
            agency: agency.to_owned(),
            api_port: port,
            p2p_port: port + 1,
        })
    }

    /// Base URL of its API.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// Where peers dial it.
    pub(crate) fn multiaddr(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.p2p_port)
    }
}

impl Layout {
    /// Opens an existing network.
    pub(crate) fn open(root: &Path) -> CliResult<Self> {
        let path = root.join(LIST);
        let text = std::fs::read_to_string(&path).map_err(|_| {
            CliError::new(Code::DevnetState, format!("{} is no development network", root.display()))
                .hint(format!("make one: {}", command("up", root)))
        })?;
        let list = toml::from_str(&text).map_err(|error| {
            CliError::new(Code::ConfigInvalid, format!("{}: {}", path.display(), error.to_string().trim()))
        })?;
        let root = std::path::absolute(root).map_err(|error| CliError::file(root, &error))?;
        Ok(Self { root, list })
    }

    /// A command for this network, to be copied from a hint.
    pub(crate) fn command(&self, words: &str) -> String {
        command(words, &self.root)
    }

    /// Whether a folder holds one.
    pub(crate) fn exists(root: &Path) -> bool {
        root.join(LIST).exists()
    }

    /// Describes a network that is being made in a folder.
    pub(crate) fn new(root: &Path, base_port: u16, validators: Vec<Validator>) -> CliResult<Self> {
        let root = std::path::absolute(root).map_err(|error| CliError::file(root, &error))?;
        Ok(Self { root, list: List { base_port, validators } })
    }

    /// Writes the list; from then on the folder is a network.
    pub(crate) fn save(&self) -> CliResult {
        files::create(&self.root.join(LIST), &toml::to_string(&self.list).map_err(CliError::internal)?)
    }

    /// Its first port.
    pub(crate) fn base_port(&self) -> u16 {
        self.list.base_port
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The validators by number.
    pub(crate) fn validators(&self) -> &[Validator] {
        &self.list.validators
    }

    /// A validator by number, `v2`, or name.
    pub(crate) fn find(&self, text: &str) -> CliResult<&Validator> {
        let number = text.strip_prefix('v').unwrap_or(text).parse::<u16>().ok();
        let found = self.list.validators.iter().find(|one| Some(one.number) == number || one.name == text);
        found.ok_or_else(|| {
            let names: Vec<String> =
                self.list.validators.iter().map(|one| format!("{} {}", one.number, one.name)).collect();
            CliError::new(Code::NotFound, format!("no validator {text}"))
                .hint(format!("one of: {}", names.join(", ")))
        })
    }

    /// Base URLs of all validators.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.list.validators.iter().map(Validator::url).collect()
    }

    /// The genesis.
    pub(crate) fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The key ring of every officer and validator.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The contexts file.
    pub(crate) fn contexts(&self) -> PathBuf {
        self.root.join("city.toml")
    }

    /// Folder of one validator.
    pub(crate) fn home(&self, validator: &Validator) -> PathBuf {
        self.root.join(format!("v{}", validator.number))
    }

    /// Configuration of one validator.
    pub(crate) fn config(&self, validator: &Validator) -> PathBuf {
        self.home(validator).join("node.toml")
    }

    /// Log of one validator.
    pub(crate) fn log(&self, validator: &Validator) -> PathBuf {
        self.home(validator).join("node.log")
    }

    /// Process file of one validator.
    pub(crate) fn pid_file(&self, validator: &Validator) -> PathBuf {
        self.home(validator).join("node.pid")
    }
}

/// `city devnet WORDS` for the network in a folder: with `--dir` unless it is the one meant without.
fn command(words: &str, root: &Path) -> String {
    if std::path::absolute(root).ok() == std::path::absolute(DEFAULT_DIR).ok() {
        return format!("city devnet {words}");
    }
    format!("city devnet {words} --dir {}", shell_word(&root.display().to_string()))
}

/// A path as one word of a command line to be copied.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_folder_unless_it_is_the_usual_one() {
        assert_eq!(command("up", Path::new("devnet")), "city devnet up");
        assert_eq!(command("up", Path::new("./devnet")), "city devnet up");
        assert_eq!(command("kill 2", Path::new("/srv/net")), "city devnet kill 2 --dir /srv/net");
        assert_eq!(command("down", Path::new("my net")), "city devnet down --dir 'my net'");
    }

    #[test]
    fn what_is_no_network_is_told_how_to_become_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = Layout::open(dir.path()).unwrap_err();
        assert_eq!(error.code(), Code::DevnetState);
        assert!(error.report().contains(&format!("city devnet up --dir {}", dir.path().display())));
    }
}
