//! Leaders that are slow, choosy, silent or tired, and validators that complain: how long anybody waits, in virtual
//! time (consensus 6.C and 6.G).

use std::collections::BTreeSet;

use chain_core::id::{ValidatorIx, View};
use city_sim::kit::ix;
use city_sim::sim::random::Random;
use city_sim::stage::{Fate, Parcel, Stage, percentile, slow_leader};
use consensus::action::Suspicion;
use consensus::message::Message;
use consensus::{Notice, Params};

/// A leader that would never hand over of its own will, with one block in flight.
fn stubborn(window: u64) -> Params {
    Params { window, term_ms: 3_600_000, ..Params::default() }
}

/// `n` validators whose clients all file a batch every so often; the first one is the liar.
fn busy(n: u16, every_ms: u64, liar: &Params) -> Stage {
    let mut stage = Stage::new(n, |me| if me == 0 { liar.clone() } else { Params::default() });
    stage.run_ms(1_000);
    for author in 0..n {
        stage.file_every(author, every_ms);
    }
    stage
}

fn is_batch_of(parcel: &Parcel, author: u16) -> bool {
    matches!(parcel, Parcel::Batch(batch) if batch.header.author == ix(author))
}

fn waits(stage: &Stage, authors: impl IntoIterator<Item = u16>) -> Vec<u64> {
    authors.into_iter().flat_map(|author| stage.waits_ms(author).to_vec()).collect()
}

fn noticed(stage: &Stage, who: u16, what: impl Fn(&Notice) -> bool) -> Vec<u64> {
    let of = &stage.cast[usize::from(who)].notices;
    of.iter().filter(|(_, notice)| what(notice)).map(|(at, _)| *at).collect()
}

fn no_complaints(stage: &Stage, of: impl IntoIterator<Item = u16>) {
    for who in of {
        assert!(stage.complaints(who).is_empty(), "validator {who}: {:?}", stage.complaints(who));
        assert!(stage.cast[usize::from(who)].alarms.is_empty());
    }
}

#[test]
fn an_honest_leader_orders_everything_within_a_moment_and_nobody_complains() {
    for n in [4, 7] {
        let mut stage = busy(n, 100, &Params::default());
        stage.run_ms(59_000);
        let all = waits(&stage, 0..n);
        println!("n {n}: {} batches, p99 {} ms", all.len(), percentile(&all, 990));
        assert!(percentile(&all, 990) <= 150 && all.len() > 2_000);
        no_complaints(&stage, 0..n);
        let reports =
            stage.cast[1].sent.iter().filter(|(_, one)| matches!(one, Message::Have { .. })).count();
        assert_eq!(reports, 0, "nobody reports what it holds when nothing waits");
    }
}

/// T2: the lane is ordered by the next leader once it has waited for T_incl in vain.
#[test]
fn g04_a_leader_that_omits_one_lane_for_ever_loses_its_view() {
    for n in [4, 7] {
        let mut stage = busy(n, 100, &stubborn(16));
        stage
            .rule(|_, _, to, parcel| if to == 0 && is_batch_of(parcel, 2) { Fate::Drop } else { Fate::Pass });
        stage.run_ms(30_000);
        let longest = stage.longest_wait_ms(2);
        println!("n {n}: the lane left out waited {longest} ms");
        assert!(longest > 1_500, "otherwise it was not left out: {longest}");
        assert!(longest <= 3_000, "T_incl of 2 s, and a view change: {longest}");
        let left_out = |who: &u16| {
            let of = stage.complaints(*who);
            of.iter().any(|(_, why)| matches!(why, Suspicion::LeftOut { author, .. } if *author == ix(2)))
        };
        let faults = stage.kit.committee.faults();
        assert!((1..n).filter(left_out).count() > faults);
        assert_eq!(stage.view(1), View::new(1), "the next leader leaves nobody out, and keeps its view");
        assert!(percentile(&waits(&stage, [1, 3]), 990) <= 150);
    }
}

