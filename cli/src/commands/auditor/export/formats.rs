//! Published records in the formats of others: fetched from a node, written as files.

use std::collections::BTreeMap;
use std::path::Path;

use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::record::{Class, RecordType};
use serde_json::{Value, json};

use crate::app::City;
use crate::commands::clerk::record::{known_type, list};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::export::{Published, cap, ngsi, ocds, open311, sheet};
use crate::files;
use crate::import::mapping::Mapping;
use crate::output::Shape;
use crate::{clock, filing};

/// The type of citizens' requests.
const REQUEST: &str = "egov.service_request";
const WRITTEN: Shape =
    Shape { schema: "exported", columns: &["file", "records", "withheld"], id: "file", empty: "" };

/// Records of a type as a node shows them.
#[derive(Debug, Default)]
struct Fetched {
    /// Those that are written.
    published: Vec<Published>,
    /// Those with a body that are no longer shown, e.g. alerts that an update took the place of.
    former: Vec<Published>,
    /// How many are not written.
    withheld: usize,
}

/// Records of a type, headers held against their digests: written are those of one of the statuses that everybody may read.
fn fetch(city: &City, record_type: RecordType, statuses: &[&str]) -> CliResult<Fetched> {
    let filter = [("type", Some(record_type.name().to_owned()))];
    let mut fetched = Fetched::default();
    for view in list(&city.client()?, &filter, usize::MAX)?.items {
        let header = shown_header(&view)?;
        let open = matches!(header.class, Class::P0 | Class::P1);
        let ended = view.status == "expired";
        // A case that is closed is not shown as one that is open, and is public all the same.
        let stopped = !ended && view.flags.iter().any(|flag| flag == "publication_stopped");
        let Some(body) = view.body.filter(|_| open) else {
            fetched.withheld += 1;
            continue;
        };
        let record = Published { header, body };
        if statuses.contains(&view.status.as_str()) && !stopped {
            fetched.published.push(record);
        } else {
            fetched.former.push(record);
            fetched.withheld += 1;
        }
    }
    Ok(fetched)
}

/// What is in effect.
const IN_EFFECT: [&str; 1] = ["effective"];
/// Cases: open, and closed.
const OPEN_AND_CLOSED: [&str; 2] = ["effective", "expired"];

/// The names of agencies by their identifiers.
fn names(genesis: &Genesis) -> BTreeMap<String, String> {
    genesis.document().agencies.iter().map(|agency| (agency.id.clone(), agency.name.clone())).collect()
}

fn write(city: &City, out: &Path, text: &str, records: usize, withheld: usize) -> CliResult {
    files::create(out, text)?;
    city.out.item(WRITTEN, &json!({ "file": out, "records": records, "withheld": withheld }))
}

fn pretty(value: &Value) -> CliResult<String> {
    Ok(serde_json::to_string_pretty(value).map_err(CliError::internal)? + "\n")
}

/// `city export ocds`.
pub(super) fn releases(city: &City, out: &Path) -> CliResult {
    let genesis = city.genesis()?;
    let Fetched { published, withheld, .. } = fetch(city, RecordType::Procurement, &IN_EFFECT)?;
    let names = names(&genesis);
    let offset = genesis.document().utc_offset_minutes;
    let publisher = ocds::Publisher {
        name: &genesis.document().network,
        uri: format!("urn:city-ledger:{}:ocds", genesis.chain_id()),
        published: clock::rfc3339(filing::now_ms(), offset),
        name_of: &|org| names.get(&org.to_string()).cloned(),
    };
    let package = ocds::package(&published, &publisher)?;
    write(city, out, &pretty(&package)?, published.len(), withheld)
}

/// `city export cap`.
pub(super) fn alerts(city: &City, out: &Path) -> CliResult {
    let offset = city.genesis()?.document().utc_offset_minutes;
    let Fetched { published, former, withheld } = fetch(city, RecordType::Alert, &IN_EFFECT)?;
    let alerts = cap::alerts(&published, &former, offset)?;
    files::make_dir(out)?;
    for (name, text) in &alerts {
        files::replace(&out.join(name), text)?;
    }
    city.out.item(WRITTEN, &json!({ "file": out, "records": alerts.len(), "withheld": withheld }))
}

/// `city export ngsi`.
pub(super) fn entities(city: &City, out: &Path) -> CliResult {
    let (mut all, mut withheld) = (Vec::new(), 0);
    for name in ngsi::TYPES {
        let statuses = if name == REQUEST { &OPEN_AND_CLOSED[..] } else { &IN_EFFECT[..] };
        let fetched = fetch(city, known_type(name)?, statuses)?;
        all.extend(fetched.published);
        withheld += fetched.withheld;
    }
    let ngsi::Entities { entities, withheld: not_meant } = ngsi::entities(&all)?;
    let records = entities.len();
    write(city, out, &pretty(&Value::Array(entities))?, records, withheld + not_meant)
}

/// `city export open311`.
pub(super) fn requests(city: &City, out: &Path) -> CliResult {
    let Fetched { published, withheld, .. } = fetch(city, known_type(REQUEST)?, &OPEN_AND_CLOSED)?;
    let names = names(&city.genesis()?);
    let requests = open311::requests(&published, &|id| names.get(id).cloned());
    write(city, out, &pretty(&requests)?, published.len(), withheld)
}

/// `city export sheet`.
pub(super) fn official(city: &City, map: &str, out: &Path) -> CliResult {
    let genesis = city.genesis()?;
    let (mapping, _) = Mapping::load(map)?;
    if !mapping.is_official() {
        return Err(CliError::new(Code::BadMapping, format!("{map} is for import alone"))
            .hint("licences and penalties have official columns"));
    }
    let Fetched { published, withheld, .. } = fetch(city, known_type(&mapping.record_type)?, &IN_EFFECT)?;
    let names = names(&genesis);
    let titles: BTreeMap<&str, &str> = genesis
        .document()
        .legal_bases
        .iter()
        .map(|basis| (basis.id.as_str(), basis.titles.first().unwrap_or(&basis.title).as_str()))
        .collect();
    let words = sheet::Names {
        title_of: &|id| titles.get(id).map(|title| (*title).to_owned()),
        name_of: &|id| names.get(id).cloned(),
    };
    let text = sheet::csv(&published, &mapping, &words)?;
    write(city, out, &text, published.len(), withheld)
}
