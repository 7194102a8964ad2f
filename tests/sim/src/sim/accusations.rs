//! What engines prove against validators: it must hold for others, name liars only, and come once from each
//! engine.

use std::collections::BTreeSet;

use chain_core::evidence::{Evidence, Offence};

use super::World;

impl World {
    pub(super) fn accuses(&mut self, node: usize, evidence: &Evidence) {
        let (who, incarnation) = (self.nodes[node].name.clone(), self.nodes[node].incarnation);
        let offence = evidence.offence();
        self.report.evidence += 1;
        let start = self.epochs.iter().zip(&self.observers).find(|(one, _)| one.epoch == offence.epoch);
        let lies = start.is_some_and(|(_, observer)| observer.lies(offence.offender));
        let found = match start.map(|(start, _)| start.judge.evidence(evidence)) {
            None => Some("somebody of an unknown epoch".to_owned()),
            Some(Err(error)) => Some(format!("somebody without proof: {error}")),
            Some(Ok(_)) if !lies => Some("the honest".to_owned()),
            Some(Ok(offence)) if !self.accused.insert((node, incarnation, offence)) => {
                Some("one twice".to_owned())
            }
            Some(Ok(_)) => None,
        };
        if let Some(found) = found {
            self.fail(&format!("{who} accused {found}: {offence:?}"));
        }
    }

    /// The offences that some engine proved.
    pub fn offences(&self) -> BTreeSet<Offence> {
        self.accused.iter().map(|(.., offence)| *offence).collect()
    }
}
