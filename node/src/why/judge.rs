//! The diagnosis: from what is seen to what is the matter. A pure function, so that tests can lay out tables.
//!
//! Clocks and releases are compared with those of most, so that the one that differs is named by everybody,
//! itself included. Slowness is compared with the others', so that a slow network or a full machine accuses
//! nobody.

use chain_core::api::{Condition, GaveUp, RecoveryNote, ValidatorWhy, WaitingFor, Why, span};
use chain_core::code::{Code, Refusal};
use chain_core::id::{Height, View};

use super::clock::Offset;
use super::verdict;
use super::watch::TWIN;
use crate::link::Unreached;

/// A peer that sends something every second and was not heard for this long is silent.
pub(super) const SILENT_MS: u64 = 3_000;
/// Slow is what takes this many times as long as with the median of the others.
const SLOW_FACTOR: u64 = 4;
/// While blocks are decided, somebody voted this recently.
const ACTIVE_MS: u64 = 10_000;
/// Whose vote was missing this often does not take part, in thousandths.
const MISSED_MAX: u16 = 900;

/// What is seen of one validator. Times are ages in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) own: bool,
    pub(super) connected: bool,
    /// Why the last attempt to connect failed, if it did.
    pub(super) unreached: Option<Unreached>,
    /// How HELLO ended the last attempt, if it did.
    pub(super) refused: Option<Refusal>,
    pub(super) heard_ms: Option<u64>,
    pub(super) voted_ms: Option<u64>,
    pub(super) lag_ms: Option<u64>,
    pub(super) missed: Option<u16>,
    pub(super) round_trip_ms: Option<u64>,
    pub(super) pause_ms: Option<u64>,
    pub(super) offset: Option<Offset>,
    pub(super) committed: Height,
    /// Whether its committed height rose lately.
    pub(super) rising: bool,
    pub(super) executed: Height,
    /// Whether its executed height rose lately.
    pub(super) executing: bool,
    /// What the execution of its next block waits for, if that is known here.
    pub(super) execution_waits: Option<String>,
    pub(super) view: View,
    pub(super) asks_for: Option<View>,
    pub(super) version: Option<String>,
    /// Whether it votes, as it says; unknown before its first report.
    pub(super) voting: Option<bool>,
    /// Why it does not vote, or why it stopped, as it says.
    pub(super) stated: Option<Refusal>,
    /// Whether that were its last words.
    pub(super) stopped: bool,
    /// Whether a second process with its keys asks for connections.
    pub(super) twin: bool,
}

/// Everything that a diagnosis is made from.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation {
    pub(super) node: String,
    pub(super) quorum: usize,
    pub(super) height: Height,
    pub(super) still_ms: u64,
    pub(super) view: View,
    pub(super) leader: String,
    pub(super) waiting_for: Option<WaitingFor>,
    pub(super) gave_up: Option<GaveUp>,
    /// What f+1 validators had committed five seconds ago.
    pub(super) old_height: Option<Height>,
    /// How far a block's time may lie ahead of a voter's clock.
    pub(super) clock_ahead_ms: u64,
    /// Base of the view timeout.
    pub(super) timeout_ms: u64,
    /// The act that began this epoch, or that ends it.
    pub(super) recovery: Option<RecoveryNote>,
    pub(super) validators: Vec<Seen>,
}

/// What is the matter with one validator, and what to do about it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) state: Condition,
    pub(super) code: Option<Code>,
    pub(super) reason: String,
    pub(super) next: String,
}

