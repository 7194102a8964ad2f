//! The voting rules across view changes: what other systems got wrong about them, each tried on ours
//! (docs/robustness/pitfalls.md, B1 to B8; what outlives a crash is in `pitfalls_b_durable`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{self, Flags, Header};
use chain_core::certificate::VoteKind;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::{LaneAdvance, SignedBatchHeader};
use city_sim::kit::table::{self, Table, present, summary};
use city_sim::kit::town::Town;
use city_sim::kit::{Kit, ix, propose};
use consensus::Engine;
use consensus::action::{Action, Peers};
use consensus::event::{Event, Now};
use consensus::message::{EntryProof, HighQc, Justification, Message, Proposal, TimeoutCert, Vote};

/// Engine 0 of four alone at a table; validator 1 leads view 0, validator 2 view 1.
fn alone() -> Table {
    Table::alone(Kit { fast: true, ..Kit::led_by(4, 1) })
}

fn votes(table: &Table, kind: VoteKind) -> Vec<Vote> {
    let signed = table.seats[0].signed(ix(0)).into_iter();
    let votes = signed.filter_map(|message| match message {
        Message::Vote(vote, _) if vote.kind == kind => Some(*vote),
        _ => None,
    });
    votes.collect()
}

fn delivered(table: &Table) -> Vec<u64> {
    table.seats[0].delivered.iter().map(|one| one.header.height.get()).collect()
}

fn qc(kit: &Kit, block: &Proposal) -> HighQc {
    HighQc::Qc(kit.cert_of(VoteKind::Prepare, &block.header))
}

/// Validators 1 to 3 give up the view before `view`; each knows this much.
fn timeout(kit: &Kit, view: u64, known: [HighQc; 3]) -> TimeoutCert {
    let known: Vec<_> = (1..4).zip(known).collect();
    kit.timeout(view, &known)
}

fn entry(tc: &TimeoutCert) -> Message {
    Message::Entry(EntryProof::Timeout(Box::new(tc.clone())))
}

/// The first block of a view on a tip.
fn opening(kit: &Kit, on: &consensus::engine::Tip, tc: &TimeoutCert) -> Proposal {
    let header = kit.header(on, tc.new_view.get(), Flags::NONE);
    kit.propose(header, Some(Justification::Timeout(Box::new(tc.clone()))))
}

/// Five validators. `saw` get the first block, `prepared` hear its PREPAREs, nobody hears a COMMIT for it;
/// then the network is whole again but for one validator, and at last whole. What is block 1 in the end?
fn struggle(saw: &[u16], prepared: &[u16], silent: Option<u16>) -> (Table, Digest) {
    let kit = Kit { fast: true, ..Kit::led_by(5, 0) };
    let starts = (0..5).map(|me| present(kit.fresh_record(me))).collect();
    let mut table = Table::with(kit, starts);
    for a in 0..5 {
        for b in (0..5).filter(|b| *b != a) {
            table.feed(a, Event::Connected(ix(b)));
        }
    }
    let passes = |_: ValidatorIx, to: ValidatorIx, message: &Message| match message {
        Message::Propose(_) => saw.contains(&to.get()),
        Message::Vote(vote, _) => vote.kind == VoteKind::Prepare && prepared.contains(&to.get()),
        Message::Certificate(_) => false,
        _ => true,
    };
    table.settle_by(passes);
    table.pass_ms_by(400, passes);
    assert!((0..5).all(|me| table.committed(me) == 0));
    let first = table.seats[0].signed(ix(0)).into_iter().find_map(|message| match message {
        Message::Propose(proposal) => Some(proposal.header.digest()),
        _ => None,
    });
    let apart =
        |from: ValidatorIx, to: ValidatorIx| silent.is_some_and(|one| from == ix(one) || to == ix(one));
    table.pass_ms_by(10_000, |from, to, _| !apart(from, to));
    let others = (0..5).filter(|me| Some(*me) != silent);
    let behind: Vec<u16> = others.filter(|me| table.committed(*me) == 0).collect();
    assert_eq!(behind, [0_u16; 0], "stuck: {saw:?} saw it, {prepared:?} prepared it, {silent:?} is away");
    table.pass_ms(5_000);
    assert!((0..5).all(|me| table.committed(me) >= 1), "the one that was away is stuck");
    let block = |seat: &table::Seat| seat.delivered[0].header.digest();
    assert!(table.seats.iter().all(|seat| block(seat) == block(&table.seats[0])), "a fork");
    assert!(table.seats.iter().all(|seat| seat.alarms.is_empty()));
    (table, first.unwrap())
}

