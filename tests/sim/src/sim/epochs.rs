//! From one epoch to the next, in one world: when the validator set changes, what a node does when its epoch has
//! ended, and who is who in which epoch.
//!
//! The simulated ledger has no validator records, so the world decides: the next height that anybody executes
//! for the first time after a change was ordered is the one that schedules the next set. A node changes epochs
//! as the driver does: the record of the next epoch is durable before its engine starts.

use chain_core::block::{ExecSummary, Flags, Header};
use chain_core::crypto::Digest;
use chain_core::epoch::{HandOver, verify_chain};
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::BatchRef;
use consensus::Engine;
use consensus::action::{Peers, Write};
use consensus::event::Event;
use consensus::message::{Message, Proposal};
use consensus::safety::SafetyRecord;

use super::churn::{self, Change};
use super::disk::{Disk, Tables};
use super::epoch::EpochStart;
use super::judge::Observer;
use super::ledger::{Payloads, SimLedger};
use super::nemesis::Nemesis;
use super::node::{Doom, Node};
use super::parcel::Parcel;
use super::random::Random;
use super::roster::{Keys, Member, Roster};
use super::world::{Due, World};

/// Most validators of a set that is drawn.
const VALIDATORS_MOST: usize = 10;
/// Sets drawn before a change is given up: too few of them would keep the faulty within f.
const DRAWS_MAX: usize = 50;
/// Closing blocks that schedule the next change already, per mille.
const BACK_TO_BACK_PER_MILLE: u64 = 200;
/// Nodes that crash between the end of one epoch and the first steps of the next, per mille, where nodes crash.
const EPOCH_CRASH_PER_MILLE: u64 = 300;

/// How a node that joins behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Joiner {
    /// It starts when the set is scheduled.
    Prompt,
    /// It starts this much later, virtual milliseconds.
    Late(u64),
    /// It does not start before everything is healed.
    Dead,
}

/// A change of the set that was asked for.
#[derive(Clone, Debug)]
enum Order {
    /// Whatever is drawn.
    Any,
    /// These operations, with joiners like this.
    These(Vec<Change>, Joiner),
}

/// The set that one epoch hands over to.
#[derive(Clone, Debug)]
struct Scheduled {
    height: Height,
    next: Roster,
    hash: Digest,
}

/// What is to change, and what was.
#[derive(Debug)]
pub struct Churn {
    random: Random,
    next_name: u16,
    orders: Vec<Order>,
    /// The set that each epoch hands over to.
    scheduled: Vec<Option<Scheduled>>,
    /// How each epoch ended.
    hand_overs: Vec<HandOver>,
    /// Whether the next closing block schedules what was ordered.
    at_closing: bool,
}

impl Churn {
    pub(super) fn new(seed: u64, n: u16) -> Self {
        Self {
            random: Random::fork(seed, b"churn"),
            next_name: n,
            orders: Vec::new(),
            scheduled: vec![None],
            hand_overs: Vec::new(),
            at_closing: false,
        }
    }

    /// The set is to change soon, as chance has it.
    pub(super) fn order_any(&mut self) {
        if self.orders.is_empty() {
            self.orders.push(Order::Any);
        }
    }

    /// The height that scheduled the next set of an epoch, and that set's hash, for one that executed so far.
    pub(super) fn scheduled(&self, epoch: usize, executed: Height) -> Option<(Height, Digest)> {
        let scheduled = self.scheduled.get(epoch)?.as_ref()?;
        (scheduled.height <= executed).then_some((scheduled.height, scheduled.hash))
    }
}

fn place_of(epoch: Epoch) -> usize {
    usize::try_from(epoch.get()).unwrap_or(usize::MAX)
}

/// The batches that a block orders, in order; none when one is not stored.
fn batches_of(tables: &Tables, ledger: &SimLedger, proposal: &Proposal) -> Option<Vec<BatchRef>> {
    let mut all = Vec::new();
    for advance in &proposal.advances {
        let mut run = Vec::new();
        let mut name = advance.tip_in(proposal.header.epoch);
        loop {
            let batch = tables.batches.get(&name)?;
            run.push(name);
            if name.seq <= ledger.tip().lanes.next_seq(advance.author) {
                break;
            }
            name = BatchRef { seq: name.seq - 1, digest: batch.header.prev, ..name };
        }
        all.extend(run.into_iter().rev());
    }
    Some(all)
}

