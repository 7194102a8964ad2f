//! Validators: the records that say which keys vote, and how a validator says that it is ready to.
//!
//! A record of this type is the council's. It names what the validator set should be; the set itself changes
//! at the end of an epoch, and a validator with new keys is waited for until it has said [`Ready`].

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::governance::check_text;
use super::{NAME_BYTES_MAX, read_bool};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::committee::Validator;
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::genesis::{KeyRole, NAME_MAX, ValidatorSecrets};
use crate::id::{ChainId, Epoch, RecordId};
use crate::layout::Layout;
use crate::org::OrgId;

/// How long a validator's word that it is ready counts: ten minutes of block time.
pub const READY_MS: u64 = 10 * 60 * 1000;
/// How far ahead of block time that word may be dated: two minutes.
pub const READY_AHEAD_MS_MAX: u64 = 2 * 60 * 1000;

/// What a validator's key signs to show that its holder has the secret half.
#[derive(Clone, Copy, Debug)]
pub struct ValidatorPossession<'a> {
    /// The chain the key is meant for.
    pub chain_id: ChainId,
    /// Name of the validator.
    pub name: &'a str,
    /// The agency that runs it.
    pub agency: &'a OrgId,
    /// What the key is for.
    pub role: KeyRole,
    /// The key.
    pub key: PublicKey,
}

impl Signable for ValidatorPossession<'_> {
    /// Kind 18: domain, kind, chain, digest of name and agency, role, key.
    fn preimage(&self) -> Vec<u8> {
        let mut owner = Writer::new();
        owner.text(self.name);
        self.agency.write(&mut owner);
        let owner = Digest::tagged(b"cityledger/validator-owner/1", &[&owner.finish()]);
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(18).digest(self.chain_id.digest()).digest(&owner);
        writer.u8(self.role.byte()).public_key(&self.key);
        writer.finish()
    }
}

/// A key with the proof that its holder has the secret half.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenKey {
    /// The key.
    pub key: PublicKey,
    /// The key's own signature over [`ValidatorPossession`].
    pub possession: Signature,
}

impl Layout for ProvenKey {
    fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key).signature(&self.possession);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { key: reader.public_key()?, possession: reader.signature()? })
    }
}

/// Content of `gov.validator`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorDetails {
    /// Short name: lower-case letters, digits and inner hyphens, 1 to 40 bytes; unique in the set.
    pub name: String,
    /// The agency that runs it.
    pub agency: OrgId,
    /// Signs proposals, votes and view changes.
    pub consensus_key: ProvenKey,
    /// Identity of its network host.
    pub network_key: ProvenKey,
    /// Cosigns checkpoints.
    pub log_key: ProvenKey,
    /// Where peers dial it: `/ip4/<address>/tcp/<port>` or `/ip6/<address>/tcp/<port>`.
    pub address: String,
    /// Whether its turn to lead comes.
    pub may_lead: bool,
}

impl ValidatorDetails {
    /// A validator that may lead, its keys proved by their secret halves.
    pub fn prove(
        chain_id: ChainId,
        name: &str,
        agency: &OrgId,
        address: &str,
        secrets: ValidatorSecrets<'_>,
    ) -> Self {
        let proven = |role: KeyRole, secret: &SecretKey| {
            let key = secret.public();
            let preimage = ValidatorPossession { chain_id, name, agency, role, key };
            ProvenKey { key, possession: secret.sign(&preimage) }
        };
        Self {
            name: name.to_owned(),
            agency: agency.clone(),
            consensus_key: proven(KeyRole::Consensus, secrets.consensus),
            network_key: proven(KeyRole::Network, secrets.network),
            log_key: proven(KeyRole::Log, secrets.log),
            address: address.to_owned(),
            may_lead: true,
        }
    }

    /// The details of a member of a set, without proofs of possession: for whoever vouches for the set as a whole.
    ///
    /// # Errors
    /// When the agency is no identifier in its one spelling, or as [`Self::check`].
    pub fn unproven(validator: &Validator) -> Result<Self, Refusal> {
        let proven = |key| ProvenKey { key, possession: Signature::ZERO };
        let details = Self {
            name: validator.name.clone(),
            agency: validator.agency.parse()?,
            consensus_key: proven(validator.consensus_key),
            network_key: proven(validator.network_key),
            log_key: proven(validator.log_key),
            address: validator.address.clone(),
            may_lead: validator.may_lead,
        };
        details.check(None)?;
        if details.validator() != *validator {
            let shown = crate::text::shown(&validator.agency);
            return Err(Refusal::new(Code::BadIdentifier, format!("agency {shown:?} has another spelling")));
        }
        Ok(details)
    }

    /// Role and key of its three keys.
    pub fn keys(&self) -> [(KeyRole, ProvenKey); 3] {
        [
            (KeyRole::Consensus, self.consensus_key),
            (KeyRole::Network, self.network_key),
            (KeyRole::Log, self.log_key),
        ]
    }

