//! NGSI entities as rows: NGSI-LD and NGSIv2, key-value or normalized, one or an array of them.
//!
//! An attribute becomes a cell under its name, what is inside it under `name.member` and `name.0`; numbers keep their digits.
//! Of a normalized attribute (`{"type": "Property", "value": …}`) the value counts. Four cells are ours: [`DIGEST`], [`SIZE`]
//! and [`NAME`] of the entity, and [`POSITIONS`], the points of all its geometries, longitude first.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::record::body::parse_instant;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::contact;
use super::decimal::Decimal;
use super::mapping::Mapping;
use super::ngsi::{DEPTH_MAX, Members, malformed, value_of};
use super::normalise::prose;
use super::place::{self, Area, Town};
use super::sheet::{Row, Sheet};
use super::source::{File, Found};

/// SHA-256 of the entity: of the whole file where it stands alone, else of its text in the array.
const DIGEST: &str = "@sha256";
/// Bytes of that text.
const SIZE: &str = "@size";
/// Type and id.
const NAME: &str = "@name";
/// Longitude and latitude of every point, between blanks.
const POSITIONS: &str = "@positions";
/// Where an entity may name its town, region or country, the nearest first.
const PLACES: [&str; 4] =
    ["address.addressLocality", "areaServed", "address.addressRegion", "address.addressCountry"];
/// Attributes that are geometries, or null.
const GEOMETRIES: [&str; 4] = ["location", "containedInPlace", "observationSpace", "operationSpace"];
/// Types of geometries that have coordinates.
const GEOMETRY_TYPES: [&str; 6] =
    ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"];
/// Members that are no values: a text in them is no time.
const NAMES: [&str; 3] = ["id", "type", "@context"];
/// Most values of an entity.
const CELLS_MAX: usize = 4_096;
/// Most entities of a file.
const ENTITIES_MAX: usize = 100_000;

/// What entities may not be, and what they must say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entities {
    /// Types that are taken; all but the refused ones where empty.
    #[serde(default)]
    types: Vec<String>,
    /// Types that are never recorded.
    #[serde(default)]
    refused_types: Vec<String>,
    /// Attributes about persons, which an entity may not have.
    #[serde(default)]
    refused: Vec<String>,
    /// Attributes that are times with their offset wherever they stand.
    #[serde(default)]
    times: Vec<String>,
    /// Whether every text is screened for e-mail addresses and persons' numbers.
    #[serde(default)]
    screened: bool,
}

/// Reads the entities of files in order.
pub(crate) fn read(files: &[File], mapping: &Mapping) -> Vec<Found> {
    let mut found = Vec::new();
    for file in files {
        match entities(file) {
            Ok(entities) => found.extend(entities.into_iter().map(|(text, alone)| {
                let mapped = cells(text, alone).and_then(|cells| {
                    let sheet = Sheet::of_cells(cells);
                    let row = sheet.rows().next();
                    row.map_or_else(|| Err(malformed("it is empty")), |row| mapping.map(row, false))
                });
                (file.name.clone(), mapped)
            })),
            Err(refusal) => found.push((file.name.clone(), Err(refusal))),
        }
    }
    found
}

/// The texts of a file's entities, with the file's bytes where one stands alone.
fn entities(file: &File) -> Result<Vec<(&str, Option<&[u8]>)>, Refusal> {
    let text = std::str::from_utf8(&file.bytes).map_err(|_| malformed("the file is not UTF-8"))?;
    let text = prose(text);
    if !text.starts_with('[') {
        return Ok(vec![(text, Some(&file.bytes))]);
    }
    let all: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
    if all.is_empty() || all.len() > ENTITIES_MAX {
        return Err(malformed(&format!("{} in the array, wants 1 to {ENTITIES_MAX}", all.len())));
    }
    Ok(all.into_iter().map(|one| (one.get(), None)).collect())
}

