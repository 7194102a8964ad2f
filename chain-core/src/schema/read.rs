//! Reading a schema: closed keywords, closed content, bounds, and names that may not be recorded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::pattern::Pattern;
use super::{
    At, CHOICES_MAX, DEFINITIONS_MAX, DIALECT, Format, KEYWORDS, LEVELS_MAX, LIST_ITEMS_MAX, Property, Rule,
    SCHEMA_BYTES_MAX, Schema, TEXT_LENGTH_MAX, Text, UNIQUE_ITEMS_MAX, within,
};
use crate::code::{Code, Refusal};
use crate::json::{self, DEPTH_MAX, INTEGER_MAX, Json};
use crate::record::CODE_BYTES_MAX;
use crate::record::body::means_a_score;
use crate::text::shown;

type Members<'a> = [(Cow<'a, str>, Json<'a>)];

/// Words of what no record of any class may hold: biometric templates, faces, plates, religion, genes, blood type, disease
/// history, movements, household meters, income, deposits (Credit Reporting Regulation art. 14; PIPL arts. 26, 28).
const FORBIDDEN_WORDS: &[&str] = &[
    "biometric",
    "bloodtype",
    "deposit",
    "deposits",
    "dna",
    "disease",
    "diseases",
    "face",
    "faces",
    "faceprint",
    "facial",
    "gait",
    "gene",
    "genes",
    "genetic",
    "genome",
    "income",
    "iris",
    "licenceplate",
    "licenseplate",
    "plate",
    "plates",
    "religion",
    "religious",
    "salary",
    "trajectory",
    "trajectories",
    "voiceprint",
];
/// The same in Chinese and pinyin; parts of a name count.
const FORBIDDEN_PARTS: &[&str] = &[
    "人脸",
    "步态",
    "指纹",
    "虹膜",
    "声纹",
    "车牌",
    "宗教",
    "基因",
    "血型",
    "病史",
    "收入",
    "存款",
    "renlian",
    "chepai",
    "zongjiao",
    "jiyin",
    "xuexing",
    "bingshi",
    "shouru",
    "cunkuan",
    "行踪",
    "轨迹",
    "guiji",
    "xingzong",
    "blood_type",
    "household_meter",
    "location_history",
    "location_track",
    "medical_history",
    "movement_history",
    "movement_track",
    "licence_plate",
    "license_plate",
];

pub(super) fn read(text: &str) -> Result<Schema, Refusal> {
    if text.len() > SCHEMA_BYTES_MAX {
        let detail = format!("the schema has {} bytes, at most {SCHEMA_BYTES_MAX}", text.len());
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    let json = json::parse_canonical(text)?;
    let members = object("", &json)?;
    let definitions = match member(members, "$defs") {
        Some(definitions) => object("/$defs", definitions)?,
        None => &[],
    };
    if definitions.len() > DEFINITIONS_MAX {
        return Err(refuse("/$defs", format!("{} entries, at most {DEFINITIONS_MAX}", definitions.len())));
    }
    match member(members, "$schema") {
        Some(Json::Text(dialect)) if dialect == DIALECT => {}
        _ => return Err(refuse("/$schema", format!("wants to be {DIALECT}"))),
    }
    let mut reader = Reader { definitions, known: BTreeMap::new(), rules: Vec::new(), heights: Vec::new() };
    for (name, definition) in definitions {
        reader.definition(name, definition, &within("/$defs", name), 1)?;
    }
    let body = reader.rule(&json, "", 0)?;
    match reader.rules.get(body) {
        Some(Rule::Object { .. }) if member(members, "$ref").is_none() => Ok(Schema { rules: reader.rules }),
        _ => Err(refuse("", "a body is an object, described here and not by reference")),
    }
}

/// A definition while and after it is read.
#[derive(Clone, Copy)]
enum Known {
    Begun,
    Done(At),
}

struct Reader<'a> {
    definitions: &'a Members<'a>,
    known: BTreeMap<&'a str, Known>,
    rules: Vec<Rule>,
    /// How many levels of lists and objects each rule has.
    heights: Vec<usize>,
}

