//! Real engines on a network of the test's own making, in virtual milliseconds: for scenes in which one liar does
//! one thing for ever, and the time that the others need is to be measured.
//!
//! A liar is an honest engine whose parcels a [`Stage::rule`] drops, delays or replaces, on their way out or in.
//! Nothing here crashes, and there is nothing to execute; [`crate::sim`] has both.

use std::collections::{BTreeMap, VecDeque};

use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use consensus::action::{Action, Alarm, Peers, Suspicion, Write};
use consensus::event::{Event, Now};
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX};
use consensus::{Engine, Notice, Params};

use crate::kit::table::{present, restored, summary};
use crate::kit::{Kit, WALL_MS, ix};
use crate::sim::random::Random;

/// How long a synced write takes, milliseconds.
const SYNC_MS: u64 = 1;
/// How long a block takes to execute, milliseconds.
const EXECUTION_MS: u64 = 1;

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Between engines.
    Message(Message),
    /// A batch with its data.
    Batch(SignedBatchHeader),
    /// A request for batches of a lane.
    GetBatches {
        /// First sequence number wanted.
        from: u64,
        /// The newest batch wanted.
        tip: BatchRef,
    },
}

/// What becomes of a parcel.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It arrives.
    Pass,
    /// It does not.
    Drop,
    /// It arrives this many milliseconds later than it would have.
    Late(u64),
    /// Another arrives in its place.
    Instead(Parcel),
}

/// Decides about every parcel: the time, from, to, what.
pub type Rule = Box<dyn FnMut(u64, u16, u16, &Parcel) -> Fate>;

#[derive(Debug)]
enum Due {
    Tick(u16),
    Arrive { from: u16, to: u16, parcel: Box<Parcel> },
    Persisted { to: u16, seq: u64 },
    Executed { to: u16, height: Height },
    Loaded { to: u16, from: Height, count: usize },
    Connect { from: u16, to: u16 },
    File { author: u16, every_ms: u64 },
}

/// One engine and what it is known by.
#[derive(Debug)]
pub struct Actor {
    /// The engine; none while the validator is away.
    pub engine: Option<Engine>,
    /// Everything it wanted its operator to know, and when.
    pub notices: Vec<(u64, Notice)>,
    /// Every alarm.
    pub alarms: Vec<Alarm>,
    /// Messages that it sent, counting one to all as one.
    pub sent: Vec<(u64, Message)>,
    durable_seq: u64,
    held: VecDeque<(u64, Peers, Parcel)>,
    tick_ms: u64,
    batches: BTreeMap<BatchRef, SignedBatchHeader>,
    blocks: BTreeMap<Digest, Proposal>,
    heights: BTreeMap<Height, Digest>,
    certificates: BTreeMap<Height, Cert>,
    executing: u64,
}

/// The engines, and what is on its way between them.
pub struct Stage {
    /// The validators.
    pub kit: Kit,
    /// The engines by index.
    pub cast: Vec<Actor>,
    /// Virtual time, milliseconds.
    pub now_ms: u64,
    /// One-way delay of every parcel, milliseconds, drawn between the two.
    pub delay_ms: (u64, u64),
    /// Bytes and operations of every batch filed from now on.
    pub batch: (u32, u32),
    queue: BTreeMap<(u64, u64), Due>,
    queued: u64,
    random: Random,
    rules: Vec<Rule>,
    /// When batches were filed, by author and token, and how they are known once sealed.
    filed_ms: BTreeMap<u64, u64>,
    sealed_ms: BTreeMap<BatchRef, u64>,
    /// From filing to delivery at the author, in milliseconds, by author, in order of delivery.
    waits_ms: BTreeMap<u16, Vec<u64>>,
    records: u64,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage of {} at {} ms", self.cast.len(), self.now_ms)
    }
}

