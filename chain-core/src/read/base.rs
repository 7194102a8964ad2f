//! Whether what a record rests on is disputed.

use crate::execute::CASCADE_DEPTH_MAX;
use crate::id::RecordId;
use crate::record::Relation;
use crate::state::{Flags, RecordHead};

/// The mark that readers see on a record that rests on a disputed one. It is derived when somebody asks, and goes with the
/// dispute.
pub const BASE_DISPUTED: &str = "base_disputed";

/// Whether a record rests, directly or through others, on one that is disputed.
///
/// # Errors
/// Those of `head_of`, which gives the head of a record.
pub fn is_base_disputed<E>(
    head: &RecordHead,
    mut head_of: impl FnMut(&RecordId) -> Result<Option<RecordHead>, E>,
) -> Result<bool, E> {
    let mut level: Vec<RecordId> = head.current.related(Relation::BasedOn).collect();
    // No chain is longer, and none is a circle.
    for _ in 0..CASCADE_DEPTH_MAX {
        let mut below = Vec::new();
        for base in level {
            let Some(base) = head_of(&base)? else { continue };
            if base.flags.contains(Flags::DISPUTED) {
                return Ok(true);
            }
            below.extend(base.current.related(Relation::BasedOn));
        }
        below.sort_unstable();
        below.dedup();
        level = below;
    }
    Ok(false)
}
