//! `city help TOPIC`: what belongs to no single command.

use clap::ValueEnum;

use crate::app::City;
use crate::error::CliResult;

/// Read about exit codes, the environment, or output forms
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TopicArgs {
    /// The topic
    topic: Topic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Topic {
    /// What the numbers mean that a command ends with
    ExitCodes,
    /// Variables that stand for flags
    Environment,
    /// Tables, JSON, CSV and ids
    Formats,
}

const EXIT_CODES: &str = "\
  0  done; for checks and comparisons: nothing found
  1  failed for another reason
  2  wrong usage
  3  not found
  4  not allowed: role, quota or a locked key
  5  refused by the ledger or by a local check with its rules
  6  no node answered before anything was submitted: retry
  7  submitted, not final yet; the id was printed
  8  a batch was accepted in part; see its report
 10  verification failed: a proof or a signature is wrong
 11  cannot verify: trust file missing or too few known signers
 12  evidence of tampering: call the auditors
 13  differences were found
 70  a bug in this program
130  Ctrl-C; the state is safe and the command to go on was printed
`city node init`, `check`, `start`, `city backup`, `snapshot` and `storage` become city-node and end with its
codes: 1 failed, 3 configuration, genesis or keys, 4 data directory, backup or snapshot, 5 state differs from
the others', 6 data directory or port in use, 7 a snapshot that no quorum certified.
";

const ENVIRONMENT: &str = "\
CITY_CONFIG           file of contexts, in place of ~/.config/city/config.toml
CITY_CONTEXT          as --context
CITY_NODE             as --node; several URLs with commas
CITY_GENESIS          as --genesis
CITY_KEYS             as --keys
CITY_PASSPHRASE_FILE  as --passphrase-file
CITY_NO_INPUT         as --no-input, when true
CITY_OUTPUT           as --output
CITY_NODE_BIN         the program city-node, when it is not beside city or in PATH
CREDENTIALS_DIRECTORY systemd's; the credential city-passphrase opens the keys
NO_COLOR              no colours; CLICOLOR_FORCE=1 forces them
A flag wins over its variable, the variable over ./city.toml, and that over the user's file.
";

const FORMATS: &str = "\
-o table  columns for people
-o json   one document with a versioned \"schema\", e.g. city/v1/records
-o jsonl  one object per line
-o csv    comma-separated; cells that a spreadsheet would run get an apostrophe
-o id     ids only, one per line, for pipes
--fields a,b chooses fields in every form. Times are RFC 3339 in UTC.
With json and jsonl an error is one JSON object on stderr.
";

pub(crate) fn run(args: &TopicArgs, city: &City) -> CliResult {
    city.out.data(match args.topic {
        Topic::ExitCodes => EXIT_CODES,
        Topic::Environment => ENVIRONMENT,
        Topic::Formats => FORMATS,
    })
}
