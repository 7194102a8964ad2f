//! What every command is given: manners, output, and the network it is to talk to.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::genesis::Genesis;

use crate::args::Manners;
use crate::client::Client;
use crate::context::{self, Context, Contexts};
use crate::error::{CliError, CliResult};
use crate::keyring::KeyRing;
use crate::output::Output;
use crate::trust::Trust;
use crate::{files, passphrase};

/// File of contexts of a project.
pub(crate) const PROJECT_FILE: &str = "city.toml";

/// The application as commands see it.
#[derive(Debug)]
pub(crate) struct City {
    /// The common options.
    pub(crate) manners: Manners,
    /// Where results and talk go.
    pub(crate) out: Output,
}

impl City {
    /// Sets up output for the manners.
    pub(crate) fn new(manners: Manners) -> Self {
        let out = Output::new(manners.output, manners.fields.clone(), manners.color, manners.quiet);
        Self { manners, out }
    }

    /// The context in force: flags over the project's file over the user's.
    pub(crate) fn context(&self) -> CliResult<Context> {
        let mut context = self.named_context()?;
        if !self.manners.node.is_empty() {
            context.nodes.clone_from(&self.manners.node);
        }
        context.genesis = self.manners.genesis.clone().or(context.genesis);
        context.keys = self.manners.keys.clone().or(context.keys);
        Ok(context)
    }

    /// Where the genesis stands that is trusted.
    pub(crate) fn genesis_path(&self) -> CliResult<PathBuf> {
        self.context()?.genesis.ok_or_else(|| {
            CliError::new(Code::TrustMissing, "no genesis file says whose signatures to trust")
                .hint("give --genesis FILE, or add it to the context: city context add")
        })
    }

    /// The genesis that is trusted.
    pub(crate) fn genesis(&self) -> CliResult<Genesis> {
        read_genesis(&self.genesis_path()?)
    }

    /// Whom to believe offline: a trust file, or the genesis and the trust store beside it.
    pub(crate) fn trust(&self, named: Option<&Path>) -> CliResult<Trust> {
        match named {
            Some(path) => Trust::read(path),
            None => Trust::of(&self.genesis()?, &self.genesis_path()?),
        }
    }

    /// A client for the nodes of the context.
    pub(crate) fn client(&self) -> CliResult<Client> {
        let context = self.context()?;
        Client::new(&context.nodes, self.manners.timeout, context.tls_ca.as_deref())
    }

    /// The key ring.
    pub(crate) fn ring(&self) -> CliResult<KeyRing> {
        let folder = self.context()?.keys.unwrap_or_else(|| PathBuf::from("keys"));
        KeyRing::open(&folder, self.passphrases())
    }

    /// How passphrases are obtained.
    pub(crate) fn passphrases(&self) -> passphrase::Source {
        passphrase::Source { file: self.manners.passphrase_file.clone(), no_input: self.manners.no_input }
    }

    /// Asks before a dangerous step; the person types `word`.
    pub(crate) fn confirm(&self, what: &str, word: &str) -> CliResult {
        if self.manners.yes {
            return Ok(());
        }
        let refuse =
            |why: &str| CliError::usage(format!("{what}: {why}")).hint("repeat the command with --yes");
        if self.manners.no_input || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            return Err(refuse("needs a yes and nobody can be asked"));
        }
        eprint!("{what}. Type {word} to go on: ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(CliError::internal)?;
        if answer.trim() == word { Ok(()) } else { Err(refuse("not confirmed")) }
    }

    fn named_context(&self) -> CliResult<Context> {
        let wanted = self.manners.context.as_deref();
        for path in [PathBuf::from(PROJECT_FILE), context::user_file()?] {
            let contexts = Contexts::load(&path)?;
            if let Some((_, context)) = contexts.find(wanted) {
                return Ok(context.clone());
            }
        }
        match wanted {
            Some(name) => Err(CliError::new(Code::NoContext, format!("no context is named {name}"))
                .hint("see `city context list`")),
            None => Ok(Context::default()),
        }
    }
}

/// Reads and checks a genesis file.
pub(crate) fn read_genesis(path: &Path) -> CliResult<Genesis> {
    Genesis::parse(&files::read(path)?)
        .map_err(|refusal| CliError::from(refusal).hint(format!("the file is {}", path.display())))
}
