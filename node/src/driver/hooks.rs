//! Places where a test may make the process die, and nothing else.
//!
//! `CITY_CRASH_AT=point:count` aborts the process when the point is reached for the count-th time;
//! `point:count:leader` and `point:count:follower` count only while this validator leads, or does not. Unset,
//! a point costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A named point between what is written and what is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Point {
    /// The synced write is assembled and not made.
    BeforeWrite,
    /// It is durable; the engine does not know yet.
    AfterWrite,
    /// A proposal is about to leave.
    BeforeProposal,
    /// A PREPARE is about to leave.
    BeforePrepare,
    /// A COMMIT is about to leave.
    BeforeCommit,
    /// A VIEW-CHANGE is about to leave.
    BeforeViewChange,
    /// A batch of the own lane is about to leave.
    BeforeBatch,
    /// Everything released by a write has left.
    AfterSends,
    /// A final block goes to the executor.
    BeforeDeliver,
    /// A block is executed and not written.
    BeforeExecuteWrite,
    /// It is written; the engine does not know yet.
    AfterExecuteWrite,
    /// Batches without the bodies that are to go are assembled and not written.
    BeforeEraseWrite,
    /// They are written.
    AfterEraseWrite,
    /// The bodies still stand in files that nothing reads.
    BeforeScrub,
    /// They are gone; nothing says so yet.
    AfterScrub,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 15] = [
        Self::BeforeWrite,
        Self::AfterWrite,
        Self::BeforeProposal,
        Self::BeforePrepare,
        Self::BeforeCommit,
        Self::BeforeViewChange,
        Self::BeforeBatch,
        Self::AfterSends,
        Self::BeforeDeliver,
        Self::BeforeExecuteWrite,
        Self::AfterExecuteWrite,
        Self::BeforeEraseWrite,
        Self::AfterEraseWrite,
        Self::BeforeScrub,
        Self::AfterScrub,
    ];

    /// Its name in `CITY_CRASH_AT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeWrite => "before-write",
            Self::AfterWrite => "after-write",
            Self::BeforeProposal => "before-proposal",
            Self::BeforePrepare => "before-prepare",
            Self::BeforeCommit => "before-commit",
            Self::BeforeViewChange => "before-view-change",
            Self::BeforeBatch => "before-batch",
            Self::AfterSends => "after-sends",
            Self::BeforeDeliver => "before-deliver",
            Self::BeforeExecuteWrite => "before-execute-write",
            Self::AfterExecuteWrite => "after-execute-write",
            Self::BeforeEraseWrite => "before-erase-write",
            Self::AfterEraseWrite => "after-erase-write",
            Self::BeforeScrub => "before-scrub",
            Self::AfterScrub => "after-scrub",
        }
    }
}

/// Where this process is to die.
#[derive(Debug)]
struct Armed {
    point: Point,
    left: AtomicU64,
    /// Count only while leading (true) or following (false).
    leading: Option<bool>,
}

impl Armed {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(':')?;
        let (count, leading) = match rest.split_once(':') {
            None => (rest, None),
            Some((count, "leader")) => (count, Some(true)),
            Some((count, "follower")) => (count, Some(false)),
            Some(_) => return None,
        };
        let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
        let count = count.parse().ok().filter(|count| *count > 0)?;
        Some(Self { point, left: AtomicU64::new(count), leading })
    }

    /// Whether this hit is the one.
    fn strikes(&self, point: Point, leads: bool) -> bool {
        point == self.point
            && self.leading.is_none_or(|wanted| wanted == leads)
            && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Whether this validator led after the engine's newest turn.
static LEADS: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Says whether this validator leads now.
pub(crate) fn note_leading(leads: bool) {
    LEADS.store(leads, Ordering::Relaxed);
}

/// Reads `CITY_CRASH_AT` once.
///
/// # Errors
/// When it is set and names no point: a test that crashes nowhere would pass for the wrong reason.
pub fn arm() -> Result<(), String> {
    let armed = match std::env::var("CITY_CRASH_AT") {
        Err(_) => None,
        Ok(text) => {
            let parsed = Armed::parse(&text);
            Some(parsed.ok_or_else(|| format!("CITY_CRASH_AT={text}: wants point:count"))?)
        }
    };
    ARMED.get_or_init(|| armed);
    Ok(())
}

/// Reaches a point.
#[inline]
pub(crate) fn hit(point: Point) {
    if let Some(Some(armed)) = ARMED.get()
        && armed.strikes(point, LEADS.load(Ordering::Relaxed))
    {
        tracing::error!(point = point.name(), "crash hook");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_th_hit_of_the_named_point_strikes_once() {
        let armed = Armed::parse("before-commit:3").unwrap();
        let hits = [Point::BeforeCommit, Point::BeforePrepare, Point::BeforeCommit, Point::BeforeCommit];
        let strikes: Vec<bool> = hits.into_iter().map(|point| armed.strikes(point, false)).collect();
        assert_eq!(strikes, [false, false, false, true]);
        assert!(!armed.strikes(Point::BeforeCommit, false));
        let leader = Armed::parse("after-write:1:leader").unwrap();
        assert!(!leader.strikes(Point::AfterWrite, false) && leader.strikes(Point::AfterWrite, true));
        for text in
            ["before-commit", "before-commit:0", "nowhere:1", "before-commit:x", "before-commit:1:king"]
        {
            assert!(Armed::parse(text).is_none(), "{text}");
        }
    }
}
