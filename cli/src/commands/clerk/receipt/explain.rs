//! `city receipt verify --explain`: a receipt of whichever form, step by step.

use chain_core::receipt::Step;

use crate::proof_file::ProofFile;
use crate::trust::Trust;

/// The steps from whom the reader believes to the record, in words, up to the first that fails.
pub(super) fn explained(bytes: &[u8], trust: &Trust) -> Vec<String> {
    lines(&steps(bytes, trust))
}

fn steps(bytes: &[u8], trust: &Trust) -> Vec<Step> {
    let what = vec![format!("{} bytes", bytes.len())];
    let file = match ProofFile::parse(bytes) {
        Ok(file) => file,
        Err(refusal) => {
            let wanted = "a receipt: a JSON bundle, a C2SP tlog-proof or COSE receipts";
            return vec![Step::failed("read the file", what, refusal.detail, wanted)];
        }
    };
    let mut steps = vec![Step::held("read the file", what, file.form())];
    let policy = match trust.policy_of(&file) {
        Ok(policy) => policy,
        Err(error) => {
            steps.extend(trust.explain(file.epoch()));
            if steps.iter().all(|step| step.wanted.is_none()) {
                let wanted = error.code().hint();
                steps.push(Step::failed(
                    "find out whom to believe",
                    Vec::new(),
                    error.refusal.detail,
                    wanted,
                ));
            }
            return steps;
        }
    };
    steps.extend(trust.explain(policy.epoch()));
    steps.extend(file.explain(&policy));
    // What a leaf of the other forms says is read from the leaf itself; it must be one of ours.
    if steps.iter().all(|step| step.wanted.is_none())
        && let Err(error) = file.facts()
    {
        let wanted = "a leaf of a record";
        steps.push(Step::failed("decode the leaf", Vec::new(), error.refusal.detail, wanted));
    }
    steps
}

fn lines(steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, step) in (1..).zip(steps) {
        let mark = if step.wanted.is_none() { "" } else { "✘ " };
        lines.push(format!("  {number:>2}. {mark}{}", step.operation));
        lines.extend(step.inputs.iter().map(|input| format!("        {input}")));
        match &step.wanted {
            None => lines.push(format!("      → {}", step.output)),
            Some(wanted) => {
                lines.push(format!("      got     {}", step.output));
                lines.push(format!("      wanted  {wanted}"));
            }
        }
    }
    lines
}
