//! How entities of NGSI-LD (ETSI GS CIM 009) and NGSIv2 are written: objects of attributes, in key-value form or normalized.

use std::collections::BTreeSet;
use std::fmt;

use chain_core::code::{Code, Refusal};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Deepest nesting within an entity.
pub(crate) const DEPTH_MAX: usize = 16;

/// The refusal of what is no entity.
pub(crate) fn malformed(why: &str) -> Refusal {
    Refusal::new(Code::MalformedJson, format!("no entity: {why}"))
}

/// The members of an object, each name once: what stands twice would be seen by one reader and not by another.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The member of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut members, mut names) = (Vec::new(), BTreeSet::new());
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom("a name stands twice in an object"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The value of an attribute, normalized or not; of a typed literal (`@value`) what it holds.
pub(crate) fn value_of(attribute: &RawValue) -> Result<&RawValue, Refusal> {
    let mut raw = attribute;
    for _ in 0..DEPTH_MAX {
        if !raw.get().starts_with('{') {
            return Ok(raw);
        }
        let members: Members<'_> =
            serde_json::from_str(raw.get()).map_err(|error| malformed(&error.to_string()))?;
        let kind = members.get("type").map(|kind| kind.get().trim_matches('"'));
        let inner = match kind {
            Some("Relationship") => members.get("object"),
            Some("LanguageProperty") => members.get("languageMap"),
            // NGSIv2 names the type of the value: Text, Number, geo:json.
            Some(_) => members.get("value"),
            None => members.get("@value"),
        };
        raw = match inner {
            Some(inner) => inner,
            None if matches!(kind, Some("Property" | "GeoProperty" | "Relationship")) => {
                return Err(malformed("an attribute has no value"));
            }
            None => return Ok(raw),
        };
    }
    Err(Refusal::new(Code::SizeLimit, format!("an attribute of more than {DEPTH_MAX} levels")))
}
