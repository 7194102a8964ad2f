//! A receipt as a page: what was recorded, who vouched for it, and every step that a reader can repeat.

use chain_core::receipt::Receipt;
use chain_core::trust::TrustPolicy;
use serde_json::Value;

use crate::error::{CliError, CliResult};
use crate::proof_file::Judged;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
th{text-align:left;vertical-align:top;padding-right:1rem;white-space:nowrap;font-weight:600}\
td,pre,code{overflow-wrap:anywhere}pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}\
@media print{pre{background:none;padding:0}}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}\
pre{background:#222}}";

/// The page; it needs no network, no script and nothing beside it.
pub(super) fn page(receipt: &Receipt, judged: &Judged, policy: &TrustPolicy) -> CliResult<String> {
    let verified = &judged.verified;
    let names: Vec<&str> = verified.cosigners.iter().map(|one| one.name.as_str()).collect();
    let facts = [
        ("Record", receipt.record.to_string()),
        ("Version", receipt.version.to_string()),
        ("Ledger", receipt.chain_id.to_string()),
        ("Position", format!("entry {} of {}", verified.index, verified.size)),
        ("Vouched for by", names.join(", ")),
        ("At", judged.time().unwrap_or_default()),
    ];
    let facts: String = facts
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(value)))
        .collect();
    let mut sections = section("What was recorded", &pretty(&receipt.decoded)?);
    if let Some(body) = &receipt.body {
        let json: Value = serde_json::from_str(&body.json).map_err(CliError::internal)?;
        sections.push_str(&section("Its content", &pretty(&json)?));
    }
    let steps: String = receipt
        .explain(Some(policy))?
        .iter()
        .map(|step| {
            let inputs: String =
                step.inputs.iter().map(|input| format!("<br><code>{}</code>", escape(input))).collect();
            let (operation, output) = (escape(&step.operation), escape(&step.output));
            format!("<li>{operation}{inputs}<br>gives <code>{output}</code></li>\n")
        })
        .collect();
    let bundle = section("The receipt itself, for software", &receipt.to_json());
    let title = format!("Receipt {}", receipt.record.to_string().get(..16).unwrap_or_default());
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>The proof was checked when this page was written. A page can be changed; to check again, save the text \
         under the last heading as <code>x.receipt.json</code> and run <code>city receipt verify x.receipt.json</code>, \
         or repeat the steps.</p>\n<table>\n{facts}</table>\n{sections}<h2>The proof, step by step</h2>\n<ol>\n{steps}</ol>\n\
         <h2>The checkpoint</h2>\n<pre>{}</pre>\n{bundle}</main>\n</body>\n</html>\n",
        escape(&receipt.checkpoint)
    ))
}

fn section(title: &str, text: &str) -> String {
    format!("<h2>{title}</h2>\n<pre>{}</pre>\n", escape(text))
}

fn pretty(value: &Value) -> CliResult<String> {
    serde_json::to_string_pretty(value).map_err(CliError::internal)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