/// Judges a situation.
pub(super) fn diagnose(situation: &Situation) -> Why {
    let middle = Middle::of(situation);
    let validators: Vec<ValidatorWhy> = (0..)
        .zip(&situation.validators)
        .map(|(at, seen)| {
            let Finding { state, code, reason, next } = judge(situation, &middle, at, seen);
            let offset = if seen.own { Some(Offset { ms: 0, error_ms: 0 }) } else { seen.offset };
            ValidatorWhy {
                name: seen.name.clone(),
                own: seen.own,
                leads: seen.name == situation.leader,
                state,
                code,
                reason,
                next,
                heard_ms: seen.heard_ms,
                voted_ms: seen.voted_ms,
                vote_lag_ms: seen.lag_ms,
                missed_permille: seen.missed,
                round_trip_ms: seen.round_trip_ms,
                pause_ms: seen.pause_ms,
                skew_ms: offset.map(|offset| offset.ms.saturating_sub(middle.clock_ms)),
                skew_error_ms: offset.map(|offset| offset.error_ms),
                committed: seen.committed,
                executed: seen.executed,
                view: seen.view,
                asks_for: seen.asks_for,
                version: seen.version.clone(),
            }
        })
        .collect();
    let voters =
        situation.validators.iter().zip(&validators).filter(|(seen, why)| takes_part(seen, why)).count();
    let verdict = verdict::of(situation, &validators, voters);
    Why {
        node: situation.node.clone(),
        progress: verdict.progress,
        verdict: verdict.text,
        next: verdict.next,
        height: situation.height,
        still_ms: situation.still_ms,
        view: situation.view,
        leader: situation.leader.clone(),
        voters,
        quorum: situation.quorum,
        waiting_for: situation.waiting_for.clone(),
        gave_up: situation.gave_up.clone(),
        recovery: situation.recovery.clone(),
        validators,
    }
}

/// Whether it can vote now, as far as can be seen from here.
fn takes_part(seen: &Seen, why: &ValidatorWhy) -> bool {
    let there = seen.own || (seen.connected && why.state != Condition::Silent);
    there && seen.voting != Some(false)
}

/// What most validators have in common.
#[derive(Debug)]
struct Middle {
    /// Median of the clocks, less this node's.
    clock_ms: i64,
    version: Option<String>,
}

impl Middle {
    fn of(situation: &Situation) -> Self {
        let seen = &situation.validators;
        let present = |one: &&Seen| one.own || one.connected;
        let mut clocks: Vec<i64> = seen
            .iter()
            .filter(present)
            .filter_map(|one| if one.own { Some(0) } else { one.offset.map(|offset| offset.ms) })
            .collect();
        clocks.sort_unstable();
        // Of two clocks nobody can say which one is wrong: this node's own is the measure.
        let clock_ms = if clocks.len() < 3 { 0 } else { clocks[(clocks.len() - 1) / 2] };
        let own = seen.iter().find(|one| one.own).and_then(|one| one.version.as_ref());
        let mut versions: Vec<&String> =
            seen.iter().filter(present).filter_map(|one| one.version.as_ref()).collect();
        versions.sort_unstable();
        let count = |version: &String| versions.iter().filter(|one| **one == version).count();
        let most = versions.iter().copied().max_by_key(|one| (count(one), Some(*one) == own));
        Self { clock_ms, version: most.cloned() }
    }
}

/// The worst that applies to a validator.
fn judge(situation: &Situation, middle: &Middle, at: usize, seen: &Seen) -> Finding {
    twin(seen)
        .or_else(|| connection(seen))
        .or_else(|| vote(seen))
        .or_else(|| clock(situation, middle, seen))
        .or_else(|| height(situation, seen))
        .or_else(|| execution(situation, seen))
        .or_else(|| pace(situation, at, seen))
        .or_else(|| version(middle, seen))
        .unwrap_or(Finding { state: Condition::Ok, code: None, reason: String::new(), next: String::new() })
}

fn finding(state: Condition, reason: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { state, code: None, reason: reason.into(), next: next.into() }
}

fn by_code(state: Condition, refusal: &Refusal, reason: String) -> Finding {
    Finding { state, code: Some(refusal.code), reason, next: refusal.code.hint().to_owned() }
}

