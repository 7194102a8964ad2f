//! The record log as files, from a running network: whole or not at all, checked again by every later run and by software
//! that is not ours; the log of later begins with that of before; two nodes are found to have the same ledger.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use chain_core::api::Stage;
use city_tests::cluster::clerk::{Officer, officers};
use city_tests::cluster::{Cluster, done, http, said, wait_for};
use city_tests::python::judges;
use city_tests::skip;
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files so many records under one signature, and waits until they are under a checkpoint.
fn file(cluster: &Cluster, clerk: &Officer, name: &str, count: u32) {
    let operations = (0..count)
        .map(|at| {
            let (operation, body, _) = clerk.filing(&format!("{name}-{at}"), &at.to_string()).submit();
            (operation, body)
        })
        .collect();
    let submission = clerk.sign(operations);
    let status = wait_for("the records are executed", PATIENCE, || {
        let sent = http::submit(&cluster.nodes[0].url(), &submission).ok();
        sent.filter(|status| status.stage == Stage::Executed)
    });
    let height = status.height.unwrap().get();
    wait_for("the block is under a checkpoint", PATIENCE, || {
        let proved = cluster.city(&["state", "prove", "epoch", "-o", "json"]);
        let row = &serde_json::from_slice::<Value>(&proved.stdout).ok()?["items"][0];
        (row["height"].as_u64()? >= height).then_some(())
    });
}

fn mirror(cluster: &Cluster, folder: &Path) -> Output {
    cluster.city(&["export", "tiles", "--out", &folder.to_string_lossy(), "-o", "json"])
}

fn item(output: &Output) -> Value {
    let said = done(output);
    said.get("item").unwrap_or(&said).clone()
}

/// Every file of a folder, relative, ascending.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_mirror_is_whole_or_not_there_and_grows_with_the_log() {
    let cluster = Cluster::up();
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let folder = cluster.dir().join("mirror");
    file(&cluster, &clerk, "first", 10);
    let first = item(&mirror(&cluster, &folder));
    let early = std::fs::read_to_string(folder.join("checkpoint")).unwrap();
    let since = cluster.dir().join("early.note");
    std::fs::write(&since, &early).unwrap();

    // It grows over the edge of a full tile; what was there is kept, and no partial tile is left behind.
    file(&cluster, &clerk, "second", 600);
    let second = item(&mirror(&cluster, &folder));
    let size = second["size"].as_u64().unwrap();
    assert!(size > first["size"].as_u64().unwrap() + 600, "{first} {second}");
    let partial = |path: &PathBuf| path.to_string_lossy().contains(".p/");
    let (levels, edge) = (2, !size.is_multiple_of(256));
    assert_eq!(
        files(&folder).into_iter().filter(partial).count(),
        levels + usize::from(edge),
        "{:?}",
        files(&folder)
    );
    let third = item(&mirror(&cluster, &folder));
    assert_eq!((&third["fetched"], &third["kept"]), (&0.into(), &size.div_ceil(256).into()), "{third}");

    let policy = cluster.dir().join("trust-policy.txt");
    done(&cluster.city(&["trust", "export", "--out", &policy.to_string_lossy(), "-o", "json"]));
    let verdict = foreign(&policy, &folder);
    assert!(
        verdict.as_deref().is_none_or(|said| said.starts_with(&format!("ok {size} leaves"))),
        "{verdict:?}"
    );

    // Any changed byte is found, by the next run and by others; a file that is missing is fetched.
    for path in files(&folder).iter().filter(|path| path.starts_with("tile")) {
        let place = folder.join(path);
        let good = std::fs::read(&place).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        std::fs::write(&place, &bad).unwrap();
        let refused = mirror(&cluster, &folder);
        assert!(!refused.status.success(), "{}: {}", path.display(), said(&refused));
        assert!(said(&refused).contains("PROOF_INVALID"), "{}: {}", path.display(), said(&refused));
        std::fs::write(&place, &good).unwrap();
    }
    std::fs::remove_file(folder.join("tile/entries/000")).unwrap();
    let again = item(&mirror(&cluster, &folder));
    assert_eq!(again["fetched"], 1, "{again}");
    let verdict = foreign(&policy, &folder);
    assert!(verdict.as_deref().is_none_or(|said| said.starts_with("ok ")), "{verdict:?}");

    // A checkpoint of the mirror that the log does not continue.
    let newest = std::fs::read_to_string(folder.join("checkpoint")).unwrap();
    let mut lines: Vec<&str> = early.lines().collect();
    let root = newest.lines().nth(2).unwrap();
    lines[2] = root;
    std::fs::write(folder.join("checkpoint"), lines.join("\n") + "\n").unwrap();
    let refused = mirror(&cluster, &folder);
    assert!(!refused.status.success() && said(&refused).contains("HISTORY_ALTERED"), "{}", said(&refused));
    std::fs::write(folder.join("checkpoint"), &newest).unwrap();

    consistency(&cluster, &since, &early);
    let urls = [cluster.nodes[0].url(), cluster.nodes[2].url()];
    let same = item(&cluster.city(&["audit", "compare", &urls[0], &urls[1], "-o", "json"]));
    assert_eq!(same["verdict"], "SAME", "{same}");
    cluster.wait_agreed();
    cluster.assert_clean();
}

/// The log of today begins with that of the early checkpoint; a checkpoint that was changed is no comparison.
fn consistency(cluster: &Cluster, since: &Path, early: &str) {
    let check = |path: &Path| {
        cluster.city(&[
            "audit",
            "consistency",
            "--since",
            &path.to_string_lossy(),
            "--no-memory",
            "-o",
            "json",
        ])
    };
    let good = item(&check(since));
    assert_eq!(good["verdict"], "CONSISTENT", "{good}");
    assert!(good["hashes"].as_u64().unwrap() > 0, "{good}");
    let forged = cluster.dir().join("forged.note");
    let mut lines: Vec<String> = early.lines().map(str::to_owned).collect();
    lines[1] = (lines[1].parse::<u64>().unwrap() - 1).to_string();
    std::fs::write(&forged, lines.join("\n") + "\n").unwrap();
    let refused = check(&forged);
    assert!(!refused.status.success() && said(&refused).contains("PROOF_INVALID"), "{}", said(&refused));
    let absent = check(&cluster.dir().join("absent.note"));
    assert!(!absent.status.success() && said(&absent).contains("FILE_NOT_FOUND"), "{}", said(&absent));
}

/// What software that is not ours says of the mirror.
fn foreign(policy: &Path, mirror: &Path) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
    match judges() {
        Ok(python) => {
            let script = folder.join("mirror.py");
            let judged = Command::new(python)
                .arg("-B")
                .arg(script)
                .arg("--policy")
                .arg(policy)
                .arg(mirror)
                .output()
                .unwrap();
            Some(said(&judged))
        }
        Err(why) => {
            skip("cluster_mirror::a_mirror_is_whole_or_not_there_and_grows_with_the_log", &why);
            None
        }
    }
}
