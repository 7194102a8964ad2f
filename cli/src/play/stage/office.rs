//! What offices file: records, objections and applications, and new versions.

use chain_core::build::Filed;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::PublicKey;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, DisputeOutcome, Operation, Remedy};
use chain_core::org::OrgId;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{BasisRef, Details, Lifecycle, RecordType, Reference, Relation};
use chain_core::rules;
use chain_core::transaction::Body;
use serde_json::{Map, Value, json};

use super::{Act, Stage, chosen};
use crate::play::cast;
use crate::play::form::{Args, Step};
use crate::play::paper::governance::Office;
use crate::play::paper::{Sheet, property_named, registered};

/// Arguments that stand in the header alone.
const RELATIONS: [(&str, Relation); 3] =
    [("explains", Relation::Explains), ("evidence", Relation::Evidence), ("concerns", Relation::Concerns)];
/// Arguments by which bodies of the core types name other records.
const REFERENCES: [&str; 12] = [
    "target",
    "based_on",
    "notice",
    "prior_notice",
    "commitment",
    "prior",
    "previous",
    "references",
    "repeals",
    "status_list",
    "licence",
    "licence_affected",
];

impl Stage {
    pub(super) fn submit(
        &mut self,
        who: &str,
        label: &str,
        args: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        if let Some(act) = self.same(label, args) {
            let sent = parts(act.filed.clone().submit());
            self.acts.insert(label.to_owned(), act);
            return self.send(who, vec![sent]);
        }
        let record_type = type_of(args)?;
        match record_type {
            RecordType::SensorBatch => return self.send_batch(who, label, args),
            RecordType::DeviceKey => return self.send_key_event(who, label, args),
            RecordType::SensorGap => return self.send_gap(who, label, args),
            _ => {}
        }
        let filed = self.draw_up(who, label, record_type, 1, args)?;
        self.check_kept(&filed)?;
        let record = filed.header.record;
        let duplicate = self.send(who, vec![parts(filed.clone().submit())])?;
        let details = filed.header.details.clone();
        let body: Value = serde_json::from_str(&filed.body.json).unwrap_or_default();
        let (args, newest) = (args.clone(), args.clone());
        self.acts
            .insert(label.to_owned(), Act { record, record_type, filed, args, newest, application: None });
        if let (Details::Device(details), Some(device)) = (details, body["device_id"].as_str()) {
            self.keep_station(record, device, *details);
        }
        if record_type == RecordType::Repair {
            self.link_application(label, record);
        }
        Ok(duplicate)
    }

    /// What was filed with the same words: under the same name, or under the same idempotency key.
    fn same(&self, label: &str, args: &Map<String, Value>) -> Option<Act> {
        let again = |(name, act): &(&String, &Act)| {
            act.args == *args && !args.is_empty() && (*name == label || args.contains_key("idempotency_key"))
        };
        self.acts.iter().find(again).map(|(_, act)| act.clone())
    }

    /// No validator sees a body that stays with the agency: whoever files it judges it.
    fn check_kept(&self, filed: &Filed) -> Result<(), Refusal> {
        let header = &filed.header;
        if header.class.body_is_shared() || header.body_commit.is_none() {
            return Ok(());
        }
        rules::check_header_form(self.cast.chain.chain_id, header)?;
        match header.record_type {
            RecordType::Registered(key) => {
                rules::check_registered_body(header, &filed.body, &registered::known(key)?).map(|_| ())
            }
            _ => rules::check_body(header, &filed.body).map(|_| ()),
        }
    }

