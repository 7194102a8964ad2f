//! The gateway's configuration: one TOML file, in which unknown keys are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_core::code::Code;
use chain_core::id::RecordId;
use serde::Deserialize;

use super::store::Bounds;
use crate::error::{CliError, CliResult};
use crate::{duration, files};

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the store, seen from the file's folder.
    pub(crate) data: PathBuf,
    /// Key that files the batches, by its name in the key ring: a gateway of the agency. Without one, each device files its own.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// When windows are sealed.
    #[serde(default)]
    window: Window,
    /// How much is kept.
    #[serde(default)]
    store: Room,
    /// Readings by HTTP, and what is shown of them.
    #[serde(default)]
    pub(crate) http: Http,
    /// Readings by MQTT.
    #[serde(default)]
    pub(crate) mqtt: Option<Mqtt>,
    /// The devices.
    #[serde(rename = "device")]
    pub(crate) devices: Vec<Device>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Window {
    readings: usize,
    time: String,
    inline: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { readings: 4_096, time: "1h".to_owned(), inline: false }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Room {
    bytes_max: u64,
    ahead: String,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes_max: 8 << 30, ahead: "1h".to_owned() }
    }
}

/// The HTTP side.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// File with the token that senders name (`Authorization: Bearer …`); required beyond this machine.
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7300)), token_file: None }
    }
}

/// The MQTT side.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mqtt {
    /// The broker, e.g. `127.0.0.1:1883`.
    pub(crate) broker: String,
    /// 4 for MQTT 3.1.1, 5 for MQTT 5.
    #[serde(default = "version_4")]
    pub(crate) version: u8,
    /// Name under which the broker keeps what this gateway has not acknowledged yet. One gateway, one name.
    pub(crate) client_id: String,
    /// Topics are this, the device's number and the stream's name: `city/st-1/speed`.
    #[serde(default = "prefix")]
    pub(crate) prefix: String,
    /// User, where the broker wants one.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// File with the password.
    #[serde(default)]
    pub(crate) password_file: Option<PathBuf>,
    /// TLS with the certificates of this file as roots. Without it the connection is in clear.
    #[serde(default)]
    pub(crate) tls_ca: Option<PathBuf>,
}

const fn version_4() -> u8 {
    4
}

fn prefix() -> String {
    "city".to_owned()
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    /// The agency's number of it; names it towards senders.
    pub(crate) number: String,
    /// Its registration.
    pub(crate) record: RecordId,
    /// Its key, by its name in the key ring.
    pub(crate) key: String,
    /// The entity of a context broker that speaks of it.
    #[serde(default)]
    pub(crate) ngsi: Option<Ngsi>,
}

/// How an entity speaks of a device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ngsi {
    /// The entity's id, or what the entity names as its `refDevice`.
    pub(crate) entity: String,
    /// The attribute that says when, for values that do not say it themselves.
    #[serde(default = "date_observed")]
    pub(crate) time: String,
    /// The stream of each attribute; `attribute.member` is a part of one.
    pub(crate) streams: BTreeMap<String, String>,
}

fn date_observed() -> String {
    "dateObserved".to_owned()
}

impl Ngsi {
    fn check(&self, number: &str) -> Result<(), String> {
        if self.entity.is_empty() || self.streams.is_empty() {
            return Err(format!(
                "device {number}: ngsi wants the id of an entity, and a stream of an attribute"
            ));
        }
        let mut streams = BTreeSet::new();
        match self.streams.values().find(|stream| !streams.insert(*stream)) {
            Some(stream) => Err(format!("device {number}: two attributes are stream {stream}")),
            None => Ok(()),
        }
    }
}

