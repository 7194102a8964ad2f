//! Who may vote in an epoch, and how many of them are enough.

use serde::{Deserialize, Serialize};

use crate::canonical::Writer;
use crate::codec::Wire;
use crate::crypto::{Digest, PublicKey};
use crate::id::{Epoch, ValidatorIx, View};

/// Fewest validators of an epoch.
pub const VALIDATORS_MIN: usize = 4;
/// Most validators of an epoch.
pub const VALIDATORS_MAX: usize = 100;

/// One validator: its name, keys and where to find it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Validator {
    /// Short name, e.g. `market-regulation`; unique in the set. Also the name of its log cosignatures.
    pub name: String,
    /// Agency that runs it, as an organisation identifier in text form.
    pub agency: String,
    /// Signs proposals, votes and view changes; held by the safety module alone.
    pub consensus_key: PublicKey,
    /// Identity of its libp2p host.
    pub network_key: PublicKey,
    /// Cosigns checkpoints.
    pub log_key: PublicKey,
    /// Where peers dial it, as a multiaddr, e.g. `/ip4/10.0.0.1/tcp/7101`.
    pub address: String,
    /// Whether its turn to lead comes; one that may not still votes.
    pub may_lead: bool,
}

impl Validator {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.name).text(&self.agency);
        writer.public_key(&self.consensus_key).public_key(&self.network_key).public_key(&self.log_key);
        writer.u8(u8::from(self.may_lead));
    }
}

/// The validator set of one epoch; one that was decoded has passed [`Committee::new`] too.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Unchecked")]
pub struct Committee {
    epoch: Epoch,
    validators: Vec<Validator>,
    /// Who leads in turn; follows from the validators.
    #[serde(skip_serializing)]
    turns: Vec<ValidatorIx>,
}

/// A committee as it came from outside.
#[derive(Deserialize)]
struct Unchecked {
    epoch: Epoch,
    validators: Vec<Validator>,
}

impl TryFrom<Unchecked> for Committee {
    type Error = CommitteeError;

    fn try_from(outside: Unchecked) -> Result<Self, Self::Error> {
        Self::new(outside.epoch, outside.validators)
    }
}

impl Wire for Committee {
    const LIMIT: usize = 256 * 1024;
}

/// A validator set that cannot run an epoch.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommitteeError {
    /// Too few or too many.
    #[error("{0} validators, wants {VALIDATORS_MIN} to {VALIDATORS_MAX}")]
    Size(usize),
    /// Two validators share a name or a key.
    #[error("validators {0} and {1} share a name or a key")]
    Shared(ValidatorIx, ValidatorIx),
}

impl Committee {
    /// Checks and wraps a validator set.
    ///
    /// # Errors
    /// When the size is out of bounds or a name or key appears twice.
    pub fn new(epoch: Epoch, validators: Vec<Validator>) -> Result<Self, CommitteeError> {
        if !(VALIDATORS_MIN..=VALIDATORS_MAX).contains(&validators.len()) {
            return Err(CommitteeError::Size(validators.len()));
        }
        for (i, one) in validators.iter().enumerate() {
            for (j, two) in validators.iter().enumerate().skip(i + 1) {
                let keys = [one.consensus_key, one.network_key, one.log_key];
                let shared =
                    [two.consensus_key, two.network_key, two.log_key].iter().any(|key| keys.contains(key));
                if one.name == two.name || shared {
                    return Err(CommitteeError::Shared(index(i), index(j)));
                }
            }
        }
        let turns = turns(&validators);
        Ok(Self { epoch, validators, turns })
    }

    /// The epoch of this set.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All validators in index order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// How many there are: n.
    pub fn size(&self) -> usize {
        self.validators.len()
    }

    /// How many may be faulty: f = ⌊(n−1)/3⌋.
    pub fn faults(&self) -> usize {
        faults(self.size())
    }

    /// How many votes decide: q = ⌈(n+f+1)/2⌉.
    pub fn quorum(&self) -> usize {
        quorum(self.size())
    }

    /// All indices in order.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIx> + use<> {
        (0..self.size()).map(index)
    }

    /// The validator at an index.
    pub fn get(&self, ix: ValidatorIx) -> Option<&Validator> {
        self.validators.get(ix.index())
    }

    /// The index of a consensus key.
    pub fn index_of(&self, consensus_key: &PublicKey) -> Option<ValidatorIx> {
        self.validators.iter().position(|one| one.consensus_key == *consensus_key).map(index)
    }

    /// Who leads in turn, in index order: the members that may lead, or all when those are fewer than 2f+1.
    /// Among 2f+1 at least f+1 are honest, so bad members alone can never fill the turns.
    pub fn leaders(&self) -> &[ValidatorIx] {
        &self.turns
    }

    /// Leader of a view: round-robin over [`Self::leaders`] from a start that the epoch's base digest decides.
    pub fn leader(&self, base: &Digest, view: View) -> ValidatorIx {
        let count = self.turns.len() as u64;
        let turn = (base.prefix_u64() % count + view.get() % count) % count;
        #[expect(clippy::cast_possible_truncation, reason = "less than n, at most 100")]
        let leader = self.turns.get(turn as usize);
        // There is always one: a set has at least four members, and its turns are counted.
        leader.copied().unwrap_or_else(|| index(0))
    }

    /// Digest of the set: epoch, count, then names, agencies, keys and leave to lead in index order. Addresses
    /// are left out, so that a validator may move.
    pub fn hash(&self) -> Digest {
        let mut writer = Writer::new();
        writer.u64(self.epoch.get()).count(self.size());
        for validator in &self.validators {
            validator.write(&mut writer);
        }
        Digest::tagged(b"CL/validators/2", &[&writer.finish()])
    }
}

