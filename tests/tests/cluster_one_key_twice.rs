//! One validator's keys in two places: a copied data directory started as a second node, and an old copy put back. No
//! second signature leaves, and everybody concerned names what is the matter, with a code.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::api::{Condition, Why};
use chain_core::code::Code;
use city_tests::cluster::load::{Load, assert_kept, under_load};
use city_tests::cluster::{Cluster, Node, PATIENCE, http, judge, wait_for};

/// Whose keys there are twice. Not the first: `city` asks that one first.
const VICTIM: usize = 2;

/// The network with records under way, and a copy of the victim's data directory that is older than what it has
/// signed since. Everything that was acknowledged must be there at the end.
fn with_old_copy(story: impl FnOnce(&mut Cluster, &Load, &std::path::Path)) {
    let mut cluster = Cluster::up();
    let ((), acknowledged) = under_load(&mut cluster, |cluster, load| {
        more(load, 20);
        cluster.nodes[VICTIM].kill();
        let copy = cluster.nodes[VICTIM].copy_data("copy");
        cluster.nodes[VICTIM].start();
        cluster.wait_caught_up(VICTIM);
        // The copy is an old one only when something was signed since.
        let batches = |node: &Node| node.recorded().iter().filter(|line| line.kind == "batch").count();
        let copied = batches(&cluster.nodes[VICTIM]);
        let newer = || (batches(&cluster.nodes[VICTIM]) > copied).then_some(());
        wait_for("a batch that the copy does not know", PATIENCE, newer);
        story(cluster, load, &copy);
    });
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
}

/// Waits for so many acknowledged records more.
fn more(load: &Load, count: usize) {
    let wanted = load.count() + count;
    wait_for("more records", PATIENCE, || (load.count() >= wanted).then_some(()));
}

/// Waits until a node's diagnosis has a wanted look.
#[track_caller]
fn why(node: &Node, what: &str, wanted: impl Fn(&Why) -> bool) -> Why {
    let why = wait_for(&format!("{}: {what}", node.name), PATIENCE, || node.why().filter(|why| wanted(why)));
    println!("{what}: {}\n  next: {}", why.verdict, why.next);
    why
}

/// Waits until a node calls the victim this, with this code.
#[track_caller]
fn calls_victim(node: &Node, victim: &str, what: &str, state: Condition, code: Code) -> Why {
    why(node, what, |why| {
        why.validators.iter().any(|one| one.name == victim && one.state == state && one.code == Some(code))
    })
}

/// What `city node why` prints about a node.
fn printed(cluster: &Cluster, node: &Node) -> String {
    let output = cluster.city(&["node", "why", "--node", &node.url()]);
    String::from_utf8(output.stdout).unwrap()
}

/// Nobody was accused of signing twice.
fn assert_no_evidence(cluster: &Cluster) {
    for node in &cluster.nodes {
        let evidence: serde_json::Value = http::get(&format!("{}/v1/evidence", node.url())).unwrap();
        assert_eq!(evidence["items"].as_array().map(Vec::len), Some(0), "{}: {evidence}", node.name);
    }
}

/// What two processes with one key signed, taken together, is what one honest validator signs.
fn assert_signed_once(first: &Node, second: &Node) {
    let mut lines = first.recorded();
    let alone = lines.len();
    lines.extend(second.recorded());
    println!("the first signed {alone} statements, the second {}", lines.len() - alone);
    assert_eq!(judge::double(&lines), None);
}

