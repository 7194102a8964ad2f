//! Receipts of a running network in every form: collected by one command, verified by ours and by software of others.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chain_core::api::Stage;
use chain_core::checkpoint::SignedCheckpoint;
use chain_core::receipt::Receipt;
use chain_core::trust::TrustPolicy;
use city_tests::cluster::clerk::officers;
use city_tests::cluster::forger::another_log;
use city_tests::cluster::{Cluster, done, http, said, send, wait_for};
use city_tests::python::judges;
use city_tests::skip;
use serde_json::Value;

/// Records under one signature, and how often.
const FILED: (u32, u32) = (250, 4);
/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(cluster: &Cluster) {
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    for group in 0..FILED.1 {
        let one = |at: u32| {
            let (operation, body, _) =
                clerk.filing(&format!("receipt-{group}-{at}"), &at.to_string()).submit();
            (operation, body)
        };
        let submission = clerk.sign((0..FILED.0).map(one).collect());
        wait_for("the records are executed", PATIENCE, || {
            let sent = http::submit(&cluster.nodes[0].url(), &submission).ok();
            sent.filter(|status| status.stage == Stage::Executed)
        });
    }
}

/// Every bundle of a folder.
fn bundles(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Verdicts of a script of others about files.
fn foreign(script: &str, policy: &Path, files: &[PathBuf]) -> Option<Vec<String>> {
    let python = match judges() {
        Ok(python) => python,
        Err(why) => {
            skip("cluster_receipts::a_network_gives_receipts_that_everybody_can_check", &why);
            return None;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(script);
    let judged = Command::new(python).arg(script).arg("--policy").arg(policy).args(files).output().unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&judged.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), files.len(), "{}", String::from_utf8_lossy(&judged.stderr));
    Some(lines)
}

#[test]
fn a_network_gives_receipts_that_everybody_can_check() {
    let cluster = Cluster::up();
    file(&cluster);
    let folder = cluster.dir().join("kept");
    let collect = |cluster: &Cluster| {
        done(&cluster.city(&["receipt", "collect", &folder.to_string_lossy(), "-o", "json"]))
    };
    let first = collect(&cluster);
    let row = &first["items"][0];
    let count = row["records"].as_u64().unwrap();
    assert!(count >= u64::from(FILED.0 * FILED.1) && row["fetched"] == count, "{first}");
    let files = bundles(&folder);
    assert_eq!(files.len() as u64, count);
    // Nothing is fetched twice; what is missing or of an earlier version comes again.
    std::fs::remove_file(&files[7]).unwrap();
    let other = std::fs::read(&files[8]).unwrap();
    std::fs::write(&files[9], other).unwrap();
    let again = collect(&cluster);
    assert_eq!((&again["items"][0]["fetched"], &again["items"][0]["kept"]), (&2.into(), &(count - 2).into()));

    let policy_file = cluster.dir().join("trust-policy.txt");
    done(&cluster.city(&["trust", "export", "--out", &policy_file.to_string_lossy(), "-o", "json"]));
    forms(&cluster, &files[3], &policy_file);

    // Every one of them, in both forms that others read.
    let policy = TrustPolicy::from_genesis(&cluster.genesis);
    let elsewhere = cluster.dir().join("forms");
    std::fs::create_dir(&elsewhere).unwrap();
    let (mut text, mut cose) = (Vec::new(), Vec::new());
    for (at, path) in files.iter().take(1_000).enumerate() {
        let receipt = Receipt::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        receipt.verify(&policy, None).unwrap();
        assert_eq!(receipt.root_signatures.len(), receipt.validators.len());
        text.push(elsewhere.join(format!("{at}.tlog-proof")));
        std::fs::write(&text[at], receipt.tlog_proof().unwrap().to_text()).unwrap();
        cose.push(elsewhere.join(format!("{at}.cbor")));
        std::fs::write(&cose[at], receipt.cose(&policy).unwrap().to_bytes().unwrap()).unwrap();
    }
    for (script, files) in [("tlog_proof.py", &text), ("cose_receipt.py", &cose)] {
        let Some(verdicts) = foreign(script, &policy_file, files) else { continue };
        let accepted = verdicts.iter().filter(|verdict| verdict.starts_with("ok ")).count();
        assert_eq!(accepted, 1_000, "{script}: {}", verdicts[0]);
    }
    // The audit's report as a page for people.
    let report = cluster.dir().join("audit.html");
    done(&cluster.city(&[
        "audit",
        "chain",
        "--no-memory",
        "--report",
        &report.to_string_lossy(),
        "-o",
        "json",
    ]));
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("<td>PASS</td>") && html.contains("no gap, no fork"), "{html}");
    goes_on(&cluster);
    is_interrupted(&cluster);
    remembers(&cluster);
    let filed = files.iter().find_map(|path| {
        let receipt = Receipt::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        receipt.decoded.get("signed").map(|_| receipt.record.to_string())
    });
    let audited = done(&cluster.city(&["audit", "record", &filed.unwrap(), "-o", "json"]));
    assert_eq!(audited["steps"][0]["body"], "held, equal to its commitment", "{audited}");
    cluster.assert_clean();
}