/// What [`Committee::leaders`] says of a set.
fn turns(validators: &[Validator]) -> Vec<ValidatorIx> {
    let eligible = validators.iter().filter(|one| one.may_lead).count();
    let all = eligible <= 2 * faults(validators.len());
    let members = validators.iter().enumerate();
    members.filter(|(_, one)| all || one.may_lead).map(|(ix, _)| index(ix)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "at most VALIDATORS_MAX")]
fn index(position: usize) -> ValidatorIx {
    ValidatorIx::new(position as u16)
}

/// f = ⌊(n−1)/3⌋.
pub const fn faults(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// q = ⌈(n+f+1)/2⌉: two quorums share an honest validator (2q−n > f) and the honest ones alone reach it
/// (q ≤ n−f), for every n.
pub const fn quorum(n: usize) -> usize {
    (n + faults(n) + 1).div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quorums_always_share_an_honest_validator() {
        for n in VALIDATORS_MIN..=VALIDATORS_MAX {
            let (f, q) = (faults(n), quorum(n));
            assert!(2 * q - n > f, "intersection at n={n}");
            assert!(q <= n - f, "reachable at n={n}");
        }
        assert_eq!([4, 5, 6, 7, 8, 10, 100].map(quorum), [3, 4, 4, 5, 6, 7, 67]);
    }

    #[test]
    fn leaders_go_round() {
        let committee = test_support::committee(4);
        let base = Digest::tagged(b"base", &[]);
        let first = committee.leader(&base, View::ZERO).get();
        for view in 0..9 {
            let leader = committee.leader(&base, View::new(view)).get();
            assert_eq!(u64::from(leader), (u64::from(first) + view) % 4);
        }
    }

    #[test]
    fn who_may_not_lead_is_passed_over_unless_too_few_are_left() {
        let base = Digest::tagged(b"base", &[]);
        // (validators, barred, how many take turns): f is 1, 1 and 2.
        for (n, barred, turns) in [(4, 1, 3), (4, 2, 4), (4, 4, 4), (5, 2, 3), (7, 2, 5), (7, 3, 7)] {
            let mut validators = test_support::committee(n).validators().to_vec();
            validators[1..].iter_mut().take(barred).for_each(|one| one.may_lead = false);
            if barred == n {
                validators[0].may_lead = false;
            }
            let committee = Committee::new(Epoch::ZERO, validators).unwrap();
            let led: Vec<_> = (0..turns).map(|view| committee.leader(&base, View::new(view))).collect();
            let mut sorted = led.clone();
            sorted.sort();
            assert_eq!(sorted, committee.leaders(), "n={n}, {barred} barred");
            assert_eq!(sorted.len() as u64, turns, "n={n}, {barred} barred");
            assert_eq!(committee.leader(&base, View::new(turns)), led[0], "n={n}, {barred} barred");
            assert_ne!(committee.hash(), test_support::committee(n).hash());
        }
    }

    #[test]
    fn a_decoded_set_is_checked() {
        #[derive(Serialize)]
        struct Outside(Epoch, Vec<Validator>);
        let encode = |validators: &[Validator]| {
            let config = bincode::config::standard().with_fixed_int_encoding();
            let outside = Outside(Epoch::ZERO, validators.to_vec());
            let mut bytes = vec![Committee::VERSION];
            bytes.extend(bincode::serde::encode_to_vec(outside, config).unwrap());
            bytes
        };
        let committee = test_support::committee(5);
        let validators = committee.validators();
        assert_eq!(crate::codec::decode(&encode(validators)), Ok(committee.clone()));
        for bad in [&validators[..3], &[], &[validators, &validators[..1]].concat()] {
            assert!(crate::codec::decode::<Committee>(&encode(bad)).is_err(), "{} validators", bad.len());
        }
    }

    #[test]
    fn shared_keys_are_refused() {
        let mut validators = test_support::committee(4).validators().to_vec();
        validators[2].log_key = validators[0].consensus_key;
        let shared = CommitteeError::Shared(ValidatorIx::new(0), ValidatorIx::new(2));
        assert_eq!(Committee::new(Epoch::ZERO, validators), Err(shared));
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use super::*;
    use crate::crypto::SecretKey;

    pub(crate) fn secret(kind: u8, ix: usize) -> SecretKey {
        SecretKey::from_seed(*Digest::tagged(b"test-key", &[&[kind], &ix.to_be_bytes()]).as_bytes())
    }

    pub(crate) fn committee(n: usize) -> Committee {
        let validators = (0..n)
            .map(|ix| Validator {
                name: format!("v{ix}"),
                agency: format!("agency-{ix}"),
                consensus_key: secret(1, ix).public(),
                network_key: secret(2, ix).public(),
                log_key: secret(3, ix).public(),
                address: format!("/ip4/127.0.0.1/tcp/{}", 7000 + ix),
                may_lead: true,
            })
            .collect();
        Committee::new(Epoch::ZERO, validators).unwrap()
    }
}
