//! Changes of the validator set, drawn from the seed: add, remove, replace, re-key.
//!
//! The rules are those of membership: at least four validators remain, and at most max(1, f) of them change
//! in one epoch (docs/protocol.md). [`super::World`] starts a node for another epoch through
//! [`super::epoch::EpochStart`].

use chain_core::committee::{VALIDATORS_MIN, faults};

use super::random::Random;
use super::roster::{Member, Roster};

/// One operation on the validator set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// A new member at the end.
    Add(Member),
    /// The member of this name leaves.
    Remove(u16),
    /// Another member takes the place of this name.
    Replace(u16, Member),
    /// The member of this name gets a new consensus key.
    Rekey(u16),
}

/// Draws the operations of one epoch change. `most` bounds the size of the set; `next_name` is above every
/// name ever used.
pub fn draw(roster: &Roster, most: usize, next_name: &mut u16, random: &mut Random) -> Vec<Change> {
    let n = roster.members.len();
    let count = random.between(1, faults(n).max(1) as u64);
    let mut left: Vec<u16> = roster.members.iter().map(|one| one.name).collect();
    let mut size = n;
    let mut changes = Vec::new();
    for _ in 0..count {
        let mut fresh = || {
            let name = *next_name;
            *next_name += 1;
            Member { name, generation: 0 }
        };
        let change = match random.index(4) {
            0 if size < most => Change::Add(fresh()),
            1 if size > VALIDATORS_MIN => Change::Remove(left.swap_remove(random.index(left.len()))),
            2 => Change::Replace(left.swap_remove(random.index(left.len())), fresh()),
            _ => Change::Rekey(left.swap_remove(random.index(left.len()))),
        };
        match change {
            Change::Add(_) => size += 1,
            Change::Remove(_) => size -= 1,
            Change::Replace(..) | Change::Rekey(_) => {}
        }
        changes.push(change);
    }
    changes
}

/// The set after these operations.
#[must_use]
pub fn apply(roster: &Roster, changes: &[Change]) -> Roster {
    let mut next = roster.clone();
    for change in changes {
        match *change {
            Change::Add(member) => next.members.push(member),
            Change::Remove(name) => next.members.retain(|one| one.name != name),
            Change::Replace(name, member) => {
                next.members.iter_mut().filter(|one| one.name == name).for_each(|one| *one = member);
            }
            Change::Rekey(name) => {
                next.members.iter_mut().filter(|one| one.name == name).for_each(|one| one.generation += 1);
            }
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::super::roster::Keys;
    use super::*;

    #[test]
    fn sets_keep_their_bounds_over_many_epochs() {
        for seed in 0..50 {
            let mut random = Random::fork(seed, b"churn");
            let mut roster = Roster::first(4 + (seed % 4) as u16, Keys::Hash);
            let mut next_name = 100;
            let mut seen = [false; 4];
            for _ in 0..40 {
                let changes = draw(&roster, 10, &mut next_name, &mut random);
                assert!(changes.len() <= faults(roster.members.len()).max(1), "{changes:?}");
                for change in &changes {
                    let kind = match change {
                        Change::Add(_) => 0,
                        Change::Remove(_) => 1,
                        Change::Replace(..) => 2,
                        Change::Rekey(_) => 3,
                    };
                    seen[kind] = true;
                }
                let next = apply(&roster, &changes);
                assert_ne!(next, roster, "{changes:?} changed nothing");
                assert!((VALIDATORS_MIN..=10).contains(&next.members.len()), "{next:?}");
                // Panics when two members share a key.
                let _ = next.committee(chain_core::id::Epoch::ZERO);
                roster = next;
            }
            assert_eq!(seen, [true; 4], "seed {seed} drew every kind");
        }
    }
}
