//! Ten thousand readings through a real `mosquitto`, and some as entities of a context broker, into a ledger of four real
//! validators, which is stopped in the middle, while the gateway is killed: none lost, none
//! doubled, the holes of the road data found as they are known, one reading proved offline.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside the functions that clippy exempts")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chain_core::record::device::batch::BatchDetails;
use serde_json::{Value, json};

/// The agency of the sample city that measures.
const AGENCY: &str = "uscc:11320100MAX1N11L4Y";
/// Two of its clerks.
const CLERKS: [&str; 2] = ["ecology-environment-clerk-1", "ecology-environment-clerk-2"];
/// The agency that publishes values.
const STATISTICS: &str = "uscc:11320100MAX1XPCE7M";
/// Readings in all.
const READINGS: usize = 10_000;
/// How many of them a context broker brings, as entities.
const NOTIFIED: usize = 100;
/// The device that they are of.
const NOTIFIED_DEVICE: &str = "speed-7578";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// A series, one message each.
struct Series {
    device: &'static str,
    period_s: u32,
    messages: Vec<String>,
}

/// What runs beside the test; everything ends with it.
struct Stage {
    dir: tempfile::TempDir,
    children: Vec<Child>,
    port: u16,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.city(&["devnet", "down", "--dir", "net"]);
    }
}

impl Stage {
    fn command(&self, args: &[&str]) -> Command {
        let net = self.dir.path().join("net");
        let mut command = Command::new(env!("CARGO_BIN_EXE_city"));
        command
            .args(["--no-input"])
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("CITY_CONFIG", self.dir.path().join("contexts.toml"))
            .env(
                "CITY_NODE",
                (0..4)
                    .map(|at| format!("http://127.0.0.1:{}", self.port + 10 * at))
                    .collect::<Vec<_>>()
                    .join(","),
            )
            .env("CITY_GENESIS", net.join("genesis.toml"))
            .env("CITY_KEYS", net.join("keys"));
        command
    }

