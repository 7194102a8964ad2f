//! Making a genesis together: a draft, one signed part per agency, assembly, and everybody's signature.
//!
//! 1. The coordinator writes a draft (network, parameters, catalogue, council threshold) and sends it round.
//! 2. Each agency makes a [`Part`] on its own machine: its validators, agencies and members with proofs of
//!    possession, bound to the draft and signed by its validators' consensus keys. Secrets never leave it.
//! 3. Anybody assembles draft and parts ([`assemble`]): the same genesis whatever the order.
//! 4. Each validator reads the hash aloud to the others and signs it ([`sign`]); a node starts only with
//!    the signatures of all ([`Signatures::verify`]).

use serde::{Deserialize, Serialize};

use super::check::invalid;
use super::document::{AgencyEntry, Document, MemberEntry, RecoveryKeyEntry, ValidatorEntry, list};
use super::{Draft, Genesis, from_toml, to_toml};
use crate::canonical::Writer;
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::id::ChainId;

/// Form of a part.
pub const PART_SCHEMA: &str = "city/genesis-part/v1";
/// Form of a signature file.
pub const SIGNATURES_SCHEMA: &str = "city/genesis-signatures/v1";

/// What one agency contributes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Always [`PART_SCHEMA`].
    pub schema: String,
    /// [`Draft::digest`] of the draft it was made for.
    pub draft: Digest,
    /// One per validator of the part, in order of name: its consensus key over [`PartPreimage`].
    #[serde(default)]
    pub signatures: Vec<Signature>,
    /// Its validators, with possession proofs.
    #[serde(default, rename = "validator")]
    pub validators: Vec<ValidatorEntry>,
    /// Agencies it adds; their home must be one of its validators.
    #[serde(default, rename = "agency")]
    pub agencies: Vec<AgencyEntry>,
    /// Members it adds; their agency must be at home here.
    #[serde(default, rename = "member")]
    pub members: Vec<MemberEntry>,
    /// Recovery keys it adds; their agency must be at home here.
    #[serde(default, rename = "recovery_key", skip_serializing_if = "Vec::is_empty")]
    pub recovery_keys: Vec<RecoveryKeyEntry>,
}

/// Kind 33: a part as a whole.
#[derive(Clone, Copy, Debug)]
pub struct PartPreimage(Digest);

impl Signable for PartPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(33).digest(&self.0);
        writer.finish()
    }
}

impl Part {
    /// Makes and signs a part; `consensus_keys` are those of its validators, in any order.
    ///
    /// # Errors
    /// `GENESIS_INVALID` when a validator's key is missing or the part would be refused by [`assemble`].
    pub fn new(
        draft: &Draft,
        mut validators: Vec<ValidatorEntry>,
        agencies: Vec<AgencyEntry>,
        members: Vec<MemberEntry>,
        recovery_keys: Vec<RecoveryKeyEntry>,
        consensus_keys: &[&SecretKey],
    ) -> Result<Self, Refusal> {
        validators.sort_by(|a, b| a.name.cmp(&b.name));
        let mut part = Self {
            schema: PART_SCHEMA.to_owned(),
            draft: draft.digest(),
            signatures: Vec::new(),
            validators,
            agencies,
            members,
            recovery_keys,
        };
        part.normalise();
        let preimage = PartPreimage(part.digest());
        for validator in &part.validators {
            let key = consensus_keys.iter().find(|key| key.public() == validator.consensus_key);
            let key = key.ok_or_else(|| {
                invalid(
                    &format!("validator {}", validator.name),
                    "no consensus key",
                    "the key that signs its part",
                )
            })?;
            part.signatures.push(key.sign(&preimage));
        }
        part.check(draft)?;
        Ok(part)
    }

    /// Reads a part. [`Self::check`] judges it.
    ///
    /// # Errors
    /// `GENESIS_INVALID` when the text is no part.
    pub fn parse(toml: &str) -> Result<Self, Refusal> {
        let mut part: Self = from_toml(toml)?;
        part.normalise();
        Ok(part)
    }

