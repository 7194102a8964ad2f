//! Erasure by processes: a thousand bodies go from every file of every node, also of one that was away, of one that joins
//! later and of one restored from a copy; everybody confirms, the chain still verifies, and a ledger can be rebuilt.

use std::collections::BTreeSet;
use std::path::Path;

use chain_core::id::RecordId;
use city_tests::cluster::canary::{canary, in_files, in_stores};
use city_tests::cluster::council::Council;
use city_tests::cluster::erase::{PATIENCE, body, certificate, file, officer_of, order, wait_confirmed};
use city_tests::cluster::{Cluster, Node, done, said, wait_for};

/// Records whose bodies are erased; one in `EVERY` stays.
const RECORDS: usize = 1_000;
const EVERY: usize = 10;

/// A stop in order: the stores are closed and may be read.
fn stop(node: &mut Node) {
    node.terminate();
    assert!(node.ended_within(PATIENCE).expect("it stops").success(), "{}", node.name);
}

fn check(folder: &Path, kept: &BTreeSet<String>, what: &str) {
    let found = in_files(folder);
    let left: Vec<_> = found.difference(kept).take(3).collect();
    assert!(left.is_empty(), "{what}: {left:?} of {} canaries in files", found.len());
}

#[test]
fn a_thousand_bodies_go_from_every_file_of_every_node() {
    let mut cluster = Cluster::up();
    let clerk = officer_of(&cluster, "clerk", None);
    let privacy = officer_of(&cluster, "privacy_officer", Some(&clerk));
    let auditor = officer_of(&cluster, "auditor", None);
    let names: Vec<String> = (0..RECORDS + RECORDS / EVERY).map(|at| format!("{at}")).collect();
    let records = file(&cluster, &clerk, &names);
    let kept: BTreeSet<String> = (0..names.len()).step_by(EVERY + 1).map(|at| canary(&names[at])).collect();
    let erased: Vec<usize> = (0..names.len()).filter(|at| at % (EVERY + 1) != 0).collect();
    assert_eq!((kept.len(), erased.len()), (RECORDS / EVERY, RECORDS));
    let all: BTreeSet<String> = names.iter().map(|name| canary(name)).collect();
    cluster.wait_agreed();
    assert_eq!(in_files(&cluster.nodes[0].data()).intersection(&all).count(), all.len(), "the search finds");
    let (first, control) = (records[erased[0]], records[0]);
    assert!(body(&cluster.nodes[1].url(), first).unwrap().contains(&canary(&names[erased[0]])));

    // One validator is away, with all bodies; another one's data directory is copied.
    cluster.nodes[3].kill();
    stop(&mut cluster.nodes[2]);
    let copy = cluster.nodes[2].copy_data("backup");
    cluster.nodes[2].start();
    cluster.wait_one_voting(2);

    let wanted: Vec<RecordId> = erased.iter().map(|at| records[*at]).collect();
    order(&cluster, &privacy, &auditor, &wanted);
    let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| cluster.nodes[at].name.clone());
    let last = records[*erased.last().unwrap()];
    for record in [first, last] {
        wait_confirmed(&cluster, record, &[&a, &b, &c]);
    }
    for node in &cluster.nodes[..3] {
        assert_eq!(body(&node.url(), first), None, "{}", node.name);
        assert!(body(&node.url(), control).unwrap().contains(&canary(&names[0])), "{}", node.name);
        check(&node.data(), &kept, &node.name);
        assert_eq!(in_files(&node.data()), kept, "{}: what was not erased is still there", node.name);
    }
    let decoded = certificate(&cluster, first);
    assert_eq!(decoded["confirmed"][0]["bodies"], 1, "{decoded}");
    assert_eq!(decoded["awaited"], serde_json::json!([d]));

    // The one that was away erases before it serves a body.
    cluster.nodes[3].start();
    let back = cluster.nodes[3].url();
    wait_for("the word of the one that was away", PATIENCE, || {
        assert_eq!(body(&back, first), None, "served before it was erased");
        certificate(&cluster, first)["awaited"].as_array().filter(|awaited| awaited.is_empty()).map(|_| ())
    });
    wait_confirmed(&cluster, last, &[&a, &b, &c, &d]);
    check(&cluster.nodes[3].data(), &kept, "the one that was away");
    assert!(body(&back, control).is_some());

    // A validator that joins later never gets them.
    let council = Council::of(&cluster);
    let fifth = cluster.join("harbour", "harbour");
    let proof = council.prove(&cluster, ("harbour", "harbour"), cluster.nodes[fifth].p2p_port, None);
    council.decide(&cluster, &["add", &proof]);
    cluster.nodes[fifth].start();
    council.ready(&cluster, &cluster.nodes[fifth]);
    cluster.wait_one_voting(fifth);
    let joined = cluster.nodes[fifth].url();
    assert_eq!(body(&joined, first), None);
    let served = wait_for("a body from the one that joined", PATIENCE, || body(&joined, control));
    assert!(served.contains(&canary(&names[0])));
    assert_eq!(in_files(&cluster.nodes[fifth].data()), kept, "the one that joined");

    // The chain verifies from genesis without them.
    let audit = done(&cluster.city(&["audit", "chain", "-o", "json", "--no-memory", "--timeout", "100s"]));
    let report = audit.get("item").unwrap_or(&audit);
    assert_eq!((&report["verdict"], &report["bodies_erased"]), (&"PASS".into(), &RECORDS.into()), "{report}");

    // A ledger that is lost is built again from what the node kept in their place.
    stop(&mut cluster.nodes[1]);
    assert_eq!(in_stores(&cluster.nodes[1].data()), kept, "keys and values of a stopped node");
    cluster.nodes[1].delete_ledger();
    cluster.nodes[1].start();
    cluster.wait_one_voting(1);
    cluster.wait_caught_up(1);
    cluster.wait_agreed();

    // A copy from before the erasure is put back: it serves none of the bodies, and they go.
    stop(&mut cluster.nodes[2]);
    assert_eq!(in_stores(&copy).len(), all.len(), "the copy has them all");
    cluster.nodes[2].restore_data(&copy, None);
    cluster.nodes[2].start();
    let restored = cluster.nodes[2].url();
    wait_for("the restored one has caught up", PATIENCE, || {
        assert_eq!(body(&restored, first), None, "served before it was erased");
        body(&restored, control)
    });
    wait_for("the restored one's files", PATIENCE, || {
        assert_eq!(body(&restored, first), None);
        in_files(&cluster.nodes[2].data()).is_subset(&kept).then_some(())
    });
    stop(&mut cluster.nodes[2]);
    assert_eq!(in_stores(&cluster.nodes[2].data()), kept, "keys and values of the restored one");
    assert!(!said(&cluster.city(&["record", "get", &first.to_string()])).contains("canary-"));
}

