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

#[cfg(test)]
mod tests {
    use chain_core::crypto::Digest;
    use chain_core::receipt::Receipt;

    use super::*;
    use crate::commands::auditor::audit::sample::Chain;

    /// A receipt of the second epoch, and the trust that leads there.
    fn receipt() -> (Trust, Receipt) {
        let chain = Chain::two_epochs(false);
        let last = chain.ledger.leaves().iter().rposition(|leaf| leaf.record.is_some()).unwrap();
        (Trust::Sets(chain.sets.clone()), chain.receipt(last, &[0, 2, 3]))
    }

    fn policy(trust: &Trust) -> chain_core::trust::TrustPolicy {
        trust.policy(chain_core::id::Epoch::new(1)).unwrap()
    }

    #[test]
    fn every_form_is_told_as_it_was_reviewed_good_and_bad() {
        let (trust, good) = receipt();
        let cose = good.cose(&policy(&trust)).unwrap();
        let mut bad = good.clone();
        bad.inclusion.hashes[1] = Digest::ZERO;
        let mut bad_text = good.tlog_proof().unwrap();
        bad_text.checkpoint.lines[2].blob[40] ^= 1;
        let mut bad_cose = cose.clone();
        bad_cose.signatures.pop();
        let reviewed = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/clerk/receipt/explained");
            std::fs::read_to_string(format!("{folder}/{name}.txt")).unwrap()
        };
        let mut differing = String::new();
        for (name, bytes) in [
            ("bundle", good.to_json().into_bytes()),
            ("text", good.tlog_proof().unwrap().to_text().into_bytes()),
            ("cose", cose.to_bytes().unwrap()),
            ("bundle-bad", bad.to_json().into_bytes()),
            ("text-bad", bad_text.to_text().into_bytes()),
            ("cose-bad", bad_cose.to_bytes().unwrap()),
        ] {
            let told = explained(&bytes, &trust).join("\n") + "\n";
            if told != reviewed(name) {
                differing.push_str(&format!("=== {name}\n{told}"));
            }
            let verdict = ProofFile::parse(&bytes).unwrap().judge(&policy(&trust));
            assert_eq!(verdict.is_err(), name.ends_with("-bad"), "{name}");
        }
        assert!(differing.is_empty(), "told otherwise than reviewed:\n{differing}=== end");
    }

    #[test]
    fn what_is_no_receipt_or_of_an_unknown_epoch_is_told_too() {
        let (trust, good) = receipt();
        let none = explained(b"nonsense", &trust);
        assert!(none[0].contains("✘ read the file") && none[3].contains("wanted  a receipt"), "{none:#?}");
        let Trust::Sets(sets) = &trust else { panic!("a store") };
        let first = sets.explain(chain_core::id::Epoch::ZERO);
        assert_eq!(first.len(), 1);
        let later = Receipt { epoch: chain_core::id::Epoch::new(2), ..good };
        let told = explained(later.to_json().as_bytes(), &trust).join("\n");
        assert!(told.contains("got     validators are known up to epoch 1"), "{told}");
        assert!(told.ends_with("wanted  what ended epoch 1: city trust update"), "{told}");
    }
}
