//! Measures a running City Ledger; see [`city_tests::bench`].

use std::process::ExitCode;

use clap::Parser as _;

use city_tests::bench::{Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("city-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