/// A leader that builds its window at once and lets one block go now and then orders everybody's batches, and all of
/// them late.
#[test]
fn g04_a_leader_that_keeps_a_stock_of_old_blocks_loses_its_view() {
    let mut stage = busy(4, 20, &stubborn(16));
    stage.rule(slow_leader(0, 400));
    stage.run_ms(30_000);
    let longest = (1..4).map(|author| stage.longest_wait_ms(author)).max().unwrap_or(0);
    println!("a stock of old blocks: the longest wait was {longest} ms");
    assert!(longest <= 3_500, "{longest}");
    assert!(stage.view(1) >= View::new(1));
    assert!(
        (1..4)
            .any(|who| stage.complaints(who).iter().any(|(_, why)| matches!(why, Suspicion::LeftOut { .. })))
    );
}

/// Aardvark's attack: one block in flight, 0.9 τ from one to the next. Everything is ordered with the next block; and
/// two terms later the view is over, whatever the leader wants.
#[test]
fn g04_slow_leader_just_below_the_timeout() {
    for n in [4, 7] {
        let span_ms = 60_000;
        let mut fair = busy(n, 100, &Params::default());
        fair.run_ms(span_ms);
        let mut stage = busy(n, 100, &stubborn(1));
        stage.rule(slow_leader(0, 400));
        stage.run_ms(span_ms);
        assert_eq!(stage.view(1), View::ZERO, "just below the timeout");
        let (slow, honest) = (waits(&stage, 1..n), waits(&fair, 1..n));
        let tau = Params::default().timeout_base_ms;
        println!(
            "n {n}: honest leader {} records/s, p99 {} ms, {} blocks; slow leader {} records/s, p99 {} ms, longest {} ms, {} blocks",
            1_000 * fair.records() / span_ms,
            percentile(&honest, 990),
            fair.committed(1),
            1_000 * stage.records() / span_ms,
            percentile(&slow, 990),
            slow.iter().max().unwrap_or(&0),
            stage.committed(1),
        );
        assert!(percentile(&slow, 990) > 400, "otherwise it is not slow");
        assert!(slow.iter().all(|wait| *wait <= 2 * tau), "{:?}", slow.iter().max());
        assert!(10 * stage.records() >= 9 * fair.records(), "late, and not lost");
        // It would go on for ever.
        stage.run_ms(2 * Params::default().term_ms + 5_000 - span_ms);
        assert!(stage.view(1) > View::ZERO, "a leader may outstay its term once, not for ever");
        let overdue =
            |who: &u16| stage.complaints(*who).iter().any(|(_, why)| *why == Suspicion::TermOverdue);
        assert!((1..n).filter(overdue).count() > stage.kit.committee.faults());
    }
}

/// M6, however many blocks the view had: its first one is not among those remembered any more.
#[test]
fn a_busy_leader_that_never_ends_its_term_loses_its_view() {
    let ours = Params { term_ms: 20_000, interval_ms: 1, ..Params::default() };
    let liar = Params { term_ms: 3_600_000, ..ours };
    let mut stage = Stage::new(4, |me| if me == 0 { liar.clone() } else { ours.clone() });
    stage.delay_ms = (1, 2);
    stage.run_ms(1_000);
    for author in 0..4 {
        stage.file_every(author, 60);
    }
    stage.run_ms(37_000);
    assert_eq!(
        stage.view(1),
        View::ZERO,
        "{:?}",
        (0..4).map(|who| stage.complaints(who)).collect::<Vec<_>>()
    );
    let blocks = stage.committed(1);
    assert!((1_500..4_000).contains(&blocks), "{blocks} blocks");
    stage.run_ms(8_000);
    assert!(stage.view(1) > View::ZERO);
}

