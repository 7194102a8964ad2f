//! `city subject`: all that is published about an organisation, with the proof that nothing is left out.

use std::path::{Path, PathBuf};

use chain_core::code::Refusal;
use chain_core::id::{Epoch, Height};
use chain_core::org::OrgId;
use chain_core::subject::proof::SubjectProof;
use chain_core::trust::TrustPolicy;
use clap::Subcommand;
use serde_json::{Value, json};

use super::proved::{Proof, Wanted, prove, verify};
use crate::app::City;
use crate::client::paths;
use crate::error::CliResult;
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
            let at = at.map(Height::new);
            let about = subject.to_string();
            let wanted = Wanted { path: paths::subject_proof(&about, at), about, at, out: out.as_deref() };
            prove::<SubjectProof>(city, SHOWN, &wanted)
        }
        SubjectCommand::Verify { files, trust } => {
            verify::<SubjectProof>(city, SHOWN, &files, trust.as_deref())
        }
    }
}

impl Proof for SubjectProof {
    fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn height(&self) -> Height {
        self.height
    }

    fn about(&self) -> String {
        self.subject.to_string()
    }

    fn row(&self, file: Option<&Path>, policy: &TrustPolicy) -> Result<Value, Refusal> {
        let complete = self.verify(policy)?;
        let names: Vec<&str> = complete.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
        let records: Vec<_> = self.records.iter().map(|one| one.record).collect();
        Ok(json!({
            "file": file,
            "verdict": "COMPLETE",
            "subject": self.subject,
            "count": records.len(),
            "height": complete.height,
            "cosigners": names,
            "records": records,
        }))
    }
}