/// An audit that is done in parts comes to the report of one that is not, and refuses what was altered or hidden.
fn goes_on(cluster: &Cluster) {
    let height = cluster.height();
    let state = cluster.dir().join("audit.state");
    let path = state.to_string_lossy().into_owned();
    let audit = |name: &str, to: u64, more: &[&str]| {
        let report = cluster.dir().join(name);
        let (report, to) = (report.to_string_lossy().into_owned(), to.to_string());
        let args = ["audit", "chain", "--no-memory", "--to", &to, "--report", &report, "-o", "json"];
        done(&cluster.city(&[&args[..], more].concat()));
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
        // What a checkpoint adds grows with the log, and time passes.
        for name in
            ["seconds", "records_per_second", "checkpoint", "checkpoint_root", "checkpoint_size", "cosigners"]
        {
            document.as_object_mut().unwrap().remove(name);
        }
        document
    };
    let whole = audit("whole.json", height, &[]);
    let parts: Vec<Value> = [height / 3, height / 2, height]
        .map(|to| audit("part.json", to, &["--state", &path, "--save-every", "1"]))
        .into();
    assert!(parts[0]["newest"].as_u64() < parts[2]["newest"].as_u64(), "{parts:#?}");
    assert_eq!(parts[2], whole);
    // Once more, with nothing new but what the network did meanwhile; and to the end, against the checkpoint.
    done(&cluster.city(&["audit", "chain", "--no-memory", "--state", &path, "-o", "json"]));
    let below = cluster.city(&["audit", "chain", "--no-memory", "--state", &path, "--to", "1"]);
    assert!(!below.status.success() && said(&below).contains("BAD_PARAMETER"), "{}", said(&below));
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, &bytes).unwrap();
    let altered = cluster.city(&["audit", "chain", "--no-memory", "--state", &path]);
    assert!(!altered.status.success() && said(&altered).contains("STORAGE_CORRUPT"), "{}", said(&altered));
}

/// Ctrl-C ends an audit with what it verified kept, and it goes on from there to the end.
fn is_interrupted(cluster: &Cluster) {
    let state = cluster.dir().join("interrupted.state");
    let path = state.to_string_lossy().into_owned();
    let args = ["audit", "chain", "--no-memory", "--state", &path, "-o", "json"];
    // How long a process takes until it catches signals, and this chain until it is verified, is anybody's guess.
    let interrupted = (1..40_u64).find_map(|step| {
        let child =
            cluster.city_command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 * step));
        send("INT", &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let kept = output.status.code() == Some(130) && state.exists();
        if !kept {
            let _ = std::fs::remove_file(&state);
        }
        kept.then(|| said(&output))
    });
    let words = interrupted.expect("none of 39 audits was interrupted while it verified");
    assert!(words.contains("are remembered; go on with: city audit chain --state"), "{words}");
    let whole = done(&cluster.city(&args));
    assert_eq!(whole["verdict"], "PASS", "{whole}");
}

