//! T2 at one engine among peers that the test speaks for: what counts against a leader, and what frames nobody.

use chain_core::block::{self, Flags};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, View};
use chain_core::lane::{LaneAdvance, SignedBatchHeader};
use city_sim::kit::table::{Table, engine, present, restored};
use city_sim::kit::{Kit, WALL_MS, ix, rank};
use city_sim::stage::name;
use consensus::action::{Action, Peers};
use consensus::engine::Tip;
use consensus::event::{Event, Now};
use consensus::message::{EntryProof, Message, Proposal, Status};
use consensus::{Engine, Params};

/// Engine 0 of four; validator 1 leads view 0. Blocks that only count, on `tip`.
struct Scene {
    table: Table,
    tip: Tip,
    /// Newest batch of lane 3, from which the leader fills its blocks.
    filler: Option<SignedBatchHeader>,
    /// What the others say they have executed.
    executed: u64,
    /// From one block to the next, milliseconds.
    gap_ms: u64,
}

fn status(table: &Table, high: u64) -> Message {
    Message::Status(Box::new(Status {
        epoch: Epoch::ZERO,
        view: table.seats[0].engine.view(),
        committed: Height::ZERO,
        executed: Height::new(high),
        certificate: None,
        high_qc: None,
        awaits_echo: false,
    }))
}

impl Scene {
    fn new() -> Self {
        Self::executed_by_others(1_000)
    }

    fn executed_by_others(executed: u64) -> Self {
        let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
        let tip = kit.genesis();
        let mut scene = Self { table: Table::alone(kit), tip, filler: None, executed, gap_ms: 300 };
        scene.order(&[]);
        scene
    }

    fn alive(&mut self) {
        for from in 1..4 {
            let message = status(&self.table, self.executed);
            self.table.tell(from, 0, message);
        }
        self.table.queue.clear();
    }

    /// Time passes, and everybody is heard.
    fn pass_ms(&mut self, span_ms: u64) {
        for _ in 0..span_ms / 50 {
            self.alive();
            self.table.pass_ms(50);
        }
    }

    /// The leader's next block, which orders these batches, each lane's last; all of them arrived before.
    fn order(&mut self, batches: &[SignedBatchHeader]) {
        let kit = &self.table.kit;
        let mut header = kit.header(&self.tip, 0, Flags::NONE);
        header.time_ms = (WALL_MS + self.table.now_ms).max(self.tip.time_ms + 1);
        if !batches.is_empty() {
            header.flags = Flags::NONE;
        }
        let digests: Vec<Digest> = batches.iter().map(|one| one.header.digest()).collect();
        header.n_batches = u32::try_from(batches.len()).unwrap_or(0);
        header.n_records = batches.iter().map(|one| one.header.count).sum();
        header.n_bytes = batches.iter().map(|one| one.header.bytes).sum();
        header.batches_root = block::batches_root(&digests);
        let mut advances: Vec<LaneAdvance> = Vec::new();
        for batch in batches {
            let advance = LaneAdvance {
                author: batch.header.author,
                seq: batch.header.seq,
                tip: batch.header.digest(),
            };
            match advances.iter_mut().find(|one| one.author == advance.author) {
                Some(one) => *one = advance,
                None => advances.push(advance),
            }
        }
        let block = self.table.kit.propose_advances(header, advances);
        self.table.tell(1, 0, Message::Propose(Box::new(block.clone())));
        self.commit(&block);
        self.tip = self.tip.after(&block);
    }

    fn commit(&mut self, block: &Proposal) {
        let at = rank(block.header.view.get(), block.header.height.get());
        for kind in [VoteKind::Prepare, VoteKind::Commit] {
            for signer in 1..4 {
                let vote = self.table.kit.vote(kind, at, block.header.digest(), signer);
                self.table.tell(signer, 0, Message::Vote(vote, Height::new(self.executed)));
            }
        }
        assert_eq!(self.table.committed(0), block.header.height.get(), "the block is sound");
    }

