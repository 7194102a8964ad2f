//! A real validator dies between any write and any send. The recorder outside the process judges: nothing
//! left before it was durable, and nothing is ever signed twice differently.

use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use city_tests::cluster::load::{assert_kept, under_load};
use city_tests::cluster::{Cluster, PATIENCE, judge, mutant, wait_for};
use serde_json::Value;

/// Every point of the driver, and how often it is passed before the process dies there.
const POINTS: [(&str, u64); 11] = [
    ("before-write", 12),
    ("after-write", 12),
    ("before-proposal", 3),
    ("before-prepare", 3),
    ("before-commit", 3),
    ("before-view-change", 1),
    ("before-batch", 3),
    ("after-sends", 12),
    ("before-deliver", 3),
    ("before-execute-write", 3),
    ("after-execute-write", 3),
];

/// Longer than a view takes to be given up.
const SETTLED: Duration = Duration::from_millis(1_500);

/// The validator that leads after another: leaders take turns in the order of their names.
fn heir(cluster: &Cluster, leader: usize) -> usize {
    let mut order: Vec<usize> = (0..cluster.nodes.len()).collect();
    order.sort_by_key(|node| &cluster.nodes[*node].name);
    let place = order.iter().position(|node| *node == leader).unwrap_or(0);
    order[(place + 1) % order.len()]
}

/// A leader that stays: one that has just come back may be about to be given up, and then the next one leads at once.
fn settled_leader(cluster: &Cluster) -> usize {
    wait_for("a leader that stays", PATIENCE, || {
        let seen = || {
            let leaders: Vec<String> = cluster.statuses().into_iter().map(|one| one.leader).collect();
            let agreed = leaders.len() == cluster.nodes.len() && leaders.iter().all(|one| *one == leaders[0]);
            agreed.then(|| cluster.leader()).flatten()
        };
        let first = seen()?;
        std::thread::sleep(SETTLED);
        (seen() == Some(first)).then_some(first)
    })
}

