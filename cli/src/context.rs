//! Contexts: which network to talk to, through which nodes, with which keys.
//!
//! Kept in `./city.toml` of a project or in the user's `config.toml`. A flag wins over the environment, the
//! environment over the project, the project over the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chain_core::code::Code;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;

/// A file of contexts.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// Name of the context used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The contexts by name.
    #[serde(default, rename = "context")]
    pub(crate) by_name: BTreeMap<String, Context>,
}

/// One network as this user reaches it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Base URLs; the first that answers is used.
    #[serde(default)]
    pub(crate) nodes: Vec<String>,
    /// Genesis file: the trust anchor of every verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) genesis: Option<PathBuf>,
    /// Key ring directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<PathBuf>,
    /// Certificate authority of the nodes' TLS, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// The user's own file: `CITY_CONFIG`, or `city/config.toml` in the configuration directory.
pub(crate) fn user_file() -> CliResult<PathBuf> {
    if let Some(path) = std::env::var_os("CITY_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    base.or_else(home).map(|base| base.join("city").join("config.toml")).ok_or_else(|| {
        CliError::new(Code::NoContext, "neither CITY_CONFIG nor HOME is set")
            .hint("set CITY_CONFIG to a file, or give --node and --genesis")
    })
}

impl Contexts {
    /// Reads a file; an absent one holds no contexts. Relative paths are taken from its folder.
    pub(crate) fn load(path: &Path) -> CliResult<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(CliError::file(path, &error)),
        };
        let mut contexts: Self = toml::from_str(&text).map_err(|error| {
            CliError::new(Code::ConfigInvalid, format!("{}: {}", path.display(), error.to_string().trim()))
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for context in contexts.by_name.values_mut() {
            for path in [&mut context.genesis, &mut context.keys, &mut context.tls_ca].into_iter().flatten() {
                *path = folder.join(&path);
            }
        }
        Ok(contexts)
    }

    /// Writes the file as a whole.
    pub(crate) fn save(&self, path: &Path) -> CliResult {
        if let Some(folder) = path.parent() {
            files::make_dir(folder)?;
        }
        files::replace(path, &toml::to_string(self).map_err(CliError::internal)?)
    }

    /// The named context, or the current one.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<(&str, &Context)> {
        let name = name.or(self.current.as_deref())?;
        self.by_name.get_key_value(name).map(|(name, context)| (name.as_str(), context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_kept_and_relative_paths_start_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("city.toml");
        std::fs::write(&path, "current = \"a\"\n[context.a]\nnodes = [\"http://x\"]\ngenesis = \"g.toml\"\n")
            .unwrap();
        let contexts = Contexts::load(&path).unwrap();
        let (name, context) = contexts.find(None).unwrap();
        assert_eq!((name, context.genesis.as_deref()), ("a", Some(dir.path().join("g.toml").as_path())));
        assert!(contexts.find(Some("b")).is_none());
        contexts.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("city.toml");
        std::fs::write(&path, "[context.a]\nnode = \"x\"\n").unwrap();
        assert_eq!(Contexts::load(&path).unwrap_err().code(), Code::ConfigInvalid);
    }
}
