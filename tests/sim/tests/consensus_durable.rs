//! Nothing shows others what this validator would forget in a crash. Found by simulation: a timeout
//! certificate with the own VIEW-CHANGE in it left, as help for one that was behind, before that VIEW-CHANGE
//! was durable; after a power cut its author could have committed in the view that it had given up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use city_sim::kit::table::{engine, present};
use city_sim::kit::{Kit, WALL_MS, ix};
use consensus::Engine;
use consensus::action::Action;
use consensus::event::{Event, Now};
use consensus::message::{EntryProof, Message, Status, VoteEcho};

/// One engine whose disk is as slow as the test wants.
struct Slow {
    engine: Engine,
    now_ms: u64,
    /// Newest write asked for, and newest that is durable.
    written: u64,
    durable: u64,
    /// What may have left so far, and what waits for a write.
    left: Vec<Message>,
    held: Vec<(u64, Message)>,
}

impl Slow {
    fn feed(&mut self, event: Event) {
        let mut out = Vec::new();
        let now = Now { mono_ms: self.now_ms, wall_ms: WALL_MS + self.now_ms };
        self.engine.handle(now, event, &mut out);
        for action in out {
            match action {
                Action::Persist(persist) => self.written = persist.seq,
                Action::Send { message, after: Some(after), .. } if after > self.durable => {
                    self.held.push((after, *message));
                }
                Action::Send { message, .. } => self.left.push(*message),
                _ => {}
            }
        }
    }

    fn tell(&mut self, from: u16, message: Message) {
        self.feed(Event::Message { from: ix(from), message: Box::new(message) });
    }

    fn sync(&mut self) {
        self.durable = self.written;
        self.feed(Event::Persisted(self.durable));
        let durable = self.durable;
        let ready = self.held.extract_if(.., |(after, _)| *after <= durable);
        self.left.extend(ready.map(|(_, message)| message));
    }

    /// Whether a timeout certificate with a VIEW-CHANGE of validator 0 has left.
    fn has_shown_its_view_change(&self) -> bool {
        self.left.iter().any(|message| match message {
            Message::Entry(EntryProof::Timeout(tc)) => tc.claims.iter().any(|(signer, ..)| *signer == ix(0)),
            Message::ViewChange(one) => one.signer == ix(0),
            _ => false,
        })
    }
}

#[test]
fn the_own_view_change_is_in_no_certificate_before_it_is_durable() {
    let kit = Kit::led_by(4, 1);
    let started = engine(&kit, 0, present(kit.fresh_record(0)));
    let mut slow =
        Slow { engine: started, now_ms: 1_000, written: 0, durable: 0, left: Vec::new(), held: Vec::new() };
    slow.feed(Event::Tick);
    for peer in 1..4 {
        slow.tell(peer, Message::Echo(Box::new(VoteEcho { epoch: kit.epoch, ..VoteEcho::default() })));
    }
    slow.sync();
    // Two others give up, so this one joins them: three are a quorum, its own VIEW-CHANGE among them.
    for peer in [2, 3] {
        let message = kit.view_change(1, kit.base_qc(), None, peer);
        slow.tell(peer, Message::ViewChange(Box::new(message)));
    }
    // One that is behind shows where it stands, and is helped.
    for _ in 0..5 {
        slow.now_ms += 200;
        slow.tell(
            1,
            Message::Status(Box::new(Status {
                epoch: kit.epoch,
                view: chain_core::id::View::ZERO,
                committed: chain_core::id::Height::ZERO,
                executed: chain_core::id::Height::ZERO,
                certificate: None,
                high_qc: None,
                awaits_echo: false,
            })),
        );
    }
    assert!(!slow.has_shown_its_view_change(), "{:?}", slow.left);
    slow.sync();
    slow.sync();
    assert!(slow.has_shown_its_view_change());
    assert_eq!(slow.engine.view().get(), 1, "the certificate forms once its own part is durable");
}
