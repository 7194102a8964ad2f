//! A field of a record as the cell of the official columns that it was read from.

use serde_json::{Map, Value as Json};

use super::{Field, Kind, Unit};
use crate::import::date;
use crate::import::decimal;

impl Field {
    /// Heading and cell; nothing for a field without a column, or of a kind that the official columns do not have.
    pub(crate) fn written(&self, body: &Map<String, Json>) -> Option<(&str, String)> {
        let column = self.column.as_deref()?;
        let value = body.get(&self.name);
        let cell = match self.kind {
            Kind::Text => value.and_then(|texts| texts.get(0)?.get("text")?.as_str()).map(str::to_owned),
            // In these columns an organisation is named by its code alone.
            Kind::Code => {
                value.and_then(Json::as_str).map(|text| text.strip_prefix("uscc:").unwrap_or(text).to_owned())
            }
            Kind::Plain | Kind::Date => value.and_then(Json::as_str).map(str::to_owned),
            // The official form wants a day; this one stands for no end.
            Kind::DateOrOpen => {
                let day = value.and_then(Json::as_str).map(str::to_owned);
                Some(day.unwrap_or_else(|| date::NO_END.to_string()))
            }
            Kind::Amount => {
                let unit = self.unit.as_deref().and_then(Unit::from_name)?;
                let minor = value.and_then(|money| money.get("minor")?.as_i64());
                minor.map(|minor| decimal::written(minor, unit.places))
            }
            Kind::Choice => value.and_then(Json::as_str).map(|name| self.spelled(name)),
            Kind::Choices => {
                let names = value.and_then(Json::as_array);
                let spelled = |name: &Json| name.as_str().map(|name| self.spelled(name));
                let joint = self.separators.first().map_or("|", String::as_str);
                names.map(|names| names.iter().filter_map(spelled).collect::<Vec<_>>().join(joint))
            }
            _ => return None,
        };
        Some((column, cell.unwrap_or_default()))
    }

    /// The first spelling of a choice.
    fn spelled(&self, name: &str) -> String {
        let spelling = self.values.iter().find(|(_, one)| *one == name);
        spelling.map_or_else(|| name.to_owned(), |(spelling, _)| spelling.clone())
    }
}