#[test]
fn nobody_votes_for_more_blocks_than_a_view_may_have() {
    let ours = Params { view_blocks_max: 64, ..Params::default() };
    let liar = Params { view_blocks_max: 4_096, term_ms: 3_600_000, ..Params::default() };
    let mut stage = Stage::new(4, |me| if me == 0 { liar.clone() } else { ours.clone() });
    stage.run_ms(1_000);
    stage.file_every(1, 50);
    while stage.view(1) == View::ZERO && stage.now_ms < 20_000 {
        assert!(stage.committed(1) <= 64, "{} blocks in one view", stage.committed(1));
        stage.run_ms(5);
    }
    assert_eq!(stage.view(1), View::new(1));
    stage.run_ms(10_000);
    assert!(stage.longest_wait_ms(1) <= 2_000);
}

/// G5: what the leader does not send, the others hand on.
#[test]
fn g05_a_leader_that_sends_to_exactly_a_quorum_delays_the_others_by_a_moment() {
    for n in [4, 7] {
        let mut stage = busy(n, 100, &Params::default());
        let quorum = stage.kit.quorum();
        stage.rule(move |_, from, to, parcel| match parcel {
            Parcel::Message(Message::Propose(_)) if from == 0 && to >= quorum => Fate::Drop,
            _ => Fate::Pass,
        });
        let mut behind = Vec::new();
        for _ in 0..500 {
            stage.run_ms(100);
            behind.push(stage.committed(1).saturating_sub(stage.committed(n - 1)));
        }
        println!("n {n}: at most {:?} blocks behind, p50 {}", behind.iter().max(), percentile(&behind, 500));
        assert!(percentile(&behind, 950) <= 8 && behind.iter().all(|blocks| *blocks <= 64));
        let (chosen, left) = (waits(&stage, 1..quorum), waits(&stage, quorum..n));
        let figures = (percentile(&left, 500), percentile(&left, 950), left.iter().max());
        println!(
            "n {n}: p99 {} ms, of the others p50, p95 and longest {figures:?}",
            percentile(&chosen, 990)
        );
        assert!(percentile(&chosen, 990) <= 150);
        assert!(percentile(&left, 950) <= 300 && left.iter().all(|wait| *wait <= 2_000));
        no_complaints(&stage, 1..n);
    }
}

/// The liar 2 shows its batches to the leader alone, and answers no request.
fn to_leader_alone(stage: &mut Stage) {
    stage.rule(|_, from, to, parcel| match parcel {
        Parcel::Batch(batch) if batch.header.author == ix(2) && from == 2 && to != 0 => Fate::Drop,
        Parcel::GetBatches { .. } if to == 2 => Fate::Drop,
        _ => Fate::Pass,
    });
}

#[test]
fn g05_selective_sending_by_an_author_puts_it_on_probation() {
    for n in [4, 7] {
        let mut stage = busy(n, 100, &Params::default());
        to_leader_alone(&mut stage);
        stage.run_ms(5_000);
        let on_probation =
            noticed(&stage, 0, |one| matches!(one, Notice::OnProbation { author } if *author == ix(2)));
        assert_eq!(on_probation.len(), 1, "{on_probation:?}");
        let before = waits(&stage, [1, 3]).len();
        stage.run_ms(45_000);
        let honest: Vec<u64> =
            [1, 3].into_iter().flat_map(|one| stage.waits_ms(one)[before / 2..].to_vec()).collect();
        let liar = percentile(stage.waits_ms(2), 990);
        println!("n {n}: honest p99 {} ms, the choosy author's {liar} ms", percentile(&honest, 990));
        assert!(percentile(&honest, 990) <= 130, "others do not wait for its data any more");
        assert!(
            stage.waits_ms(2).len() > 100 && stage.longest_wait_ms(2) <= 8_000,
            "{}",
            stage.longest_wait_ms(2)
        );
        no_complaints(&stage, (0..n).filter(|who| *who != 2));
    }
}

