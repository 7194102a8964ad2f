//! Alerts of the Common Alerting Protocol, versions 1.1 and 1.2 (OASIS), as rows: a file each.
//!
//! The reader takes no document type and so no entities, and files of bounded size with a bounded number of nodes. What the
//! record has no place for is left out and noted. The areas are those of all blocks; times get the offset of the city.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::record::body::parse_instant;
use chain_core::text::shown;
use roxmltree::{Document, Node, ParsingOptions};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::decimal::Decimal;
use super::field::Value;
use super::mapping::{Mapped, Mapping};
use super::note::{Note, Notes};
use super::source::{File, Found};
use crate::clock;

/// Most bytes of an alert's file.
const BYTES_MAX: usize = 1024 * 1024;
/// Most elements, attributes and texts of an alert.
const NODES_MAX: u32 = 50_000;
/// Namespaces of the versions that are read.
const NAMESPACES: [&str; 2] =
    ["urn:oasis:names:tc:emergency:cap:1.1", "urn:oasis:names:tc:emergency:cap:1.2"];
/// Elements of a block that the record has no place for.
const LEFT_OUT: [&str; 7] =
    ["responseType", "audience", "eventCode", "senderName", "web", "resource", "contact"];

/// How alerts are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cap {
    /// Name of the parameter that says the level I to IV; it counts before `levels`.
    #[serde(default)]
    level_parameter: Option<String>,
    /// Level by CAP severity.
    #[serde(default)]
    levels: BTreeMap<String, String>,
}

/// Reads alerts in order. `offset_minutes` is how far the city's time is ahead of UTC.
pub(crate) fn read(files: &[File], mapping: &Mapping, offset_minutes: i16) -> Vec<Found> {
    let read = |file: &File| (file.name.clone(), alert(&file.bytes, mapping, offset_minutes));
    files.iter().map(read).collect()
}

fn malformed(why: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::BadSpreadsheet, format!("no CAP alert: {why}"))
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Code::MissingField, format!("{name} is absent or empty"))
}

fn alert(bytes: &[u8], mapping: &Mapping, offset_minutes: i16) -> Result<Mapped, Refusal> {
    if bytes.len() > BYTES_MAX {
        let detail = format!("{} bytes, an alert has at most {BYTES_MAX}", bytes.len());
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(&"the file is not UTF-8"))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = Document::parse_with_options(text, options).map_err(|error| malformed(&error))?;
    let root = document.root_element();
    let space = root.tag_name().namespace().unwrap_or_default();
    if root.tag_name().name() != "alert" || !NAMESPACES.contains(&space) {
        return Err(malformed(&format!("the root is no alert of {}", NAMESPACES.join(" or "))));
    }
    let mut reader = Reader { mapping, offset_minutes, space, notes: Notes::default() };
    let (number, fields) = reader.alert(root)?;
    Ok(Mapped { number: Some(number), ..Mapped::of_document(fields, reader.notes) })
}

struct Reader<'a> {
    mapping: &'a Mapping,
    offset_minutes: i16,
    space: &'a str,
    notes: Notes,
}

