//! Registered types: which version takes a record, and which version may follow on which.

use std::rc::Rc;

use super::overlay::{Fail, Overlay};
use super::{Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::layout::Layout as _;
use crate::record::registered::RegisteredType;
use crate::record::schema::{SchemaDetails, VERSIONS_MAX};
use crate::record::{Details, Header, RecordType, TypeKey};
use crate::state::{RecordHead, SchemaEntry, Status, key};

/// A version of a registered type, read.
pub(super) struct KnownType {
    pub(super) registered: RegisteredType,
    pub(super) status: Status,
}

impl<L: LedgerRead> Overlay<'_, L> {
    /// A version of a registered type.
    pub(super) fn known_type(
        &mut self,
        type_key: TypeKey,
        version: u16,
    ) -> Result<Option<Rc<KnownType>>, ReadError> {
        if let Some(known) = self.schemas.get(&(type_key, version)) {
            return Ok(known.clone());
        }
        let known = match self.read::<SchemaEntry>(&key::schema(type_key, version))? {
            Some(SchemaEntry { details, status, .. }) => {
                let name = details.name();
                let registered = RegisteredType::new(details)
                    .map_err(|refusal| ReadError(format!("registered type {name}: {refusal}")))?;
                Some(Rc::new(KnownType { registered, status }))
            }
            None => None,
        };
        self.schemas.insert((type_key, version), known.clone());
        Ok(known)
    }

    fn put_schema(&mut self, entry: &SchemaEntry) {
        let (type_key, version) = (entry.details.key, entry.details.version);
        self.schemas.remove(&(type_key, version));
        self.put(key::schema(type_key, version), entry.to_canonical());
    }
}

impl<L: LedgerRead> Execution<'_, L> {
    /// The version of a registered type that a header is filed under, after checking that it takes records today: the
    /// newest one, or the one before it for as long as the change-over lasts. An amendment may keep the version that its
    /// record was filed under. `None` for a core type.
    pub(super) fn type_of(
        &mut self,
        header: &Header,
        head: Option<&RecordHead>,
    ) -> Result<Option<Rc<KnownType>>, Fail> {
        let RecordType::Registered(type_key) = header.record_type else { return Ok(None) };
        let version = header.schema_version;
        let refuse = |why: String| {
            let detail = format!("{type_key} v{version}: {why}");
            Err(Fail::Refused(Refusal::new(Code::SchemaNotInForce, detail)))
        };
        let Some(known) = self.state.known_type(type_key, version)? else {
            return refuse("the ledger has no such schema".to_owned());
        };
        let own = head.and_then(|head| head.registered.as_ref());
        if own.is_some_and(|own| own.schema_version == version) {
            return Ok(Some(known));
        }
        if known.status != Status::Effective {
            return refuse(format!("status {}", known.status));
        }
        let from = known.registered.details().from;
        if self.today < from {
            return refuse(format!("takes records from {from}, today is {}", self.today));
        }
        let next = self.state.known_type(type_key, version.saturating_add(1))?;
        let next = next.filter(|next| next.status == Status::Effective);
        let until = next.and_then(|next| next.registered.details().previous_until);
        match until {
            Some(until) if self.today > until => refuse(format!(
                "took records until {until}, today is {}; file under v{}",
                self.today,
                version.saturating_add(1)
            )),
            _ => Ok(Some(known)),
        }
    }

    /// Refuses a version that does not follow on the one before it, or changes what an earlier one says.
    pub(super) fn check_schema(&mut self, details: &SchemaDetails) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        if self.state.known_type(details.key, details.version)?.is_some() {
            return refuse(Code::AlreadyExists, format!("schema {}", details.name()));
        }
        let new = RegisteredType::new(details.clone())?;
        for version in 1..details.version.min(VERSIONS_MAX) {
            let Some(earlier) = self.state.known_type(details.key, version)? else {
                let detail = format!("{}: there is no version {version} before it", details.name());
                return refuse(Code::VersionConflict, detail);
            };
            new.check_follows(&earlier.registered)?;
            // Two versions at most take records on one day.
            let over = earlier.registered.details().previous_until;
            if over.is_some_and(|over| over >= details.from) {
                let over = over.map_or_else(String::new, |over| over.to_string());
                let detail = format!(
                    "{} begins on {}, the change-over to v{version} lasts until {over}",
                    details.name(),
                    details.from
                );
                return refuse(Code::DateOrder, detail);
            }
        }
        Ok(())
    }

    /// Refuses a registered type in the lists of an agency or a legal basis that has no schema.
    pub(super) fn check_types_known(&mut self, types: &[RecordType]) -> Result<(), Fail> {
        for one in types {
            if let RecordType::Registered(type_key) = one
                && self.state.known_type(*type_key, 1)?.is_none()
            {
                let detail = format!("types: {type_key} is neither a core type nor a registered one");
                return Err(Refusal::new(Code::SchemaNotInForce, detail).into());
            }
        }
        Ok(())
    }

    pub(super) fn govern_schema(&mut self, header: &Header, details: SchemaDetails) {
        self.state.put_schema(&SchemaEntry { details, status: Status::Effective, record: header.record });
    }

    /// Carries a change of status over to a schema.
    pub(super) fn schema_status(&mut self, header: &Header, status: Status) -> Result<(), ReadError> {
        if let Details::Schema(details) = &header.details
            && let Some(entry) = self.state.read::<SchemaEntry>(&key::schema(details.key, details.version))?
        {
            self.state.put_schema(&SchemaEntry { status, ..entry });
        }
        Ok(())
    }
}
