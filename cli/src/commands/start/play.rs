//! `city play`.

use std::path::PathBuf;

use chain_core::code::Code;
use serde_json::{Value, json};

use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;
use crate::play::cast::Cast;
use crate::play::form::{Got, Scenario};
use crate::play::stage::Stage;

/// Play scenarios of records' lives on a ledger in memory, and compare every step with what it must come to
///
/// city play scenarios.json
///
/// city play scenarios.json --only-differences
///
/// No node is needed. The exit code is 0 only if every step came to what the file expects.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// A list of scenarios, as described in docs/operate/scenarios.md
    file: PathBuf,
    /// List only the steps that came to something else
    #[arg(long)]
    only_differences: bool,
}

const STEPS: Shape = Shape {
    schema: "played_steps",
    columns: &["scenario", "step", "at", "who", "op", "record", "expected", "got", "equal"],
    id: "step",
    empty: "every step came to what was expected",
};

pub(crate) fn run(args: &PlayArgs, city: &City) -> CliResult {
    let text = files::read(&args.file)?;
    let scenarios: Vec<Scenario> = serde_json::from_str(&text).map_err(|error| {
        CliError::new(Code::MalformedJson, format!("{}: {error}", args.file.display()))
            .hint("wanted: a list of scenarios with name, agencies and steps")
    })?;
    let (mut rows, mut met, mut whole) = (Vec::new(), 0, 0);
    for scenario in &scenarios {
        let mut stage = Stage::new(Cast::of(scenario)?)?;
        let before = met;
        for (number, step) in (1..).zip(&scenario.steps) {
            let got = stage.take(step);
            let equal = step.expect.is_met(&got);
            met += usize::from(equal);
            if !(equal && args.only_differences) {
                rows.push(json!({
                    "scenario": scenario.name,
                    "step": format!("{number}"),
                    "at": step.at,
                    "who": step.who,
                    "op": step.op,
                    "record": step.record,
                    "expected": step.expect.shown(),
                    "got": got.shown(),
                    "detail": detail(&got),
                    "equal": equal,
                }));
            }
        }
        whole += usize::from(met - before == scenario.steps.len());
    }
    let steps: usize = scenarios.iter().map(|scenario| scenario.steps.len()).sum();
    city.out.list(STEPS, &rows)?;
    let told = format!("{met} of {steps} steps, {whole} of {} scenarios as expected", scenarios.len());
    if met == steps {
        city.out.done(told);
        return Ok(());
    }
    Err(CliError::new(Code::ScenarioDiffers, told))
}

fn detail(got: &Got) -> Value {
    got.error.as_ref().map_or(Value::Null, |(_, detail)| json!(detail))
}
