//! What docs/operate/backup.md promises, with real processes: backups are made while records are filed, and verify; a
//! validator that has lost everything comes back from one, catches up, and does not vote until it has new keys; what is not
//! a backup takes the place of nothing; and an erased body is in no backup that is made afterwards, nor comes back with one from before,
//! and one that stood in a vault opens in none.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use chain_core::code::Code;
use chain_core::id::RecordId;
use city_tests::cluster::canary::{canary, in_files, in_stores};
use city_tests::cluster::council::Council;
use city_tests::cluster::erase::{PATIENCE, body, file, officer_of, order, wait_confirmed};
use city_tests::cluster::load::{Load, assert_kept, under_load};
use city_tests::cluster::{Cluster, Node, done, http, said, wait_for};

/// The validator that is backed up.
const VICTIM: usize = 3;
/// The agency of one of the validators.
const MARKET: &str = "uscc:11320100MAXP23YC3L";
/// Backups made in a row while records are filed, unless `CITY_CYCLES` says how many.
const BACKUPS: usize = 4;

/// Gives a node a folder for backups; gives where it is.
fn shelf(node: &Node) -> PathBuf {
    let config = std::fs::read_to_string(&node.config).unwrap();
    std::fs::write(&node.config, format!("{config}[backup]\nfolder = \"backups\"\n")).unwrap();
    node.home.join("backups")
}

/// The names of backups, the oldest first.
fn names(shelf: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(shelf).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("20")).collect();
    names.sort();
    names
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn refused(output: &Output, status: i32, code: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", said(output));
    assert!(said(output).contains(code), "{code}: {}", said(output));
}

/// Runs `city-node` with words as they stand in the manual.
fn run(node: &Node, command: &str, words: &[&str]) -> Output {
    node.run_with(command, &words.iter().map(Path::new).collect::<Vec<_>>())
}

/// Waits until so many more records are acknowledged.
fn more(load: &Load, count: usize) {
    let wanted = load.count() + count;
    wait_for("records under way", PATIENCE, || (load.count() >= wanted).then_some(()));
}

fn stop(node: &mut Node) {
    node.terminate();
    assert!(node.ended_within(PATIENCE).expect("it stops").success(), "{}", node.name);
}

