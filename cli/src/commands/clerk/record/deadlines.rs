//! `city record deadlines`: what agencies owe by a day of the law.

use std::path::PathBuf;

use chain_core::api::DeadlineView;
use serde_json::{Value, json};

use super::known_agency;
use crate::app::City;
use crate::client::paths;
use crate::error::CliResult;
use crate::files;
use crate::output::Shape;

/// Which deadlines.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeadlineArgs {
    /// Agency that owes them, e.g. uscc:11320100MAXP23YC3L
    #[arg(long)]
    agency: Option<String>,
    /// Only those whose last day has passed
    #[arg(long)]
    overdue: bool,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Write the open ones to a calendar file (RFC 5545) in place of a list; `-` for stdout
    #[arg(long, value_name = "FILE", conflicts_with_all = ["overdue", "limit"])]
    ics: Option<PathBuf>,
}

const DEADLINES: Shape = Shape {
    schema: "deadlines",
    columns: &[
        "agency",
        "step",
        "due_on",
        "overdue",
        "late",
        "provisional",
        "from",
        "days",
        "unit",
        "met_on",
        "record",
    ],
    id: "record",
    empty: "nothing is owed",
};

pub(super) fn run(city: &City, args: &DeadlineArgs) -> CliResult {
    if let Some(id) = &args.agency {
        known_agency(id)?;
    }
    let (client, agency) = (city.client()?, args.agency.as_deref());
    if let Some(path) = &args.ics {
        let calendar = client.get_bytes(&paths::deadline_calendar(agency))?;
        return match path.as_os_str() == "-" {
            true => city.out.data(calendar),
            false => files::publish(path, &calendar),
        };
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let listed = client
        .list::<DeadlineView>(limit, |size, cursor| paths::deadlines(agency, args.overdue, size, cursor))?;
    city.out.list(DEADLINES, &listed.items.iter().map(row).collect::<Vec<_>>())?;
    listed.tell_of_more(&city.out);
    Ok(())
}

fn row(view: &DeadlineView) -> Value {
    json!({
        "agency": view.agency,
        "step": view.step,
        "due_on": view.due_on,
        "overdue": view.overdue,
        "late": view.working_days_late,
        "provisional": view.provisional,
        "from": view.from,
        "days": view.days,
        "unit": view.unit,
        "met_on": view.met_on,
        "record": view.record,
    })
}
