//! Whom a verifier trusts: the logs, the cosigners and the quorum, as `c2sp.org/tlog-policy`.
//!
//! The policy of a chain lists every validator's log key twice: as a log under the common origin (any one of
//! them may answer) and as a witness under its own name; its quorum is q of n. The text form is what other
//! people's tools read; who gets it must get it from somebody trusted, or make it from a genesis whose hash
//! was compared.

use std::collections::BTreeSet;

use crate::checkpoint::{Checkpoint, Holds, NoteKind, SignedCheckpoint, VerifierKey, origin};
use crate::code::{Code, Refusal};
use crate::committee::Committee;
use crate::cose::{RootSignature, RootStatement};
use crate::genesis::Genesis;
use crate::id::{ChainId, Epoch};

/// Longest policy text, bytes.
pub const BYTES_MAX: usize = 256 * 1024;
/// Most logs, most witnesses and most groups of a policy.
pub const ENTRIES_MAX: usize = 128;

/// Whom to believe about one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustPolicy {
    origin: String,
    chain_id: Option<ChainId>,
    epoch: Option<Epoch>,
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Member,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Witness {
    name: String,
    key: VerifierKey,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Group {
    name: String,
    threshold: usize,
    members: Vec<Member>,
}

/// A witness or group by its position; groups refer backwards only, so there are no circles.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A cosigner whose signature held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cosigner {
    /// Its name.
    pub name: String,
    /// When it signed, seconds since 1970, by its own clock.
    pub time_s: u64,
}

impl TrustPolicy {
    /// The policy of a genesis: its validators, epoch 0.
    pub fn from_genesis(genesis: &Genesis) -> Self {
        Self::from_committee(&genesis.document().network, genesis.chain_id(), genesis.committee())
    }

    /// The policy of any epoch's validators.
    pub fn from_committee(network: &str, chain_id: ChainId, committee: &Committee) -> Self {
        let origin = origin(network, &chain_id);
        let validators = committee.validators();
        let log = |key| VerifierKey { name: origin.clone(), kind: NoteKind::Log, key };
        let witnesses: Vec<Witness> = validators
            .iter()
            .map(|one| {
                let key = VerifierKey::cosigner(&one.name, one.log_key);
                Witness { name: key.name.clone(), key }
            })
            .collect();
        let group = Group {
            name: "validators".to_owned(),
            threshold: committee.quorum(),
            members: (0..witnesses.len()).map(Member::Witness).collect(),
        };
        Self {
            logs: validators.iter().map(|one| log(one.log_key)).collect(),
            origin,
            chain_id: Some(chain_id),
            epoch: Some(committee.epoch()),
            witnesses,
            groups: vec![group],
            quorum: Member::Group(0),
        }
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The chain, when the policy came from a genesis; its text form has the origin only.
    pub fn chain_id(&self) -> Option<ChainId> {
        self.chain_id
    }

    /// The epoch whose validators it names, when it came from a committee.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// How many cosignatures a flat policy needs, and of how many; `None` for nested groups.
    pub fn threshold(&self) -> Option<(usize, usize)> {
        match self.quorum {
            Member::Witness(_) => Some((1, 1)),
            Member::Group(at) => {
                let group = &self.groups[at];
                let flat = group.members.iter().all(|member| matches!(member, Member::Witness(_)));
                flat.then_some((group.threshold, group.members.len()))
            }
        }
    }

    /// The verifier keys of the logs.
    pub fn logs(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter()
    }

    /// The verifier keys of the witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.witnesses.iter().map(|witness| &witness.key)
    }

    /// Whether this is the trust for a proof of a chain and an epoch.
    ///
    /// # Errors
    /// `PROOF_INVALID` for another chain; `TRUST_MISSING` for another epoch.
    pub fn check_chain(&self, chain_id: &ChainId, epoch: Epoch) -> Result<(), Refusal> {
        if let Some(trusted) = self.chain_id()
            && trusted != *chain_id
        {
            let detail = format!("receipt of chain {chain_id}, trusted is chain {trusted}");
            return Err(Refusal::new(Code::ProofInvalid, detail));
        }
        // A policy that was read from text knows the first 16 digits only, through its origin.
        if !self.origin().ends_with(&format!("/{}", &chain_id.to_string()[..16])) {
            let detail = format!("receipt of chain {chain_id}, trusted is {}", self.origin());
            return Err(Refusal::new(Code::ProofInvalid, detail));
        }
        match self.epoch() {
            Some(trusted) if trusted != epoch => {
                let detail =
                    format!("receipt of epoch {epoch}, the trust file names validators of {trusted}");
                Err(Refusal::new(Code::TrustMissing, detail))
            }
            _ => Ok(()),
        }
    }

