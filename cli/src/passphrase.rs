//! Where passphrases come from: a file, a systemd credential or a prompt; never the command line.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::keyfile::Passphrase;

use crate::error::{CliError, CliResult};
use crate::files;

/// Name of the systemd credential.
const CREDENTIAL: &str = "city-passphrase";

/// How this run obtains passphrases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// `--passphrase-file`.
    pub(crate) file: Option<PathBuf>,
    /// `--no-input`.
    pub(crate) no_input: bool,
}

impl Source {
    /// The passphrase of existing keys; `ring` is the file that the key ring names.
    pub(crate) fn get(&self, what: &str, ring: Option<&Path>) -> CliResult<Passphrase> {
        match self.given(ring)? {
            Some(passphrase) => Ok(passphrase),
            None => self.ask(&format!("Passphrase of {what}: ")),
        }
    }

    /// A passphrase for new keys; typed twice when it is typed.
    pub(crate) fn choose(&self, what: &str, ring: Option<&Path>) -> CliResult<Passphrase> {
        if let Some(passphrase) = self.given(ring)? {
            return Ok(passphrase);
        }
        let first = self.ask_text(&format!("New passphrase for {what}: "))?;
        let second = self.ask_text("The same again: ")?;
        if first != second {
            return Err(CliError::usage("the two passphrases differ"));
        }
        Ok(Passphrase::new(first)?)
    }

    fn given(&self, ring: Option<&Path>) -> CliResult<Option<Passphrase>> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|folder| PathBuf::from(folder).join(CREDENTIAL))
            .filter(|path| path.exists());
        match self.file.clone().or(credential).or_else(|| ring.map(Path::to_owned)) {
            Some(path) => Ok(Some(Passphrase::new(files::read_secret(&path)?)?)),
            None => Ok(None),
        }
    }

    fn ask(&self, prompt: &str) -> CliResult<Passphrase> {
        Ok(Passphrase::new(self.ask_text(prompt)?)?)
    }

    fn ask_text(&self, prompt: &str) -> CliResult<String> {
        let locked = |why: String| {
            CliError::new(Code::KeyFileInvalid, format!("a passphrase is needed and {why}"))
                .hint("give --passphrase-file FILE, or put the credential city-passphrase in place")
        };
        if self.no_input {
            return Err(locked("--no-input forbids to ask".to_owned()));
        }
        rpassword::prompt_password(prompt).map_err(|error| locked(format!("there is no terminal ({error})")))
    }
}
