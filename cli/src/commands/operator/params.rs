//! `city params`: the parameters of the ledger, as the council has voted them.

use std::path::{Path, PathBuf};

use chain_core::code::{Code, Refusal};
use chain_core::record::params::{Params, ParamsDetails};
use chain_core::record::{Details, RecordType};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::agency;
use crate::app::City;
use crate::commands::clerk::record::list;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;

/// Parameters of the ledger: list what the council voted and their bounds, propose others
///
/// A file is TOML with the first day, the resolution and every value:
///
/// from = "2027-01-01"
/// source = "resolution 7 of the council"
/// [values]
/// captured_ahead_s = 60
/// …
///
/// They hold from that day on, a week ahead at least. No vote goes beyond the bounds.
///
/// city params bounds
///
/// city params propose params.toml --key market-regulation-council-member
///
/// city record countersign RECORD --key ecology-environment-council-member
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum ParamsCommand {
    /// List the parameters that the council voted
    List,
    /// List the bounds of every parameter, and what they rest on
    Bounds,
    /// Propose parameters to the council
    Propose {
        /// The file
        file: PathBuf,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
}

const PARAMS: Shape = Shape {
    schema: "params",
    columns: &["from", "values", "source", "doc_no", "status", "record"],
    id: "from",
    empty: "the council voted none, the defaults hold: city params bounds",
};
const BOUNDS: Shape = Shape {
    schema: "param-bounds",
    columns: &["name", "least", "default", "most", "rests_on"],
    id: "name",
    empty: "there are no parameters",
};

pub(crate) fn run(command: ParamsCommand, city: &City) -> CliResult {
    match command {
        ParamsCommand::List => {
            let filter = [("type", Some(RecordType::Params.name().to_owned()))];
            let mut rows = Vec::new();
            for view in list(&city.client()?, &filter, usize::MAX)?.items {
                let header = shown_header(&view)?;
                let Details::Params(details) = &header.details else { return Err(agency::strange(&view)) };
                rows.push(json!({
                    "from": details.from,
                    "values": values(&details.values),
                    "source": details.source,
                    "doc_no": details.doc_no,
                    "status": view.status,
                    "record": header.record,
                }));
            }
            rows.sort_by_key(|row| row["from"].as_str().map(str::to_owned));
            city.out.list(PARAMS, &rows)
        }
        ParamsCommand::Bounds => {
            let row = |(name, least, default, most, why): &(&str, u32, u32, u32, &str)| json!({ "name": name, "least": least, "default": default, "most": most, "rests_on": why });
            city.out.list(BOUNDS, &Params::BOUNDS.iter().map(row).collect::<Vec<_>>())
        }
        ParamsCommand::Propose { file, key } => {
            let (details, genesis) = (Details::Params(Box::new(read(&file)?)), city.genesis()?);
            let operation = agency::first(city, &genesis, details, &key)?;
            agency::send(city, &genesis, operation, &key)
        }
    }
}

/// The values that differ from the defaults, by name.
fn values(params: &Params) -> Value {
    let named = Params::BOUNDS.iter().zip(params.values());
    let others = named.filter(|((_, _, default, ..), value)| default != value);
    Value::Object(others.map(|((name, ..), value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>())
}

fn read(path: &Path) -> CliResult<ParamsDetails> {
    parse(&files::read(path)?).map_err(|refusal| {
        let detail = format!("{}: {}", path.display(), refusal.detail);
        CliError::new(refusal.code, detail).hint("names and bounds are listed by: city params bounds")
    })
}

fn parse(text: &str) -> Result<ParamsDetails, Refusal> {
    let details: ParamsDetails =
        toml::from_str(text).map_err(|error| Refusal::new(Code::BadParameter, error.to_string()))?;
    details.check()?;
    Ok(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(change: &str) -> String {
        let mut text = "from = \"2027-01-01\"\nsource = \"resolution 7\"\n[values]\n".to_owned();
        for (name, _, default, ..) in Params::BOUNDS {
            match change.split_once(" = ").filter(|(changed, _)| changed == name) {
                Some(_) => text.push_str(&format!("{change}\n")),
                None => text.push_str(&format!("{name} = {default}\n")),
            }
        }
        text
    }

    #[test]
    fn a_file_gives_parameters_or_says_what_is_wrong() {
        assert_eq!(parse(&file("")).unwrap().values, Params::default());
        let strict = parse(&file("captured_ahead_s = 60")).unwrap().values;
        assert_eq!(values(&strict), json!({ "captured_ahead_s": 60 }));
        let code = |text: &str| parse(text).unwrap_err().code;
        assert_eq!(code(&file("captured_ahead_s = 121")), Code::BeyondBounds);
        assert_eq!(code(&file("captured_ahead_s = -1")), Code::BadParameter);
        assert_eq!(code(&format!("{}council_threshold = 1\n", file(""))), Code::BadParameter);
        assert_eq!(code("from = \"2027-01-01\""), Code::BadParameter);
    }
}
