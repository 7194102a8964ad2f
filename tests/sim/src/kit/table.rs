//! Real engines around a table: every write is durable at once, every message waits on the table until the
//! test lets it through.

use std::collections::{BTreeMap, VecDeque};

use chain_core::block::{ExecSummary, Flags};
use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::evidence::Evidence;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::BatchRef;
use consensus::action::{Action, Alarm, Delivery, Peers, Write};
use consensus::engine::{Restored, SafetyAtStart};
use consensus::event::{Event, Now};
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX, VoteEcho};
use consensus::safety::SafetyRecord;
use consensus::spec::trace::TraceChecker;
use consensus::{Engine, Params};

use super::{Kit, WALL_MS, ix};

/// One engine and everything it ever did.
#[derive(Debug)]
pub struct Seat {
    /// The engine.
    pub engine: Engine,
    /// Every message it sent, with whom it was for.
    pub sent: Vec<(Peers, Message)>,
    /// Every alarm it raised.
    pub alarms: Vec<Alarm>,
    /// All evidence it found, in order.
    pub evidence: Vec<Evidence>,
    /// Every block it delivered, in order.
    pub delivered: Vec<Delivery>,
    /// Every write, in order.
    pub written: Vec<Write>,
    /// Every request for batches: the first wanted, the newest wanted, and who is asked first.
    pub fetched: Vec<(u64, BatchRef, ValidatorIx)>,
    /// Every batch that it pushed again, and to whom.
    pub pushed: Vec<(Peers, BatchRef)>,
    /// How earlier epochs ended, as its store holds it.
    pub closings: Vec<ClosingProof>,
    blocks: BTreeMap<Digest, Proposal>,
    finals: BTreeMap<Height, Digest>,
    certificates: BTreeMap<Height, Cert>,
}

impl Seat {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            sent: Vec::new(),
            alarms: Vec::new(),
            evidence: Vec::new(),
            delivered: Vec::new(),
            written: Vec::new(),
            fetched: Vec::new(),
            pushed: Vec::new(),
            closings: Vec::new(),
            blocks: BTreeMap::new(),
            finals: BTreeMap::new(),
            certificates: BTreeMap::new(),
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Block(proposal) => {
                self.blocks.insert(proposal.header.digest(), (**proposal).clone());
            }
            Write::Commit { certificate, blocks, .. } => {
                self.finals.extend(blocks.iter().map(|header| (header.height, header.digest())));
                self.certificates.insert(certificate.height, certificate.clone());
            }
            _ => {}
        }
    }

    /// What the owner of the store answers to [`Message::GetBlocks`].
    fn answer(&self, from: Height) -> Option<Message> {
        let wanted = from..=Height::new(from.get().saturating_add(SYNC_BLOCKS_MAX - 1));
        let (last, certificate) = self.certificates.range(wanted).next_back()?;
        let digests = self.finals.range(from..=*last);
        let blocks = digests.filter_map(|(_, digest)| self.blocks.get(digest).cloned()).collect();
        Some(Message::Blocks { blocks, suffixes: Vec::new(), certificate: Box::new(certificate.clone()) })
    }

    /// A block it was asked to store.
    pub fn block(&self, digest: &Digest) -> Option<&Proposal> {
        self.blocks.get(digest)
    }

    /// How the epoch ended, as it was written.
    pub fn closing(&self) -> Option<ClosingProof> {
        self.written.iter().rev().find_map(|write| match write {
            Write::Commit { certificate, blocks, suffixes, .. } => {
                let last = blocks.last().filter(|one| one.flags.contains(Flags::CLOSING))?;
                let headers = std::iter::once(last).chain(suffixes).cloned().collect();
                Some(ClosingProof { headers, certificate: certificate.clone() })
            }
            _ => None,
        })
    }

    /// Messages sent that only the holder of a consensus key can make: proposals of its own, votes and view
    /// changes.
    pub fn signed(&self, me: ValidatorIx) -> Vec<&Message> {
        self.sent
            .iter()
            .map(|(_, message)| message)
            .filter(|message| match message {
                Message::Propose(proposal) => proposal.header.proposer == me,
                Message::Vote(..) | Message::ViewChange(_) => true,
                _ => false,
            })
            .collect()
    }
}

