//! What a record of governance says, filled in where a scenario says nothing.

use chain_core::build;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::id::ChainId;
use chain_core::json::canonicalise;
use chain_core::org::OrgId;
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::governance::{BasisDetails, Role};
use chain_core::record::params::{NOTICE_DAYS, Params, ParamsDetails};
use chain_core::record::schema::SchemaDetails;
use chain_core::record::{Class, Details, Header, RecordType, SubjectKind, TypeKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{DEDUPE_KEY, registered};
use crate::play::cast;
use crate::play::form::Args;

/// Types after which a registered type of a story is made: about nobody, and about somebody.
const MODELS: [&str; 2] = ["kpi.value", "commerce.registration"];

/// Who files a record of governance, and when.
#[derive(Clone, Debug)]
pub(crate) struct Office<'a> {
    pub(crate) chain_id: ChainId,
    pub(crate) agency: OrgId,
    /// The post.
    pub(crate) who: &'a str,
    pub(crate) day: Date,
}

/// The short name of the agency that a step brings in.
pub(crate) fn agency_named(args: &Map<String, Value>, label: &str) -> String {
    let named = ["agency_id", "agency", "id"].into_iter().find_map(|name| args.get(name)?.as_str());
    named.unwrap_or(label).to_owned()
}

/// The post that a step brings in; of the filing agency, where it names none.
pub(crate) fn post_named(args: &Map<String, Value>, label: &str, who: &str) -> String {
    let named = ["post", "key", "member", "label"].into_iter().find_map(|name| args.get(name)?.as_str());
    let post = named.unwrap_or(label);
    let agency = args.get("agency").and_then(Value::as_str).unwrap_or(cast::agency_of(who));
    if post.contains('/') { post.to_owned() } else { format!("{agency}/{post}") }
}

