//! One validator catches up with a long chain while some of those it asks lie, stall or dawdle: it is never later
//! than twice the time that honest peers take, as long as one of them is honest, and it stores nothing that no
//! certificate proves (docs/protocol.md, 6).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use chain_core::certificate::{Cert, VoteKind};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Height, View};
use chain_core::lane::LaneAdvance;
use city_sim::kit::table::Table;
use city_sim::kit::{Kit, ix};
use consensus::action::{Peers, Write};
use consensus::event::Event;
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX, Status};

/// Heights to catch up with: a hundred answers.
const BLOCKS: usize = 100 * 128;
/// From a question to its answer, milliseconds.
const ROUND_MS: u64 = 20;

/// How a peer answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Peer {
    Honest,
    /// Claims a tip that there is not, then a lower one, and never says a word about blocks.
    FalseTip,
    Stall,
    /// Right answers, just before another peer is asked.
    Slow,
    /// One block in each answer.
    Drip,
    Empty,
    /// One block is another one, signed by its leader.
    WrongBlock,
    /// One block orders other batches than its header says.
    WrongAdvances,
    /// One block lacks its leader's signature.
    WrongSignature,
    /// The certificate of another height, a forged one, and one of PREPAREs.
    OtherCertificate,
    ForgedCertificate,
    PrepareCertificate,
    /// A block is missing in the middle.
    Gap,
    /// Begins above what was asked for.
    Above,
    /// One more than an answer may hold.
    TooMany,
}

const LIES: [Peer; 14] = [
    Peer::FalseTip,
    Peer::Stall,
    Peer::Slow,
    Peer::Drip,
    Peer::Empty,
    Peer::WrongBlock,
    Peer::WrongAdvances,
    Peer::WrongSignature,
    Peer::OtherCertificate,
    Peer::ForgedCertificate,
    Peer::PrepareCertificate,
    Peer::Gap,
    Peer::Above,
    Peer::TooMany,
];

fn kit(n: u16) -> Kit {
    Kit { fast: true, ..Kit::led_by(n, 1) }
}

/// The chain of a kit.
fn chain(kit: &Kit) -> &'static [Proposal] {
    static CHAINS: [OnceLock<Vec<Proposal>>; 17] = [const { OnceLock::new() }; 17];
    CHAINS[kit.n()].get_or_init(|| kit.chain(&kit.genesis(), 0, BLOCKS))
}

fn commit(kit: &Kit, block: &Proposal) -> Cert {
    kit.cert_of(VoteKind::Commit, &block.header)
}

/// What a peer answers, and after how long.
fn answer(kit: &Kit, peer: Peer, from: Height) -> Option<(u64, Message)> {
    let all = chain(kit);
    let at = usize::try_from(from.get() - 1).unwrap();
    let most = usize::try_from(SYNC_BLOCKS_MAX).unwrap();
    let count = match peer {
        Peer::FalseTip | Peer::Stall => return None,
        Peer::Drip => 1,
        Peer::TooMany => most + 1,
        _ => most,
    };
    let end = (at + count).min(all.len());
    let mut blocks = all[at..end].to_vec();
    let last = blocks.last()?.clone();
    let middle = blocks.len() / 2;
    let mut certificate = commit(kit, &last);
    match peer {
        Peer::Empty => blocks.clear(),
        Peer::WrongBlock => {
            let mut header = blocks[middle].header.clone();
            header.time_ms += 1;
            blocks[middle] = kit.propose(header, None);
        }
        Peer::WrongAdvances => {
            blocks[middle].advances.push(LaneAdvance { author: ix(2), seq: 0, tip: Digest::ZERO });
        }
        Peer::WrongSignature => blocks[middle].signature = Signature::ZERO,
        Peer::OtherCertificate => certificate = commit(kit, &all[at.saturating_sub(1)]),
        Peer::ForgedCertificate => certificate.signatures.fill(Signature::ZERO),
        Peer::PrepareCertificate => certificate = kit.cert_of(VoteKind::Prepare, &last.header),
        Peer::Gap => drop(blocks.remove(middle)),
        Peer::Above => drop(blocks.remove(0)),
        _ => {}
    }
    let round = if peer == Peer::Slow { 290 } else { ROUND_MS };
    Some((round, Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(certificate) }))
}