impl Node {
    /// Keeps the names of own batches that the epoch will not order any more; before its closing block is
    /// executed.
    pub(super) fn carry_over(&mut self) {
        let Some(me) = self.me else { return };
        let next = self.ledger.tip().lanes.next_seq(me);
        let mine =
            |name: &&BatchRef| name.author == me && place_of(name.epoch) == self.epoch && name.seq >= next;
        self.carried.extend(self.disk.tables().batches.keys().filter(mine).copied());
    }

    fn key_changes(&self, start: &EpochStart) -> Option<Member> {
        let now = start.roster.members.iter().find(|one| one.name == self.member.name)?;
        (now.generation > self.member.generation && !self.second).then_some(*now)
    }
}

/// Who is who.
impl World {
    /// The index of a node in an epoch: a validator's, or one above them all for everybody else.
    pub(super) fn place(&self, epoch: usize, node: usize) -> ValidatorIx {
        let members = &self.epochs[epoch].roster.members;
        let name = self.nodes[node].member.name;
        let place = members.iter().position(|one| one.name == name).unwrap_or(members.len() + node);
        ValidatorIx::new(u16::try_from(place).unwrap_or(u16::MAX))
    }

    fn is_member(&self, epoch: usize, node: usize) -> bool {
        self.place(epoch, node).index() < self.epochs[epoch].roster.members.len()
    }

    /// The nodes at an index of an epoch: with one key there may be two.
    fn seats_at(&self, epoch: usize, ix: ValidatorIx) -> Vec<usize> {
        let members = &self.epochs[epoch].roster.members;
        match members.get(ix.index()) {
            None => {
                Some(ix.index() - members.len()).filter(|one| *one < self.nodes.len()).into_iter().collect()
            }
            Some(member) => {
                (0..self.nodes.len()).filter(|seat| self.nodes[*seat].member.name == member.name).collect()
            }
        }
    }

    /// The node of a validator of the epoch that a node is in; itself if there is none.
    pub(super) fn seat_of(&self, node: usize, ix: ValidatorIx) -> usize {
        self.seats_at(self.nodes[node].epoch, ix).first().copied().unwrap_or(node)
    }

    /// The first nodes of the newest epoch's validators.
    pub(super) fn members(&self) -> Vec<usize> {
        let newest = self.epochs.len() - 1;
        (0..self.nodes.len())
            .filter(|node| !self.nodes[*node].second && self.is_member(newest, *node))
            .collect()
    }

    /// Where a parcel of a node goes. Guests follow what is certified; votes and data are the validators' own.
    pub(super) fn receivers(&self, node: usize, to: Peers, parcel: &Parcel) -> Vec<usize> {
        let epoch = self.nodes[node].epoch;
        let mut seats = match to {
            Peers::One(ix) => self.seats_at(epoch, ix),
            Peers::All => {
                let for_guests = matches!(parcel, Parcel::Message(message)
                    if matches!(**message, Message::Status(_) | Message::Certificate(_) | Message::Entry(_)));
                (0..self.nodes.len()).filter(|seat| for_guests || self.is_member(epoch, *seat)).collect()
            }
        };
        seats.retain(|seat| *seat != node);
        seats
    }

    /// Whether a node lies in an epoch.
    pub(super) fn lies_in(&self, epoch: usize, node: usize) -> bool {
        self.nodes[node].liar.is_some()
            || self.is_member(epoch, node) && self.observers[epoch].lies(self.place(epoch, node))
    }

    /// Whether a node lies in its epoch.
    pub(super) fn lies(&self, node: usize) -> bool {
        self.lies_in(self.nodes[node].epoch, node)
    }

    /// Whether a node may sign nothing under its key.
    pub(super) fn silent(&self, node: usize) -> bool {
        self.nodes[node].silent
    }

    /// Whether a member of a set lies or is silent whenever it takes part: true of liars, of keys with two
    /// nodes, and of keys without their record.
    fn is_lasting(&self, member: Member) -> (bool, Option<usize>) {
        let named = |node: &&Node| node.member.name == member.name;
        let liar = |node: &Node| node.liar.is_some() || node.second && node.member == member;
        let silent = |node: &Node| node.silent && node.member == member;
        (self.nodes.iter().filter(named).any(liar), self.nodes.iter().position(silent))
    }