/// One key, two processes: each side of it has its own words.
fn twin(seen: &Seen) -> Option<Finding> {
    let stop = format!(
        "stop the second process with the keys of {}; one whose place nobody knows has stolen them",
        seen.name
    );
    let said = |state, reason: String| {
        Some(Finding { state, code: Some(Code::KeyInTwoPlaces), reason, next: stop.clone() })
    };
    // What this node is told by its peers it says of itself; the others are well.
    let taken = |refusal: &&Refusal| refusal.code == Code::KeyInTwoPlaces;
    if seen.twin {
        let whose = if seen.own {
            TWIN.to_owned()
        } else {
            "a second process has its keys and is refused".to_owned()
        };
        return said(Condition::Stranger, whose);
    }
    if seen.own {
        let refusal = seen.stated.as_ref().filter(taken)?;
        return said(Condition::Stranger, refusal.detail.clone());
    }
    let refusal =
        seen.refused.as_ref().filter(|_| !seen.connected && seen.unreached.is_none()).filter(taken)?;
    said(Condition::Unreachable, refusal.detail.clone())
}

fn connection(seen: &Seen) -> Option<Finding> {
    if seen.own {
        return None;
    }
    let name = &seen.name;
    let heard = seen.heard_ms.map_or_else(
        || "nothing was ever heard of it".to_owned(),
        |ms| format!("nothing heard for {}", span(ms)),
    );
    let hangs =
        format!("its process hangs or its packets are dropped: see the log of {name}, then restart it");
    if seen.connected {
        let silent = seen.heard_ms.is_none_or(|ms| ms >= SILENT_MS);
        return silent.then(|| finding(Condition::Silent, heard, hangs));
    }
    if let Some(refusal) = seen.refused.as_ref().filter(|_| seen.unreached.is_none()) {
        let state = match refusal.code {
            Code::PeerOtherGenesis => Condition::OtherChain,
            Code::PeerVersion => Condition::OtherVersion,
            _ => Condition::Stranger,
        };
        return Some(by_code(state, refusal, refusal.detail.clone()));
    }
    let stopped = seen.stated.as_ref().filter(|_| seen.stopped);
    if let Some(refusal) = stopped.filter(|refusal| refusal.code != Code::NotReady) {
        let reason = format!("it stopped: {}", refusal.detail);
        return Some(by_code(Condition::Refusing, refusal, reason));
    }
    let host = format!("start {name}; if it runs, look at the network to its host");
    Some(match seen.unreached {
        Some(Unreached::Mute) => {
            finding(Condition::Silent, format!("its address takes connections; {heard}"), hangs)
        }
        _ if stopped.is_some() => {
            let reason = format!("it was told to stop; {heard}");
            finding(Condition::Unreachable, reason, format!("start {name}"))
        }
        Some(Unreached::Closed) => {
            let reason = format!("nothing listens at its address; {heard}");
            finding(Condition::Unreachable, reason, format!("start {name}"))
        }
        Some(Unreached::NoAnswer) => {
            finding(Condition::Unreachable, format!("its address does not answer; {heard}"), host)
        }
        Some(Unreached::Broken) => {
            finding(Condition::Unreachable, format!("connections to it break off; {heard}"), host)
        }
        None => finding(Condition::Unreachable, format!("no connection; {heard}"), host),
    })
}

fn vote(seen: &Seen) -> Option<Finding> {
    if seen.voting != Some(false) {
        return None;
    }
    Some(match &seen.stated {
        Some(refusal) if refusal.code == Code::NotReady => {
            finding(Condition::Starting, refusal.detail.clone(), "wait; it needs a quorum that runs")
        }
        Some(refusal) => by_code(Condition::Refusing, refusal, refusal.detail.clone()),
        None => finding(Condition::Refusing, "it does not vote and does not say why", "see its log"),
    })
}