/// Validator 0 among peers, knowing that it is behind.
struct Scene {
    table: Table,
    peers: Vec<Peer>,
    /// Answers on their way: when, a number, from whom, what.
    due: BTreeMap<(u64, u64), (u16, Message)>,
    sent: u64,
    /// Questions by peer.
    asked: BTreeMap<u16, usize>,
    most_ahead: usize,
}

impl Scene {
    fn new(peers: &[Peer]) -> Self {
        let mut scene = Self::silent(peers);
        scene.claim(u64::MAX);
        scene.claim(1);
        scene
    }

    /// No peer has said where it stands.
    fn silent(peers: &[Peer]) -> Self {
        let mut table = Table::alone(kit(u16::try_from(peers.len() + 1).unwrap()));
        table.watched = false;
        Self {
            table,
            peers: peers.to_vec(),
            due: BTreeMap::new(),
            sent: 0,
            asked: BTreeMap::new(),
            most_ahead: 0,
        }
    }

    /// Every peer says where it stands; those that lie about it say this.
    fn claim(&mut self, false_tip: u64) {
        let tip = chain(&self.table.kit).last().unwrap();
        for (from, peer) in (1_u16..).zip(self.peers.clone()) {
            let lies = peer == Peer::FalseTip;
            let height = Height::new(if lies { false_tip } else { BLOCKS as u64 });
            let certificate = (!lies).then(|| Box::new(commit(&self.table.kit, tip)));
            let status = Status {
                epoch: self.table.kit.epoch,
                view: View::ZERO,
                committed: height,
                executed: height,
                certificate,
                high_qc: None,
                awaits_echo: false,
            };
            self.tell(from, Message::Status(Box::new(status)));
        }
    }

    fn tell(&mut self, from: u16, message: Message) {
        self.table.tell(from, 0, message);
        self.answer_questions();
    }

    fn answer_questions(&mut self) {
        let (now_ms, seat) = (self.table.now_ms, &mut self.table.seats[0]);
        self.most_ahead = self.most_ahead.max(seat.engine.held().ahead);
        self.table.queue.clear();
        for (to, message) in std::mem::take(&mut seat.sent) {
            let (Peers::One(to), Message::GetBlocks { from }) = (to, message) else { continue };
            *self.asked.entry(to.get()).or_default() += 1;
            let peer = self.peers[to.index() - 1];
            if let Some((wait, message)) = answer(&self.table.kit, peer, from) {
                self.sent += 1;
                self.due.insert((now_ms + wait, self.sent), (to.get(), message));
            }
        }
    }

    /// Runs until all of the chain is final here; how long it took, milliseconds.
    fn run(&mut self) -> u64 {
        let start_ms = self.table.now_ms;
        while self.table.committed(0) < BLOCKS as u64 {
            self.table.now_ms += 1;
            if self.table.seats[0].engine.deadline() <= self.table.now_ms {
                self.table.feed(0, Event::Tick);
                self.answer_questions();
            }
            if (self.table.now_ms - start_ms).is_multiple_of(1_000) {
                self.claim(self.table.now_ms % 3);
            }
            while let Some(entry) = self.due.first_entry().filter(|one| one.key().0 <= self.table.now_ms) {
                let (from, message) = entry.remove();
                self.tell(from, message);
            }
            assert!(self.table.now_ms < start_ms + 60_000, "{:?}: {}", self.peers, self.table.committed(0));
        }
        self.check();
        self.table.now_ms - start_ms
    }

    /// Only what a certificate proves was stored, and every block delivered, in order.
    fn check(&self) {
        let seat = &self.table.seats[0];
        let proved: BTreeSet<Digest> =
            chain(&self.table.kit).iter().map(|block| block.header.digest()).collect();
        for write in &seat.written {
            if let Write::Block(block) = write {
                assert!(proved.contains(&block.header.digest()), "{:?}", self.peers);
                assert!(block.advances.is_empty() && block.signature != Signature::ZERO, "{:?}", self.peers);
            }
        }
        assert!(seat.delivered.iter().map(|one| one.header.height.get()).eq(1..=BLOCKS as u64));
        assert!(self.most_ahead <= 4 * 128, "{:?}: {}", self.peers, self.most_ahead);
        assert_eq!(seat.alarms, [], "{:?}", self.peers);
    }
}

