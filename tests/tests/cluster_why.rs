//! A fault is done to one of four real validators, and every other one says which validator it is and what is the
//! matter with it, and that nothing is the matter with the rest.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chain_core::api::{Condition, ValidatorWhy, Why};
use chain_core::code::Code;
use city_tests::cluster::clerk::{Officer, officers};
use city_tests::cluster::{Cluster, PATIENCE, Starved, http, mutant, wait_for};

/// The validator that something is done to. Not the first: `city` asks that one first.
const VICTIM: usize = 2;

fn clerk(cluster: &Cluster) -> Officer {
    officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0)
}

/// A view with its judgement of one validator; none while another one is blamed as well, or nobody is.
fn blames(why: &Why, name: &str, state: Condition) -> Option<ValidatorWhy> {
    let wanted =
        |one: &&ValidatorWhy| if one.name == name { one.state == state } else { one.state == Condition::Ok };
    if !why.validators.iter().all(|one| wanted(&one)) {
        return None;
    }
    why.validators.iter().find(|one| one.name == name).cloned()
}

fn states(cluster: &Cluster, from: &[usize]) -> String {
    let one = |at: &usize| match cluster.nodes[*at].why() {
        None => format!("{} does not answer", cluster.nodes[*at].name),
        Some(why) => format!("{}: {}", why.node, why.verdict),
    };
    from.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Waits until all of `from` say at once that this is the matter with the victim and nothing with the others.
#[track_caller]
fn all_say(cluster: &Cluster, from: &[usize], victim: usize, state: Condition) -> Vec<(Why, ValidatorWhy)> {
    let name = &cluster.nodes[victim].name;
    let begun = Instant::now();
    loop {
        let views: Vec<(Why, ValidatorWhy)> = from
            .iter()
            .filter_map(|at| {
                let why = cluster.nodes[*at].why()?;
                let victim = blames(&why, name, state)?;
                Some((why, victim))
            })
            .collect();
        if views.len() == from.len() {
            let first = &views[0].1;
            println!("{state} after {:?}: {}", begun.elapsed(), first.reason);
            return views;
        }
        if begun.elapsed() > PATIENCE {
            panic!("{name} is not called {state} by all of {from:?}:\n{}", states(cluster, from));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn others() -> Vec<usize> {
    (0..4).filter(|at| *at != VICTIM).collect()
}

/// Waits until nobody blames anybody, with all figures known.
#[track_caller]
fn calm(cluster: &Cluster) {
    let views = all_say(cluster, &[0, 1, 2, 3], VICTIM, Condition::Ok);
    assert!(views.iter().all(|(why, _)| why.progress && why.voters == 4 && why.next.is_empty()), "{views:?}");
}

/// The sample city, without a complaint.
fn up() -> Cluster {
    let cluster = Cluster::up();
    calm(&cluster);
    cluster
}

#[test]
fn a_stopped_process_is_silent_to_all_others() {
    let mut cluster = up();
    cluster.nodes[VICTIM].signal("STOP");
    for (why, victim) in all_say(&cluster, &others(), VICTIM, Condition::Silent) {
        assert!(why.progress && why.voters == 3, "{why:?}");
        assert!(victim.heard_ms.is_some_and(|ms| ms >= 3_000), "{victim:?}");
        assert!(victim.next.contains(&victim.name) && why.next == victim.next, "{why:?}");
    }
    // When its connections are given up, its host still takes new ones.
    wait_for("the others to find out that its host is there", PATIENCE, || {
        let said = |at: &usize| {
            let why = cluster.nodes[*at].why()?;
            let victim = blames(&why, &cluster.nodes[VICTIM].name, Condition::Silent)?;
            victim.reason.starts_with("its address takes connections").then_some(())
        };
        others().iter().all(|at| said(at).is_some()).then_some(())
    });
    std::thread::sleep(Duration::from_secs(8));
    all_say(&cluster, &others(), VICTIM, Condition::Silent);
    cluster.nodes[VICTIM].signal("CONT");
    calm(&cluster);
    cluster.assert_clean();
}

#[test]
fn a_killed_process_is_unreachable_and_a_second_one_is_too_much() {
    let mut cluster = up();
    cluster.nodes[VICTIM].kill();
    for (why, victim) in all_say(&cluster, &others(), VICTIM, Condition::Unreachable) {
        assert!(why.progress && why.verdict.contains("none of them may fail"), "{why:?}");
        assert!(why.verdict.contains(&victim.name), "{why:?}");
    }
    // Both ends may have dialled: at rest everybody knows that nothing listens.
    wait_for("the host to say that nothing listens", PATIENCE, || {
        let why = |at: &usize| {
            cluster.nodes[*at].why().unwrap().validators[..].iter().any(|one| {
                one.name == cluster.nodes[VICTIM].name && one.reason.starts_with("nothing listens")
            })
        };
        others().iter().all(why).then_some(())
    });
    screen(&cluster);
    metrics(&cluster);
    // With half of them the ledger stands still, and whoever is left says so at once, idle or not.
    let second = 3;
    cluster.nodes[second].kill();
    for at in [0, 1] {
        let why = wait_for("too few to be noticed", PATIENCE, || {
            cluster.nodes[at].why().filter(|why| !why.progress)
        });
        assert!(why.verdict.starts_with("No progress since "), "{why:?}");
        assert!(why.verdict.contains("2 of 4 validators take part, 3 are needed"), "{why:?}");
        for gone in [VICTIM, second] {
            let one = why.validators.iter().find(|one| one.name == cluster.nodes[gone].name).unwrap();
            assert_eq!(one.state, Condition::Unreachable, "{one:?}");
            assert!(why.verdict.contains(&one.name), "{why:?}");
        }
    }
    cluster.start_all();
    calm(&cluster);
    // One that is told to stop says goodbye.
    cluster.nodes[VICTIM].terminate();
    assert!(cluster.nodes[VICTIM].ended_within(PATIENCE).is_some_and(|status| status.success()));
    for (_, victim) in all_say(&cluster, &others(), VICTIM, Condition::Unreachable) {
        assert!(victim.reason.starts_with("it was told to stop"), "{victim:?}");
    }
    cluster.assert_clean();
}

/// What an operator sees, for people and for programs.
fn screen(cluster: &Cluster) {
    let victim = &cluster.nodes[VICTIM].name;
    let output = cluster.city(&["node", "why"]);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    assert!(output.status.success());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 24 && lines[0].starts_with("Progress: "), "{text}");
    assert!(lines[0].contains(&format!("{victim} is unreachable: nothing listens at its address")), "{text}");
    assert_eq!(lines[1], format!("next: start {victim}"));
    let row = |line: &&&str| line.starts_with(&format!("{victim} ")) && line.contains("unreachable");
    assert_eq!(lines.iter().filter(row).count(), 1, "{text}");
    let output = cluster.city(&["-o", "json", "node", "why", "--node", &cluster.nodes[3].url()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["schema"].as_str(), json["progress"].as_bool()), (Some("city/v1/node-why"), Some(true)));
    assert_eq!(json["node"], cluster.nodes[3].name.as_str());
    assert_eq!(json["validators"].as_array().unwrap().len(), 4);
}

fn metrics(cluster: &Cluster) {
    let unreachable = f64::from(Condition::Unreachable.number());
    // A busy machine may have made the third one late for a moment.
    let samples = wait_for("metrics that tell the dead from the living", PATIENCE, || {
        let samples = http::metrics(&cluster.nodes[0].url()).ok()?;
        let states = [VICTIM, 3].map(|of| gauge(cluster, &samples, "validator_state", of));
        (states == [Some(unreachable), Some(0.0)]).then_some(samples)
    });
    let value = |name: &str, of: usize| gauge(cluster, &samples, name, of);
    assert_eq!(samples.get("city_progress"), Some(&1.0), "{samples:#?}");
    assert!(value("validator_heard_ms", VICTIM) > value("validator_heard_ms", 3));
    assert!(value("validator_skew_ms", 3).is_some_and(|ms| ms.abs() < 250.0));
    assert!(value("validator_vote_lag_ms", 3).is_some() && value("validator_round_trip_ms", 3).is_some());
}

/// The value of a gauge about one validator.
fn gauge(cluster: &Cluster, samples: &BTreeMap<String, f64>, name: &str, of: usize) -> Option<f64> {
    samples.get(&format!("city_{name}{{validator=\"{}\"}}", cluster.nodes[of].name)).copied()
}

#[test]
fn a_starved_process_is_slow_to_all_others() {
    let cluster = up();
    let (over, clerk) = (AtomicBool::new(false), clerk(&cluster));
    let url = cluster.nodes[0].url();
    std::thread::scope(|scope| {
        // Records on their way, so that there is something to vote for.
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("record-{number}");
                let _ = http::submit(&url, &clerk.file(&key, &key));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let starved =
            Starved::of(&cluster.nodes[VICTIM], Duration::from_millis(700), Duration::from_millis(250));
        let views = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            all_say(&cluster, &others(), VICTIM, Condition::Slow)
        }));
        over.store(true, Ordering::Relaxed);
        drop(starved);
        for (why, victim) in views.unwrap() {
            assert!(why.progress && why.next.contains("slow disk"), "{why:?}");
            let figures = [victim.pause_ms, victim.vote_lag_ms, victim.round_trip_ms];
            assert!(figures.iter().flatten().any(|ms| *ms >= 250), "{victim:?}");
        }
    });
    calm(&cluster);
    cluster.assert_clean();
}

