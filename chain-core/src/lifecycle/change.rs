//! What happened to a record, and when.

use crate::date::Date;
use crate::id::Height;
use crate::operation::{AmendReason, Effect};
use crate::record::Header;
use crate::state::Status;

/// A version that was filed.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its header.
    pub header: Header,
    /// Why it replaces the one before; none for a first version.
    pub reason: Option<AmendReason>,
    /// The leaf that filed it.
    pub leaf_index: u64,
    /// When it was filed.
    pub filed: Moment,
    /// When it took effect in the ledger; none while it waits, and for one that never did.
    pub in_force: Option<Moment>,
}

/// Where a step stands in the ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// The block.
    pub height: Height,
    /// Its time, milliseconds since 1970; 0 for the genesis.
    pub time_ms: u64,
    /// Its local day.
    pub day: Date,
}

/// What a step changed of how the record holds; what is only filed, or waits, changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// A version took effect.
    InForce(u32),
    /// Put out of effect for a time.
    Suspended,
    /// Put into effect again.
    Resumed,
    /// Ended by the agency.
    Revoked(Effect),
    /// Bodies destroyed.
    Erased,
    /// Publication ended early, or by its date.
    PublicationStopped,
    /// Ended by its date.
    Expired,
    /// Ended with the record that it rested on.
    EndedWithBase,
    /// An alert, by a later one that took its place or called it off.
    Superseded,
    /// A case, closed by the decision on the record that it is about.
    Closed,
    /// Repaired: the conduct was put right.
    Repaired,
    /// The repair was undone.
    RepairUndone,
    /// Bodies disposed of at the end of retention.
    Sealed,
    /// A version that never took effect was refused or taken back.
    Ended(u32, Status),
}