#[test]
fn a_long_gap_is_fetched_from_several_peers_at_once() {
    let mut scene = Scene::new(&[Peer::Honest; 3]);
    let took = scene.run();
    println!("three honest peers: {took} ms, questions {:?}", scene.asked);
    // A hundred answers one after the other take a hundred rounds.
    assert!(took <= 100 * ROUND_MS / 3, "{took} ms");
    assert_eq!(scene.asked.values().sum::<usize>(), 100, "nothing is asked for twice");
    assert!(scene.asked.values().all(|asked| *asked > 20), "{:?}", scene.asked);
}

#[test]
fn one_honest_peer_among_liars_is_enough_in_twice_the_time() {
    let honest = Scene::new(&[Peer::Honest; 3]).run();
    let mut late = Vec::new();
    for lie in LIES {
        let mut scene = Scene::new(&[lie, lie, Peer::Honest]);
        let took = scene.run();
        println!("{lie:?}: {took} ms, honest {honest} ms, questions {:?}", scene.asked);
        if took > 2 * honest {
            late.push((lie, took));
        }
        assert!((1..3).all(|liar| scene.asked[&liar] <= 4), "{lie:?}: {:?}", scene.asked);
    }
    assert!(late.is_empty(), "honest {honest} ms, but {late:?}");
}

#[test]
fn liars_of_every_kind_together_are_asked_last() {
    let honest = Scene::new(&[Peer::Honest; 15]).run();
    let peers: Vec<Peer> = LIES.into_iter().chain([Peer::Honest]).collect();
    let mut scene = Scene::new(&peers);
    let took = scene.run();
    println!("all together: {took} ms, honest {honest} ms, questions {:?}", scene.asked);
    let lies: usize = scene.asked.iter().filter(|(peer, _)| **peer < 15).map(|(_, asked)| asked).sum();
    assert!(lies <= 4 * LIES.len(), "{:?}", scene.asked);
    assert!(took <= 2 * honest + 1_000, "{took} ms");
}

#[test]
fn silence_is_remembered() {
    let mut scene = Scene::new(&[Peer::Stall, Peer::Stall, Peer::Slow]);
    let took = scene.run();
    // Slow as the third is, the others are not tried again each second.
    assert!((5_000..10_000).contains(&took), "{took} ms");
    assert!((1..3).all(|silent| scene.asked[&silent] <= 3), "{:?}", scene.asked);
}

#[test]
fn a_tip_that_is_taken_back_costs_its_peer_its_turn() {
    let mut scene = Scene::silent(&[Peer::FalseTip, Peer::Honest, Peer::Honest]);
    for false_tip in [u64::MAX, 5, u64::MAX] {
        let status = Status {
            epoch: scene.table.kit.epoch,
            view: View::ZERO,
            committed: Height::new(false_tip),
            executed: Height::ZERO,
            certificate: None,
            high_qc: None,
            awaits_echo: false,
        };
        scene.tell(1, Message::Status(Box::new(status)));
    }
    scene.claim(u64::MAX);
    scene.run();
    assert_eq!(scene.asked.get(&1), None, "{:?}", scene.asked);
}

#[test]
fn where_only_liars_are_left_each_is_asked_once_a_second() {
    let mut scene = Scene::new(&[Peer::WrongBlock, Peer::Empty, Peer::TooMany]);
    for _ in 0..1_000 {
        scene.table.now_ms += 10;
        scene.table.feed(0, Event::Tick);
        scene.answer_questions();
        while let Some(entry) = scene.due.first_entry().filter(|one| one.key().0 <= scene.table.now_ms) {
            let (from, message) = entry.remove();
            scene.tell(from, message);
        }
        if scene.table.now_ms.is_multiple_of(1_000) {
            scene.claim(1);
        }
    }
    assert_eq!(scene.table.committed(0), 0);
    assert!(scene.asked.values().all(|asked| (8..=13).contains(asked)), "{:?}", scene.asked);
}

