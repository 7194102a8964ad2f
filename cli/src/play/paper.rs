//! What a clerk's software would write for a step: the body of a record of a type, filled in where a scenario says nothing.
//!
//! What a scenario says takes the place of what would be filled in, under the name that the member has in the body; a name
//! that the type does not know is refused by the type's own rules.

mod bodies;
pub(crate) mod governance;
mod overlay;
pub(crate) mod registered;
mod subject;

use chain_core::build::{self, Filed, Filing};
use chain_core::code::Refusal;
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::id::ChainId;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{BasisRef, Class, RecordType, Reference, SubjectKind};
use serde_json::{Map, Value, json};

use super::form::Args;
pub(crate) use governance::{agency_named, post_named};
use subject::Subject;

/// The secret that the officers of the sample agencies share.
pub(crate) const DEDUPE_KEY: &[u8] = b"dedupe key of the players";

/// What is known when a record is filed.
#[derive(Clone, Debug)]
pub(crate) struct Sheet<'a> {
    pub(crate) chain_id: ChainId,
    pub(crate) agency: chain_core::org::OrgId,
    pub(crate) record_type: RecordType,
    /// The type of a registered record.
    pub(crate) registered: Option<RegisteredType>,
    /// The story's own name of the record.
    pub(crate) label: &'a str,
    pub(crate) version: u32,
    /// What the step says; ids stand where it names records.
    pub(crate) args: &'a Map<String, Value>,
    /// Block time and its local day.
    pub(crate) now_ms: u64,
    pub(crate) day: Date,
    pub(crate) legal_basis: Option<BasisRef>,
    pub(crate) officers: Vec<PublicKey>,
    /// Class and subject of the record that a case is about.
    pub(crate) target: Option<(Class, SubjectKind)>,
    /// The gap that the record explains.
    pub(crate) refs: Vec<Reference>,
    /// The body of the record before it in its chain.
    pub(crate) previous: Option<Value>,
}

impl Sheet<'_> {
    /// Header and body.
    ///
    /// # Errors
    /// `BAD_PARAMETER`, `BAD_DATE` and `BAD_NUMBER` for what the step says and nobody can read, and those of
    /// [`build::file`].
    pub(crate) fn file(&self) -> Result<Filed, Refusal> {
        let mut args = Args::of(&overlay::renamed(self.record_type, self.args));
        args.skip(&["legal_basis", "officers"]);
        let named_type = args.text("type")?.unwrap_or_default();
        let key = args.text("idempotency_key")?.unwrap_or_else(|| self.label.to_owned());
        let subject = self.subject(&mut args, &named_type)?;
        let publication = self.publication(&mut args, subject.class)?;
        let dispose_on = args.date("dispose_on")?;
        let bytes = args.number("bytes")?;
        let mut body = self.body(&mut args, &subject)?;
        overlay::lay_over(&mut body, args.rest());
        // A scenario may speak of a property that no type has.
        if let Some(extra) = property_named(&named_type) {
            body[extra] = json!(1);
        }
        if let Some(bytes) = bytes {
            overlay::swell(&mut body, bytes);
        }
        let filing = Filing {
            chain_id: self.chain_id,
            agency: self.agency.clone(),
            dedupe_key: DEDUPE_KEY,
            idempotency_key: &key,
            record_type: self.record_type,
            version: self.version,
            class: subject.class,
            subject_kind: subject.kind,
            legal_basis: self.legal_basis.clone(),
            salt: Digest::tagged(b"city/play/salt/1", &[key.as_bytes(), &self.version.to_be_bytes()]),
            officers: self.officers.clone(),
            refs: self.refs.clone(),
            publication,
            dispose_on,
        };
        match &self.registered {
            Some(registered) => build::file_registered(&filing, registered, &body.to_string()),
            None => build::file(&filing, &body.to_string()),
        }
    }

    /// Publication of a type whose body does not state it: of licences, and of registered types that are published.
    fn publication(&self, args: &mut Args, class: Class) -> Result<[Option<Date>; 3], Refusal> {
        if !self.is_published_by_header() {
            return Ok([None; 3]);
        }
        let from = args.date("publish_from")?.or((class == Class::P1).then_some(self.day));
        Ok([from, args.date("publish_min_until")?, args.date("publish_until")?])
    }

    fn is_published_by_header(&self) -> bool {
        let registered = self.registered.as_ref().map(|one| one.details().terms.lifecycle);
        self.record_type == RecordType::Licence
            || registered == Some(chain_core::record::Lifecycle::Published)
    }

    /// Class and subject: those that the step names, else those that the type asks for.
    fn subject(&self, args: &mut Args, named_type: &str) -> Result<Subject, Refusal> {
        use RecordType as T;
        let fixed = |class, kind| Subject { class, kind, json: Value::Null };
        let mut subject = match self.record_type {
            T::Decision | T::Alert | T::StatusList | T::AccessRoot | T::Procurement => {
                fixed(Class::P0, SubjectKind::None)
            }
            T::DocFingerprint if !args.names("subject") => fixed(Class::P0, SubjectKind::None),
            T::CommitBatch => fixed(Class::P4, SubjectKind::None),
            T::Device => fixed(Class::P0, SubjectKind::Thing),
            T::PropertyEvent => fixed(Class::P3, SubjectKind::Thing),
            T::Objection | T::Repair => {
                let (class, kind) = self.target.unwrap_or((Class::P1, SubjectKind::Organisation));
                fixed(class, kind)
            }
            _ => match &self.registered {
                Some(registered) if registered::is_about_nobody(registered) => {
                    fixed(registered.details().classes[0], registered.details().subject_kinds[0])
                }
                _ => Subject::read(args.value("subject"), named_type)?,
            },
        };
        subject.class = match self.record_type {
            // Certificates of organisations are kept apart like those of persons; fingerprints are facts.
            T::Certificate => Class::P3,
            T::DocFingerprint if subject.class == Class::P1 => Class::P0,
            _ => subject.class,
        };
        if let Some(class) = args.choice("class", Class::from_name)? {
            subject.class = class;
        }
        if let Some(kind) = args.choice("subject_kind", SubjectKind::from_name)? {
            subject.kind = kind;
        }
        Ok(subject)
    }
}

/// The property of which a text says that it has one, as in `a type with a property named score`.
pub(crate) fn property_named(text: &str) -> Option<&str> {
    text.split_once("property named ")?.1.split_whitespace().next()
}

/// A text in Chinese.
fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn attachment(name: &str) -> Value {
    json!({
        "sha256": Digest::tagged(b"city/play/file/1", &[name.as_bytes()]),
        "size": 1024,
        "media_type": "application/pdf",
        "name": name,
        "class": "P1",
    })
}
