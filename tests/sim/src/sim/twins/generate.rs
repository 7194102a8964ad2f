//! Scenarios by the thousand: all small ones, and large ones by seed; each once, up to names.
//!
//! Relabelling all validators by one step round the ring gives the same run, so v0 leads view 0 in every
//! scenario. Two more things change nothing: which of two twins is called the second one, and how the honest
//! validators that lead none of the scripted views are numbered. [`canonical`] picks the least of all these.

use std::collections::BTreeSet;

use chain_core::committee::{faults, quorum};

use super::Scenario;
use crate::sim::random::Random;

/// The partition of each view, as the cell that each node is in; cells are numbered as they appear.
type Cells = Vec<Vec<u8>>;

/// Numbers the cells of one view in the order in which they appear.
fn renumber(cells: &mut [u8]) {
    let mut names: Vec<u8> = Vec::new();
    for cell in cells {
        let known = names.iter().position(|one| one == cell).unwrap_or_else(|| {
            names.push(*cell);
            names.len() - 1
        });
        *cell = u8::try_from(known).unwrap_or(u8::MAX);
    }
}

/// Every permutation of the items.
fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        for mut tail in permutations(&rest) {
            tail.insert(0, first);
            all.push(tail);
        }
    }
    all
}

/// The least of all scenarios that differ from this one by names only.
pub fn canonical(n: u16, twins: &[u16], cells: &[Vec<u8>]) -> Cells {
    let n = usize::from(n);
    let seats = n + twins.len();
    let idle: Vec<usize> =
        (cells.len()..n).filter(|ix| !twins.iter().any(|twin| usize::from(*twin) == *ix)).collect();
    let mut best: Option<Cells> = None;
    for swaps in 0..1u32 << twins.len() {
        for order in permutations(&idle) {
            let mut seat_of: Vec<usize> = (0..seats).collect();
            for (at, twin) in twins.iter().enumerate() {
                if swaps >> at & 1 == 1 {
                    seat_of.swap(usize::from(*twin), n + at);
                }
            }
            for (place, ix) in idle.iter().zip(order) {
                seat_of[*place] = ix;
            }
            let renamed: Cells = cells
                .iter()
                .map(|view| {
                    let mut view: Vec<u8> = seat_of.iter().map(|seat| view[*seat]).collect();
                    renumber(&mut view);
                    view
                })
                .collect();
            if best.as_ref().is_none_or(|best| renamed < *best) {
                best = Some(renamed);
            }
        }
    }
    best.unwrap_or_default()
}

/// Every partition of the seats into at most so many cells.
fn partitions(seats: usize, most: u8) -> Cells {
    let mut all: Cells = vec![vec![0]];
    for _ in 1..seats {
        let extended = all.iter().flat_map(|cells| {
            let next = cells.iter().max().map_or(0, |top| (top + 1).min(most - 1));
            (0..=next).map(move |cell| {
                let mut longer = cells.clone();
                longer.push(cell);
                longer
            })
        });
        all = extended.collect();
    }
    all
}

/// All scenarios with one twin pair, so many views and at most so many cells, each once.
pub fn enumerate(n: u16, views: usize, cells: u8) -> Vec<Scenario> {
    let choices = partitions(usize::from(n) + 1, cells);
    let mut found = Vec::new();
    for twin in 0..n {
        let mut seen = BTreeSet::new();
        let mut picks = vec![0; views];
        loop {
            let scripted: Cells = picks.iter().map(|pick: &usize| choices[*pick].clone()).collect();
            seen.insert(canonical(n, &[twin], &scripted));
            let Some(at) = picks.iter().position(|pick| pick + 1 < choices.len()) else { break };
            picks[at] += 1;
            picks[..at].fill(0);
        }
        found.extend(seen.into_iter().map(|cells| Scenario::of_cells(n, vec![twin], 0, &cells)));
    }
    found
}

