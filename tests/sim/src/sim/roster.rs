//! Who takes part in an epoch, under which keys: from a list of members to the committee, its judge and the
//! signers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, PublicKey, SecretKey};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx};
use consensus::signer::{CommitteeKeys, Signer};
use consensus::verified::Judge;

use super::crypto::{Counting, SimSigner, SimVerifier};

/// One validator over the epochs: a name that stays, and how often its consensus key was replaced.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    /// The name.
    pub name: u16,
    /// 0 for its first key.
    pub generation: u16,
}

/// How signatures are made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keys {
    /// A keyed hash: microseconds a message.
    #[default]
    Hash,
    /// Ed25519, as validators use it.
    Ed25519,
}

/// The members of one epoch, in the order of their indices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roster {
    /// The members.
    pub members: Vec<Member>,
    /// How they sign.
    pub keys: Keys,
}

impl Roster {
    /// `n` members with their first keys.
    pub fn first(n: u16, keys: Keys) -> Self {
        Self { members: (0..n).map(|name| Member { name, generation: 0 }).collect(), keys }
    }

    fn secret(member: Member, kind: u8) -> SecretKey {
        let name = [member.name.to_be_bytes(), member.generation.to_be_bytes()].concat();
        SecretKey::from_seed(*Digest::tagged(b"sim-secret", &[&[kind], &name]).as_bytes())
    }

    fn public(&self, member: Member, kind: u8) -> PublicKey {
        match self.keys {
            Keys::Ed25519 => Self::secret(member, kind).public(),
            Keys::Hash => {
                let name = [member.name.to_be_bytes(), member.generation.to_be_bytes()].concat();
                PublicKey::new(*Digest::tagged(b"sim-public", &[&[kind], &name]).as_bytes())
            }
        }
    }

    /// The validator set of an epoch.
    ///
    /// # Panics
    /// For sizes outside 4 to 100.
    pub fn committee(&self, epoch: Epoch) -> Committee {
        let validator = |member: &Member| Validator {
            name: format!("v{}", member.name),
            agency: format!("agency-{}", member.name),
            consensus_key: self.public(*member, 1),
            network_key: self.public(*member, 2),
            log_key: self.public(*member, 3),
            address: format!("/ip4/127.0.0.1/tcp/{}", 7000 + member.name),
            may_lead: true,
        };
        Committee::new(epoch, self.members.iter().map(validator).collect()).expect("a valid committee")
    }

    /// The judge of an epoch; every signature it checks is counted.
    pub fn judge(
        &self,
        chain_id: ChainId,
        epoch: Epoch,
        base: (Height, Digest),
        checks: &Arc<AtomicU64>,
    ) -> Judge {
        let committee = Arc::new(self.committee(epoch));
        let inner: Box<dyn consensus::signer::Verifier> = match self.keys {
            Keys::Hash => {
                Box::new(SimVerifier::of(self.members.iter().map(|one| (one.name, one.generation))))
            }
            Keys::Ed25519 => Box::new(CommitteeKeys::new(&committee)),
        };
        let verifier = Arc::new(Counting::new(inner, checks.clone()));
        Judge::new(chain_id, committee, base, verifier)
    }

    /// A member's consensus key.
    pub fn signer(&self, ix: ValidatorIx) -> Box<dyn Signer> {
        let member = self.members[ix.index()];
        match self.keys {
            Keys::Hash => Box::new(SimSigner::of(member.name, member.generation)),
            Keys::Ed25519 => Box::new(Self::secret(member, 1)),
        }
    }
}