#[test]
fn a_copied_data_directory_started_as_a_second_node_signs_nothing_and_both_are_told() {
    with_old_copy(|cluster, load, copy| {
        let victim = cluster.nodes[VICTIM].name.clone();
        more(load, 20);
        let mut second = cluster.second_node(VICTIM, copy);
        second.start();
        let (taken, stranger) = (Code::KeyInTwoPlaces, Condition::Stranger);
        for at in (0..4).filter(|at| *at != VICTIM) {
            calls_victim(&cluster.nodes[at], &victim, "another validator says", stranger, taken);
        }
        calls_victim(&cluster.nodes[VICTIM], &victim, "the first says", stranger, taken);
        let why = calls_victim(&second, &victim, "the second says", stranger, taken);
        assert!(!why.progress && why.verdict.contains("another process has its keys"), "{why:?}");
        let status = second.status().unwrap();
        assert!(!status.voting);
        assert_eq!(status.not_voting_because.map(|refusal| refusal.code), Some(taken));
        // In the log, and for whoever asks with `city`.
        for (node, words) in [
            (&cluster.nodes[VICTIM], "a second process has the keys of this validator"),
            (&cluster.nodes[0], "a second process has the keys of a validator"),
            (&second, "it is connected with another process that has this node's keys"),
        ] {
            let line = wait_for(words, PATIENCE, || {
                node.log().lines().find(|line| line.contains(words)).map(str::to_owned)
            });
            assert!(line.contains(taken.name()), "{line}");
        }
        for node in [&cluster.nodes[VICTIM], &second] {
            let said = printed(cluster, node);
            assert!(said.contains(taken.name()) && said.contains("keys"), "{said}");
        }
        // The first is not disturbed: it votes, and the others have its votes.
        let signed = cluster.nodes[VICTIM].recorded().len();
        more(load, 50);
        assert!(cluster.nodes[VICTIM].recorded().len() > signed, "the first still votes");
        assert!(second.recorded().is_empty(), "the second signed {:?}", second.recorded());
        // When the first is gone, the second is let in, shown what the first signed, and follows for good.
        cluster.nodes[VICTIM].kill();
        let lost = Code::SafetyLost;
        calls_victim(&second, &victim, "the second, alone, says", Condition::Refusing, lost);
        calls_victim(&cluster.nodes[0], &victim, "another validator says of it", Condition::Refusing, lost);
        assert!(second.log().contains(lost.name()) && printed(cluster, &second).contains(lost.name()));
        more(load, 20);
        assert!(second.recorded().is_empty(), "the second signed {:?}", second.recorded());
        second.kill();
        cluster.nodes[VICTIM].start();
        cluster.wait_caught_up(VICTIM);
        assert_signed_once(&cluster.nodes[VICTIM], &second);
        assert_no_evidence(cluster);
    });
}

#[test]
fn two_processes_that_start_at_once_from_one_record_do_not_both_sign() {
    let mut cluster = Cluster::up();
    let ((), acknowledged) = under_load(&mut cluster, |cluster, load| {
        let victim = cluster.nodes[VICTIM].name.clone();
        more(load, 20);
        cluster.nodes[VICTIM].kill();
        let copy = cluster.nodes[VICTIM].copy_data("copy");
        let mut second = cluster.second_node(VICTIM, &copy);
        cluster.nodes[VICTIM].start();
        second.start();
        let voting = |node: &Node| node.status().is_some_and(|status| status.voting);
        wait_for("one of the two to vote", PATIENCE, || {
            (voting(&cluster.nodes[VICTIM]) || voting(&second)).then_some(())
        });
        // Whichever comes first to a peer keeps the other out there.
        for node in [&cluster.nodes[VICTIM], &second] {
            why(node, "one of the two says", |why| {
                let own = why.validators.iter().find(|one| one.name == victim);
                own.is_some_and(|own| matches!(own.code, Some(Code::KeyInTwoPlaces | Code::SafetyLost)))
            });
        }
        more(load, 50);
        assert_signed_once(&cluster.nodes[VICTIM], &second);
        assert_no_evidence(cluster);
        second.kill();
    });
    wait_for("everybody at one height", PATIENCE, || {
        let all = cluster.statuses();
        (all.len() == 4 && all.iter().all(|one| one.executed == all[0].executed)).then_some(())
    });
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
}

/// An old copy of the data directory, or of its consensus store alone, is put in the place of the newer one.
fn put_back(part: Option<&str>, reason: &str) {
    with_old_copy(|cluster, load, copy| {
        let victim = cluster.nodes[VICTIM].name.clone();
        more(load, 20);
        cluster.nodes[VICTIM].kill();
        let signed = cluster.nodes[VICTIM].recorded().len();
        cluster.nodes[VICTIM].restore_data(copy, part);
        cluster.nodes[VICTIM].start();
        let lost = Code::SafetyLost;
        for node in &cluster.nodes {
            calls_victim(node, &victim, "said", Condition::Refusing, lost);
        }
        let node = &cluster.nodes[VICTIM];
        let status = node.status().unwrap();
        let because = status.not_voting_because.unwrap().detail;
        assert!(!status.voting && because.contains(reason), "{because}");
        assert!(node.log().contains(lost.name()), "the log names the code");
        let said = printed(cluster, node);
        assert!(said.contains(lost.name()) && said.contains(reason), "{said}");
        // It goes on as a follower, and stays one after a restart.
        more(load, 20);
        cluster.nodes[VICTIM].kill();
        cluster.nodes[VICTIM].start();
        calls_victim(&cluster.nodes[0], &victim, "after a restart", Condition::Refusing, lost);
        more(load, 20);
        assert_eq!(cluster.nodes[VICTIM].recorded().len(), signed, "it signed again");
        assert_no_evidence(cluster);
    });
}

/// The peers' memory: the copy is all of one piece.
#[test]
fn an_old_copy_put_back_follows_signs_nothing_and_says_why() {
    put_back(None, "its safety record does not know");
}

/// The high-water file beside the stores, before any peer is heard.
#[test]
fn an_old_consensus_store_put_back_follows_signs_nothing_and_says_why() {
    put_back(Some("consensus"), "the safety record is older than what this validator signed");
}
