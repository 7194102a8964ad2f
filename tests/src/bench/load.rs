//! Load, and what counts as done: final at the client's node, with a proof that the client verified.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::city::Signed;
use super::client::{Connection, End, Trust};
use super::stats::Times;
use super::{BenchError, BenchResult, stop};

/// Stack of one client thread: it reads one answer at a time.
const STACK_BYTES: usize = 512 * 1024;

/// How transactions are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many at once; the next goes when one is final.
    Window(u16),
    /// So many a second, each timed from when it was due, by at most so many clients.
    Rate { per_second: u64, clients: u16 },
}

/// Warm-up and measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Load that is not counted.
    pub(super) warm_up: Duration,
    /// Load that is.
    pub(super) duration: Duration,
}

/// What was counted.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Records that became final within the measurement.
    pub(super) records: u64,
    /// How long it really was.
    pub(super) seconds: f64,
    /// From submit, or from when it was due, to final and verified; transactions sent in the measurement.
    pub(super) times: Times,
    /// Records that became final in each second of the measurement.
    pub(super) by_second: Vec<u64>,
    /// Records that became final in all, warm-up included.
    pub(super) filed: u64,
    /// How often a node said that its queue is full.
    pub(super) pushed_back: u64,
    /// The signed transactions did not last: the figure is what was reached until then.
    pub(super) ran_out: bool,
}

impl Measured {
    /// Records a second.
    pub(super) fn per_second(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, rounded down")]
        let rate = (self.records as f64 / self.seconds.max(0.001)) as u64;
        rate
    }

    /// Records a second in the worst stretch of so many seconds.
    pub(super) fn worst_stretch(&self, seconds: usize) -> u64 {
        let sums = self.by_second.windows(seconds).map(|window| window.iter().sum::<u64>());
        sums.min().map_or_else(|| self.per_second(), |sum| sum / seconds as u64)
    }
}

struct Shared<'a> {
    trust: &'a Trust,
    pool: &'a [Signed],
    span: Span,
    started: Instant,
    next: AtomicUsize,
    by_second: Vec<AtomicU64>,
    filed: AtomicU64,
    pushed_back: AtomicU64,
    /// Microseconds after the start at which the next transaction was due and the pool was empty; 0 while it is not.
    empty_us: AtomicU64,
    over: AtomicBool,
    times: Mutex<Vec<Duration>>,
    failure: Mutex<Option<BenchError>>,
}

/// Sends the pool to the nodes at a pace and counts.
pub(super) fn run(
    urls: &[String],
    trust: &Trust,
    pool: &[Signed],
    pace: Pace,
    span: Span,
) -> BenchResult<Measured> {
    let clients = match pace {
        Pace::Window(clients) | Pace::Rate { clients, .. } => clients.max(1),
    };
    let shared = Shared {
        trust,
        pool,
        span,
        started: Instant::now(),
        next: AtomicUsize::new(0),
        by_second: (0..span.duration.as_secs().max(1)).map(|_| AtomicU64::new(0)).collect(),
        filed: AtomicU64::new(0),
        pushed_back: AtomicU64::new(0),
        empty_us: AtomicU64::new(0),
        over: AtomicBool::new(false),
        times: Mutex::default(),
        failure: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for client in 0..usize::from(clients) {
            let (shared, url) = (&shared, &urls[client % urls.len()]);
            let spawned = std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || shared.client(url, pace));
            if let Err(error) = spawned {
                shared.fail(error.into());
            }
        }
    });
    shared.measured()
}

impl Shared<'_> {
    fn fail(&self, error: BenchError) {
        self.over.store(true, Ordering::Relaxed);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn client(&self, url: &str, pace: Pace) {
        let mut times = Vec::new();
        if let Err(error) = self.send_all(url, pace, &mut times) {
            self.fail(error);
        }
        self.times.lock().unwrap_or_else(PoisonError::into_inner).append(&mut times);
    }

    fn send_all(&self, url: &str, pace: Pace, times: &mut Vec<Duration>) -> BenchResult {
        let mut connection = Connection::new(url)?;
        let end = self.span.warm_up + self.span.duration;
        while !self.over.load(Ordering::Relaxed) && !stop::asked() {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match pace {
                Pace::Window(_) => self.started.elapsed(),
                Pace::Rate { per_second, .. } => {
                    Duration::from_micros((at as u64).saturating_mul(1_000_000) / per_second.max(1))
                }
            };
            if due >= end {
                return Ok(());
            }
            let Some(signed) = self.pool.get(at) else {
                let empty = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
                let _ = self.empty_us.compare_exchange(0, empty.max(1), Ordering::Relaxed, Ordering::Relaxed);
                return Ok(());
            };
            std::thread::sleep(due.saturating_sub(self.started.elapsed()));
            while let End::Full(wait) = connection.submit(self.trust, &signed.tx, &signed.bytes)? {
                self.pushed_back.fetch_add(1, Ordering::Relaxed);
                if stop::asked() || self.started.elapsed() >= end {
                    return Ok(());
                }
                std::thread::sleep(wait);
            }
            let done = self.started.elapsed();
            self.filed.fetch_add(signed.records, Ordering::Relaxed);
            if done >= self.span.warm_up && done < end {
                let second = usize::try_from((done - self.span.warm_up).as_secs())?;
                if let Some(records) = self.by_second.get(second) {
                    records.fetch_add(signed.records, Ordering::Relaxed);
                }
            }
            if due >= self.span.warm_up {
                times.push(done.saturating_sub(due));
            }
        }
        Ok(())
    }

    fn measured(self) -> BenchResult<Measured> {
        if let Some(error) = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        stop::check()?;
        let empty = self.empty_us.load(Ordering::Relaxed);
        let end = self.span.warm_up + self.span.duration;
        let ran_out = empty > 0 && Duration::from_micros(empty) < end;
        let until = if ran_out { Duration::from_micros(empty) } else { end };
        let by_second: Vec<u64> = self.by_second.into_iter().map(AtomicU64::into_inner).collect();
        Ok(Measured {
            records: by_second.iter().sum(),
            seconds: until.saturating_sub(self.span.warm_up).as_secs_f64(),
            times: Times::new(self.times.into_inner().unwrap_or_else(PoisonError::into_inner)),
            by_second,
            filed: self.filed.into_inner(),
            pushed_back: self.pushed_back.into_inner(),
            ran_out,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_stretch_is_the_one_with_the_fewest_records() {
        let measured = Measured {
            records: 15,
            seconds: 5.0,
            times: Times::default(),
            by_second: vec![9, 0, 2, 1, 3],
            filed: 15,
            pushed_back: 0,
            ran_out: false,
        };
        assert_eq!(measured.worst_stretch(2), 1);
        assert_eq!(measured.worst_stretch(1), 0);
        assert_eq!(measured.worst_stretch(10), 3, "a shorter measurement is one stretch");
    }
}
