//! The validator sets of all epochs, each proved from the genesis by what ended the epoch before it.
//!
//! A quorum of every set signed which set comes next, or enough of the agencies' recovery keys did, so nothing has
//! to be believed about any of them but the genesis: see [`chain_core::recovery::Passage`].

use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::epoch::HandOver;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::receipt::Step;
use chain_core::recovery::{Passage, RecoveryKeys, SignedRecovery};
use chain_core::trust::TrustPolicy;

/// One epoch.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// Who votes in it.
    pub(crate) committee: Committee,
    /// The block before its first one: height and digest.
    pub(crate) base: (Height, Digest),
    /// The agencies' act that began it, where its predecessor had lost its quorum.
    pub(crate) begun_by: Option<SignedRecovery>,
    /// Who signed that it comes next: validators of the epoch before, or recovery keys; nobody for that of the genesis.
    pub(crate) signed_by: Vec<String>,
}

/// The sets of the epochs from genesis to the newest that is proved.
#[derive(Clone, Debug)]
pub(crate) struct Sets {
    chain_id: ChainId,
    recovery_keys: Option<RecoveryKeys>,
    network: String,
    sets: Vec<Set>,
}

impl Sets {
    /// The set of the genesis alone.
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let base = (Height::ZERO, *genesis.chain_id().digest());
        Self {
            chain_id: genesis.chain_id(),
            recovery_keys: genesis.recovery_keys().cloned(),
            network: genesis.document().network.clone(),
            sets: vec![Set {
                committee: genesis.committee().clone(),
                base,
                begun_by: None,
                signed_by: Vec::new(),
            }],
        }
    }

    /// The set of an epoch, if it is proved.
    pub(crate) fn get(&self, epoch: Epoch) -> Option<&Set> {
        self.sets.get(usize::try_from(epoch.get()).ok()?)
    }

    /// All of them, from genesis on.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Set> {
        self.sets.iter()
    }

    /// The newest that is proved.
    pub(crate) fn newest(&self) -> &Set {
        // There is always that of the genesis.
        &self.sets[self.sets.len() - 1]
    }

    /// Takes the end of the newest epoch.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID` for a hand-over that does not prove which set comes next; for an act of recovery the code
    /// of its flaw, or `RECOVERY_UNKNOWN` where the genesis names no recovery keys.
    pub(crate) fn take(&mut self, passage: Passage) -> Result<(), Refusal> {
        match passage {
            Passage::HandOver(hand_over) => self.take_hand_over(hand_over),
            Passage::Recovery(recovery) => self.take_recovery(recovery),
        }
    }

    fn take_recovery(&mut self, recovery: SignedRecovery) -> Result<(), Refusal> {
        let epoch = self.newest().committee.epoch();
        let at = |refusal: Refusal| Refusal {
            detail: format!("end of epoch {epoch}: {}", refusal.detail),
            ..refusal
        };
        let keys = self.recovery_keys.as_ref().ok_or_else(|| {
            at(Refusal::new(
                Code::RecoveryUnknown,
                "an act of recovery, and the genesis names no recovery keys",
            ))
        })?;
        let next = recovery.verify(self.chain_id, epoch, keys).map_err(|error| at(error.refusal()))?;
        let base = (recovery.act.height, recovery.act.block_digest);
        let signed = keys.keys().iter().filter(|key| recovery.is_signed_by(key));
        let signed_by = signed.map(|key| key.name.clone()).collect();
        self.sets.push(Set { committee: next.clone(), base, begun_by: Some(recovery), signed_by });
        Ok(())
    }

    fn take_hand_over(&mut self, hand_over: HandOver) -> Result<(), Refusal> {
        let current = &self.newest().committee;
        let epoch = current.epoch();
        hand_over.verify(self.chain_id, current).map_err(|error| {
            Refusal::new(Code::CertificateInvalid, format!("end of epoch {epoch}: {error}"))
        })?;
        let HandOver { proof, next } = hand_over;
        let Some(closing) = proof.closing() else {
            return Err(Refusal::new(Code::CertificateInvalid, format!("end of epoch {epoch}: no header")));
        };
        let base = (closing.height, closing.digest());
        let signers = proof.certificate.signers().filter_map(|at| current.validators().get(at));
        let signed_by = signers.map(|one| one.name.clone()).collect();
        self.sets.push(Set { base, committee: next, begun_by: None, signed_by });
        Ok(())
    }

    /// The acts of recovery on the way, from genesis on, each with the names of the keys that signed it.
    pub(crate) fn recoveries(&self) -> impl Iterator<Item = (&SignedRecovery, Vec<&str>)> {
        let begun = self.sets.iter().filter_map(|set| Some((set.begun_by.as_ref()?, &set.signed_by)));
        begun.map(|(act, names)| (act, names.iter().map(String::as_str).collect()))
    }

    /// The way from the genesis to the validators of an epoch, step by step; ends with a step that fails where it does
    /// not lead there.
    pub(crate) fn explain(&self, epoch: Epoch) -> Vec<Step> {
        let mut steps = Vec::new();
        for set in self.sets.iter().take_while(|set| set.committee.epoch() <= epoch) {
            let committee = &set.committee;
            let names: Vec<&str> = committee.validators().iter().map(|one| one.name.as_str()).collect();
            let mut inputs = vec![format!("{} validators: {}", committee.size(), names.join(", "))];
            let (height, digest) = set.base;
            let operation = match (&set.begun_by, set.signed_by.is_empty()) {
                (Some(act), _) => {
                    inputs
                        .push(format!("act of recovery {} after block {height} {digest}", act.act.record()));
                    inputs.push(format!("signed by the recovery keys {}", set.signed_by.join(", ")));
                    "take the validators whom enough of the agencies' recovery keys signed for"
                }
                (None, true) => "take the validators of the genesis",
                (None, false) => {
                    inputs.push(format!("closing block {height} {digest}, which names this set"));
                    inputs.push(format!("COMMIT signed by {}", set.signed_by.join(", ")));
                    "take the validators whom a quorum of the epoch before handed over to"
                }
            };
            let operation = format!("epoch {}: {operation}", committee.epoch());
            steps.push(Step::held(operation, inputs, format!("hash of the set {}", committee.hash())));
        }
        let newest = self.newest().committee.epoch();
        if newest < epoch {
            let known = format!("validators are known up to epoch {newest}");
            let wanted = format!("what ended epoch {newest}: city trust update");
            let operation = format!("epoch {epoch}: look up the validators in the trust store");
            steps.push(Step::failed(operation, Vec::new(), known, wanted));
        }
        steps
    }

    /// Whom to believe about the log in an epoch, if its set is proved.
    pub(crate) fn policy(&self, epoch: Epoch) -> Option<TrustPolicy> {
        self.get(epoch).map(|set| self.policy_of(set))
    }

    /// As [`Self::policy`], newest epoch first.
    pub(crate) fn policies(&self) -> impl Iterator<Item = TrustPolicy> {
        self.sets.iter().rev().map(|set| self.policy_of(set))
    }

    fn policy_of(&self, set: &Set) -> TrustPolicy {
        TrustPolicy::from_committee(&self.network, self.chain_id, &set.committee)
    }
}