    /// So many batches of lane 3, each with so many operations, as they arrive.
    fn filler(&mut self, batches: usize, count: u32) -> Vec<SignedBatchHeader> {
        (0..batches)
            .map(|_| {
                let (seq, prev) = match &self.filler {
                    Some(last) => (last.header.seq + 1, last.header.digest()),
                    None => (0, Digest::ZERO),
                };
                let batch = self.table.kit.batch(3, seq, prev, count);
                self.hold(&batch);
                self.filler = Some(batch.clone());
                batch
            })
            .collect()
    }

    fn hold(&mut self, batch: &SignedBatchHeader) {
        self.table.feed(0, Event::BatchStored(batch.clone()));
    }

    /// Blocks of this many filler batches with so many operations each; once the leader is
    /// given up, after how many milliseconds.
    fn goes_on(&mut self, span_ms: u64, batches: usize, count: u32) -> Option<u64> {
        let start = self.table.now_ms;
        while self.table.now_ms < start + span_ms {
            let filler = self.filler(batches, count);
            self.order(&filler);
            self.pass_ms(self.gap_ms);
            if gave_up(&self.table) {
                return Some(self.table.now_ms - start);
            }
        }
        None
    }
}

fn gave_up(table: &Table) -> bool {
    table.seats[0].sent.iter().any(|(_, message)| matches!(message, Message::ViewChange(_)))
}

#[test]
fn t2_a_leader_that_passes_over_what_it_was_given_is_given_up() {
    let mut scene = Scene::new();
    let batch = scene.table.kit.batch(2, 0, Digest::ZERO, 1);
    scene.hold(&batch);
    let after = scene.goes_on(10_000, 1, 1).expect("it is left out");
    assert!((2_000..=2_600).contains(&after), "{after} ms");
    assert_eq!(
        scene.table.seats[0].pushed[0],
        (Peers::One(ix(1)), name(&batch)),
        "it was given to the leader"
    );
}

#[test]
fn t2_nothing_is_said_of_a_leader_that_orders_what_it_is_given() {
    let mut scene = Scene::new();
    let batch = scene.table.kit.batch(2, 0, Digest::ZERO, 1);
    scene.hold(&batch);
    assert_eq!(scene.goes_on(1_500, 1, 1), None);
    let filler = scene.filler(1, 1);
    scene.order(&[batch, filler[0].clone()]);
    assert_eq!(scene.goes_on(10_000, 1, 1), None);
}

/// Two batches for one place: nobody knows which of them the leader should take.
#[test]
fn t2_an_author_that_signs_two_batches_for_one_place_frames_nobody() {
    let mut scene = Scene::new();
    for count in [1, 2] {
        let batch = scene.table.kit.batch(2, 0, Digest::ZERO, count);
        scene.hold(&batch);
    }
    assert_eq!(scene.goes_on(10_000, 1, 1), None);
}

/// A batch that does not follow the committed frontier by hash could be ordered by nobody.
#[test]
fn t2_a_batch_that_does_not_extend_the_committed_frontier_frames_nobody() {
    let mut scene = Scene::new();
    let late = scene.table.kit.batch(2, 1, Digest::tagged(b"unknown", &[]), 1);
    scene.hold(&late);
    let stray = scene.table.kit.batch(0, 0, Digest::tagged(b"stray", &[]), 1);
    scene.hold(&stray);
    assert_eq!(scene.goes_on(10_000, 1, 1), None);
}

/// Full blocks pass over nothing, as long as they hold what came first.
#[test]
fn t2_full_blocks_frame_nobody_unless_they_prefer_what_came_later() {
    let mut scene = Scene::new();
    let batch = scene.table.kit.batch(2, 0, Digest::ZERO, 1);
    scene.hold(&batch);
    assert_eq!(scene.goes_on(10_000, 1, 8_192), None, "one batch fills each block");
    let after = scene.goes_on(10_000, 4, 2_048);
    assert!(after.is_some_and(|after| after <= 2_600), "four of one lane in its place: {after:?}");
}

