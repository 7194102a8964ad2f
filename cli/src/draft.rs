//! One record from a file: a JSON document with its type and body becomes header and body.
//!
//! ```json
//! {"type": "credit.licence", "legal_basis": "cn-administrative-licensing", "body": { … }}
//! ```
//! What the header says is read out of the body by the ledger's own rules, so the two cannot differ.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::id::{ChainId, RecordId};
use chain_core::json::to_canonical;
use chain_core::org::OrgId;
use chain_core::record::body::{self, Derived};
use chain_core::record::registered::RegisteredType;
use chain_core::record::{
    BasisRef, Class, Header, Lifecycle, RecordType, SubjectKind, TypeKey, idempotency_digest, natural_key,
    record_id, subject_commit,
};
use chain_core::rules::{self, SCHEMA_VERSION};
use chain_core::transaction::Body;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::commands::clerk::record::known_type;
use crate::error::{CliError, CliResult};
use crate::files;

/// The document.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// Record type, e.g. `credit.licence`.
    #[serde(rename = "type")]
    record_type: String,
    /// Acting agency; needed when the key ring holds keys of several.
    #[serde(default)]
    pub(crate) agency: Option<String>,
    /// Id of the legal basis.
    legal_basis: String,
    /// Privacy class, in place of the one that type and subject ask for.
    #[serde(default)]
    class: Option<Class>,
    /// The content.
    body: Map<String, Value>,
    /// Whom it is about, where another record says so.
    #[serde(skip)]
    about: Option<SubjectKind>,
}

/// Who files it.
#[derive(Debug)]
pub(crate) struct Office<'a> {
    /// The acting agency.
    pub(crate) agency: OrgId,
    /// What recognises its numbers.
    pub(crate) dedupe: &'a [u8; 32],
    /// Its officers; needed for penalties.
    pub(crate) officers: Vec<PublicKey>,
}

/// The version that an amendment follows.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    /// The header as it is.
    pub(crate) header: Header,
}

impl Draft {
    /// Reads a document.
    pub(crate) fn parse(name: &str, text: &str) -> CliResult<Self> {
        serde_json::from_str(text).map_err(|error| {
            let source = text.lines().nth(error.line().saturating_sub(1)).unwrap_or("").trim();
            let detail = format!(
                "{name}:{}:{}: {error}\n  {}",
                error.line(),
                error.column(),
                chain_core::text::shown(source)
            );
            CliError::new(Code::MalformedJson, detail)
                .hint("wanted: {\"type\": …, \"legal_basis\": …, \"body\": {…}}")
        })
    }