    fn city(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The JSON that a command prints; it must succeed.
    fn done(&self, args: &[&str]) -> Value {
        let output = self.city(&[args, &["-o", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A command that must succeed.
    fn well(&self, args: &[&str]) {
        let output = self.city(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn ledger_up(&self) {
        self.well(&["devnet", "up", "--dir", "net", "--base-port", &self.port.to_string()]);
    }

    fn ledger_down(&self) {
        self.well(&["devnet", "down", "--dir", "net"]);
    }

    /// Registers a device with one stream; gives its record.
    fn register(&self, series: &Series) -> String {
        self.done(&["key", "new", series.device, "--agency", AGENCY, "--role", "device"]);
        let key = self.done(&["gateway", "prove-key", series.device]);
        let draft = json!({
            "type": "device.registration", "agency": AGENCY, "legal_basis": "cn-metrology",
            "body": {
                "device_id": series.device, "model": "loop detector", "owner": AGENCY,
                "key": key["key"], "possession": key["possession"],
                "streams": [{
                    "id": "s1", "property": "traffic", "unit": "C62", "scale": -2,
                    "period_s": series.period_s, "tolerance_pct": 50, "batch_within_s": 3_600,
                }],
                "place": { "longitude_e7": 1_187_969_000, "latitude_e7": 320_603_000, "datum": "WGS84" },
                "installed": "2026-01-01", "personal_data": false,
                "purpose": [{ "lang": "en", "text": "traffic" }],
            },
        });
        let path = format!("{}.json", series.device);
        std::fs::write(self.dir.path().join(&path), draft.to_string()).unwrap();
        let filed = self.done(&["record", "submit", &path]);
        let record = filed["items"][0]["record"].as_str().unwrap().to_owned();
        self.well(&["record", "countersign", &record, "--role", "supervisor"]);
        record
    }

    /// Runs a command that must be refused, and say so.
    fn refused(&self, args: &[&str], wanted: &[&str]) {
        let output = self.city(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let all = wanted.iter().all(|one| said.contains(one));
        assert!(!output.status.success() && all, "{args:?} wants {wanted:?}: {said}");
    }

    fn start_gateway(&mut self, log: &str) -> usize {
        let log = File::create(self.dir.path().join(log)).unwrap();
        let mut command = self.command(&["gateway", "run", "gateway.toml"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.children.push(child);
        self.children.len() - 1
    }

    fn kill(&mut self, child: usize) {
        let _ = self.children[child].kill();
        let _ = self.children[child].wait();
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// What the gateway counts, summed over streams.
    fn counted(&self, url: &str, name: &str) -> Option<u64> {
        let output = self.city(&["gateway", "status", "--gateway", url, "-o", "json"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        status["items"].as_array()?.iter().map(|row| row[name].as_u64()).sum()
    }

    /// Every batch of the ledger, by device and in order.
    fn batches(&self, devices: &BTreeMap<String, String>) -> BTreeMap<String, Vec<(String, BatchDetails)>> {
        let listed = self.done(&["record", "list", "--type", "sensor.batch", "--limit", "1000"]);
        let mut batches: BTreeMap<String, Vec<(String, BatchDetails)>> = BTreeMap::new();
        for item in listed["items"].as_array().unwrap() {
            let record = item["record"].as_str().unwrap();
            let header = self.done(&["record", "get", record])["header"].clone();
            let header: chain_core::record::Header = serde_json::from_value(header).unwrap();
            let chain_core::record::Details::Batch(details) = header.details else { panic!("a batch") };
            let device = devices[&details.device.to_string()].clone();
            batches.entry(device).or_default().push((record.to_owned(), *details));
        }
        for all in batches.values_mut() {
            all.sort_by_key(|(_, batch)| batch.seq);
        }
        batches
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The first of some free ports in a row.
fn free_ports(count: u16, from: u16) -> u16 {
    let free = |base: &u16| (*base..base + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    (from..from + 2_000).step_by(usize::from(count)).find(free).unwrap()
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

fn publish(port: u16, device: &str, messages: &[String]) {
    let mut command = Command::new(program("mosquitto_pub").unwrap());
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-q",
        "1",
        "-l",
        "-t",
        &format!("city/{device}/s1"),
    ]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut text = messages.join("\n");
    text.push('\n');
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Sends readings of a series as a context broker does: a notification with the entity that speaks of the device, once for each
/// reading, and among the rest what a gateway has no use for. Gives the answer.
fn notify(address: &str, device: &str, messages: &[String]) -> Value {
    let entity = |message: &String| {
        let reading: Value = serde_json::from_str(message).unwrap();
        json!({
            "id": format!("urn:ngsi-ld:TrafficFlowObserved:{device}"), "type": "TrafficFlowObserved",
            "averageVehicleSpeed": { "type": "Property", "value": reading["value"], "unitCode": "C62", "observedAt": reading["time"] },
            "laneDirection": { "type": "Property", "value": "forward" },
        })
    };
    let data: Vec<Value> = messages.iter().map(entity).collect();
    let body = json!({ "id": "urn:ngsi-ld:Notification:1", "type": "Notification", "subscriptionId": "urn:ngsi-ld:Subscription:1", "data": data });
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("POST /v1/entities HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn road_series(folder: &Path, name: &str, device: &'static str, period_s: u32) -> Series {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let rows = text.lines().skip(1).filter(|row| !row.is_empty());
    let message = |row: &str| {
        let (time, value) = row.split_once(',').unwrap();
        json!({ "time": format!("{}Z", time.replace(' ', "T")), "value": value.trim() }).to_string()
    };
    Series { device, period_s, messages: rows.map(message).collect() }
}

/// `skipped: name: reason`, as the other tests say it.
fn skip(reason: &str) {
    let line = format!("skipped: ten_thousand_readings_reach_the_ledger_once: {reason}\n");
    print!("{line}");
    if let Some(log) = std::env::var_os("CITY_SKIP_LOG").filter(|log| !log.is_empty()) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        file.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
    }
}

/// Runs a program that must succeed, in a folder.
fn tool(folder: &Path, name: &str, args: &[&str]) {
    let output = Command::new(program(name).unwrap()).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate of this machine's address for the broker, and a user with a password: what a listener beyond this machine
/// needs. Gives its part of the broker's configuration.
fn guarded_listener(folder: &Path, port: u16) -> String {
    for name in ["broker", "stranger"] {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let made = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-days",
            "2",
        ];
        let named = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"];
        tool(folder, "openssl", &[&made[..], &named, &["-keyout", &key, "-out", &certificate]].concat());
    }
    tool(folder, "mosquitto_passwd", &["-b", "-c", "users", "gateway", "a long secret"]);
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncertfile {}\nkeyfile {}\n",
        at("users"),
        at("broker.pem"),
        at("broker.key")
    )
}

/// Writes a secret that its owner alone can read.
fn secret(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The gateway goes to the guarded listener: neither with another password, nor to a broker that its roots do not know, nor in
/// clear; then with both right. `config` is its configuration towards the open listener.
fn only_with_password_and_certificate(stage: &mut Stage, config: &str, open: u16, guarded: u16) {
    let folder = stage.dir.path().to_owned();
    secret(&folder, "good", "a long secret\n");
    secret(&folder, "bad", "another\n");
    let with = |password: &str, ca: Option<&str>| {
        let ca = ca.map_or_else(String::new, |ca| format!("tls_ca = \"{ca}\"\n"));
        let section =
            format!("client_id = \"gateway-1\"\nuser = \"gateway\"\npassword_file = \"{password}\"\n{ca}");
        config
            .replace(&format!("broker = \"127.0.0.1:{open}\""), &format!("broker = \"127.0.0.1:{guarded}\""))
            .replace("client_id = \"gateway-1\"\n", &section)
    };
    let attempts = [
        ("password", with("bad", Some("broker.pem")), "not authori"),
        ("stranger", with("good", Some("stranger.pem")), "certificate"),
        ("clear", with("good", None), "connecting again"),
    ];
    for (what, config, said) in attempts {
        std::fs::write(folder.join("gateway.toml"), config).unwrap();
        let log = format!("gateway-{what}.log");
        let gateway = stage.start_gateway(&log);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !stage.log(&log).to_lowercase().contains(said) {
            assert!(Instant::now() < deadline, "{what} wants {said}: {}", stage.log(&log));
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(!stage.log(&log).contains("taking"), "{what}: {}", stage.log(&log));
        stage.kill(gateway);
        println!("{what}: {}", stage.log(&log));
    }
    std::fs::write(folder.join("gateway.toml"), with("good", Some("broker.pem"))).unwrap();
}

/// Registers a model in effect, with the content of the example but for its artefact; gives its record.
fn register_model(stage: &Stage, name: &str, artefact: &Value) -> String {
    let file: Value = serde_json::from_str(include_str!("../../genesis/schemas/ai.model.json")).unwrap();
    let mut body = file["examples"]["accepted"][0]["body"].clone();
    (body["model_id"], body["artefact"]) = (json!(name), artefact.clone());
    let draft = json!({ "type": "ai.model", "agency": AGENCY, "legal_basis": "cn-government-information", "body": body });
    let path = format!("{name}.json");
    std::fs::write(stage.dir.path().join(&path), draft.to_string()).unwrap();
    let filed = stage.done(&["record", "submit", &path]);
    let record = filed["items"][0]["record"].as_str().unwrap().to_owned();
    for role in ["legal_reviewer", "supervisor"] {
        stage.well(&["record", "countersign", &record, "--role", role]);
    }
    record
}

/// What a detector says of a stream that the ledger anchors: by the registered model alone, once for each episode, and closed
/// by somebody else than who filed it.
fn hints_are_filed_once_and_closed_by_another(stage: &Stage, device: &str) {
    let refused = |args: &[&str], code: &str| stage.refused(args, &[code]);
    let models = stage.done(&["advise", "models"]);
    let artefact = |name: &str| {
        let models = models["items"].as_array().unwrap();
        models.iter().find(|model| model["detector"] == name).unwrap()["artefact"].clone()
    };
    let model = register_model(stage, "median", &artefact("median"));
    let other = register_model(stage, "cusum", &artefact("cusum"));
    let run = ["advise", "run", "--device", device, "--stream", "s1", "--detector", "median"];
    let file = ["--basis", "cn-government-information", "--key", CLERKS[0], "--model"];
    let run = |more: &[&'static str]| [&run[..], &file, &[model.as_str()], more].concat();

    refused(&[&run(&[])[..13], &[other.as_str()]].concat(), "BAD_PARAMETER");
    let episodes = stage.done(&run(&["--dry-run"]))["items"].as_array().unwrap().len();
    assert!(episodes > 0);
    assert_eq!(stage.done(&["advise", "report"])["items"], json!([]), "nothing is filed on trial");
    let filed = stage.done(&run(&[]));
    let records: Vec<&str> =
        filed["items"].as_array().unwrap().iter().map(|one| one["record"].as_str().unwrap()).collect();
    assert_eq!(records.len(), episodes);
    assert_eq!(stage.done(&run(&[]))["items"], json!([]), "each was filed before");

    let close = |key| ["advise", "close", records[0], "--review", "confirmed", "--key", key];
    refused(&close(CLERKS[0]), "SAME_PERSON");
    stage.well(&close(CLERKS[1]));
    refused(&close(CLERKS[1]), "BAD_STATE");
    let report = stage.done(&["advise", "report"]);
    let row = &report["items"][0];
    assert_eq!(
        (&row["model"], &row["advisories"], &row["open"], &row["confirmed"], &row["false_alarm"]),
        (&json!(model), &json!(episodes), &json!(episodes - 1), &json!(1), &json!(0)),
        "{report}"
    );
    let view = stage.done(&["record", "get", records[0]]);
    assert_eq!(view["body"]["review"], "confirmed");
    assert!(view["body"]["inputs"].as_array().unwrap().len() <= 16);
}

/// The mean of the hours of some days, computed here, in hundredths; and how many hours have a reading.
fn hours_of(series: &Series, from: &str, to: &str) -> (f64, usize) {
    let mut hours: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let edge = |day: &str, time: &str| {
        chain_core::record::body::parse_instant(&format!("{day}T{time}+08:00")).unwrap()
    };
    let days = edge(from, "00:00:00")..edge(to, "23:59:59") + 1_000;
    for message in &series.messages {
        let reading: Value = serde_json::from_str(message).unwrap();
        let time = chain_core::record::body::parse_instant(reading["time"].as_str().unwrap()).unwrap();
        if days.contains(&time) {
            let value = reading["value"].as_str().unwrap().parse().unwrap();
            hours.entry(time / 3_600_000).or_default().push(value);
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = hours.values().map(|hour| mean(hour)).collect();
    (mean(&means) * 100.0, means.len())
}

/// A value of a week of readings is filed, and computed again from the ledger alone; one that says something else, or rests on
/// less, is found out. Below the rule there is none.
fn values_are_computed_again_from_what_is_anchored(stage: &Stage, series: &Series, device: &str) {
    let of =
        |rule, from, to| ["--device", device, "--stream", "s1", "--rule", rule, "--from", from, "--to", to];
    let compute = |rule, from, to| [&["indicator", "compute"], &of(rule, from, to)[..]].concat();
    stage.refused(&compute("gb3095", "2015-09-06", "2015-09-06"), &["BAD_PARAMETER", "fewer than 20 hours"]);
    stage.refused(&compute("gb3095", "2015-09-01", "2015-09-30"), &["BAD_PARAMETER", "whole days, wants 27"]);
    stage.refused(&compute("hours75", "2015-09-04", "2015-09-08"), &["BAD_PARAMETER", "of 120 hours"]);

    let (from, to) = ("2015-09-11", "2015-09-17");
    let said = ["--indicator", "T-1", "--standard", "示例", "--title", "占有率", "--area", "320100"];
    let filed_by = ["--legal-basis", "cn-statistics", "--agency", STATISTICS, "--out", "value.json"];
    let draft = [&["indicator", "draft"], &of("hours75", from, to)[..], &said, &filed_by].concat();
    let shown = stage.done(&draft);
    let (mean, hours) = hours_of(series, from, to);
    let value: f64 = shown["value"].as_str().unwrap().parse().unwrap();
    assert!((value * 100.0 - mean).abs() < 0.51, "{shown} and {mean}");
    let covered = (&shown["hours"], &shown["coverage_pct"]);
    assert_eq!(covered, (&json!(hours), &json!(hours * 100 / 168)), "{shown}");
    assert!(shown["batches"].as_u64() > Some(1), "{shown}");

    let document: Value =
        serde_json::from_slice(&std::fs::read(stage.dir.path().join("value.json")).unwrap()).unwrap();
    let file = |document: &Value| {
        std::fs::write(stage.dir.path().join("value.json"), document.to_string()).unwrap();
        let filed = stage.done(&["record", "submit", "value.json"]);
        let record = filed["items"][0]["record"].as_str().unwrap().to_owned();
        stage.well(&["record", "countersign", &record, "--role", "supervisor"]);
        record
    };
    let checked = stage.done(&["indicator", "check", &file(&document)]);
    assert_eq!((&checked["verdict"], &checked["value"]), (&json!("VALID"), &shown["value"]), "{checked}");
    type Lie = fn(&mut Value);
    let lies: [(&str, Lie); 4] = [
        ("value", |body| body["value"]["digits"] = json!(body["value"]["digits"].as_i64().unwrap() + 1)),
        ("coverage", |body| body["coverage_pct"] = json!(100)),
        ("batches", |body| drop(body["inputs"].as_array_mut().unwrap().pop())),
        ("unit", |body| body["unit"] = json!("GQ")),
    ];
    for (what, lie) in lies {
        let mut document = document.clone();
        lie(&mut document["body"]);
        stage.refused(&["indicator", "check", &file(&document)], &["PROOF_INVALID", what]);
    }
}

#[test]
fn ten_thousand_readings_reach_the_ledger_once() {
    let Some(data) = std::env::var_os("CITY_TEST_DATA") else { return skip("CITY_TEST_DATA is not set") };
    let (Some(mosquitto), Some(_)) = (program("mosquitto"), program("mosquitto_pub")) else {
        return skip("there is no mosquitto here");
    };
    if program("openssl").is_none() {
        return skip("there is no openssl here");
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_city")).with_file_name("city-node");
    if !beside.is_file() && std::env::var_os("CITY_NODE_BIN").is_none() {
        return skip("there is no city-node beside city");
    }
    let nab = Path::new(&data).join("sensors/nab");
    let mut all = vec![
        road_series(&nab, "TravelTime_387.csv", "tt-387", 600),
        road_series(&nab, "occupancy_6005.csv", "occ-6005", 300),
        road_series(&nab, "speed_7578.csv", "speed-7578", 300),
    ];
    let road: usize = all.iter().map(|series| series.messages.len()).sum();
    assert_eq!(road, 6_007);
    let made = (0..READINGS - road).map(|at| {
        json!({ "time": 1_700_000_000_000_u64 + 60_000 * at as u64, "value": at % 97 }).to_string()
    });
    all.push(Series { device: "made-1", period_s: 60, messages: made.collect() });

    let (port, side) = (free_ports(40, 24_500), free_ports(3, 26_600));
    let (broker, url, guarded) = (side, format!("http://127.0.0.1:{}", side + 1), side + 2);
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), children: Vec::new(), port };
    stage.ledger_up();
    let records: Vec<String> = all.iter().map(|series| stage.register(series)).collect();
    let devices: BTreeMap<String, String> =
        records.iter().cloned().zip(all.iter().map(|series| series.device.to_owned())).collect();

    let conf = format!(
        "user root\nper_listener_settings true\nmax_queued_messages 0\npersistence true\npersistence_location {}/\n\
         listener {broker} 127.0.0.1\nallow_anonymous true\n{}",
        stage.dir.path().display(),
        guarded_listener(stage.dir.path(), guarded)
    );
    std::fs::write(stage.dir.path().join("mosquitto.conf"), conf).unwrap();
    let log = File::create(stage.dir.path().join("mosquitto.log")).unwrap();
    let mut command = Command::new(mosquitto);
    command.arg("-c").arg(stage.dir.path().join("mosquitto.conf")).stdout(Stdio::null()).stderr(log);
    stage.children.push(command.spawn().unwrap());

    let mut config = format!(
        "data = \"data\"\n[window]\nreadings = 512\ntime = \"3s\"\ninline = true\n[http]\nlisten = \"127.0.0.1:{}\"\n\
         [mqtt]\nbroker = \"127.0.0.1:{broker}\"\nclient_id = \"gateway-1\"\nversion = 5\n",
        side + 1
    );
    for (series, record) in all.iter().zip(&records) {
        config +=
            &format!("[[device]]\nnumber = \"{0}\"\nrecord = \"{record}\"\nkey = \"{0}\"\n", series.device);
        if series.device == NOTIFIED_DEVICE {
            config += &format!(
                "[device.ngsi]\nentity = \"urn:ngsi-ld:TrafficFlowObserved:{}\"\nstreams = {{ averageVehicleSpeed = \"s1\" }}\n",
                series.device
            );
        }
    }
    std::fs::write(stage.dir.path().join("gateway.toml"), &config).unwrap();
    let gateway = stage.start_gateway("gateway-1.log");
    wait_for("a subscription", || {
        let log = stage.log("gateway-1.log");
        assert!(!log.contains("error["), "{log}");
        log.contains("taking city/+/+")
    });

    // The first half, and in the middle of it the ledger goes.
    for series in &all {
        publish(broker, series.device, &series.messages[..series.messages.len() / 2]);
        if series.device == "occ-6005" {
            stage.ledger_down();
        }
    }
    // The gateway is killed with messages on their way, and the rest comes while it is gone.
    stage.kill(gateway);
    std::fs::write(stage.dir.path().join("other.toml"), config.replace("\"s1\" }", "\"s9\" }")).unwrap();
    stage.refused(
        &["gateway", "run", "other.toml"],
        &["CONFIG_INVALID", "attribute averageVehicleSpeed is stream s9, which its registration lacks"],
    );
    for series in &all {
        let notified = if series.device == NOTIFIED_DEVICE { NOTIFIED } else { 0 };
        let published = series.messages.len() / 2..series.messages.len() - notified;
        publish(broker, series.device, &series.messages[published]);
    }
    let gateway = stage.start_gateway("gateway-2.log");
    wait_for("every reading", || stage.counted(&url, "taken") == Some((READINGS - NOTIFIED) as u64));
    stage.kill(gateway);
    // The session that the broker keeps is the same in the other version of the protocol, and behind TLS and a password.
    let older = config.replace("version = 5", "version = 4");
    only_with_password_and_certificate(&mut stage, &older, broker, guarded);
    stage.start_gateway("gateway-3.log");
    wait_for("a gateway", || stage.counted(&url, "taken").is_some());
    // What a context broker brings, twice.
    let last = &all[2].messages[all[2].messages.len() - NOTIFIED..];
    for (taken, doubled) in [(NOTIFIED, 0), (0, NOTIFIED)] {
        let answer = notify(&format!("127.0.0.1:{}", side + 1), NOTIFIED_DEVICE, last);
        let counts = json!({
            "entities": NOTIFIED, "taken": taken, "doubled": doubled, "late": 0, "refused": 0,
            "problems": [], "unread": ["laneDirection"],
        });
        assert_eq!(answer, counts);
    }
    // Sent once more, from within a batch: known.
    publish(broker, "tt-387", &all[0].messages[..100]);
    wait_for("doubled readings", || stage.counted(&url, "doubled") >= Some(NOTIFIED as u64 + 100));
    assert!(stage.counted(&url, "waiting") > Some(0), "nothing can be confirmed without a ledger");

    stage.ledger_up();
    wait_for("receipts", || {
        (stage.counted(&url, "waiting"), stage.counted(&url, "open")) == (Some(0), Some(0))
    });
    for (name, want) in [("taken", READINGS as u64), ("late", 0), ("refused", 0)] {
        assert_eq!(stage.counted(&url, name), Some(want), "{name}");
    }

    // The ledger alone says the rest.
    let batches = stage.batches(&devices);
    let expected = std::fs::read_to_string(nab.join("expected_gaps.csv")).unwrap();
    for (series, row) in all.iter().zip(expected.lines().skip(1).map(Some).chain([None])) {
        let of_device = &batches[series.device];
        let count: u64 = of_device.iter().map(|(_, batch)| u64::from(batch.count)).sum();
        assert_eq!(count, series.messages.len() as u64, "{}", series.device);
        let Some(row) = row else { continue };
        let row: Vec<&str> = row.split(',').collect();
        let (mut holes, mut missing, mut longest) = (0_u64, 0_u64, (0_u64, 0_u64));
        let mut before: Option<&BatchDetails> = None;
        for (_, batch) in of_device {
            if let Some(before) = before {
                assert_eq!(
                    (batch.seq, batch.prev, batch.first_ms > before.last_ms),
                    (before.seq + 1, before.digest(), true)
                );
                let distance = batch.first_ms - before.last_ms;
                if batch.terms.is_hole(distance) {
                    holes += 1;
                    missing += u64::from(batch.terms.missing_in(distance));
                    longest = longest.max((distance, before.last_ms));
                }
            }
            holes += u64::from(batch.statistics.holes);
            missing += u64::from(batch.statistics.missing);
            if let Some(hole) = batch.statistics.longest_hole {
                longest = longest.max((hole.length_ms(), hole.from_ms));
            }
            before = Some(batch);
        }
        let starts = chain_core::record::body::parse_instant(&format!("{}Z", row[8])).unwrap();
        let found = [holes.to_string(), missing.to_string(), (longest.0 / 1_000).to_string()];
        assert_eq!(found, [row[5], row[6], row[7]], "{}", row[0]);
        assert_eq!(longest.1, starts, "{}", row[0]);
    }

    hints_are_filed_once_and_closed_by_another(&stage, &records[0]);
    values_are_computed_again_from_what_is_anchored(&stage, &all[1], &records[1]);

    // One reading from the gateway, and one from the ledger alone; both hold when everything else is gone.
    let reading: Value = serde_json::from_str(&all[2].messages[700]).unwrap();
    let time = reading["time"].as_str().unwrap();
    let out = ["--out", "one.json"];
    let asked =
        ["gateway", "proof", "--gateway", &url, "--device", "speed-7578", "--stream", "s1", "--time", time];
    stage.well(&[&asked[..], &out[..]].concat());
    let first = &batches["speed-7578"][0].0;
    let time =
        serde_json::from_str::<Value>(&all[2].messages[3]).unwrap()["time"].as_str().unwrap().to_owned();
    stage.well(&["gateway", "proof", "--batch", first, "--time", &time, "--out", "two.json"]);
    stage.ledger_down();
    for child in 0..stage.children.len() {
        stage.kill(child);
    }
    let verdicts = stage.done(&["gateway", "verify", "one.json", "two.json"]);
    let value = format!("{}.00", reading["value"].as_str().unwrap());
    assert_eq!(
        (&verdicts["items"][0]["verdict"], &verdicts["items"][0]["value"]),
        (&json!("VALID"), &json!(value))
    );
    let mut proof: Value =
        serde_json::from_slice(&std::fs::read(stage.dir.path().join("one.json")).unwrap()).unwrap();
    proof["reading"]["value"] = json!(proof["reading"]["value"].as_i64().unwrap() + 1);
    std::fs::write(stage.dir.path().join("false.json"), proof.to_string()).unwrap();
    let refused = stage.city(&["gateway", "verify", "false.json"]);
    assert_eq!(refused.status.code(), Some(10), "{}", String::from_utf8_lossy(&refused.stderr));
}