/// The cells of an entity.
fn cells(text: &str, alone: Option<&[u8]>) -> Result<BTreeMap<String, String>, Refusal> {
    let Members(attributes) = serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
    let mut cells = BTreeMap::new();
    let mut positions = Vec::new();
    for (name, raw) in attributes {
        let value = if NAMES.contains(&name.as_str()) { raw } else { value_of(raw)? };
        let is_geometry = GEOMETRIES.contains(&name.as_str()) && value.get() != "null";
        if is_geometry && geometry_of(value.get()).is_none() {
            return Err(malformed("a geometry without coordinates"));
        }
        flatten(&name, value, 0, &mut cells, &mut positions)?;
    }
    let own = |name: &str| cells.get(name).map(|text| prose(text)).filter(|text| !text.is_empty());
    let (Some(id), Some(kind)) = (own("id"), own("type")) else {
        return Err(Refusal::new(Code::MissingField, "an entity has an id and a type, in text"));
    };
    let name = format!("{kind} {id}");
    let bytes = alone.unwrap_or(text.as_bytes());
    cells.insert(NAME.to_owned(), name);
    cells.insert(DIGEST.to_owned(), Digest::tagged(b"", &[bytes]).to_string());
    cells.insert(SIZE.to_owned(), bytes.len().to_string());
    cells.insert(POSITIONS.to_owned(), positions.join(" "));
    Ok(cells)
}

fn flatten(
    name: &str,
    raw: &RawValue,
    depth: usize,
    cells: &mut BTreeMap<String, String>,
    positions: &mut Vec<String>,
) -> Result<(), Refusal> {
    if depth > DEPTH_MAX || cells.len() >= CELLS_MAX {
        let detail = format!("an entity has at most {DEPTH_MAX} levels and {CELLS_MAX} values");
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    let text = raw.get();
    let wrong = |error: serde_json::Error| malformed(&error.to_string());
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text).map_err(wrong)?;
            if let Some(coordinates) = geometry_of(text) {
                collect_positions(coordinates, 0, positions)?;
            }
            if let Some(literal) = members.get("@value") {
                return flatten(name, literal, depth + 1, cells, positions);
            }
            for (member, value) in members.0 {
                flatten(&format!("{name}.{member}"), value, depth + 1, cells, positions)?;
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
            for (at, item) in items.into_iter().enumerate() {
                flatten(&format!("{name}.{at}"), item, depth + 1, cells, positions)?;
            }
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(wrong)?;
            // NGSI-LD has geometries written as text too.
            if let Some(coordinates) = geometry_of(&text) {
                collect_positions(coordinates, 0, positions)?;
            }
            cells.insert(name.to_owned(), text);
        }
        _ if text == "null" => {}
        _ => {
            cells.insert(name.to_owned(), text.to_owned());
        }
    }
    Ok(())
}

/// The coordinates of a text that is a geometry (GeoJSON), wherever it stands: an object of such a type.
fn geometry_of(text: &str) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Geometry<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(borrow)]
        coordinates: &'a RawValue,
    }
    let geometry: Geometry<'_> = serde_json::from_str(text).ok()?;
    GEOMETRY_TYPES.contains(&geometry.kind).then_some(geometry.coordinates)
}

/// Adds every point of a geometry: the innermost lists of its coordinates.
fn collect_positions(raw: &RawValue, depth: usize, positions: &mut Vec<String>) -> Result<(), Refusal> {
    let wrong = || malformed("the coordinates of a geometry are no GeoJSON");
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if items.first().is_some_and(|item| item.get().starts_with('[')) {
        if depth == 4 {
            return Err(wrong());
        }
        return items.into_iter().try_for_each(|item| collect_positions(item, depth + 1, positions));
    }
    // A third number is the height.
    let [longitude, latitude, ..] = items[..] else { return Err(wrong()) };
    positions.extend([longitude.get().to_owned(), latitude.get().to_owned()]);
    if positions.len() > CELLS_MAX {
        return Err(Refusal::new(Code::SizeLimit, "geometries of more than 2,048 points"));
    }
    Ok(())
}

