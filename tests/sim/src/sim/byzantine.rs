//! Validators that lie. Each runs the real engine, and a [`Liar`] stands between it and the network: it
//! alters, withholds, delays and invents what leaves. It holds its own key and nobody else's.
//!
//! One file per kind. What the others owe in spite of them is checked by the same observer as ever.

mod claims;
mod equivocate;
mod forge;
mod garbage;
mod select;
mod slow;
mod stale;
mod sync;
mod withhold;

use chain_core::id::{ChainId, ValidatorIx, View};
use consensus::signer::Signer;
use serde::{Deserialize, Serialize};

use super::disk::Tables;
use super::parcel::Parcel;
use super::random::Random;

/// A way to lie.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// Signs two blocks, two votes and two batches for one place.
    Equivocate,
    /// Keeps back batches, proposals or votes.
    Withhold,
    /// Speaks to exactly as many as make a quorum.
    Select,
    /// Repeats old messages of its own.
    Stale,
    /// Sends messages with impossible numbers and broken signatures.
    Garbage,
    /// Sends each proposal just before the others lose patience.
    Slow,
    /// Claims heights, executions and views that it does not have.
    Claims,
    /// Answers requests for blocks wrongly.
    Sync,
    /// Proposes blocks that break a rule.
    Forge,
}

impl Lie {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::Equivocate,
        Self::Withhold,
        Self::Select,
        Self::Stale,
        Self::Garbage,
        Self::Slow,
        Self::Claims,
        Self::Sync,
        Self::Forge,
    ];

    /// A liar of this kind.
    pub fn liar(self) -> Box<dyn Liar> {
        match self {
            Self::Equivocate => Box::new(equivocate::Equivocate::default()),
            Self::Withhold => Box::new(withhold::Withhold::default()),
            Self::Select => Box::new(select::Select::default()),
            Self::Stale => Box::new(stale::Stale::default()),
            Self::Garbage => Box::new(garbage::Garbage::default()),
            Self::Slow => Box::new(slow::Slow),
            Self::Claims => Box::new(claims::Claims),
            Self::Sync => Box::new(sync::Sync),
            Self::Forge => Box::new(forge::Forge::default()),
        }
    }
}

/// What a liar can use.
pub struct Hand<'a> {
    /// Its index.
    pub me: ValidatorIx,
    /// Its node.
    pub seat: usize,
    /// Nodes in all.
    pub seats: usize,
    /// Votes that decide.
    pub quorum: usize,
    /// The chain.
    pub chain_id: ChainId,
    /// The view its engine is in.
    pub view: View,
    /// Its own key.
    pub signer: &'a dyn Signer,
    /// Its own store.
    pub tables: &'a Tables,
    /// Its chances.
    pub random: &'a mut Random,
    /// Virtual time, microseconds.
    pub now_us: u64,
}

impl Hand<'_> {
    /// Every other node.
    pub fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let seat = self.seat;
        (0..self.seats).filter(move |one| *one != seat)
    }
}

/// Something a liar sends.
#[derive(Debug)]
pub struct Spoken {
    /// To which node.
    pub to: usize,
    /// What.
    pub parcel: Parcel,
    /// How much later, microseconds.
    pub later_us: u64,
}

impl Spoken {
    /// Sends it now.
    pub fn now(to: usize, parcel: Parcel) -> Self {
        Self { to, parcel, later_us: 0 }
    }
}

/// Stands between an engine and the network.
pub trait Liar: std::fmt::Debug + Send {
    /// What is sent in place of a parcel that the engine wants to send to these nodes.
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken>;

    /// What it sends on its own, asked four times a second.
    fn idle(&mut self, _hand: &mut Hand<'_>) -> Vec<Spoken> {
        Vec::new()
    }
}

/// The same to everybody, as an honest node does.
fn honestly(to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
    to.iter().map(|to| Spoken::now(*to, parcel.clone())).collect()
}