    /// The role whose key files it where none is named.
    pub(crate) fn filed_by(&self) -> &'static str {
        filed_by(&self.record_type)
    }

    /// The document that a row of a sheet stands for.
    pub(crate) fn of_row(
        record_type: &str,
        legal_basis: &str,
        class: Option<Class>,
        body: Map<String, Value>,
    ) -> Self {
        Self {
            record_type: record_type.to_owned(),
            agency: None,
            legal_basis: legal_basis.to_owned(),
            class,
            body,
            about: None,
        }
    }

    /// The record that a case is about. Its body does not repeat whom that record is about, its header does.
    pub(crate) fn target(&self) -> Option<CliResult<RecordId>> {
        let known = RecordType::from_name(&self.record_type);
        known.filter(|known| matches!(known, RecordType::Objection | RecordType::Repair))?;
        let target = self.body.get("target")?.as_str()?;
        Some(target.parse().map_err(|error| CliError::usage(format!("body.target {target:?}: {error}"))))
    }

    /// Takes class and kind of subject from the record that a case is about.
    pub(crate) fn concern(&mut self, header: &Header) {
        self.class.get_or_insert(header.class);
        self.about = Some(header.subject_kind);
    }

    /// An amendment is of the same type and agency as what it amends.
    pub(crate) fn follows(&self, name: &str, before: &Header) -> CliResult {
        let wrong = |what: &str, got: &str, want: &str| {
            let detail = format!("{name} is of {what} {got}, the record to amend of {want}");
            Err(CliError::usage(detail).hint("an amendment is a whole new version of the same record"))
        };
        if self.record_type != before.record_type.name() {
            return wrong("type", &self.record_type, before.record_type.name());
        }
        let agency = before.agency.to_string();
        match &self.agency {
            Some(mine) if *mine != agency => wrong("agency", mine, &agency),
            _ => Ok(()),
        }
    }

    /// Builds header and body and judges them as the validators will.
    pub(crate) fn build(
        mut self,
        catalogue: &Catalogue,
        types: &dyn Fn(TypeKey) -> CliResult<RegisteredType>,
        office: &Office<'_>,
        key: Option<&str>,
        before: Option<&Before>,
        today: Date,
    ) -> CliResult<(Header, Body)> {
        let record_type = known_type(&self.record_type)?;
        let registered = match record_type {
            RecordType::Registered(key) => Some(types(key)?),
            _ => None,
        };
        let registered = registered.as_ref();
        let class = self.class.unwrap_or_else(|| class_of(record_type, registered, &self.body));
        self.complete(record_type, &office.agency)?;
        let body =
            Body { salt: Digest::new(files::random()?), json: to_canonical(&Value::Object(self.body))? };
        let derived = match registered {
            Some(registered) => registered.judge(class, &body.json)?,
            None => body::judge(record_type, class, &body.json)?,
        };
        let basis = catalogue.by_id(&self.legal_basis, derived.decided_on).ok_or_else(|| {
            let detail = format!("the catalogue has no legal basis {}", self.legal_basis);
            CliError::new(Code::LegalBasisMissing, detail)
                .hint("the bases are listed by: city genesis show GENESIS --fields legal_bases")
        })?;
        let generated;
        let key = match key {
            Some(key) => key,
            None => {
                generated = match &derived.number {
                    Some(number) => number.clone(),
                    None => Digest::tagged(b"city/draft/1", &[body.json.as_bytes()]).to_string(),
                };
                &generated
            }
        };
        let basis_ref = BasisRef { id: basis.details.id.clone(), version: basis.details.version };
        let kind = Kind { record_type, registered, class, about: self.about };
        let header = header(catalogue.chain_id, office, kind, &derived, &body, basis_ref, key, before);
        let judged = match registered {
            Some(registered) => {
                registered.check_header(&header)?;
                registered.check_basis(&basis.details)?;
                rules::check_registered_body(&header, &body, registered)?;
                None
            }
            None => Some(&body),
        };
        rules::check_submission(catalogue.chain_id, &header, judged, Some(&basis.details), today)?;
        Ok((header, body))
    }

    /// Fills in what the clerk need not type.
    fn complete(&mut self, record_type: RecordType, agency: &OrgId) -> CliResult {
        let body = &mut self.body;
        let mut default = |name: &str, value: Value| {
            body.entry(name).or_insert(value);
        };
        default("origin", json!({ "method": "manual", "system": "city" }));
        match record_type {
            RecordType::Licence | RecordType::Penalty => {
                default("issuer", json!(agency));
                default("data_source", json!(agency));
            }
            RecordType::Decision => default("body", json!(agency)),
            RecordType::Certificate | RecordType::StatusList => default("issuer", json!(agency)),
            RecordType::Alert => default("sender", json!(agency)),
            RecordType::Procurement => default("buyer", json!(agency)),
            RecordType::CommitBatch => default("reporter", json!(agency)),
            RecordType::AccessRoot => default("agency", json!(agency)),
            _ => {}
        }
        let identified = self.body.get("subject").and_then(|subject| subject.get("id")).is_some();
        if identified && !self.body.contains_key("subject_salt") {
            self.body.insert("subject_salt".to_owned(), json!(Digest::new(files::random()?)));
        }
        Ok(())
    }
}

/// The role whose key files records of a type.
pub(crate) fn filed_by(record_type: &str) -> &'static str {
    match RecordType::from_name(record_type) {
        Some(RecordType::StatusList) => "agency_admin",
        Some(RecordType::CommitBatch | RecordType::AccessRoot) => "gateway",
        _ => "clerk",
    }
}

