//! How things stood after a block, proved by running validators: with our command, offline, and with foreign software
//! that knows the public keys alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chain_core::api::Stage;
use city_tests::cluster::clerk::{Officer, officers, record_of};
use city_tests::cluster::{Cluster, done, http, said, wait_for};
use city_tests::python::judges;
use city_tests::skip;
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(cluster: &Cluster, clerk: &Officer, number: u32) -> (String, u64) {
    let url = cluster.nodes[0].url();
    let submission = clerk.file(&format!("state-{number}"), &number.to_string());
    let status = wait_for("a record is executed", PATIENCE, || {
        http::submit(&url, &submission).ok().filter(|status| status.stage == Stage::Executed)
    });
    (record_of(&status), status.height.unwrap().get())
}

/// Asks for a proof until its block is under a checkpoint; gives what the command says and where the proof is.
fn prove(cluster: &Cluster, entry: &str, at: Option<u64>, from: u64, name: &str) -> (Value, PathBuf) {
    let path = cluster.dir().join(name);
    let out = path.to_string_lossy().into_owned();
    let at = at.map(|at| at.to_string());
    let mut args = vec!["state", "prove", entry, "--out", &out, "-o", "json"];
    args.extend(at.iter().flat_map(|at| ["--at", at]));
    let said = wait_for("the block is under a checkpoint", PATIENCE, || {
        let said = done(&cluster.city(&args));
        let row = said["items"][0].clone();
        row["height"].as_u64().is_some_and(|height| height >= from).then_some(row)
    });
    (said, path)
}

#[test]
fn what_was_there_and_what_was_not_is_proved_and_checked_without_us() {
    let cluster = Cluster::up();
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let (first, at_first) = file(&cluster, &clerk, 1);
    let (second, at_second) = file(&cluster, &clerk, 2);
    assert!(at_first < at_second);
    let entry = format!("record:{second}");

    let (now, there) = prove(&cluster, &entry, None, at_second, "there.state-proof.json");
    assert_eq!((&now["there"], &now["status"]), (&true.into(), &"effective".into()), "{now}");
    let (then, absent) = prove(&cluster, &entry, Some(at_second - 1), at_first, "absent.state-proof.json");
    assert_eq!((&then["there"], &then["height"]), (&false.into(), &at_first.into()), "{then}");
    let old = format!("record:{first}");
    let (kept, earlier) = prove(&cluster, &old, Some(at_first), at_first, "earlier.state-proof.json");
    assert_eq!((&kept["there"], &kept["height"]), (&true.into(), &at_first.into()), "{kept}");
    let member = format!("member:{}", clerk.key.public());
    let (post, office) = prove(&cluster, &member, None, at_second, "office.state-proof.json");
    assert_eq!((&post["there"], &post["value"]["role"]), (&true.into(), &"clerk".into()), "{post}");
    let set = prove(&cluster, "epoch", None, at_second, "epoch.state-proof.json");
    assert_eq!(set.0["value"]["current"]["validators"].as_array().map(Vec::len), Some(4), "{}", set.0);

    let beyond = cluster.city(&["state", "prove", &entry, "--at", "999999"]);
    assert!(said(&beyond).contains("NOT_YET_EXECUTED"), "{}", said(&beyond));
    let nameless = cluster.city(&["state", "prove", "records"]);
    assert_eq!(nameless.status.code(), Some(2), "{}", said(&nameless));

    // Offline, from the files alone; a proof that says something else is refused.
    let good = [&there, &absent, &earlier, &office, &set.1].map(|path| path.to_string_lossy().into_owned());
    let genesis = cluster.genesis_file().to_string_lossy().into_owned();
    let verify = |files: &[String]| {
        let mut args = vec!["state", "verify", "--genesis", &genesis, "-o", "json"];
        args.extend(files.iter().map(String::as_str));
        cluster.city_command(&args).env("CITY_NODE", "http://127.0.0.1:9").output().unwrap()
    };
    assert_eq!(done(&verify(&good))["items"].as_array().map(Vec::len), Some(5));
    let mut forged: Value = serde_json::from_str(&std::fs::read_to_string(&there).unwrap()).unwrap();
    forged["value"] = Value::Null;
    forged["decoded"] = Value::Null;
    let lie = cluster.dir().join("lie.state-proof.json");
    std::fs::write(&lie, forged.to_string()).unwrap();
    let mut with_lie = good.to_vec();
    with_lie.insert(1, lie.to_string_lossy().into_owned());
    let refused = verify(&with_lie);
    assert!(said(&refused).contains("PROOF_INVALID") && !refused.status.success(), "{}", said(&refused));

    let policy = cluster.dir().join("trust-policy.txt");
    done(&cluster.city(&[
        "trust",
        "export",
        "--epoch",
        "0",
        "--out",
        &policy.to_string_lossy(),
        "-o",
        "json",
    ]));
    foreign(&policy, &with_lie);
}

/// The same files before software that is not ours.
fn foreign(policy: &Path, files: &[String]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
    let python = match judges() {
        Ok(python) => python,
        Err(why) => {
            return skip(
                "cluster_state::what_was_there_and_what_was_not_is_proved_and_checked_without_us",
                &why,
            );
        }
    };
    let script = folder.join("state_proof.py");
    let judged = Command::new(python).arg(script).arg("--policy").arg(policy).args(files).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let verdicts: Vec<&str> = said.lines().collect();
    let begins: Vec<&str> = verdicts.iter().map(|verdict| &verdict[..verdict.len().min(9)]).collect();
    let wanted = ["ok there ", "refused: ", "ok absent", "ok there ", "ok there ", "ok there "];
    assert_eq!(begins, wanted, "{said} {}", String::from_utf8_lossy(&judged.stderr));
}
