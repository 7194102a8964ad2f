//! `city explain`.

use chain_core::code::Code;
use serde_json::{Value, json};

use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::output::Shape;

/// Say what an error code means and what to do about it
///
/// city explain E0407
///
/// city explain DUPLICATE_NATURAL_KEY
///
/// city explain --list
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A number such as E0407 or a name such as DUPLICATE_NATURAL_KEY
    #[arg(required_unless_present = "list")]
    code: Option<String>,
    /// List every code
    #[arg(long, conflicts_with = "code")]
    list: bool,
}

const ONE: Shape =
    Shape { schema: "code", columns: &["code", "name", "meaning", "hint", "exit"], id: "name", empty: "" };
const LIST: Shape = Shape { schema: "codes", columns: &["code", "name", "meaning"], id: "name", empty: "" };

pub(crate) fn run(args: &ExplainArgs, city: &City) -> CliResult {
    match &args.code {
        Some(text) => {
            let code: Code = text.parse().map_err(|error: chain_core::code::UnknownCode| {
                CliError::new(Code::UnknownCode, error.to_string())
            })?;
            city.out.item(ONE, &view(code))
        }
        None => city.out.list(LIST, &Code::ALL.iter().copied().map(view).collect::<Vec<_>>()),
    }
}

fn view(code: Code) -> Value {
    json!({
        "code": format!("E{:04}", code.number()),
        "name": code.name(),
        "meaning": code.meaning(),
        "hint": code.hint(),
        "exit": Exit::of(code).code(),
    })
}