/// Waits until something holds or the victim is dead.
fn pause_until(cluster: &mut Cluster, victim: usize, holds: impl Fn(&Cluster) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while cluster.nodes[victim].up() && !holds(cluster) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The present leader dies, and those who made way before it come back. Waits for the victim to lead.
fn make_way(cluster: &mut Cluster, victim: usize, leader: usize, away: &mut Vec<usize>) {
    for back in away.drain(..) {
        cluster.nodes[back].start();
        cluster.wait_caught_up(back);
    }
    cluster.nodes[leader].kill();
    away.push(leader);
    pause_until(cluster, victim, |cluster| cluster.leader().is_some_and(|now| now != leader));
}

/// What the durable record of a stopped validator knows, against what left it.
fn durable_before_sent(cluster: &Cluster, victim: usize) -> Result<(), String> {
    let check = cluster.nodes[victim].run("check");
    let said = String::from_utf8_lossy(&check.stdout);
    let report: Value = serde_json::from_str(&said).map_err(|error| {
        format!("city-node check: {error}: {said}{}", String::from_utf8_lossy(&check.stderr))
    })?;
    if report["votes"] != Value::Bool(true) {
        return Err(format!("the record is lost: {report}"));
    }
    match judge::beyond(&cluster.nodes[victim].recorded(), &report["safety"]) {
        Some(early) => Err(early),
        None => Ok(()),
    }
}

/// Lets one validator die at a point in a role and comes back. Gives what the judge says.
fn die(
    cluster: &mut Cluster,
    point: &str,
    count: u64,
    lead: bool,
    env: &[(&str, &str)],
) -> Result<(), String> {
    let at = format!("{point}:{count}:{}", if lead { "leader" } else { "follower" });
    let mut env = env.to_vec();
    env.push(("CITY_CRASH_AT", &at));
    let leader = match point {
        "before-view-change" => settled_leader(cluster),
        _ => wait_for("a leader", PATIENCE, || cluster.leader()),
    };
    // The next to lead is the next by name: it is made ready, then the present leader makes way.
    let victim = heir(cluster, leader);
    cluster.nodes[victim].kill();
    cluster.nodes[victim].start_with(&env);
    let mut others = Vec::new();
    let keeps_up = |cluster: &Cluster| {
        let ready = |one: NodeStatus| one.voting && one.executed.get() + 8 >= cluster.height();
        cluster.nodes[victim].status().is_some_and(ready)
    };
    if lead {
        // One that lags cannot lead yet. It may be over before anybody sees it keep up or lead.
        pause_until(cluster, victim, keeps_up);
        make_way(cluster, victim, leader, &mut others);
    }
    if point == "before-view-change" {
        // Somebody must give the view up. A follower does when the leader dies. A leader does when its own block
        // does not become final, as long as it has just heard a quorum: so all are there, then two die at once.
        if lead {
            pause_until(cluster, victim, |cluster| cluster.leader() == Some(victim));
            for other in others.drain(..) {
                cluster.nodes[other].start();
                cluster.wait_caught_up(other);
            }
            others.extend((0..4).filter(|node| *node != victim && *node != heir(cluster, victim)));
        } else {
            // On a slow machine another may lead by now, whose death the victim would notice.
            pause_until(cluster, victim, keeps_up);
            others.push(cluster.leader().filter(|now| *now != victim).unwrap_or(leader));
        }
        for other in &others {
            cluster.nodes[*other].kill();
        }
    }
    let name = cluster.nodes[victim].name.clone();
    let deadline = Instant::now() + 3 * PATIENCE;
    let status = loop {
        if let Some(status) = cluster.nodes[victim].ended_within(Duration::from_millis(20)) {
            break status;
        }
        assert!(Instant::now() < deadline, "{name} does not reach {at}: {:#?}", cluster.statuses());
        // On a slow machine its turn may pass before it came that far: then those who lead make way again.
        if lead
            && point != "before-view-change"
            && cluster.nodes[victim].up()
            && let Some(now) = cluster.leader().filter(|now| *now != victim)
        {
            make_way(cluster, victim, now, &mut others);
        }
    };
    assert!(!status.success());
    let log = cluster.nodes[victim].log();
    assert!(log.contains("crash hook"), "{name} died of something else at {at}");
    let judged = durable_before_sent(cluster, victim);
    println!("{at:30} {name} died there");
    for other in others {
        cluster.nodes[other].start();
    }
    cluster.nodes[victim].start();
    judged
}

#[test]
fn a_validator_may_die_between_any_write_and_any_send() {
    let mut cluster = Cluster::up();
    let ((), acknowledged) = under_load(&mut cluster, |cluster, _| {
        for (point, count) in POINTS {
            for lead in [true, false] {
                // Only a leader proposes.
                if point == "before-proposal" && !lead {
                    continue;
                }
                if let Err(early) = die(cluster, point, count, lead, &[]) {
                    panic!("{point}, leading {lead}: {early}");
                }
                cluster.wait_voting();
                (0..4).for_each(|node| cluster.wait_caught_up(node));
            }
        }
    });
    assert_kept(&cluster, &acknowledged);
    cluster.assert_clean();
    let lines: usize = cluster.nodes.iter().map(|node| node.recorded().len()).sum();
    println!("{} records, {lines} signed statements, none contradicts another", acknowledged.len());
}

/// The alarm test: with messages let go before their writes, the same judge must speak up. `make test` builds
/// that program beside the real one.
#[test]
fn with_the_hold_switched_off_the_judge_speaks_up() {
    let name = "with_the_hold_switched_off_the_judge_speaks_up";
    let Some(mutant) = mutant() else {
        return city_tests::skip(
            name,
            "there is no city-node with feature mutant-send-before-durable: .ci/mutant-node",
        );
    };
    let mut cluster = Cluster::up();
    for node in &mut cluster.nodes {
        node.use_program(&mutant);
    }
    let (noticed, _) = under_load(&mut cluster, |cluster, _| {
        (0..6).find_map(|turn| {
            let env = [("CITY_MUTANT_SEND_BEFORE_DURABLE", "1")];
            let verdict = die(cluster, "before-write", 8 + turn, turn % 2 == 0, &env);
            if verdict.is_ok() {
                cluster.wait_voting();
            }
            verdict.err()
        })
    });
    let noticed = noticed.or_else(|| cluster.nodes.iter().find_map(|node| judge::double(&node.recorded())));
    println!("noticed: {noticed:?}");
    assert!(noticed.is_some(), "nobody noticed that messages left before their writes");
}
