//! Records of registered types: a version of a type as `gov.schema` gives it, ready to judge headers and bodies.

use super::body::{self, Derived, Fields, Path, speaks_of_a_score};
use super::governance::BasisDetails;
use super::record_type::{Lifecycle, RecordType};
use super::schema::{Bindings, RefProperty, SchemaDetails};
use super::{CODE_BYTES_MAX, Class, Details, Header, Reference, Relation, SubjectKind};
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::date::Date;
use crate::json::Json;
use crate::org::{OrgId, Scheme};
use crate::schema::{Schema, Shape};

/// Relations that a property may stand for: those without rules of their own. What others rest on, objections and repairs
/// are the core types' alone.
const BOUND_RELATIONS: &[Relation] = &[
    Relation::Concerns,
    Relation::Evidence,
    Relation::Notice,
    Relation::Replaces,
    Relation::PartOf,
    Relation::PreviousInProcess,
];

/// One version of a registered type, read and found sound.
#[derive(Clone, Debug)]
pub struct RegisteredType {
    details: SchemaDetails,
    schema: Schema,
}

impl RegisteredType {
    /// Reads what `gov.schema` says.
    ///
    /// # Errors
    /// The code of the first flaw, of its fields, then of its schema, then of what the header would take from bodies.
    pub fn new(details: SchemaDetails) -> Result<Self, Refusal> {
        details.check_terms()?;
        let schema = Schema::parse(&details.json_schema)?;
        let one = Self { details, schema };
        one.check_envelope()?;
        one.check_bindings()?;
        Ok(one)
    }

    /// What was registered.
    pub fn details(&self) -> &SchemaDetails {
        &self.details
    }

    /// Its schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The type of its records.
    pub fn record_type(&self) -> RecordType {
        RecordType::Registered(self.details.key)
    }

