//! `city receipt convert`: a bundle in the forms that other people read.

use std::path::Path;

use chain_core::code::Code;

use super::{Target, page};
use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;
use crate::proof_file::ProofFile;

const CONVERTED: Shape =
    Shape { schema: "receipt-converted", columns: &["file", "form"], id: "file", empty: "" };

pub(super) fn convert(
    city: &City,
    path: &Path,
    to: Target,
    out: Option<&Path>,
    trust: Option<&Path>,
) -> CliResult {
    let file = ProofFile::parse(&files::read_bytes(path)?)?;
    let policy = city.trust(trust)?.policy_of(&file)?;
    // What does not hold is not handed on in another coat.
    let judged = file.judge(&policy)?;
    let ProofFile::Bundle(receipt) = &file else {
        let detail = format!("{} is no JSON bundle and lacks what other forms need", path.display());
        return Err(CliError::new(Code::ReceiptMalformed, detail)
            .hint(format!("fetch the bundle: city receipt get {}", judged.facts.record)));
    };
    let (bytes, form, extension) = match to {
        Target::TlogProof => (receipt.tlog_proof()?.to_text().into_bytes(), "tlog-proof", "tlog-proof"),
        Target::Cose => (receipt.cose(&policy)?.to_bytes()?, "cose", "receipt.cbor"),
        Target::Html => (page::page(receipt, &judged, &policy)?.into_bytes(), "html", "html"),
    };
    let beside = match path.to_string_lossy().strip_suffix(".receipt.json") {
        Some(stem) => format!("{stem}.{extension}").into(),
        None => path.with_extension(extension),
    };
    let target = out.unwrap_or(&beside);
    if target.as_os_str() == "-" {
        return city.out.data(bytes);
    }
    files::replace(target, bytes)?;
    city.out.list(CONVERTED, &[serde_json::json!({ "file": target, "form": form })])
}