    /// Whether the lasting ones stay within the f of a set, with so many more.
    fn bears(&self, roster: &Roster, more: Option<u16>) -> bool {
        let ill = |one: &&Member| {
            let (lies, silent) = self.is_lasting(**one);
            lies || silent.is_some() || Some(one.name) == more
        };
        let most = chain_core::committee::faults(roster.members.len());
        roster.members.iter().filter(ill).count() <= most
    }

    /// Whether a node may be made one of the faulty: no epoch, past or to come, would have more than f.
    pub(super) fn may_fall_ill(&self, node: usize) -> bool {
        let name = self.nodes[node].member.name;
        let in_time = (0..self.epochs.len()).all(|epoch| {
            let (observer, place) = (&self.observers[epoch], self.place(epoch, node));
            !self.is_member(epoch, node)
                || observer.ill() < self.epochs[epoch].judge.committee.faults()
                || observer.lies(place)
                || observer.silent(place)
        });
        let to_come = self.churn.scheduled.last().and_then(Option::as_ref);
        !self.lies(node) && in_time && to_come.is_none_or(|one| self.bears(&one.next, Some(name)))
    }

    fn each_epoch_of(
        &mut self,
        node: usize,
        same_key: bool,
        mut tell: impl FnMut(&mut Observer, ValidatorIx),
    ) {
        let member = self.nodes[node].member;
        for epoch in 0..self.epochs.len() {
            let place = self.place(epoch, node);
            let held = self.epochs[epoch].roster.members.get(place.index()).copied();
            if held.is_some_and(|one| !same_key || one == member) {
                tell(&mut self.observers[epoch], place);
            }
        }
    }

    /// From now on a node may sign nothing under its key.
    pub(super) fn expect_silence(&mut self, node: usize) {
        self.nodes[node].silent = true;
        let durable = self.nodes[node].disk.durable().clone();
        self.each_epoch_of(node, true, |observer, who| observer.expect_silence(who, &durable));
    }

    /// A node runs from an old copy of its stores: it may have forgotten what it said in any epoch so far.
    pub(super) fn expect_restored(&mut self, node: usize) {
        self.each_epoch_of(node, false, Observer::expect_restored);
    }

    /// A second node with a key has begun.
    pub(super) fn expect_twin(&mut self, node: usize) {
        self.each_epoch_of(node, true, Observer::expect_lies);
    }
}

/// The next validator set.
impl World {
    /// The set is to change: these operations, scheduled by the next height that anybody executes, while the
    /// joining nodes behave like this. Orders follow each other, one an epoch.
    pub fn order(&mut self, changes: Vec<Change>, joiner: Joiner) {
        self.churn.orders.push(Order::These(changes, joiner));
    }

    /// The next closing block itself schedules what was ordered last.
    pub fn order_at_closing(&mut self) {
        self.churn.at_closing = true;
    }

    /// A member that never was one before.
    pub fn new_member(&mut self) -> Member {
        let name = self.churn.next_name;
        self.churn.next_name += 1;
        Member { name, generation: 0 }
    }

    /// The validator set of the newest epoch.
    pub fn roster(&self) -> &Roster {
        &self.epochs[self.epochs.len() - 1].roster
    }

    /// Epochs that have begun somewhere.
    pub fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// The epoch that a member's node is in, and whether it votes there; none for one that is down.
    pub fn standing(&self, name: u16) -> Option<(u64, bool)> {
        let node = self.nodes.iter().find(|node| node.member.name == name && !node.second)?;
        node.engine.as_deref().map(|engine| (engine.epoch().get(), engine.voting()))
    }

    /// Name of the validator that leads the newest epoch, as one of its engines sees it.
    pub fn leader(&self) -> Option<u16> {
        let newest = self.epochs.len() - 1;
        let engines = self.nodes.iter().filter(|node| node.epoch == newest);
        let first = engines.filter_map(|node| node.engine.as_deref()).max_by_key(|engine| engine.view())?;
        self.roster().members.get(first.leader().index()).map(|one| one.name)
    }

