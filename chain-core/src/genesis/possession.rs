//! Proof that whoever registers a key holds it.

use super::document::{MemberEntry, RecoveryKeyEntry, ValidatorEntry};
use crate::canonical::Writer;
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};

/// What a key is for. A key serves one purpose only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KeyRole {
    /// Proposals, votes and view changes of a validator.
    Consensus,
    /// Identity of a validator's network host.
    Network,
    /// Checkpoints of the record log.
    Log,
    /// Transactions of a member of an agency.
    Member,
    /// An agency's part in the way out of a lost quorum.
    Recovery,
    /// The index of subjects; every validator has the same.
    Subjects,
}

impl KeyRole {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Consensus, Self::Network, Self::Log, Self::Member, Self::Recovery, Self::Subjects];

    /// Its name in key files and messages.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Network => "network",
            Self::Log => "log",
            Self::Member => "member",
            Self::Recovery => "recovery",
            Self::Subjects => "subjects",
        }
    }

    /// The role of a name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.text() == text)
    }

    /// Its byte in signed preimages.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Consensus => 1,
            Self::Network => 2,
            Self::Log => 3,
            Self::Member => 4,
            Self::Recovery => 5,
            Self::Subjects => 6,
        }
    }
}

/// Kind 32: this key, in this role, belongs to this owner in the network of this name.
///
/// Made before the chain has an id, so the network's name stands in its place; the signatures over the
/// finished genesis bind the rest.
#[derive(Clone, Copy, Debug)]
pub struct Possession<'a> {
    /// Name of the network.
    pub network: &'a str,
    /// Name of the validator, or identifier of the member's agency.
    pub owner: &'a str,
    /// What the key is for.
    pub role: KeyRole,
    /// The key.
    pub key: PublicKey,
}

impl Signable for Possession<'_> {
    fn preimage(&self) -> Vec<u8> {
        let mut named = Writer::new();
        named.text(self.network).text(self.owner);
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(32).digest(&Digest::tagged(b"CL/possession/1", &[&named.finish()]));
        writer.u8(self.role.byte()).public_key(&self.key);
        writer.finish()
    }
}

/// Proves possession of `secret`.
pub fn prove(network: &str, owner: &str, role: KeyRole, secret: &SecretKey) -> Signature {
    secret.sign(&Possession { network, owner, role, key: secret.public() })
}

/// The three keys of one validator, at the machine that runs it.
#[derive(Clone, Copy, Debug)]
pub struct ValidatorSecrets<'a> {
    /// Signs proposals, votes and view changes.
    pub consensus: &'a SecretKey,
    /// Identity of its network host.
    pub network: &'a SecretKey,
    /// Cosigns checkpoints.
    pub log: &'a SecretKey,
}

impl ValidatorEntry {
    /// The entry of a validator, with its proofs of possession. `address` is a multiaddr.
    pub fn new(
        network: &str,
        name: &str,
        agency: &str,
        address: &str,
        secrets: ValidatorSecrets<'_>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            agency: agency.to_owned(),
            consensus_key: secrets.consensus.public(),
            network_key: secrets.network.public(),
            log_key: secrets.log.public(),
            address: address.to_owned(),
            consensus_possession: prove(network, name, KeyRole::Consensus, secrets.consensus),
            network_possession: prove(network, name, KeyRole::Network, secrets.network),
            log_possession: prove(network, name, KeyRole::Log, secrets.log),
        }
    }
}

impl RecoveryKeyEntry {
    /// The entry of an agency's recovery key, with its proof of possession.
    pub fn new(network: &str, name: &str, agency: &str, secret: &SecretKey) -> Self {
        Self {
            name: name.to_owned(),
            agency: agency.to_owned(),
            key: secret.public(),
            possession: prove(network, name, KeyRole::Recovery, secret),
        }
    }
}

impl MemberEntry {
    /// The entry of a member without a last day, with its proof of possession. `from` is `YYYY-MM-DD`.
    pub fn new(network: &str, agency: &str, role: &str, label: &str, from: &str, secret: &SecretKey) -> Self {
        Self {
            key: secret.public(),
            agency: agency.to_owned(),
            role: role.to_owned(),
            label: label.to_owned(),
            from: from.to_owned(),
            to: None,
            possession: prove(network, agency, KeyRole::Member, secret),
        }
    }
}