impl<'a> Reader<'a> {
    /// Reads one schema and gives the place of its rule.
    fn rule(&mut self, json: &'a Json<'a>, pointer: &str, level: usize) -> Result<At, Refusal> {
        if level > LEVELS_MAX {
            return Err(refuse(pointer, format!("more than {LEVELS_MAX} schemas within one another")));
        }
        let members = object(pointer, json)?;
        for (keyword, value) in members {
            check_keyword(keyword, value, pointer)?;
        }
        if let Some(target) = member(members, "$ref") {
            return self.reference(members, target, pointer, level);
        }
        let kind = text_of(members, "type", pointer)?
            .ok_or_else(|| refuse(pointer, "wants a type: one of array, boolean, integer, object, string"))?;
        let allowed = keywords_of(kind).ok_or_else(|| {
            let detail =
                format!("{} is no type here; wants array, boolean, integer, object or string", shown(kind));
            refuse(&within(pointer, "type"), detail)
        })?;
        for (keyword, _) in members {
            let anywhere = matches!(keyword.as_ref(), "type" | "title" | "description");
            let at_top = level == 0 && matches!(keyword.as_ref(), "$defs" | "$schema");
            if !anywhere && !at_top && !allowed.contains(&keyword.as_ref()) {
                let detail = format!("keyword {keyword} does not belong to type {kind} here");
                return Err(refuse(&within(pointer, keyword), detail));
            }
        }
        let rule = match kind {
            "object" => self.object(members, pointer, level)?,
            "array" => self.list(members, pointer, level)?,
            "string" => text(members, pointer)?,
            "integer" => integer(members, pointer)?,
            _ => Rule::Flag { only: flag(members, "const", pointer)? },
        };
        let height = |at: &At| self.heights.get(*at).copied().unwrap_or(0);
        let height = match &rule {
            Rule::Object { properties } => {
                1 + properties.iter().map(|one| height(&one.rule)).max().unwrap_or(0)
            }
            Rule::List { items, .. } => 1 + height(items),
            _ => 0,
        };
        // Nothing deeper could stand in a body.
        if height > DEPTH_MAX {
            return Err(refuse(pointer, format!("more than {DEPTH_MAX} levels of lists and objects")));
        }
        self.rules.push(rule);
        self.heights.push(height);
        Ok(self.rules.len() - 1)
    }

    fn reference(
        &mut self,
        members: &'a Members<'a>,
        target: &'a Json<'a>,
        pointer: &str,
        level: usize,
    ) -> Result<At, Refusal> {
        let at = within(pointer, "$ref");
        let beside =
            members.iter().find(|(keyword, _)| !matches!(keyword.as_ref(), "$ref" | "title" | "description"));
        if let Some((keyword, _)) = beside {
            return Err(refuse(&within(pointer, keyword), format!("keyword {keyword} beside $ref")));
        }
        let name = match target {
            Json::Text(text) => text.strip_prefix("#/$defs/"),
            _ => None,
        };
        let found = name.and_then(|name| self.definitions.iter().find(|(known, _)| known == name));
        let Some((name, definition)) = found else {
            return Err(refuse(
                &at,
                "wants #/$defs/ and the name of an entry there; no schema elsewhere is read",
            ));
        };
        self.definition(name, definition, &at, level + 1)
    }

    fn definition(
        &mut self,
        name: &'a str,
        definition: &'a Json<'a>,
        from: &str,
        level: usize,
    ) -> Result<At, Refusal> {
        match self.known.get(name) {
            Some(Known::Done(at)) => return Ok(*at),
            Some(Known::Begun) => return Err(refuse(from, "a definition that leads back to itself")),
            None => {}
        }
        self.known.insert(name, Known::Begun);
        let at = self.rule(definition, &within("/$defs", name), level)?;
        self.known.insert(name, Known::Done(at));
        Ok(at)
    }

    fn object(&mut self, members: &'a Members<'a>, pointer: &str, level: usize) -> Result<Rule, Refusal> {
        let closed = ["additionalProperties", "unevaluatedProperties"];
        let mut is_closed = false;
        for keyword in closed {
            match flag(members, keyword, pointer)? {
                None => {}
                Some(false) => is_closed = true,
                Some(true) => {
                    return Err(refuse(&within(pointer, keyword), "wants false: content is closed"));
                }
            }
        }
        if !is_closed {
            return Err(refuse(pointer, "wants unevaluatedProperties: false, for content is closed"));
        }
        let at = within(pointer, "properties");
        let declared = match member(members, "properties") {
            Some(properties) => object(&at, properties)?,
            None => return Err(refuse(pointer, "wants properties")),
        };
        let required = names(members, "required", pointer)?;
        for name in &required {
            if !declared.iter().any(|(known, _)| known == name) {
                return Err(refuse(&within(pointer, "required"), format!("{} is no property", shown(name))));
            }
        }
        let needs = dependents(members, pointer)?;
        let known = |name: &str| declared.iter().any(|(known, _)| known == name);
        if let Some(name) = needs
            .iter()
            .flat_map(|(name, beside)| std::iter::once(name).chain(beside))
            .find(|name| !known(name))
        {
            let at = within(pointer, "dependentRequired");
            return Err(refuse(&at, format!("{} is no property", shown(name))));
        }
        let mut properties = Vec::with_capacity(declared.len());
        for (name, schema) in declared {
            let at = within(&at, name);
            check_name(name, schema, &at)?;
            let rule = self.rule(schema, &at, level + 1)?;
            let required = required.contains(&name.as_ref());
            let beside = needs.iter().find(|(of, _)| of == name.as_ref());
            let needs = beside.map(|(_, names)| names.clone()).unwrap_or_default();
            properties.push(Property { name: name.clone().into_owned(), rule, required, needs });
        }
        Ok(Rule::Object { properties })
    }