    /// Takes all links from a member's node, or gives them back.
    pub fn isolate(&mut self, name: u16, isolated: bool) {
        if let Some(node) = self.nodes.iter().position(|node| node.member.name == name) {
            self.network.isolate(node, isolated);
            self.note(node, if isolated { "loses its links" } else { "gets its links back" });
        }
    }

    /// A height was executed for the first time.
    fn first_executed(&mut self, node: usize, header: &Header) {
        let epoch = place_of(header.epoch);
        let closing = header.flags.contains(Flags::CLOSING);
        if closing {
            self.open_epoch(node, epoch);
        }
        let newest = self.epochs.len() - 1;
        if self.calm || epoch + usize::from(closing) != newest || self.churn.scheduled[newest].is_some() {
            return;
        }
        if closing && self.churn.orders.is_empty() && self.faults.churn_every_ms > 0 {
            let again = self.churn.random.chance(BACK_TO_BACK_PER_MILLE);
            self.churn.at_closing |= again;
            if again {
                self.churn.order_any();
            }
        }
        if self.churn.orders.is_empty() || closing && !std::mem::take(&mut self.churn.at_closing) {
            return;
        }
        let (changes, joiner) = match self.churn.orders.remove(0) {
            Order::These(changes, joiner) => (changes, Some(joiner)),
            Order::Any => match self.draw(newest) {
                Some(changes) => (changes, None),
                None => return,
            },
        };
        self.report.back_to_back += u64::from(closing);
        self.schedule_set(newest, header.height, &changes, joiner);
    }

    /// Draws operations after which the faulty are still within f.
    fn draw(&mut self, epoch: usize) -> Option<Vec<Change>> {
        let roster = self.epochs[epoch].roster.clone();
        for _ in 0..DRAWS_MAX {
            let mut next_name = self.churn.next_name;
            let changes = churn::draw(&roster, VALIDATORS_MOST, &mut next_name, &mut self.churn.random);
            if self.bears(&churn::apply(&roster, &changes), None) {
                self.churn.next_name = next_name;
                return Some(changes);
            }
        }
        None
    }

    fn schedule_set(&mut self, epoch: usize, height: Height, changes: &[Change], joiner: Option<Joiner>) {
        let next = churn::apply(&self.epochs[epoch].roster, changes);
        let committee = next.committee(self.epochs[epoch].epoch.next());
        let hash = committee.hash();
        self.note_network(|| format!("height {height} schedules {changes:?}"));
        self.churn.scheduled[epoch] = Some(Scheduled { height, next: next.clone(), hash });
        for (place, member) in next.members.iter().enumerate() {
            if self.nodes.iter().all(|node| node.member.name != member.name) {
                let key = committee.validators()[place].consensus_key;
                self.add_node(*member, key, joiner);
            }
        }
    }

    /// A new node, that knows genesis and nothing more.
    fn add_node(&mut self, member: Member, key: chain_core::crypto::PublicKey, joiner: Option<Joiner>) {
        let node = self.nodes.len();
        let random = &mut self.churn.random;
        let joiner = joiner.unwrap_or_else(|| match random.index(10) {
            0 => Joiner::Dead,
            1..4 => Joiner::Late(random.between(1_000, 30_000)),
            _ => Joiner::Prompt,
        });
        let skew = i64::try_from(random.between(0, 2 * self.faults.skew_ms)).unwrap_or(0)
            - i64::try_from(self.faults.skew_ms).unwrap_or(0);
        let genesis = &self.epochs[0];
        let record = SafetyRecord::fresh(genesis.judge.chain_id, Epoch::ZERO, key, genesis.base_of());
        let ledger = SimLedger::new(self.executors, &self.payloads, &genesis.base);
        let stores = (Disk::new(record), ledger);
        self.nodes.push(Node::new(member, None, format!("v{}", member.name), stores, skew));
        self.network.grow(&self.faults);
        let wait = match joiner {
            Joiner::Prompt => 1_000,
            Joiner::Late(later_ms) => later_ms * 1_000,
            Joiner::Dead => return,
        };
        self.schedule(wait, Due::Restart { node, wipe_ledger: false });
    }

