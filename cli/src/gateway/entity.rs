//! Readings out of entities of a context broker: NGSI-LD and NGSIv2, normalized, concise or key-value; one, an array of them, or
//! a notification of a subscription.
//!
//! The configuration names the entity that speaks of a device and says which attribute is which stream ([`Ngsi`]). Of everything
//! else an entity says nothing is kept: places, owners and descriptions stay with the broker.

use std::collections::BTreeSet;

use chain_core::code::{Code, Refusal};
use serde_json::value::RawValue;

use super::config::{Device, Ngsi};
use super::intake::Sent;
use crate::import::ngsi::{Members, malformed, value_of};

/// Most entities of one request.
const ENTITIES_MAX: usize = 256;
/// Most readings of one request.
const READINGS_MAX: usize = 1_024;

/// What a request holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many entities.
    pub(crate) entities: usize,
    /// Their readings, and what should have been one.
    pub(crate) readings: Vec<Measured>,
    /// Attributes that no stream takes.
    pub(crate) unread: BTreeSet<String>,
}

/// One value of an attribute that is a stream.
#[derive(Debug)]
pub(crate) struct Measured {
    device: String,
    stream: String,
    unit: Option<String>,
    /// As [`super::message`] reads it.
    text: String,
    wrong: Option<Refusal>,
}

impl Measured {
    /// Instead of a reading: why there is none, and the entity's id to be kept.
    fn none(device: &str, id: Option<&str>, wrong: Refusal) -> Self {
        let text = serde_json::json!({ "id": id }).to_string();
        Self { device: device.to_owned(), stream: String::new(), unit: None, text, wrong: Some(wrong) }
    }

    /// The same for [`super::intake`].
    pub(crate) fn sent(&self) -> Sent<'_> {
        Sent {
            device: &self.device,
            stream: &self.stream,
            unit: self.unit.as_deref(),
            wrong: self.wrong.as_ref(),
            text: self.text.as_bytes(),
        }
    }

    /// The device's number and the stream's name; empty where an entity led to none.
    pub(crate) fn names(&self) -> (&str, &str) {
        (&self.device, &self.stream)
    }
}

/// Reads the entities of a request. What is wrong with one of them holds no other up.
///
/// # Errors
/// `MALFORMED_JSON` or `SIZE_LIMIT`, when it cannot be read as a whole: nothing of it is taken then.
pub(crate) fn read(body: &[u8], devices: &[Device]) -> Result<Found, Refusal> {
    let whole: &RawValue = parse(body)?;
    let mut found = Found::default();
    for entity in entities(whole)? {
        found.entities += 1;
        if let Err(refusal) = read_entity(entity, devices, &mut found) {
            found.readings.push(Measured::none("", None, refusal));
        }
        if found.entities > ENTITIES_MAX || found.readings.len() > READINGS_MAX {
            let detail = format!("wants at most {ENTITIES_MAX} entities and {READINGS_MAX} readings at once");
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
    }
    Ok(found)
}

fn read_entity(entity: &RawValue, devices: &[Device], found: &mut Found) -> Result<(), Refusal> {
    let entity = members(entity)?;
    let id = text(&entity, "id")?.ok_or_else(|| Refusal::new(Code::MissingField, "an entity has an id"))?;
    let mut names = references(&entity)?;
    names.push(id.clone());
    let mut known = false;
    for device in devices {
        let Some(ngsi) = device.ngsi.as_ref().filter(|ngsi| names.contains(&ngsi.entity)) else { continue };
        known = true;
        measure(&entity, &id, device, ngsi, found)?;
    }
    if !known {
        let shown = chain_core::text::shown(&id);
        let detail =
            format!("entity {shown} speaks of no device here: [device.ngsi] entity, or its refDevice");
        let refusal = Refusal::new(Code::StreamNotDeclared, detail);
        found.readings.push(Measured::none("", Some(&id), refusal));
    }
    Ok(())
}

/// What an entity measured of a device.
///
/// # Errors
/// Where the entity's time cannot be read, before there is a reading.
fn measure(
    entity: &Members<'_>,
    id: &str,
    device: &Device,
    ngsi: &Ngsi,
    found: &mut Found,
) -> Result<(), Refusal> {
    let before = found.readings.len();
    let mut read: BTreeSet<&str> = ["id", "type", "@context", "refDevice", &ngsi.time].into();
    let moment = entity.get(&ngsi.time).map(value_of).transpose()?.map(end_of);
    for (path, stream) in &ngsi.streams {
        let Some((name, attribute, member)) = attribute(entity, path) else { continue };
        read.insert(name);
        let written = match Written::of(attribute) {
            Ok(written) => written,
            Err(refusal) => {
                let none = Measured::none(&device.number, Some(id), refusal);
                found.readings.push(Measured { stream: stream.clone(), ..none });
                continue;
            }
        };
        let value = match member {
            Some(member) => members(written.value).ok().and_then(|all| all.get(member)),
            None => Some(written.value),
        };
        let Some(value) = value else { continue };
        let time = written.observed.map(|time| time.get().to_owned()).or_else(|| moment.clone());
        let wrong = time.is_none().then(|| {
            let detail = format!("{path} has no observedAt, and the entity no {}", ngsi.time);
            Refusal::new(Code::MissingField, detail)
        });
        let time = time.as_deref().unwrap_or("null");
        found.readings.push(Measured {
            device: device.number.clone(),
            stream: stream.clone(),
            unit: written.unit.map(|unit| unit.get().trim_matches('"').to_owned()),
            text: format!("{{\"time\": {time}, \"value\": {}}}", value.get()),
            wrong,
        });
    }
    if found.readings.len() == before {
        let wanted: Vec<&str> = ngsi.streams.keys().map(String::as_str).collect();
        let detail = format!("entity {} has none of {}", chain_core::text::shown(id), wanted.join(", "));
        let refusal = Refusal::new(Code::MissingField, detail);
        found.readings.push(Measured::none(&device.number, Some(id), refusal));
    }
    let unread = entity.0.iter().map(|(name, _)| name).filter(|name| !read.contains(name.as_str()));
    found.unread.extend(unread.cloned());
    Ok(())
}

/// The attribute that a path names, and which member of its value: `temperature`, `activePower.L1`.
fn attribute<'a, 'p>(
    entity: &Members<'a>,
    path: &'p str,
) -> Option<(&'p str, &'a RawValue, Option<&'p str>)> {
    let whole = entity.get(path).map(|attribute| (path, attribute, None));
    whole.or_else(|| {
        let (name, member) = path.split_once('.')?;
        entity.get(name).map(|attribute| (name, attribute, Some(member)))
    })
}

/// An attribute as it is written.
struct Written<'a> {
    value: &'a RawValue,
    /// When, as JSON.
    observed: Option<&'a RawValue>,
    /// Code of UN/CEFACT, as JSON.
    unit: Option<&'a RawValue>,
}