/// Whether a text has the form of a time, or of two with `/` between them: a day, `T` and a clock, or two days.
fn looks_like_a_time(text: &str) -> bool {
    let starts = |form: &str, text: &str| {
        text.len() >= form.len()
            && form
                .bytes()
                .zip(text.bytes())
                .all(|(form, one)| if form == b'd' { one.is_ascii_digit() } else { form == one })
    };
    let whole = !text.contains(char::is_whitespace);
    whole && (starts("dddd-dd-ddTdd:dd", text) || starts("dddd-dd-dd/", text))
}

impl Entities {
    /// Refuses an entity that lies elsewhere, is of a type that is not recorded, is about a person, or gives a time without
    /// its offset.
    ///
    /// # Errors
    /// `DATA_FORBIDDEN`, `SCHEMA_INVALID`, `GEO_OUT_OF_AREA`, `PERSONAL_DATA_IN_CLEAR`, `NATURAL_PERSON_ID`, `BAD_DATE`.
    pub(crate) fn check(&self, row: Row<'_>, area: Option<&Area>, towns: &[Town]) -> Result<(), Refusal> {
        let kind = row.cell("type");
        if self.refused_types.iter().any(|one| one == kind) {
            let detail = format!("entities of type {kind} follow persons and are not recorded");
            return Err(Refusal::new(Code::DataForbidden, detail));
        }
        if !self.types.is_empty() && !self.types.iter().any(|one| one == kind) {
            let detail = format!("type {}, wants {}", chain_core::text::shown(kind), self.types.join(", "));
            return Err(Refusal::new(Code::SchemaInvalid, detail));
        }
        check_positions(row, area, towns)?;
        for (heading, cell) in row.filled() {
            let attribute = heading.split('.').next().unwrap_or(heading);
            if self.refused.iter().any(|one| one == attribute) {
                let detail = format!("{heading}: about persons; leave it out in the source system");
                return Err(Refusal::new(Code::PersonalDataInClear, detail));
            }
            if self.screened && !heading.starts_with('@') {
                contact::screen(heading, cell)?;
            }
        }
        for (heading, cell) in row.filled().filter(|(heading, _)| !heading.starts_with('@')) {
            let cell = prose(cell);
            let attribute = heading.split('.').next().unwrap_or(heading);
            let is_time = self.times.iter().any(|name| name == heading)
                || (!NAMES.contains(&attribute) && looks_like_a_time(cell));
            if is_time && parse_instant(cell).is_none() {
                let detail =
                    format!("{heading} wants one time with its offset, as 2026-05-06T09:00:00+08:00");
                return Err(Refusal::new(Code::BadDate, detail));
            }
        }
        Ok(())
    }
}

