//! The validator sets of all epochs, each proved from the genesis by the hand-over before it.
//!
//! A quorum of every set signed which set comes next, so nothing has to be believed about any of them but the
//! genesis: see [`chain_core::epoch`].

use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::epoch::HandOver;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::trust::TrustPolicy;

/// One epoch.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// Who votes in it.
    pub(crate) committee: Committee,
    /// The block before its first one: height and digest.
    pub(crate) base: (Height, Digest),
}

/// The sets of the epochs from genesis to the newest that is proved.
#[derive(Clone, Debug)]
pub(crate) struct Sets {
    chain_id: ChainId,
    network: String,
    sets: Vec<Set>,
}

impl Sets {
    /// The set of the genesis alone.
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let base = (Height::ZERO, *genesis.chain_id().digest());
        Self {
            chain_id: genesis.chain_id(),
            network: genesis.document().network.clone(),
            sets: vec![Set { committee: genesis.committee().clone(), base }],
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
    /// `CERTIFICATE_INVALID` when it does not prove which set comes next.
    pub(crate) fn take(&mut self, hand_over: HandOver) -> Result<(), Refusal> {
        let current = &self.newest().committee;
        let epoch = current.epoch();
        hand_over.verify(self.chain_id, current).map_err(|error| {
            Refusal::new(Code::CertificateInvalid, format!("end of epoch {epoch}: {error}"))
        })?;
        let HandOver { proof, next } = hand_over;
        let Some(closing) = proof.closing() else {
            return Err(Refusal::new(Code::CertificateInvalid, format!("end of epoch {epoch}: no header")));
        };
        self.sets.push(Set { base: (closing.height, closing.digest()), committee: next });
        Ok(())
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
