//! An act of recovery as a file: JSON that people read before they sign it.

use serde::{Deserialize, Serialize};

use super::{RecoveryAct, RecoverySignature, SignedRecovery};
use crate::code::{Code, Refusal};

/// Name and version of the file's form.
pub const ACT_SCHEMA: &str = "city/recovery-act/v1";
/// Longest file, bytes.
pub const ACT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ActFile {
    schema: String,
    act: RecoveryAct,
    #[serde(default)]
    signatures: Vec<RecoverySignature>,
}

impl SignedRecovery {
    /// Reads an act's file; says nothing yet of whether the act binds anybody.
    ///
    /// # Errors
    /// `RECOVERY_INVALID` when the text is none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let invalid = |detail: String| Refusal::new(Code::RecoveryInvalid, detail);
        if text.len() > ACT_BYTES_MAX {
            return Err(invalid(format!("{} bytes, at most {ACT_BYTES_MAX}", text.len())));
        }
        let file: ActFile =
            serde_json::from_str(text).map_err(|error| invalid(format!("no act of recovery: {error}")))?;
        if file.schema != ACT_SCHEMA {
            return Err(invalid(format!("schema {:?}, wants {ACT_SCHEMA}", file.schema)));
        }
        Ok(Self { act: file.act, signatures: file.signatures })
    }

    /// The act as [`Self::parse`] reads it.
    pub fn to_json(&self) -> String {
        let file = ActFile {
            schema: ACT_SCHEMA.to_owned(),
            act: self.act.clone(),
            signatures: self.signatures.clone(),
        };
        #[expect(clippy::expect_used, reason = "texts, integers and lists are all that an act holds")]
        let text = serde_json::to_string_pretty(&file).expect("an act has a JSON form");
        text + "\n"
    }
}
