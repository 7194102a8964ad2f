//! Real engines with disks, links of a fixed delay and a power switch each: for scenarios in which the test
//! decides who is cut off, who loses power and at which step, and nothing is left to chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use consensus::action::{Action, Alarm, Delivery, Peers};
use consensus::engine::{Restored, SafetyAtStart, Tip};
use consensus::event::{Event, Now};
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX};
use consensus::mutant::Mutant;
use consensus::{Engine, Params};

use super::table::summary;
use super::{Kit, WALL_MS, ix};
use crate::sim::agreement::Agreement;
use crate::sim::disk::{Disk, Tables};
use crate::sim::judge::Observer;

/// One-way delay of every link.
const DELAY_MS: u64 = 2;
/// How long a synced write takes.
const SYNC_MS: u64 = 1;
/// Heights whose summaries and headers a start finds.
const REMEMBERED: u64 = 400;

/// Something that will happen to a house.
enum Due {
    Tick,
    Arrive(ValidatorIx, Parcel),
    Connect(ValidatorIx),
    Synced { entries: usize, seq: u64 },
    Loaded { from: Height, count: usize },
    Executed,
}

/// What travels.
#[derive(Clone)]
enum Parcel {
    Message(Box<Message>),
    Batch(SignedBatchHeader),
    GetBatches { from: u64, tip: BatchRef },
}

/// One validator: its engine while it has power, and what its disk holds.
pub struct House {
    /// The engine; none without power.
    pub engine: Option<Engine>,
    /// Its consensus store.
    pub disk: Disk,
    /// Every block it executed, over all its lives, with the batches of each.
    pub executed: Vec<Delivery>,
    /// Every alarm it raised.
    pub alarms: Vec<Alarm>,
    life: u64,
    tip: Tip,
    executing: VecDeque<Delivery>,
    held: VecDeque<(u64, Peers, Parcel)>,
    written: u64,
    durable: u64,
    syncing: bool,
    tick_at: u64,
}

/// Where the power of one house goes off.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// Which house.
    pub house: u16,
    /// After so many of its steps: before and after each synced write, and after each message.
    pub step: u64,
    /// Whether what was written and not yet synced survives.
    pub keeps: bool,
}

type Rule = Box<dyn Fn(ValidatorIx, ValidatorIx, &Message) -> bool>;

/// The validators, their links and their clock.
pub struct Town {
    /// The validators' keys.
    pub kit: Kit,
    /// Virtual time, milliseconds.
    pub now_ms: u64,
    /// The houses by index.
    pub houses: Vec<House>,
    /// Batches whose records a client was told to be accepted: durable in a lane.
    pub accepted: BTreeSet<BatchRef>,
    /// Houses whose links are cut: nothing arrives there and nothing from there.
    pub cut: BTreeSet<u16>,
    /// Steps of the watched house so far.
    pub steps: u64,
    watched: Option<u16>,
    trap: Option<Trap>,
    mutant: Option<Mutant>,
    observer: Observer,
    agreement: Agreement,
    /// The first disagreement about the chain.
    split: Option<String>,
    rule: Option<Rule>,
    due: BTreeMap<(u64, u64), (u16, u64, Due)>,
    queued: u64,
    tokens: u64,
}

impl std::fmt::Debug for Town {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Town(at {} ms)", self.now_ms)
    }
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.engine.as_ref().map(|engine| {
            let record = engine.safety_record();
            format!(
                "view {} committed {} voting {} asked {:?} {}",
                engine.view(),
                engine.committed().height,
                engine.voting(),
                record.map(|record| record.vc_view),
                engine.describe()
            )
        });
        write!(f, "{}", state.as_deref().unwrap_or("down"))
    }
}

