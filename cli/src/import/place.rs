//! Points on the map, and whether they lie where the records of a sheet can lie.

use chain_core::code::{Code, Refusal};
use serde::Deserialize;

use super::decimal::{Decimal, less};

/// Most tenths of a degree that a town is high or wide.
const TOWN_TENTHS: i128 = 15;

/// A box of degrees, as decimal numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Area {
    south: String,
    north: String,
    west: String,
    east: String,
}

/// A town, by the names that it goes by.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Town {
    /// Its names, as sheets spell them.
    pub(crate) names: Vec<String>,
    /// Where it lies.
    pub(crate) area: Area,
}

impl Area {
    /// Refuses an area whose sides are no numbers, or that holds nothing.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let side = |name: &str, text: &str| Decimal::parse(&format!("area.{name}"), text);
        let (south, north) = (side("south", &self.south)?, side("north", &self.north)?);
        let (west, east) = (side("west", &self.west)?, side("east", &self.east)?);
        if less(south, north) && less(west, east) {
            return Ok(());
        }
        Err(Refusal::new(Code::BadParameter, "area: south wants to be below north, west below east"))
    }

    fn holds(&self, latitude: Decimal, longitude: Decimal) -> bool {
        let within = |value, from: &str, to: &str| {
            let side = |text: &str| Decimal::parse("area", text);
            let (Ok(from), Ok(to)) = (side(from), side(to)) else { return false };
            !less(value, from) && !less(to, value)
        };
        within(latitude, &self.south, &self.north) && within(longitude, &self.west, &self.east)
    }

    /// Whether it is as small as a town and holds the point with its coordinates swapped. In the box of a country a point lies by
    /// chance.
    pub(crate) fn holds_swapped(&self, latitude: Decimal, longitude: Decimal) -> bool {
        let side = |text: &str| Decimal::parse("area", text).map_or(0, |side| side.rounded(1));
        let narrow = |from: &str, to: &str| side(to) - side(from) <= TOWN_TENTHS;
        narrow(&self.south, &self.north) && narrow(&self.west, &self.east) && self.holds(longitude, latitude)
    }

    /// Refuses a point that lies elsewhere, and says so where it would lie here with its coordinates swapped.
    ///
    /// # Errors
    /// `GEO_OUT_OF_AREA`.
    pub(crate) fn check_point(&self, latitude: Decimal, longitude: Decimal) -> Result<(), Refusal> {
        if self.holds(latitude, longitude) {
            return Ok(());
        }
        let swapped = self.holds(longitude, latitude);
        let detail = format!(
            "the point lies outside {} to {} N, {} to {} E{}",
            self.south,
            self.north,
            self.west,
            self.east,
            if swapped { ": latitude and longitude are swapped" } else { "" }
        );
        Err(Refusal::new(Code::GeoOutOfArea, detail))
    }
}

/// The refusal of a point that would lie in a town with its coordinates swapped.
pub(crate) fn in_town(refusal: Refusal, town: Option<&Town>) -> Refusal {
    let Some(name) = town.and_then(|town| town.names.first()) else { return refusal };
    let detail = format!("{}; it would lie in {name}: latitude and longitude are swapped", refusal.detail);
    Refusal::new(refusal.code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area() -> Area {
        let text = |text: &str| text.to_owned();
        Area { south: text("31.2"), north: text("32.7"), west: text("118.3"), east: text("119.3") }
    }

    fn judged(latitude: &str, longitude: &str) -> Result<(), String> {
        let of = |text: &str| Decimal::parse("x", text).unwrap();
        area().check_point(of(latitude), of(longitude)).map_err(|refusal| {
            assert_eq!(refusal.code, Code::GeoOutOfArea);
            refusal.detail
        })
    }

    #[test]
    fn a_point_elsewhere_is_refused_and_a_swapped_one_is_named() {
        assert_eq!(area().check(), Ok(()));
        for (latitude, longitude) in [("32.06", "118.79"), ("31.2", "118.3"), ("32.7", "119.3")] {
            assert_eq!(judged(latitude, longitude), Ok(()), "{latitude} {longitude}");
        }
        assert!(judged("118.822962", "32.127245").unwrap_err().ends_with("are swapped"));
        for (latitude, longitude) in [("31.19", "118.79"), ("32.06", "119.31"), ("-32.06", "118.79")] {
            assert!(!judged(latitude, longitude).unwrap_err().contains("swapped"), "{latitude} {longitude}");
        }
        let empty = Area { north: "31.2".to_owned(), ..area() };
        assert_eq!(empty.check().unwrap_err().code, Code::BadParameter);
    }
}
