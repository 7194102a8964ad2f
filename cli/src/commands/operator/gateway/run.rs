//! `city gateway run`: the store, the ways in, and the way to the ledger, until Ctrl-C.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain_core::code::Code;
use chain_core::crypto::SecretKey;

use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::filing::now_ms;
use crate::gateway::config::{Config, Device};
use crate::gateway::http::Api;
use crate::gateway::intake::lock;
use crate::gateway::ledger::Nodes;
use crate::gateway::mqtt::Subscriber;
use crate::gateway::sender::{self, Ledger as _, Step};
use crate::gateway::store::Store;
use crate::gateway::store::recover::{self, Opening};
use crate::gateway::store::stream::Declared;
use crate::keyring::KeyRing;
use crate::output::Output;
use crate::{files, interrupt};

/// How often windows are looked at, and a sender that has nothing to do looks again.
const TICK: Duration = Duration::from_millis(200);
/// Threads that take batches to the ledger, each for its own streams.
const SENDERS: usize = 4;
/// Longest wait of a sender whom no node answers.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

pub(super) fn run(city: &City, config: &Config) -> CliResult {
    let ring = city.ring()?;
    let nodes = Nodes::of(city)?;
    let streams = streams(city, config, &nodes)?;
    let authors = authors(config, &ring, &streams)?;
    let openings = streams
        .into_iter()
        .map(|declared| {
            let key = device_key(config, &ring, &declared.device)?;
            Ok(Opening { declared, key })
        })
        .collect::<CliResult<Vec<_>>>()?;
    let store = Store::open(&config.data, nodes.chain_id(), config.bounds()?, openings)?;
    check_entities(config, &store)?;
    let store = Arc::new(Mutex::new(store));
    let token = config.http.token_file.as_deref().map(files::read_secret).transpose()?;
    let listener = TcpListener::bind(config.http.listen).map_err(|error| {
        CliError::new(Code::PortInUse, format!("http.listen {}: {error}", config.http.listen))
    })?;
    let subscriber = config.mqtt.clone();
    let subscriber =
        subscriber.map(|mqtt| Subscriber::new(mqtt, Arc::clone(&store), city.out.clone())).transpose()?;
    interrupt::install();
    let api = Api::new(Arc::clone(&store), token.as_deref().map(str::trim), config.devices.clone());
    city.out.say(format!("  listening on http://{}", config.http.listen));
    // It lives as long as the process: whatever it acknowledged is durable.
    std::thread::spawn(move || api.serve(&listener));
    std::thread::scope(|scope| {
        if let Some(subscriber) = &subscriber {
            scope.spawn(|| subscriber.run());
        }
        for number in 0..SENDERS {
            let (store, nodes, authors) = (&*store, &nodes, &authors);
            scope.spawn(move || send(store, nodes, authors, number, &city.out));
        }
        while interrupt::sleep(TICK) {
            let mut store = lock(&store);
            if let Err(error) = store.seal_due(now_ms(), false) {
                city.out.warn(format!("windows stay open: {}", error.refusal));
            }
            if store.is_broken() {
                interrupt::ask();
            }
        }
    });
    match lock(&store).is_broken() {
        true => Err(CliError::new(Code::StorageFailed, format!("{}: a write failed", config.data.display()))
            .hint("remove the cause (space, permissions, hardware) and start the gateway again; nothing acknowledged is lost")),
        false => Ok(()),
    }
}

/// The streams of the configured devices: those that the store knows, in its order, and new ones as the ledger has them.
fn streams(city: &City, config: &Config, nodes: &Nodes) -> CliResult<Vec<Declared>> {
    let mut all = recover::known(&config.data, nodes.chain_id())?;
    for known in &all {
        if !config
            .devices
            .iter()
            .any(|device| (&device.number, &device.record) == (&known.device, &known.record))
        {
            let detail = format!("the store keeps device {}, which the configuration lacks", known.device);
            return Err(CliError::new(Code::ConfigInvalid, detail)
                .hint("leave the device there: its batches and proofs are served from this store"));
        }
    }
    // New streams of devices that are known come when the ledger can be asked; a start does not wait for that.
    let answered = nodes.answer();
    if !answered {
        city.out.warn("no node answers: going on with the streams that are known");
    }
    for device in &config.devices {
        if !answered && all.iter().any(|known| known.device == device.number) {
            continue;
        }
        for stream in nodes.streams(city, device)? {
            let same =
                |known: &Declared| (&known.device, &known.stream.id) == (&stream.device, &stream.stream.id);
            if !all.iter().any(same) {
                all.push(stream);
            }
        }
    }
    Ok(all)
}

/// Whether every attribute of an entity leads to a stream that its device has.
fn check_entities(config: &Config, store: &Store) -> CliResult {
    for device in &config.devices {
        let streams = device.ngsi.iter().flat_map(|ngsi| &ngsi.streams);
        for (attribute, stream) in streams {
            if store.find(&device.number, stream).is_none() {
                let detail = format!(
                    "device {}: attribute {attribute} is stream {stream}, which its registration lacks",
                    device.number
                );
                return Err(CliError::new(Code::ConfigInvalid, detail));
            }
        }
    }
    Ok(())
}

/// Who files the batches of each stream: the gateway's own key, or the device's.
fn authors(config: &Config, ring: &KeyRing, streams: &[Declared]) -> CliResult<Vec<SecretKey>> {
    let of = |declared: &Declared| match &config.key {
        Some(name) => copy(ring, name),
        None => device_key(config, ring, &declared.device),
    };
    streams.iter().map(of).collect()
}

fn device_key(config: &Config, ring: &KeyRing, number: &str) -> CliResult<SecretKey> {
    let device: Option<&Device> = config.devices.iter().find(|device| device.number == number);
    let device = device.ok_or_else(|| CliError::internal(format!("device {number} is not configured")))?;
    copy(ring, &device.key)
}

/// A key of the ring for another thread.
fn copy(ring: &KeyRing, name: &str) -> CliResult<SecretKey> {
    let secret = ring.secret(ring.find(name)?)?;
    Ok(SecretKey::from_seed(*secret.seed()))
}

/// Takes batches of every fourth stream to the ledger until the command is interrupted.
fn send(store: &Mutex<Store>, nodes: &Nodes, authors: &[SecretKey], number: usize, out: &Output) {
    let mut back_off = TICK;
    let mut told = None;
    loop {
        let mut moved = false;
        let mut failed = None;
        for (stream, author) in authors.iter().enumerate().skip(number).step_by(SENDERS) {
            match sender::step(store, nodes, author, stream, now_ms()) {
                Ok(Step::Idle) => {}
                Ok(Step::Confirmed { .. }) => (moved, told) = (true, None),
                Ok(Step::Held { seq, refusal }) => {
                    let declared = lock(store).declared(stream).clone();
                    out.warn(format!(
                        "batch {seq} of stream {} of device {} is refused: {refusal}; the stream waits until the gateway is started again",
                        declared.stream.id, declared.device
                    ));
                }
                Err(error) => failed = Some(error),
            }
            if interrupt::asked() {
                return;
            }
        }
        if let Some(error) = failed {
            if told != Some(error.code()) {
                out.warn(format!("the ledger cannot be reached: {}; batches wait", error.refusal));
                told = Some(error.code());
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        } else {
            back_off = TICK;
        }
        if !moved && !interrupt::sleep(back_off) {
            return;
        }
    }
}
