//! The `city` command: file records, keep receipts, audit a ledger, run a validator.
//!
//! It links the ledger's rules and an HTTP client and nothing of the node, so that an auditor need not trust
//! what is being audited. One file per command under [`commands`]; results go to stdout, talk to stderr, and
//! [`exit`] lists what scripts may rely on.

mod advise;
mod app;
mod args;
mod catalogue;
mod client;
mod clock;
mod commands;
mod context;
mod draft;
mod duration;
mod error;
mod exit;
mod export;
mod files;
mod filing;
mod gateway;
mod html;
mod import;
mod indicator;
mod interrupt;
mod keyring;
mod output;
mod passphrase;
mod play;
mod progress;
mod proof_file;
mod registered;
mod sets;
mod trust;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let city = app::City::new(args.manners);
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commands::run(args.command, &city)));
    let error = match result {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => error,
        Err(_) => error::CliError::internal("the command panicked; the lines above say where"),
    };
    city.out.failure(&error);
    ExitCode::from(error.exit.code())
}