/// Whatever f validators say they hold or lack: no honest author is put on probation, and nobody waits longer.
#[test]
fn g05_selective_sending_and_lies_about_what_is_held() {
    for claim in [0, u64::MAX] {
        let mut stage = busy(7, 100, &Params::default());
        to_leader_alone(&mut stage);
        let n = 7;
        for _ in 0..400 {
            stage.run_ms(50);
            let lanes: Vec<(ValidatorIx, u64)> = (0..n).map(|author| (ix(author), claim)).collect();
            for liar in [2, 3] {
                stage.say(liar, Message::Have { lanes: lanes.clone() });
            }
        }
        let accused =
            noticed(&stage, 0, |one| matches!(one, Notice::OnProbation { author } if *author != ix(2)));
        assert!(accused.is_empty(), "claim {claim}: {accused:?}");
        let honest = waits(&stage, [1, 4, 5, 6]);
        println!("claim {claim}: honest p99 {} ms", percentile(&honest, 990));
        assert!(percentile(&honest, 990) <= 150);
        assert!(stage.waits_ms(2).len() > 20, "it is ordered all the same: {}", stage.waits_ms(2).len());
        no_complaints(&stage, [0, 1, 4, 5, 6]);
    }
}

/// Reports that name strangers, or a lane twice, count for nothing, however many send them.
#[test]
fn g05_malformed_reports_count_for_nothing() {
    let accused = |lanes: fn() -> Vec<(ValidatorIx, u64)>| {
        let mut stage = busy(4, 100, &Params::default());
        to_leader_alone(&mut stage);
        // The honest reports are lost.
        stage.rule(move |_, _, _, parcel| match parcel {
            Parcel::Message(Message::Have { lanes: said }) if *said != lanes() => Fate::Drop,
            _ => Fate::Pass,
        });
        for _ in 0..400 {
            stage.run_ms(10);
            stage.say(1, Message::Have { lanes: lanes() });
            stage.say(3, Message::Have { lanes: lanes() });
        }
        noticed(&stage, 0, |one| matches!(one, Notice::OnProbation { .. })).len()
    };
    assert_eq!(accused(|| vec![(ix(2), 0)]), 1, "what the malformed ones are compared with");
    assert_eq!(accused(|| vec![(ix(2), 0), (ix(9), 0)]), 0);
    assert_eq!(accused(|| vec![(ix(2), 0), (ix(2), 0)]), 0);
    assert_eq!(accused(|| vec![(ix(3), 0), (ix(2), 0)]), 0);
}

#[test]
fn g05_one_percent_of_loss_on_one_link_in_twenty_is_hardly_felt() {
    let n = 10;
    let run = |lossy: bool| {
        let mut stage = busy(n, 200, &Params::default());
        let mut random = Random::new(7);
        let mut links = BTreeSet::new();
        while links.len() < 5 {
            let mut draw = || u16::try_from(random.index(10)).unwrap();
            let (from, to) = (draw(), draw());
            if from != to {
                links.insert((from, to));
            }
        }
        if lossy {
            stage.rule(move |_, from, to, _| {
                if links.contains(&(from, to)) && random.chance(10) { Fate::Drop } else { Fate::Pass }
            });
        }
        stage.run_ms(50_000);
        no_complaints(&stage, 0..n);
        waits(&stage, 0..n)
    };
    let (calm, lossy) = (run(false), run(true));
    let figures =
        |waits: &[u64]| (percentile(waits, 500), percentile(waits, 990), waits.iter().max().copied());
    println!("p50, p99 and longest without loss {:?}, with {:?}", figures(&calm), figures(&lossy));
    assert!(percentile(&lossy, 500) <= 2 * percentile(&calm, 500));
    assert!(percentile(&lossy, 990) <= 300);
    assert!(lossy.iter().all(|wait| *wait <= 2_000));
}