    /// Judges a checkpoint: a log line of a known log, and cosignatures that meet the quorum. Lines of
    /// unknown keys are passed over, as `c2sp.org/signed-note` asks; a line of a known key that does not
    /// verify condemns the note.
    ///
    /// # Errors
    /// `PROOF_INVALID` (another log, or a false signature), `RECEIPT_MALFORMED` (a line twice),
    /// `UNKNOWN_SIGNER` (no known log, or no known cosigner at all), `QUORUM_NOT_MET`.
    pub fn verify(&self, signed: &SignedCheckpoint) -> Result<Vec<Cosigner>, Refusal> {
        let checkpoint = &signed.checkpoint;
        self.check_origin(checkpoint)?;
        let mut seen = BTreeSet::new();
        let mut logs = 0_usize;
        let mut strangers = BTreeSet::new();
        let mut cosigned: Vec<(usize, Cosigner)> = Vec::new();
        for line in &signed.lines {
            let log = self.logs.iter().find(|key| key.owns(line));
            let witness = self.witnesses.iter().position(|witness| witness.key.owns(line));
            let Some(key) = log.or(witness.map(|at| &self.witnesses[at].key)) else {
                strangers.insert(line.name.as_str());
                continue;
            };
            if !seen.insert((&line.name, line.key_id)) {
                let detail = format!("two signature lines of {}", line.name);
                return Err(Refusal::new(Code::ReceiptMalformed, detail));
            }
            let Some(holds) = key.verify(checkpoint, line) else {
                let detail = format!("the signature of {} does not verify", line.name);
                return Err(Refusal::new(Code::ProofInvalid, detail));
            };
            match (holds, witness) {
                (Holds::Cosigned { time_s }, Some(at)) => {
                    cosigned.push((at, Cosigner { name: line.name.clone(), time_s }))
                }
                _ => logs += 1,
            }
        }
        if logs == 0 {
            let detail = format!("no line of a trusted log under {}", self.origin);
            return Err(Refusal::new(Code::UnknownSigner, detail));
        }
        self.count(cosigned, &strangers)
    }