    /// Header and body of a record, as the office of whoever files it draws them up.
    fn draw_up(
        &mut self,
        who: &str,
        label: &str,
        record_type: RecordType,
        version: u32,
        args: &Map<String, Value>,
    ) -> Result<Filed, Refusal> {
        let (chain_id, day) = (self.cast.chain.chain_id, self.today());
        let own = cast::agency(cast::agency_of(who))?;
        if record_type.is_governance() {
            let office = Office { chain_id, agency: own, who, day };
            let header = office.file(record_type, label, version, args)?;
            return Ok(Filed { header, body: no_body() });
        }
        let registered = match record_type {
            RecordType::Registered(key) => Some(registered::known(key)?),
            _ => None,
        };
        let mut said = self.with_references(who, record_type, registered.as_ref(), args)?;
        let target = args.get("target").and_then(Value::as_str).map(|target| self.record(target));
        let target = target.and_then(|target| self.ledger.head(&target));
        let refs = self.relations(record_type, registered.as_ref(), &mut said)?;
        let agency = acting_agency(own, record_type, registered.as_ref(), &mut said)?;
        if record_type == RecordType::Device {
            self.name_device(who, &mut said);
        }
        let sheet = Sheet {
            chain_id,
            agency,
            record_type,
            label,
            version,
            args: &said,
            now_ms: self.time_ms,
            day,
            legal_basis: self.basis(args, record_type),
            officers: officers(who, officers_wanted(record_type, registered.as_ref()), args),
            target: target.map(|head| (head.class, head.subject_kind)),
            refs,
            previous: self.body_of(args.get("previous")),
            registered,
        };
        sheet.file()
    }

    /// The legal basis that arguments name: one that the story has filed, else one that the text describes.
    pub(super) fn basis(&self, args: &Map<String, Value>, record_type: RecordType) -> Option<BasisRef> {
        let named = args.get("legal_basis");
        let filed = named.and_then(Value::as_str).and_then(|label| self.acts.get(label));
        match filed.map(|act| &act.filed.header.details) {
            Some(Details::LegalBasis(basis)) => {
                Some(BasisRef { id: basis.id.clone(), version: basis.version })
            }
            _ => self.cast.basis(named, record_type),
        }
    }

    /// The arguments with ids where they name records. What a story mentions or needs without telling how it was filed (a
    /// notice, a promise, a list of certificates) is filed here; what a record is about or rests on must be there, and is not.
    fn with_references(
        &mut self,
        who: &str,
        record_type: RecordType,
        registered: Option<&RegisteredType>,
        args: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut said = args.clone();
        let bound: Vec<String> = registered
            .map(|one| registered::references(one).map(str::to_owned).collect())
            .unwrap_or_default();
        for (name, value) in &mut said {
            let mentioned = match name.as_str() {
                "notice" | "prior_notice" => Some(RecordType::DocFingerprint),
                "commitment" => Some(RecordType::Commitment),
                _ => None,
            };
            if bound.contains(name) || (registered.is_none() && REFERENCES.contains(&name.as_str())) {
                *value = self.ids_of(who, value, mentioned)?;
            }
        }
        let mut said = fitted(record_type, said);
        if let Some(registered) = registered {
            self.fill_in_references(who, registered, &bound, &mut said)?;
        }
        if record_type == RecordType::Certificate && !said.contains_key("status_list") {
            let label = format!("list of certificates of {}", cast::agency_of(who));
            let list = self.supporting(who, &label, RecordType::StatusList)?;
            said.insert("status_list".to_owned(), json!(list));
        }
        Ok(said)
    }