impl Town {
    /// `n` validators without power yet; validator `leader` leads view 0.
    pub fn new(n: u16, leader: u16) -> Self {
        let kit = Kit { fast: true, ..Kit::led_by(n, leader) };
        let mut observer = Observer::new(kit.committee.quorum(), kit.base().1);
        observer.expect_epoch(kit.epoch, kit.base(), kit.n());
        let houses = (0..n)
            .map(|me| House {
                engine: None,
                disk: Disk::new(kit.fresh_record(me)),
                executed: Vec::new(),
                alarms: Vec::new(),
                life: 0,
                tip: kit.genesis(),
                executing: VecDeque::new(),
                held: VecDeque::new(),
                written: 0,
                durable: 0,
                syncing: false,
                tick_at: 0,
            })
            .collect();
        Self {
            kit,
            now_ms: 1_000,
            houses,
            accepted: BTreeSet::new(),
            cut: BTreeSet::new(),
            steps: 0,
            watched: None,
            trap: None,
            mutant: None,
            observer,
            agreement: Agreement::default(),
            split: None,
            rule: None,
            due: BTreeMap::new(),
            queued: 0,
            tokens: 0,
        }
    }

    /// `n` validators that have met and made their first block.
    pub fn awake(n: u16, leader: u16) -> Self {
        let mut town = Self::new(n, leader);
        town.start_all();
        town.pass_ms(200);
        town
    }

    /// Counts the steps of a house.
    pub fn watch(&mut self, house: u16) {
        self.watched = Some(house);
    }

    /// Lays a trap.
    pub fn lay(&mut self, trap: Trap) {
        self.watched = Some(trap.house);
        self.trap = Some(trap);
    }

    /// Removes one rule from every engine that starts from now on.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// From now on only messages that pass arrive; what is on its way is judged on arrival.
    pub fn only(&mut self, rule: impl Fn(ValidatorIx, ValidatorIx, &Message) -> bool + 'static) {
        self.rule = Some(Box::new(rule));
    }

    /// Every message arrives again.
    pub fn all(&mut self) {
        self.rule = None;
    }

    /// Cut links are mended: their ends meet anew.
    pub fn mend(&mut self) {
        for house in std::mem::take(&mut self.cut) {
            self.meet(house);
        }
    }

    fn meet(&mut self, house: u16) {
        for other in self.everybody().filter(|other| *other != house) {
            self.schedule(DELAY_MS, house, Due::Connect(ix(other)));
            self.schedule(DELAY_MS, other, Due::Connect(ix(house)));
        }
    }

    /// The first broken promise: two statements for one slot, a message before its write, two blocks at one
    /// height.
    pub fn violation(&self) -> Option<&str> {
        self.split.as_deref().or(self.observer.violation.as_deref())
    }

