//! What is known of each validator: the verified connection if there is one, and why not if there is none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use tokio::sync::{Notify, Semaphore};

use super::outbox::{Bounds, Outbox};
use crate::link::Unreached;

/// Bounds of the queue of small urgent frames to one peer.
pub(super) const VOTES_BOUNDS: Bounds = Bounds { frames: 4_096, bytes: 8 * 1024 * 1024 };
/// Bounds of the queue of large frames to one peer. Frames are shared between the queues of all peers.
pub(super) const DATA_BOUNDS: Bounds = Bounds { frames: 1_024, bytes: 24 * 1024 * 1024 };
/// Most unanswered sync requests to one peer.
pub(super) const REQUESTS_MAX: usize = 4;
/// A connection from which nothing came for this long may be replaced by one dialled from the other side.
const FRESH: Duration = Duration::from_secs(3);
/// A second process that asked for a connection is remembered for this long.
const TWIN_REMEMBERED: Duration = Duration::from_secs(60);
/// A process that is heard this long after another asked in its place is not its predecessor's last word.
const TWIN_SURE: Duration = Duration::from_millis(500);
/// Longest time for which a misbehaving peer is cut off.
const CUT_MAX: Duration = Duration::from_secs(60);

/// One validator as seen from here.
#[derive(Debug)]
pub(super) struct Slot {
    /// Held by the connection that is announced to the inbox, so that `disconnected` comes before the next
    /// `connected`.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Permits of outgoing requests.
    pub(super) requests: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    active: Option<Arc<Active>>,
    connected: bool,
    refused: Option<Refusal>,
    unreached: Option<Unreached>,
    /// A host is being asked whether it takes connections.
    probed: bool,
    faults: u32,
    cut_until: Option<Instant>,
    rival: Option<Rival>,
}

/// A process that was turned away because another one with the same keys is connected.
#[derive(Debug)]
struct Rival {
    /// The one that is connected.
    holder: Digest,
    first: Instant,
    last: Instant,
    told: bool,
}

/// A connection that passed HELLO.
#[derive(Debug)]
pub(super) struct Active {
    /// Frames for the votes stream.
    pub(super) votes: Outbox,
    /// Frames for the data stream.
    pub(super) data: Outbox,
    /// Ends the connection.
    pub(super) stop: Notify,
    /// Dialled by the validator with the lower index: wins over one dialled the other way.
    preferred: bool,
    /// The peer's process, as HELLO named it.
    process: Digest,
    started: Instant,
    heard_ms: AtomicU64,
}

impl Active {
    pub(super) fn new(preferred: bool, process: Digest) -> Self {
        Self {
            votes: Outbox::new(VOTES_BOUNDS),
            data: Outbox::new(DATA_BOUNDS),
            stop: Notify::new(),
            preferred,
            process,
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
        }
    }

    /// Notes that bytes came in.
    pub(super) fn heard(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(ms, Ordering::Relaxed);
    }

    /// How long nothing came in.
    pub(super) fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }

    /// Whether another process must wait: this one was heard a moment ago.
    fn excludes(&self, process: &Digest) -> bool {
        self.process != *process && self.silence() < FRESH
    }
}

impl Rival {
    fn recent(&self, now: Instant) -> bool {
        now.duration_since(self.last) < TWIN_REMEMBERED
    }
}

impl State {
    fn twin(&self, now: Instant) -> bool {
        let (Some(rival), Some(active)) = (&self.rival, &self.active) else { return false };
        let heard = now.checked_sub(active.silence());
        active.process == rival.holder
            && rival.recent(now)
            && heard.is_some_and(|heard| heard > rival.first + TWIN_SURE)
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            state: Mutex::default(),
        }
    }
}

impl Slot {
    /// Whether a process that proved the validator's keys may connect: not while another one is there. So one
    /// process at a time is shown what a quorum remembers of the validator, and votes.
    ///
    /// # Errors
    /// `KEY_IN_TWO_PLACES` while another process is connected and was heard a moment ago.
    pub(super) fn admit(&self, process: &Digest, now: Instant) -> Result<(), Refusal> {
        let mut state = self.lock();
        let holder = match &state.active {
            Some(active) if active.excludes(process) => active.process,
            _ => return Ok(()),
        };
        match state.rival.as_mut().filter(|rival| rival.holder == holder && rival.recent(now)) {
            Some(rival) => rival.last = now,
            None => state.rival = Some(Rival { holder, first: now, last: now, told: false }),
        }
        Err(Refusal::new(Code::KeyInTwoPlaces, "another process with the same keys is connected"))
    }

