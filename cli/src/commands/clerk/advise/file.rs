//! Looking at a stream with a detector, and filing what it finds.

use chain_core::api::RecordView;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use serde_json::{Map, Value, json};

use super::{ADVISORY, advisory_type};
use crate::advise::detector::Detector;
use crate::advise::episode::Episode;
use crate::app::City;
use crate::catalogue::Catalogue;
use crate::client::{Client, paths};
use crate::clock::utc;
use crate::commands::clerk::batch::today;
use crate::commands::clerk::stream::{Anchored, Stream};
use crate::commands::operator::gateway::Address;
use crate::draft::{Draft, Office, shown_header};
use crate::error::{CliError, CliResult};
use crate::filing;
use crate::output::Shape;
use crate::registered;

/// Most batches that an advisory names; the newest ones are those that it rests on most.
const INPUTS_MAX: usize = 16;

const EPISODES: Shape = Shape {
    schema: "advise-episodes",
    columns: &["finding", "from", "to", "alarms", "strength", "batches"],
    id: "from",
    empty: "nothing is out of the ordinary",
};

/// What is looked at, with what, and who files it.
pub(super) struct Wanted<'a> {
    pub(super) device: RecordId,
    pub(super) stream: &'a str,
    pub(super) detector: Detector,
    pub(super) model: RecordId,
    pub(super) basis: &'a str,
    pub(super) key: &'a str,
}

pub(super) fn run(city: &City, wanted: &Wanted<'_>, gateway: &Address, dry_run: bool) -> CliResult {
    let client = city.client()?;
    let stream = Stream::of(&client, &wanted.device, wanted.stream)?;
    check_model(&client, wanted)?;
    let batches = stream.batches(&client)?;
    let readings = stream.readings(city, &client, &batches, gateway)?;
    let episodes = wanted.detector.episodes(&readings);
    let rows: Vec<Value> = episodes
        .iter()
        .map(|episode| {
            json!({
                "finding": wanted.detector.finding(),
                "from": utc(episode.span.from_ms),
                "to": utc(episode.span.to_ms),
                "alarms": episode.alarms,
                "strength": format!("{}.{}", episode.strength / 1_000, episode.strength % 1_000 / 100),
                "batches": inputs(&batches, episode, wanted.detector).len(),
            })
        })
        .collect();
    city.out.say(format!(
        "  {} readings of {} batches; episodes are hints, and some are false (city advise evaluate)",
        readings.len(),
        batches.len()
    ));
    if dry_run || episodes.is_empty() {
        return city.out.list(EPISODES, &rows);
    }
    file(city, &client, wanted, &batches, &episodes)
}

/// The model that is named must be the one that runs.
fn check_model(client: &Client, wanted: &Wanted<'_>) -> CliResult {
    let view: RecordView = client.get(&paths::record(&wanted.model))?;
    shown_header(&view)?;
    let registered = view.body.as_ref().and_then(|body| body["artefact"].as_str());
    let own = wanted.detector.artefact().to_string();
    if view.record_type != "ai.model" || view.status != "effective" || registered != Some(&own) {
        let detail = format!(
            "record {} is a {} in status {} with artefact {}; wants an ai.model in effect with {own}",
            wanted.model,
            view.record_type,
            view.status,
            registered.unwrap_or("none")
        );
        return Err(CliError::usage(detail).hint("register the detector's parameters: city advise models"));
    }
    Ok(())
}

/// The batches that an episode rests on: those it lies in and those it was compared with.
fn inputs(batches: &[Anchored], episode: &Episode, detector: Detector) -> Vec<RecordId> {
    let from = episode.span.from_ms.saturating_sub(detector.window_ms());
    let within =
        |batch: &&Anchored| batch.details.last_ms >= from && batch.details.first_ms <= episode.span.to_ms;
    let all: Vec<RecordId> = batches.iter().filter(within).map(|batch| batch.record).collect();
    all[all.len().saturating_sub(INPUTS_MAX)..].to_vec()
}

fn file(
    city: &City,
    client: &Client,
    wanted: &Wanted<'_>,
    batches: &[Anchored],
    episodes: &[Episode],
) -> CliResult {
    let (genesis, ring) = (city.genesis()?, city.ring()?);
    let entry = ring.find(wanted.key)?;
    let agency = entry.agency.clone().unwrap_or_default();
    let dedupe = ring.dedupe(&agency)?;
    let office = Office { agency: agency.parse()?, dedupe: dedupe.secret(), officers: vec![entry.public] };
    let catalogue = Catalogue::of(&genesis)?;
    let day = today(&genesis);
    let of_type = registered::find(city, &genesis, advisory_type()?, day, true)?;
    let types = |_| Ok(of_type.clone());
    let mut filed = Vec::new();
    for episode in episodes {
        let body = body(wanted, batches, episode, &day.to_string())?;
        let draft = Draft::of_row(ADVISORY, wanted.basis, None, body);
        // The same episode of the same model is filed once, however often the detector runs.
        let name = format!(
            "advise/{}/{}/{}/{}",
            wanted.detector.artefact(),
            wanted.device,
            wanted.stream,
            episode.span.from_ms
        );
        let (header, body) = draft.build(&catalogue, &types, &office, Some(&name), None, day)?;
        if client.get::<RecordView>(&paths::record(&header.record)).is_ok() {
            city.out.say(format!("  filed before: {}", header.record));
            continue;
        }
        let steps = vec![(Operation::Submit(Box::new(header)), Some(body))];
        let submission = filing::sign(&genesis, &*ring.secret(entry)?, steps, false);
        filed.push(filing::file(client, &genesis, &submission, None, city.manners.timeout)?);
    }
    filing::show(&city.out, &filed)?;
    filed.iter().try_for_each(filing::Filed::verdict)
}

fn body(
    wanted: &Wanted<'_>,
    batches: &[Anchored],
    episode: &Episode,
    day: &str,
) -> CliResult<Map<String, Value>> {
    let value = json!({
        "model": wanted.model,
        "target": wanted.device,
        "opened_on": day,
        "inputs": inputs(batches, episode, wanted.detector),
        "params": format!("stream={};{}", wanted.stream, wanted.detector.parameters()),
        "finding": wanted.detector.finding(),
        "from": utc(episode.span.from_ms),
        "to": utc(episode.span.to_ms),
        "strength": { "digits": episode.strength, "scale": 3 },
        "advisory": true,
        "review": "open",
        "origin": { "system": "city advise", "method": "ai_assisted" },
    });
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(CliError::internal("a body is an object")),
    }
}
