//! Licences and penalties in the official columns of the "double publicity": what `city batch` reads as the same records.

use chain_core::code::{Code, Refusal};
use serde_json::Value;

use super::Published;
use crate::import::mapping::Mapping;

/// What the columns say in words where the record has identifiers.
pub(crate) struct Names<'a> {
    /// Title of a legal basis by its id.
    pub(crate) title_of: &'a dyn Fn(&str) -> Option<String>,
    /// Name of an agency by its identifier.
    pub(crate) name_of: &'a dyn Fn(&str) -> Option<String>,
}

/// The sheet with one heading row.
///
/// # Errors
/// `BAD_MAPPING` for a mapping that says no columns, `INTERNAL` when CSV cannot be written.
pub(crate) fn csv(records: &[Published], mapping: &Mapping, names: &Names<'_>) -> Result<String, Refusal> {
    let columns = mapping.columns();
    if columns.is_empty() {
        let detail = "the mapping names no official columns; those of licences and penalties do";
        return Err(Refusal::new(Code::BadMapping, detail));
    }
    let failed = |error: &dyn std::fmt::Display| Refusal::new(Code::Internal, error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(|error| failed(&error))?;
    for record in records {
        let Value::Object(body) = &record.body else { continue };
        let cells = mapping.written(&record.header, body, names.title_of, names.name_of);
        let row = columns.iter().map(|heading| cells.get(heading.as_str()).map_or("", String::as_str));
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
