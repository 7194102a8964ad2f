//! A scenario as people write it, in TOML:
//!
//! ```toml
//! n = 4
//! twins = [0]      # v0 has a second node, v0'
//! seed = 1
//! views = [        # who hears whom in view 0, 1, ...; v0 leads view 0, v1 view 1, and so on
//!     [["v0", "v1", "v2"], ["v3", "v0'"]],
//!     [["v0", "v3"], ["v1", "v2", "v0'"]],
//! ]
//! ```

use chain_core::committee::{VALIDATORS_MAX, VALIDATORS_MIN, faults};
use serde::{Deserialize, Serialize};

/// Most scripted views.
pub const VIEWS_MAX: usize = 64;

/// Validators, twins, and a partition per view.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Validators; view 0 is led by v0.
    pub n: u16,
    /// Those with a second node, ascending; at most f.
    pub twins: Vec<u16>,
    /// Decides delays and submissions.
    pub seed: u64,
    /// Per view the cells, each a list of nodes: `v2`, and `v2'` for its twin.
    pub views: Vec<Vec<Vec<String>>>,
}

/// Why text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML of the right shape.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A rule is broken.
    #[error("{0}")]
    Rule(String),
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check().map_err(ScenarioError::Rule)?;
        Ok(scenario)
    }

    /// Makes one from the cell of every node, view by view.
    pub fn of_cells(n: u16, twins: Vec<u16>, seed: u64, cells: &[Vec<u8>]) -> Self {
        let names = names(n, &twins);
        let view = |cells: &Vec<u8>| {
            let count = cells.iter().max().map_or(0, |most| most + 1);
            (0..count)
                .map(|cell| {
                    let here = cells.iter().zip(&names).filter(|(one, _)| **one == cell);
                    here.map(|(_, name)| name.clone()).collect()
                })
                .collect()
        };
        Self { n, twins, seed, views: cells.iter().map(view).collect() }
    }

    /// The names of all nodes, second ones last.
    pub fn names(&self) -> Vec<String> {
        names(self.n, &self.twins)
    }

    fn check(&self) -> Result<(), String> {
        let n = usize::from(self.n);
        if !(VALIDATORS_MIN..=VALIDATORS_MAX).contains(&n) {
            return Err(format!("n is {n}, wants {VALIDATORS_MIN} to {VALIDATORS_MAX}"));
        }
        if self.twins.len() > faults(n) || !self.twins.is_sorted_by(|a, b| a < b) {
            return Err(format!("twins are {:?}, wants at most {} ascending", self.twins, faults(n)));
        }
        if self.twins.iter().any(|twin| *twin >= self.n) {
            return Err(format!("twins are {:?}, of {n} validators", self.twins));
        }
        if self.views.is_empty() || self.views.len() > VIEWS_MAX {
            return Err(format!("{} views, wants 1 to {VIEWS_MAX}", self.views.len()));
        }
        let mut all = self.names();
        all.sort();
        for (number, view) in self.views.iter().enumerate() {
            let mut named: Vec<String> = view.iter().flatten().cloned().collect();
            named.sort();
            if named != all {
                return Err(format!("view {number} names {named:?}, wants each of {all:?} once"));
            }
        }
        Ok(())
    }

    /// The cell of every node, view by view.
    pub fn cells(&self) -> Vec<Vec<u8>> {
        let names = self.names();
        let place = |view: &Vec<Vec<String>>, name: &String| {
            let cell = view.iter().position(|cell| cell.contains(name)).unwrap_or(0);
            u8::try_from(cell).unwrap_or(u8::MAX)
        };
        self.views.iter().map(|view| names.iter().map(|name| place(view, name)).collect()).collect()
    }
}

fn names(n: u16, twins: &[u16]) -> Vec<String> {
    (0..n).map(|ix| format!("v{ix}")).chain(twins.iter().map(|ix| format!("v{ix}'"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        n = 4
        twins = [0]
        seed = 1
        views = [
            [["v0", "v1", "v2"], ["v3", "v0'"]],
            [["v0", "v3"], ["v1", "v2", "v0'"]],
        ]
    "#;

    #[test]
    fn what_is_written_is_read_back() {
        let scenario = Scenario::parse(TEXT).unwrap();
        assert_eq!(scenario.cells(), [vec![0, 0, 0, 1, 1], vec![0, 1, 1, 0, 1]]);
        let again = toml::to_string(&scenario).unwrap();
        assert_eq!(Scenario::parse(&again).unwrap(), scenario);
        assert_eq!(Scenario::of_cells(4, vec![0], 1, &scenario.cells()), scenario);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        for (from, to, says) in [
            ("n = 4", "n = 3", "n is 3"),
            ("[0]", "[0, 1]", "at most 1"),
            ("[0]", "[4]", "of 4 validators"),
            ("\"v1\", \"v2\"]", "\"v1\", \"v1\"]", "view 0 names"),
            ("seed", "sead", "unknown field"),
        ] {
            let error = Scenario::parse(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(says), "{from} -> {to}: {error}");
        }
    }
}
