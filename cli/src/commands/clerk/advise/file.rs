//! Reading a stream as the ledger anchors it, and filing what a detector finds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::record::device::batch::{BatchBody, BatchDetails, DataPlace};
use chain_core::record::device::readings::Reading;
use chain_core::record::{Details, RecordType};
use serde_json::{Map, Value, json};

use super::{ADVISORY, advisory_type};
use crate::advise::detector::Detector;
use crate::advise::episode::Episode;
use crate::app::City;
use crate::catalogue::Catalogue;
use crate::client::{Client, paths};
use crate::clock::utc;
use crate::commands::clerk::batch::today;
use crate::commands::clerk::record::list;
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

/// A batch as the ledger anchors it.
struct Anchored {
    record: RecordId,
    details: BatchDetails,
}

pub(super) fn run(city: &City, wanted: &Wanted<'_>, gateway: &Address, dry_run: bool) -> CliResult {
    let client = city.client()?;
    let view: RecordView = client.get(&paths::record(&wanted.device))?;
    let header = shown_header(&view)?;
    let Details::Device(device) = &header.details else {
        let detail = format!("record {} is a {}, no device", wanted.device, header.record_type);
        return Err(
            CliError::usage(detail).hint("an advisory is about a device's stream, and about nothing else")
        );
    };
    check_model(&client, wanted)?;
    let (batches, readings) = anchored(city, &client, wanted, &view.agency, &device.key.label, gateway)?;
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

/// The batches of the stream in order, and their readings: from the ledger, or from the gateway and compared with the ledger.
fn anchored(
    city: &City,
    client: &Client,
    wanted: &Wanted<'_>,
    agency: &str,
    number: &str,
    gateway: &Address,
) -> CliResult<(Vec<Anchored>, Vec<Reading>)> {
    let filter =
        [("type", Some(RecordType::SensorBatch.name().to_owned())), ("agency", Some(agency.to_owned()))];
    let mut batches = Vec::new();
    for view in list(client, &filter, usize::MAX)?.items {
        if let Details::Batch(details) = shown_header(&view)?.details
            && details.device == wanted.device
            && details.stream == wanted.stream
        {
            batches.push(Anchored { record: view.record, details: *details });
        }
    }
    batches.sort_by_key(|batch| batch.details.seq);
    let mut readings = Vec::new();
    for batch in &batches {
        let text = match batch.details.place_of_data {
            DataPlace::Inline => {
                let view: RecordView = client.get(&paths::record(&batch.record))?;
                let body = view.body.ok_or_else(|| {
                    CliError::new(
                        Code::BodyMissing,
                        format!("no node shows the body of batch {}", batch.record),
                    )
                })?;
                let body: BatchBody = serde_json::from_value(body).map_err(|error| {
                    CliError::new(Code::MalformedJson, format!("batch {}: {error}", batch.record))
                })?;
                body.data
            }
            DataPlace::OffChain => {
                let encode = paths::encode;
                let (device, stream, seq) = (encode(number), encode(wanted.stream), batch.details.seq);
                let sealed =
                    gateway.get(city, &format!("/v1/batch?device={device}&stream={stream}&seq={seq}"))?;
                sealed["data"].as_str().unwrap_or_default().to_owned()
            }
        };
        let data = STANDARD
            .decode(text)
            .map_err(|error| CliError::new(Code::BatchData, format!("batch {}: {error}", batch.record)))?;
        // Whoever gave the data, it is what the device signed and the ledger anchors.
        readings.extend(batch.details.check_data(&data)?);
    }
    Ok((batches, readings))
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