impl Reader<'_> {
    fn children<'d>(&self, node: Node<'d, 'd>, name: &str) -> impl Iterator<Item = Node<'d, 'd>> + use<'d> {
        let (space, name) = (self.space.to_owned(), name.to_owned());
        node.children().filter(move |child| child.has_tag_name((space.as_str(), name.as_str())))
    }

    fn text<'d>(&self, node: Node<'d, 'd>, name: &str) -> Option<&'d str> {
        let child = self.children(node, name).next()?;
        child.text().map(str::trim).filter(|text| !text.is_empty())
    }

    fn required<'d>(&self, node: Node<'d, 'd>, name: &str) -> Result<&'d str, Refusal> {
        self.text(node, name).ok_or_else(|| missing(name))
    }

    /// A time with the offset of the city.
    fn time(&self, name: &str, text: &str) -> Result<String, Refusal> {
        let ms = parse_instant(text).ok_or_else(|| {
            let detail = format!("{name} is {}, wants an RFC 3339 time with offset", shown(text));
            Refusal::new(Code::BadDate, detail)
        })?;
        Ok(clock::rfc3339(ms, self.offset_minutes))
    }

    fn alert(&mut self, root: Node<'_, '_>) -> Result<(String, BTreeMap<String, Value>), Refusal> {
        let identifier = self.required(root, "identifier")?.to_owned();
        let sender = self.required(root, "sender")?;
        let scope = self.required(root, "scope")?;
        if scope != "Public" {
            let detail = format!("scope {}: only public alerts are recorded", shown(scope));
            return Err(Refusal::new(Code::SchemaInvalid, detail));
        }
        let mut fields = BTreeMap::new();
        let sent = self.time("sent", self.required(root, "sent")?)?;
        fields.insert("identifier".to_owned(), Value::Plain(identifier.clone()));
        fields.insert("sent".to_owned(), Value::Plain(sent));
        for (name, member) in [("status", "status"), ("msgType", "msg_type")] {
            let value = self.required(root, name)?.to_ascii_lowercase();
            fields.insert(member.to_owned(), Value::Plain(value));
        }
        let references = self.references(root, sender)?;
        if !references.is_empty() {
            fields.insert("references".to_owned(), Value::Earlier(references));
        }
        let mut blocks = Vec::new();
        for info in self.children(root, "info") {
            blocks.push(Json::Object(self.info(info)?));
        }
        let areas = self.areas_of_all(root)?;
        if !areas.is_empty() {
            fields.insert("areas".to_owned(), Value::Ready(Json::Array(areas)));
        }
        if !blocks.is_empty() {
            fields.insert("info".to_owned(), Value::Ready(Json::Array(blocks)));
        }
        Ok((identifier, fields))
    }

    /// The numbers of the sender's alerts that this one is about.
    fn references(&self, root: Node<'_, '_>, sender: &str) -> Result<Vec<String>, Refusal> {
        let mut numbers = Vec::new();
        for reference in self.text(root, "references").unwrap_or_default().split_whitespace() {
            let mut parts = reference.split(',');
            let (Some(by), Some(number), Some(_), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                let detail = format!("references: {}, wants sender,identifier,sent", shown(reference));
                return Err(Refusal::new(Code::SchemaInvalid, detail));
            };
            if by != sender {
                let detail = "references: an alert of another sender; whoever sent it updates it";
                return Err(Refusal::new(Code::AgencyNotCompetent, detail));
            }
            numbers.push(number.to_owned());
        }
        Ok(numbers)
    }

    fn info(&mut self, info: Node<'_, '_>) -> Result<Map<String, Json>, Refusal> {
        let mut block = Map::new();
        // The schema of CAP has English where no language is named.
        let lang = self.text(info, "language").unwrap_or("en-US");
        let severity = self.required(info, "severity")?;
        let mut put = |name: &str, text: &str| block.insert(name.to_owned(), json!(text));
        put("lang", lang);
        put("category", &self.required(info, "category")?.to_ascii_lowercase());
        put("event", self.required(info, "event")?);
        put("urgency", &self.required(info, "urgency")?.to_ascii_lowercase());
        put("severity", &severity.to_ascii_lowercase());
        put("certainty", &self.required(info, "certainty")?.to_ascii_lowercase());
        let level = self.level(info).or_else(|| self.mapping.cap.levels.get(severity).cloned());
        if let Some(level) = level {
            put("level", &level);
        }
        for name in ["effective", "onset", "expires"] {
            if let Some(text) = self.text(info, name) {
                put(name, &self.time(name, text)?);
            }
        }
        for name in ["headline", "description", "instruction"] {
            if let Some(text) = self.text(info, name) {
                put(name, text);
            }
        }
        let others = LEFT_OUT.iter().any(|name| self.children(info, name).next().is_some());
        let parameters = self.children(info, "parameter").filter(|one| !self.is_level(*one)).count();
        if others || parameters > 0 || self.children(info, "category").count() > 1 {
            self.notes.add(Note::LeftOut);
        }
        if self.text(info, "contact").is_some() {
            self.notes.add(Note::StripPersonal);
        }
        Ok(block)
    }

    fn level(&self, info: Node<'_, '_>) -> Option<String> {
        let parameter = self.children(info, "parameter").find(|one| self.is_level(*one))?;
        self.text(parameter, "value").map(str::to_owned)
    }

    fn is_level(&self, parameter: Node<'_, '_>) -> bool {
        let wanted = self.mapping.cap.level_parameter.as_deref();
        wanted.is_some() && self.text(parameter, "valueName") == wanted
    }

    /// The areas of the first block, and of the others those whose polygon is new: blocks in other languages repeat the same
    /// polygons under other names.
    fn areas_of_all(&mut self, root: Node<'_, '_>) -> Result<Vec<Json>, Refusal> {
        let mut all: Vec<Json> = Vec::new();
        for (at, info) in self.children(root, "info").enumerate() {
            for area in self.areas(info)? {
                let named = |member: &str| all.iter().any(|one| one.get(member) == area.get(member));
                match (at, area.get("polygon")) {
                    (0, _) => all.push(area),
                    (_, Some(_)) if !named("polygon") => all.push(area),
                    (_, None) if !named("desc") => self.notes.add(Note::LeftOut),
                    _ => {}
                }
            }
        }
        Ok(all)
    }

    fn areas(&mut self, info: Node<'_, '_>) -> Result<Vec<Json>, Refusal> {
        let mut areas = Vec::new();
        for area in self.children(info, "area") {
            let desc = self.required(area, "areaDesc")?;
            for circle in self.children(area, "circle") {
                let centre = circle.text().unwrap_or_default().split_whitespace().next().unwrap_or_default();
                self.point(centre)?;
            }
            let lost = ["circle", "geocode", "altitude", "ceiling"];
            if lost.iter().any(|name| self.children(area, name).next().is_some()) {
                self.notes.add(Note::LeftOut);
            }
            let mut named = 0;
            for polygon in self.children(area, "polygon") {
                let points = polygon.text().unwrap_or_default().split_whitespace();
                let ring = points.map(|point| self.point(point)).collect::<Result<Vec<_>, _>>()?;
                areas.push(json!({ "desc": desc, "polygon": ring, "datum": "WGS84" }));
                named += 1;
            }
            if named == 0 {
                areas.push(json!({ "desc": desc }));
            }
        }
        Ok(areas)
    }

    /// `latitude,longitude` as degrees × 10^7, longitude first.
    fn point(&self, text: &str) -> Result<[i64; 2], Refusal> {
        let Some((latitude, longitude)) = text.split_once(',') else {
            let detail = format!("area: the point {}, wants latitude,longitude", shown(text));
            return Err(Refusal::new(Code::SchemaInvalid, detail));
        };
        let (latitude, longitude) = (Decimal::parse("area", latitude)?, Decimal::parse("area", longitude)?);
        self.mapping.check_point(latitude, longitude)?;
        let degrees = |number: Decimal| i64::try_from(number.rounded(7)).unwrap_or(i64::MAX);
        Ok([degrees(longitude), degrees(latitude)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &str) -> Result<Mapped, Code> {
        let (mapping, _) = Mapping::load("cap").unwrap();
        alert(text.as_bytes(), &mapping, 480).map_err(|refusal| refusal.code)
    }

    const ALERT: &str = r#"<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>A-1</identifier>
<sender>duty@city.example</sender><sent>2026-11-23T01:00:00-00:00</sent><status>Actual</status><msgType>Alert</msgType>
<scope>Public</scope><info><category>Met</category><event>rain &amp; wind</event><urgency>Expected</urgency>
<severity>Severe</severity><certainty>Likely</certainty><expires>2026-11-23T20:00:00Z</expires>
<headline>h</headline><description>d</description><instruction>i</instruction><contact>Wang Fang</contact>
<area><areaDesc>x</areaDesc><polygon>32.0,118.7 32.1,118.7 32.1,118.8 32.0,118.7</polygon></area></info></alert>"#;

    #[test]
    fn an_alert_has_the_citys_offset_its_level_and_no_contact() {
        let mapped = mapped(ALERT).unwrap();
        assert_eq!(mapped.fields["sent"], Value::Plain("2026-11-23T09:00:00+08:00".to_owned()));
        let Value::Ready(info) = &mapped.fields["info"] else { panic!("{mapped:?}") };
        assert_eq!(info[0]["expires"], "2026-11-24T04:00:00+08:00");
        assert_eq!((&info[0]["level"], &info[0]["event"]), (&json!("II"), &json!("rain & wind")));
        let Value::Ready(areas) = &mapped.fields["areas"] else { panic!("{mapped:?}") };
        assert_eq!(areas[0]["polygon"][1], json!([1_187_000_000, 321_000_000]));
        assert_eq!(mapped.notes.to_string(), "STRIP_PERSONAL|LEFT_OUT");
        let said = format!("{mapped:?}");
        assert!(!said.contains("Wang") && !said.contains("duty@"), "{said}");
    }

    #[test]
    fn points_of_every_block_lie_in_the_area_and_new_polygons_are_kept() {
        let second = |polygon: &str| {
            let from = ALERT.find("<info>").unwrap();
            let to = ALERT.find("</info>").unwrap() + "</info>".len();
            let block = ALERT[from..to].replace("<info>", "<info><language>fr</language>");
            let block = block.replace("32.0,118.7 32.1,118.7 32.1,118.8 32.0,118.7", polygon);
            let block = block.replace("<areaDesc>x", "<areaDesc>y");
            mapped(&ALERT.replace("</alert>", &format!("{block}</alert>")))
        };
        let count = |mapped: Mapped| match &mapped.fields["areas"] {
            Value::Ready(areas) => areas.as_array().unwrap().len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(count(second("32.0,118.7 32.1,118.7 32.1,118.8 32.0,118.7").unwrap()), 1);
        assert_eq!(count(second("32.2,118.7 32.3,118.7 32.3,118.8 32.2,118.7").unwrap()), 2);
        let far = second("99.0,-200.0 99.1,-200.0 99.1,-199.9 99.0,-200.0");
        assert_eq!(far.map(|_| ()), Err(Code::GeoOutOfArea));
    }

    #[test]
    fn what_is_no_public_alert_of_the_city_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(60_000), "</a>".repeat(60_000));
        for (from, to, code) in [
            ("cap:1.2", "cap:2.0", Code::BadSpreadsheet),
            ("Public", "Restricted", Code::SchemaInvalid),
            ("<scope>Public</scope>", "", Code::MissingField),
            ("2026-11-23T01:00:00-00:00", "2026-11-23T01:00:00", Code::BadDate),
            ("32.1,118.8", "118.8,32.1", Code::GeoOutOfArea),
            ("32.1,118.8", "32.1", Code::SchemaInvalid),
            (
                "</alert>",
                "<references>x@y.example,1,2026-11-23T01:00:00-00:00</references></alert>",
                Code::AgencyNotCompetent,
            ),
            ("</alert>", "<references>1</references></alert>", Code::SchemaInvalid),
            ("</alert>", "", Code::BadSpreadsheet),
            ("</alert>", &format!("{deep}</alert>"), Code::BadSpreadsheet),
            ("</alert>", &format!("<!--{}--></alert>", "x".repeat(BYTES_MAX)), Code::SizeLimit),
            (
                "<alert",
                "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hostname\">]><alert",
                Code::BadSpreadsheet,
            ),
            ("<alert", "<!DOCTYPE a [<!ENTITY x \"y\">]><alert", Code::BadSpreadsheet),
            ("rain &amp;", "rain &x;", Code::BadSpreadsheet),
        ] {
            let text = ALERT.replacen(from, to, 1);
            assert_eq!(mapped(&text).map(|_| ()), Err(code), "{from} to {}", &to[..to.len().min(60)]);
        }
    }
}
