//! Tables of what is seen and what it must be called.

use super::*;
use chain_core::api::Condition::{self, *};

fn peer(n: usize) -> Seen {
    Seen {
        name: format!("v{n}"),
        connected: true,
        heard_ms: Some(400),
        voted_ms: Some(1_000),
        lag_ms: Some(5),
        missed: Some(0),
        round_trip_ms: Some(2),
        pause_ms: Some(51),
        offset: Some(Offset { ms: 1, error_ms: 1 }),
        committed: Height::new(100),
        executed: Height::new(100),
        version: Some("1.0.0".into()),
        voting: Some(true),
        ..Seen::default()
    }
}

fn own() -> Seen {
    Seen { own: true, heard_ms: None, round_trip_ms: None, offset: None, ..peer(0) }
}

/// Four validators that are well, seen from v0.
fn calm() -> Situation {
    Situation {
        node: "v0".into(),
        quorum: 3,
        height: Height::new(100),
        still_ms: 400,
        leader: "v1".into(),
        old_height: Some(Height::new(90)),
        clock_ahead_ms: 500,
        timeout_ms: 500,
        validators: vec![own(), peer(1), peer(2), peer(3)],
        ..Situation::default()
    }
}

fn states(why: &Why) -> Vec<Condition> {
    why.validators.iter().map(|one| one.state).collect()
}

/// What v3 is called when this is different about it.
fn called(change: impl FnOnce(&mut Seen)) -> ValidatorWhy {
    let mut situation = calm();
    change(&mut situation.validators[3]);
    let why = diagnose(&situation);
    assert_eq!(states(&why)[..3], [Ok, Ok, Ok], "only v3 is to blame: {}", why.verdict);
    why.validators[3].clone()
}

fn gone(seen: &mut Seen) {
    seen.connected = false;
    seen.heard_ms = Some(12_000);
}

fn says(seen: &mut Seen, code: Code, detail: &str) {
    seen.voting = Some(false);
    seen.stated = Some(Refusal::new(code, detail));
}

#[test]
fn nothing_is_the_matter_with_four_that_are_well() {
    let why = diagnose(&calm());
    assert_eq!(states(&why), [Ok; 4]);
    assert!(why.progress && why.next.is_empty());
    assert_eq!((why.voters, why.quorum), (4, 3));
    let want = "Progress: block 100 became final 0.4 s ago; 4 of 4 validators take part, 3 are needed.";
    assert_eq!(why.verdict, want);
}

#[test]
fn both_of_two_processes_with_one_key_name_the_other() {
    let mut first = calm();
    first.validators[0].twin = true;
    let why = diagnose(&first);
    assert_eq!(
        (states(&why), why.validators[0].code),
        (vec![Stranger, Ok, Ok, Ok], Some(Code::KeyInTwoPlaces))
    );
    assert!(
        why.progress && why.verdict.contains("v0 (this node) is stranger: a second process"),
        "{}",
        why.verdict
    );
    assert!(why.next.starts_with("stop the second process with the keys of v0"), "{}", why.next);
    let mut second = calm();
    says(&mut second.validators[0], Code::KeyInTwoPlaces, "another process has its keys");
    for seen in &mut second.validators[1..] {
        gone(seen);
        seen.refused = Some(Refusal::new(Code::KeyInTwoPlaces, "it is connected with another process"));
    }
    let why = diagnose(&second);
    assert_eq!(states(&why), [Stranger, Unreachable, Unreachable, Unreachable]);
    assert!(
        why.verdict.starts_with("No progress at this node: another process has its keys."),
        "{}",
        why.verdict
    );
    assert!(!why.progress && why.next.starts_with("stop the second process"), "{}", why.next);
}

type Change = fn(&mut Seen);