impl Config {
    /// Reads and checks the file; paths in it are seen from its folder.
    ///
    /// # Errors
    /// `CONFIG_INVALID`.
    pub(crate) fn read(path: &Path) -> CliResult<Self> {
        let invalid =
            |detail: String| CliError::new(Code::ConfigInvalid, format!("{}: {detail}", path.display()));
        let mut config: Self = toml::from_str(&files::read(path)?)
            .map_err(|error| invalid(error.to_string().trim().to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        config.data = folder.join(&config.data);
        let seen = |file: &mut Option<PathBuf>| {
            if let Some(file) = file {
                *file = folder.join(&file);
            }
        };
        seen(&mut config.http.token_file);
        if let Some(mqtt) = &mut config.mqtt {
            seen(&mut mqtt.password_file);
            seen(&mut mqtt.tls_ca);
        }
        config.check().map_err(invalid)?;
        config.bounds()?.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let local = |ip: IpAddr| ip.is_loopback();
        if !local(self.http.listen.ip()) && self.http.token_file.is_none() {
            return Err(format!(
                "http.listen is {}, beyond this machine: name a token_file",
                self.http.listen
            ));
        }
        if self.devices.is_empty() {
            return Err("no [[device]]".to_owned());
        }
        for (at, device) in self.devices.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
            if device.number.is_empty() || device.number.len() > 64 || !device.number.chars().all(plain) {
                return Err(format!(
                    "device number {:?}, wants 1 to 64 of a-z, A-Z, 0-9, - _ . :",
                    device.number
                ));
            }
            let same = |other: &&Device| other.number == device.number || other.record == device.record;
            if self.devices[..at].iter().any(|other| same(&other)) {
                return Err(format!("device {} is there twice", device.number));
            }
            device.ngsi.as_ref().map_or(Ok(()), |ngsi| ngsi.check(&device.number))?;
        }
        match &self.mqtt {
            Some(mqtt) if !matches!(mqtt.version, 4 | 5) => {
                Err(format!("mqtt.version is {}, wants 4 (MQTT 3.1.1) or 5", mqtt.version))
            }
            Some(mqtt) if mqtt.client_id.is_empty() || mqtt.client_id.len() > 64 => {
                Err(format!("mqtt.client_id has {} bytes, wants 1 to 64", mqtt.client_id.len()))
            }
            Some(mqtt) if mqtt.prefix.is_empty() || mqtt.prefix.contains(['+', '#', '\0']) => {
                Err(format!("mqtt.prefix is {:?}, wants levels of a topic without wildcards", mqtt.prefix))
            }
            _ => Ok(()),
        }
    }

    /// What the store keeps to.
    pub(crate) fn bounds(&self) -> CliResult<Bounds> {
        let time = |key: &str, text: &str| -> CliResult<u64> {
            let parsed: Result<Duration, String> = duration::parse(text);
            let parsed =
                parsed.map_err(|error| CliError::new(Code::ConfigInvalid, format!("{key}: {error}")))?;
            Ok(u64::try_from(parsed.as_millis()).unwrap_or(u64::MAX))
        };
        Ok(Bounds {
            window_readings: self.window.readings,
            window_ms: time("window.time", &self.window.time)?,
            inline: self.window.inline,
            bytes_max: self.store.bytes_max,
            ahead_ms: time("store.ahead", &self.store.ahead)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "[[device]]\nnumber = \"st-1\"\nrecord = \"4bb24efc9641afc5ded1ca77eabb6e2fcf062d2112ccd61bd8bd6acd89180bae\"\nkey = \"st-1\"\n";

    fn read(text: &str) -> CliResult<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, format!("{text}\n{DEVICE}")).unwrap();
        Config::read(&path)
    }

    /// A second device, with an entity that speaks of it.
    fn speaking(streams: &str) -> String {
        let device = DEVICE.replace("st-1", "st-2").replace("4bb2", "5bb2");
        format!("data = \"d\"\n{device}[device.ngsi]\nentity = \"urn:a\"\n{streams}")
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read_well = read(&speaking("streams = { a = \"s\" }")).unwrap();
        assert_eq!(read_well.devices[0].ngsi.as_ref().unwrap().time, "dateObserved");
        assert_eq!(read("data = \"d\"").unwrap().bounds().unwrap().window_readings, 4_096);
        for (text, named) in [
            ("data = \"d\"\ncolour = 1", "colour"),
            ("data = \"d\"\n[window]\nreadings = 5000", "window.readings is 5000, wants 1 to 4096"),
            ("data = \"d\"\n[window]\nreadings = 0", "window.readings is 0"),
            ("data = \"d\"\n[window]\ntime = \"soon\"", "window.time"),
            ("data = \"d\"\n[http]\nlisten = \"0.0.0.0:7300\"", "name a token_file"),
            ("data = \"d\"\n[mqtt]\nbroker = \"b\"\nclient_id = \"x\"\nversion = 3", "mqtt.version is 3"),
            ("data = \"d\"\n[mqtt]\nbroker = \"b\"\nclient_id = \"x\"\nprefix = \"a/#\"", "wildcards"),
            (&format!("data = \"d\"\n{DEVICE}"), "st-1 is there twice"),
            (&speaking("streams = {}"), "st-2: ngsi wants the id of an entity"),
            (&speaking("streams = { a = \"s\", b = \"s\" }"), "st-2: two attributes are stream s"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid, "{text}");
            assert!(error.report().contains(named), "{text}: {}", error.report());
        }
    }
}
