//! A receipt step by step in plain words, for somebody who checks by hand.
//!
//! Every form is explained: each hash with what goes in and what comes out, each signature with its key. The steps are
//! those of the verdict, in its order, and end with the first that fails, which says what it got and what was wanted.

use serde::Serialize;

use super::{Content, CoseReceipt, LeafFacts, Receipt, SCHEMA, TlogProof};
use crate::checkpoint::{Checkpoint, Holds, SignedCheckpoint, hash_base64};
use crate::cose::{RootSignature, RootStatement};
use crate::crypto::{Digest, Signable as _};
use crate::date::Date;
use crate::merkle::path::PATH_MAX;
use crate::merkle::{leaf_hash, node_hash, root_of};
use crate::proof::InclusionPath;
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
    /// What should have come out, where the step fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

impl Step {
    /// A step that holds.
    pub fn held(operation: impl Into<String>, inputs: Vec<String>, output: impl Into<String>) -> Self {
        Self { operation: operation.into(), inputs, output: output.into(), wanted: None }
    }

    /// A step that fails.
    pub fn failed(
        operation: impl Into<String>,
        inputs: Vec<String>,
        output: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self { wanted: Some(wanted.into()), ..Self::held(operation, inputs, output) }
    }
}

/// The steps so far. What fails gives `None`, and nothing follows it.
#[derive(Debug, Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn held(&mut self, operation: impl Into<String>, inputs: Vec<String>, output: impl Into<String>) {
        self.0.push(Step::held(operation, inputs, output));
    }

    /// A comparison: fails where something else was wanted.
    fn compared(
        &mut self,
        operation: impl Into<String>,
        inputs: Vec<String>,
        output: impl Into<String>,
        wanted: Option<String>,
    ) -> Option<()> {
        let holds = wanted.is_none();
        self.0.push(Step { operation: operation.into(), inputs, output: output.into(), wanted });
        holds.then_some(())
    }
}

impl Receipt {
    /// Every step of [`Receipt::verify`], up to the first that fails.
    pub fn explain(&self, policy: &TrustPolicy, facts: Option<&LeafFacts>) -> Vec<Step> {
        let mut steps = Steps::default();
        let _ = self.explain_to(&mut steps, policy, facts);
        steps.0
    }

    fn explain_to(&self, steps: &mut Steps, policy: &TrustPolicy, facts: Option<&LeafFacts>) -> Option<()> {
        if self.schema != SCHEMA {
            let wanted = Some(SCHEMA.to_owned());
            steps.compared("read the name of the form", Vec::new(), self.schema.clone(), wanted)?;
        }
        let said = format!("chain {}, validators of epoch {}", self.chain_id, self.epoch);
        let trusted = policy.check_chain(&self.chain_id, self.epoch).err().map(|refusal| refusal.detail);
        let operation = "compare the chain and the epoch that the receipt names with those that are trusted";
        let output = if trusted.is_none() { "the same" } else { "not those" };
        steps.compared(operation, vec![said], output, trusted)?;
        let read = self.leaf_bytes().and_then(|leaf| Ok((leaf, self.signed_checkpoint()?)));
        let (leaf, signed) = match read {
            Ok(read) => read,
            Err(refusal) => {
                let wanted = Some("a leaf in base64 and a C2SP note".to_owned());
                steps.compared("read leaf and checkpoint", Vec::new(), refusal.detail, wanted)?;
                return None;
            }
        };
        let (of_path, of_checkpoint) = (self.inclusion.size, signed.checkpoint.size);
        steps.compared(
            "compare how many leaves the path is for with the checkpoint",
            vec![format!("path: {of_path} leaves"), format!("checkpoint: {of_checkpoint} leaves")],
            if of_path == of_checkpoint { "equal" } else { "different" },
            (of_path != of_checkpoint).then(|| format!("a path for {of_checkpoint} leaves")),
        )?;
        steps.inclusion(&leaf, &self.inclusion, &signed.checkpoint)?;
        steps.note(&signed, policy)?;
        let cosigners = policy.verify(&signed).ok()?;
        let names: Vec<&str> = cosigners.iter().map(|one| one.name.as_str()).collect();
        let same = names.iter().eq(self.validators.iter());
        steps.compared(
            "compare the validators whom the receipt names with those who cosigned",
            vec![self.validators.join(", ")],
            names.join(", "),
            (!same).then(|| self.validators.join(", ")),
        )?;
        if !self.root_signatures.is_empty() {
            match self.roots(&cosigners, policy) {
                Ok(roots) => steps.roots(&signed.checkpoint, &roots, policy)?,
                Err(refusal) => {
                    let wanted = Some(format!("{} signatures for COSE", cosigners.len()));
                    steps.compared("read the signatures for COSE", Vec::new(), refusal.detail, wanted)?;
                }
            }
        }
        facts.map_or(Some(()), |facts| self.explain_content(steps, facts))
    }

