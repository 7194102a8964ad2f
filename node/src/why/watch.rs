//! What is remembered of each validator, and the task that tells the others about this one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::id::{Height, ValidatorIx};
use consensus::Peers;

use super::clock::{Clock, Echo, Offset};
use super::health::Health;
use crate::driver::core::Core;
use crate::link::Frame;

/// What is the matter when two processes have one validator's keys.
pub(super) const TWIN: &str = "a second process has the keys of this validator and is refused by its peers";
/// How often validators tell each other how they are.
const PERIOD: Duration = Duration::from_secs(1);
/// A height that f+1 validators had this long ago is old.
const OLD_MS: u64 = 5_000;
/// A height that rose within this time is rising.
const RISING_MS: u64 = 3_000;
/// Heights remembered, one a second.
const HEIGHTS_MAX: usize = 8;

/// What is remembered of one validator.
#[derive(Debug, Default)]
struct Of {
    clock: Clock,
    /// The newest report since the connection stands, and when it came.
    health: Option<(Health, u64)>,
    /// The release it last stated.
    version: Option<String>,
    committed: Rising,
    executed: Rising,
}

/// A height, and when it last rose.
#[derive(Debug, Default)]
struct Rising {
    height: Height,
    rose_ms: Option<u64>,
}

impl Rising {
    fn note(&mut self, now_ms: u64, height: Height) {
        if height > self.height {
            self.rose_ms = Some(now_ms);
        }
        self.height = height;
    }

    fn rises(&self, now_ms: u64) -> bool {
        self.rose_ms.is_some_and(|at| now_ms <= at + RISING_MS)
    }
}

/// Where a validator stands.
#[derive(Clone, Copy, Debug)]
struct Stands {
    committed: Height,
    executed: Height,
}

#[derive(Debug)]
struct State {
    validators: Vec<Of>,
    /// What f+1 validators had committed, and when.
    heights: VecDeque<(u64, Height)>,
}

impl State {
    fn twin(&self, faults: usize) -> bool {
        let says = |of: &&Of| of.health.as_ref().is_some_and(|(health, _)| health.twin);
        self.validators.iter().filter(says).count() > faults
    }
}

/// What is remembered of the validators. Bounded by their number.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<State>);

/// What is remembered of one validator, with ages in place of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    pub(super) health: Option<Health>,
    pub(super) heard_ms: Option<u64>,
    pub(super) version: Option<String>,
    pub(super) offset: Option<Offset>,
    pub(super) round_trip_ms: Option<u64>,
    pub(super) rising: bool,
    pub(super) executing: bool,
}

impl Watch {
    pub(crate) fn new(n: usize) -> Self {
        let validators = (0..n).map(|_| Of::default()).collect();
        Self(Mutex::new(State { validators, heights: VecDeque::new() }))
    }

    /// Every index may be somebody else from here on.
    pub(crate) fn begin_epoch(&self) {
        let mut state = self.lock();
        state.validators.iter_mut().for_each(|of| *of = Of::default());
    }

    /// A connection stands: what was said on the last one says nothing about now.
    pub(crate) fn connected(&self, core: &Core, peer: ValidatorIx) {
        if let Some(of) = self.lock().validators.get_mut(peer.index()) {
            of.clock = Clock::default();
            of.health = None;
        }
        self.tell(core, peer, false, None);
    }

    /// Takes a peer's report.
    pub(crate) fn take(&self, core: &Core, from: ValidatorIx, health: &Health) {
        let (mono_ms, wall_ms) = (core.mono_ms(), Core::wall_ms());
        let faults = core.committee().faults();
        let mut state = self.lock();
        let known = state.twin(faults);
        let Some(of) = state.validators.get_mut(from.index()) else { return };
        if let Some(echo) = health.echo {
            of.clock.heard(mono_ms, wall_ms, health.wall_ms, echo);
        }
        let health = health.clone().bounded();
        of.version = Some(health.version.clone());
        of.health = Some((health, mono_ms));
        if !known && state.twin(faults) {
            drop(state);
            tracing::error!(code = %Code::KeyInTwoPlaces, "{TWIN}; stop it");
        }
    }

    /// Whether f+1 validators say that a second process with this node's keys asked them for a connection: at least
    /// one of them is honest.
    pub(super) fn twin(&self, faults: usize) -> bool {
        self.lock().twin(faults)
    }

    /// What is remembered of a validator.
    pub(super) fn remembered(&self, ix: ValidatorIx, now_ms: u64) -> Remembered {
        let state = self.lock();
        let Some(of) = state.validators.get(ix.index()) else { return Remembered::default() };
        Remembered {
            health: of.health.as_ref().map(|(health, _)| health.clone()),
            heard_ms: of.health.as_ref().map(|(_, at)| now_ms.saturating_sub(*at)),
            version: of.version.clone(),
            offset: of.clock.offset(),
            round_trip_ms: of.clock.round_trip_ms(),
            rising: of.committed.rises(now_ms),
            executing: of.executed.rises(now_ms),
        }
    }

    /// The newest height that f+1 validators had committed five seconds ago.
    pub(super) fn old_height(&self, now_ms: u64) -> Option<Height> {
        let state = self.lock();
        let old = state.heights.iter().rev().find(|(at, _)| now_ms >= at + OLD_MS);
        old.map(|(_, height)| *height)
    }

