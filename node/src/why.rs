//! Why the ledger does not move: what validators tell each other about themselves, what is seen of each, and the
//! judgement of it.
//!
//! Once a second each validator tells each other one its release, its clock, whether it votes and why not
//! ([`Health`]). [`Watch`] keeps the newest of that with what the engine and the network see; `judge` turns it
//! into one state per validator and `verdict` into one sentence. Everything here is for people: consensus never
//! looks at it.

pub(crate) mod clock;
mod gather;
pub(crate) mod health;
mod judge;
pub(crate) mod pauses;
mod verdict;
mod watch;

pub(crate) use gather::{diagnosis, recovery, samples};
pub use health::Health;
pub(crate) use watch::{Watch, farewell, talk};

/// The release, as it is told to others. A test build may be told to lie.
pub(crate) fn release() -> String {
    #[cfg(feature = "test-faults")]
    if let Ok(version) = std::env::var("CITY_TEST_VERSION") {
        return version;
    }
    env!("CARGO_PKG_VERSION").to_owned()
}

/// By how much a test build was told to misread the wall clock, in milliseconds.
#[cfg(feature = "test-faults")]
pub(crate) fn clock_error_ms() -> i64 {
    static ERROR: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let told = || std::env::var("CITY_TEST_CLOCK_SKEW_MS").ok()?.parse().ok();
    *ERROR.get_or_init(|| told().unwrap_or(0))
}
