//! Whom a reader believes, kept in a file of the reader's own.
//!
//! Two forms. The C2SP trust policy names the validators of one epoch, for other people's tools. The trust store holds
//! the genesis and what ended each epoch since; every set in it is proved from the genesis again whenever it is read, so
//! the file itself need not be believed, and receipts of every epoch verify offline.

use std::path::{Path, PathBuf};

use chain_core::api::PassageView;
use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::Epoch;
use chain_core::receipt::Step;
use chain_core::trust::TrustPolicy;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;
use crate::proof_file::ProofFile;
use crate::sets::Sets;

/// Name and version of the store's form.
const SCHEMA: &str = "city/v1/trust";

/// The trust store as a file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustStore {
    schema: String,
    /// The genesis, TOML as it was signed.
    genesis: String,
    /// What ended epoch 0, 1, and so on.
    passages: Vec<PassageView>,
}

impl TrustStore {
    /// The genesis alone.
    pub(crate) fn new(genesis: String) -> Self {
        Self { schema: SCHEMA.to_owned(), genesis, passages: Vec::new() }
    }

    /// Where the store of a genesis stands unless another place is named.
    pub(crate) fn beside(genesis: &Path) -> PathBuf {
        genesis.with_extension("trust.json")
    }

    /// Reads a store; nothing in it is proved yet.
    pub(crate) fn read(path: &Path) -> CliResult<Self> {
        Self::parse(&files::read(path)?, path)
    }

    fn parse(text: &str, path: &Path) -> CliResult<Self> {
        let malformed = |detail: String| {
            CliError::new(Code::TrustMissing, format!("{}: no trust store: {detail}", path.display()))
                .hint("make one: city trust init")
        };
        let store: Self = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        match store.schema == SCHEMA {
            true => Ok(store),
            false => Err(malformed(format!("schema {:?}, wanted {SCHEMA:?}", store.schema))),
        }
    }

    /// Writes the store.
    pub(crate) fn write(&self, path: &Path) -> CliResult {
        files::replace(path, &serde_json::to_string(self).map_err(CliError::internal)?)
    }

    /// The genesis, and the sets that the passages prove from it.
    pub(crate) fn prove(&self) -> CliResult<(Genesis, Sets)> {
        let genesis = Genesis::parse(&self.genesis)?;
        let mut sets = Sets::of(&genesis);
        for passage in &self.passages {
            sets.take(passage.clone().into())?;
        }
        Ok((genesis, sets))
    }

    /// Adds what ended the newest epoch, once it is proved.
    pub(crate) fn add(&mut self, sets: &mut Sets, passage: PassageView) -> Result<(), Refusal> {
        sets.take(passage.clone().into())?;
        self.passages.push(passage);
        Ok(())
    }
}

/// Whom a command believes.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The validators of one epoch, or of one that the file does not name.
    Policy(TrustPolicy),
    /// The validators of every epoch that is proved.
    Sets(Sets),
}

impl Trust {
    /// Reads a trust file of either form.
    pub(crate) fn read(path: &Path) -> CliResult<Self> {
        let text = files::read(path)?;
        if text.trim_start().starts_with('{') {
            let (_, sets) = TrustStore::parse(&text, path)?.prove()?;
            return Ok(Self::Sets(sets));
        }
        Ok(Self::Policy(TrustPolicy::parse(&text)?))
    }

    /// The genesis with the store that stands beside it, if there is one for the same chain.
    pub(crate) fn of(genesis: &Genesis, path: &Path) -> CliResult<Self> {
        let beside = TrustStore::beside(path);
        if beside.exists() {
            let (other, sets) = TrustStore::read(&beside)?.prove()?;
            if other.chain_id() == genesis.chain_id() {
                return Ok(Self::Sets(sets));
            }
        }
        Ok(Self::Sets(Sets::of(genesis)))
    }

    /// Whom to believe about a proof of an epoch.
    pub(crate) fn policy(&self, epoch: Epoch) -> CliResult<TrustPolicy> {
        match self {
            Self::Policy(policy) => match policy.epoch() {
                Some(trusted) if trusted != epoch => Err(untrusted(format!(
                    "receipt of epoch {epoch}, the trust file names validators of {trusted}"
                ))),
                _ => Ok(policy.clone()),
            },
            Self::Sets(sets) => sets.policy(epoch).ok_or_else(|| {
                let newest = sets.newest().committee.epoch();
                untrusted(format!("receipt of epoch {epoch}, validators are known up to epoch {newest}"))
            }),
        }
    }

    /// How it comes that the validators of an epoch are believed, step by step; where the file names no epoch, those of
    /// the policy.
    pub(crate) fn explain(&self, epoch: Option<Epoch>) -> Vec<Step> {
        match (self, epoch) {
            (Self::Sets(sets), Some(epoch)) => sets.explain(epoch),
            (Self::Sets(sets), None) => sets.explain(sets.newest().committee.epoch()),
            (Self::Policy(policy), _) => {
                let names: Vec<&str> = policy.witnesses().map(|key| key.name.as_str()).collect();
                let need = policy.threshold().map(|(need, of)| format!(", {need} of {of}"));
                let operation = "take the validators whom the trust file names";
                let output = format!("{}{}", policy.origin(), need.unwrap_or_default());
                vec![Step::held(operation, vec![names.join(", ")], output)]
            }
        }
    }

    /// Whom to believe about a receipt. Only the bundle names its epoch; for the others it is the newest whose
    /// validators signed it.
    pub(crate) fn policy_of(&self, file: &ProofFile) -> CliResult<TrustPolicy> {
        if let Some(epoch) = file.epoch() {
            return self.policy(epoch);
        }
        match self {
            Self::Policy(policy) => Ok(policy.clone()),
            Self::Sets(sets) => {
                let signed = sets.policies().find(|policy| file.is_signed_by(policy));
                match signed.or_else(|| sets.policies().next()) {
                    Some(policy) => Ok(policy),
                    None => Err(untrusted("no validator is known".to_owned())),
                }
            }
        }
    }
}

fn untrusted(detail: String) -> CliError {
    CliError::new(Code::TrustMissing, detail)
        .hint("follow the hand-overs of the network once: city trust init, then city trust update")
}