#[test]
fn each_ailment_has_its_name_its_code_and_its_reason() {
    let table: [(&str, Change, Condition, Option<Code>, &str); 29] = [
        ("heard a moment ago", |v| v.heard_ms = Some(2_999), Ok, None, ""),
        (
            "a connection on which nothing comes",
            |v| v.heard_ms = Some(3_000),
            Silent,
            None,
            "nothing heard for 3.0 s",
        ),
        (
            "its host takes connections",
            |v| (gone(v), v.unreached = Some(Unreached::Mute)).1,
            Silent,
            None,
            "its address takes connections; nothing heard for 12 s",
        ),
        (
            "its process is gone",
            |v| (gone(v), v.unreached = Some(Unreached::Closed)).1,
            Unreachable,
            None,
            "nothing listens at its address; nothing heard for 12 s",
        ),
        (
            "its host is gone",
            |v| (gone(v), v.unreached = Some(Unreached::NoAnswer)).1,
            Unreachable,
            None,
            "its address does not answer; nothing heard for 12 s",
        ),
        (
            "no more is known",
            |v| (gone(v), v.heard_ms = None).1,
            Unreachable,
            None,
            "nothing was ever heard of it",
        ),
        (
            "it was stopped",
            |v| (gone(v), says(v, Code::NotReady, "it was told to stop"), v.stopped = true).2,
            Unreachable,
            None,
            "it was told to stop",
        ),
        (
            "its disk is full",
            |v| (gone(v), says(v, Code::StorageFailed, "no space left"), v.stopped = true).2,
            Refusing,
            Some(Code::StorageFailed),
            "it stopped: no space left",
        ),
        (
            "it diverged",
            |v| (gone(v), says(v, Code::StateDivergence, "height 7"), v.stopped = true).2,
            Refusing,
            Some(Code::StateDivergence),
            "it stopped: height 7",
        ),
        (
            "another genesis",
            |v| (gone(v), v.refused = Some(Refusal::new(Code::PeerOtherGenesis, "peer runs genesis b"))).1,
            OtherChain,
            Some(Code::PeerOtherGenesis),
            "peer runs genesis b",
        ),
        (
            "another genesis, and now its process is gone",
            |v| {
                gone(v);
                v.refused = Some(Refusal::new(Code::PeerOtherGenesis, "peer runs genesis b"));
                v.unreached = Some(Unreached::Closed);
            },
            Unreachable,
            None,
            "nothing listens",
        ),
        (
            "another protocol",
            |v| (gone(v), v.refused = Some(Refusal::new(Code::PeerVersion, "peer speaks version 2"))).1,
            OtherVersion,
            Some(Code::PeerVersion),
            "peer speaks version 2",
        ),
        (
            "another host",
            |v| (gone(v), v.refused = Some(Refusal::new(Code::PeerIdentity, "another host answers"))).1,
            Stranger,
            Some(Code::PeerIdentity),
            "another host answers",
        ),
        (
            "a second process has its keys",
            |v| v.twin = true,
            Stranger,
            Some(Code::KeyInTwoPlaces),
            "a second process has its keys and is refused",
        ),
        (
            "it is connected with another process that has this node's keys",
            |v| {
                (
                    gone(v),
                    v.refused = Some(Refusal::new(Code::KeyInTwoPlaces, "it is connected with another")),
                )
                    .1
            },
            Unreachable,
            Some(Code::KeyInTwoPlaces),
            "it is connected with another",
        ),
        (
            "its safety record is lost",
            |v| says(v, Code::SafetyLost, "the consensus store holds no safety record"),
            Refusing,
            Some(Code::SafetyLost),
            "the consensus store holds no safety record",
        ),
        (
            "it waits for echoes",
            |v| says(v, Code::NotReady, "waiting for a quorum of peers"),
            Starting,
            None,
            "waiting for a quorum of peers",
        ),
        (
            "its clock is ahead",
            |v| v.offset = Some(Offset { ms: 3_000, error_ms: 40 }),
            Skewed,
            Some(Code::ClockSkew),
            "its clock is 3.0 s ahead of most clocks",
        ),
        (
            "its clock is behind",
            |v| v.offset = Some(Offset { ms: -3_000, error_ms: 40 }),
            Skewed,
            Some(Code::ClockSkew),
            "its clock is 3.0 s behind most clocks",
        ),
        ("not surely skewed", |v| v.offset = Some(Offset { ms: 600, error_ms: 400 }), Ok, None, ""),
        ("old blocks lack", |v| v.committed = Height::new(80), Behind, None, "it lacks 10 blocks"),
        (
            "old blocks come",
            |v| (v.committed, v.rising) = (Height::new(80), true),
            Syncing,
            None,
            "it is catching up, 10 blocks to go",
        ),
        (
            "old blocks are not executed",
            |v| v.executed = Height::new(80),
            Behind,
            None,
            "it executes nothing, and 10 final blocks are older than five seconds",
        ),
        (
            "it is known what that waits for",
            |v| (v.executed, v.execution_waits) = (Height::new(80), Some("block 81 waits".into())),
            Behind,
            None,
            "older than five seconds: block 81 waits",
        ),
        (
            "old blocks are being executed",
            |v| (v.executed, v.executing) = (Height::new(80), true),
            Ok,
            None,
            "",
        ),
        ("its engine pauses", |v| v.pause_ms = Some(700), Slow, None, "its engine pauses for 700 ms"),
        (
            "it answers late",
            |v| v.round_trip_ms = Some(400),
            Slow,
            None,
            "it answers in 400 ms, the others in 2 ms",
        ),
        ("it votes late", |v| v.lag_ms = Some(400), Slow, None, "its votes come 400 ms after"),
        (
            "another release",
            |v| v.version = Some("0.9.0".into()),
            OtherVersion,
            None,
            "it runs 0.9.0, most run 1.0.0",
        ),
    ];
    for (what, change, state, code, reason) in table {
        let why = called(change);
        assert_eq!((why.state, why.code), (state, code), "{what}: {}", why.reason);
        assert!(why.reason.contains(reason), "{what}: {}", why.reason);
        assert_eq!(why.next.is_empty(), state == Ok, "{what}: {}", why.next);
    }
}