impl<'a> Written<'a> {
    fn of(attribute: &'a RawValue) -> Result<Self, Refusal> {
        let plain = value_of(attribute)?;
        if !attribute.get().starts_with('{') {
            return Ok(Self { value: plain, observed: None, unit: None });
        }
        let written = members(attribute)?;
        // NGSIv2 keeps both beside the value, under names that the agents of devices agreed on.
        let metadata = written.get("metadata").map(members).transpose()?;
        let beside = |name: &str| {
            let value = metadata.as_ref().and_then(|all| all.get(name)).map(value_of);
            value.transpose()
        };
        let observed =
            written.get("observedAt").map_or_else(|| beside("TimeInstant"), |time| Ok(Some(time)))?;
        let unit = written.get("unitCode").map_or_else(|| beside("unitCode"), |unit| Ok(Some(unit)))?;
        // The concise form leaves the type out.
        let concise = written.get("type").is_none().then(|| written.get("value")).flatten();
        Ok(Self { value: concise.unwrap_or(plain), observed, unit })
    }
}

/// A time as JSON; of an interval of ISO 8601 its end, up to which the values are.
fn end_of(time: &RawValue) -> String {
    match time.get().split_once('/') {
        Some((_, end)) => format!("\"{end}"),
        None => time.get().to_owned(),
    }
}

/// What the entity names as its device or devices.
fn references(entity: &Members<'_>) -> Result<Vec<String>, Refusal> {
    let Some(named) = entity.get("refDevice").map(value_of).transpose()? else { return Ok(Vec::new()) };
    let one = |text: &str| serde_json::from_str::<String>(text).map(|one| vec![one]);
    one(named.get())
        .or_else(|_| serde_json::from_str(named.get()))
        .map_err(|_| malformed("refDevice wants an id or an array of such"))
}

/// The entities of a request.
fn entities(whole: &RawValue) -> Result<Vec<&RawValue>, Refusal> {
    if whole.get().starts_with('[') {
        return parse(whole.get().as_bytes());
    }
    let all = members(whole)?;
    let is_notification =
        all.get("subscriptionId").is_some() || text(&all, "type")?.as_deref() == Some("Notification");
    match (is_notification, all.get("data")) {
        (false, _) => Ok(vec![whole]),
        (true, Some(data)) => parse(data.get().as_bytes()),
        (true, None) => Err(malformed("a notification has an array `data`")),
    }
}

fn text(entity: &Members<'_>, name: &str) -> Result<Option<String>, Refusal> {
    entity.get(name).map(|raw| parse(raw.get().as_bytes())).transpose()
}

fn members(raw: &RawValue) -> Result<Members<'_>, Refusal> {
    parse(raw.get().as_bytes())
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(text).map_err(|error| malformed(&error.to_string()))
}

#[cfg(test)]
mod tests;
