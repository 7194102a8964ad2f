//! Published records in the formats of others. Everything here is a pure function of records; who fetches and writes is
//! `commands::auditor::export`.

pub(crate) mod cap;
pub(crate) mod ngsi;
pub(crate) mod ocds;
pub(crate) mod open311;
pub(crate) mod sheet;

use chain_core::code::{Code, Refusal};
use chain_core::record::Header;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::import::decimal;

/// A record that everybody may read.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Its header; the digest was checked.
    pub(crate) header: Header,
    /// Its body as a node gave it.
    pub(crate) body: Value,
}

impl Published {
    /// The body of a core type.
    ///
    /// # Errors
    /// `SCHEMA_INVALID` from a node that gives another body.
    fn body_of<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_value(self.body.clone()).map_err(|error| {
            Refusal::new(Code::SchemaInvalid, format!("the body of record {}: {error}", self.header.record))
        })
    }

    /// A text member of the body.
    fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// The first, authoritative text of a member in several languages, with its language.
    fn prose(&self, name: &str) -> Option<(&str, &str)> {
        let first = self.body.get(name)?.get(0)?;
        Some((first.get("lang")?.as_str()?, first.get("text")?.as_str()?))
    }
}

/// A decimal number as JSON. Numbers in the files of others are floating point: 15 digits come back as they went.
fn number(units: i64, places: u32) -> Value {
    serde_json::from_str(&decimal::written(units, places)).unwrap_or(Value::Null)
}