#[test]
fn all_executors_that_wait_are_no_progress() {
    let mut situation = calm();
    for seen in &mut situation.validators {
        (seen.executed, seen.execution_waits) = (Height::new(80), seen.own.then(|| "block 81 waits".into()));
    }
    let why = diagnose(&situation);
    assert!(!why.progress);
    assert!(why.verdict.contains("v0 (this node) is behind"), "{}", why.verdict);
    assert!(why.verdict.contains("block 81 waits"), "{}", why.verdict);
}

#[test]
fn a_vote_that_is_never_there_is_named_while_blocks_are_decided() {
    assert_eq!(called(|v| (v.missed, v.voted_ms) = (Some(950), Some(30_000))).state, Slow);
    assert_eq!(called(|v| v.missed = Some(899)).state, Ok);
    let mut quiet = calm();
    for seen in &mut quiet.validators {
        seen.voted_ms = Some(30_000);
    }
    quiet.validators[3].missed = Some(950);
    assert_eq!(states(&diagnose(&quiet)), [Ok; 4], "what was missed long ago says nothing");
}

#[test]
fn who_differs_from_most_is_named_by_itself_too() {
    // v0 looks at three others whose clocks all seem three seconds behind: its own is ahead.
    let mut situation = calm();
    for at in 1..4 {
        situation.validators[at].offset = Some(Offset { ms: -3_000, error_ms: 5 });
        situation.validators[at].version = Some("2.0.0".into());
    }
    let why = diagnose(&situation);
    assert_eq!(states(&why), [Skewed, Ok, Ok, Ok], "{}", why.verdict);
    assert_eq!(why.validators[0].skew_ms, Some(3_000));
    assert_eq!(why.validators[1].skew_ms, Some(0));
    for seen in &mut situation.validators {
        seen.offset = Some(Offset { ms: 0, error_ms: 1 });
    }
    let why = diagnose(&situation);
    assert_eq!(states(&why), [OtherVersion, Ok, Ok, Ok], "{}", why.verdict);
    // Two against two: nobody knows, and the one that answers is the measure.
    situation.validators[1].version = Some("1.0.0".into());
    assert_eq!(states(&diagnose(&situation)), [Ok, Ok, OtherVersion, OtherVersion]);
}

