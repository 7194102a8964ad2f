//! `city completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::app::City;
use crate::args::Args;
use crate::error::CliResult;

/// Print completions for a shell
///
/// For bash:   city completions bash > ~/.local/share/bash-completion/completions/city
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, city: &City) -> CliResult {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "city", &mut text);
    city.out.data(text)
}
