//! Ctrl-C ends a measurement at once and the network in an orderly way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::BenchResult;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Catches the first Ctrl-C; a second ends the program.
pub(super) fn install() -> BenchResult {
    let flag = ASKED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Whether Ctrl-C was pressed.
pub(super) fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An error when it was.
pub(super) fn check() -> BenchResult {
    if asked() { Err("interrupted".into()) } else { Ok(()) }
}