    /// References that every body of a registered type has and the step does not name; one id in a list where the type has
    /// several.
    fn fill_in_references(
        &mut self,
        who: &str,
        registered: &RegisteredType,
        bound: &[String],
        said: &mut Map<String, Value>,
    ) -> Result<(), Refusal> {
        for name in bound {
            if !said.contains_key(name) && registered::is_required(registered, name) {
                let (label, fitting) = match registered::target_of(registered, name) {
                    Some(fitting) => (format!("{fitting} of a sample"), fitting),
                    None => (format!("{name} of a sample"), RecordType::DocFingerprint),
                };
                let other = self.supporting(who, &label, fitting)?;
                said.insert(name.clone(), json!(other));
            }
            match said.get_mut(name) {
                Some(value) if value.is_string() && registered::is_list(registered, name) => {
                    *value = json!([value]);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the header refers to beyond the body.
    fn relations(
        &self,
        record_type: RecordType,
        registered: Option<&RegisteredType>,
        said: &mut Map<String, Value>,
    ) -> Result<Vec<Reference>, Refusal> {
        let in_body = |name, rel| {
            registered.is_some_and(|one| one.schema().has(name))
                || (record_type, rel) == (RecordType::Repair, Relation::Evidence)
        };
        let mut refs = Vec::new();
        for (name, rel) in RELATIONS.into_iter().filter(|(name, rel)| !in_body(name, *rel)) {
            let named = match said.remove(name) {
                Some(Value::Array(list)) => list,
                Some(Value::Null) | None => Vec::new(),
                Some(one) => vec![one],
            };
            for one in named {
                let label = one.as_str().ok_or_else(|| {
                    let detail = format!("args.{name} is {one}, wants names of records");
                    Refusal::new(Code::BadParameter, detail)
                })?;
                refs.push(Reference { rel, record: self.record(label) });
            }
        }
        Ok(refs)
    }

    /// A name, or each of a list, as the id of its record.
    fn ids_of(&mut self, who: &str, value: &Value, mentioned: Option<RecordType>) -> Result<Value, Refusal> {
        Ok(match value {
            Value::String(label) => match mentioned {
                Some(record_type) => json!(self.supporting(who, label, record_type)?),
                None => json!(self.record(label)),
            },
            Value::Array(list) => {
                list.iter().map(|one| self.ids_of(who, one, mentioned)).collect::<Result<Value, _>>()?
            }
            other => other.clone(),
        })
    }

    /// A record that the story mentions: filed by the office of whoever mentions it, if the story has not.
    fn supporting(&mut self, who: &str, label: &str, record_type: RecordType) -> Result<RecordId, Refusal> {
        if let Some(act) = self.acts.get(label) {
            return Ok(act.record);
        }
        let agency = cast::agency_of(who);
        let filer = match record_type {
            RecordType::StatusList => format!("{agency}/head1"),
            RecordType::SensorBatch => format!("{agency}/device1"),
            one if one.lifecycle() == Some(Lifecycle::Case) => who.to_owned(),
            // A clerk's office files what its supervisors rely on.
            _ => format!("{agency}/clerk1"),
        };
        let args = Map::from_iter([("type".to_owned(), Value::from(record_type.name()))]);
        self.submit(&filer, label, &args)?;
        Ok(self.record(label))
    }

    /// The body of a record that arguments name.
    fn body_of(&self, named: Option<&Value>) -> Option<Value> {
        let act = self.acts.get(named?.as_str()?)?;
        serde_json::from_str(&act.filed.body.json).ok()
    }

    /// An application is known to the record that it is about.
    fn link_application(&mut self, label: &str, application: RecordId) {
        let target = self.acts.get(label).and_then(|act| act.args.get("target")?.as_str().map(str::to_owned));
        if let Some(act) = target.and_then(|target| self.acts.get_mut(&target)) {
            act.application = Some(application);
        }
    }

    /// An objection: the one that the step names, or one that the story has filed; where it tells of none, a new one.
    pub(super) fn open_dispute(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        if let Some(named) = step.args.get("objection") {
            let mut args = Args::of(&step.args);
            args.skip(&["objection"]);
            args.finish("dispute_open with an objection")?;
            let act = named.as_str().and_then(|label| self.acts.get(label)).ok_or_else(|| {
                Refusal::new(Code::ReferenceNotFound, format!("objection {named}: no such record"))
            })?;
            let sent = parts(act.filed.clone().submit());
            return self.send(who, vec![sent]);
        }
        let about = |act: &&Act| {
            act.record_type == RecordType::Objection && act.args.get("target") == Some(&json!(step.record))
        };
        let open = |act: &&Act| {
            let head = self.ledger.head(&act.record);
            head.is_some_and(|head| head.current.status == chain_core::state::Status::Effective)
        };
        if step.args.is_empty()
            && let Some(act) = self.acts.values().filter(about).find(open)
        {
            let sent = parts(act.filed.clone().submit());
            return self.send(who, vec![sent]);
        }
        self.file_case(who, step, RecordType::Objection)
    }

    pub(super) fn apply_for_repair(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        self.file_case(who, step, RecordType::Repair)
    }

    /// A case about the record of a step.
    fn file_case(&mut self, who: &str, step: &Step, record_type: RecordType) -> Result<bool, Refusal> {
        let mut args = step.args.clone();
        args.insert("type".to_owned(), Value::from(record_type.name()));
        args.insert("target".to_owned(), Value::from(step.record.as_str()));
        self.submit(who, &format!("{}/{record_type} {}", step.record, self.sent), &args)
    }

    pub(super) fn amend(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        let mut said = Args::of(&step.args);
        let reason = said.choice("reason", AmendReason::from_name)?.unwrap_or(AmendReason::Clerical);
        let (sent, args) = self.amendment(who, &step.record, said.rest(), reason)?;
        let duplicate = self.send(who, vec![sent])?;
        self.keep_newest(&step.record, args);
        Ok(duplicate)
    }

    /// Remembers what a new version says.
    fn keep_newest(&mut self, label: &str, args: Map<String, Value>) {
        if let Some(act) = self.acts.get_mut(label) {
            act.newest = args;
        }
    }

    /// A new version of a record, in which what is said takes the place of what the one before said.
    fn amendment(
        &mut self,
        who: &str,
        label: &str,
        said: Map<String, Value>,
        reason: AmendReason,
    ) -> Result<((Operation, Option<Body>), Map<String, Value>), Refusal> {
        let Some(act) = self.acts.get(label).cloned() else {
            return Err(Refusal::new(Code::RecordNotFound, format!("record {label}")));
        };
        let mut args = act.newest.clone();
        args.extend(said);
        let version = self.ledger.head(&act.record).map_or(1, |head| head.current.version) + 1;
        let owner = format!("{}/{}", cast::agency_of(who), "clerk1");
        let filer = if cast::agency(cast::agency_of(who))? == act.filed.header.agency { who } else { &owner };
        let mut filed = self.draw_up(filer, label, act.record_type, version, &args)?;
        filed.header.record = act.record;
        filed.header.idempotency = act.filed.header.idempotency;
        filed.header.agency = act.filed.header.agency;
        self.check_kept(&filed)?;
        Ok((parts(filed.amend(reason)), args))
    }

    /// A decision on objections. One that carries an amendment brings it along, unless a new version waits already.
    pub(super) fn decide_dispute(&mut self, who: &str, step: &Step) -> Result<bool, Refusal> {
        let (outcome, carries) = dispute(step)?;
        let record = self.record(&step.record);
        let waits = self.ledger.head(&record).is_some_and(|head| head.next.is_some());
        if carries != Remedy::Amend || waits {
            let operation = self.operation(step)?;
            return self.send(who, vec![(operation, None)]);
        }
        let version = self.ledger.head(&record).map_or(1, |head| head.current.version);
        let mut said = Args::of(&step.args);
        said.skip(&["objection", "outcome", "carries"]);
        let reasons = said.text("reasons")?.or(said.text("reason")?).unwrap_or_else(|| "sample".to_owned());
        let decision = Operation::DisputeDecide { record, version, outcome, carries, reasons };
        let reason = AmendReason::CorrectionAfterObjection;
        let (amendment, args) = self.amendment(who, &step.record, said.rest(), reason)?;
        let duplicate = self.send(who, vec![amendment, (decision, None)])?;
        self.keep_newest(&step.record, args);
        Ok(duplicate)
    }
}

/// Outcome of a decision on objections, and what it carries. The outcomes that the form of an objection knows come down to
/// three, and bring their remedy.
pub(super) fn dispute(step: &Step) -> Result<(DisputeOutcome, Remedy), Refusal> {
    let mut args = Args::of(&step.args);
    let named = args.text("outcome")?.unwrap_or_else(|| "upheld".to_owned());
    let (outcome, brings) = match named.as_str() {
        "corrected" | "supplemented" => (DisputeOutcome::Upheld, Remedy::Amend),
        "publication_stopped" => (DisputeOutcome::Upheld, Remedy::StopPublication),
        "removed" => (DisputeOutcome::Upheld, Remedy::Revoke),
        name => (chosen("args.outcome", name, DisputeOutcome::from_name)?, Remedy::None),
    };
    Ok((outcome, remedy(&mut args)?.unwrap_or(brings)))
}

/// What a decision carries.
pub(super) fn remedy(args: &mut Args) -> Result<Option<Remedy>, Refusal> {
    args.choice("carries", |name| match name {
        "stop" => Some(Remedy::StopPublication),
        name => Remedy::from_name(name),
    })
}

fn type_of(args: &Map<String, Value>) -> Result<RecordType, Refusal> {
    let named = args.get("type").and_then(Value::as_str).unwrap_or_default();
    match RecordType::from_name(named) {
        Some(found) => Ok(found),
        None if property_named(named).is_some() => Ok(RecordType::Licence),
        None => Err(Refusal::new(Code::UnknownType, format!("args.type is {named:?}, wants a record type"))),
    }
}

fn no_body() -> Body {
    Body { salt: chain_core::crypto::Digest::ZERO, json: String::new() }
}

/// What travels of something filed.
fn parts((operation, body, _): (Operation, Option<Body>, Option<Body>)) -> (Operation, Option<Body>) {
    let bodiless = operation.header().is_some_and(|header| header.body_commit.is_none());
    (operation, body.filter(|_| !bodiless))
}

/// Whose act a record is said to be, where its body does not say it itself.
fn acting_agency(
    own: OrgId,
    record_type: RecordType,
    registered: Option<&RegisteredType>,
    said: &mut Map<String, Value>,
) -> Result<OrgId, Refusal> {
    if record_type == RecordType::AccessRoot || registered.is_some_and(|one| one.schema().has("agency")) {
        return Ok(own);
    }
    match said.remove("agency").as_ref().and_then(Value::as_str) {
        Some(named) => cast::agency(named),
        None => Ok(own),
    }
}

/// One id where the type has one, a list where it has several.
fn fitted(record_type: RecordType, mut said: Map<String, Value>) -> Map<String, Value> {
    let lists: &[&str] = match record_type {
        RecordType::ListEntry => &["based_on"],
        RecordType::Alert => &["references"],
        RecordType::Decision => &["repeals"],
        _ => &[],
    };
    for (name, value) in &mut said {
        match value {
            Value::String(one) if lists.contains(&name.as_str()) => *value = json!([one]),
            Value::Array(list) if name == "based_on" && lists.is_empty() && list.len() == 1 => {
                *value = list.remove(0);
            }
            _ => {}
        }
    }
    said
}

/// Whether records of a type name officers.
fn officers_wanted(record_type: RecordType, registered: Option<&RegisteredType>) -> bool {
    record_type == RecordType::Penalty || registered.is_some_and(|one| one.details().terms.officers > 0)
}

/// Officers of an act that wants some: those named, else whoever files it and a colleague.
fn officers(who: &str, wanted: bool, args: &Map<String, Value>) -> Vec<PublicKey> {
    let named = ["officers", "inspectors"].into_iter().find_map(|name| args.get(name)?.as_array());
    if let Some(named) = named {
        return named.iter().filter_map(Value::as_str).map(cast::public).collect();
    }
    if !wanted {
        return Vec::new();
    }
    let agency = cast::agency_of(who);
    let colleague = if who.ends_with("/clerk2") { "clerk1" } else { "clerk2" };
    vec![cast::public(who), cast::public(&format!("{agency}/{colleague}"))]
}