    /// Members that bodies of every type share: where it came from, whom it is about, what is attached.
    fn check_envelope(&self) -> Result<(), Refusal> {
        self.schema.check_property("origin", Shape::Object, true)?;
        if self.schema.has("attachments") {
            self.schema.check_property("attachments", Shape::Objects, false)?;
        }
        let of_nobody = |kind: &SubjectKind| matches!(kind, SubjectKind::None | SubjectKind::Thing);
        let kinds = &self.details.subject_kinds;
        if kinds.iter().all(of_nobody) {
            let beside = ["subject", "subject_salt"].into_iter().find(|name| self.schema.has(name));
            return match beside {
                Some(name) => {
                    let detail = format!("property {name} of a type whose records are about nobody");
                    Err(Refusal::new(Code::BadParameter, detail))
                }
                None => Ok(()),
            };
        }
        if kinds.iter().any(of_nobody) {
            let detail = "records of one type are about somebody, or about things and nobody; not both";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        self.schema.check_property("subject", Shape::Object, true)?;
        self.schema.check_property("subject_salt", Shape::Text, false)
    }

    fn check_bindings(&self) -> Result<(), Refusal> {
        let SchemaDetails { bindings, terms, screened, .. } = &self.details;
        let Bindings { number, decided_on, effective_from, effective_to, issuer, officers, refs } = bindings;
        let entry = matches!(terms.lifecycle, Lifecycle::Register | Lifecycle::Published);
        let ends = terms.lifecycle != Lifecycle::Append;
        for (what, bound, wanted, shape) in [
            ("number", number, terms.numbered, Shape::Text),
            ("decided_on", decided_on, entry, Shape::Date),
            ("effective_from", effective_from, ends, Shape::Date),
        ] {
            match bound {
                Some(property) => self.schema.check_property(property, shape, wanted)?,
                None if wanted => {
                    let detail = format!("bindings.{what}: records of lifecycle {} want it", terms.lifecycle);
                    return Err(Refusal::new(Code::MissingField, detail));
                }
                None => {}
            }
        }
        if number.is_some() && !terms.numbered {
            return Err(Refusal::new(Code::BadParameter, "bindings.number of a type that is not numbered"));
        }
        if let Some(property) = officers {
            if terms.officers == 0 {
                return Err(Refusal::new(Code::BadParameter, "bindings.officers of a type without officers"));
            }
            self.schema.check_property(property, Shape::Texts, true)?;
        }
        if !ends && (effective_from.is_some() || effective_to.is_some()) {
            let detail =
                "a fact that is appended has no days of effect: bindings.effective_from, effective_to";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        if let Some(property) = effective_to {
            self.schema.check_property(property, Shape::Date, false)?;
        }
        if let Some(property) = issuer {
            self.schema.check_property(property, Shape::Text, true)?;
        }
        for RefProperty { property, rel, types } in refs {
            if !types.is_sorted_by(|one, two| one < two) {
                let detail =
                    format!("bindings.refs: the types of {property} must be ascending without repeats");
                return Err(Refusal::new(Code::BadParameter, detail));
            }
            if !BOUND_RELATIONS.contains(rel) {
                let detail = format!("bindings.refs: {property} as {rel}, which is for core types");
                return Err(Refusal::new(Code::BadParameter, detail));
            }
            self.schema.check_property(property, Shape::Texts, false)?;
        }
        screened.iter().try_for_each(|property| {
            if self.schema.has(property) {
                return Ok(());
            }
            let detail = format!("screened: {} is no property of the schema", crate::text::shown(property));
            Err(Refusal::new(Code::BadParameter, detail))
        })
    }

    /// Refuses a version that changes what an earlier one says.
    ///
    /// # Errors
    /// `SCHEMA_INCOMPATIBLE`, naming the field or the place in the body.
    pub fn check_follows(&self, earlier: &Self) -> Result<(), Refusal> {
        let (now, before) = (&self.details, &earlier.details);
        let (mut terms, old) = (now.terms, before.terms);
        terms.retention_years = old.retention_years;
        for (what, same) in [
            ("terms", terms == old),
            ("classes", now.classes == before.classes),
            ("subject_kinds", now.subject_kinds == before.subject_kinds),
            ("bindings", now.bindings == before.bindings),
            ("screened", before.screened.iter().all(|property| now.screened.contains(property))),
        ] {
            if !same {
                let detail = format!("{}: {what} of version {} changed", now.name(), before.version);
                return Err(Refusal::new(Code::SchemaIncompatible, detail));
            }
        }
        self.schema.check_follows(&earlier.schema)
    }

    /// Judges a header by what the type allows.
    ///
    /// # Errors
    /// `HEADER_MISMATCH`, `CLASS_NOT_PERMITTED`, `SUBJECT_KIND_NOT_PERMITTED`, `PERSONAL_DATA_IN_CLEAR`.
    pub fn check_header(&self, header: &Header) -> Result<(), Refusal> {
        let name = self.details.name();
        if header.details != Details::Registered(self.details.terms) {
            let detail = format!("details of the header are not the terms of {name}");
            return Err(Refusal::new(Code::HeaderMismatch, detail));
        }
        if !self.details.classes.contains(&header.class) {
            let detail = format!("class {} for {name}", header.class);
            return Err(Refusal::new(Code::ClassNotPermitted, detail));
        }
        if !self.details.subject_kinds.contains(&header.subject_kind) {
            let detail = format!("{name} cannot be about {}", header.subject_kind);
            return Err(Refusal::new(Code::SubjectKindNotPermitted, detail));
        }
        if header.subject_kind.is_personal() && header.class != Class::P3 {
            let detail = format!("subject kind {} in class {}, wants P3", header.subject_kind, header.class);
            return Err(Refusal::new(Code::PersonalDataInClear, detail));
        }
        // What is about an organisation is the public's business, where the type knows a public class at all.
        let public = self.details.classes.iter().any(|class| class.body_is_shared());
        if public && header.class == Class::P3 && header.subject_kind == SubjectKind::Organisation {
            let detail = format!("class P3 for {name} about an organisation");
            return Err(Refusal::new(Code::ClassNotPermitted, detail));
        }
        Ok(())
    }

    /// The types that a record may refer to in this relation; none stands for any.
    pub(crate) fn targets(&self, rel: Relation) -> Option<Vec<RecordType>> {
        let bound = || self.details.bindings.refs.iter().filter(move |bound| bound.rel == rel);
        let any = bound().next().is_none() || bound().any(|bound| bound.types.is_empty());
        (!any).then(|| bound().flat_map(|bound| bound.types.iter().copied()).collect())
    }

    /// Refuses a legal basis of a kind that the type does not allow.
    ///
    /// # Errors
    /// `TYPE_NOT_PERMITTED_BY_BASIS`.
    pub fn check_basis(&self, basis: &BasisDetails) -> Result<(), Refusal> {
        let allowed = &self.details.instruments;
        if allowed.is_empty() || allowed.contains(&basis.instrument) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|one| one.name()).collect();
        let detail = format!(
            "{} rests on {}, legal basis {} v{} is {}",
            self.details.name(),
            names.join(" or "),
            basis.id,
            basis.version,
            basis.instrument
        );
        Err(Refusal::new(Code::TypeNotPermittedByBasis, detail))
    }

    /// Judges a body: form of the JSON, resident numbers anywhere, the schema, words that mean a score in screened texts,
    /// then what all bodies have in common.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn judge(&self, class: Class, text: &str) -> Result<Derived, Refusal> {
        let json = body::read(class, text)?;
        self.schema.judge(&json)?;
        let Json::Object(members) = &json else {
            return Err(Refusal::new(Code::SchemaInvalid, "the body is no object"));
        };
        for (name, value) in
            members.iter().filter(|(name, _)| self.details.screened.iter().any(|one| one == name))
        {
            if value.any_text(&speaks_of_a_score) {
                let detail = format!("/{name} holds a word that means a score, rating, rank or level");
                return Err(Refusal::new(Code::ScoreForbidden, detail));
            }
        }
        if class.body_is_shared() {
            check_organisations(members)?;
        }
        self.derive(&json, class)
    }