/// Starts the victim again as a test build that was told to lie; false where there is none.
fn lie(cluster: &mut Cluster, test: &str, env: &[(&str, &str)]) -> bool {
    let Some(mutant) = mutant() else {
        city_tests::skip(test, "there is no city-node with feature test-faults: .ci/mutant-node");
        return false;
    };
    cluster.nodes[VICTIM].kill();
    cluster.nodes[VICTIM].use_program(&mutant);
    cluster.nodes[VICTIM].start_with(env);
    cluster.wait_one_voting(VICTIM);
    true
}

#[test]
fn a_clock_three_seconds_off_is_skewed_to_all_and_to_itself() {
    let mut cluster = up();
    for (told, way) in [(3_000_i64, "ahead of"), (-3_000, "behind")] {
        let env = [("CITY_TEST_CLOCK_SKEW_MS", told.to_string())];
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if !lie(&mut cluster, "a_clock_three_seconds_off_is_skewed_to_all_and_to_itself", &env) {
            return;
        }
        for (why, victim) in all_say(&cluster, &[0, 1, 2, 3], VICTIM, Condition::Skewed) {
            let (skew, error) = (victim.skew_ms.unwrap(), victim.skew_error_ms.unwrap());
            println!("{}: {skew} ms, give or take {error}", why.node);
            assert!(skew.abs_diff(told) <= error + 100, "{}: {skew} ms, give or take {error}", why.node);
            assert!(victim.reason.ends_with(&format!("{way} most clocks")), "{victim:?}");
            assert_eq!(victim.code, Some(Code::ClockSkew));
            assert!(why.next.contains("time service"), "{why:?}");
        }
    }
    cluster.assert_clean();
}

