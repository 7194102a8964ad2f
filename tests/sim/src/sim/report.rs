//! How often things happened in a run.

use serde::{Deserialize, Serialize};

/// Counts, summed over a run or over many.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Blocks made final.
    pub blocks: u64,
    /// Batches delivered, over all validators.
    pub batches: u64,
    /// Views entered after a time-out, counted once per view and run.
    pub view_changes: u64,
    /// Views in all.
    pub views: u64,
    /// Crashes that lost unsynced writes.
    pub lossy_crashes: u64,
    /// Crashes in all.
    pub crashes: u64,
    /// Crashes between two actions of one step.
    pub boundary_crashes: u64,
    /// Crashes of every validator at once.
    pub blackouts: u64,
    /// Nodes that stopped because a write failed.
    pub disk_full: u64,
    /// Partitions.
    pub partitions: u64,
    /// Times that links were stopped one by one and healed in another order.
    pub swizzles: u64,
    /// Links clogged for a while.
    pub clogs: u64,
    /// Messages lost on the way.
    pub lost: u64,
    /// Messages delivered twice.
    pub duplicated: u64,
    /// Fetches of data or blocks that were missing.
    pub fetches: u64,
    /// Times a validator noticed two signed statements of a liar.
    pub equivocations: u64,
    /// Offences proven, counted once for each engine that proved one.
    pub evidence: u64,
    /// Statements that liars altered, withheld, delayed or invented.
    pub lies: u64,
    /// Ledger stores rebuilt from the consensus store.
    pub ledger_rebuilds: u64,
    /// Safety records lost; their validators follow in silence.
    pub records_lost: u64,
    /// Restarts with an old copy of the store.
    pub snapshots: u64,
    /// Those that the vote echo noticed before the validator voted.
    pub snapshots_noticed: u64,
    /// Votes of restored validators against their own earlier ones.
    pub double_signed: u64,
    /// Second nodes started with a key in use.
    pub twins: u64,
    /// Epochs.
    pub epochs: u64,
    /// Epochs whose closing block a Suffix made final.
    pub suffix_closings: u64,
    /// Most blocks above the committed one that a closing block was proposed as the last of.
    pub deepest_closing: u64,
    /// Crashes between the end of one epoch and the first steps of the next.
    pub epoch_crashes: u64,
    /// Times that one of an ended epoch was told how it ended.
    pub ends_told: u64,
    /// Epochs whose closing block scheduled the next change already.
    pub back_to_back: u64,
    /// Members that joined.
    pub joins: u64,
    /// Members that left.
    pub removals: u64,
    /// Members that got a new key.
    pub rekeys: u64,
    /// Batches of an ended epoch filed again in a later one.
    pub filed_again: u64,
    /// Operations that took effect, counted on one validator.
    pub accepted: u64,
    /// Operations refused with a code, counted on one validator.
    pub refused: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes sent, encoded, without the data of batches.
    pub bytes: u64,
    /// Signatures checked.
    pub checks: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Longest time from healing to markers delivered everywhere, milliseconds.
    pub healed_in_ms: u64,
    /// Most held for others at any time: blocks, votes, fetches, batches.
    pub most_held: [u64; 4],
    /// Hash over every event: time, sender, receiver and the bytes of what was sent.
    pub trace: u64,
}

impl Report {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.blocks += other.blocks;
        self.batches += other.batches;
        self.view_changes += other.view_changes;
        self.views += other.views;
        self.lossy_crashes += other.lossy_crashes;
        self.crashes += other.crashes;
        self.boundary_crashes += other.boundary_crashes;
        self.blackouts += other.blackouts;
        self.disk_full += other.disk_full;
        self.partitions += other.partitions;
        self.swizzles += other.swizzles;
        self.clogs += other.clogs;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.fetches += other.fetches;
        self.equivocations += other.equivocations;
        self.evidence += other.evidence;
        self.lies += other.lies;
        self.ledger_rebuilds += other.ledger_rebuilds;
        self.records_lost += other.records_lost;
        self.snapshots += other.snapshots;
        self.snapshots_noticed += other.snapshots_noticed;
        self.double_signed += other.double_signed;
        self.twins += other.twins;
        self.epochs += other.epochs;
        self.suffix_closings += other.suffix_closings;
        self.deepest_closing = self.deepest_closing.max(other.deepest_closing);
        self.epoch_crashes += other.epoch_crashes;
        self.ends_told += other.ends_told;
        self.back_to_back += other.back_to_back;
        self.joins += other.joins;
        self.removals += other.removals;
        self.rekeys += other.rekeys;
        self.filed_again += other.filed_again;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.checks += other.checks;
        self.virtual_ms += other.virtual_ms;
        self.healed_in_ms = self.healed_in_ms.max(other.healed_in_ms);
        for (most, other) in self.most_held.iter_mut().zip(other.most_held) {
            *most = (*most).max(other);
        }
        self.trace = self.trace.wrapping_mul(31).wrapping_add(other.trace);
    }
}