#[test]
fn b01_two_of_five_that_voted_for_a_block_nobody_else_saw_are_not_locked_in() {
    for mate in 1..5 {
        for silent in (1..5).filter(|one| *one != mate).map(Some).chain([None]) {
            let (table, first) = struggle(&[mate], &[0, mate], silent);
            assert_ne!(table.seats[0].delivered[0].header.digest(), first, "nobody else could have seen it");
        }
    }
}

#[test]
fn b01_two_of_five_that_prepared_a_block_bring_it_along() {
    for mate in 1..5 {
        for silent in (1..5).filter(|one| *one != mate).map(Some).chain([None]) {
            let saw: Vec<u16> = (1..5).filter(|one| Some(*one) != silent || silent.is_none()).collect();
            let (table, first) = struggle(&saw, &[0, mate], silent);
            assert_eq!(table.seats[0].delivered[0].header.digest(), first, "every quorum knows of it");
        }
    }
    // One alone prepared it and is away: the others go on, and it follows.
    for lone in 1..5 {
        let saw: Vec<u16> = (1..5).collect();
        struggle(&saw, &[lone], Some(lone));
    }
}

#[test]
fn b02_a_block_carried_into_another_view_keeps_its_digest_and_is_voted_for() {
    let mut table = alone();
    let kit = &table.kit;
    let carried = kit.chain(&kit.genesis(), 0, 1).remove(0);
    let tc = timeout(kit, 1, [qc(kit, &carried), kit.base_qc(), kit.base_qc()]);
    let first = opening(kit, &kit.genesis().after(&carried), &tc);
    // The same block as a new view would stamp it: another block.
    let mut restamped = kit.header(&kit.genesis(), 1, Flags::NONE);
    restamped.time_ms = carried.header.time_ms;
    assert_ne!(restamped.digest(), carried.header.digest(), "the view is part of the digest");
    let restamped = kit.propose(restamped, Some(Justification::Timeout(Box::new(tc))));
    table.tell(2, 0, propose(&restamped));
    assert_eq!(votes(&table, VoteKind::Prepare), []);
    // This engine has never seen the carried block, and its leader is gone: it gets it from whoever holds it.
    table.tell(2, 0, propose(&first));
    assert_eq!(votes(&table, VoteKind::Prepare), []);
    table.pass_ms(300);
    let asks = |(_, message): &(_, Message)| matches!(message, Message::GetProposal { digest } if *digest == carried.header.digest());
    assert!(table.seats[0].sent.iter().any(asks));
    table.tell(3, 0, propose(&carried));
    let prepared = votes(&table, VoteKind::Prepare);
    assert_eq!(prepared.iter().map(|vote| vote.digest).collect::<Vec<_>>(), [first.header.digest()]);
    let cert = table.kit.cert_of(VoteKind::Commit, &first.header);
    table.tell(2, 0, Message::Certificate(Box::new(cert)));
    let blocks: Vec<&Header> = table.seats[0].delivered.iter().map(|one| &one.header).collect();
    assert_eq!(blocks, [&carried.header, &first.header], "final as it was first proposed");
}

