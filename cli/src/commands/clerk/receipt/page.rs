//! A receipt as a page: what was recorded, who vouched for it, and every step that a reader can repeat.

use chain_core::receipt::Receipt;
use chain_core::trust::TrustPolicy;
use serde_json::Value;

use crate::error::{CliError, CliResult};
use crate::html::{self, escape, section};
use crate::proof_file::Judged;

const HOW: &str = "<p>The proof was checked when this page was written. A page can be changed; to check again, save the \
text under the last heading as <code>x.receipt.json</code> and run <code>city receipt verify x.receipt.json</code>, or \
repeat the steps.</p>\n";

/// The page.
pub(super) fn page(receipt: &Receipt, judged: &Judged, policy: &TrustPolicy) -> CliResult<String> {
    let verified = &judged.verified;
    let names: Vec<&str> = verified.cosigners.iter().map(|one| one.name.as_str()).collect();
    let mut content = HOW.to_owned();
    content.push_str(&html::table(&[
        ("Record", receipt.record.to_string()),
        ("Version", receipt.version.to_string()),
        ("Ledger", receipt.chain_id.to_string()),
        ("Position", format!("entry {} of {}", verified.index, verified.size)),
        ("Vouched for by", names.join(", ")),
        ("At", judged.time().unwrap_or_default()),
    ]));
    content.push_str(&section("What was recorded", &pretty(&receipt.decoded)?));
    if let Some(body) = &receipt.body {
        let json: Value = serde_json::from_str(&body.json).map_err(CliError::internal)?;
        content.push_str(&section("Its content", &pretty(&json)?));
    }
    content.push_str("<h2>The proof, step by step</h2>\n<ol>\n");
    for step in receipt.explain(policy, Some(&judged.facts)) {
        content.push_str(&format!("<li>{}", escape(&step.operation)));
        for input in &step.inputs {
            content.push_str(&format!("<br><code>{}</code>", escape(input)));
        }
        content.push_str(&format!("<br>gives <code>{}</code></li>\n", escape(&step.output)));
    }
    content.push_str("</ol>\n");
    content.push_str(&section("The checkpoint", &receipt.checkpoint));
    content.push_str(&section("The receipt itself, for software", &receipt.to_json()));
    let title = format!("Receipt {}", receipt.record.to_string().get(..16).unwrap_or_default());
    Ok(html::page(&title, &content))
}

fn pretty(value: &Value) -> CliResult<String> {
    serde_json::to_string_pretty(value).map_err(CliError::internal)
}