/// Steps of the eraser between which a process may die.
const POINTS: [&str; 4] = ["before-erase-write", "after-erase-write", "before-scrub", "after-scrub"];

#[test]
fn a_node_may_die_at_any_step_of_an_erasure_and_ends_it_when_it_is_back() {
    let mut cluster = Cluster::up();
    let clerk = officer_of(&cluster, "clerk", None);
    let privacy = officer_of(&cluster, "privacy_officer", Some(&clerk));
    let auditor = officer_of(&cluster, "auditor", None);
    let names: Vec<String> = POINTS.iter().map(|point| (*point).to_owned()).collect();
    let records = file(&cluster, &clerk, &names);
    cluster.wait_agreed();
    let all: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut gone = BTreeSet::new();
    for (point, record) in POINTS.iter().zip(records) {
        let carried = canary(point);
        // In order: what a kill undoes is done again, with the steps of the erasure before.
        stop(&mut cluster.nodes[3]);
        cluster.nodes[3].start_with(&[("CITY_CRASH_AT", &format!("{point}:1"))]);
        cluster.wait_caught_up(3);
        assert!(in_files(&cluster.nodes[3].data()).contains(&carried), "{point}: it was there");
        order(&cluster, &privacy, &auditor, &[record]);
        let died = cluster.nodes[3].ended_within(PATIENCE).expect("it dies");
        assert!(!died.success() && cluster.nodes[3].log().contains("crash hook"), "{point}: {died}");
        cluster.nodes[3].start();
        wait_confirmed(&cluster, record, &all);
        gone.insert(carried);
        let left = in_files(&cluster.nodes[3].data());
        assert!(left.is_disjoint(&gone), "{point}: {left:?}");
    }
    // What is left is whole without the bodies.
    stop(&mut cluster.nodes[3]);
    let checked = cluster.nodes[3].run("fsck");
    assert!(checked.status.success() && said(&checked).contains("lack erased bodies"), "{}", said(&checked));
}