    /// What the bundle shows beside the leaf.
    fn explain_content(&self, steps: &mut Steps, facts: &LeafFacts) -> Option<()> {
        let shown =
            |record: &dyn std::fmt::Display, version: u32| format!("record {record}, version {version}");
        let (got, want) = (shown(&self.record, self.version), shown(&facts.record, facts.version));
        let differs = got != want;
        let operation = "decode the leaf and compare record and version with those that the receipt shows";
        steps.compared(operation, vec![got.clone()], got, differs.then_some(want))?;
        let differs = self.decoded != facts.decoded;
        let output = if differs { "different" } else { "equal" };
        let wanted = differs.then(|| facts.decoded.to_string());
        steps.compared(
            "compare the decoded leaf with the one that the receipt shows",
            Vec::new(),
            output,
            wanted,
        )?;
        let Some(body) = &self.body else { return Some(()) };
        let commitment = body.commitment();
        let wanted = match self.check_content(facts) {
            Ok(Content::LeafAndBody) => None,
            _ => Some(facts.body_commit.map_or_else(|| "no body".to_owned(), |commit| commit.to_string())),
        };
        steps.compared(
            "SHA-256 over the text `cityledger/body/1`, the salt, the body's length in 8 bytes and the body: the commitment that the leaf must show",
            vec![format!("salt {}", body.salt), format!("body of {} bytes", body.json.len())],
            commitment.to_string(),
            wanted,
        )
    }
}

impl TlogProof {
    /// Every step of [`TlogProof::verify`] with the leaf of the extra data, up to the first that fails.
    pub fn explain(&self, policy: &TrustPolicy) -> Vec<Step> {
        let mut steps = Steps::default();
        let _ = self.explain_to(&mut steps, policy);
        steps.0
    }

    fn explain_to(&self, steps: &mut Steps, policy: &TrustPolicy) -> Option<()> {
        let Some(leaf) = self.extra.as_deref() else {
            let wanted = Some("the leaf as extra data".to_owned());
            return steps.compared("take the leaf from the extra data", Vec::new(), "no extra data", wanted);
        };
        steps.inclusion(leaf, &self.inclusion(), &self.checkpoint.checkpoint)?;
        steps.note(&self.checkpoint, policy)
    }
}

impl CoseReceipt {
    /// Every step of [`CoseReceipt::verify`], up to the first that fails.
    pub fn explain(&self, policy: &TrustPolicy) -> Vec<Step> {
        let mut steps = Steps::default();
        let _ = self.explain_to(&mut steps, policy);
        steps.0
    }

    fn explain_to(&self, steps: &mut Steps, policy: &TrustPolicy) -> Option<()> {
        let root = steps.path(&self.leaf, &self.path)?;
        let size = self.path.size;
        steps.held(
            "take it as the payload that the messages leave out: the root of the tree, by RFC 9162",
            vec![format!("inclusion proof (vdp 396, -1): size {size}, index {}", self.path.index)],
            root.to_string(),
        );
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root };
        steps.origin(&checkpoint, policy)?;
        steps.roots(&checkpoint, &self.signatures, policy)?;
        let mut held: Vec<&str> = self.signatures.iter().map(|one| one.cosigner.as_str()).collect();
        held.retain(|name| policy.witnesses().any(|key| key.name == *name));
        steps.count(held.len(), policy, policy.verify_roots(&checkpoint, &self.signatures).is_ok())
    }
}