    /// Judges the signatures of a COSE receipt as [`Self::verify`] judges cosignatures. No log's line is among them:
    /// a quorum of validators says the same.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_roots(
        &self,
        checkpoint: &Checkpoint,
        signatures: &[RootSignature],
    ) -> Result<Vec<Cosigner>, Refusal> {
        self.check_origin(checkpoint)?;
        let mut strangers = BTreeSet::new();
        let mut cosigned: Vec<(usize, Cosigner)> = Vec::new();
        for one in signatures {
            let Some(at) = self
                .witnesses
                .iter()
                .position(|witness| witness.key.name == one.cosigner && witness.key.key_id() == one.key_id)
            else {
                strangers.insert(one.cosigner.as_str());
                continue;
            };
            if cosigned.iter().any(|(other, _)| *other == at) {
                return Err(Refusal::new(
                    Code::ReceiptMalformed,
                    format!("two signatures of {}", one.cosigner),
                ));
            }
            let cosigner = &self.witnesses[at].key;
            let statement = RootStatement::new(checkpoint, cosigner, one.time_s);
            if !cosigner.key.verify(&statement, &one.signature) {
                let detail = format!("the signature of {} does not verify", one.cosigner);
                return Err(Refusal::new(Code::ProofInvalid, detail));
            }
            cosigned.push((at, Cosigner { name: one.cosigner.clone(), time_s: one.time_s }));
        }
        self.count(cosigned, &strangers)
    }

    fn check_origin(&self, checkpoint: &Checkpoint) -> Result<(), Refusal> {
        if checkpoint.origin == self.origin {
            return Ok(());
        }
        let detail = format!("checkpoint of {}, trusted is {}", checkpoint.origin, self.origin);
        Err(Refusal::new(Code::ProofInvalid, detail))
    }

    /// The cosigners whose signatures held, in the order of the policy, when they are enough.
    fn count(
        &self,
        mut cosigned: Vec<(usize, Cosigner)>,
        strangers: &BTreeSet<&str>,
    ) -> Result<Vec<Cosigner>, Refusal> {
        let have: BTreeSet<usize> = cosigned.iter().map(|(at, _)| *at).collect();
        if self.met(self.quorum, &have) {
            cosigned.sort_by_key(|(at, _)| *at);
            return Ok(cosigned.into_iter().map(|(_, cosigner)| cosigner).collect());
        }
        let strangers: Vec<&str> = strangers.iter().copied().collect();
        if have.is_empty() && !strangers.is_empty() {
            let detail = format!("signed by {} only, none of whom is trusted", strangers.join(", "));
            return Err(Refusal::new(Code::UnknownSigner, detail));
        }
        let need =
            self.threshold().map_or_else(|| "the quorum".to_owned(), |(need, of)| format!("{need} of {of}"));
        let mut detail = format!("{} valid cosignatures of known validators, needs {need}", have.len());
        if !strangers.is_empty() {
            detail.push_str("; unknown: ");
            detail.push_str(&strangers.join(", "));
        }
        Err(Refusal::new(Code::QuorumNotMet, detail))
    }

    fn met(&self, member: Member, have: &BTreeSet<usize>) -> bool {
        match member {
            Member::Witness(at) => have.contains(&at),
            Member::Group(at) => {
                let group = &self.groups[at];
                group.members.iter().filter(|member| self.met(**member, have)).count() >= group.threshold
            }
        }
    }

    /// The policy in the text form of `c2sp.org/tlog-policy`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if let (Some(chain_id), Some(epoch)) = (self.chain_id, self.epoch) {
            text.push_str(&format!("# City Ledger chain {chain_id}, validators of epoch {epoch}\n"));
        }
        for log in &self.logs {
            text.push_str(&format!("log {log}\n"));
        }
        for witness in &self.witnesses {
            text.push_str(&format!("witness {} {}\n", witness.name, witness.key));
        }
        for group in &self.groups {
            text.push_str(&format!("group {} {}", group.name, group.threshold));
            for member in &group.members {
                text.push(' ');
                text.push_str(self.member_name(*member));
            }
            text.push('\n');
        }
        text.push_str(&format!("quorum {}\n", self.member_name(self.quorum)));
        text
    }

    fn member_name(&self, member: Member) -> &str {
        match member {
            Member::Witness(at) => &self.witnesses[at].name,
            Member::Group(at) => &self.groups[at].name,
        }
    }

    /// Reads a policy. All logs must share one origin, and a quorum is required: a policy that believes a
    /// log without cosigners is no use here.
    ///
    /// # Errors
    /// `TRUST_MISSING`, naming line and flaw.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parser = Parser::default();
        if text.len() > BYTES_MAX {
            return Err(untrusted(0, format!("{} bytes, at most {BYTES_MAX}", text.len())));
        }
        for (at, line) in text.split('\n').enumerate() {
            if line.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}') {
                return Err(untrusted(at + 1, "a control character"));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_some_and(|word| !word.starts_with('#')) {
                parser.line(&words).map_err(|problem| untrusted(at + 1, problem))?;
            }
        }
        parser.finish()
    }
}

fn untrusted(line: usize, problem: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::TrustMissing, format!("trust file, line {line}: {problem}"))
}