/// T5: two dead leaders in a row cost less than one timeout together.
#[test]
fn a_leader_that_has_long_been_silent_is_skipped_when_its_turn_comes() {
    for (n, dead) in [(4_u16, 1_u16), (7, 2)] {
        let mut stage = busy(n, 100, &Params::default());
        for who in 1..=dead {
            stage.leave(who);
        }
        stage.run_ms(10_000);
        assert_eq!(stage.view(0), View::ZERO);
        let before = stage.now_ms;
        stage.shut_down(0);
        let next = View::new(u64::from(dead) + 1);
        let height = stage.committed(n - 1);
        while stage.view(n - 1) < next || stage.committed(n - 1) < height + 4 {
            stage.run_ms(5);
            assert!(stage.now_ms < before + 500, "the dead are waited for");
        }
        println!("n {n}: {dead} dead leaders skipped in {} ms", stage.now_ms - before);
        let why: Vec<_> = stage.complaints(n - 1).into_iter().map(|(_, why)| why).collect();
        assert_eq!(why, vec![Suspicion::Skipped; usize::from(dead)]);
        stage.run_ms(10_000);
        assert_eq!(stage.view(n - 1), next, "the living leader keeps its view");
    }
}

/// C4: one validator hears nothing of the leader and gives up, alone. The leader hands over, and it votes again.
#[test]
fn c04_complaining_replica_alone_does_not_deadlock() {
    let mut stage = busy(4, 100, &Params::default());
    stage.rule(|_, from, to, _| if (from, to) == (0, 3) { Fate::Drop } else { Fate::Pass });
    while stage.view(3) == View::ZERO {
        stage.run_ms(10);
    }
    stage.lift_rules();
    stage.run_ms(3_000);
    let at = stage.complaints(3)[0].0;
    let handed: Vec<u64> = noticed(&stage, 0, |one| matches!(one, Notice::HandsOver { voters: 3, .. }));
    assert_eq!(handed.len(), 1);
    assert!(handed[0] <= at + 100, "complaint at {at}, hand-over at {handed:?}");
    assert_eq!(stage.complaints(3).len(), 1);
    no_complaints(&stage, 0..3);
    let votes = |stage: &Stage| {
        let of = &stage.cast[3].sent;
        of.iter()
            .filter(|(_, one)| matches!(one, Message::Vote(vote, _) if vote.view == View::new(1)))
            .count()
    };
    assert!(votes(&stage) > 10, "it votes in the next view");
    for who in 0..4 {
        assert_eq!(stage.view(who), View::new(1));
        assert!(stage.timed_out(who).is_empty());
    }
    assert!(percentile(&waits(&stage, 0..3), 990) <= 200);
}

/// C4, with one dead besides: neither decided nor given up by enough, until the timers of the others end it.
#[test]
fn c04_complaining_replica_and_a_dead_one_do_not_deadlock() {
    let mut stage = busy(4, 100, &Params::default());
    // The leader does not hear of the complaint, so it cannot help by handing over.
    stage.rule(|_, from, to, parcel| match parcel {
        _ if (from, to) == (0, 3) => Fate::Drop,
        Parcel::Message(Message::ViewChange(_)) if (from, to) == (3, 0) => Fate::Drop,
        _ => Fate::Pass,
    });
    while stage.complaints(3).is_empty() {
        stage.run_ms(50);
    }
    stage.leave(2);
    stage.lift_rules();
    let left = stage.now_ms;
    stage.run_ms(20_000);
    assert!(stage.view(1) > View::ZERO);
    for author in [0, 1, 3] {
        let longest = stage.longest_wait_ms(author);
        assert!(longest <= 3_000, "batches of {author} waited {longest} ms, from {left} ms on");
    }
    let since = waits(&stage, [0, 1]);
    assert!(percentile(&since[since.len() - 20..], 990) <= 200, "all is well again");
}

