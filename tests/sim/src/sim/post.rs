//! How what a node sends becomes what others receive.

use std::sync::Arc;

use chain_core::id::Height;
use consensus::action::Peers;
use consensus::event::Event;
use consensus::message::Message;

use super::byzantine::{Hand, Liar, Spoken};
use super::disk::Certified;
use super::parcel::{Letter, Parcel, fold};
use super::world::{Due, World};

/// How often a liar may speak on its own.
const IDLE_US: u64 = 250_000;

impl World {
    /// Something leaves a node: judged against its disk, then posted to everybody it is for.
    pub(super) fn send(&mut self, node: usize, to: Peers, parcel: Parcel) {
        self.judge(node, &parcel);
        if let Parcel::Message(message) = &parcel
            && let Message::Propose(proposal) = &**message
        {
            self.strike_at_closing(node, &proposal.header);
        }
        let to = self.receivers(node, to, &parcel);
        // Liars go on lying after everything else is healed: the protocol tolerates f of them for ever.
        if self.nodes[node].liar.is_some() && self.nodes[node].me.is_some() {
            let honest = to.len();
            let spoken = self.by_liar(node, |liar, hand| liar.speak(hand, &to, &parcel));
            self.report.lies +=
                u64::from(spoken.len() != honest || spoken.iter().any(|one| one.later_us > 0));
            self.speak(node, spoken);
            return;
        }
        let letter = Letter::new(parcel);
        for seat in to {
            self.post(node, seat, letter.clone());
        }
    }

    /// Holds what leaves a node against what it may say in its epoch.
    fn judge(&mut self, node: usize, parcel: &Parcel) {
        let one = &self.nodes[node];
        let (epoch, durable) = (self.epochs[one.epoch].epoch, one.disk.durable());
        let observer = &mut self.observers[one.epoch];
        match (parcel, one.me) {
            (Parcel::Message(message), Some(who)) => observer.sent(who, message, durable),
            (Parcel::Message(message), None) => observer.sent_by_guest(&one.name, message, epoch),
            (Parcel::Batch(batch), Some(who))
                if batch.header.author == who && batch.header.epoch == epoch =>
            {
                observer.pushed(who, batch.header.seq, batch.header.digest(), durable);
            }
            (Parcel::Batch(_) | Parcel::GetBatches { .. }, _) => {}
        }
    }

    fn by_liar(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut dyn Liar, &mut Hand<'_>) -> Vec<Spoken>,
    ) -> Vec<Spoken> {
        let Some(mut liar) = self.nodes[node].liar.take() else { return Vec::new() };
        let one = &self.nodes[node];
        let start = &self.epochs[one.epoch];
        let Some(me) = one.me else {
            self.nodes[node].liar = Some(liar);
            return Vec::new();
        };
        let signer = start.roster.signer(me);
        let mut hand = Hand {
            me,
            seat: node,
            seats: self.nodes.len(),
            quorum: start.judge.committee.quorum(),
            chain_id: start.judge.chain_id,
            view: one.engine.as_ref().map(|engine| engine.view()).unwrap_or_default(),
            signer: &*signer,
            tables: one.disk.tables(),
            random: &mut self.random,
            now_us: self.now_us,
        };
        let spoken = act(&mut *liar, &mut hand);
        self.nodes[node].liar = Some(liar);
        spoken
    }

    fn speak(&mut self, node: usize, spoken: Vec<Spoken>) {
        for Spoken { to, parcel, later_us } in spoken {
            if matches!(parcel, Parcel::Message(_)) {
                self.judge(node, &parcel);
            }
            let letter = Letter::new(parcel);
            if later_us == 0 {
                self.post(node, to, letter);
            } else {
                self.schedule(later_us, Due::Speak { from: node, to, letter });
            }
        }
    }