#[derive(Default)]
struct Parser {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

impl Parser {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match *words {
            ["log", key] | ["log", key, _] => {
                let key = verifier(key, NoteKind::Log)?;
                if self.logs.iter().any(|log| log.key == key.key) {
                    return Err("the same log key twice".to_owned());
                }
                if self.logs.first().is_some_and(|log| log.name != key.name) {
                    return Err(format!("logs of two origins, {} and {}", self.logs[0].name, key.name));
                }
                room(self.logs.len())?;
                self.logs.push(key);
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                let key = verifier(key, NoteKind::Cosignature)?;
                if self.witnesses.iter().any(|witness| witness.key.key == key.key) {
                    return Err("the same witness key twice".to_owned());
                }
                self.unused(name)?;
                room(self.witnesses.len())?;
                self.witnesses.push(Witness { name: name.to_owned(), key });
            }
            ["group", name, threshold, ref members @ ..] => {
                self.unused(name)?;
                room(self.groups.len())?;
                let members: Vec<Member> =
                    members.iter().map(|member| self.member(member)).collect::<Result<_, _>>()?;
                if members.iter().collect::<BTreeSet<_>>().len() != members.len() {
                    return Err("a member twice".to_owned());
                }
                let count = members.len();
                let threshold = match threshold {
                    "all" => count,
                    "any" => 1,
                    number => number.parse().map_err(|_| format!("{number:?} is no threshold"))?,
                };
                if threshold == 0 || threshold > count {
                    return Err(format!("threshold {threshold} of {count} members"));
                }
                self.groups.push(Group { name: name.to_owned(), threshold, members });
            }
            ["quorum", "none"] => return Err("quorum none would believe a log without cosigners".to_owned()),
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err("a second quorum".to_owned());
                }
                self.quorum = Some(self.member(name)?);
            }
            _ => return Err(format!("{:?} is no policy line", words[0])),
        }
        Ok(())
    }

    fn unused(&self, name: &str) -> Result<(), String> {
        if name == "none" || self.member(name).is_ok() {
            return Err(format!("the name {name} twice, or reserved"));
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Result<Member, String> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name).map(Member::Witness);
        let group = || self.groups.iter().position(|group| group.name == name).map(Member::Group);
        witness.or_else(group).ok_or_else(|| format!("{name} is not defined above"))
    }

    fn finish(self) -> Result<TrustPolicy, Refusal> {
        let missing = |what: &str| Refusal::new(Code::TrustMissing, format!("trust file: no {what} line"));
        let origin = self.logs.first().map(|log| log.name.clone()).ok_or_else(|| missing("log"))?;
        let quorum = self.quorum.ok_or_else(|| missing("quorum"))?;
        Ok(TrustPolicy {
            origin,
            chain_id: None,
            epoch: None,
            logs: self.logs,
            witnesses: self.witnesses,
            groups: self.groups,
            quorum,
        })
    }
}

fn room(count: usize) -> Result<(), String> {
    if count < ENTRIES_MAX { Ok(()) } else { Err(format!("more than {ENTRIES_MAX} entries of one kind")) }
}