    /// Remembers where everybody stands.
    fn note_heights(&self, now_ms: u64, all: &[Stands], faults: usize) {
        let mut state = self.lock();
        for (of, stands) in state.validators.iter_mut().zip(all) {
            of.committed.note(now_ms, stands.committed);
            of.executed.note(now_ms, stands.executed);
        }
        let mut sorted: Vec<Height> = all.iter().map(|one| one.committed).collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        // One of f+1 is honest: nobody can accuse the others by inventing a height.
        if let Some(height) = sorted.get(faults).copied() {
            while state.heights.len() >= HEIGHTS_MAX {
                state.heights.pop_front();
            }
            state.heights.push_back((now_ms, height));
        }
    }

    /// Tells one peer how this validator is.
    fn tell(&self, core: &Core, to: ValidatorIx, stopping: bool, refusal: Option<&Refusal>) {
        let Some(network) = core.network() else { return };
        let (stamp_ms, view) = (core.mono_ms(), core.engine_view());
        let echo = {
            let mut state = self.lock();
            let Some(of) = state.validators.get_mut(to.index()) else { return };
            of.clock.sent(stamp_ms);
            of.health
                .as_ref()
                .map(|(health, at)| Echo { stamp_ms: health.stamp_ms, kept_ms: stamp_ms.saturating_sub(*at) })
        };
        let voting = view.voting && !stopping;
        let refusal = refusal.cloned().or_else(|| view.not_voting(core));
        let health = Health {
            version: super::release(),
            stamp_ms,
            wall_ms: Core::wall_ms(),
            echo,
            voting,
            refusal: refusal.filter(|_| !voting),
            stopping,
            pause_ms: view.pause_ms(stamp_ms),
            twin: network.peers().iter().any(|peer| peer.validator == to && peer.twin),
        };
        network.send(Peers::One(to), Frame::Health(Arc::new(health.bounded())));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn others(core: &Core) -> impl Iterator<Item = ValidatorIx> {
    let me = core.me();
    core.committee().indices().filter(move |ix| Some(*ix) != me)
}

/// Tells every peer how this validator is, once a second, as long as the node is there.
pub(crate) async fn talk(core: Weak<Core>) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(core) = core.upgrade().filter(|core| !core.stop.stopping()) else { return };
        let (me, view) = (core.me(), core.engine_view());
        let stands = core.committee().indices().zip(&view.insights).map(|(ix, insight)| Stands {
            committed: insight.committed,
            executed: if Some(ix) == me { core.executed() } else { insight.executed },
        });
        core.watch.note_heights(core.mono_ms(), &stands.collect::<Vec<_>>(), core.committee().faults());
        for peer in others(&core) {
            core.watch.tell(&core, peer, false, None);
        }
    }
}

/// Tells every peer why this validator is about to be gone.
pub(crate) fn farewell(core: &Core, reason: &Result<(), Refusal>) {
    let told = || Refusal::new(Code::NotReady, "it was told to stop");
    let refusal = reason.as_ref().err().cloned().unwrap_or_else(told);
    for peer in others(core) {
        core.watch.tell(core, peer, true, Some(&refusal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(all: [u64; 4]) -> Vec<Stands> {
        all.map(|height| Stands { committed: Height::new(height), executed: Height::new(height / 2) })
            .to_vec()
    }

    #[test]
    fn a_height_is_old_when_two_of_four_had_it_five_seconds_ago() {
        let watch = Watch::new(4);
        watch.note_heights(1_000, &heights([10, 9, 8, 999]), 1);
        assert_eq!(watch.old_height(5_999), None);
        assert_eq!(watch.old_height(6_000), Some(Height::new(10)), "one alone can claim what it likes");
        for second in 2..60 {
            watch.note_heights(second * 1_000, &heights([10, 9, 9, 999]), 1);
        }
        assert!(watch.lock().heights.len() <= HEIGHTS_MAX);
    }

    #[test]
    fn two_of_four_must_have_seen_a_twin() {
        let watch = Watch::new(4);
        let says = |of: usize, twin| {
            let health = Health { twin, ..Health::default() };
            watch.lock().validators[of].health = Some((health, 0));
        };
        (0..4).for_each(|of| says(of, false));
        assert!(!watch.twin(1));
        says(2, true);
        assert!(!watch.twin(1), "one alone can claim what it likes");
        says(0, true);
        assert!(watch.twin(1));
    }

    #[test]
    fn a_height_rises_for_three_seconds() {
        let watch = Watch::new(4);
        let rising = |at| {
            let remembered = watch.remembered(ValidatorIx::new(1), at);
            assert_eq!(remembered.executing, remembered.rising);
            remembered.rising
        };
        watch.note_heights(1_000, &heights([0, 0, 0, 0]), 1);
        assert!(!rising(1_000));
        watch.note_heights(2_000, &heights([0, 5, 0, 0]), 1);
        watch.note_heights(3_000, &heights([0, 5, 0, 0]), 1);
        assert!(rising(5_000) && !rising(5_001));
    }
}
