//! `city subject`: all that is published about an organisation, with the proof that nothing is left out.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::id::Height;
use chain_core::org::OrgId;
use chain_core::subject::proof::{Complete, SubjectProof};
use clap::Subcommand;
use serde_json::{Value, json};

use super::proved;
use crate::app::City;
use crate::client::paths;
use crate::error::{CliError, CliResult};
use crate::output::Shape;

/// Prove what is published about an organisation, and that nothing is left out
///
/// The proof names every record about the organisation that is in effect and in publication after a block, or shows
/// that there is none. Checking it needs the genesis or a trust file, and no network.
///
/// city subject prove uscc:91440300100012316L --out firm.subject-proof.json
///
/// city subject verify firm.subject-proof.json
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SubjectCommand {
    /// Fetch the proof about an organisation, verify it, and write it to a file
    Prove {
        /// The organisation, e.g. uscc:91440300100012316L
        subject: OrgId,
        /// After which block, in place of the newest that can be proved
        #[arg(long, value_name = "HEIGHT")]
        at: Option<u64>,
        /// File for the proof; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check proofs; nothing is fetched
    Verify {
        /// The proofs
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Trust file (`city trust`, or a C2SP policy), in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
}

const SHOWN: Shape = Shape {
    schema: "subject-verdicts",
    columns: &["file", "verdict", "subject", "count", "height", "cosigners", "records"],
    id: "subject",
    empty: "",
};

pub(crate) fn run(command: SubjectCommand, city: &City) -> CliResult {
    match command {
        SubjectCommand::Prove { subject, at, out } => {
            prove(city, &subject, at.map(Height::new), out.as_deref())
        }
        SubjectCommand::Verify { files, trust } => {
            proved::verify(city, SHOWN, &files, trust.as_deref(), |path, text, trust| {
                let proof = SubjectProof::parse(text)?;
                let complete = proof.verify(&trust.policy(proof.epoch)?)?;
                Ok(row(Some(path), &proof, &complete))
            })
        }
    }
}

fn prove(city: &City, subject: &OrgId, at: Option<Height>, out: Option<&Path>) -> CliResult {
    let client = city.client()?;
    let genesis = city.genesis()?;
    let text = proved::fetch(city, &client, &paths::subject_proof(&subject.to_string(), at))?;
    let proof = SubjectProof::parse(&text)?;
    let complete = proof.verify(&proved::policy_of(&client, &genesis, proof.epoch)?)?;
    if proof.subject != *subject || at.is_some_and(|at| proof.height > at) {
        let at = at.map_or_else(String::new, |at| format!(" after block {at}"));
        let detail =
            format!("asked for {subject}{at}, the node gave {} after block {}", proof.subject, proof.height);
        return Err(CliError::new(Code::ProofInvalid, detail));
    }
    match proved::write(city, out, &text)? {
        true => Ok(()),
        false => city.out.list(SHOWN, &[row(out, &proof, &complete)]),
    }
}

fn row(path: Option<&Path>, proof: &SubjectProof, complete: &Complete) -> Value {
    let names: Vec<&str> = complete.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
    let records: Vec<_> = proof.records.iter().map(|one| one.record).collect();
    json!({
        "file": path,
        "verdict": "COMPLETE",
        "subject": proof.subject,
        "count": records.len(),
        "height": complete.height,
        "cosigners": names,
        "records": records,
    })
}