#[test]
fn b02_a_new_leader_builds_on_the_carried_block_and_does_not_propose_it_again() {
    // Validator 3 leads view 0 and this engine view 1.
    let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(4, 3) });
    let kit = &table.kit;
    let carried = kit.chain(&kit.genesis(), 0, 1).remove(0);
    let tc = timeout(kit, 1, [kit.base_qc(), qc(kit, &carried), kit.base_qc()]);
    table.tell(3, 0, propose(&carried));
    table.tell(2, 0, entry(&tc));
    table.pass_ms(100);
    let proposals = table.seats[0].signed(ix(0)).into_iter().filter_map(|message| match message {
        Message::Propose(proposal) => Some(proposal),
        _ => None,
    });
    let proposals: Vec<_> = proposals.collect();
    assert_eq!(proposals.len(), 1);
    let header = &proposals[0].header;
    assert_eq!(
        (header.view, header.height, header.parent),
        (View::new(1), Height::new(2), carried.header.digest())
    );
    // A proposer that checks its own block as others do (what was mended in the same change).
    let mut voter = alone_as(&table.kit);
    voter.tell(3, 0, propose(&carried));
    voter.tell(1, 0, propose(proposals[0]));
    assert_eq!(votes(&voter, VoteKind::Prepare).last().map(|vote| vote.digest), Some(header.digest()));
}

/// The engine of seat 0 once more: as a voter it may be told its own twin's words by anybody.
fn alone_as(kit: &Kit) -> Table {
    Table::alone(Kit {
        chain_id: kit.chain_id,
        epoch: kit.epoch,
        committee: kit.committee.clone(),
        fast: kit.fast,
        start: kit.start.clone(),
    })
}

#[test]
fn b03_a_new_view_on_less_than_the_highest_certificate_is_refused() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let blocks = kit.chain(&kit.genesis(), 0, 2);
    let tips = [kit.genesis(), kit.genesis().after(&blocks[0])];
    let (low, high) = (qc(&kit, &blocks[0]), qc(&kit, &blocks[1]));
    let honest = timeout(&kit, 1, [high.clone(), low.clone(), kit.base_qc()]);
    let lie = |best: &HighQc| TimeoutCert { best: best.clone(), ..honest.clone() };
    let short = TimeoutCert { claims: honest.claims[1..].to_vec(), best: low.clone(), ..honest.clone() };
    let rows = [
        ("the highest is left out and the next best shown", opening(&kit, &tips[1], &lie(&low))),
        ("every certificate is left out", opening(&kit, &tips[0], &lie(&kit.base_qc()))),
        ("the validator with the highest is left out", opening(&kit, &tips[1], &short)),
        ("an honest certificate, a block on the next best", opening(&kit, &tips[1], &honest)),
        ("an honest certificate, a block on the base", opening(&kit, &tips[0], &honest)),
    ];
    for (what, proposal) in rows {
        let mut table = alone_as(&kit);
        for block in &blocks {
            table.tell(1, 0, propose(block));
        }
        let before = votes(&table, VoteKind::Prepare).len();
        table.tell(2, 0, propose(&proposal));
        if let Some(Justification::Timeout(tc)) = &proposal.justification {
            table.tell(2, 0, entry(tc));
            table.tell(2, 0, propose(&proposal));
        }
        assert_eq!(votes(&table, VoteKind::Prepare).len(), before, "voted: {what}");
        let certain = table.kit.judge().timeout(honest.clone()).unwrap();
        assert_eq!(certain.best.rank(), high.rank());
        // The honest first block of the view is still welcome.
        table.tell(2, 0, propose(&opening(&kit, &tips[1].after(&blocks[1]), &honest)));
        assert_eq!(votes(&table, VoteKind::Prepare).len(), before + 1, "after: {what}");
    }
}

