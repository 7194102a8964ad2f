//! `city receipt verify`: files against whom the reader believes.

use std::path::{Path, PathBuf};

use chain_core::code::Refusal;
use chain_core::receipt::Content;
use serde_json::{Value, json};

use super::explain::explained;
use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::{Format, Shape};
use crate::proof_file::{Judged, ProofFile};

const VERDICT: Shape = Shape {
    schema: "receipt-verdicts",
    columns: &["file", "verdict", "record", "leaf", "log_size", "cosigners", "time", "content"],
    id: "file",
    empty: "",
};

pub(super) fn verify(city: &City, paths: &[PathBuf], trust: Option<&Path>, explain: bool) -> CliResult {
    let trust = city.trust(trust)?;
    let mut rows = Vec::new();
    let mut worst: Option<CliError> = None;
    for path in paths {
        // One file that cannot be read or explained does not keep the others from their verdict.
        let judged = files::read_bytes(path).and_then(|bytes| {
            if explain {
                explained(&bytes, &trust).iter().for_each(|line| city.out.say(line));
            }
            let file = ProofFile::parse(&bytes)?;
            file.judge(&trust.policy_of(&file)?)
        });
        match judged {
            Ok(judged) => rows.push(good(path, &judged)),
            Err(error) => {
                city.out.say(format!("  {} {}", city.out.paint("✘", "31"), error.refusal));
                let verdict = if rank(&error) > 1 { "INVALID" } else { "UNKNOWN" };
                rows.push(json!({ "file": path, "verdict": verdict, "code": error.code().name() }));
                let worse = worst.as_ref().is_none_or(|worst| rank(&error) > rank(worst));
                if worse {
                    let named = error.refusal.detail.starts_with(&path.display().to_string());
                    let detail = match named {
                        true => error.refusal.detail.clone(),
                        false => format!("{}: {}", path.display(), error.refusal.detail),
                    };
                    worst = Some(CliError { refusal: Refusal::new(error.code(), detail), ..error });
                }
            }
        }
    }
    if city.out.format() == Format::Table && worst.is_none() {
        city.out.say("  VALID. Nothing was fetched from the network.");
    }
    city.out.list(VERDICT, &rows)?;
    worst.map_or(Ok(()), Err)
}

/// A false proof is worse than one that cannot be judged.
fn rank(error: &CliError) -> u8 {
    match error.exit {
        crate::exit::Exit::Tampered => 3,
        crate::exit::Exit::Invalid => 2,
        _ => 1,
    }
}

fn good(path: &Path, judged: &Judged) -> Value {
    let verified = &judged.verified;
    let names: Vec<&str> = verified.cosigners.iter().map(|one| one.name.as_str()).collect();
    let content = match verified.content {
        Content::NotChecked => "leaf in the log",
        Content::Leaf => "header",
        Content::LeafAndBody => "header and body",
    };
    json!({
        "file": path,
        "verdict": "VALID",
        "record": judged.facts.record,
        "version": judged.facts.version,
        "leaf": verified.index,
        "log_size": verified.size,
        "root": verified.root,
        "cosigners": names,
        "time": judged.time(),
        "content": content,
    })
}