/// Every file of a backup, its manifest with them.
fn files(backup: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(backup).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Waits for what the metrics of a running node say of when the newest complete backup was begun, and the newest verified one.
fn newest(node: &Node, wanted: impl Fn(f64, f64) -> bool) {
    wait_for("the times of the newest backups among the metrics", PATIENCE, || {
        let samples = http::metrics(&node.url()).ok()?;
        let time = |which: &str| samples.get(&format!("city_backup_{which}_timestamp_seconds")).copied();
        let (complete, verified) = (time("complete")?, time("verified")?);
        (verified > 0.0 && wanted(complete, verified)).then_some(())
    });
}

#[test]
fn a_backup_made_under_load_brings_a_lost_validator_back_without_a_vote() {
    let mut cluster = Cluster::up();
    let started = Instant::now();
    let step = |what: &str| println!("{:6.1} s: {what}", started.elapsed().as_secs_f64());
    let count = std::env::var("CITY_CYCLES").ok().and_then(|count| count.parse().ok()).unwrap_or(BACKUPS);
    let shelf = shelf(&cluster.nodes[VICTIM]);
    let clerk = officer_of(&cluster, "clerk", None);
    // A batch that is large enough for a file of large values.
    let large: Vec<String> = (0..20).map(|at| format!("large-{at}")).collect();
    let mut acknowledged: Vec<String> =
        file(&cluster, &clerk, &large).iter().map(ToString::to_string).collect();
    let ((), filed) = under_load(&mut cluster, |cluster, load| {
        for number in 1..=count {
            more(load, 40);
            let victim = &cluster.nodes[VICTIM];
            // The last one as an agency does it who knows no other program.
            let config = victim.config.to_str().unwrap();
            let made = if number == count {
                cluster.city_command(&["backup", "create", "--config", config]).output().unwrap()
            } else {
                victim.run("backup create")
            };
            print!("{}", succeeded(&made));
            refused(&run(victim, "backup restore", &["newest", "--yes-it-will-not-vote"]), 6, "LOCK_HELD");
        }
        let verified = succeeded(&cluster.nodes[VICTIM].run("backup verify"));
        assert!(verified.contains("WHOLE: nothing is wrong"), "{verified}");
        more(load, 40);
    });
    acknowledged.extend(filed);
    let backups = names(&shelf);
    assert_eq!(backups.len(), count);
    let listed = succeeded(&cluster.nodes[VICTIM].run("backup list"));
    assert!(backups.iter().all(|name| listed.contains(name)) && !listed.contains("NOT COMPLETE"), "{listed}");
    let verified = succeeded(&run(&cluster.nodes[VICTIM], "backup verify", &["--all"]));
    assert!(verified.contains(&format!("{count} backups, 0 of them not whole")), "{verified}");
    assert!(cluster.nodes.iter().all(|node| node.status().is_some_and(|status| status.voting)));
    step("backups made under load, all whole");
    assert_kept(&cluster, &acknowledged);

    // Everything is lost but keys, configuration and the backups.
    cluster.nodes[VICTIM].kill();
    cluster.nodes[VICTIM].delete_data();
    let signed = cluster.nodes[VICTIM].recorded().len();
    nothing_else_is_put_back(&cluster, &shelf.join(&backups[count - 1]));
    step("what is no backup was refused");
    let restored = succeeded(&run(&cluster.nodes[VICTIM], "backup restore", &["newest"]));
    assert!(restored.contains("WITHOUT VOTING"), "{restored}");
    cluster.nodes[VICTIM].start();
    let agreed = cluster.wait_agreed();
    step("restored, and where the others are");
    assert_eq!(cluster.nodes[VICTIM].status().unwrap().exec_root, agreed.exec_root);
    // What an alert goes by, of a node that was started with its shelf: the newest backup was found damaged, so the newest
    // good one is an earlier one, until it is found whole again.
    newest(&cluster.nodes[VICTIM], |complete, verified| complete > verified);
    succeeded(&cluster.nodes[VICTIM].run("backup verify"));
    newest(&cluster.nodes[VICTIM], |complete, verified| complete == verified);
    let later: Vec<String> = (0..5).map(|at| format!("later-{at}")).collect();
    acknowledged.extend(file(&cluster, &clerk, &later).iter().map(ToString::to_string));
    assert_kept(&cluster, &acknowledged);

    // It does not vote, says why, and says so after another start, too.
    for _ in 0..2 {
        let status = wait_for("its word", PATIENCE, || cluster.nodes[VICTIM].status());
        let why = status.not_voting_because.expect("a reason");
        assert!(!status.voting && why.code == Code::SafetyLost, "{why}");
        assert!(why.detail.contains("holds no safety record"), "{why}");
        stop(&mut cluster.nodes[VICTIM]);
        let checked = succeeded(&cluster.nodes[VICTIM].run("fsck"));
        assert!(checked.contains("WHOLE: nothing is wrong"), "{checked}");
        cluster.nodes[VICTIM].start();
        cluster.wait_agreed();
    }
    assert_eq!(cluster.nodes[VICTIM].recorded().len(), signed, "it signed");
    cluster.assert_clean();
    step("it follows and signs nothing");

    // New keys bring the vote back; their node is filled from the same backup.
    let new = new_keys(&mut cluster, &shelf);
    // The others have no part with the old ones any more.
    let mut old = cluster.nodes.remove(VICTIM);
    stop(&mut old);
    assert_eq!(old.recorded().len(), signed, "it signed");
    // Of four, one that is away makes every other vote needed.
    cluster.nodes[1].kill();
    acknowledged.extend(file(&cluster, &clerk, &["after".to_owned()]).iter().map(ToString::to_string));
    assert!(cluster.nodes[new - 1].recorded().iter().any(|line| line.epoch == 1 && line.kind == "commit"));
    cluster.nodes[1].start();
    cluster.wait_agreed();
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
    step("it votes under new keys");

    // A follower has no vote to give up; one that votes must be told to, and can be backed up while it is stopped.
    let again = succeeded(&run(&old, "backup restore", &[&backups[0]]));
    assert!(again.contains("consensus-set-aside-1") && again.contains("ledger-set-aside-1"), "{again}");
    let voter = &mut cluster.nodes[0];
    stop(voter);
    let elsewhere = voter.home.join("elsewhere");
    let place = elsewhere.to_str().unwrap();
    refused(&voter.run("backup create"), 3, "CONFIG_INVALID");
    let inside = voter.data().join("backups");
    refused(&run(voter, "backup create", &["--to", inside.to_str().unwrap()]), 3, "CONFIG_INVALID");
    succeeded(&run(voter, "backup create", &["--to", place]));
    let kept = run(voter, "backup restore", &["newest", "--from", place]);
    refused(&kept, 4, "ALREADY_INITIALISED");
    assert!(said(&kept).contains("--yes-it-will-not-vote"), "{}", said(&kept));
    assert!(!voter.data().join("consensus-set-aside-1").exists());
    let given_up =
        succeeded(&run(voter, "backup restore", &["newest", "--from", place, "--yes-it-will-not-vote"]));
    assert!(given_up.contains("vault-set-aside-1") && given_up.contains("WITHOUT VOTING"), "{given_up}");
    succeeded(&voter.run("fsck"));

    let pruned = succeeded(&run(&old, "backup prune", &["--keep", "2"]));
    assert!(pruned.contains(&format!("{} backups removed", count - 2)), "{pruned}");
    assert_eq!(names(&shelf), backups[count - 2..]);
    step("done");
}

/// Gives the victim new keys in a second node; gives its position once it votes.
fn new_keys(cluster: &mut Cluster, shelf: &Path) -> usize {
    let council = Council::of(cluster);
    let name = cluster.nodes[VICTIM].name.clone();
    let keys = format!("{name}-2");
    let set = cluster.genesis.committee().validators();
    let agency = set.iter().find(|one| one.name == name).unwrap().agency.clone();
    let new = cluster.joiner(&name, &keys);
    let node = &cluster.nodes[new];
    let filled = succeeded(&run(node, "backup restore", &["newest", "--from", shelf.to_str().unwrap()]));
    assert!(filled.contains("the consensus key is fresh") && !filled.contains("WITHOUT"), "{filled}");
    let proof = council.prove(cluster, (&name, &keys), node.p2p_port, Some(&agency));
    council.decide(cluster, &["replace-key", &proof]);
    cluster.nodes[new].start();
    council.ready(cluster, &cluster.nodes[new]);
    wait_for("the new keys vote", PATIENCE, || {
        cluster.nodes[new].status().filter(|status| status.voting && status.epoch.get() == 1)
    });
    new
}

/// With the data directory gone, whatever is wrong with a backup keeps it from being put back.
fn nothing_else_is_put_back(cluster: &Cluster, backup: &Path) {
    let node = &cluster.nodes[VICTIM];
    let name = backup.file_name().unwrap().to_str().unwrap();
    let check = |what: &str| {
        for command in ["backup verify", "backup restore"] {
            let output = run(node, command, &[name]);
            assert_eq!(output.status.code(), Some(4), "{what}: {}", said(&output));
            assert!(said(&output).contains("BACKUP_INVALID"), "{what}: {}", said(&output));
        }
        for left in ["consensus", "ledger", "vault", "node.json", "restoring", "restored"] {
            assert!(!node.data().join(left).exists(), "{what}: {left}");
        }
    };
    let mut kinds = BTreeSet::new();
    for path in files(backup) {
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        match bytes.get_mut(middle) {
            Some(byte) => *byte ^= 1,
            None => bytes.push(0),
        }
        std::fs::write(&path, bytes).unwrap();
        check(&path.display().to_string());
        std::fs::write(&path, whole).unwrap();
        kinds.insert(path.extension().map(|ending| ending.to_string_lossy().into_owned()));
    }
    for kind in ["sst", "blob", "json"] {
        assert!(kinds.contains(&Some(kind.to_owned())), "{kinds:?}");
    }
    let current = backup.join("ledger/CURRENT");
    std::fs::rename(&current, backup.with_file_name("away")).unwrap();
    check("a missing file");
    std::fs::rename(backup.with_file_name("away"), &current).unwrap();
    std::fs::write(backup.join("consensus/999999.sst"), "added").unwrap();
    check("an added file");
    std::fs::remove_file(backup.join("consensus/999999.sst")).unwrap();
    let manifest = std::fs::read_to_string(backup.join("backup.json")).unwrap();
    std::fs::write(
        backup.join("backup.json"),
        manifest.replacen("\"ledger_height\": ", "\"ledger_height\": 1", 1),
    )
    .unwrap();
    check("a changed manifest");
    std::fs::write(backup.join("backup.json"), manifest).unwrap();

    // The same validators with the same keys, made a day later, are another chain.
    let text = std::fs::read_to_string(cluster.genesis_file()).unwrap();
    let created = text.lines().find(|line| line.starts_with("created")).unwrap();
    let other = cluster.genesis_file().with_file_name("other.toml");
    std::fs::write(&other, text.replace(created, "created = \"2025-01-01T00:00:00Z\"")).unwrap();
    let config = std::fs::read_to_string(&node.config).unwrap();
    std::fs::write(&node.config, config.replace("../genesis.toml", "../other.toml")).unwrap();
    for command in ["backup verify", "backup restore"] {
        refused(&run(node, command, &[name]), 3, "GENESIS_MISMATCH");
    }
    std::fs::write(&node.config, config).unwrap();
    refused(&run(node, "backup restore", &["20200101T000000Z-1"]), 1, "NOT_FOUND");
    refused(&run(node, "backup restore", &["../net"]), 2, "is no name of a backup");
}

#[test]
fn an_erased_body_is_in_no_later_backup_and_does_not_come_back_with_an_earlier_one() {
    let mut cluster = Cluster::up();
    let shelf = shelf(&cluster.nodes[VICTIM]);
    let clerk = officer_of(&cluster, "clerk", None);
    let privacy = officer_of(&cluster, "privacy_officer", Some(&clerk));
    let auditor = officer_of(&cluster, "auditor", None);
    let document: Vec<String> = (0..40).map(|at| format!("backup-{at}")).collect();
    let records = file(&cluster, &clerk, &document);
    let carried = |documents: &[String]| documents.iter().map(|one| canary(one)).collect::<BTreeSet<_>>();
    let (all, kept) = (carried(&document), carried(&document[20..]));
    cluster.wait_agreed();

    succeeded(&cluster.nodes[VICTIM].run("backup create"));
    order(&cluster, &privacy, &auditor, &records[..20]);
    let everybody: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    for record in [records[0], records[19]] {
        wait_confirmed(&cluster, record, &everybody);
    }
    succeeded(&cluster.nodes[VICTIM].run("backup create"));
    let [before, after] = &names(&shelf)[..] else { panic!("two backups") };
    let (old, fresh) = (shelf.join(before), shelf.join(after));
    assert_eq!(in_stores(&old), all, "the search finds");
    assert_eq!(in_files(&old), all, "the search finds in files");
    assert_eq!(in_stores(&fresh), kept, "keys and values of a fresh backup");
    assert_eq!(in_files(&fresh), kept, "files of a fresh backup");
    let verified = succeeded(&run(&cluster.nodes[VICTIM], "backup verify", &["--all"]));
    assert!(verified.contains("lack erased bodies"), "{verified}");

    // The old one is put back: it holds the bodies, serves none of them, and has none left in the end.
    cluster.nodes[VICTIM].kill();
    cluster.nodes[VICTIM].delete_data();
    succeeded(&run(&cluster.nodes[VICTIM], "backup restore", &[before]));
    assert_eq!(in_stores(&cluster.nodes[VICTIM].data()), all);
    cluster.nodes[VICTIM].start();
    let node = &cluster.nodes[VICTIM];
    wait_for("the restored one has caught up", PATIENCE, || {
        assert_eq!(body(&node.url(), records[0]), None, "served before it was erased");
        body(&node.url(), records[30])
    });
    wait_for("the restored one's files", PATIENCE, || {
        assert_eq!(body(&node.url(), records[0]), None);
        in_files(&node.data()).is_subset(&kept).then_some(())
    });
    cluster.wait_agreed();
    assert!(!cluster.nodes[VICTIM].status().unwrap().voting);
    stop(&mut cluster.nodes[VICTIM]);
    assert_eq!(in_stores(&cluster.nodes[VICTIM].data()), kept, "keys and values of the restored one");
    let checked = succeeded(&cluster.nodes[VICTIM].run("fsck"));
    assert!(checked.contains("lack erased bodies"), "{checked}");
    cluster.assert_clean();
}

/// Files a penalty against a person, which stands in the vault of the agency's node alone; gives its record.
fn person(cluster: &Cluster, number: u32) -> RecordId {
    let draft = serde_json::json!({
        "type": "credit.penalty", "agency": MARKET, "legal_basis": "cn-food-safety",
        "body": {
            "subject": { "kind": "person", "name": "张某" }, "decision_no": format!("示市监罚〔2026〕{number}号"),
            "violation_type": [{ "lang": "zh-Hans", "text": "无证经营食品" }],
            "facts": [{ "lang": "zh-Hans", "text": "当事人未取得许可。" }], "penalty_kinds": ["warning"],
            "content": [{ "lang": "zh-Hans", "text": "警告" }], "severity": "minor", "procedure": "summary",
            "hearing": "not_required", "decided_on": "2026-05-06",
        },
    });
    let path = cluster.dir().join(format!("person-{number}.json"));
    std::fs::write(&path, draft.to_string()).unwrap();
    let filed = done(&cluster.city(&["record", "submit", path.to_str().unwrap(), "-o", "json"]));
    cluster.wait_agreed();
    filed["items"][0]["record"].as_str().unwrap().parse().unwrap()
}

/// What a clerk of the agency is given who asks for the body of a record.
fn asked(cluster: &Cluster, record: RecordId) -> Output {
    let record = record.to_string();
    cluster.city(&["access", "read", &record, "--purpose", "a test", "--key", "market-regulation-clerk-1"])
}

#[test]
fn a_body_that_was_destroyed_in_a_vault_opens_in_no_earlier_backup() {
    let mut cluster = Cluster::up();
    let home = cluster.nodes.iter().position(|node| node.name == "market-regulation").unwrap();
    let shelf = shelf(&cluster.nodes[home]);
    stop(&mut cluster.nodes[home]);
    cluster.nodes[home].start();
    cluster.wait_one_voting(home);
    let [gone, kept] = [41, 42].map(|number| person(&cluster, number));
    for record in [gone, kept] {
        assert!(succeeded(&asked(&cluster, record)).contains("无证经营食品"));
    }
    let made = succeeded(&cluster.nodes[home].run("backup create"));
    assert!(made.contains("2 keys of bodies"), "{made}");

    // While somebody makes a backup the order is carried out, and the node does not say yet that nothing is left.
    let lock = shelf.join("lock");
    let mut maker = Command::new("flock").arg("--no-fork").arg(&lock).args(["sleep", "600"]).spawn().unwrap();
    let is_held =
        || !Command::new("flock").arg("--nonblock").arg(&lock).arg("true").status().unwrap().success();
    wait_for("the lock", PATIENCE, || is_held().then_some(()));
    let record = gone.to_string();
    done(&cluster.city(&["record", "erase", &record, "--ground", "unlawful", "--note", "x", "-o", "json"]));
    done(&cluster.city(&["record", "countersign", &record, "--role", "auditor", "-o", "json"]));
    let others: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let (all, mut others) = (others.clone(), others);
    others.retain(|name| *name != cluster.nodes[home].name);
    wait_confirmed(&cluster, gone, &others.iter().map(String::as_str).collect::<Vec<_>>());
    wait_for("the node's word that keys are left", PATIENCE, || {
        cluster.nodes[home].log().contains("keys of erased bodies stand beside the backups").then_some(())
    });
    assert!(!asked(&cluster, gone).status.success());
    maker.kill().unwrap();
    maker.wait().unwrap();
    wait_confirmed(&cluster, gone, &all.iter().map(String::as_str).collect::<Vec<_>>());

    // The disk is lost. With the backup from before the order comes back what was not erased.
    cluster.nodes[home].kill();
    cluster.nodes[home].delete_data();
    let restored = succeeded(&run(&cluster.nodes[home], "backup restore", &["newest"]));
    assert!(restored.contains("1 bodies of the vault were left out"), "{restored}");
    let checked = succeeded(&cluster.nodes[home].run("fsck"));
    assert!(checked.contains("each opened with a vault's key"), "{checked}");
    cluster.nodes[home].start();
    let given = wait_for("the body that was kept", PATIENCE, || {
        let given = asked(&cluster, kept);
        given.status.success().then(|| said(&given))
    });
    assert!(given.contains("无证经营食品"), "{given}");
    assert!(!asked(&cluster, gone).status.success());
}
