//! Registered record types as a client knows them: from the genesis, and from the network where the council added more.

use chain_core::code::Code;
use chain_core::date::Date;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::SchemaDetails;
use chain_core::record::{Details, RecordType, TypeKey};

use crate::app::City;
use crate::commands::clerk::record::list;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};

/// One version of a type.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What was registered.
    pub(crate) details: SchemaDetails,
    /// Status of the record, e.g. `effective` or `submitted`.
    pub(crate) status: String,
    /// The record; none where the genesis alone was read.
    pub(crate) record: Option<RecordId>,
}

/// Every version that the genesis lays down.
pub(crate) fn of_genesis(genesis: &Genesis) -> Vec<Known> {
    let known = |details: &SchemaDetails| Known {
        details: details.clone(),
        status: "effective".to_owned(),
        record: None,
    };
    genesis.document().registered_types.iter().map(known).collect()
}

/// Every version that the network has, by key and version. Each header is checked against its digest.
pub(crate) fn of_network(city: &City) -> CliResult<Vec<Known>> {
    let filter = [("type", Some(RecordType::Schema.name().to_owned()))];
    let mut all = Vec::new();
    for view in list(&city.client()?, &filter, usize::MAX)?.items {
        let header = shown_header(&view)?;
        let Details::Schema(details) = header.details else {
            let detail = format!("record {} is no {}", view.record, RecordType::Schema);
            return Err(CliError::new(Code::HeaderMismatch, detail));
        };
        all.push(Known { details: *details, status: view.status, record: Some(view.record) });
    }
    all.sort_by_key(|one| (one.details.key, one.details.version));
    Ok(all)
}

/// The newest version of a type that takes records on a day.
pub(crate) fn newest(known: &[Known], key: TypeKey, today: Date) -> CliResult<RegisteredType> {
    let fitting = known.iter().filter(|one| one.details.key == key && one.status == "effective");
    let found = fitting.filter(|one| one.details.from <= today).max_by_key(|one| one.details.version);
    match found {
        Some(one) => Ok(RegisteredType::new(one.details.clone())?),
        None => Err(CliError::new(Code::SchemaNotInForce, format!("no schema of type {key} is in force"))
            .hint("the types of the network are listed by: city schema list")),
    }
}

/// The version that a new record of a type is filed under: the genesis knows it offline, and the network where the type came
/// later or `ask` is set, because newer versions may have come.
pub(crate) fn find(
    city: &City,
    genesis: &Genesis,
    key: TypeKey,
    today: Date,
    ask: bool,
) -> CliResult<RegisteredType> {
    let own = of_genesis(genesis);
    if !ask && own.iter().any(|one| one.details.key == key) {
        return newest(&own, key, today);
    }
    newest(&of_network(city)?, key, today)
}