fn clock(situation: &Situation, middle: &Middle, seen: &Seen) -> Option<Finding> {
    let offset = if seen.own { Offset { ms: 0, error_ms: 0 } } else { seen.offset? };
    let skew = offset.ms.saturating_sub(middle.clock_ms);
    // Two that are half of it apart from the middle are too far from each other.
    let most = situation.clock_ahead_ms / 2;
    let surely = skew.unsigned_abs().saturating_sub(offset.error_ms);
    (surely >= most.max(1)).then(|| {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        let reason = format!("its clock is {} {way} most clocks", span(skew.unsigned_abs()));
        let next = format!("run a time service on the host of {}", seen.name);
        Finding { state: Condition::Skewed, code: Some(Code::ClockSkew), reason, next }
    })
}

fn height(situation: &Situation, seen: &Seen) -> Option<Finding> {
    let old = situation.old_height.filter(|old| seen.committed < *old)?;
    let missing = old.since(seen.committed);
    Some(if seen.rising {
        let reason = format!("it is catching up, {missing} blocks to go");
        finding(Condition::Syncing, reason, "wait")
    } else {
        let reason = format!("it lacks {missing} blocks that are older than five seconds");
        finding(Condition::Behind, reason, format!("see the log of {}, then its disk", seen.name))
    })
}

/// Final blocks that do not become ledger: it votes, and what is filed comes to nothing.
fn execution(situation: &Situation, seen: &Seen) -> Option<Finding> {
    let old = situation.old_height.filter(|old| seen.executed < *old && !seen.executing)?;
    let next = format!("see the log of {}", seen.name);
    let mut reason = format!(
        "it executes nothing, and {} final blocks are older than five seconds",
        old.since(seen.executed)
    );
    if let Some(waits) = &seen.execution_waits {
        reason += &format!(": {waits}");
    }
    Some(finding(Condition::Behind, reason, next))
}

fn pace(situation: &Situation, at: usize, seen: &Seen) -> Option<Finding> {
    let others =
        || (0..).zip(&situation.validators).filter(move |(other, _)| *other != at).map(|(_, one)| one);
    let least = (situation.timeout_ms / 2).max(1);
    let slow = |figure: fn(&Seen) -> Option<u64>| {
        let value = figure(seen)?;
        let usual = median(others().filter_map(figure).collect());
        (value >= least && value >= SLOW_FACTOR * usual.unwrap_or(0)).then_some((value, usual))
    };
    let reason = if let Some((pause, _)) = slow(|one| one.pause_ms) {
        format!("its engine pauses for {pause} ms again and again")
    } else if let Some((trip, usual)) = slow(|one| one.round_trip_ms) {
        let usual = usual.map_or_else(String::new, |usual| format!(", the others in {usual} ms"));
        format!("it answers in {trip} ms{usual}")
    } else if let Some((lag, _)) =
        slow(|one| one.lag_ms.filter(|_| !one.own && one.voted_ms.is_some_and(|ms| ms < ACTIVE_MS)))
    {
        format!("its votes come {lag} ms after the others'")
    } else if let Some(missed) = seen.missed.filter(|missed| *missed >= MISSED_MAX)
        && others().any(|one| one.voted_ms.is_some_and(|ms| ms < ACTIVE_MS))
        && median(others().filter_map(|one| one.missed.map(u64::from)).collect())
            .is_some_and(|usual| usual < 500)
    {
        format!("{} % of the newest blocks were decided without its vote", missed / 10)
    } else {
        return None;
    };
    let next = format!("look for a slow disk, a full processor or a slow network at {}", seen.name);
    Some(finding(Condition::Slow, reason, next))
}

fn version(middle: &Middle, seen: &Seen) -> Option<Finding> {
    let (theirs, most) = (seen.version.as_ref()?, middle.version.as_ref()?);
    (theirs != most).then(|| {
        let reason = format!("it runs {theirs}, most run {most}");
        Finding {
            state: Condition::OtherVersion,
            code: None,
            reason,
            next: "run the same release everywhere".to_owned(),
        }
    })
}

/// The lower one of two.
fn median(mut all: Vec<u64>) -> Option<u64> {
    all.sort_unstable();
    all.get(all.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