/// Seven validators, of which three ask for the next view: this one joins, but there is no quorum for it yet.
#[test]
fn b04_nothing_brings_back_votes_in_a_view_that_was_given_up() {
    let mut table = Table::alone(Kit { fast: true, ..Kit::led_by(7, 1) });
    let blocks = table.kit.chain(&table.kit.genesis(), 0, 4);
    table.tell(1, 0, propose(&blocks[0]));
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 1);
    for asks in 2..5 {
        let change = table.kit.view_change(1, table.kit.base_qc(), None, asks);
        table.tell(asks, 0, Message::ViewChange(Box::new(change)));
    }
    let asked = table.seats[0].signed(ix(0)).into_iter().any(|one| matches!(one, Message::ViewChange(_)));
    assert!(asked && table.seats[0].engine.view() == View::ZERO);
    let before = table.seats[0].signed(ix(0)).len();
    // The view goes on without it: blocks, their PREPARE certificates, and the proof that they are final.
    for block in &blocks {
        table.tell(1, 0, propose(block));
        let prepared = table.kit.cert_of(VoteKind::Prepare, &block.header);
        table.tell(1, 0, Message::Certificate(Box::new(prepared)));
    }
    let late = |table: &Table| {
        let votes = [votes(table, VoteKind::Prepare), votes(table, VoteKind::Commit)].concat();
        votes
            .into_iter()
            .filter(|vote| vote.digest != blocks[0].header.digest() || vote.kind == VoteKind::Commit)
            .count()
    };
    assert_eq!(late(&table), 0, "it promised not to");
    for block in &blocks[..3] {
        let done = table.kit.cert_of(VoteKind::Commit, &block.header);
        table.tell(1, 0, Message::Certificate(Box::new(done)));
    }
    assert_eq!(delivered(&table), [1, 2, 3], "it follows");
    for signer in 1..7 {
        let vote = table.kit.vote_on(VoteKind::Prepare, &blocks[3].header, signer);
        table.tell(signer, 0, vote);
    }
    table.pass_ms(3_000);
    assert_eq!(late(&table), 0, "seeing others go on changes nothing");
    assert!(table.seats[0].signed(ix(0)).len() > before, "it repeats that it asks for the next view");
    // In that view it votes again.
    let known: Vec<_> = (2..7).map(|signer| (signer, qc(&table.kit, &blocks[3]))).collect();
    let tc = table.kit.timeout(1, &known);
    let tip = blocks.iter().fold(table.kit.genesis(), |tip, block| tip.after(block));
    let first = opening(&table.kit, &tip, &tc);
    table.tell(2, 0, propose(&first));
    let prepared = table.kit.cert_of(VoteKind::Prepare, &first.header);
    table.tell(2, 0, Message::Certificate(Box::new(prepared)));
    let newest = |kind| votes(&table, kind).last().map(|vote| vote.digest);
    assert_eq!(newest(VoteKind::Prepare), Some(first.header.digest()));
    assert_eq!(newest(VoteKind::Commit), Some(first.header.digest()));
}

/// One validator missed everything and leads the next view, or does not; the newest block is final
/// everywhere else, or only certified. The leader of view 0 then dies.
#[test]
fn b05_one_that_lags_builds_no_fork_in_a_view_change() {
    for lagging in 1..4 {
        for only_certified in [false, true] {
            let mut town = Town::new(4, 0);
            town.cut.insert(lagging);
            town.start_all();
            town.pass_ms(100);
            for round in 0..6 {
                let other = if lagging == 1 { 2 } else { 1 };
                assert!(town.submit(if round % 2 == 0 { 0 } else { other }));
                town.pass_ms(30);
            }
            if only_certified {
                town.only(|_, _, message| !matches!(message, Message::Vote(vote, _) if vote.kind == VoteKind::Commit));
                assert!(town.submit(0));
                town.pass_ms(30);
            }
            let known = (0..4).map(|house| town.committed(house)).max().unwrap();
            assert!(known >= 5 && town.committed(lagging) == 0);
            town.stop(0, false);
            town.mend();
            town.all();
            let what = format!("{lagging} lags, only certified: {only_certified}");
            town.pass_ms(100);
            assert!(town.submit(if lagging == 3 { 2 } else { 3 }));
            let all = |town: &Town| (1..4).all(|house| town.lost_or_doubled(house).is_none());
            let took = town.until(10_000, all);
            assert!(took.is_some(), "no progress: {what}\n{:#?}", town.houses);
            assert_eq!(town.violation(), None, "{what}");
            assert!(
                (1..4).all(|house| town.engine(house).view() == View::new(1)),
                "a view was wasted: {what}\n{:#?}",
                town.houses
            );
            assert!(town.houses.iter().all(|house| house.alarms.is_empty()), "{what}");
        }
    }
}

