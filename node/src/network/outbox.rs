//! What waits to be written to one peer on one stream. Bounded in frames and bytes.
//!
//! Policy: a newer status replaces the waiting one. Over a bound the oldest frames are dropped: the engine
//! repeats what still matters, and batches can be fetched. A queue that stays over its bound for
//! [`STUCK_AFTER`] makes the connection end, so that both sides start afresh.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a queue may keep dropping before its connection ends.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most frames.
    pub(super) frames: usize,
    /// Most bytes of frames; a single larger frame still fits alone.
    pub(super) bytes: usize,
}

/// A bounded queue with many writers and one reader.
#[derive(Debug)]
pub(super) struct Outbox {
    bounds: Bounds,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Waiting>,
    bytes: usize,
    full_since: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    bytes: Arc<[u8]>,
    status: bool,
}

impl Outbox {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), ready: Notify::new() }
    }

    /// Queues a frame and returns how many had to be dropped for it.
    pub(super) fn push(&self, bytes: Arc<[u8]>, status: bool, now: Instant) -> u64 {
        let mut state = self.lock();
        if status && let Some(at) = state.frames.iter().position(|one| one.status) {
            state.take(at);
        }
        let mut dropped = 0;
        while !state.frames.is_empty()
            && (state.frames.len() >= self.bounds.frames || state.bytes + bytes.len() > self.bounds.bytes)
        {
            state.take(0);
            dropped += 1;
        }
        if dropped > 0 {
            state.full_since.get_or_insert(now);
        }
        state.bytes += bytes.len();
        state.frames.push_back(Waiting { bytes, status });
        drop(state);
        self.ready.notify_one();
        dropped
    }

    /// The oldest frame; waits for one. Losing the returned future loses nothing.
    pub(super) async fn pop(&self) -> Arc<[u8]> {
        loop {
            {
                let mut state = self.lock();
                if let Some(frame) = state.take(0) {
                    if state.bytes * 2 <= self.bounds.bytes && state.frames.len() * 2 <= self.bounds.frames {
                        state.full_since = None;
                    }
                    return frame.bytes;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Whether the queue has been dropping frames for too long without being drained to half.
    pub(super) fn stuck(&self, now: Instant) -> bool {
        self.lock().full_since.is_some_and(|since| now.duration_since(since) >= STUCK_AFTER)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, at: usize) -> Option<Waiting> {
        let frame = self.frames.remove(at)?;
        self.bytes -= frame.bytes.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8, len: usize) -> Arc<[u8]> {
        Arc::from(vec![byte; len])
    }

    #[tokio::test]
    async fn both_bounds_drop_the_oldest_and_a_full_queue_gets_stuck() {
        let now = Instant::now();
        let outbox = Outbox::new(Bounds { frames: 3, bytes: 100 });
        for byte in 0..3 {
            assert_eq!(outbox.push(frame(byte, 10), false, now), 0);
        }
        assert_eq!(outbox.push(frame(3, 10), false, now), 1, "frames bound");
        assert_eq!(outbox.push(frame(4, 95), false, now), 3, "bytes bound");
        assert!(!outbox.stuck(now) && outbox.stuck(now + STUCK_AFTER));
        assert_eq!(outbox.push(frame(5, 500), false, now), 1, "a huge frame fits alone");
        assert_eq!(outbox.pop().await[0], 5);
        assert!(!outbox.stuck(now + STUCK_AFTER), "drained");
    }

    #[tokio::test]
    async fn a_newer_status_replaces_the_waiting_one() {
        let now = Instant::now();
        let outbox = Outbox::new(Bounds { frames: 9, bytes: 100 });
        outbox.push(frame(1, 1), true, now);
        outbox.push(frame(2, 1), false, now);
        assert_eq!(outbox.push(frame(3, 1), true, now), 0);
        assert_eq!([outbox.pop().await[0], outbox.pop().await[0]], [2, 3]);
    }
}