#[test]
fn all_that_a_liar_was_asked_is_asked_of_others_at_once() {
    let mut scene = Scene::new(&[Peer::Stall; 3]);
    let (busy, asked) =
        scene.asked.iter().map(|(peer, asked)| (*peer, *asked)).max_by_key(|one| one.1).unwrap();
    assert_eq!((asked, scene.asked.values().sum::<usize>()), (2, 4));
    let nothing = answer(&scene.table.kit, Peer::Empty, Height::new(1)).unwrap().1;
    scene.tell(busy, nothing);
    assert_eq!((scene.asked[&busy], scene.asked.values().sum::<usize>()), (2, 6));
}

/// Short answers leave room for more ranges than may be held: the highest gives way.
#[test]
fn no_more_than_four_ranges_are_held() {
    let mut scene = Scene::new(&[Peer::Stall; 3]);
    let asked = |scene: &Scene| scene.asked.values().sum::<usize>();
    assert_eq!(asked(&scene), 4);
    let answer_of =
        |scene: &Scene, peer: Peer, from: u64| answer(&scene.table.kit, peer, Height::new(from)).unwrap().1;
    // Who was asked what does not matter here: everybody says everything.
    for (peer, from) in
        [(Peer::Honest, 257), (Peer::Honest, 385), (Peer::Drip, 129), (Peer::Drip, 130), (Peer::Drip, 131)]
    {
        let message = answer_of(&scene, peer, from);
        (1..4).for_each(|who| scene.tell(who, message.clone()));
    }
    assert_eq!(scene.table.seats[0].engine.held().ahead, 128 + 3);
    assert_eq!(scene.most_ahead, 2 * 128 + 2);
}

/// Two certified chains are more than the protocol tolerates; the one that came second is not built on.
#[test]
fn a_proved_range_on_another_chain_is_not_taken() {
    let mut table = Table::alone(kit(4));
    let mine = &chain(&table.kit)[..4];
    let fork = table.kit.genesis().after(&mine[0]);
    let mut header = table.kit.header(&fork, 1, chain_core::block::Flags::NONE);
    header.time_ms += 1;
    let mut theirs = vec![mine[0].clone(), table.kit.propose(header, None)];
    let tip = fork.after(&theirs[1]);
    theirs.extend(table.kit.chain(&tip, 1, 4));
    for blocks in [mine, &theirs] {
        let certificate = Box::new(commit(&table.kit, blocks.last().unwrap()));
        table.tell(2, 0, Message::Blocks { blocks: blocks.to_vec(), suffixes: Vec::new(), certificate });
    }
    assert_eq!(table.committed(0), 4);
    let held = table.seats[0].engine.held();
    assert_eq!((held.blocks, held.ahead), (0, 0));
}

/// All but the lowest range come: no more is held, and no more asked for, than stated.
#[test]
fn ranges_above_a_gap_are_bounded() {
    let mut scene = Scene::new(&[Peer::Honest; 3]);
    for _ in 0..300 {
        scene.table.now_ms += 10;
        scene.table.feed(0, Event::Tick);
        scene.answer_questions();
        while let Some(entry) = scene.due.first_entry() {
            let (from, message) = entry.remove();
            let lowest = matches!(&message, Message::Blocks { blocks, .. } if blocks[0].header.height == Height::new(1));
            if !lowest {
                scene.tell(from, message);
            }
        }
    }
    assert_eq!(scene.table.committed(0), 0);
    assert_eq!(scene.most_ahead, 3 * 128);
    // What comes unasked from far above is not held.
    let (_, far) = answer(&scene.table.kit, Peer::Honest, Height::new(9_001)).unwrap();
    scene.tell(1, far);
    assert_eq!(scene.table.seats[0].engine.held().ahead, 3 * 128);
    scene.run();
}

/// A peer that is late, and no liar: its answer is taken when it fits, and costs nothing when it does not.
#[test]
fn an_answer_that_was_overtaken_does_no_harm() {
    let mut scene = Scene::new(&[Peer::Honest; 3]);
    let (_, first) = answer(&scene.table.kit, Peer::Honest, Height::new(1)).unwrap();
    for _ in 0..3 {
        scene.tell(3, first.clone());
    }
    assert_eq!(scene.table.committed(0), 128);
    // It reaches from below the committed block to above it.
    let (_, overlapping) = answer(&scene.table.kit, Peer::Honest, Height::new(100)).unwrap();
    scene.tell(2, overlapping);
    assert_eq!(scene.table.committed(0), 227);
    scene.run();
}
