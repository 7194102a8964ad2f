//! `city receipt collect`: a folder with the receipt of every record's newest version.

use std::path::Path;

use chain_core::api::RecordView;
use chain_core::code::Code;
use serde_json::json;

use super::{Form, fetch, file_name, proved};
use crate::app::City;
use crate::commands::clerk::record;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::interrupt;
use crate::output::Shape;
use crate::progress::Progress;
use crate::proof_file::ProofFile;

const COLLECTED: Shape = Shape {
    schema: "receipts-collected",
    columns: &["dir", "records", "kept", "fetched"],
    id: "dir",
    empty: "",
};

pub(super) fn collect(
    city: &City,
    dir: &Path,
    agency: Option<String>,
    record_type: Option<String>,
) -> CliResult {
    let filters = record::filters(record_type, agency, None)?;
    let (client, genesis) = (city.client()?, city.genesis()?);
    files::make_dir(dir)?;
    let views = record::list(&client, &filters, usize::MAX)?.items;
    let mut progress = Progress::new("receipts", views.len() as u64);
    interrupt::install();
    let (mut kept, mut fetched) = (0_u64, 0_u64);
    for view in &views {
        let path = dir.join(file_name(&view.record, Form::Bundle));
        if is_newest(&path, view) {
            kept += 1;
        } else {
            let bytes = fetch(&client, &view.record, Some(view.version), Form::Bundle, city.manners.timeout)
                .map_err(|error| resume(error, dir))?;
            let judged = proved(&client, &genesis, &bytes)?;
            if judged.facts.record != view.record {
                let detail = format!("asked for {}, got a receipt of {}", view.record, judged.facts.record);
                return Err(CliError::new(Code::LeafMismatch, detail));
            }
            files::replace(&path, bytes)?;
            fetched += 1;
        }
        progress.set(kept + fetched, "");
        if interrupt::asked() {
            return Err(resume(CliError::new(Code::Interrupted, "what is there is whole"), dir));
        }
    }
    progress.finish("");
    let row = json!({ "dir": dir, "records": views.len(), "kept": kept, "fetched": fetched });
    city.out.list(COLLECTED, &[row])
}

/// Whether a file already is the receipt of a record's newest version. Whether it is true is judged whenever it is read.
fn is_newest(path: &Path, view: &RecordView) -> bool {
    let file = std::fs::read(path).ok().and_then(|bytes| ProofFile::parse(&bytes).ok());
    matches!(file, Some(ProofFile::Bundle(receipt))
        if receipt.record == view.record && receipt.inclusion.index == view.leaf_index)
}

fn resume(error: CliError, dir: &Path) -> CliError {
    error.hint(format!("go on where it stopped: city receipt collect {}", dir.display()))
}