/// One engine whose disk and executor answer when the test says so.
struct Slow {
    kit: Kit,
    engine: Engine,
    now_ms: u64,
    written: u64,
    executing: Vec<Height>,
    delivered: Vec<Height>,
    proposed: Vec<Header>,
}

impl Slow {
    /// Leads view 1.
    fn new() -> Self {
        let kit = Kit { fast: true, ..Kit::led_by(4, 3) };
        let engine = table::engine(&kit, 0, present(kit.fresh_record(0)));
        let (executing, delivered, proposed) = (Vec::new(), Vec::new(), Vec::new());
        let mut slow = Self { kit, engine, now_ms: 1_000, written: 0, executing, delivered, proposed };
        slow.feed(Event::Tick);
        for from in 1..4 {
            slow.tell(from, Message::Echo(Box::default()));
        }
        slow
    }

    fn feed(&mut self, event: Event) {
        self.now_ms += 1;
        let now = Now { mono_ms: self.now_ms, wall_ms: city_sim::kit::WALL_MS + self.now_ms };
        let mut out = Vec::new();
        self.engine.handle(now, event, &mut out);
        for action in out {
            match action {
                Action::Persist(persist) => self.written = persist.seq,
                Action::Deliver(delivery) => {
                    self.executing.push(delivery.header.height);
                    self.delivered.push(delivery.header.height);
                }
                Action::Send { message, .. } => {
                    if let Message::Propose(proposal) = *message
                        && proposal.header.proposer == ix(0)
                        && !self.proposed.contains(&proposal.header)
                    {
                        self.proposed.push(proposal.header);
                    }
                }
                Action::Alarm(alarm) => panic!("{alarm:?}"),
                _ => {}
            }
        }
    }

    fn tell(&mut self, from: u16, message: Message) {
        self.feed(Event::Message { from: ix(from), message: Box::new(message) });
    }

    fn persisted(&mut self) {
        self.feed(Event::Persisted(self.written));
    }

    fn executed(&mut self) {
        for height in std::mem::take(&mut self.executing) {
            self.feed(Event::Executed { summary: summary(height), scheduled: None });
        }
    }
}