/// One liar that complains in every view costs at most a hand-over every ten seconds.
#[test]
fn c11_no_endless_rotation_by_one_who_always_complains() {
    let mut stage = busy(4, 100, &Params::default());
    for _ in 0..130 {
        stage.run_ms(500);
        let (view, record) = (stage.view(3), stage.engine(3).safety_record().cloned());
        if let Some(record) = record {
            let complaint = stage.kit.view_change(view.next().get(), record.high_qc, None, 3);
            stage.say(3, Message::ViewChange(Box::new(complaint)));
        }
    }
    let views = stage.view(1).get();
    let mut handed: Vec<u64> =
        (0..4).flat_map(|who| noticed(&stage, who, |one| matches!(one, Notice::HandsOver { .. }))).collect();
    handed.sort_unstable();
    println!("in 65 s: {views} views, handed over early at {handed:?} ms");
    // The liar's own view is the one that it cannot end by complaining.
    assert_eq!((views, handed.len()), (3, 3));
    let gap_ms = Params::default().handover_gap_ms;
    assert!(handed.windows(2).all(|pair| pair[1] >= pair[0] + gap_ms), "{handed:?}");
    assert!(percentile(&waits(&stage, 0..3), 990) <= 300);
    no_complaints(&stage, 0..3);
}

/// With f dead, each of their turns is skipped; nothing else ever ends a view but its term.
#[test]
fn c11_no_endless_rotation() {
    let mut stage = busy(7, 500, &Params::default());
    stage.leave(2);
    stage.leave(3);
    stage.run_ms(600_000);
    let (views, skipped) = (stage.view(0).get(), stage.timed_out(0).len());
    println!("ten minutes with two of seven dead: {views} views, {skipped} of them after a timeout");
    assert!((10..=18).contains(&views), "{views}");
    assert!(skipped <= 4, "two in each tour: {skipped}");
    assert!(
        stage.complaints(0).iter().all(|(_, why)| *why == Suspicion::Skipped),
        "{:?}",
        stage.complaints(0)
    );

    // The same after a minute in which nothing arrived anywhere.
    let mut stage = busy(4, 500, &Params::default());
    stage.run_ms(10_000);
    stage.rule(|_, _, _, _| Fate::Drop);
    stage.run_ms(60_000);
    stage.lift_rules();
    let healed = stage.now_ms;
    stage.run_ms(55_000);
    for who in 0..4 {
        let late: Vec<_> = stage.timed_out(who).into_iter().filter(|(at, _)| *at > healed + 10_000).collect();
        assert!(late.is_empty(), "validator {who}: {late:?}");
        assert!(stage.committed(who) > 100);
    }
}

/// C8: a network that has nothing to decide yet, or no quorum to decide it, changes no round.
#[test]
fn c08_no_round_change_before_there_is_anything_to_decide() {
    let asked = |stage: &Stage, who: u16| {
        stage.cast[usize::from(who)].sent.iter().any(|(_, one)| matches!(one, Message::ViewChange(_)))
    };
    // Two of four have come; the others come ten minutes later.
    let mut stage = Stage::new(4, |_| Params::default());
    stage.rule(|_, from, to, _| if from > 1 || to > 1 { Fate::Drop } else { Fate::Pass });
    stage.run_ms(600_000);
    assert!((0..4).all(|who| !asked(&stage, who)));
    // All are there, and idle: terms end, and nobody is given up.
    let mut stage = Stage::new(4, |_| Params::default());
    stage.run_ms(900_000);
    assert!((0..4).all(|who| !asked(&stage, who)), "{:?}", stage.complaints(1));
    assert!(stage.view(1) > View::new(4) && stage.committed(1) > 25, "terms and heartbeats go on");
}

/// Links that are three times slower than the first timeout: a view needs three hops, 4.5 s, and gets them once the
/// timeout has doubled four times. The simulator's networks heal, so they do not ask for this.
#[test]
fn a_network_slower_than_the_first_timeouts_is_waited_for() {
    let mut stage = Stage::new(4, |_| Params::default());
    stage.delay_ms = (1_500, 1_600);
    for author in 0..4 {
        stage.file_every(author, 5_000);
    }
    stage.run_ms(180_000);
    for who in 0..4 {
        assert!(
            stage.timed_out(who).len() >= 3,
            "the first timeouts are too short: {:?}",
            stage.timed_out(who)
        );
        assert!(stage.committed(who) >= 5, "validator {who} has {} blocks", stage.committed(who));
    }
}