/// So many different scenarios with f twins and six to eight views. Every second view has a cell in which
/// its leader finds a quorum; the others are anything.
pub fn sample(n: u16, count: usize, seed: u64) -> Vec<Scenario> {
    let mut random = Random::fork(seed, b"twins");
    let f = faults(usize::from(n));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    // The space is far larger than any count asked for; the bound is for a count that is not.
    for _ in 0..count.saturating_mul(20) {
        if found.len() >= count {
            break;
        }
        let mut twins: Vec<u16> = (0..n).collect();
        while twins.len() > f {
            twins.remove(random.index(twins.len()));
        }
        let views = 6 + random.index(3);
        let cells: Cells = (0..views).map(|view| one_view(n, &twins, view, &mut random)).collect();
        let cells = canonical(n, &twins, &cells);
        if seen.insert((twins.clone(), cells.clone())) {
            let seed = random.next_u64() >> 16;
            found.push(Scenario::of_cells(n, twins, seed, &cells));
        }
    }
    found
}

fn one_view(n: u16, twins: &[u16], view: usize, random: &mut Random) -> Vec<u8> {
    let n = usize::from(n);
    let seats = n + twins.len();
    let most = 1 + random.index(3) as u64;
    let mut cells: Vec<u8> = (0..seats).map(|_| u8::try_from(random.between(0, most)).unwrap_or(0)).collect();
    if random.chance(500) {
        // The leader, or its second node, gets a quorum of validators around it.
        let leader = view % n;
        let second = twins.iter().position(|twin| usize::from(*twin) == leader).map(|at| n + at);
        let seat = second.filter(|_| random.chance(500)).unwrap_or(leader);
        let mut others: Vec<usize> = (0..n).filter(|ix| *ix != leader).collect();
        while others.len() + 1 > quorum(n) {
            others.swap_remove(random.index(others.len()));
        }
        for ix in others {
            let second = twins.iter().position(|twin| usize::from(*twin) == ix).map(|at| n + at);
            cells[second.filter(|_| random.chance(500)).unwrap_or(ix)] = cells[seat];
        }
    }
    renumber(&mut cells);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_counted_as_bell_and_stirling_say() {
        assert_eq!(partitions(5, 5).len(), 52);
        assert_eq!(partitions(5, 2).len(), 16);
        assert_eq!(partitions(4, 4).len(), 15);
    }

    #[test]
    fn names_do_not_make_a_scenario_different() {
        // Five nodes, v1 and its twin (seat 4) swapped.
        let one = canonical(4, &[1], &[vec![0, 0, 1, 1, 1], vec![0, 1, 0, 0, 0]]);
        let other = canonical(4, &[1], &[vec![0, 1, 1, 1, 0], vec![0, 0, 0, 0, 1]]);
        assert_eq!(one, other);
        // Of seven, v5 and v6 lead none of five views.
        let one = canonical(
            7,
            &[0],
            &[vec![0, 0, 0, 0, 0, 1, 0, 1], vec![0; 8], vec![0; 8], vec![0; 8], vec![0; 8]],
        );
        let other = canonical(
            7,
            &[0],
            &[vec![0, 0, 0, 0, 0, 0, 1, 1], vec![0; 8], vec![0; 8], vec![0; 8], vec![0; 8]],
        );
        assert_eq!(one, other);
        // But v4 leads the last of them.
        let third = canonical(
            7,
            &[0],
            &[vec![0, 0, 0, 0, 1, 0, 0, 1], vec![0; 8], vec![0; 8], vec![0; 8], vec![0; 8]],
        );
        assert_ne!(one, third);
        assert_eq!(canonical(7, &[0], &one), one, "once is enough");
    }

    #[test]
    fn enumeration_is_complete_up_to_names() {
        // Burnside. 16 partitions into at most two cells, squared; 8 of them stay as they are when the twins
        // change places, 8 when v2 and v3 do, which lead neither view, and 4 when both pairs do.
        let all = enumerate(4, 2, 2);
        let (leads, idle) = ((256 + 64 + 64 + 16) / 4, (256 + 64) / 2);
        assert_eq!(all.len(), 2 * leads + 2 * idle);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn samples_differ_and_follow_the_seed() {
        let some = sample(7, 200, 3);
        assert_eq!(some.len(), 200);
        assert_eq!(some, sample(7, 200, 3));
        assert_ne!(some, sample(7, 200, 4));
        for one in &some {
            let text = toml::to_string(one).unwrap();
            assert_eq!(&Scenario::parse(&text).unwrap(), one);
        }
    }
}