impl Stage {
    /// `n` validators, the first of which leads view 0; `params` gives each its own.
    pub fn new(n: u16, params: impl Fn(u16) -> Params) -> Self {
        let kit = Kit { fast: true, ..Kit::led_by(n, 0) };
        let cast = (0..n)
            .map(|me| {
                let start = restored(&kit, present(kit.fresh_record(me)));
                let voice = Some((ix(me), kit.signer(me)));
                Actor {
                    engine: Some(Engine::new(params(me), kit.judge(), voice, start)),
                    notices: Vec::new(),
                    alarms: Vec::new(),
                    sent: Vec::new(),
                    durable_seq: 0,
                    held: VecDeque::new(),
                    tick_ms: u64::MAX,
                    batches: BTreeMap::new(),
                    blocks: BTreeMap::new(),
                    heights: BTreeMap::new(),
                    certificates: BTreeMap::new(),
                    executing: 0,
                }
            })
            .collect();
        let mut stage = Self {
            kit,
            cast,
            now_ms: 1_000,
            delay_ms: (5, 15),
            batch: (300, 1),
            queue: BTreeMap::new(),
            queued: 0,
            random: Random::new(1),
            rules: Vec::new(),
            filed_ms: BTreeMap::new(),
            sealed_ms: BTreeMap::new(),
            waits_ms: BTreeMap::new(),
            records: 0,
        };
        for to in 0..n {
            stage.schedule(0, Due::Tick(to));
            for from in (0..n).filter(|from| *from != to) {
                stage.schedule(1, Due::Connect { from, to });
            }
        }
        stage
    }

    /// Adds a rule. The first one that does not let a parcel pass decides.
    pub fn rule(&mut self, rule: impl FnMut(u64, u16, u16, &Parcel) -> Fate + 'static) {
        self.rules.push(Box::new(rule));
    }

    /// Everybody obeys the network again.
    pub fn lift_rules(&mut self) {
        self.rules.clear();
    }

    /// A liar says something to everybody, now.
    pub fn say(&mut self, from: u16, message: Message) {
        self.send(from, Peers::All, Parcel::Message(message));
    }

    /// A validator's operator stops it.
    pub fn shut_down(&mut self, who: u16) {
        self.feed(who, Event::Shutdown);
    }

    /// A validator is gone for good.
    pub fn leave(&mut self, who: u16) {
        self.cast[usize::from(who)].engine = None;
    }

    /// From now on a validator's clients file a batch every so often.
    pub fn file_every(&mut self, author: u16, every_ms: u64) {
        self.schedule(0, Due::File { author, every_ms });
    }

