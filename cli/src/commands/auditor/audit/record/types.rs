//! That headers and bodies are as their type wants them; of a registered type, from the log's own word on types.

use chain_core::code::{Code, Refusal};
use chain_core::lifecycle::replay::{Bases as _, Moment};
use chain_core::operation::Operation;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{Details, Header, RecordType, TypeKey};
use chain_core::rules;
use chain_core::state::{EntryName, SchemaEntry, Status};
use chain_core::transaction::Body;

use super::authority::Rights;
use super::judge::Trail;
use super::source::{Source, wrong};
use crate::commands::auditor::audit::verify::Stopped;

/// The types that the ledger knows.
pub(super) struct Types<'a, S> {
    trail: &'a Trail<'a, S>,
    rights: &'a Rights<'a, S>,
}

impl<'a, S: Source> Types<'a, S> {
    pub(super) fn new(trail: &'a Trail<'a, S>, rights: &'a Rights<'a, S>) -> Self {
        Self { trail, rights }
    }

    /// Judges what an operation files: the header by its registered type, if it is of one, and the body, where it is held,
    /// by the type and by the header.
    pub(super) fn check(
        &self,
        place: u64,
        moment: Moment,
        operation: &Operation,
        body: Option<&Body>,
    ) -> Result<(), Stopped> {
        let Some(header) = operation.header() else { return Ok(()) };
        let registered = match header.record_type {
            RecordType::Registered(key) => {
                let registered = self.registered(place, moment, operation, key, header.schema_version)?;
                self.check_header(header, &registered)
                    .map_err(|refusal| self.trail.illegal(place, moment.height, &refusal))?;
                Some(registered)
            }
            _ => None,
        };
        let Some(body) = body else { return Ok(()) };
        let judged = match &registered {
            Some(registered) => rules::check_registered_body(header, body, registered),
            None => rules::check_body(header, body),
        };
        judged.map(|_| ()).map_err(|refusal| self.trail.illegal(place, moment.height, &refusal))
    }

    /// A version of a type that was in the ledger before a leaf and took records on its day. Whether a later version had
    /// taken its place by then, an audit of the chain says.
    fn registered(
        &self,
        place: u64,
        moment: Moment,
        operation: &Operation,
        key: TypeKey,
        version: u16,
    ) -> Result<RegisteredType, Stopped> {
        let illegal = |refusal: Refusal| self.trail.illegal(place, moment.height, &refusal);
        let refuse =
            |why: String| illegal(Refusal::new(Code::SchemaNotInForce, format!("{key} v{version}: {why}")));
        let name = EntryName::Schema(key, version);
        let entry = self.trail.entry::<SchemaEntry>(&name)?;
        let record = entry.ok_or_else(|| refuse("the ledger has no such schema".to_owned()))?.record;
        let held = self.rights.held(&record, place)?;
        let (laid_down, status) = held.ok_or_else(|| refuse(format!("record {record} came later")))?;
        let details = match laid_down.details {
            Details::Schema(details) if (details.key, details.version) == (key, version) => *details,
            _ => {
                let detail = format!("{name} is said to be of record {record}, which says otherwise");
                return Err(wrong(Some(moment.height), Code::StateMismatch, detail));
            }
        };
        // A correction keeps the version of its record, whatever has become of that.
        if matches!(operation, Operation::Submit(_)) && status != Status::Effective {
            return Err(refuse(format!("record {record} was {status}")));
        }
        if moment.day < details.from {
            return Err(refuse(format!("takes records from {}, not on {}", details.from, moment.day)));
        }
        RegisteredType::new(details).map_err(illegal)
    }

    fn check_header(&self, header: &Header, registered: &RegisteredType) -> Result<(), Refusal> {
        registered.check_header(header)?;
        if let Some(basis) = &header.legal_basis
            && let Some(basis) = self.rights.basis(basis)?
        {
            registered.check_basis(&basis)?;
        }
        Ok(())
    }
}