    /// The member of a validator set that these details describe.
    pub fn validator(&self) -> Validator {
        Validator {
            name: self.name.clone(),
            agency: self.agency.to_string(),
            consensus_key: self.consensus_key.key,
            network_key: self.network_key.key,
            log_key: self.log_key.key,
            address: self.address.clone(),
            may_lead: self.may_lead,
        }
    }

    /// Checks content without state, and the proofs of possession where a chain is given. A genesis gives
    /// none: its keys proved themselves to the document.
    ///
    /// # Errors
    /// `BAD_PARAMETER` for name, address, a weak key, one key twice or a false proof; the codes of texts.
    pub fn check(&self, chain_id: Option<ChainId>) -> Result<(), Refusal> {
        let refuse = |detail: String| Err(Refusal::new(Code::BadParameter, detail));
        check_text("name", &self.name, NAME_MAX)?;
        if !crate::text::is_short_name(&self.name, NAME_MAX) {
            return refuse(format!(
                "name {:?}, wants lower-case letters, digits and inner hyphens",
                self.name
            ));
        }
        check_text("address", &self.address, NAME_BYTES_MAX)?;
        if !is_address(&self.address) {
            let shown = crate::text::shown(&self.address);
            return refuse(format!("address {shown:?}, wants /ip4/<address>/tcp/<port> or /ip6/…"));
        }
        let keys = self.keys();
        for (at, (role, proven)) in keys.iter().enumerate() {
            let named = format!("{} key {}", role.text(), proven.key.short());
            if keys[..at].iter().any(|(_, other)| other.key == proven.key) {
                return refuse(format!("{named} stands here twice"));
            }
            if let Err(error) = proven.key.check() {
                return refuse(format!("{named}: {error}"));
            }
            if let Some(chain_id) = chain_id {
                let (name, agency) = (self.name.as_str(), &self.agency);
                let preimage = ValidatorPossession { chain_id, name, agency, role: *role, key: proven.key };
                if !proven.key.verify(&preimage, &proven.possession) {
                    return refuse(format!("{named}: the proof of possession does not verify"));
                }
            }
        }
        Ok(())
    }
}

impl Layout for ValidatorDetails {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.name);
        self.agency.write(writer);
        for (_, key) in self.keys() {
            key.write(writer);
        }
        writer.text(&self.address).u8(u8::from(self.may_lead));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            name: reader.text(NAME_MAX)?,
            agency: OrgId::read(reader)?,
            consensus_key: ProvenKey::read(reader)?,
            network_key: ProvenKey::read(reader)?,
            log_key: ProvenKey::read(reader)?,
            address: reader.text(NAME_BYTES_MAX)?,
            may_lead: read_bool(reader)?,
        })
    }
}

/// Whether peers can dial an address: an IP address and a TCP port other than 0, and nothing else.
fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let ["", family, address, "tcp", port] = parts.as_slice() else {
        return false;
    };
    let known = match *family {
        "ip4" => address.parse::<Ipv4Addr>().is_ok(),
        "ip6" => address.parse::<Ipv6Addr>().is_ok(),
        _ => false,
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    known && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Kind 8: what a validator's consensus key signs to say that it has caught up and can take part under these
/// keys from the next epoch on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch in which it says so.
    pub epoch: Epoch,
    /// Its record.
    pub record: RecordId,
    /// The version of that record which it is ready for.
    pub version: u32,
    /// The consensus key of that version, which signs.
    pub consensus_key: PublicKey,
    /// When it said so, by its own clock: milliseconds since 1970.
    pub time_ms: u64,
}

impl Signable for Ready {
    /// Kind 8: domain, kind, chain, epoch, record, version, consensus key, time.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(8).digest(self.chain_id.digest()).u64(self.epoch.get());
        writer.digest(self.record.digest()).u32(self.version).public_key(&self.consensus_key);
        writer.u64(self.time_ms);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_and_a_port() {
        for good in ["/ip4/10.0.0.1/tcp/7101", "/ip6/::1/tcp/1", "/ip6/2001:db8::7/tcp/65535"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "10.0.0.1:7101",
            "/ip4/10.0.0.1",
            "/ip4/10.0.0.1/tcp",
            "/ip4/10.0.0.1/tcp/",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/tcp/+1",
            "/ip4/10.0.0.1/tcp/65536",
            "/ip4/10.0.0.1/tcp/7101/",
            "/ip4/10.0.0.1/udp/7101",
            "/ip4/10.0.0.256/tcp/7101",
            "/ip4/::1/tcp/7101",
            "/ip6/10.0.0.1/tcp/7101",
            "/dns/example.org/tcp/7101",
            " /ip4/10.0.0.1/tcp/7101",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