/// Engines, and messages on their way.
#[derive(Debug)]
pub struct Table {
    /// The validators.
    pub kit: Kit,
    /// The engines by index; fewer than validators when some are played by the test.
    pub seats: Vec<Seat>,
    /// Messages on the table: from, to, what.
    pub queue: VecDeque<(ValidatorIx, ValidatorIx, Message)>,
    /// Virtual time, milliseconds.
    pub now_ms: u64,
    /// The height whose execution schedules the next validator set, and that set's hash.
    pub schedule: Option<(Height, Digest)>,
    /// The specification: what an engine says must be allowed there.
    trace: TraceChecker,
    /// Whether the specification is asked at all. It says little where liars are a quorum.
    pub watched: bool,
    /// What was not allowed. Fatal, unless the test expects it.
    pub violations: Vec<String>,
    /// Whether a test expects violations.
    pub expects_violations: bool,
}

/// The summary that every engine at a table reaches at a height: there is nothing to execute.
pub fn summary(height: Height) -> ExecSummary {
    ExecSummary {
        height,
        previous: Digest::ZERO,
        log_size: 0,
        log_root: Digest::ZERO,
        outcomes_root: Digest::ZERO,
        state_root: Digest::ZERO,
    }
}

/// What a fresh node holds at start.
pub fn restored(kit: &Kit, safety: SafetyAtStart) -> Restored {
    Restored {
        safety,
        executed: kit.genesis(),
        committed: kit.genesis(),
        certificate: None,
        blocks: Vec::new(),
        summaries: vec![summary(kit.start.height)],
        recent: Vec::new(),
        batches: Vec::new(),
        scheduled: None,
    }
}

/// An engine of validator `me`, started from its safety record.
pub fn engine(kit: &Kit, me: u16, safety: SafetyAtStart) -> Engine {
    Engine::new(Params::default(), kit.judge(), Some((ix(me), kit.signer(me))), restored(kit, safety))
}

/// The safety record as a start finds it.
pub fn present(record: SafetyRecord) -> SafetyAtStart {
    SafetyAtStart::Present(Box::new(record))
}

impl Table {
    /// `n` fresh validators that have just been started and know nothing of each other yet.
    pub fn new(n: u16) -> Self {
        let kit = Kit::new(n);
        let starts = (0..n).map(|me| present(kit.fresh_record(me))).collect();
        Self::with(kit, starts)
    }

    /// Validator 0 alone at the table; the test speaks for the others. Its safety record is confirmed.
    pub fn alone(kit: Kit) -> Self {
        let start = present(kit.fresh_record(0));
        let mut table = Self::with(kit, vec![start]);
        table.greet(0);
        table.queue.clear();
        table
    }

    /// Validators that find these safety records.
    pub fn with(kit: Kit, starts: Vec<SafetyAtStart>) -> Self {
        let seats = (0_u16..).zip(starts).map(|(me, start)| Seat::new(engine(&kit, me, start))).collect();
        let mut table = Self {
            trace: TraceChecker::new(kit.epoch, kit.base(), kit.n()),
            kit,
            seats,
            queue: VecDeque::new(),
            now_ms: 1_000,
            schedule: None,
            violations: Vec::new(),
            watched: true,
            expects_violations: false,
        };
        for played in table.len()..table.n() {
            table.trace.expect_lies(ix(played));
        }
        for me in 0..table.len() {
            table.feed(me, Event::Tick);
        }
        table
    }

    fn len(&self) -> u16 {
        u16::try_from(self.seats.len()).unwrap_or(u16::MAX)
    }

    fn n(&self) -> u16 {
        u16::try_from(self.kit.n()).unwrap_or(u16::MAX)
    }