#[test]
fn b06_a_view_change_may_come_before_the_disk_and_the_executor_have_answered() {
    // Every order of: the commit certificate, the view change, the disk, the executor.
    for order in permutations(4) {
        let mut slow = Slow::new();
        let block = slow.kit.chain(&slow.kit.genesis(), 0, 1).remove(0);
        slow.tell(3, propose(&block));
        for at in order.iter().chain(&[2, 3, 2, 3]) {
            match at {
                0 => {
                    let cert = slow.kit.cert_of(VoteKind::Commit, &block.header);
                    slow.tell(2, Message::Certificate(Box::new(cert)));
                }
                1 => {
                    let base = slow.kit.base_qc();
                    let tc = timeout(&slow.kit, 1, [base.clone(), base, qc(&slow.kit, &block)]);
                    slow.tell(2, entry(&tc));
                }
                2 => slow.persisted(),
                _ => slow.executed(),
            }
        }
        assert_eq!(slow.engine.view(), View::new(1), "{order:?}");
        assert_eq!(slow.delivered, [Height::new(1)], "{order:?}");
        let [first] = &slow.proposed[..] else { panic!("{order:?}: {:?}", slow.proposed) };
        assert_eq!((first.height, first.parent), (Height::new(2), block.header.digest()), "{order:?}");
        let cert = slow.kit.cert_of(VoteKind::Commit, first);
        slow.tell(2, Message::Certificate(Box::new(cert)));
        slow.persisted();
        slow.executed();
        assert_eq!(slow.delivered, [Height::new(1), Height::new(2)], "{order:?}");
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..n {
        all = all
            .into_iter()
            .flat_map(|one: Vec<usize>| {
                let free: Vec<usize> = (0..n).filter(|at| !one.contains(at)).collect();
                free.into_iter().map(move |at| [one.clone(), vec![at]].concat())
            })
            .collect();
    }
    all
}

/// A block that orders one batch, on an empty first block.
fn with_data(kit: &Kit) -> (Proposal, SignedBatchHeader, Header, LaneAdvance) {
    let first = kit.chain(&kit.genesis(), 0, 1).remove(0);
    let batch = kit.batch(2, 0, Digest::ZERO, 3);
    let tip = batch.header.digest();
    let mut header = kit.header(&kit.genesis().after(&first), 0, Flags::NONE);
    header.flags = Flags::NONE;
    (header.n_batches, header.n_records, header.n_bytes) = (1, batch.header.count, batch.header.bytes);
    header.batches_root = block::batches_root([&tip]);
    (first, batch, header, LaneAdvance { author: ix(2), seq: 0, tip })
}

#[test]
fn b07_nothing_is_signed_before_it_is_checked() {
    let kit = Kit { fast: true, ..Kit::led_by(4, 1) };
    let other = Digest::tagged(b"other", &[]);
    type Flaw = fn(&mut Header, Digest);
    let rows: [(&str, Flaw); 19] = [
        ("another version", |header, _| header.version += 1),
        ("another epoch", |header, _| header.epoch = Epoch::new(1)),
        ("another parent", |header, other| header.parent = other),
        ("a height too high", |header, _| header.height = header.height.next()),
        ("another validator's turn", |header, _| header.proposer = ix(3)),
        ("no later than its parent", |header, _| header.time_ms = city_sim::kit::WALL_MS),
        ("from the future", |header, _| header.time_ms += 60_000),
        ("from the past", |header, _| header.time_ms = 1),
        ("another validator set", |header, other| header.validators_hash = other),
        ("another next validator set", |header, other| header.next_validators_hash = other),
        ("another history", |header, other| header.history_root = other),
        ("an execution not reached", |header, _| header.exec_height = Height::new(1)),
        ("another root of a known execution", |header, other| header.exec_root = other),
        ("an execution of itself", |header, _| header.exec_height = Height::new(2)),
        ("empty and not", |header, _| header.flags = Flags::SEAL),
        ("more batches than it orders", |header, _| header.n_batches = 2),
        ("more operations than it orders", |header, _| header.n_records += 1),
        ("fewer bytes than it orders", |header, _| header.n_bytes -= 1),
        ("other batches", |header, other| header.batches_root = other),
    ];
    for (what, flaw) in rows {
        let mut table = alone_as(&kit);
        let (first, batch, mut header, advance) = with_data(&kit);
        table.tell(1, 0, propose(&first));
        table.feed(0, Event::BatchStored(batch));
        let before = votes(&table, VoteKind::Prepare).len();
        flaw(&mut header, other);
        let block = kit.propose_advances(header, vec![advance]);
        table.tell(1, 0, propose(&block));
        table.pass_ms(400);
        assert_eq!((before, votes(&table, VoteKind::Prepare).len()), (1, 1), "voted: {what}");
    }
    // The data of a sound one is what its PREPARE waits for.
    let mut table = alone_as(&kit);
    let (first, batch, header, advance) = with_data(&kit);
    table.tell(1, 0, propose(&first));
    table.tell(1, 0, propose(&kit.propose_advances(header, vec![advance])));
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 1, "its data is not here");
    let rival = kit.batch(2, 0, Digest::ZERO, 4);
    table.feed(0, Event::BatchStored(rival));
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 1, "nor is what came for it");
    table.feed(0, Event::BatchStored(batch));
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 2);
}

/// Found by simulation: of five validators one had lost its record and one had a clock 0.6 s slow; the second
/// refused each block for good, and the chain stood still.
#[test]
fn a_block_ahead_of_the_own_clock_gets_its_vote_when_the_clock_is_there() {
    let mut table = alone();
    let mut header = table.kit.header(&table.kit.genesis(), 0, Flags::NONE);
    header.time_ms = city_sim::kit::WALL_MS + table.now_ms + 700;
    let block = table.kit.propose(header, None);
    table.tell(1, 0, propose(&block));
    table.pass_ms_by(150, |_, _, _| false);
    assert_eq!(votes(&table, VoteKind::Prepare), [], "0.55 s ahead");
    table.pass_ms_by(150, |_, _, _| false);
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 1, "0.4 s ahead");
}

