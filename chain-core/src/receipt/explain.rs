//! The hash steps of a receipt in plain words, for somebody who checks by hand.

use serde::Serialize;

use super::Receipt;
use crate::checkpoint::{Holds, hash_base64};
use crate::code::Refusal;
use crate::crypto::Digest;
use crate::merkle::{leaf_hash, node_hash};
use crate::trust::TrustPolicy;

/// One step that a reader can repeat with a pocket tool.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// What is done, in words.
    pub operation: String,
    /// What goes in; hashes in hexadecimal.
    pub inputs: Vec<String>,
    /// What comes out.
    pub output: String,
}

fn step(operation: impl Into<String>, inputs: Vec<String>, output: impl Into<String>) -> Step {
    Step { operation: operation.into(), inputs, output: output.into() }
}

impl Receipt {
    /// Every step from leaf to quorum, in order. The steps are computed, not judged: they end in the root
    /// that the leaf *leads to*, and say for each signature line whether it holds, so that a false receipt
    /// shows where it breaks. The verdict is [`Receipt::verify`]'s.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED` when leaf or checkpoint do not parse.
    pub fn explain(&self, policy: Option<&TrustPolicy>) -> Result<Vec<Step>, Refusal> {
        let leaf = self.leaf_bytes()?;
        let signed = self.signed_checkpoint()?;
        let mut steps = Vec::new();
        if let Some(body) = &self.body {
            steps.push(step(
                "SHA-256 over the text `cityledger/body/1`, the salt, the body's length in 8 bytes and the body: the commitment that the leaf must show",
                vec![format!("salt {}", body.salt), format!("body of {} bytes", body.json.len())],
                body.commitment().to_string(),
            ));
        }
        let mut hash = leaf_hash(&leaf);
        steps.push(step(
            "SHA-256 over a byte 00 and the leaf",
            vec![format!("leaf of {} bytes", leaf.len())],
            hash.to_string(),
        ));
        let (mut at, mut last) = (self.inclusion.index, self.inclusion.size.saturating_sub(1));
        for sibling in &self.inclusion.hashes {
            // A node that ends its level without a neighbour moves up as it is, until it has one on its left.
            while at == last && at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
            let (words, left, right): (_, Digest, Digest) = if at & 1 == 1 {
                ("SHA-256 over a byte 01, the hash on the left and ours", *sibling, hash)
            } else {
                ("SHA-256 over a byte 01, our hash and the one on the right", hash, *sibling)
            };
            hash = node_hash(&left, &right);
            steps.push(step(words, vec![left.to_string(), right.to_string()], hash.to_string()));
            at >>= 1;
            last >>= 1;
        }
        let checkpoint = &signed.checkpoint;
        let same = if hash == checkpoint.root { "equal" } else { "DIFFERENT" };
        steps.push(step(
            format!("compare with the root that the checkpoint states for {} leaves", checkpoint.size),
            vec![hash.to_string(), format!("{} (base64 {})", checkpoint.root, hash_base64(&checkpoint.root))],
            same,
        ));
        for line in &signed.lines {
            let known =
                policy.and_then(|policy| policy.logs().chain(policy.witnesses()).find(|key| key.owns(line)));
            let verdict = match known.map(|key| key.verify(checkpoint, line)) {
                None => "not judged: this key is not in the trust file".to_owned(),
                Some(None) => "DOES NOT HOLD".to_owned(),
                Some(Some(Holds::Log)) => "holds".to_owned(),
                Some(Some(Holds::Cosigned { time_s })) => {
                    format!("holds, signed {time_s} seconds after 1970")
                }
            };
            let operation = match line.cosignature() {
                Some(cosignature) => format!(
                    "Ed25519 over `cosignature/v1`, `time {}` and the checkpoint's three lines",
                    cosignature.time_s
                ),
                None => "Ed25519 over the checkpoint's three lines".to_owned(),
            };
            steps.push(step(operation, vec![format!("signature line of {}", line.name)], verdict));
        }
        if let Some((need, of)) = policy.and_then(TrustPolicy::threshold) {
            let cosigners = policy.map_or(0, |policy| {
                signed
                    .lines
                    .iter()
                    .filter(|line| {
                        policy.witnesses().any(|key| key.owns(line) && key.verify(checkpoint, line).is_some())
                    })
                    .count()
            });
            let verdict = if cosigners >= need { "enough" } else { "TOO FEW" };
            let inputs =
                vec![format!("{cosigners} validators cosigned"), format!("{need} of {of} are needed")];
            steps.push(step("count the validators whose cosignature holds", inputs, verdict));
        }
        Ok(steps)
    }
}