impl Steps {
    /// From the leaf up, hash by hash; the root that it leads to.
    fn path(&mut self, leaf: &[u8], path: &InclusionPath) -> Option<Digest> {
        let mut hash = leaf_hash(leaf);
        let bytes = vec![format!("leaf of {} bytes", leaf.len())];
        self.held("SHA-256 over a byte 00 and the leaf", bytes, hash.to_string());
        let InclusionPath { index, size, hashes } = path;
        if hashes.len() > PATH_MAX || root_of(&hash, path).is_none() {
            let got = format!("{} hashes", hashes.len());
            let wanted = match path_length(*index, *size) {
                Some(length) => format!("{length} hashes"),
                None => format!("a place below {size}"),
            };
            let inputs = vec![format!("leaf {index} of {size}")];
            self.compared(
                "see that the path has the length that place and size give",
                inputs,
                got,
                Some(wanted),
            )?;
        }
        let (mut at, mut last) = (*index, size.saturating_sub(1));
        for sibling in hashes {
            // A node that ends its level without a neighbour moves up as it is, until it has one on its left.
            while at == last && at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
            let (words, left, right) = if at & 1 == 1 {
                ("SHA-256 over a byte 01, the hash on the left and ours", *sibling, hash)
            } else {
                ("SHA-256 over a byte 01, our hash and the one on the right", hash, *sibling)
            };
            hash = node_hash(&left, &right);
            self.held(words, vec![left.to_string(), right.to_string()], hash.to_string());
            at >>= 1;
            last >>= 1;
        }
        Some(hash)
    }

    /// From the leaf to the root that a checkpoint states.
    fn inclusion(&mut self, leaf: &[u8], path: &InclusionPath, checkpoint: &Checkpoint) -> Option<()> {
        let hash = self.path(leaf, path)?;
        let root = &checkpoint.root;
        let stated = format!("{root} (base64 {})", hash_base64(root));
        self.compared(
            format!("compare with the root that the checkpoint states for {} leaves", checkpoint.size),
            vec![hash.to_string(), stated],
            if hash == *root { "equal" } else { "different" },
            (hash != *root).then(|| root.to_string()),
        )
    }

    fn origin(&mut self, checkpoint: &Checkpoint, policy: &TrustPolicy) -> Option<()> {
        let same = checkpoint.origin == policy.origin();
        self.compared(
            "compare the log's name with the one that is trusted",
            vec![format!("trusted: {}", policy.origin())],
            checkpoint.origin.clone(),
            (!same).then(|| policy.origin().to_owned()),
        )
    }

    /// The signature lines of a note, and whether they are enough.
    fn note(&mut self, signed: &SignedCheckpoint, policy: &TrustPolicy) -> Option<()> {
        let checkpoint = &signed.checkpoint;
        self.origin(checkpoint, policy)?;
        let (mut logs, mut cosigned) = (0_usize, 0_usize);
        for (place, line) in signed.lines.iter().enumerate() {
            let operation = match line.cosignature() {
                Some(cosignature) => format!(
                    "Ed25519 over `cosignature/v1`, `time {}` and the checkpoint's three lines",
                    cosignature.time_s
                ),
                None => "Ed25519 over the checkpoint's three lines".to_owned(),
            };
            let mut inputs = vec![format!("signature line of {}, key id {}", line.name, hex(&line.key_id))];
            let Some(key) = policy.logs().chain(policy.witnesses()).find(|key| key.owns(line)) else {
                self.held(operation, inputs, "not judged: this key is not in the trust file");
                continue;
            };
            inputs.push(format!("public key {}", key.key));
            if signed.lines[..place].iter().any(|other| key.owns(other)) {
                let wanted = Some("one line of each key".to_owned());
                return self.compared(operation, inputs, "a second line of the same key", wanted);
            }
            match key.verify(checkpoint, line) {
                None => self.compared(
                    operation,
                    inputs,
                    "does not hold",
                    Some("a signature of this key".to_owned()),
                )?,
                Some(Holds::Log) => {
                    logs += 1;
                    self.held(operation, inputs, "holds: the log's own line");
                }
                Some(Holds::Cosigned { time_s }) => {
                    cosigned += 1;
                    self.held(operation, inputs, format!("holds: cosigned at {}", utc(time_s)));
                }
            }
        }
        self.compared(
            "find a line of a log that is trusted",
            Vec::new(),
            format!("{logs} found"),
            (logs == 0).then(|| "one at least".to_owned()),
        )?;
        self.count(cosigned, policy, policy.verify(signed).is_ok())
    }

