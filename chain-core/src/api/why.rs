//! Why the ledger moves or does not, as one node sees it: the answer of `GET /v1/node/why`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RecoveryNote;
use crate::code::Code;
use crate::id::{Height, View};

/// What is the matter with a validator, from harmless to bad. A validator has the worst that applies.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing.
    Ok,
    /// It runs another release than most.
    OtherVersion,
    /// It votes, answers or works late, again and again.
    Slow,
    /// Its committed height is old and rises.
    Syncing,
    /// It has just started and does not vote yet.
    Starting,
    /// Its committed height is old and does not rise.
    Behind,
    /// Its clock differs from the median of all clocks by more than half of what the protocol tolerates.
    Skewed,
    /// It does not vote, or it stopped, for a reason that it stated.
    Refusing,
    /// It can be reached and says nothing.
    Silent,
    /// It cannot be reached.
    Unreachable,
    /// Another host answers in its place, or it cannot prove its key.
    Stranger,
    /// It runs another genesis.
    OtherChain,
}

impl Condition {
    /// Every condition, as in `city_validator_state`: its number is its place.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::OtherVersion,
        Self::Slow,
        Self::Syncing,
        Self::Starting,
        Self::Behind,
        Self::Skewed,
        Self::Refusing,
        Self::Silent,
        Self::Unreachable,
        Self::Stranger,
        Self::OtherChain,
    ];

    /// Its name in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OtherVersion => "other_version",
            Self::Slow => "slow",
            Self::Syncing => "syncing",
            Self::Starting => "starting",
            Self::Behind => "behind",
            Self::Skewed => "skewed",
            Self::Refusing => "refusing",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Stranger => "stranger",
            Self::OtherChain => "other_chain",
        }
    }

    /// Its number in metrics: 0 is ok.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the ledger moves or does not, as one node sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Why {
    /// Whose view this is: a name of the validator set, or `observer`.
    pub node: String,
    /// Whether the ledger moves, or would if there were anything to order.
    pub progress: bool,
    /// One sentence: whether it moves, and because of what it does not or soon might not.
    pub verdict: String,
    /// What to do next; empty when nothing is to be done.
    pub next: String,
    /// Newest height that is final here.
    pub height: Height,
    /// Milliseconds since a block last became final here, or since the node started.
    pub still_ms: u64,
    /// The view this node is in.
    pub view: View,
    /// Name of the view's leader.
    pub leader: String,
    /// Validators that take part, this one included.
    pub voters: usize,
    /// How many are needed.
    pub quorum: usize,
    /// What has been owed to this node for longest.
    pub waiting_for: Option<WaitingFor>,
    /// The last leader that this node gave up.
    pub gave_up: Option<GaveUp>,
    /// The act of recovery that began this epoch, or that ends it as soon as its block has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryNote>,
    /// Every validator, in the order of the set.
    pub validators: Vec<ValidatorWhy>,
}

/// Something that is owed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WaitingFor {
    /// What, in words.
    pub what: String,
    /// For how many milliseconds.
    pub for_ms: u64,
}

/// A leader that was given up.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GaveUp {
    /// The view.
    pub view: View,
    /// Name of its leader.
    pub leader: String,
    /// Why, in words.
    pub why: String,
    /// How many milliseconds ago.
    pub ago_ms: u64,
}

/// One validator, with the figures behind the judgement. What is not known is absent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ValidatorWhy {
    /// Name in the validator set.
    pub name: String,
    /// Whether it is the node that answers.
    pub own: bool,
    /// Whether it leads the view.
    pub leads: bool,
    /// What is the matter with it.
    pub state: Condition,
    /// The catalogue's entry, where there is one.
    pub code: Option<Code>,
    /// The judgement in words; empty when it is ok. May quote the validator itself.
    pub reason: String,
    /// What to do about it; empty when it is ok.
    pub next: String,
    /// Milliseconds since it was last heard.
    pub heard_ms: Option<u64>,
    /// Milliseconds since its newest vote for a block.
    pub voted_ms: Option<u64>,
    /// How long after the (f+1)-th vote for a block its own comes, on average, in milliseconds.
    pub vote_lag_ms: Option<u64>,
    /// Thousandths of the blocks timed that it did not vote for in time, on average.
    pub missed_permille: Option<u16>,
    /// Median round trip of the last reports to it, in milliseconds.
    pub round_trip_ms: Option<u64>,
    /// Pauses of its engine, as it states them, in milliseconds: at least three this long in ten seconds.
    pub pause_ms: Option<u64>,
    /// Its clock less the median of all clocks, in milliseconds.
    pub skew_ms: Option<i64>,
    /// By how much `skew_ms` may be wrong, in milliseconds.
    pub skew_error_ms: Option<u64>,
    /// Its committed height as last heard.
    pub committed: Height,
    /// Its executed height as last heard.
    pub executed: Height,
    /// Its view as last heard.
    pub view: View,
    /// The view it asks for, if that is above this node's.
    pub asks_for: Option<View>,
    /// Its release.
    pub version: Option<String>,
}

/// A duration for people, in two or three digits.
pub fn span(ms: u64) -> String {
    let tenths = ms.saturating_add(50) / 100;
    match ms {
        0..9_950 => format!("{}.{} s", tenths / 10, tenths % 10),
        9_950..120_000 => format!("{} s", ms.saturating_add(500) / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_conditions_are_places_and_names_are_those_of_the_json() {
        for (at, one) in Condition::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(one.number()), at, "{one}");
            assert_eq!(serde_json::to_value(one).unwrap(), one.name());
        }
    }

    #[test]
    fn durations_are_short() {
        for (ms, want) in [
            (0, "0.0 s"),
            (949, "0.9 s"),
            (2_999, "3.0 s"),
            (9_949, "9.9 s"),
            (9_950, "10 s"),
            (12_345, "12 s"),
            (119_999, "120 s"),
            (180_000, "3 min"),
            (7_200_000, "2 h"),
            (u64::MAX, "5124095576030 h"),
        ] {
            assert_eq!(span(ms), want);
        }
    }
}
