//! What is checked beside the observer: bounds on memory, and the first violation wins.

use consensus::engine::{EXECUTING_MAX, Held};

use super::world::World;

/// A node's memory is looked at once in this many steps of it.
const EVERY: u32 = 32;

/// What no flood may exceed among `n` validators with the default window of 16: see [`crate::siege::BOUNDS`],
/// which is this for four.
pub const fn bounds(n: usize) -> Held {
    Held {
        blocks: n * 128 + 64,
        votes: 2 * n * 3 * 64 * 2,
        fetches: 256 + n * 16 + n,
        batches: n * 512 * 2,
        ahead: 4 * 128,
        deliveries: 2_048,
        own_votes: 1_024,
        statements: n * (2 * 512 + 4),
    }
}

/// Whether an engine holds no more than that.
pub fn within(held: Held, bounds: Held) -> bool {
    held.blocks <= bounds.blocks
        && held.votes <= bounds.votes
        && held.fetches <= bounds.fetches
        && held.batches <= bounds.batches
        && held.ahead <= bounds.ahead
        && held.deliveries <= bounds.deliveries
        && held.own_votes <= bounds.own_votes
        && held.statements <= bounds.statements
}

impl World {
    /// Notes a violation. The first one counts.
    pub(super) fn fail(&mut self, what: &str) {
        self.violation.get_or_insert_with(|| what.to_owned());
    }

    /// Whether a node holds more for others than it may.
    pub(super) fn check_bounds(&mut self, node: usize) {
        self.steps = self.steps.wrapping_add(1);
        if !self.steps.is_multiple_of(EVERY) {
            return;
        }
        let Some(engine) = self.nodes[node].engine.as_deref() else { return };
        let held = engine.held();
        let seen = [held.blocks, held.votes, held.fetches, held.batches];
        for (most, seen) in self.report.most_held.iter_mut().zip(seen) {
            *most = (*most).max(seen as u64);
        }
        let executing = self.nodes[node].executing.len();
        let bounds = bounds(self.epochs[self.nodes[node].epoch].judge.committee.size());
        if executing as u64 > EXECUTING_MAX {
            let name = &self.nodes[node].name;
            self.fail(&format!("{name} was given {executing} blocks that are not executed"));
        }
        if !within(held, bounds) {
            let name = &self.nodes[node].name;
            self.fail(&format!("{name} holds {held:?}, which exceeds {bounds:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_validators_have_the_bounds_of_the_siege() {
        assert_eq!(bounds(4), crate::siege::BOUNDS);
    }

    #[test]
    fn one_too_many_of_anything_is_noticed() {
        let most = bounds(7);
        assert!(within(most, most));
        for over in [
            Held { blocks: most.blocks + 1, ..most },
            Held { votes: most.votes + 1, ..most },
            Held { fetches: most.fetches + 1, ..most },
            Held { batches: most.batches + 1, ..most },
            Held { ahead: most.ahead + 1, ..most },
            Held { deliveries: most.deliveries + 1, ..most },
            Held { own_votes: most.own_votes + 1, ..most },
        ] {
            assert!(!within(over, most), "{over:?}");
        }
    }
}