    /// Every house's number.
    pub fn everybody(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.houses.len()).unwrap_or(u16::MAX)
    }

    /// The engine of a house with power.
    ///
    /// # Panics
    /// Without power.
    pub fn engine(&self, house: u16) -> &Engine {
        self.houses[usize::from(house)].engine.as_ref().expect("power")
    }

    /// Newest final height of a house with power; 0 without.
    pub fn committed(&self, house: u16) -> u64 {
        let engine = self.houses[usize::from(house)].engine.as_ref();
        engine.map_or(0, |engine| engine.committed().height.get())
    }

    /// The lowest of the newest final heights of the houses with power.
    pub fn everywhere(&self) -> u64 {
        let up = |house: &u16| self.houses[usize::from(*house)].engine.is_some();
        self.everybody().filter(up).map(|house| self.committed(house)).min().unwrap_or(0)
    }

    /// An accepted batch that a house did not execute exactly once, if there is one; any batch without power.
    pub fn lost_or_doubled(&self, house: u16) -> Option<BatchRef> {
        let one = &self.houses[usize::from(house)];
        let mut seen = BTreeSet::new();
        let executed = one.executed.iter().flat_map(|delivery| &delivery.batches);
        let doubled: Vec<&BatchRef> = executed.filter(|batch| !seen.insert(**batch)).collect();
        let powerless = one.engine.is_none().then(|| self.accepted.first().copied()).flatten();
        doubled
            .first()
            .map(|batch| **batch)
            .or(powerless)
            .or_else(|| self.accepted.difference(&seen).next().copied())
    }

    /// A message comes to everybody over the channel of a house, whatever its engine says.
    pub fn say(&mut self, from: u16, message: &Message) {
        for other in self.everybody().filter(|other| *other != from) {
            let parcel = Parcel::Message(Box::new(message.clone()));
            self.schedule(DELAY_MS, other, Due::Arrive(ix(from), parcel));
        }
    }

    fn schedule(&mut self, in_ms: u64, house: u16, due: Due) {
        let life = self.houses[usize::from(house)].life;
        self.queued += 1;
        self.due.insert((self.now_ms + in_ms, self.queued), (house, life, due));
    }

    /// Time passes.
    pub fn pass_ms(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now_ms = self.now_ms.max(entry.key().0);
            let (house, life, due) = entry.remove();
            if self.houses[usize::from(house)].life == life {
                self.step(house, due);
            }
        }
        self.now_ms = end;
    }

    /// Time passes until something is so; `None` after `within_ms`, else how long it took.
    pub fn until(&mut self, within_ms: u64, mut done: impl FnMut(&Self) -> bool) -> Option<u64> {
        let start = self.now_ms;
        loop {
            if done(self) {
                return Some(self.now_ms - start);
            }
            if self.now_ms - start >= within_ms {
                return None;
            }
            self.pass_ms(10);
        }
    }

    /// Records of a client become the next batch of a house, if it takes any now.
    pub fn submit(&mut self, house: u16) -> bool {
        let takes = self.houses[usize::from(house)].engine.as_ref().is_some_and(Engine::accepts_local);
        if takes {
            self.tokens += 1;
            let payload_root = Digest::tagged(b"town", &[&self.tokens.to_be_bytes()]);
            let token = self.tokens;
            self.feed(house, Event::LocalBatch { token, payload_root, bytes: 300, count: 1 });
        }
        takes
    }

    /// Everybody gets power.
    pub fn start_all(&mut self) {
        for house in self.everybody() {
            self.start(house);
        }
    }

    /// Everybody loses power, and what was not synced.
    pub fn stop_all(&mut self) {
        for house in self.everybody() {
            self.stop(house, false);
        }
    }

    /// A house loses power, and with it what was written and not synced, unless that `keeps`.
    pub fn stop(&mut self, house: u16, keeps: bool) {
        let one = &mut self.houses[usize::from(house)];
        if one.engine.take().is_some() {
            one.life += 1;
            let unsynced = one.disk.unsynced();
            one.disk.sync(if keeps { unsynced } else { 0 });
            one.disk.lose_unsynced();
            one.executing.clear();
            one.held.clear();
        }
    }

    /// The ledger of a house without power is gone; its consensus store is not.
    pub fn wipe_ledger(&mut self, house: u16) {
        let one = &mut self.houses[usize::from(house)];
        one.tip = self.kit.genesis();
        one.executed.clear();
    }

    /// A house gets power and starts from what its disk holds.
    pub fn start(&mut self, house: u16) {
        let one = &mut self.houses[usize::from(house)];
        if one.engine.is_some() {
            return;
        }
        let restored = restored(one.disk.tables(), &one.tip);
        let signer = Some((ix(house), self.kit.signer(house)));
        let mut engine = Engine::new(Params::default(), self.kit.judge(), signer, restored);
        if let Some(mutant) = self.mutant {
            engine.mutate(mutant);
        }
        one.engine = Some(engine);
        (one.written, one.durable, one.syncing, one.tick_at) = (0, 0, false, 0);
        self.feed(house, Event::Tick);
        self.meet(house);
    }

    fn step(&mut self, house: u16, due: Due) {
        if self.houses[usize::from(house)].engine.is_none() {
            return;
        }
        match due {
            Due::Tick => {
                if self.houses[usize::from(house)].tick_at <= self.now_ms {
                    self.feed(house, Event::Tick);
                }
            }
            Due::Arrive(from, parcel) => self.arrive(from, house, parcel),
            Due::Connect(other) => {
                if self.houses[other.index()].engine.is_some() {
                    self.feed(house, Event::Connected(other));
                }
            }
            Due::Synced { entries, seq } => self.synced(house, entries, seq),
            Due::Loaded { from, count } => {
                let tables = self.houses[usize::from(house)].disk.durable();
                let blocks = tables.final_blocks(from).take(count).map(|block| (**block).clone()).collect();
                self.feed(house, Event::Loaded(blocks));
            }
            Due::Executed => {
                let one = &mut self.houses[usize::from(house)];
                let Some(delivery) = one.executing.pop_front() else { return };
                let digest = delivery.header.digest();
                let proposal = one.disk.tables().blocks.get(&digest).expect("a delivered block is stored");
                one.tip = one.tip.after(proposal);
                let summary = summary(delivery.header.height);
                one.executed.push(delivery);
                self.feed(house, Event::Executed { summary, scheduled: None });
            }
        }
    }

    fn feed(&mut self, house: u16, event: Event) {
        let now = Now { mono_ms: self.now_ms, wall_ms: WALL_MS + self.now_ms };
        let Some(engine) = self.houses[usize::from(house)].engine.as_mut() else { return };
        let mut out = Vec::new();
        engine.handle(now, event, &mut out);
        let at = engine.deadline().max(self.now_ms + 1);
        let tick_at = self.houses[usize::from(house)].tick_at;
        if at < tick_at || tick_at <= self.now_ms {
            self.houses[usize::from(house)].tick_at = at;
            self.schedule(at - self.now_ms, house, Due::Tick);
        }
        for action in out {
            self.act(house, action);
        }
        self.start_sync(house);
    }

    fn act(&mut self, house: u16, action: Action) {
        if let Action::Send { message, .. } = &action
            && let Message::Vote(vote, _) = &**message
        {
            self.observer.signed(vote);
        }
        let one = &mut self.houses[usize::from(house)];
        match action {
            Action::Persist(persist) => {
                one.written = persist.seq;
                one.disk.write(persist.writes);
            }
            Action::Send { to, message, after: Some(after) } if after > one.durable => {
                one.held.push_back((after, to, Parcel::Message(message)));
            }
            Action::Send { to, message, .. } => self.send(house, to, Parcel::Message(message)),
            Action::Sealed { header, after, .. } => {
                one.held.push_back((after, Peers::All, Parcel::Batch(header)));
            }
            Action::FetchBatches { from, tip, holders } => {
                if let Some(holder) = holders.first() {
                    self.send(house, Peers::One(*holder), Parcel::GetBatches { from, tip });
                }
            }
            Action::PushBatch { to, batch } => {
                if let Some(header) = one.disk.durable().batches.get(&batch).cloned() {
                    self.send(house, to, Parcel::Batch((*header).clone()));
                }
            }
            Action::Deliver(delivery) => {
                if let Err(what) = self.agreement.delivered(&format!("v{house}"), &delivery.header) {
                    self.split.get_or_insert(what);
                }
                one.executing.push_back(*delivery);
                self.schedule(1, house, Due::Executed);
            }
            Action::LoadFinal { from, count } => self.schedule(1, house, Due::Loaded { from, count }),
            Action::Alarm(alarm) => one.alarms.push(alarm),
            Action::Notice(_) | Action::Evidence(_) | Action::SendClosing { .. } => {}
        }
    }

    fn start_sync(&mut self, house: u16) {
        let one = &mut self.houses[usize::from(house)];
        if one.syncing || one.written == one.durable || one.engine.is_none() {
            return;
        }
        one.syncing = true;
        let (entries, seq) = (one.disk.unsynced(), one.written);
        self.schedule(SYNC_MS, house, Due::Synced { entries, seq });
    }

    /// Counts a step of the watched house; true when its power just went.
    fn springs(&mut self, house: u16) -> bool {
        if self.watched != Some(house) {
            return false;
        }
        self.steps += 1;
        let sprung = self.trap.filter(|trap| trap.house == house && trap.step == self.steps);
        if let Some(trap) = sprung {
            self.trap = None;
            self.stop(house, trap.keeps);
        }
        sprung.is_some()
    }

    fn synced(&mut self, house: u16, entries: usize, seq: u64) {
        if self.springs(house) {
            return;
        }
        let one = &mut self.houses[usize::from(house)];
        one.disk.sync(entries);
        one.syncing = false;
        one.durable = seq;
        if self.springs(house) {
            return;
        }
        loop {
            let one = &mut self.houses[usize::from(house)];
            let Some(at) = one.held.iter().position(|held| held.0 <= seq) else { break };
            let Some((_, to, parcel)) = one.held.remove(at) else { break };
            if let Parcel::Batch(batch) = &parcel {
                self.accepted.insert(name(batch));
            }
            self.send(house, to, parcel);
            if self.springs(house) {
                return;
            }
        }
        self.feed(house, Event::Persisted(seq));
    }

    fn send(&mut self, house: u16, to: Peers, parcel: Parcel) {
        let durable = self.houses[usize::from(house)].disk.durable();
        match &parcel {
            Parcel::Message(message) => self.observer.sent(ix(house), message, durable),
            Parcel::Batch(batch) if batch.header.author == ix(house) => {
                let (seq, digest) = (batch.header.seq, batch.header.digest());
                self.observer.pushed(ix(house), seq, digest, durable);
            }
            _ => {}
        }
        let meant = |other: &u16| match to {
            Peers::All => *other != house,
            Peers::One(one) => one == ix(*other),
        };
        for other in self.everybody().filter(meant) {
            self.schedule(DELAY_MS, other, Due::Arrive(ix(house), parcel.clone()));
        }
    }

    fn arrive(&mut self, from: ValidatorIx, house: u16, parcel: Parcel) {
        if self.cut.contains(&house) || self.cut.contains(&from.get()) {
            return;
        }
        match parcel {
            Parcel::Message(message) => {
                if self.rule.as_ref().is_some_and(|pass| !pass(from, ix(house), &message)) {
                    return;
                }
                if let Message::GetBlocks { from: first } = *message {
                    if let Some(answer) = blocks(self.houses[usize::from(house)].disk.durable(), first) {
                        self.send(house, Peers::One(from), Parcel::Message(Box::new(answer)));
                    }
                    return;
                }
                self.feed(house, Event::Message { from, message });
            }
            Parcel::Batch(batch) => {
                self.houses[usize::from(house)].disk.write_batch(batch.clone());
                self.feed(house, Event::BatchStored(batch));
            }
            Parcel::GetBatches { from: first, tip } => {
                let tables = self.houses[usize::from(house)].disk.durable();
                let held = tables.batches.values().filter(|batch| {
                    batch.header.author == tip.author && (first..=tip.seq).contains(&batch.header.seq)
                });
                let held: Vec<SignedBatchHeader> = held.map(|batch| (**batch).clone()).collect();
                for batch in held {
                    self.send(house, Peers::One(from), Parcel::Batch(batch));
                }
            }
        }
    }
}