#[test]
fn another_release_is_named_by_all_and_by_itself() {
    let mut cluster = up();
    if !lie(
        &mut cluster,
        "another_release_is_named_by_all_and_by_itself",
        &[("CITY_TEST_VERSION", "0.0.7-odd")],
    ) {
        return;
    }
    for (why, victim) in all_say(&cluster, &[0, 1, 2, 3], VICTIM, Condition::OtherVersion) {
        assert!(why.progress && why.voters == 4, "{why:?}");
        assert_eq!(victim.version.as_deref(), Some("0.0.7-odd"));
        assert!(victim.reason.starts_with("it runs 0.0.7-odd, most run "), "{victim:?}");
    }
    cluster.assert_clean();
}

#[test]
fn a_lost_safety_record_is_a_refusal_with_its_reason() {
    let mut cluster = up();
    cluster.nodes[VICTIM].kill();
    cluster.nodes[VICTIM].delete_data();
    assert!(cluster.nodes[VICTIM].run("init").status.success());
    cluster.nodes[VICTIM].start();
    for (why, victim) in all_say(&cluster, &[0, 1, 2, 3], VICTIM, Condition::Refusing) {
        assert!(why.progress && why.voters == 3, "{why:?}");
        assert_eq!(victim.code, Some(Code::SafetyLost), "{victim:?}");
        assert_eq!(victim.reason, "the consensus store holds no safety record");
        assert_eq!(why.next, Code::SafetyLost.hint());
    }
    cluster.assert_clean();
}