    /// The part as TOML.
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }

    /// Checks form, draft and signatures; that names and keys do not clash with other parts shows only in
    /// [`assemble`].
    ///
    /// # Errors
    /// `GENESIS_INVALID` or `GENESIS_MISMATCH` (made for another draft).
    pub fn check(&self, draft: &Draft) -> Result<(), Refusal> {
        if self.schema != PART_SCHEMA {
            return Err(invalid("schema", format!("{:?}", self.schema), PART_SCHEMA));
        }
        if self.draft != draft.digest() {
            let detail =
                format!("the part was made for draft {}, this is draft {}", self.draft, draft.digest());
            return Err(Refusal::new(Code::GenesisMismatch, detail));
        }
        if self.validators.is_empty() {
            return Err(invalid("validator", "none", "at least one, whose key signs the part"));
        }
        if self.signatures.len() != self.validators.len() {
            let wanted = format!("{}, one per validator", self.validators.len());
            return Err(invalid("signatures", self.signatures.len(), wanted));
        }
        let preimage = PartPreimage(self.digest());
        for (validator, signature) in self.validators.iter().zip(&self.signatures) {
            if !validator.consensus_key.verify(&preimage, signature) {
                let key = format!("signature of {}", validator.name);
                return Err(invalid(&key, "one that does not verify", "one over exactly this part"));
            }
        }
        self.check_homes(draft)
    }

    /// An agency speaks for itself only: whatever it adds is at home at its own validators.
    fn check_homes(&self, draft: &Draft) -> Result<(), Refusal> {
        let mine = |name: &str| self.validators.iter().any(|validator| validator.name == name);
        for agency in &self.agencies {
            if !mine(&agency.home_validator) {
                let key = format!("agency {}.home_validator", agency.id);
                return Err(invalid(&key, &agency.home_validator, "a validator of this part"));
            }
        }
        let drafted = &draft.document().agencies;
        for member in &self.members {
            let home = self.agencies.iter().chain(drafted).find(|agency| agency.id == member.agency);
            if !home.is_some_and(|agency| mine(&agency.home_validator)) {
                let key = format!("member {}.agency", member.key.short());
                return Err(invalid(&key, &member.agency, "an agency at home at a validator of this part"));
            }
        }
        for entry in &self.recovery_keys {
            let home = self.agencies.iter().chain(drafted).find(|agency| agency.id == entry.agency);
            if !home.is_some_and(|agency| mine(&agency.home_validator)) {
                let key = format!("recovery key {}.agency", entry.name);
                return Err(invalid(&key, &entry.agency, "an agency at home at a validator of this part"));
            }
        }
        if !self.recovery_keys.is_empty() && draft.document().recovery.is_none() {
            let got = format!("{} recovery keys", self.recovery_keys.len());
            return Err(invalid(
                "recovery_key",
                got,
                "none, as the draft has no [recovery] with a threshold",
            ));
        }
        Ok(())
    }

    fn normalise(&mut self) {
        let mut signed: Vec<(ValidatorEntry, Option<Signature>)> = Vec::new();
        let mut signatures = std::mem::take(&mut self.signatures).into_iter();
        for validator in std::mem::take(&mut self.validators) {
            signed.push((validator, signatures.next()));
        }
        signed.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for (validator, signature) in signed {
            self.validators.push(validator);
            self.signatures.extend(signature);
        }
        self.signatures.extend(signatures);
        self.agencies.sort_by(|a, b| a.id.cmp(&b.id));
        for agency in &mut self.agencies {
            agency.types.sort();
        }
        self.members.sort_by(|a, b| (&a.agency, a.key).cmp(&(&b.agency, b.key)));
        self.recovery_keys.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn digest(&self) -> Digest {
        let mut writer = Writer::new();
        writer.text(&self.schema).digest(&self.draft);
        list(&mut writer, &self.validators, ValidatorEntry::write);
        list(&mut writer, &self.agencies, AgencyEntry::write);
        list(&mut writer, &self.members, MemberEntry::write);
        // Only when there are any: without them the bytes are those of before.
        if !self.recovery_keys.is_empty() {
            list(&mut writer, &self.recovery_keys, RecoveryKeyEntry::write);
        }
        Digest::tagged(b"CL/genesis-part/1", &[&writer.finish()])
    }
}

/// Puts draft and parts together. The order of the parts does not matter.
///
/// # Errors
/// The refusal of a part, or of the whole: a name or key used twice, too few validators.
pub fn assemble(draft: &Draft, parts: &[Part]) -> Result<Genesis, Refusal> {
    let mut document: Document = draft.document().clone();
    for part in parts {
        part.check(draft)?;
        document.validators.extend(part.validators.iter().cloned());
        document.agencies.extend(part.agencies.iter().cloned());
        document.members.extend(part.members.iter().cloned());
        if let Some(recovery) = &mut document.recovery {
            recovery.keys.extend(part.recovery_keys.iter().cloned());
        }
    }
    Genesis::from_document(document)
}