    fn list(&mut self, members: &'a Members<'a>, pointer: &str, level: usize) -> Result<Rule, Refusal> {
        let items = member(members, "items").ok_or_else(|| refuse(pointer, "wants items"))?;
        let unique = flag(members, "uniqueItems", pointer)?.unwrap_or(false);
        let limit = if unique { UNIQUE_ITEMS_MAX } else { LIST_ITEMS_MAX };
        let max = count(members, "maxItems", pointer, limit)?
            .ok_or_else(|| refuse(pointer, "wants maxItems: every list has a maximum"))?;
        let min = count(members, "minItems", pointer, max)?.unwrap_or(0);
        let items = self.rule(items, &within(pointer, "items"), level + 1)?;
        Ok(Rule::List { items, min, max, unique })
    }
}

/// The keywords of a type beside those that belong to all.
fn keywords_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "object" => {
            &["additionalProperties", "unevaluatedProperties", "properties", "required", "dependentRequired"]
        }
        "array" => &["items", "minItems", "maxItems", "uniqueItems"],
        "string" => &["minLength", "maxLength", "pattern", "format", "enum", "const"],
        "integer" => &["minimum", "maximum", "enum", "const"],
        "boolean" => &["const"],
        _ => return None,
    })
}

fn check_keyword(keyword: &str, value: &Json<'_>, pointer: &str) -> Result<(), Refusal> {
    let at = within(pointer, keyword);
    if !KEYWORDS.contains(&keyword) {
        let detail = format!(
            "keyword {} is not read by the ledger; it reads: {}",
            shown(keyword),
            KEYWORDS.join(", ")
        );
        return Err(refuse(&at, detail));
    }
    match (keyword, value) {
        ("title" | "description", Json::Text(_)) => Ok(()),
        ("title" | "description", _) => Err(refuse(&at, "wants a text")),
        _ => Ok(()),
    }
}

/// Refuses the name of a property that may not be recorded, whatever the class: a score, or data of the person itself. A
/// property that can only be `false` says that there is none, and may.
fn check_name(name: &str, schema: &Json<'_>, pointer: &str) -> Result<(), Refusal> {
    let formed = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= CODE_BYTES_MAX
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if means_a_score(name) {
        let detail = format!("{pointer}: a property that means a score, rating, rank, level or points");
        return Err(Refusal::new(Code::ScoreForbidden, detail));
    }
    let lower = name.to_lowercase();
    let forbidden = lower.split(['_', '-']).any(|word| FORBIDDEN_WORDS.contains(&word))
        || FORBIDDEN_PARTS.iter().any(|part| lower.contains(part));
    let never = matches!(schema, Json::Object(members) if matches!(member(members, "const"), Some(Json::Bool(false))));
    if forbidden && !never {
        let detail = format!("{pointer}: data of this kind is recorded in no class");
        return Err(Refusal::new(Code::DataForbidden, detail));
    }
    if formed {
        Ok(())
    } else {
        Err(refuse(pointer, "a name wants a letter and then a-z, 0-9 and _, at most 64 of them"))
    }
}

/// What `dependentRequired` says: a property, and those that must stand beside it.
fn dependents(members: &Members<'_>, pointer: &str) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let at = within(pointer, "dependentRequired");
    let Some(said) = member(members, "dependentRequired") else { return Ok(Vec::new()) };
    let said = object(&at, said)?;
    let one = |(name, _): &(Cow<'_, str>, Json<'_>)| {
        let beside = names(said, name, &at)?.into_iter().map(str::to_owned).collect();
        Ok((name.clone().into_owned(), beside))
    };
    said.iter().map(one).collect()
}

fn text(members: &Members<'_>, pointer: &str) -> Result<Rule, Refusal> {
    let format = match text_of(members, "format", pointer)? {
        None => None,
        Some(name) => Some(Format::from_name(name).ok_or_else(|| {
            let detail = format!("format {} is unknown; known are {}", shown(name), Format::names());
            refuse(&within(pointer, "format"), detail)
        })?),
    };
    let pattern = match text_of(members, "pattern", pointer)? {
        None => None,
        Some(pattern) => Some(
            Pattern::parse(pattern)
                .map_err(|why| refuse(&within(pointer, "pattern"), format!("the pattern {why}")))?,
        ),
    };
    let choices = choices(members, pointer, |value| match value {
        Json::Text(text) => Some(text.clone().into_owned()),
        _ => None,
    })?;
    let longest =
        choices.as_ref().and_then(|choices| choices.iter().map(|choice| choice.chars().count()).max());
    let max = count(members, "maxLength", pointer, TEXT_LENGTH_MAX)?
        .or(longest)
        .or(format.map(Format::length_max))
        .ok_or_else(|| refuse(pointer, "wants maxLength: every text has a maximum"))?;
    let min = count(members, "minLength", pointer, max)?.unwrap_or(0);
    Ok(Rule::Text(Text { min, max, pattern, format, choices }))
}

