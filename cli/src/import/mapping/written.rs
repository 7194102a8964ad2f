//! A record as the row of the official columns that would be read as it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{Mapping, SubjectColumns};
use chain_core::record::Header;

impl Mapping {
    /// The headings of the official form, in its order; empty for mappings that are for import alone.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The cells of a record by their headings. `title_of` gives the title of a legal basis, `name_of` the name of an agency.
    pub(crate) fn written(
        &self,
        header: &Header,
        body: &Map<String, Json>,
        title_of: &dyn Fn(&str) -> Option<String>,
        name_of: &dyn Fn(&str) -> Option<String>,
    ) -> BTreeMap<&str, String> {
        let mut cells = BTreeMap::new();
        for field in &self.fields {
            cells.extend(field.written(body));
        }
        if let Some(authority) = &self.authority {
            cells.insert(authority.column.as_str(), header.agency.value().to_owned());
            if let Some(name) = &authority.name {
                cells.insert(name, name_of(&header.agency.to_string()).unwrap_or_default());
            }
        }
        if let Some(column) = &self.legal_basis.column {
            let cited = body.get("basis_cited").and_then(|texts| texts.get(0)?.get("text")?.as_str());
            let basis = header.legal_basis.as_ref();
            let title = cited.map(str::to_owned).or_else(|| title_of(&basis?.id));
            cells.insert(column, title.unwrap_or_default());
        }
        if let (Some(columns), Some(subject)) = (&self.subject, body.get("subject")) {
            columns.written(subject, &mut cells);
        }
        cells
    }
}

impl SubjectColumns {
    fn written<'a>(&'a self, subject: &Json, cells: &mut BTreeMap<&'a str, String>) {
        let text = |name: &str| subject.get(name).and_then(Json::as_str).unwrap_or_default();
        cells.insert(&self.name, text("name").to_owned());
        let id = text("id");
        cells.insert(&self.code, id.strip_prefix("uscc:").unwrap_or(id).to_owned());
        if let Some(heading) = &self.kind {
            let spelling = self.kinds.iter().find(|(_, kind)| *kind == text("kind"));
            cells.insert(heading, spelling.map(|(spelling, _)| spelling.clone()).unwrap_or_default());
        }
        let others =
            subject.get("other_codes").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for (heading, scheme) in &self.other_codes {
            let code = others.iter().find(|one| one.get("scheme").and_then(Json::as_str) == Some(scheme));
            let value = code.and_then(|one| one.get("value")?.as_str()).unwrap_or_default();
            cells.insert(heading, value.to_owned());
        }
    }
}