    fn derive(&self, json: &Json<'_>, class: Class) -> Result<Derived, Refusal> {
        let bindings = &self.details.bindings;
        let mut fields = Fields::new(json, Path::default())?;
        let (subject_kind, subject) = match fields.has("subject") {
            true => {
                let (kind, id) = fields.subject("subject", class)?;
                (Some(kind), id)
            }
            false => (None, None),
        };
        let text = |bound: &Option<String>| bound.as_deref().and_then(|name| text_of(json, name));
        let date = |bound: &Option<String>| match text(bound) {
            Some(text) => {
                text.parse::<Date>().map(Some).map_err(|error| Refusal::new(Code::BadDate, error.to_string()))
            }
            None => Ok(None),
        };
        let number = text(&bindings.number);
        if let Some(number) =
            number.filter(|number| number.trim().is_empty() || number.len() > CODE_BYTES_MAX)
        {
            let detail = format!("the number has {} bytes, wants 1 to {CODE_BYTES_MAX}", number.len());
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        let (effective_from, effective_to) = (date(&bindings.effective_from)?, date(&bindings.effective_to)?);
        super::governance::check_order("effective_from", effective_from, "effective_to", effective_to)?;
        let mut refs = Vec::new();
        for bound in &bindings.refs {
            refs.extend(references(json, bound)?);
        }
        Ok(Derived {
            subject_kind,
            subject,
            subject_salt: fields.optional_digest("subject_salt")?,
            issuer: text(&bindings.issuer).map(str::parse).transpose()?,
            number: number.map(str::to_owned),
            decided_on: date(&bindings.decided_on)?,
            effective_from,
            effective_to,
            details: Details::Registered(self.details.terms),
            officers: bindings.officers.as_deref().map(|name| keys(json, name)).transpose()?,
            refs,
            attachments_root: fields.attachments("attachments")?,
            captured_ms: fields.origin("origin")?,
            ..Derived::default()
        })
    }
}

impl RegisteredType {
    /// What can be read of a body that breaks a rule, for a header that says the same.
    pub(crate) fn derive_loosely(&self, json: &Json<'_>) -> Derived {
        let bindings = &self.details.bindings;
        let text = |bound: &Option<String>| bound.as_deref().and_then(|name| text_of(json, name));
        let date = |bound: &Option<String>| text(bound).and_then(|text| text.parse::<Date>().ok());
        Derived {
            number: text(&bindings.number).map(str::to_owned),
            decided_on: date(&bindings.decided_on),
            effective_from: date(&bindings.effective_from),
            effective_to: date(&bindings.effective_to),
            refs: bindings
                .refs
                .iter()
                .flat_map(|bound| references(json, bound).unwrap_or_default())
                .collect(),
            details: Details::Registered(self.details.terms),
            ..Derived::default()
        }
    }
}

fn member<'a>(json: &'a Json<'a>, name: &str) -> Option<&'a Json<'a>> {
    match json {
        Json::Object(members) => members.iter().find(|(member, _)| member == name).map(|(_, value)| value),
        _ => None,
    }
}

fn text_of<'a>(json: &'a Json<'a>, name: &str) -> Option<&'a str> {
    match member(json, name) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

/// Refuses the code of an individual business in a body that others hold: it is a person in practice. In the subject the
/// class is judged by its kind.
fn check_organisations(members: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> Result<(), Refusal> {
    let names_a_person = |text: &str| {
        let code = text.strip_prefix("uscc:").unwrap_or(text);
        OrgId::new(Scheme::Uscc, code).is_ok_and(|org| org.is_individual_business())
    };
    let found = members.iter().find(|(name, value)| name != "subject" && value.any_text(&names_a_person));
    match found {
        Some((name, _)) => {
            let detail = format!("/{name} names an individual business (prefix 92), which wants class P3");
            Err(Refusal::new(Code::PersonalDataInClear, detail))
        }
        None => Ok(()),
    }
}

/// The public keys that a property lists.
fn keys(json: &Json<'_>, name: &str) -> Result<Vec<PublicKey>, Refusal> {
    let wrong = || Refusal::new(Code::SchemaInvalid, format!("/{name} wants the public keys of officers"));
    let Some(Json::Array(items)) = member(json, name) else { return Err(wrong()) };
    let key = |item: &Json<'_>| match item {
        Json::Text(text) => text.parse().ok(),
        _ => None,
    };
    items.iter().map(|item| key(item).ok_or_else(wrong)).collect()
}

fn references(json: &Json<'_>, bound: &RefProperty) -> Result<Vec<Reference>, Refusal> {
    let items = match member(json, &bound.property) {
        None => return Ok(Vec::new()),
        Some(Json::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let record = |item: &Json<'_>| match item {
        Json::Text(text) => text.parse().ok().map(|record| Reference { rel: bound.rel, record }),
        _ => None,
    };
    let wrong = || Refusal::new(Code::SchemaInvalid, format!("/{} wants record ids", bound.property));
    items.iter().map(|item| record(item).ok_or_else(wrong)).collect()
}