    /// Whether two processes have the validator's keys: one was turned away lately, and the other was still heard
    /// well after that. A process that was just killed may seem to be there for a moment.
    pub(super) fn twin(&self, now: Instant) -> bool {
        self.lock().twin(now)
    }

    /// The same; true once for each time that it becomes so.
    pub(super) fn twin_is_news(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let twin = state.twin(now);
        state.rival.as_mut().is_some_and(|rival| twin && !std::mem::replace(&mut rival.told, true))
    }

    /// Makes a connection the one in use and stops the one before; false when it must give way instead.
    ///
    /// Between two connections of one pair of validators, both sides choose the same: the one dialled by the
    /// lower index, else the newer; but a connection that fell silent loses against any.
    pub(super) fn claim(&self, new: &Arc<Active>) -> bool {
        let mut state = self.lock();
        if let Some(old) = &state.active {
            // Two that came at once were both admitted.
            if old.excludes(&new.process) {
                return false;
            }
            if old.preferred && !new.preferred && old.silence() < FRESH {
                return false;
            }
            old.stop.notify_one();
        }
        state.active = Some(Arc::clone(new));
        state.connected = false;
        state.refused = None;
        state.unreached = None;
        true
    }

    /// Notes that the connection is announced; false when it was replaced meanwhile.
    pub(super) fn announce(&self, active: &Arc<Active>) -> bool {
        let mut state = self.lock();
        state.connected = state.active.as_ref().is_some_and(|one| Arc::ptr_eq(one, active));
        state.connected
    }

    /// Lets go of a connection that ended, unless another took its place.
    pub(super) fn release(&self, active: &Arc<Active>) {
        let mut state = self.lock();
        if state.active.as_ref().is_some_and(|one| Arc::ptr_eq(one, active)) {
            state.active = None;
            state.connected = false;
        }
    }

    /// The connection in use.
    pub(super) fn active(&self) -> Option<Arc<Active>> {
        self.lock().active.clone()
    }

    /// Whether a connection is announced, and why the last attempt was refused.
    pub(super) fn status(&self) -> (bool, Option<Refusal>) {
        let state = self.lock();
        (state.connected, state.refused.clone())
    }

    /// How the last attempt failed before anybody could refuse it.
    pub(super) fn unreached(&self) -> Option<Unreached> {
        self.lock().unreached
    }

    /// Remembers that an attempt failed before anybody could refuse it.
    pub(super) fn unreach(&self, how: Unreached) {
        let mut state = self.lock();
        // A connection that breaks says less than a refusal, and less than what the host said.
        let says_less = how == Unreached::Broken && (state.refused.is_some() || state.unreached.is_some());
        if state.active.is_none() && !says_less {
            state.unreached = Some(how);
        }
    }

    /// Whether its host may be asked now whether it takes connections; one asks at a time.
    pub(super) fn may_probe(&self) -> bool {
        !std::mem::replace(&mut self.lock().probed, true)
    }

    /// The host answered, or did not.
    pub(super) fn probed(&self, how: Unreached) {
        self.lock().probed = false;
        self.unreach(how);
    }

    /// Remembers why an attempt was refused; true when that is news.
    pub(super) fn refuse(&self, refusal: Refusal) -> bool {
        let mut state = self.lock();
        if state.active.is_some() {
            return false;
        }
        let news = state.refused.as_ref().map(|one| one.code) != Some(refusal.code);
        state.refused = Some(refusal);
        state.unreached = None;
        news
    }

    /// Notes misbehaviour and cuts the peer off: 1 s, doubling up to [`CUT_MAX`].
    pub(super) fn fault(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        let cut = Duration::from_secs(1 << state.faults.min(6)).min(CUT_MAX);
        state.faults += 1;
        state.cut_until = Some(now + cut);
        cut
    }