fn class_of(
    record_type: RecordType,
    registered: Option<&RegisteredType>,
    body: &Map<String, Value>,
) -> Class {
    let kind = body.get("subject").and_then(|subject| subject.get("kind")).and_then(Value::as_str);
    let personal = matches!(kind, Some("person" | "individual_business"));
    let first = registered.and_then(|registered| registered.details().classes.first());
    match (record_type, first) {
        (RecordType::Licence | RecordType::Penalty, _) if !personal => Class::P1,
        _ if personal => Class::P3,
        (_, Some(first)) => *first,
        _ => record_type.classes().first().copied().unwrap_or(Class::P0),
    }
}

/// What a header is of.
#[derive(Clone, Copy)]
struct Kind<'a> {
    record_type: RecordType,
    registered: Option<&'a RegisteredType>,
    class: Class,
    /// Whom it is about, where neither body nor type say so.
    about: Option<SubjectKind>,
}

#[expect(clippy::too_many_arguments, reason = "each is one part of what a header says")]
fn header(
    chain: ChainId,
    office: &Office<'_>,
    kind: Kind<'_>,
    derived: &Derived,
    body: &Body,
    legal_basis: BasisRef,
    key: &str,
    before: Option<&Before>,
) -> Header {
    let Kind { record_type, registered, class, about } = kind;
    let idempotency = match before {
        Some(before) => before.header.idempotency,
        None => idempotency_digest(office.dedupe, record_type, key),
    };
    // What the body says nothing of is shown from its decision on.
    let entry = registered.is_some_and(|one| {
        matches!(one.details().terms.lifecycle, Lifecycle::Register | Lifecycle::Published)
    });
    let public = (record_type == RecordType::Licence || entry) && class == Class::P1;
    let shown = derived.decided_on.filter(|_| public);
    let first_kind = registered.and_then(|one| one.details().subject_kinds.first());
    let several = record_type == RecordType::Penalty
        || registered.is_some_and(|registered| registered.details().terms.officers > 0);
    let [publish_from, publish_min_until, publish_until] = derived.publication.unwrap_or([shown, None, None]);
    Header {
        record: record_id(chain, &office.agency, record_type, &idempotency),
        record_type,
        schema_version: registered.map_or(SCHEMA_VERSION, |one| one.details().version),
        version: before.map_or(1, |before| before.header.version + 1),
        idempotency,
        agency: office.agency.clone(),
        legal_basis: Some(legal_basis),
        class,
        subject_kind: derived.subject_kind.or(first_kind.copied()).or(about).unwrap_or(SubjectKind::None),
        body_commit: Some(body.commitment()),
        subject_commit: match (&derived.subject_salt, &derived.subject) {
            (Some(salt), Some(subject)) => Some(subject_commit(salt, subject)),
            _ => None,
        },
        natural_key: derived
            .number
            .as_deref()
            .filter(|_| record_type.has_natural_key() || registered.is_some())
            .map(|number| natural_key(office.dedupe, record_type, number)),
        decided_on: derived.decided_on,
        conduct_on: derived.conduct_on,
        effective_from: derived.effective_from,
        effective_to: derived.effective_to,
        publish_from,
        publish_min_until,
        publish_until,
        dispose_on: None,
        severity: derived.severity,
        heard: derived.heard,
        officers: if several { office.officers.clone() } else { Vec::new() },
        refs: derived.refs.clone(),
        attachments_root: derived.attachments_root,
        details: derived.details.clone(),
    }
}

/// The header of a record as a node showed it, after checking that it is the one the digest names: what an
/// officer approves must be what the officer saw.
pub(crate) fn shown_header(view: &chain_core::api::RecordView) -> CliResult<Header> {
    let header: Header = serde_json::from_value(view.header.clone()).map_err(|error| {
        Refusal::new(Code::HeaderMismatch, format!("the node's header does not parse: {error}"))
    })?;
    if header.digest() != view.header_digest {
        let detail = format!("the node shows another header of {} than its digest names", view.record);
        return Err(
            CliError::new(Code::HeaderMismatch, detail).hint("ask another node, and tell its operator")
        );
    }
    Ok(header)
}