/// Kind 34: the finished genesis.
#[derive(Clone, Copy, Debug)]
pub struct GenesisPreimage {
    /// The chain it begins.
    pub chain_id: ChainId,
}

impl Signable for GenesisPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(34).digest(self.chain_id.digest());
        writer.finish()
    }
}

/// One validator's signature of the finished genesis.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureEntry {
    /// Name of the validator.
    pub validator: String,
    /// Its consensus key over [`GenesisPreimage`].
    pub signature: Signature,
}

/// The file `genesis.sigs`: kept beside the genesis, because signatures cannot be part of what they sign.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// Always [`SIGNATURES_SCHEMA`].
    pub schema: String,
    /// The chain.
    pub chain_id: ChainId,
    /// One per validator, in order of name.
    #[serde(default, rename = "signature")]
    pub entries: Vec<SignatureEntry>,
}

/// Signs a genesis as one of its validators.
///
/// # Errors
/// `GENESIS_INVALID` when the key belongs to no validator of it.
pub fn sign(genesis: &Genesis, key: &SecretKey) -> Result<SignatureEntry, Refusal> {
    let committee = genesis.committee();
    let validator = committee.index_of(&key.public()).and_then(|ix| committee.get(ix));
    let Some(validator) = validator else {
        let got = format!("key {}", key.public().short());
        return Err(invalid("validator", got, "the consensus key of a validator of this genesis"));
    };
    let signature = key.sign(&GenesisPreimage { chain_id: genesis.chain_id() });
    Ok(SignatureEntry { validator: validator.name.clone(), signature })
}

impl Signatures {
    /// A file without signatures.
    pub fn new(genesis: &Genesis) -> Self {
        Self { schema: SIGNATURES_SCHEMA.to_owned(), chain_id: genesis.chain_id(), entries: Vec::new() }
    }

    /// Adds a signature, in place of an earlier one of the same validator.
    pub fn add(&mut self, entry: SignatureEntry) {
        self.entries.retain(|one| one.validator != entry.validator);
        self.entries.push(entry);
        self.entries.sort_by(|a, b| a.validator.cmp(&b.validator));
    }

    /// Reads a signature file.
    ///
    /// # Errors
    /// `GENESIS_INVALID` when the text is none.
    pub fn parse(toml: &str) -> Result<Self, Refusal> {
        from_toml(toml)
    }

    /// The file as TOML.
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }

    /// Names of validators whose signature is missing.
    pub fn missing<'a>(&self, genesis: &'a Genesis) -> Vec<&'a str> {
        let names = genesis.committee().validators().iter().map(|one| one.name.as_str());
        names.filter(|name| !self.entries.iter().any(|entry| entry.validator == *name)).collect()
    }

    /// Checks that every validator signed exactly this genesis, and nobody else did.
    ///
    /// # Errors
    /// `GENESIS_MISMATCH` for another chain, `GENESIS_INVALID` for a missing, unknown, repeated or false
    /// signature.
    pub fn verify(&self, genesis: &Genesis) -> Result<(), Refusal> {
        if self.schema != SIGNATURES_SCHEMA {
            return Err(invalid("schema", format!("{:?}", self.schema), SIGNATURES_SCHEMA));
        }
        let chain_id = genesis.chain_id();
        if self.chain_id != chain_id {
            let detail =
                format!("signatures are for chain {}, the genesis is chain {chain_id}", self.chain_id);
            return Err(Refusal::new(Code::GenesisMismatch, detail));
        }
        let preimage = GenesisPreimage { chain_id };
        for (at, entry) in self.entries.iter().enumerate() {
            let key = format!("signature of {}", entry.validator);
            let validators = genesis.committee().validators();
            let Some(validator) = validators.iter().find(|one| one.name == entry.validator) else {
                return Err(invalid(&key, "an unknown name", "a validator of the genesis"));
            };
            if self.entries[..at].iter().any(|before| before.validator == entry.validator) {
                return Err(invalid(&key, "two", "one per validator"));
            }
            if !validator.consensus_key.verify(&preimage, &entry.signature) {
                return Err(invalid(&key, "one that does not verify", "one over this genesis"));
            }
        }
        let missing = self.missing(genesis);
        if missing.is_empty() {
            return Ok(());
        }
        Err(invalid("signature", format!("none of {}", missing.join(", ")), "one of every validator"))
    }
}