    fn count(&mut self, cosigned: usize, policy: &TrustPolicy, enough: bool) -> Option<()> {
        let needed = match policy.threshold() {
            Some((need, of)) => format!("{need} of {of} are needed"),
            None => "the trust file's groups say who is needed".to_owned(),
        };
        let output = if enough { "enough" } else { "too few" };
        let inputs = vec![format!("{cosigned} signed"), needed.clone()];
        let operation = "count the validators whose signature holds";
        self.compared(operation, inputs, output, (!enough).then_some(needed))
    }

    /// The signatures for COSE, one message each.
    fn roots(
        &mut self,
        checkpoint: &Checkpoint,
        signatures: &[RootSignature],
        policy: &TrustPolicy,
    ) -> Option<()> {
        for (place, one) in signatures.iter().enumerate() {
            let key = policy.witnesses().find(|key| key.name == one.cosigner && key.key_id() == one.key_id);
            let statement =
                RootStatement { checkpoint, cosigner: &one.cosigner, key_id: one.key_id, time_s: one.time_s };
            let preimage = statement.preimage();
            self.held(
                format!("write down what {} signs: the Sig_structure of RFC 9052", one.cosigner),
                vec![
                    "context Signature1".to_owned(),
                    format!(
                        "protected header: alg (1) EdDSA, kid (4) {}, vds (395) RFC9162_SHA256",
                        hex(&one.key_id)
                    ),
                    format!(
                        "its CWT claims (15): iss {}, sub {}, iat {} ({}), tree_size {}",
                        one.cosigner,
                        checkpoint.origin,
                        one.time_s,
                        utc(one.time_s),
                        checkpoint.size
                    ),
                    format!("payload: the root {}", checkpoint.root),
                ],
                format!("{} bytes, SHA-256 {}", preimage.len(), Digest::tagged(&[], &[&preimage])),
            );
            let operation = "Ed25519 over the Sig_structure";
            let Some(key) = key else {
                let inputs = vec![format!("signer {}, kid {}", one.cosigner, hex(&one.key_id))];
                self.held(operation, inputs, "not judged: this key is not in the trust file");
                continue;
            };
            let inputs = vec![format!("signer {}, public key {}", one.cosigner, key.key)];
            if signatures[..place]
                .iter()
                .any(|other| other.cosigner == one.cosigner && other.key_id == one.key_id)
            {
                let wanted = Some("one message of each key".to_owned());
                return self.compared(operation, inputs, "a second message of the same key", wanted);
            }
            let holds = key.key.verify(&statement, &one.signature);
            self.compared(
                operation,
                inputs,
                if holds { "holds" } else { "does not hold" },
                (!holds).then(|| "a signature of this key".to_owned()),
            )?;
        }
        Some(())
    }
}

/// How many hashes lead from a leaf to the root; none where the tree has no such leaf.
fn path_length(index: u64, size: u64) -> Option<u32> {
    let (mut at, mut last) = (index, size.checked_sub(1).filter(|last| index <= *last)?);
    let mut length = 0;
    while last > 0 {
        // The last node of a level has no neighbour where it stands on the left.
        length += u32::from(at & 1 == 1 || at != last);
        at >>= 1;
        last >>= 1;
    }
    Some(length)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A second since 1970 as RFC 3339 in UTC.
fn utc(time_s: u64) -> String {
    let of_day = time_s % 86_400;
    let day = Date::of_time(time_s.saturating_mul(1000), 0);
    format!("{day}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