#[test]
fn a_slow_network_or_machine_accuses_nobody() {
    let mut situation = calm();
    for seen in &mut situation.validators {
        (seen.round_trip_ms, seen.lag_ms, seen.pause_ms) = (Some(300), Some(280), Some(400));
    }
    assert_eq!(states(&diagnose(&situation)), [Ok; 4]);
    situation.validators[2].pause_ms = Some(1_600);
    assert_eq!(states(&diagnose(&situation)), [Ok, Ok, Slow, Ok]);
}

#[test]
fn the_worst_of_several_is_named() {
    let mut changes: Vec<(Condition, Change)> = vec![
        (OtherVersion, |v| v.version = Some("0.9.0".into())),
        (Slow, |v| v.lag_ms = Some(900)),
        (Behind, |v| v.committed = Height::new(1)),
        (Skewed, |v| v.offset = Some(Offset { ms: 3_000, error_ms: 1 })),
        (Refusing, |v| says(v, Code::SafetyLost, "gone")),
        (Silent, |v| v.heard_ms = Some(9_000)),
    ];
    while let Some((worst, _)) = changes.last() {
        let why = called(|v| changes.iter().for_each(|(_, change)| change(v)));
        assert_eq!(why.state, *worst, "{}", why.reason);
        changes.pop();
    }
}

#[test]
fn too_few_is_said_with_the_count_and_the_culprits() {
    let mut situation = calm();
    situation.still_ms = 41_000;
    gone(&mut situation.validators[2]);
    situation.validators[2].unreached = Some(Unreached::Closed);
    says(&mut situation.validators[3], Code::SafetyLost, "gone");
    let why = diagnose(&situation);
    assert!(!why.progress);
    assert_eq!((why.voters, why.quorum), (2, 3));
    let want = "No progress since 41 s ago: 2 of 4 validators take part, 3 are needed. v2 is unreachable: \
                nothing listens at its address; nothing heard for 12 s. v3 is refusing: gone.";
    assert_eq!(why.verdict, want);
    assert_eq!(why.next, "start v2");
}

#[test]
fn the_node_that_is_alone_looks_at_itself_first() {
    let mut situation = calm();
    situation.validators[1..].iter_mut().for_each(gone);
    let why = diagnose(&situation);
    assert!(!why.progress && why.verdict.starts_with("No progress: this node hears no other validator."));
    assert_eq!(why.next, "look at this node's own network and firewall first");
    for seen in &mut situation.validators[1..] {
        seen.refused = Some(Refusal::new(Code::PeerOtherGenesis, "other"));
    }
    let why = diagnose(&situation);
    assert!(why.verdict.contains("runs another genesis than this node"), "{}", why.verdict);
    assert_eq!(why.next, "compare the genesis: city genesis hash");
}

#[test]
fn what_is_owed_for_long_is_no_progress_and_a_moment_is() {
    let mut situation = calm();
    let owed = |for_ms| Some(WaitingFor { what: "a block that is not final".into(), for_ms });
    situation.waiting_for = owed(4_000);
    situation.still_ms = 60_000;
    assert!(diagnose(&situation).progress);
    situation.waiting_for = owed(12_000);
    let why = diagnose(&situation);
    assert!(!why.progress);
    let want = "No progress since 60 s ago, although 4 of 4 validators take part, 3 are needed; owed is a block \
                that is not final.";
    assert_eq!(why.verdict, want);
    assert!(why.next.contains("slow disks"));
    // Idle is not stuck.
    situation.waiting_for = None;
    assert!(diagnose(&situation).progress);
    // This node alone is behind.
    situation.validators[0].committed = Height::new(5);
    let why = diagnose(&situation);
    assert!(!why.progress && why.verdict.starts_with("No progress at this node"), "{}", why.verdict);
    assert_eq!(states(&why), [Behind, Ok, Ok, Ok]);
}

#[test]
fn with_one_missing_it_is_said_that_none_may_fail() {
    let mut situation = calm();
    gone(&mut situation.validators[3]);
    let why = diagnose(&situation);
    assert!(why.progress);
    assert!(why.verdict.contains("3 of 4 validators take part, 3 are needed; none of them may fail"));
    assert!(
        why.verdict.ends_with("v3 is unreachable: no connection; nothing heard for 12 s."),
        "{}",
        why.verdict
    );
}