    /// A liar's chance to say something that its engine did not ask for.
    pub(super) fn liar_idle(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            let spoken = self.by_liar(node, |liar, hand| liar.idle(hand));
            self.report.lies += spoken.len() as u64;
            self.speak(node, spoken);
        }
        self.schedule(IDLE_US, Due::LiarIdle { node });
    }

    /// Hands a letter to the network.
    pub(super) fn post(&mut self, from: usize, to: usize, letter: Arc<Letter>) {
        self.report.messages += 1;
        self.report.bytes += letter.bytes;
        let kind = &mut self.kinds[letter.parcel.kind()];
        *kind = (kind.0 + 1, kind.1 + letter.bytes);
        if let Parcel::Message(message) = &letter.parcel
            && matches!(**message, Message::GetProposal { .. } | Message::GetBlocks { .. })
        {
            self.report.fetches += 1;
        }
        if let Some(script) = &self.script
            && !script.passes(from, to, &letter.parcel, self.view_of(from))
        {
            return;
        }
        let [first, second] = self.network.arrivals(self.now_us, from, to);
        if let Some(at) = second {
            self.schedule_at(at, Due::Arrive { from, to, letter: letter.clone() });
        }
        if let Some(at) = first {
            self.schedule_at(at, Due::Arrive { from, to, letter });
        }
    }

    fn view_of(&self, node: usize) -> u64 {
        self.nodes[node].engine.as_ref().map_or(0, |engine| engine.view().get())
    }

    /// A letter reaches a node.
    pub(super) fn arrive(&mut self, from: usize, to: usize, letter: &Letter) {
        if !self.up(to) {
            return;
        }
        let event = fold(fold(self.now_us, (from as u64) << 32 | to as u64), letter.print);
        self.report.trace = fold(self.report.trace, event);
        if let Some(transcript) = self.transcript.as_mut() {
            let (from, to) = (&self.nodes[from].name, &self.nodes[to].name);
            transcript.arrived(self.now_us, from, to, &letter.parcel);
        }
        match &letter.parcel {
            Parcel::Message(message) => {
                if let Message::GetBlocks { from: first } = **message {
                    self.serve_blocks(to, from, first);
                    return;
                }
                let from = self.place(self.nodes[to].epoch, from);
                self.feed(to, Event::Message { from, message: message.clone() });
            }
            Parcel::Batch(header) => {
                // As the driver does before it stores one.
                let judge = &self.epochs[self.nodes[to].epoch].judge;
                if header.header.author.index() < judge.committee.size() && judge.batch(header) {
                    self.nodes[to].disk.write_batch(header.clone());
                    self.feed(to, Event::BatchStored(header.clone()));
                }
            }
            Parcel::GetBatches { from: first, tip } => self.serve_batches(to, from, *first, *tip),
        }
    }

    /// The sync server: final blocks from the store, ending at a certified height.
    fn serve_blocks(&mut self, node: usize, to: usize, first: Height) {
        use consensus::message::SYNC_BLOCKS_MAX;
        let tables = self.nodes[node].disk.tables();
        let last_wanted = Height::new(first.get().saturating_add(SYNC_BLOCKS_MAX - 1));
        // One answer is of one epoch.
        let epoch = tables.block_at(first).map(|block| block.header.epoch);
        let ends = |(_, one): &(&Height, &Arc<Certified>)| Some(one.certificate.epoch) == epoch;
        let Some((last, certified)) = tables
            .certificates
            .range(first..=last_wanted)
            .rev()
            .find(ends)
            .or_else(|| tables.certificates.range(first..).next().filter(ends))
        else {
            return;
        };
        let blocks: Option<Vec<_>> = (first.get()..=last.get())
            .map(|height| tables.block_at(Height::new(height)).map(|block| (**block).clone()))
            .collect();
        if let Some(blocks) = blocks {
            let certificate = Box::new(certified.certificate.clone());
            let message = Message::Blocks { blocks, suffixes: certified.suffixes.clone(), certificate };
            let to = Peers::One(self.place(self.nodes[node].epoch, to));
            self.send(node, to, Parcel::Message(Box::new(message)));
        }
    }

    fn serve_batches(&mut self, node: usize, to: usize, first: u64, tip: chain_core::lane::BatchRef) {
        let mut found = Vec::new();
        let mut at = tip;
        while let Some(header) = self.nodes[node].disk.durable().batches.get(&at) {
            let header = (**header).clone();
            let prev = header.header.prev;
            found.push(header);
            if at.seq == first || at.seq == 0 {
                break;
            }
            at.seq -= 1;
            at.digest = prev;
        }
        let to = Peers::One(self.place(self.nodes[node].epoch, to));
        for header in found.into_iter().rev() {
            self.send(node, to, Parcel::Batch(header));
        }
    }
}
