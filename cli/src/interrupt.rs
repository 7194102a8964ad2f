//! Ctrl-C: the first asks long commands to stop at a safe place, the second ends the program at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit::Exit;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a first Ctrl-C only sets a flag. Commands that keep state call this before they start.
pub(crate) fn install() {
    let flag = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the shutdown handler sees the flag as it was before this signal.
        let ends = signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(Exit::Interrupted.code()),
            Arc::clone(flag),
        );
        let asks = signal_hook::flag::register(signal, Arc::clone(flag));
        if ends.is_err() || asks.is_err() {
            eprintln!("warning: Ctrl-C cannot be caught here; the journal is safe all the same");
        }
    }
}

/// Asks as Ctrl-C does: the command cannot go on by itself.
pub(crate) fn ask() {
    if let Some(flag) = ASKED.get() {
        flag.store(true, Ordering::Relaxed);
    }
}

/// Whether Ctrl-C was pressed.
pub(crate) fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Sleeps in small steps; `false` when interrupted.
pub(crate) fn sleep(duration: Duration) -> bool {
    let until = std::time::Instant::now() + duration;
    while !asked() {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    false
}