impl Office<'_> {
    /// The header of a record of governance.
    ///
    /// # Errors
    /// `UNKNOWN_TYPE` for a type that no story files, `UNKNOWN_FIELD` for what the type has no member for, and those of
    /// what the step says.
    pub(crate) fn file(
        &self,
        record_type: RecordType,
        label: &str,
        version: u32,
        said: &Map<String, Value>,
    ) -> Result<Header, Refusal> {
        let mut args = Args::of(said);
        args.text("type")?;
        let key = args.text("idempotency_key")?.unwrap_or_else(|| label.to_owned());
        let details = match record_type {
            RecordType::Agency => self.agency(label, said, args)?,
            RecordType::Member => self.member(label, said, args)?,
            RecordType::LegalBasis => self.legal_basis(label, version, args)?,
            RecordType::Schema => self.schema(label, args)?,
            RecordType::Calendar => self.calendar(args)?,
            RecordType::Params => self.params(args)?,
            other => {
                let detail = format!("a scenario cannot file {other}");
                return Err(Refusal::new(Code::UnknownType, detail));
            }
        };
        Ok(build::governance_header(self.chain_id, &self.agency, DEDUPE_KEY, &key, version, details))
    }

    fn agency(&self, label: &str, said: &Map<String, Value>, mut args: Args) -> Result<Details, Refusal> {
        args.skip(&["agency_id", "agency", "id"]);
        let mut details = cast::agency_details(self.chain_id, &agency_named(said, label), "admin")?;
        details.from = self.day;
        overlaid("gov.agency", details, args).map(|details| Details::Agency(Box::new(details)))
    }

    fn member(&self, label: &str, said: &Map<String, Value>, mut args: Args) -> Result<Details, Refusal> {
        args.skip(&["post", "key", "member", "label", "agency"]);
        let post = post_named(said, label, self.who);
        let role = args.choice("role", Role::from_name)?.or(cast::role(&post)).unwrap_or(Role::Clerk);
        let mut details = cast::member_details(self.chain_id, &post, role)?;
        details.from = self.day;
        overlaid("gov.member", details, args).map(|details| Details::Member(Box::new(details)))
    }

    fn legal_basis(&self, label: &str, version: u32, mut args: Args) -> Result<Details, Refusal> {
        let id = args.text("basis_id")?.or(args.text("id")?).unwrap_or_else(|| label.to_owned());
        let described = args.text("describes")?.unwrap_or_default();
        let mut details = BasisDetails { version, in_force: self.day, ..cast::basis(&id, &described) };
        if let Some(Value::Array(mut types)) = args.value("types") {
            types.sort_by_key(|one| one.as_str().and_then(RecordType::from_name));
            details.types = read("gov.legal_basis", Value::Array(types))?;
        }
        overlaid("gov.legal_basis", details, args).map(|details| Details::LegalBasis(Box::new(details)))
    }

    /// A type after the model of one of the sample city, with the properties that the step adds.
    fn schema(&self, label: &str, mut args: Args) -> Result<Details, Refusal> {
        let key = args.text("key")?.unwrap_or_else(|| {
            let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            format!("sample.{}", label.chars().map(word).collect::<String>())
        });
        let key: TypeKey = key.parse().map_err(|_| {
            Refusal::new(
                Code::BadParameter,
                format!("args.key is {key:?}, wants a family and a name, e.g. env.noise"),
            )
        })?;
        let about = args.text("subject")?.or(args.text("subject_kind")?).unwrap_or_default();
        let model = MODELS[usize::from(about.contains("person") || about.contains("organisation"))];
        let model = model.parse().ok().and_then(|model| registered::known(model).ok());
        let Some(model) = model.map(|model| model.details().clone()) else {
            return Err(Refusal::new(Code::Internal, "the sample city lacks a type"));
        };
        let mut schema: Value = read("gov.schema", args.value("json_schema").unwrap_or_default())?;
        if !schema.is_object() {
            schema = serde_json::from_str(&model.json_schema).unwrap_or_default();
        }
        for name in properties(&mut args)? {
            schema["properties"][name] = json!({ "type": "string", "maxLength": 64 });
        }
        let mut details =
            SchemaDetails { key, from: self.day, json_schema: canonicalise(&schema.to_string())?, ..model };
        if about.contains("person") {
            (details.classes, details.subject_kinds) = (vec![Class::P3], vec![SubjectKind::Person]);
        }
        overlaid("gov.schema", details, args).map(|details| Details::Schema(Box::new(details)))
    }

    fn calendar(&self, args: Args) -> Result<Details, Refusal> {
        let details = CalendarDetails {
            year: u16::try_from(self.day.ymd().0).unwrap_or(u16::MAX),
            holidays: Vec::new(),
            work_days: Vec::new(),
            source: "sample notice".to_owned(),
            doc_no: String::new(),
            text: Digest::tagged(b"city/play/calendar/1", &[]),
        };
        overlaid("gov.calendar", details, args).map(|details| Details::Calendar(Box::new(details)))
    }

    /// Parameters by their names; those that the step does not name are the defaults.
    fn params(&self, mut args: Args) -> Result<Details, Refusal> {
        let mut values = json!(Params::default());
        for (name, ..) in Params::BOUNDS {
            if let Some(value) = args.value(name) {
                values[*name] = value;
            }
        }
        let details = ParamsDetails {
            from: self.day.add_days(NOTICE_DAYS + 1).unwrap_or(Date::MAX),
            values: read("gov.params", values)?,
            source: "sample resolution".to_owned(),
            doc_no: String::new(),
        };
        overlaid("gov.params", details, args).map(|details| Details::Params(Box::new(details)))
    }
}

/// Names of the properties that a step adds to a schema.
fn properties(args: &mut Args) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> = args.text("property")?.into_iter().collect();
    match args.value("properties") {
        Some(Value::Array(list)) => names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
        Some(Value::Object(members)) => names.extend(members.keys().cloned()),
        _ => {}
    }
    Ok(names)
}

fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value)
        .map_err(|error| Refusal::new(Code::SchemaInvalid, format!("{what}: {error}")))
}

/// Details with what the step says in place of what was filled in.
fn overlaid<T: Serialize + DeserializeOwned>(what: &str, details: T, args: Args) -> Result<T, Refusal> {
    let mut value = serde_json::to_value(&details).unwrap_or_default();
    for (name, said) in args.rest() {
        if !said.is_null() && value.get(&name).is_none() {
            let detail = format!("args.{name} is {said}: {what} has no such member");
            return Err(Refusal::new(Code::UnknownField, detail));
        }
        value[name.as_str()] = said;
    }
    read(what, value)
}