    /// The first node has executed a closing block: the next epoch stands on it.
    fn open_epoch(&mut self, node: usize, ended: usize) {
        let closing = self.nodes[node].ledger.tip().clone();
        let Some(scheduled) = self.churn.scheduled.get(ended).cloned().flatten() else {
            self.fail(&format!("epoch {ended} ended, and nothing had scheduled its end"));
            return;
        };
        if self.epochs.len() != ended + 1 {
            self.fail(&format!("epoch {ended} ended at height {}, and had ended before", closing.height));
            return;
        }
        let before = &self.epochs[ended];
        let start = before.after(scheduled.next, closing, &self.checks);
        for member in &start.roster.members {
            match before.roster.members.iter().find(|one| one.name == member.name) {
                None => self.report.joins += 1,
                Some(one) => self.report.rekeys += u64::from(one != member),
            }
        }
        let stays = |one: &&Member| start.roster.members.iter().any(|other| other.name == one.name);
        self.report.removals += before.roster.members.iter().filter(|one| !stays(one)).count() as u64;
        let size = start.roster.members.len();
        let mut observer = Observer::new(start.judge.committee.quorum(), start.base.digest);
        observer.expect_epoch(start.epoch, start.base_of(), size);
        for (ix, member) in (0..).map(ValidatorIx::new).zip(&start.roster.members) {
            let (lies, silent) = self.is_lasting(*member);
            if lies {
                observer.expect_lies(ix);
            } else if silent.is_some() {
                // It has signed nothing in this epoch yet, so it has nothing to hand out.
                observer.expect_silence(ix, &Tables::default());
            }
        }
        if observer.ill() > start.judge.committee.faults() {
            self.fail(&format!("the simulator made {} of {size} ill", observer.ill()));
        }
        self.note_network(|| format!("epoch {} begins with {:?}", start.epoch, start.roster.members));
        self.epochs.push(start);
        self.observers.push(observer);
        self.churn.scheduled.push(None);
        self.check_hand_over(node, ended, true);
    }

    /// What a node stored proves the end of an epoch, and all such proofs together the newest set.
    fn check_hand_over(&mut self, node: usize, ended: usize, first: bool) {
        let (start, next) = (&self.epochs[ended], &self.epochs[ended + 1]);
        let name = &self.nodes[node].name;
        let committee = next.judge.committee.clone();
        let Some(proof) = self.nodes[node].disk.durable().closings.get(&start.epoch).cloned() else {
            self.fail(&format!("{name} has no durable proof of the end of epoch {ended}"));
            return;
        };
        let fits = proof.closing().is_some_and(|closing| {
            closing.digest() == next.base.digest && closing.next_validators_hash == committee.hash()
        });
        if !fits || start.judge.closing((*proof).clone()).is_err() {
            self.fail(&format!("what {name} stored does not prove the end of epoch {ended}: {proof:?}"));
            return;
        }
        if !first {
            return;
        }
        self.report.suffix_closings += u64::from(proof.headers.len() > 1);
        self.churn.hand_overs.push(HandOver { proof: (*proof).clone(), next: (*committee).clone() });
        if self.epochs[0].roster.keys == Keys::Ed25519 {
            let genesis = &self.epochs[0].judge;
            let chain = verify_chain(genesis.chain_id, &genesis.committee, &self.churn.hand_overs);
            if chain.as_ref() != Ok(&*committee) {
                self.fail(&format!("the hand-overs up to epoch {ended} do not verify: {chain:?}"));
            }
        }
    }
}

/// One node, from one epoch to the next.
impl World {
    /// Executes one final block: its summary, and what it scheduled. None when that was a violation.
    pub(super) fn execute(
        &mut self,
        node: usize,
        proposal: &Proposal,
        batches: &[BatchRef],
    ) -> Option<(ExecSummary, Option<Digest>)> {
        let name = self.nodes[node].name.clone();
        let ledger = &mut self.nodes[node].ledger;
        let done = ledger.execute(proposal, batches, &self.payloads, &mut self.shared);
        let done = done.map_err(|what| format!("{name} {what}")).and_then(|summary| {
            self.agreement.delivered(&name, &proposal.header)?;
            let first = self.agreement.executed(&name, summary.height, summary.root())?;
            Ok((summary, first))
        });
        match done {
            Ok((summary, first)) => {
                if first {
                    self.first_executed(node, &proposal.header);
                }
                let epoch = place_of(proposal.header.epoch);
                let scheduled = self.churn.scheduled(epoch, summary.height);
                let here = scheduled.filter(|(height, _)| *height == summary.height);
                Some((summary, here.map(|(_, next)| next)))
            }
            Err(what) => {
                self.fail(&what);
                None
            }
        }
    }