    /// The clock everybody reads.
    pub fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: WALL_MS + self.now_ms }
    }

    /// Everybody meets everybody, and all messages arrive.
    pub fn connect(&mut self) {
        self.meet();
        self.settle();
    }

    /// Everybody meets everybody; what they say stays on the table.
    pub fn meet(&mut self) {
        for a in 0..self.len() {
            for b in (0..self.len()).filter(|b| *b != a) {
                self.feed(a, Event::Connected(ix(b)));
            }
        }
    }

    /// Hands an event to one engine and carries out what it asks for.
    pub fn feed(&mut self, me: u16, event: Event) {
        let (now, n) = (self.now(), self.n());
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut out = Vec::new();
            let seat = &mut self.seats[usize::from(me)];
            seat.engine.handle(now, event, &mut out);
            for action in out {
                match action {
                    Action::Persist(persist) => {
                        persist.writes.iter().for_each(|write| seat.write(write));
                        seat.written.extend(persist.writes);
                        events.push_back(Event::Persisted(persist.seq));
                    }
                    Action::Send { to, message, .. } => {
                        let held = |digest: &Digest| seat.blocks.get(digest).map(|proposal| &proposal.header);
                        if self.watched
                            && let Err(violation) = self.trace.observe(ix(me), &message, held)
                        {
                            assert!(self.expects_violations, "{violation}");
                            self.violations.push(violation.to_string());
                        }
                        seat.sent.push((to, (*message).clone()));
                        let meant = |other: &u16| match to {
                            Peers::All => *other != me,
                            Peers::One(one) => one == ix(*other),
                        };
                        for other in (0..n).filter(meant) {
                            self.queue.push_back((ix(me), ix(other), (*message).clone()));
                        }
                    }
                    Action::LoadFinal { from, count } => {
                        let blocks = seat.finals.range(from..).take(count);
                        let blocks = blocks.filter_map(|(_, digest)| seat.blocks.get(digest).cloned());
                        events.push_back(Event::Loaded(blocks.collect()));
                    }
                    Action::Deliver(delivery) => {
                        let height = delivery.header.height;
                        seat.delivered.push(*delivery);
                        let scheduled = self.schedule.filter(|(at, _)| *at == height).map(|(_, next)| next);
                        events.push_back(Event::Executed { summary: summary(height), scheduled });
                    }
                    Action::Evidence(evidence) => seat.evidence.push(*evidence),
                    Action::Alarm(alarm) => seat.alarms.push(alarm),
                    Action::Notice(_) => {}
                    Action::FetchBatches { from, tip, holders } => {
                        seat.fetched.push((from, tip, holders[0]));
                    }
                    Action::PushBatch { to, batch } => seat.pushed.push((to, batch)),
                    Action::SendClosing { to, epoch } => {
                        let ended = seat.closings.iter().find(|proof| proof.certificate.epoch == epoch);
                        if let Some(proof) = ended.cloned() {
                            self.queue.push_back((ix(me), to, Message::Closing(Box::new(proof))));
                        }
                    }
                    Action::Sealed { .. } => {}
                }
            }
        }
    }

    /// A message arrives at one engine.
    pub fn tell(&mut self, from: u16, to: u16, message: Message) {
        if let Message::GetBlocks { from: first } = message
            && let Some(answer) = self.seats[usize::from(to)].answer(first)
        {
            self.queue.push_back((ix(to), ix(from), answer));
        }
        self.feed(to, Event::Message { from: ix(from), message: Box::new(message) });
    }

    /// The peers confirm a validator's safety record: none remembers anything of it.
    pub fn greet(&mut self, me: u16) {
        for from in (0..self.n()).filter(|from| *from != me) {
            self.tell(
                from,
                me,
                Message::Echo(Box::new(VoteEcho { epoch: self.kit.epoch, ..VoteEcho::default() })),
            );
        }
    }

    /// Lets through every message on the table, and those they cause, that passes the filter; the others
    /// are lost.
    ///
    /// # Panics
    /// When it does not end.
    pub fn settle_by(&mut self, mut pass: impl FnMut(ValidatorIx, ValidatorIx, &Message) -> bool) {
        let mut steps = 0;
        while let Some((from, to, message)) = self.queue.pop_front() {
            if to.get() < self.len() && pass(from, to, &message) {
                self.tell(from.get(), to.get(), message);
            }
            // A network that broke a rule need not come to rest.
            if !self.violations.is_empty() {
                return self.queue.clear();
            }
            steps += 1;
            assert!(steps < 1_000_000, "messages breed without end");
        }
    }

    /// Lets through every message.
    pub fn settle(&mut self) {
        self.settle_by(|_, _, _| true);
    }

    /// Time passes in small steps; every engine is woken when it asked to be, and messages pass the filter.
    pub fn pass_ms_by(
        &mut self,
        span_ms: u64,
        mut pass: impl FnMut(ValidatorIx, ValidatorIx, &Message) -> bool,
    ) {
        let end = self.now_ms + span_ms;
        while self.now_ms < end {
            self.now_ms = (self.now_ms + 10).min(end);
            for me in 0..self.len() {
                if self.seats[usize::from(me)].engine.deadline() <= self.now_ms {
                    self.feed(me, Event::Tick);
                }
            }
            self.settle_by(&mut pass);
        }
    }

    /// Time passes, and every message arrives.
    pub fn pass_ms(&mut self, span_ms: u64) {
        self.pass_ms_by(span_ms, |_, _, _| true);
    }

    /// Newest committed height of a seat.
    pub fn committed(&self, me: u16) -> u64 {
        self.seats[usize::from(me)].engine.committed().height.get()
    }
}