#[test]
fn b07_a_root_that_execution_did_not_reach_costs_its_leader_the_view_and_nobody_else_anything() {
    let mut table = alone();
    let kit = &table.kit;
    let blocks = kit.chain(&kit.genesis(), 0, 1);
    let done = kit.cert_of(VoteKind::Commit, &blocks[0].header);
    let mut header = kit.header(&kit.genesis().after(&blocks[0]), 0, Flags::NONE);
    (header.exec_height, header.exec_root) = (Height::new(1), Digest::tagged(b"other", &[]));
    let block = kit.propose(header, None);
    table.tell(1, 0, propose(&blocks[0]));
    table.tell(1, 0, Message::Certificate(Box::new(done)));
    let before = votes(&table, VoteKind::Prepare).len();
    table.tell(1, 0, propose(&block));
    assert_eq!(votes(&table, VoteKind::Prepare).len(), before);
    // Nothing but the leader is wrong so far: this validator gives it up and goes on.
    assert_eq!(table.seats[0].alarms, []);
    let asked = |(_, message): &(Peers, Message)| matches!(message, Message::ViewChange(_));
    assert!(table.seats[0].sent.iter().any(asked));
}

#[test]
fn b08_five_blocks_carried_over_a_view_change_are_delivered_in_order_and_once() {
    for backwards in [false, true] {
        let mut table = alone();
        let kit = &table.kit;
        let mut blocks = kit.chain(&kit.genesis(), 0, 5);
        let tc = timeout(kit, 1, [qc(kit, &blocks[4]), kit.base_qc(), qc(kit, &blocks[2])]);
        let tip = blocks.iter().fold(kit.genesis(), |tip, block| tip.after(block));
        blocks.push(opening(kit, &tip, &tc));
        let cert = |at: usize, kind| Message::Certificate(Box::new(kit.cert_of(kind, &blocks[at].header)));
        let late = [
            cert(0, VoteKind::Commit),
            cert(3, VoteKind::Commit),
            cert(4, VoteKind::Prepare),
            cert(5, VoteKind::Commit),
        ];
        let change = entry(&tc);
        let mut proposals: Vec<Message> = blocks.iter().map(propose).collect();
        if backwards {
            // The certificate is there first, and the blocks come from the newest to the oldest.
            proposals.reverse();
            table.tell(2, 0, change);
            table.tell(2, 0, late[3].clone());
        } else {
            proposals.insert(5, change);
        }
        for message in proposals {
            table.tell(2, 0, message);
        }
        for _ in 0..2 {
            for message in &late {
                table.tell(3, 0, message.clone());
            }
        }
        // Another view: nothing comes again.
        let sixth = qc(&table.kit, &blocks[5]);
        let again = timeout(&table.kit, 2, [sixth.clone(), sixth, table.kit.base_qc()]);
        table.tell(2, 0, entry(&again));
        let next = opening(&table.kit, &tip.after(&blocks[5]), &again);
        table.tell(3, 0, propose(&next));
        let done = table.kit.cert_of(VoteKind::Commit, &next.header);
        table.tell(3, 0, Message::Certificate(Box::new(done)));
        table.pass_ms(1_000);
        assert_eq!(delivered(&table), [1, 2, 3, 4, 5, 6, 7], "backwards: {backwards}");
        assert!(table.seats[0].alarms.is_empty());
    }
}

#[test]
fn b07_data_of_another_lane_is_not_the_data_of_a_block() {
    let mut table = alone();
    let (first, batch, header, advance) = with_data(&table.kit);
    table.tell(1, 0, propose(&first));
    table.feed(0, Event::BatchStored(batch));
    let moved = LaneAdvance { author: ix(3), ..advance };
    let block = table.kit.propose_advances(header, vec![moved]);
    table.tell(1, 0, propose(&block));
    table.pass_ms(400);
    assert_eq!(votes(&table, VoteKind::Prepare).len(), 1, "the empty first block only");
}