    /// Lets time pass.
    pub fn run_ms(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let due = entry.remove();
            self.now_ms = at;
            self.step(due);
        }
        self.now_ms = end;
    }

    /// Newest committed height of a validator.
    pub fn committed(&self, who: u16) -> u64 {
        self.engine(who).committed().height.get()
    }

    /// The view of a validator.
    pub fn view(&self, who: u16) -> View {
        self.engine(who).view()
    }

    /// The engine of a validator.
    ///
    /// # Panics
    /// When it has left.
    pub fn engine(&self, who: u16) -> &Engine {
        self.cast[usize::from(who)].engine.as_ref().expect("it has left")
    }

    /// From filing to delivery at the author, milliseconds, of every batch of one delivered so far.
    pub fn waits_ms(&self, author: u16) -> &[u64] {
        self.waits_ms.get(&author).map_or(&[], Vec::as_slice)
    }

    /// The longest that a batch of this author waited, those included that still wait.
    pub fn longest_wait_ms(&self, author: u16) -> u64 {
        let open = self.sealed_ms.iter().filter(|(batch, _)| batch.author == ix(author));
        let open = open.map(|(_, at)| self.now_ms - at);
        self.waits_ms(author).iter().copied().chain(open).max().unwrap_or(0)
    }

    /// Operations delivered at their authors.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Views that a validator entered because a quorum had given the one before up, and when.
    pub fn timed_out(&self, who: u16) -> Vec<(u64, View)> {
        let of = |(at, notice): &(u64, Notice)| match notice {
            Notice::Entered { view, by_timeout: true, .. } => Some((*at, *view)),
            _ => None,
        };
        self.cast[usize::from(who)].notices.iter().filter_map(of).collect()
    }

    /// Why and when a validator gave views up, joining others apart.
    pub fn complaints(&self, who: u16) -> Vec<(u64, Suspicion)> {
        let of = |(at, notice): &(u64, Notice)| match notice {
            Notice::GaveUp { why, .. } if *why != Suspicion::Joined => Some((*at, *why)),
            _ => None,
        };
        self.cast[usize::from(who)].notices.iter().filter_map(of).collect()
    }

    fn schedule(&mut self, in_ms: u64, due: Due) {
        self.queued += 1;
        self.queue.insert((self.now_ms + in_ms, self.queued), due);
    }

    fn step(&mut self, due: Due) {
        match due {
            Due::Tick(to) => {
                if self.cast[usize::from(to)].tick_ms <= self.now_ms || self.now_ms == 1_000 {
                    self.feed(to, Event::Tick);
                }
            }
            Due::Arrive { from, to, parcel } => self.arrive(from, to, *parcel),
            Due::Persisted { to, seq } => self.persisted(to, seq),
            Due::Executed { to, height } => {
                self.cast[usize::from(to)].executing -= 1;
                self.feed(to, Event::Executed { summary: summary(height), scheduled: None });
            }
            Due::Loaded { to, from, count } => {
                let actor = &self.cast[usize::from(to)];
                let blocks = actor.heights.range(from..).take(count);
                let blocks = blocks.filter_map(|(_, digest)| actor.blocks.get(digest).cloned()).collect();
                self.feed(to, Event::Loaded(blocks));
            }
            Due::Connect { from, to } => {
                if self.cast[usize::from(from)].engine.is_some() {
                    self.feed(to, Event::Connected(ix(from)));
                }
            }
            Due::File { author, every_ms } => {
                self.file(author);
                self.schedule(every_ms, Due::File { author, every_ms });
            }
        }
    }

    /// A validator's clients file one batch now.
    pub fn file(&mut self, author: u16) {
        let ready = self.cast[usize::from(author)].engine.as_ref().is_some_and(Engine::accepts_local);
        if ready {
            self.queued += 1;
            let token = self.queued;
            self.filed_ms.insert(token, self.now_ms);
            let payload_root = Digest::tagged(b"stage", &[&token.to_be_bytes()]);
            let (bytes, count) = self.batch;
            self.feed(author, Event::LocalBatch { token, payload_root, bytes, count });
        }
    }

    fn feed(&mut self, to: u16, event: Event) {
        let now = Now { mono_ms: self.now_ms, wall_ms: WALL_MS + self.now_ms };
        let Some(engine) = self.cast[usize::from(to)].engine.as_mut() else { return };
        let mut out = Vec::new();
        engine.handle(now, event, &mut out);
        let at = engine.deadline().max(self.now_ms + 1);
        let actor = &mut self.cast[usize::from(to)];
        if at < actor.tick_ms || actor.tick_ms <= self.now_ms {
            actor.tick_ms = at;
            self.schedule(at - self.now_ms, Due::Tick(to));
        }
        for action in out {
            self.act(to, action);
        }
    }

    fn act(&mut self, me: u16, action: Action) {
        let now_ms = self.now_ms;
        let actor = &mut self.cast[usize::from(me)];
        match action {
            Action::Persist(persist) => {
                for write in persist.writes {
                    match write {
                        Write::Block(block) => {
                            actor.blocks.insert(block.header.digest(), *block);
                        }
                        Write::Commit { certificate, blocks, .. } => {
                            actor.heights.extend(blocks.iter().map(|one| (one.height, one.digest())));
                            actor.certificates.insert(certificate.height, certificate);
                        }
                        Write::Safety(_) | Write::OwnBatch(_) => {}
                    }
                }
                self.schedule(SYNC_MS, Due::Persisted { to: me, seq: persist.seq });
            }
            Action::Send { to, message, after } => {
                actor.sent.push((now_ms, (*message).clone()));
                self.send_after(me, to, Parcel::Message(*message), after);
            }
            Action::Sealed { token, header, after } => {
                let batch = name(&header);
                actor.batches.insert(batch, header.clone());
                if let Some(at) = self.filed_ms.remove(&token) {
                    self.sealed_ms.insert(batch, at);
                }
                self.send_after(me, Peers::All, Parcel::Batch(header), Some(after));
            }
            Action::FetchBatches { from, tip, holders } => {
                if let Some(holder) = holders.first() {
                    self.post(me, holder.get(), Parcel::GetBatches { from, tip });
                }
            }
            Action::PushBatch { to, batch } => {
                if let Some(header) = actor.batches.get(&batch).cloned() {
                    self.send(me, to, Parcel::Batch(header));
                }
            }
            Action::Deliver(delivery) => {
                actor.executing += 1;
                let wait = EXECUTION_MS * actor.executing;
                for batch in delivery.batches.iter().filter(|batch| batch.author == ix(me)) {
                    if let Some(at) = self.sealed_ms.remove(batch) {
                        self.waits_ms.entry(me).or_default().push(now_ms - at);
                        self.records += u64::from(self.batch.1);
                    }
                }
                self.schedule(wait, Due::Executed { to: me, height: delivery.header.height });
            }
            Action::LoadFinal { from, count } => self.schedule(1, Due::Loaded { to: me, from, count }),
            Action::Alarm(alarm) => actor.alarms.push(alarm),
            Action::Notice(notice) => actor.notices.push((now_ms, notice)),
            // These scenes have one epoch.
            Action::SendClosing { .. } | Action::Evidence(_) => {}
        }
    }

    fn send_after(&mut self, me: u16, to: Peers, parcel: Parcel, after: Option<u64>) {
        let actor = &mut self.cast[usize::from(me)];
        match after.filter(|after| *after > actor.durable_seq) {
            Some(after) => actor.held.push_back((after, to, parcel)),
            None => self.send(me, to, parcel),
        }
    }

    fn persisted(&mut self, me: u16, seq: u64) {
        self.cast[usize::from(me)].durable_seq = seq;
        self.feed(me, Event::Persisted(seq));
        let held = std::mem::take(&mut self.cast[usize::from(me)].held);
        for (after, to, parcel) in held {
            self.send_after(me, to, parcel, Some(after));
        }
    }

    fn send(&mut self, me: u16, to: Peers, parcel: Parcel) {
        match to {
            Peers::One(one) => self.post(me, one.get(), parcel),
            Peers::All => {
                for other in (0..u16::try_from(self.cast.len()).unwrap_or(0)).filter(|other| *other != me) {
                    self.post(me, other, parcel.clone());
                }
            }
        }
    }

    fn post(&mut self, from: u16, to: u16, parcel: Parcel) {
        let now_ms = self.now_ms;
        let mut delay = self.random.between(self.delay_ms.0, self.delay_ms.1);
        let fate = self
            .rules
            .iter_mut()
            .map(|rule| rule(now_ms, from, to, &parcel))
            .find(|fate| !matches!(fate, Fate::Pass));
        let parcel = match fate {
            None | Some(Fate::Pass) => parcel,
            Some(Fate::Drop) => return,
            Some(Fate::Late(more)) => {
                delay += more;
                parcel
            }
            Some(Fate::Instead(other)) => other,
        };
        self.schedule(delay, Due::Arrive { from, to, parcel: Box::new(parcel) });
    }

    fn arrive(&mut self, from: u16, to: u16, parcel: Parcel) {
        match parcel {
            Parcel::Message(Message::GetBlocks { from: first }) => self.serve_blocks(to, from, first),
            Parcel::Message(message) => {
                self.feed(to, Event::Message { from: ix(from), message: Box::new(message) });
            }
            Parcel::Batch(header) => {
                self.cast[usize::from(to)].batches.insert(name(&header), header.clone());
                self.feed(to, Event::BatchStored(header));
            }
            Parcel::GetBatches { from: first, tip } => {
                let store = &self.cast[usize::from(to)].batches;
                let (mut found, mut at) = (Vec::new(), tip);
                while let Some(header) = store.get(&at) {
                    found.push(header.clone());
                    if at.seq == first || at.seq == 0 {
                        break;
                    }
                    at = BatchRef { seq: at.seq - 1, digest: header.header.prev, ..at };
                }
                for header in found.into_iter().rev() {
                    self.post(to, from, Parcel::Batch(header));
                }
            }
        }
    }

    fn serve_blocks(&mut self, me: u16, to: u16, first: Height) {
        let actor = &self.cast[usize::from(me)];
        let last = Height::new(first.get() + SYNC_BLOCKS_MAX - 1);
        let Some((last, certificate)) = actor.certificates.range(first..=last).next_back() else { return };
        let blocks: Option<Vec<Proposal>> =
            actor.heights.range(first..=*last).map(|(_, digest)| actor.blocks.get(digest).cloned()).collect();
        if let Some(blocks) = blocks {
            let message =
                Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(certificate.clone()) };
            self.post(me, to, Parcel::Message(message));
        }
    }
}

/// The name of a batch.
pub fn name(batch: &SignedBatchHeader) -> BatchRef {
    BatchRef::of(&batch.header)
}

/// The value that this part of all does not exceed, in per mille: 990 is the 99th percentile.
pub fn percentile(values: &[u64], per_mille: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * per_mille).div_ceil(1_000).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0)
}

/// Holds a leader's blocks back, so that one comes this long after the last one at the earliest, or after it was made:
/// a leader just below the timeout.
pub fn slow_leader(who: u16, gap_ms: u64) -> Rule {
    let mut last: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut free_ms = 0;
    Box::new(move |now_ms, from, _, parcel| match parcel {
        Parcel::Message(Message::Propose(proposal)) if from == who && proposal.header.proposer == ix(who) => {
            let at = *last.entry(proposal.header.digest()).or_insert_with(|| {
                let at = now_ms.max(free_ms) + gap_ms;
                free_ms = at;
                at
            });
            Fate::Late(at.saturating_sub(now_ms))
        }
        _ => Fate::Pass,
    })
}