    /// Whether the peer is cut off now.
    pub(super) fn cut(&self, now: Instant) -> bool {
        self.lock().cut_until.is_some_and(|until| now < until)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_connection_dialled_by_the_lower_index() {
        for preferred_first in [true, false] {
            let slot = Slot::default();
            let (low, high) =
                (Arc::new(Active::new(true, Digest::ZERO)), Arc::new(Active::new(false, Digest::ZERO)));
            let order = if preferred_first { [&low, &high] } else { [&high, &low] };
            assert!(slot.claim(order[0]));
            assert_eq!(slot.claim(order[1]), !preferred_first);
            assert!(Arc::ptr_eq(&slot.active().unwrap(), &low));
        }
    }

    #[test]
    fn a_newer_connection_of_the_same_direction_replaces_the_old() {
        let slot = Slot::default();
        let (old, new) =
            (Arc::new(Active::new(true, Digest::ZERO)), Arc::new(Active::new(true, Digest::ZERO)));
        assert!(slot.claim(&old) && slot.announce(&old));
        assert!(slot.claim(&new));
        assert!(!slot.announce(&old), "the old one is no longer in use");
        slot.release(&old);
        assert!(slot.announce(&new));
        slot.release(&new);
        assert!(slot.active().is_none());
    }

    #[test]
    fn a_second_process_is_turned_away_while_the_first_is_heard() {
        let (one, two) = (Digest::ZERO, Digest::tagged(b"process", &[]));
        let slot = Slot::default();
        let now = Instant::now();
        assert_eq!(slot.admit(&one, now), Ok(()));
        let first = Arc::new(Active::new(false, one));
        assert!(slot.claim(&first));
        assert_eq!(slot.admit(&one, now), Ok(()), "the same process may connect again");
        assert!(!slot.twin(now), "nobody else asked");
        let refused = slot.admit(&two, now).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(Code::KeyInTwoPlaces));
        assert!(!slot.claim(&Arc::new(Active::new(true, two))), "nor may it if both were admitted at once");
        assert!(!slot.twin(now), "the first may just have died");
        std::thread::sleep(TWIN_SURE + Duration::from_millis(100));
        first.heard();
        let later = Instant::now();
        assert!(slot.twin(later));
        assert!(slot.twin_is_news(later) && !slot.twin_is_news(later));
        assert!(!slot.twin(later + TWIN_REMEMBERED), "nobody asked again");
        slot.release(&first);
        assert_eq!(slot.admit(&two, later), Ok(()), "the first is gone");
        assert!(slot.claim(&Arc::new(Active::new(true, two))));
        assert!(!slot.twin(Instant::now()), "one is left");
    }

    #[test]
    fn what_is_known_of_an_absent_peer_is_the_newest_that_says_most() {
        use chain_core::code::Code;
        let slot = Slot::default();
        slot.unreach(Unreached::Broken);
        assert_eq!(slot.unreached(), Some(Unreached::Broken));
        slot.unreach(Unreached::Closed);
        slot.unreach(Unreached::Broken);
        assert_eq!(slot.unreached(), Some(Unreached::Closed), "a broken connection says less");
        slot.refuse(Refusal::new(Code::PeerOtherGenesis, "other"));
        slot.unreach(Unreached::Broken);
        assert_eq!(slot.unreached(), None, "it was reached, and refused");
        assert!(slot.may_probe() && !slot.may_probe());
        slot.probed(Unreached::Mute);
        assert!(slot.may_probe());
        assert_eq!(slot.unreached(), Some(Unreached::Mute));
        let active = Arc::new(Active::new(true, Digest::ZERO));
        assert!(slot.claim(&active));
        slot.probed(Unreached::NoAnswer);
        assert_eq!(slot.unreached(), None, "it is connected by now");
    }

    #[test]
    fn misbehaviour_cuts_a_peer_off_for_longer_each_time() {
        let slot = Slot::default();
        let now = Instant::now();
        let cuts: Vec<u64> = (0..8).map(|_| slot.fault(now).as_secs()).collect();
        assert_eq!(cuts, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(slot.cut(now) && !slot.cut(now + CUT_MAX));
    }
}