/// A batch by position and digest.
pub fn name(batch: &SignedBatchHeader) -> BatchRef {
    BatchRef::of(&batch.header)
}

/// What a start finds in a consensus store, beside a ledger that was executed up to `executed`.
pub fn restored(tables: &Tables, executed: &Tip) -> Restored {
    let committed = tables.committed(executed, Epoch::ZERO);
    let newest = committed.height;
    let lowest = Height::new(executed.height.get().saturating_sub(REMEMBERED));
    let recent = tables.heights.range(..=newest).filter(|(height, _)| **height > lowest);
    let waits = |batch: &SignedBatchHeader| batch.header.seq >= executed.lanes.next_seq(batch.header.author);
    Restored {
        safety: tables.safety.clone().map_or_else(
            || {
                SafetyAtStart::Lost(chain_core::code::Refusal::new(
                    chain_core::code::Code::SafetyLost,
                    "gone",
                ))
            },
            |record| SafetyAtStart::Present(Box::new((*record).clone())),
        ),
        executed: executed.clone(),
        committed,
        certificate: tables.certificates.last_key_value().map(|(_, one)| one.certificate.clone()),
        blocks: tables
            .blocks
            .values()
            .map(|one| (**one).clone())
            .filter(|one| one.header.height > newest)
            .collect(),
        summaries: (lowest.get()..=executed.height.get()).map(|at| summary(Height::new(at))).collect(),
        recent: recent
            .filter_map(|(_, digest)| tables.blocks.get(digest).map(|one| one.header.clone()))
            .collect(),
        batches: tables.batches.values().map(|one| (**one).clone()).filter(waits).collect(),
        scheduled: None,
    }
}

/// The sync server: final blocks from the store, ending at a certified height.
fn blocks(tables: &Tables, first: Height) -> Option<Message> {
    let wanted = first..=Height::new(first.get() + SYNC_BLOCKS_MAX - 1);
    let (last, certified) = tables.certificates.range(wanted).next_back()?;
    let digests = tables.heights.range(first..=*last);
    let blocks: Option<Vec<Proposal>> =
        digests.map(|(_, digest)| tables.blocks.get(digest).map(|one| (**one).clone())).collect();
    let certificate = Box::new(certified.certificate.clone());
    Some(Message::Blocks { blocks: blocks?, suffixes: Vec::new(), certificate })
}