/// What has waited for long and was pushed only now, the leader may have only now.
#[test]
fn t2_a_leader_has_time_for_what_it_is_given() {
    let mut scene = Scene::new();
    scene.gap_ms = 100;
    let batch = scene.table.kit.batch(2, 0, Digest::ZERO, 1);
    scene.hold(&batch);
    assert_eq!(scene.goes_on(4_000, 1, 8_192), None);
    assert_eq!(scene.table.seats[0].pushed, [], "there was no room for it");
    let after = scene.goes_on(4_000, 1, 1).expect("now there is room");
    assert!((600..=1_000).contains(&after), "{after} ms after the first block that had room");
    assert_eq!(scene.table.seats[0].pushed[0].1, name(&batch));
}

/// Lanes whose authors file more than one block holds do not keep the others from it.
#[test]
fn a_full_block_orders_something_of_every_lane() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 0) };
    let start = present(kit.fresh_record(0));
    let mut table = Table::with(kit, vec![start]);
    for author in 1..4 {
        let mut prev = Digest::ZERO;
        for seq in 0..20 {
            let batch = table.kit.batch(author, seq, prev, 1_000);
            prev = batch.header.digest();
            table.feed(0, Event::BatchStored(batch));
        }
    }
    // Only now it may sign.
    table.greet(0);
    table.pass_ms(100);
    let block = table.seats[0].sent.iter().find_map(|(_, message)| match message {
        Message::Propose(block) if block.header.n_records > 4_000 => Some(block),
        _ => None,
    });
    let block = block.expect("a full block");
    assert_eq!(block.header.n_records, 8_000);
    let authors: Vec<_> = block.advances.iter().map(|one| one.author).collect();
    assert_eq!(authors, [ix(1), ix(2), ix(3)]);
}

/// While a quorum has not executed what is final, nothing can be ordered, and the wait begins when it has.
#[test]
fn t2_waits_while_execution_is_behind() {
    let mut scene = Scene::executed_by_others(1);
    assert_eq!(scene.goes_on(3_600, 1, 1), None, "a dozen blocks, one of them executed by a quorum");
    let batch = scene.table.kit.batch(2, 0, Digest::ZERO, 1);
    scene.hold(&batch);
    assert_eq!(scene.goes_on(9_000, 1, 1), None);
    scene.executed = 1_000;
    let after = scene.goes_on(9_000, 1, 1).expect("now there is room");
    assert!((2_000..=2_900).contains(&after), "{after} ms");
}

/// C7: what decides is looked at before what gives up, though both fall into one step.
#[test]
fn c07_certificate_wins_over_timer_in_the_same_step() {
    let run = |certificate: bool| {
        let mut scene = Scene::new();
        let block = scene.table.kit.chain(&scene.tip, 0, 1).remove(0);
        scene.table.tell(1, 0, Message::Propose(Box::new(block.clone())));
        scene.pass_ms(450);
        assert!(!gave_up(&scene.table));
        // The timeout of 500 ms passes while nothing is heard; the next step finds it expired.
        scene.alive();
        scene.table.now_ms += 200;
        if certificate {
            let cert = scene.table.kit.cert_of(VoteKind::Commit, &block.header);
            scene.table.tell(1, 0, Message::Certificate(Box::new(cert)));
        } else {
            scene.table.feed(0, Event::Tick);
        }
        gave_up(&scene.table)
    };
    assert!(run(false), "the timer had expired");
    assert!(!run(true), "the certificate counts first");
}

/// C7, for VIEW-CHANGEs: a certificate that the last of them brings along is used before they are counted.
#[test]
fn c07_certificate_in_a_view_change_wins_over_joining_it() {
    let mut scene = Scene::new();
    let ahead = scene.table.kit.cert(VoteKind::Prepare, rank(1, 2), Digest::tagged(b"ahead", &[]));
    for signer in [2, 3] {
        let qc = consensus::message::HighQc::Qc(ahead.clone());
        let message = scene.table.kit.view_change(2, qc, None, signer);
        scene.table.tell(signer, 0, Message::ViewChange(Box::new(message)));
    }
    let asked: Vec<View> = scene.table.seats[0]
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::ViewChange(one) => Some(one.new_view),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [View::new(2)], "the certificate shows view 1, and two others leave it");
}

