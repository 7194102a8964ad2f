//! A transit feed (GTFS Schedule) as one row: how much it holds, of which days, and the digests of its files.
//!
//! The feed is a folder with the files, or the archive (ZIP) that agencies publish. What the record names as the feed is the list of their digests as
//! `sha256sum *.txt` prints it, so that anybody can compare.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use serde::Deserialize;
use serde_json::json;

use super::date::{self, Day};
use super::decimal::Decimal;
use super::field::{Value, missing};
use super::mapping::{Mapped, Mapping};
use super::normalise::prose;
use super::note::Notes;
use super::sheet::Sheet;
use super::source::{File, Found};

/// Files that every feed has.
const REQUIRED: [&str; 5] = ["agency.txt", "stops.txt", "routes.txt", "trips.txt", "stop_times.txt"];

/// What a feed does not say itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gtfs {
    /// Licence of the feed, e.g. `CC-BY-4.0` (SPDX).
    #[serde(default)]
    licence: Option<String>,
}

/// Reads the feed.
pub(crate) fn read(files: &[File], mapping: &Mapping) -> Vec<Found> {
    vec![(String::new(), feed(files, mapping))]
}

fn feed(files: &[File], mapping: &Mapping) -> Result<Mapped, Refusal> {
    let mut sheets = BTreeMap::new();
    let mut list = String::new();
    for file in files {
        let sheet = Sheet::parse(&file.name, &file.bytes).map_err(|error| error.refusal)?;
        sheets.insert(file.name.as_str(), sheet);
        list.push_str(&format!("{}  {}\n", Digest::tagged(b"", &[&file.bytes]), file.name));
    }
    let feed = Feed { sheets };
    for name in REQUIRED {
        feed.sheet(name)?;
    }
    feed.check_references()?;
    feed.check_stops(mapping)?;
    let [from, to] = feed.validity()?;
    let digest = Digest::tagged(b"", &[list.as_bytes()]);
    let version = feed.info("feed_version").unwrap_or_else(|| digest.to_string());
    let licence = mapping.gtfs.licence.clone().ok_or_else(|| missing("licence of the mapping's [gtfs]"))?;
    let rows = |name: &str| json!(feed.sheets.get(name).map_or(0, Sheet::len));
    let attachment = json!({
        "sha256": digest, "size": list.len(), "media_type": "text/plain", "name": "SHA256SUMS", "class": "P0",
    });
    let fields = BTreeMap::from(
        [
            ("feed_version", Value::Plain(version)),
            ("publisher", Value::Agency),
            ("published_on", Value::Today),
            ("valid_from", Value::Date(from)),
            ("valid_to", Value::Date(to)),
            ("routes", Value::Ready(rows("routes.txt"))),
            ("stops", Value::Ready(rows("stops.txt"))),
            ("trips", Value::Ready(rows("trips.txt"))),
            ("feed", Value::Ready(attachment)),
            ("licence", Value::Plain(licence)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(Mapped::of_document(fields, Notes::default()))
}

struct Feed<'a> {
    sheets: BTreeMap<&'a str, Sheet>,
}

impl Feed<'_> {
    fn sheet(&self, name: &str) -> Result<&Sheet, Refusal> {
        self.sheets
            .get(name)
            .ok_or_else(|| Refusal::new(Code::MissingField, format!("the feed has no {name}")))
    }

    /// A cell of `feed_info.txt`.
    fn info(&self, heading: &str) -> Option<String> {
        let row = self.sheets.get("feed_info.txt")?.rows().next()?;
        Some(prose(row.cell(heading)).to_owned()).filter(|text| !text.is_empty())
    }

    fn ids(&self, name: &str, heading: &str) -> Result<BTreeSet<&str>, Refusal> {
        Ok(self.sheet(name)?.rows().map(|row| prose(row.cell(heading))).collect())
    }

    /// Every trip is of a route, every stop of a trip stands among the stops.
    fn check_references(&self) -> Result<(), Refusal> {
        for (from, heading, to) in [
            ("trips.txt", "route_id", "routes.txt"),
            ("stop_times.txt", "trip_id", "trips.txt"),
            ("stop_times.txt", "stop_id", "stops.txt"),
        ] {
            let known = self.ids(to, heading)?;
            let lost = self.sheet(from)?.rows().find(|row| !known.contains(prose(row.cell(heading))));
            if let Some(row) = lost {
                let detail = format!("{from}, row {}: its {heading} is not in {to}", row.number);
                return Err(Refusal::new(Code::SchemaInvalid, detail));
            }
        }
        Ok(())
    }

    fn check_stops(&self, mapping: &Mapping) -> Result<(), Refusal> {
        for row in self.sheet("stops.txt")?.rows() {
            let [latitude, longitude] = ["stop_lat", "stop_lon"].map(|heading| prose(row.cell(heading)));
            // Stations within a station may have no place of their own.
            if latitude.is_empty() && longitude.is_empty() {
                continue;
            }
            let place = Decimal::parse("stop_lat", latitude)
                .and_then(|latitude| mapping.check_point(latitude, Decimal::parse("stop_lon", longitude)?));
            place.map_err(|refusal| {
                Refusal::new(refusal.code, format!("stops.txt, row {}: {}", row.number, refusal.detail))
            })?;
        }
        Ok(())
    }

    /// First and last day: as the feed says, else those of its services.
    fn validity(&self) -> Result<[Day; 2], Refusal> {
        let mut days = Vec::new();
        for (name, headings) in
            [("calendar.txt", &["start_date", "end_date"][..]), ("calendar_dates.txt", &["date"][..])]
        {
            for row in self.sheets.get(name).into_iter().flat_map(Sheet::rows) {
                for heading in headings {
                    days.push(date::parse(heading, prose(row.cell(heading)))?);
                }
            }
        }
        let said = |heading: &str| self.info(heading).map(|day| date::parse(heading, &day)).transpose();
        let from = said("feed_start_date")?.or_else(|| days.iter().min().copied());
        let to = said("feed_end_date")?.or_else(|| days.iter().max().copied());
        match (from, to) {
            (Some(from), Some(to)) => Ok([from, to]),
            _ => Err(Refusal::new(
                Code::MissingField,
                "the feed has no day in calendar.txt or calendar_dates.txt",
            )),
        }
    }
}
