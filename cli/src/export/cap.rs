//! Alerts as CAP 1.2 (OASIS), a file each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chain_core::code::{Code, Refusal};
use chain_core::id::RecordId;
use chain_core::record::alert::{AlertArea, AlertBody, AlertInfo};
use chain_core::record::body::parse_instant;

use super::Published;
use crate::clock;
use crate::import::decimal;

/// An alert as it is published: name of the file and text.
pub(crate) type Alert = (String, String);

/// The alerts of a city, each with its record's id as the file's name; `former` are others that they may be about.
/// `offset_minutes` is how far its time is ahead of UTC.
///
/// # Errors
/// `SCHEMA_INVALID` for a body that is no alert's, `NOT_FOUND` for a reference to an alert that is among neither.
pub(crate) fn alerts(
    published: &[Published],
    former: &[Published],
    offset_minutes: i16,
) -> Result<Vec<Alert>, Refusal> {
    let mut bodies: BTreeMap<RecordId, AlertBody> = BTreeMap::new();
    for record in published.iter().chain(former) {
        bodies.insert(record.header.record, record.body_of()?);
    }
    let mut alerts = Vec::new();
    for record in published.iter().map(|record| record.header.record) {
        if let Some(body) = bodies.get(&record) {
            alerts.push((format!("{record}.cap"), alert(body, &bodies, offset_minutes)?));
        }
    }
    Ok(alerts)
}

fn alert(
    body: &AlertBody,
    all: &BTreeMap<RecordId, AlertBody>,
    offset_minutes: i16,
) -> Result<String, Refusal> {
    let mut xml = Xml::default();
    xml.text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.open("alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"");
    xml.leaf("identifier", &body.identifier);
    xml.leaf("sender", &body.sender.to_string());
    xml.leaf("sent", &time(&body.sent, offset_minutes)?);
    xml.leaf("status", &capital(body.status.name()));
    xml.leaf("msgType", &capital(body.msg_type.name()));
    xml.leaf("scope", "Public");
    let mut references = Vec::new();
    for record in &body.references {
        let Some(earlier) = all.get(record) else {
            let detail =
                format!("alert {} refers to record {record}, which is not published", body.identifier);
            return Err(Refusal::new(Code::NotFound, detail));
        };
        let sent = time(&earlier.sent, offset_minutes)?;
        references.push(format!("{},{},{sent}", earlier.sender, earlier.identifier));
    }
    if !references.is_empty() {
        xml.leaf("references", &references.join(" "));
    }
    for info in &body.info {
        write_info(&mut xml, info, &body.areas, offset_minutes)?;
    }
    xml.close("alert");
    Ok(xml.text)
}

fn write_info(
    xml: &mut Xml,
    info: &AlertInfo,
    areas: &[AlertArea],
    offset_minutes: i16,
) -> Result<(), Refusal> {
    xml.open("info");
    xml.leaf("language", &info.lang);
    xml.leaf("category", &capital(info.category.name()));
    xml.leaf("event", &info.event);
    xml.leaf("urgency", &capital(info.urgency.name()));
    xml.leaf("severity", &capital(info.severity.name()));
    xml.leaf("certainty", &capital(info.certainty.name()));
    let times = [("effective", info.effective.as_deref()), ("onset", info.onset.as_deref())];
    for (name, text) in times.into_iter().chain([("expires", Some(info.expires.as_str()))]) {
        if let Some(text) = text {
            xml.leaf(name, &time(text, offset_minutes)?);
        }
    }
    xml.leaf("headline", &info.headline);
    xml.leaf("description", &info.description);
    if let Some(instruction) = &info.instruction {
        xml.leaf("instruction", instruction);
    }
    if let Some(level) = info.level {
        xml.open("parameter");
        xml.leaf("valueName", "level");
        xml.leaf("value", level.name());
        xml.close("parameter");
    }
    for area in areas {
        xml.open("area");
        xml.leaf("areaDesc", &area.desc);
        if !area.polygon.is_empty() {
            let point = |[longitude, latitude]: &[i64; 2]| {
                format!("{},{}", decimal::written(*latitude, 7), decimal::written(*longitude, 7))
            };
            xml.leaf("polygon", &area.polygon.iter().map(point).collect::<Vec<_>>().join(" "));
        }
        xml.close("area");
    }
    xml.close("info");
    Ok(())
}

/// CAP's spelling of one of our names: `cbrne` is the one that is all capitals.
fn capital(name: &str) -> String {
    if name == "cbrne" {
        return "CBRNE".to_owned();
    }
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// A time as CAP wants it: to the second, with an offset in figures.
fn time(text: &str, offset_minutes: i16) -> Result<String, Refusal> {
    let ms = parse_instant(text).ok_or_else(|| Refusal::new(Code::BadDate, "a time without its offset"))?;
    Ok(clock::rfc3339(ms, offset_minutes))
}

/// XML that is written from the outside in.
#[derive(Debug, Default)]
struct Xml {
    text: String,
}

impl Xml {
    fn open(&mut self, tag: &str) {
        let _ = writeln!(self.text, "<{tag}>");
    }

    fn close(&mut self, name: &str) {
        let _ = writeln!(self.text, "</{name}>");
    }

    fn leaf(&mut self, name: &str, content: &str) {
        let _ = write!(self.text, "<{name}>");
        for c in content.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                // What XML 1.0 has no place for.
                c if c.is_control() && !matches!(c, '\n' | '\t') => self.text.push(' '),
                c => self.text.push(c),
            }
        }
        let _ = writeln!(self.text, "</{name}>");
    }
}
