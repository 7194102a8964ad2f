//! CPBFT: a chained, pipelined PBFT with a stable leader, as a pure state machine.
//!
//! [`Engine::handle`] takes an [`Event`] and appends the [`Action`]s that its owner must carry out. It reads
//! no clock, opens no socket, starts no thread. The same engine runs in the node and in the simulator.
//!
//! # Promises
//! With at most f = ⌊(n−1)/3⌋ faulty validators of n:
//! * **Agreement**: no two correct validators deliver different blocks at one height.
//! * **Durability before speech**: no vote leaves before the state it rests on is on disk ([`Action::Send`]
//!   names the write it waits for).
//! * **Progress** after the network heals: the view timeout is capped and views are synchronised by
//!   certificates, not by clocks.
//!
//! # The rules that are proved
//! The durable state of a validator in one epoch is three variables: `last_prepare`, `high_qc`, `vc_view`.
//! * **R1** PREPARE(B) needs: (a) `vc_view ≤ B.view` and rank(B) above `last_prepare`; (b) in one view, votes
//!   form one chain; (c) no ancestor in the same view ended it; (d) the view's first block extends a certified
//!   base that a term end or a timeout certificate justifies; (e) the block is valid and all its data is held.
//! * **R2** COMMIT needs a PREPARE-QC and `vc_view ≤` its view.
//! * **R3** VIEW-CHANGE(w) needs `w > vc_view` and `w > high_qc.view`; it carries `high_qc`.
//! * **R4** q COMMITs finalise a block and all its ancestors.
//! * **R5** `high_qc` only grows; sync, restart and operators never edit the three variables.
//!
//! [`safety`] holds R1-R3 and R5 and is the only holder of the consensus key. [`engine`] holds everything
//! else: when to propose, what to fetch, when to give up on a leader.
//!
//! # Deviations from the published protocols
//! * Blocks are hash-chained, so one certificate replaces PBFT's per-slot prepare certificates, and a view
//!   change carries one certificate (Jolteon's way) instead of a set.
//! * There are no CHECKPOINT messages: the commit certificate of a header certifies the execution root in it.
//! * There is one deadline instead of many timers ([`Engine::deadline`]): a stale timer cannot fire.

pub mod action;
mod chain;
pub mod engine;
pub mod event;
mod lanes;
pub mod message;
#[cfg(not(feature = "mutants"))]
#[allow(dead_code, unreachable_pub, reason = "one shape with and without the feature")]
mod mutant;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod params;
pub mod safety;
pub mod signer;
#[cfg(feature = "spec")]
pub mod spec;
pub mod verified;
mod votes;

pub use action::{Action, Alarm, Notice, Peers, Persist, Write};
pub use engine::{Engine, Restored};
pub use event::{Event, Now};
pub use params::Params;