fn integer(members: &Members<'_>, pointer: &str) -> Result<Rule, Refusal> {
    let bound = |keyword: &str| match member(members, keyword) {
        None => Ok(None),
        Some(Json::Integer(value)) => Ok(Some(*value)),
        Some(_) => Err(refuse(&within(pointer, keyword), "wants a whole number")),
    };
    let choices = choices(members, pointer, |value| match value {
        Json::Integer(value) => Some(*value),
        _ => None,
    })?;
    let min = bound("minimum")?.unwrap_or(-INTEGER_MAX);
    let max = bound("maximum")?.unwrap_or(INTEGER_MAX);
    if min > max {
        return Err(refuse(&within(pointer, "maximum"), format!("{max} lies below the minimum {min}")));
    }
    Ok(Rule::Integer { min, max, choices })
}

/// The values of `enum`, or the one of `const`.
fn choices<T: PartialEq>(
    members: &Members<'_>,
    pointer: &str,
    read: impl Fn(&Json<'_>) -> Option<T>,
) -> Result<Option<Vec<T>>, Refusal> {
    let of_type = |keyword: &str| refuse(&within(pointer, keyword), "wants values of the type");
    match (member(members, "enum"), member(members, "const")) {
        (None, None) => Ok(None),
        (None, Some(only)) => read(only).map(|only| Some(vec![only])).ok_or_else(|| of_type("const")),
        (Some(Json::Array(values)), None) if (1..=CHOICES_MAX).contains(&values.len()) => {
            let values =
                values.iter().map(read).collect::<Option<Vec<T>>>().ok_or_else(|| of_type("enum"))?;
            let repeated = values.iter().enumerate().any(|(at, value)| values[..at].contains(value));
            if repeated {
                Err(refuse(&within(pointer, "enum"), "names a value twice"))
            } else {
                Ok(Some(values))
            }
        }
        (Some(_), None) => {
            Err(refuse(&within(pointer, "enum"), format!("wants a list of 1 to {CHOICES_MAX} values")))
        }
        (Some(_), Some(_)) => Err(refuse(&within(pointer, "const"), "keyword const beside enum")),
    }
}

fn names<'a>(members: &'a Members<'_>, keyword: &str, pointer: &str) -> Result<Vec<&'a str>, Refusal> {
    let wrong = || refuse(&within(pointer, keyword), "wants a list of different names");
    let Some(value) = member(members, keyword) else { return Ok(Vec::new()) };
    let Json::Array(items) = value else { return Err(wrong()) };
    let mut names: Vec<&str> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Json::Text(name) if !names.contains(&name.as_ref()) => names.push(name),
            _ => return Err(wrong()),
        }
    }
    Ok(names)
}

fn count(members: &Members<'_>, keyword: &str, pointer: &str, max: usize) -> Result<Option<usize>, Refusal> {
    match member(members, keyword) {
        None => Ok(None),
        Some(Json::Integer(value)) => match usize::try_from(*value) {
            Ok(count) if count <= max => Ok(Some(count)),
            _ => Err(refuse(&within(pointer, keyword), format!("{value}, wants 0 to {max}"))),
        },
        Some(_) => Err(refuse(&within(pointer, keyword), "wants a whole number")),
    }
}

fn flag(members: &Members<'_>, keyword: &str, pointer: &str) -> Result<Option<bool>, Refusal> {
    match member(members, keyword) {
        None => Ok(None),
        Some(Json::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(refuse(&within(pointer, keyword), "wants true or false")),
    }
}

fn text_of<'a>(members: &'a Members<'a>, keyword: &str, pointer: &str) -> Result<Option<&'a str>, Refusal> {
    match member(members, keyword) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(refuse(&within(pointer, keyword), "wants a text")),
    }
}

fn member<'a>(members: &'a Members<'a>, name: &str) -> Option<&'a Json<'a>> {
    members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
}

fn object<'a>(pointer: &str, json: &'a Json<'a>) -> Result<&'a Members<'a>, Refusal> {
    match json {
        Json::Object(members) => Ok(members),
        other => Err(refuse(pointer, format!("is {}, wants an object", other.kind()))),
    }
}

fn refuse(pointer: &str, why: impl Into<String>) -> Refusal {
    let at = if pointer.is_empty() { "the schema" } else { pointer };
    Refusal::new(Code::SchemaUnsupported, format!("{at}: {}", why.into()))
}