/// Every point lies in the town or country that the entity names, or else in the area. One that does not, and that would lie in
/// a town of the mapping with its coordinates swapped, is named so.
fn check_positions(row: Row<'_>, area: Option<&Area>, towns: &[Town]) -> Result<(), Refusal> {
    let named = PLACES.iter().find_map(|place| {
        let name = prose(row.cell(place)).to_lowercase();
        towns
            .iter()
            .find(|town| town.names.iter().any(|one| one.to_lowercase() == name))
            .map(|town| &town.area)
    });
    let Some(area) = named.or(area) else { return Ok(()) };
    let numbers: Vec<&str> = row.cell(POSITIONS).split_whitespace().collect();
    for pair in numbers.chunks_exact(2) {
        let degree = |text| Decimal::parse("location", text);
        let (latitude, longitude) = (degree(pair[1])?, degree(pair[0])?);
        area.check_point(latitude, longitude).map_err(|refusal| {
            let town =
                towns.iter().find(|town| named.is_none() && town.area.holds_swapped(latitude, longitude));
            place::in_town(refusal, town)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_and_key_value_entities_have_the_same_cells() {
        let plain = r#"{"id": "e:1", "type": "T", "location": {"type": "Point", "coordinates": [8.680, 49.4]},
            "on": "2026-05-06T09:00:00Z", "n": 1.50, "near": "urn:x", "address": {"addressLocality": "X"}, "list": [1, "a"]}"#;
        let ld = r#"{"id": "e:1", "type": "T",
            "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [8.680, 49.4]}},
            "on": {"type": "Property", "value": {"@type": "DateTime", "@value": "2026-05-06T09:00:00Z"}},
            "n": {"type": "Property", "value": 1.50, "unitCode": "CEL", "observedAt": "2026-05-06T09:00:00Z"},
            "near": {"type": "Relationship", "object": "urn:x"},
            "address": {"type": "Property", "value": {"addressLocality": "X"}}, "list": {"type": "Property", "value": [1, "a"]}}"#;
        let v2 = r#"{"id": "e:1", "type": "T",
            "location": {"type": "geo:json", "value": {"type": "Point", "coordinates": [8.680, 49.4]}, "metadata": {}},
            "on": {"type": "DateTime", "value": "2026-05-06T09:00:00Z"}, "n": {"type": "Number", "value": 1.50},
            "near": {"type": "Text", "value": "urn:x"},
            "address": {"type": "StructuredValue", "value": {"addressLocality": "X"}}, "list": {"type": "StructuredValue", "value": [1, "a"]}}"#;
        let of = |text: &str| {
            let mut all = cells(text, None).unwrap();
            (all.remove(DIGEST), all.remove(SIZE), all).2
        };
        let wanted = of(plain);
        assert_eq!(wanted["n"], "1.50");
        assert_eq!(wanted[POSITIONS], "8.680 49.4");
        assert_eq!(wanted["list.1"], "a");
        assert_eq!(of(ld), wanted);
        assert_eq!(of(v2), wanted);
    }

    #[test]
    fn every_point_of_a_geometry_is_looked_at_and_bounds_hold() {
        let ring = r#"{"id": "e", "type": "T", "location": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4, 9], [1, 2]]]}}"#;
        assert_eq!(cells(ring, None).unwrap()[POSITIONS], "1 2 3 4 1 2");
        let code = |text: &str| cells(text, None).map(|_| ()).map_err(|refusal| refusal.code);
        let deep = format!(r#"{{"id": "e", "type": "T", "a": {}1{}}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(code(&deep), Err(Code::SizeLimit));
        let wide = format!(r#"{{"id": "e", "type": "T", "a": [{}1]}}"#, "1,".repeat(5_000));
        assert_eq!(code(&wide), Err(Code::SizeLimit));
        assert_eq!(
            code(r#"{"id": "e", "type": "T", "location": {"type": "Point"}}"#),
            Err(Code::MalformedJson)
        );
        assert_eq!(code(r#"{"id": "e"}"#), Err(Code::MissingField));
        assert_eq!(code("[1]"), Err(Code::MalformedJson));
        assert_eq!(code(r#"{"id": "e", "type": "T", "owner": "x", "owner": []}"#), Err(Code::MalformedJson));
        assert_eq!(code(r#"{"id": "e", "type": "T", "a": {"b": 1, "b": 2}}"#), Err(Code::MalformedJson));
        let nested = r#"{"type": "Property", "value": "#;
        let nested = format!(r#"{{"id": "e", "type": "T", "a": {}1{}}}"#, nested.repeat(40), "}".repeat(40));
        assert_eq!(code(&nested), Err(Code::SizeLimit));
        assert_eq!(code(r#"{"id": "e", "type": "T", "a": {"type": "Property"}}"#), Err(Code::MalformedJson));
    }

    fn judged(text: &str) -> Result<(), Refusal> {
        let (mapping, _) = Mapping::load("fiware").unwrap();
        let file = File { name: String::new(), bytes: text.as_bytes().to_vec() };
        read(&[file], &mapping).remove(0).1.map(|_| ())
    }

    #[test]
    fn times_are_known_by_their_form_wherever_they_stand() {
        let entity =
            |value: &str| judged(&format!(r#"{{"id": "e", "type": "T", "a": {{"b": ["x", "{value}"]}}}}"#));
        for value in [
            "2026-05-06T09:00:00+08:00",
            "2026-05-06",
            "2026-05-06T09:00 the pump broke",
            "12:00-14:00",
            "2026",
        ] {
            assert_eq!(entity(value), Ok(()), "{value}");
        }
        for value in [
            "2026-05-06T09:00:00",
            "2026-05-06T09:00",
            "2026-05-06T09:00:00Z/2026-05-06T10:00:00Z",
            "2026-05-06/2026-05-07",
            "2026-13-06T09:00:00Z",
        ] {
            assert_eq!(entity(value).unwrap_err().code, Code::BadDate, "{value}");
        }
        let named = r#"{"id": "2026-05-06T09:00:00", "type": "T"}"#;
        assert_eq!(judged(named), Ok(()));
    }

    #[test]
    fn geometries_are_known_by_their_form_wherever_they_stand() {
        let entity = |more: &str| {
            judged(&format!(r#"{{"id": "e", "type": "T", {more}}}"#)).map_err(|refusal| refusal.code)
        };
        let point = |at: &str| format!(r#"{{"type": "Point", "coordinates": [{at}]}}"#);
        let (here, swapped) = (point("118.79, 32.06"), point("32.06, 118.79"));
        assert_eq!(entity(r#""location": null"#), Ok(()));
        assert_eq!(entity(&format!(r#""startPoint": {here}"#)), Ok(()));
        for wrong in [
            format!(r#""startPoint": {swapped}"#),
            format!(r#""parts": [{{"where": {{"type": "GeoProperty", "value": {swapped}}}}}]"#),
            format!(r#""startPoint": {}"#, serde_json::json!(swapped)),
            r#""route": {"type": "LineString", "coordinates": [[118.79, 32.06], [32.06, 118.79]]}"#
                .to_owned(),
        ] {
            assert_eq!(entity(&wrong), Err(Code::GeoOutOfArea), "{wrong}");
        }
        assert_eq!(
            entity(r#""startPoint": {"type": "Point", "coordinates": "x"}"#),
            Err(Code::MalformedJson)
        );
    }

    #[test]
    fn swapped_coordinates_of_a_known_town_or_country_are_named() {
        let entity = |place: &str, at: &str| {
            let point = format!(r#"{{"type": "Point", "coordinates": [{at}]}}"#);
            judged(&format!(r#"{{"id": "e", "type": "T", {place} "location": {point}}}"#))
        };
        let address = |name: &str, value: &str| format!(r#""address": {{"{name}": "{value}"}},"#);
        for (place, at, swapped) in [
            (address("addressLocality", "helsinki"), "24.94, 60.17", "60.17, 24.94"),
            (address("addressCountry", "ES"), "-5.66, 43.53", "43.53, -5.66"),
            (address("addressCountry", "España"), "-5.66, 43.53", "43.53, -5.66"),
        ] {
            assert_eq!(entity(&place, at), Ok(()), "{place}");
            let refusal = entity(&place, swapped).unwrap_err();
            assert!(
                refusal.code == Code::GeoOutOfArea && refusal.detail.ends_with("are swapped"),
                "{place}: {}",
                refusal.detail
            );
        }
        // Geneva, by an entity that names no place: outside the city, and swapped.
        let refusal = entity("", "46.2, 6.14").unwrap_err();
        assert!(
            refusal.detail.contains("Geneva") && refusal.detail.ends_with("are swapped"),
            "{}",
            refusal.detail
        );
        let refusal = entity("", "-100.0, 39.8").unwrap_err();
        assert!(!refusal.detail.contains("swapped"), "{}", refusal.detail);
    }
}