fn verifier(text: &str, kind: NoteKind) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|error| format!("{error}"))?;
    if key.kind == kind {
        Ok(key)
    } else {
        Err(format!("key {} signs as {:?}, wanted {kind:?}", key.name, key.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::test_support::{committee, secret};
    use crate::crypto::Digest;

    fn chain_id() -> ChainId {
        ChainId::new(Digest::tagged(b"chain", &[]))
    }

    fn policy(n: usize) -> TrustPolicy {
        TrustPolicy::from_committee("test", chain_id(), &committee(n))
    }

    fn signed(answering: usize, cosigners: &[usize]) -> SignedCheckpoint {
        let origin = origin("test", &chain_id());
        let checkpoint = Checkpoint { origin, size: 7, root: Digest::tagged(b"root", &[]) };
        let mut lines = vec![checkpoint.sign(&secret(3, answering))];
        for &ix in cosigners {
            let key = secret(3, ix);
            lines.push(checkpoint.cosign(100 + ix as u64, &key).line(&format!("v{ix}"), &key.public()));
        }
        SignedCheckpoint { checkpoint, lines }
    }

    fn code(result: Result<Vec<Cosigner>, Refusal>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn a_quorum_is_enough_and_one_fewer_is_not() {
        for (n, q) in [(4, 3), (5, 4), (7, 5), (10, 7)] {
            let policy = policy(n);
            assert_eq!(policy.threshold(), Some((q, n)));
            let all: Vec<usize> = (0..q).rev().collect();
            let cosigners = policy.verify(&signed(n - 1, &all)).unwrap();
            assert_eq!(cosigners.len(), q, "n={n}");
            assert_eq!(cosigners[1], Cosigner { name: "v1".into(), time_s: 101 });
            assert_eq!(code(policy.verify(&signed(0, &all[1..]))), Code::QuorumNotMet, "n={n}");
        }
    }

    #[test]
    fn each_flaw_has_its_code() {
        let policy = policy(4);
        let mut twice = signed(0, &[0, 1]);
        twice.lines.push(twice.lines[2].clone());
        assert_eq!(code(policy.verify(&twice)), Code::ReceiptMalformed);
        let mut forged = signed(0, &[0, 1, 2, 3]);
        forged.lines[4].blob[20] ^= 1;
        assert_eq!(code(policy.verify(&forged)), Code::ProofInvalid);
        assert_eq!(code(policy.verify(&signed(9, &[0, 1, 2]))), Code::UnknownSigner);
        assert_eq!(code(policy.verify(&signed(0, &[7, 8, 9]))), Code::UnknownSigner);
        let strangers = policy.verify(&signed(0, &[0, 1, 9])).unwrap_err();
        assert_eq!(strangers.code, Code::QuorumNotMet);
        assert!(strangers.detail.contains("unknown: v9"), "{strangers}");
        let mut no_log = signed(0, &[0, 1, 2]);
        no_log.lines.remove(0);
        assert_eq!(code(policy.verify(&no_log)), Code::UnknownSigner);
        let mut elsewhere = signed(0, &[0, 1, 2]);
        elsewhere.checkpoint.origin.push('0');
        assert_eq!(code(policy.verify(&elsewhere)), Code::ProofInvalid);
        // A stranger's line beside a quorum changes nothing.
        policy.verify(&signed(0, &[0, 1, 2, 9])).unwrap();
    }

    #[test]
    fn a_policy_is_read_as_it_was_written() {
        let policy = policy(7);
        let text = policy.to_text();
        let read = TrustPolicy::parse(&text).unwrap();
        assert_eq!(read, TrustPolicy { chain_id: None, epoch: None, ..policy });
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), read.to_text().lines().collect::<Vec<_>>());
        read.verify(&signed(6, &[0, 1, 2, 3, 4])).unwrap();
    }

    #[test]
    fn nested_groups_are_judged() {
        let flat = policy(4).to_text();
        let head: String = flat
            .lines()
            .filter(|line| line.starts_with(['l', 'w']))
            .map(|line| format!("{line}\n"))
            .collect();
        let policy = TrustPolicy::parse(&format!(
            "{head}group a any v0 v1\n group\tb all v2 v3 \n\n# note\ngroup c 2 a b\nquorum c\n"
        ))
        .unwrap();
        assert_eq!(policy.threshold(), None);
        policy.verify(&signed(0, &[1, 2, 3])).unwrap();
        assert_eq!(code(policy.verify(&signed(0, &[0, 1, 2]))), Code::QuorumNotMet);
        let single = TrustPolicy::parse(&format!("{head}quorum v2\n")).unwrap();
        assert_eq!(single.threshold(), Some((1, 1)));
        single.verify(&signed(0, &[2])).unwrap();
        assert_eq!(code(single.verify(&signed(0, &[0, 1, 3]))), Code::QuorumNotMet);
    }

    #[test]
    fn a_policy_that_cannot_be_trusted_says_why() {
        let good = policy(4).to_text();
        let other = TrustPolicy::from_committee("other", chain_id(), &committee(5)).to_text();
        let other_log = other.lines().nth(5).unwrap();
        let log = good.lines().nth(1).unwrap();
        for (bad, says) in [
            ("".to_owned(), "no log"),
            (good.replace("quorum validators", ""), "no quorum"),
            (good.replace("quorum validators", "quorum none"), "without cosigners"),
            (format!("{good}quorum validators\n"), "second quorum"),
            (good.replace("validators 3", "validators 5"), "threshold 5 of 4"),
            (good.replace("validators 3", "validators 0"), "threshold 0"),
            (good.replace("v0 v1", "v0 v0"), "a member twice"),
            (good.replace("v0 v1", "v0 v9"), "v9 is not defined"),
            (format!("{log}\n{good}"), "log key twice"),
            (format!("{other_log}\n{good}"), "two origins"),
            (good.replace("witness v1", "witness v0"), "the name v0 twice"),
            (good.replace("log ", "lag "), "no policy line"),
            (good.replace("witness v0 ", "log "), "wanted Log"),
            (good.replace('\n', "\r\n"), "control character"),
        ] {
            let refusal = TrustPolicy::parse(&bad).unwrap_err();
            assert_eq!(refusal.code, Code::TrustMissing);
            assert!(refusal.detail.contains(says), "{says}: {refusal}");
        }
    }
}
