//! How validators agree on one order of batches, as a state machine without I/O.
//!
//! Planned; `docs/protocol.md` holds the protocol and its rules.