    /// Executes what is final in the store and not in the ledger, as far as its data is there; the newest closing
    /// block is left to the engine. Where sets change, every other start only: an engine must do the same.
    pub(super) fn replay(&mut self, node: usize) {
        if self.epochs.len() == 1 && self.faults.churn_every_ms == 0 || self.churn.random.chance(500) {
            return;
        }
        loop {
            let one = &self.nodes[node];
            let next = one.ledger.tip().height.next();
            let tables = one.disk.tables();
            let Some(proposal) = tables.block_at(next).cloned() else { return };
            let newest = tables.heights.last_key_value().is_some_and(|(height, _)| *height == next);
            if newest && proposal.header.flags.contains(Flags::CLOSING) {
                return;
            }
            let Some(batches) = batches_of(tables, &one.ledger, &proposal) else { return };
            if self.execute(node, &proposal, &batches).is_none() {
                return;
            }
        }
    }

    /// The epoch of a node has ended: its engine goes.
    pub(super) fn begin_epoch(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        one.engine = None;
        one.incarnation += 1;
        one.held.clear();
        one.executing.clear();
        one.syncing = false;
        // What was taken for a batch that the last epoch did not sign any more.
        let unsealed = std::mem::take(&mut one.tokens);
        one.intake.extend(unsealed.into_values());
        let strikes = !self.calm
            && self.faults.crash_every_ms > 0
            && self.may_crash()
            && self.churn.random.chance(EPOCH_CRASH_PER_MILLE);
        let step = if strikes { Some(self.churn.random.index(3)) } else { None };
        self.report.epoch_crashes += u64::from(strikes);
        if let Some(step) = step {
            self.nodes[node].doom = match step {
                1 => Some(Doom::InWrite),
                2 => Some(Doom::AfterActions(self.churn.random.between(0, 12))),
                _ => None,
            };
        }
        self.enter_epoch(node);
        let ended = self.nodes[node].epoch.checked_sub(1);
        let base = ended.map(|_| self.epochs[self.nodes[node].epoch].base_of());
        let tip = self.nodes[node].ledger.tip();
        if base != Some((tip.height, tip.digest)) {
            let name = &self.nodes[node].name;
            self.fail(&format!("{name} ended an epoch on another block than the others"));
        }
        if let Some(ended) = ended {
            self.check_hand_over(node, ended, false);
        }
        if step == Some(0) {
            // Executed, and nothing of the next epoch written.
            self.crash(node);
        }
    }

    /// Enters the epoch that a node's ledger has reached; its record is durable before the engine starts.
    pub(super) fn enter_epoch(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        one.epoch = match &one.ledger.tip().header {
            None => 0,
            Some(header) => place_of(header.epoch) + usize::from(header.flags.contains(Flags::CLOSING)),
        };
        let Some(start) = self.epochs.get(one.epoch) else {
            self.fail("a node is in an epoch that did not begin");
            return;
        };
        let new_key = one.key_changes(start);
        let member = new_key.unwrap_or(one.member);
        one.me = start.index_of(member);
        let stored = one.disk.tables().safety.as_ref();
        let record = match (one.me, new_key) {
            (Some(me), Some(_)) => Some(start.fresh_record(me)),
            // An observer signs nothing, and leaves the record as its last epoch left it.
            (Some(_), None) => stored.and_then(|record| record.enter(start.epoch, start.base_of())),
            (None, _) => None,
        };
        let epoch = start.epoch;
        self.note(node, &format!("enters epoch {epoch}"));
        let one = &mut self.nodes[node];
        let Some(record) = record else {
            self.start_engine(node);
            return;
        };
        one.disk.write(vec![Write::Safety(Box::new(record))]);
        one.entering = Some(member);
        let (entries, incarnation) = (one.disk.unsynced(), one.incarnation);
        let (least, most) = self.faults.sync_us;
        let wait = self.churn.random.between(least, most);
        self.schedule(wait, Due::Entered { node, incarnation, entries });
    }

