//! Protocol parameters: fixed by genesis, the same on every validator.

use chain_core::block::{
    BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, EXEC_LAG_MAX, LANE_BATCHES_MAX, VIEW_BLOCKS_MAX,
};
use chain_core::lane::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use serde::{Deserialize, Serialize};

/// Parameters of the protocol, in milliseconds and counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Shortest view timeout; at most 2,000.
    pub timeout_base_ms: u64,
    /// Longest base of the view timeout, which follows measured latency between the two; at most 2,000.
    pub timeout_base_max_ms: u64,
    /// Longest view timeout; at most 8,000.
    pub timeout_cap_ms: u64,
    /// VIEW-CHANGE and unanswered votes are sent again this often; at most 2,000.
    pub resend_ms: u64,
    /// A leader silent for this long is suspected.
    pub silence_ms: u64,
    /// The leader of a view just entered is skipped when it has been silent for this long; 500 to 10,000.
    pub skip_ms: u64,
    /// The head of a lane that was relayed to the leader may be passed over for this long; follows measured
    /// latency up to `inclusion_max_ms`.
    pub inclusion_ms: u64,
    /// Longest such wait; 500 to 4,000.
    pub inclusion_max_ms: u64,
    /// The head of a lane that is not ordered after this long is pushed to the leader again; 50 to 2,000.
    pub repush_ms: u64,
    /// Least time between two early hand-overs of the leadership; 1,000 to 60,000.
    pub handover_gap_ms: u64,
    /// An author whose data blocks had to wait for is on probation for this long; 1,000 to 600,000.
    pub probation_ms: u64,
    /// Least time between two reports of what is held of the lanes; at least 50, so at most 20 a second.
    pub have_ms: u64,
    /// Uncommitted blocks a leader may have in flight: W. Voters tolerate twice as many.
    pub window: u64,
    /// Blocks with records may be at most this far above the newest certified execution: K.
    pub exec_lag_max: u64,
    /// Most blocks of one view.
    pub view_blocks_max: u64,
    /// Most batches one block orders from one lane.
    pub lane_batches_max: u64,
    /// Most bytes one block orders.
    pub block_bytes_max: u32,
    /// Most operations one block orders.
    pub block_records_max: u32,
    /// Under load, least time between two proposals.
    pub interval_ms: u64,
    /// A block without records is proposed after this much idleness.
    pub heartbeat_ms: u64,
    /// A leader hands over after this much activity.
    pub term_ms: u64,
    /// Proposals with this many pending bytes do not wait for the interval.
    pub target_bytes: u32,
    /// Least time between two blocks that ask for a cosigned checkpoint.
    pub checkpoint_ms: u64,
    /// How far a block's time may lie ahead of a voter's clock.
    pub clock_ahead_ms: u64,
    /// How far it may lie behind; doubles with each view that fails in a row.
    pub clock_behind_ms: u64,
    /// Status is sent to every peer this often.
    pub status_ms: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            timeout_base_ms: 500,
            timeout_base_max_ms: 2_000,
            timeout_cap_ms: 8_000,
            resend_ms: 1_000,
            silence_ms: 5_000,
            skip_ms: 3_000,
            inclusion_ms: 2_000,
            inclusion_max_ms: 4_000,
            repush_ms: 500,
            handover_gap_ms: 10_000,
            probation_ms: 60_000,
            have_ms: 50,
            window: 16,
            exec_lag_max: EXEC_LAG_MAX,
            view_blocks_max: VIEW_BLOCKS_MAX,
            lane_batches_max: LANE_BATCHES_MAX,
            block_bytes_max: BLOCK_BYTES_MAX,
            block_records_max: BLOCK_RECORDS_MAX,
            interval_ms: 10,
            heartbeat_ms: 30_000,
            term_ms: 60_000,
            target_bytes: 512 * 1024,
            checkpoint_ms: 200,
            clock_ahead_ms: 500,
            clock_behind_ms: 5_000,
            status_ms: 1_000,
        }
    }
}

/// A parameter outside its bounds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name} is {got}, wants {min} to {max}")]
pub struct ParamError {
    /// Name of the parameter.
    pub name: &'static str,
    /// Value found.
    pub got: u64,
    /// Least value allowed.
    pub min: u64,
    /// Greatest value allowed.
    pub max: u64,
}

impl Params {
    /// Checks every parameter against its hard bounds.
    ///
    /// # Errors
    /// Names the first that lies outside.
    pub fn check(&self) -> Result<(), ParamError> {
        let bounds = [
            ("timeout_base_ms", self.timeout_base_ms, 50, 2_000),
            ("timeout_base_max_ms", self.timeout_base_max_ms, self.timeout_base_ms, 2_000),
            ("timeout_cap_ms", self.timeout_cap_ms, self.timeout_base_max_ms, 8_000),
            ("resend_ms", self.resend_ms, 50, 2_000),
            ("silence_ms", self.silence_ms, 500, 60_000),
            ("skip_ms", self.skip_ms, 500, 10_000),
            ("inclusion_max_ms", self.inclusion_max_ms, 500, 4_000),
            ("inclusion_ms", self.inclusion_ms, 250, self.inclusion_max_ms),
            ("repush_ms", self.repush_ms, 50, 2_000),
            ("handover_gap_ms", self.handover_gap_ms, 1_000, 60_000),
            ("probation_ms", self.probation_ms, 1_000, 600_000),
            ("have_ms", self.have_ms, 50, 1_000),
            ("window", self.window, 1, 64),
            ("exec_lag_max", self.exec_lag_max, self.window.min(EXEC_LAG_MAX), EXEC_LAG_MAX),
            ("view_blocks_max", self.view_blocks_max, 64, VIEW_BLOCKS_MAX),
            ("lane_batches_max", self.lane_batches_max, 1, LANE_BATCHES_MAX),
            // The largest batch must fit.
            ("block_bytes_max", self.block_bytes_max.into(), BATCH_BYTES_MAX as u64, BLOCK_BYTES_MAX.into()),
            (
                "block_records_max",
                self.block_records_max.into(),
                BATCH_RECORDS_MAX.into(),
                BLOCK_RECORDS_MAX.into(),
            ),
            ("interval_ms", self.interval_ms, 0, 1_000),
            ("heartbeat_ms", self.heartbeat_ms, 1_000, 600_000),
            ("term_ms", self.term_ms, 1_000, 3_600_000),
            ("target_bytes", u64::from(self.target_bytes), 1, 4 * 1024 * 1024),
            ("checkpoint_ms", self.checkpoint_ms, 200, 1_000),
            ("clock_ahead_ms", self.clock_ahead_ms, 50, 60_000),
            ("clock_behind_ms", self.clock_behind_ms, 500, 600_000),
            ("status_ms", self.status_ms, 50, 5_000),
        ];
        match bounds.into_iter().find(|&(_, got, min, max)| got < min || got > max) {
            Some((name, got, min, max)) => Err(ParamError { name, got, min, max }),
            None => Ok(()),
        }
    }
}