/// T5 needs a leader that has been silent for long and a quorum alive, this validator included (M12).
#[test]
fn t5_skips_only_one_that_is_long_silent_and_only_among_a_quorum() {
    // Who is heard besides, how long the next leader (validator 1 in view 1) has been silent, and whether it is skipped.
    for (heard, silent_ms, skipped) in
        [(&[2, 3][..], 3_500, true), (&[2, 3], 2_500, false), (&[2], 3_500, false), (&[2, 3], 0, false)]
    {
        let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(4, 0) });
        for step in 0..200 {
            for from in 1..4 {
                let until = 10_000 - if from == 1 { silent_ms } else { 0 };
                let away = from != 1 && !heard.contains(&from);
                if step * 50 < until && !away {
                    let message = status(&table, 0);
                    table.tell(from, 0, message);
                }
            }
            table.pass_ms(50);
        }
        table.seats[0].sent.clear();
        let proof = EntryProof::Timeout(Box::new(table.kit.timeout_on_base(1)));
        table.tell(2, 0, Message::Entry(proof));
        assert_eq!(table.seats[0].engine.view(), View::new(1));
        let asked = table.seats[0]
            .sent
            .iter()
            .any(|(_, message)| matches!(message, Message::ViewChange(one) if one.new_view == View::new(2)));
        assert_eq!(asked, skipped, "heard {heard:?}, silent for {silent_ms} ms");
    }
}

/// C10: an observer never asks for a view, whatever it misses.
#[test]
fn c10_observers_trigger_no_view_change() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let start = || restored(&kit, present(kit.fresh_record(0)));
    let mut observer = Engine::new(Params::default(), kit.judge(), None, start());
    let mut validator = engine(&kit, 0, present(kit.fresh_record(0)));
    let play = |engine: &mut Engine| {
        let mut out = Vec::new();
        let block = kit.chain(&kit.genesis(), 0, 1).remove(0);
        for step in 0..400_u64 {
            let now = Now { mono_ms: 1_000 + 50 * step, wall_ms: WALL_MS + 50 * step };
            let mut hear = |from: u16, message: Message| {
                engine.handle(now, Event::Message { from: ix(from), message: Box::new(message) }, &mut out);
            };
            if step == 0 {
                for from in 1..4 {
                    hear(from, Message::Echo(Box::default()));
                }
                hear(1, Message::Propose(Box::new(block.clone())));
            }
            // The leader says nothing more; f+1 others give up on it.
            for from in 2..4 {
                let message = kit.view_change(1, kit.base_qc(), None, from);
                if step == 200 {
                    hear(from, Message::ViewChange(Box::new(message)));
                }
                hear(
                    from,
                    Message::Status(Box::new(Status {
                        epoch: Epoch::ZERO,
                        view: View::ZERO,
                        committed: Height::ZERO,
                        executed: Height::ZERO,
                        certificate: None,
                        high_qc: None,
                        awaits_echo: false,
                    })),
                );
            }
            // A stranger's complaint is nobody's.
            hear(9, Message::ViewChange(Box::new(kit.view_change(1, kit.base_qc(), None, 0))));
            engine.handle(now, Event::BatchStored(kit.batch(2, 0, Digest::ZERO, 1)), &mut out);
            engine.handle(now, Event::Tick, &mut out);
        }
        out.into_iter()
            .filter(|action| {
                matches!(action, Action::Send { message, .. }
                    if matches!(**message, Message::ViewChange(_) | Message::Vote(..) | Message::Have { .. }))
            })
            .count()
    };
    assert_eq!(play(&mut observer), 0);
    assert!(play(&mut validator) > 0, "a validator in its place gives up");
}