    /// The record of the next epoch came back from the disk.
    pub(super) fn entered(&mut self, node: usize, incarnation: u32, entries: usize) {
        let one = &mut self.nodes[node];
        if one.incarnation != incarnation {
            return;
        }
        let Some(member) = one.entering else { return };
        match one.doom {
            Some(Doom::InWrite) => return self.crash(node),
            Some(Doom::DiskFull) => {
                self.report.disk_full += 1;
                one.disk.lose_unsynced();
                return self.crash(node);
            }
            Some(Doom::AfterActions(_)) | None => {}
        }
        one.disk.sync(entries);
        one.entering = None;
        if one.member != member {
            one.member = member;
            one.silent = false;
        }
        self.start_engine(node);
    }

    /// Own records of ended epochs that no block has ordered since go back among those that wait.
    pub(super) fn take_carried(&mut self, node: usize) {
        let epoch = self.epochs[self.nodes[node].epoch].epoch;
        let one = &mut self.nodes[node];
        let (shared, payloads, ledger) = (&self.shared, &self.payloads, &one.ledger);
        let stored = &one.disk.tables().batches;
        let left = |name: &BatchRef| {
            let submissions = payloads.of_batch(&name.digest);
            submissions.iter().any(|one| !ledger.holds(&one.signed.transaction.id(), shared))
        };
        one.carried.retain(|name| stored.contains_key(name) && left(name));
        let again = one.carried.iter().filter(|name| name.epoch < epoch);
        one.intake.extend(again.map(|name| payloads.of_batch(&name.digest).to_vec()));
    }

    /// Files what waits, as far as the engine takes it.
    pub(super) fn file_again(&mut self, node: usize) {
        while self.nodes[node].engine.as_deref().is_some_and(Engine::accepts_local) {
            let Some(submissions) = self.nodes[node].intake.pop_front() else { return };
            let Some(batch) = Payloads::again(submissions) else { continue };
            let token = self.unique();
            self.report.filed_again += 1;
            self.nodes[node].tokens.insert(token, batch.submissions);
            let (payload_root, bytes, count) = (batch.root, batch.bytes, batch.count);
            self.feed(node, Event::LocalBatch { token, payload_root, bytes, count });
        }
    }

    /// Tells one that is in an ended epoch how it ended.
    pub(super) fn send_closing(&mut self, node: usize, to: ValidatorIx, epoch: Epoch) {
        if let Some(proof) = self.nodes[node].disk.durable().closings.get(&epoch) {
            self.report.ends_told += 1;
            let message = Message::Closing(Box::new((**proof).clone()));
            self.send(node, Peers::One(to), Parcel::Message(Box::new(message)));
        }
    }

    /// Now and then the validators are cut in two, without a quorum on either side, just when their epoch ends:
    /// its closing block may then need a Suffix.
    pub(super) fn strike_at_closing(&mut self, node: usize, header: &Header) {
        if self.calm || !header.flags.contains(Flags::CLOSING) || self.nodes[node].me != Some(header.proposer)
        {
            return;
        }
        let epoch = self.nodes[node].epoch;
        let committed = self.nodes[node].engine.as_deref().map(|engine| engine.committed().height);
        let depth = committed.map_or(0, |committed| header.height.since(committed));
        self.report.deepest_closing = self.report.deepest_closing.max(depth);
        if !self.churn.random.chance(self.faults.closing_cut_per_mille) {
            return;
        }
        let delay_us = self.faults.map.typical_us();
        let (mut away, others): (Vec<usize>, Vec<usize>) =
            self.members().into_iter().partition(|seat| *seat == node);
        let f = self.epochs[epoch].judge.committee.faults();
        let turn = self.churn.random.index(others.len().max(1));
        away.extend(others.iter().cycle().skip(turn).take(f.min(others.len())));
        let begin = self.churn.random.between(delay_us / 2, delay_us * 4);
        let end = begin + self.churn.random.between(1_000_000, 8_000_000);
        for seat in away {
            self.schedule(begin, Due::Nemesis(Nemesis::Isolate { seat, isolated: true }));
            self.schedule(end, Due::Nemesis(Nemesis::Isolate { seat, isolated: false }));
        }
    }
}