/// An audit keeps the checkpoint that it saw, and another history is refused, even when a quorum signs it.
fn remembers(cluster: &Cluster) {
    done(&cluster.city(&["audit", "chain", "-o", "json"]));
    let folder = cluster.dir().join(".local/state/city/checkpoints");
    let kept = folder.join(format!("{}.note", cluster.genesis.chain_id()));
    let note = std::fs::read_to_string(&kept).unwrap();
    let size = SignedCheckpoint::parse(&note).unwrap().checkpoint.size;
    for another in [size, size - 1, size + 100_000] {
        let (_, signed) = another_log(cluster, another);
        std::fs::write(&kept, signed.to_text()).unwrap();
        let refused = cluster.city(&["audit", "chain", "-o", "json"]);
        assert_eq!(refused.status.code(), Some(12), "{another}: {}", said(&refused));
        assert!(said(&refused).contains("HISTORY_ALTERED"), "{another}: {}", said(&refused));
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), signed.to_text(), "what was seen stays");
    }
    std::fs::write(&kept, note).unwrap();
    done(&cluster.city(&["audit", "chain", "-o", "json"]));
}

/// One receipt through `city` in every form: fetched, converted, shown, verified; and a false one handed to no form.
fn forms(cluster: &Cluster, bundle: &Path, policy: &Path) {
    let named = |name: &str| cluster.dir().join(name).to_string_lossy().into_owned();
    let receipt = Receipt::parse(&std::fs::read_to_string(bundle).unwrap()).unwrap();
    let (record, bundle) = (receipt.record.to_string(), bundle.to_string_lossy().into_owned());
    let (text, cose, page) = (named("one.tlog-proof"), named("one.cbor"), named("one.html"));
    for (form, out) in [("tlog-proof", &text), ("cose", &cose), ("html", &page)] {
        done(&cluster.city(&["receipt", "convert", &bundle, "--to", form, "--out", out, "-o", "json"]));
    }
    let fetched = named("fetched.cbor");
    done(&cluster.city(&["receipt", "get", &record, "--form", "cose", "--out", &fetched, "-o", "json"]));
    let with_policy = policy.to_string_lossy();
    for trust in [&[][..], &["--trust", &with_policy]] {
        let asked =
            [&["receipt", "verify", &bundle, &text, &cose, &fetched, "-o", "json"][..], trust].concat();
        let verdicts = done(&cluster.city(&asked));
        let rows = verdicts["items"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["verdict"] == "VALID" && row["record"] == record), "{verdicts}");
        assert_eq!((&rows[0]["root"], &rows[0]["leaf"]), (&rows[2]["root"], &rows[2]["leaf"]));
    }
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains(&record) && !html.contains("<script"), "{html}");
    let shown = done(&cluster.city(&["receipt", "show", &cose, "-o", "json"]));
    assert_eq!(shown["record"], record);
    for file in [&bundle, &text, &cose] {
        let explained = cluster.city(&["receipt", "verify", file, "--explain"]);
        let said = said(&explained);
        assert!(
            explained.status.success() && said.contains("epoch 0: take the validators of the genesis"),
            "{said}"
        );
        assert!(said.contains("→ enough") && !said.contains("✘"), "{said}");
    }

    // The proof is judged before it is written anew, and a form that lacks something says so.
    let forged = named("forged.receipt.json");
    let version = Receipt { version: receipt.version + 1, ..receipt };
    std::fs::write(&forged, version.to_json()).unwrap();
    let refused = cluster.city(&["receipt", "convert", &forged, "--to", "cose"]);
    assert!(!refused.status.success() && said(&refused).contains("LEAF_MISMATCH"), "{}", said(&refused));
    let refused = cluster.city(&["receipt", "convert", &text, "--to", "cose"]);
    assert!(said(&refused).contains("is no JSON bundle"), "{}", said(&refused));
    let mut bytes = std::fs::read(&cose).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&cose, bytes).unwrap();
    let refused = cluster.city(&["receipt", "verify", &cose, "--explain"]);
    assert_eq!(refused.status.code(), Some(10), "{}", said(&refused));
    assert!(said(&refused).contains("wanted  a signature of this key"), "{}", said(&refused));
}
