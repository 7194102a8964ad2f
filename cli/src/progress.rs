//! Progress on stderr: a bar on a terminal, else one line every five seconds.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one long step.
#[derive(Debug)]
pub(crate) struct Progress {
    label: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts a step of `total` units.
    pub(crate) fn new(label: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("  {prefix:10} {bar:24} {pos}/{len}  {per_sec}  {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(label);
            bar
        });
        let now = Instant::now();
        Self { label, total, done: 0, started: now, last_line: now, bar }
    }

    /// Sets how much is done, and a remark.
    pub(crate) fn set(&mut self, done: u64, remark: &str) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(remark.to_owned());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("  {} {}/{} {}/s {remark}", self.label, done, self.total, self.rate());
        }
    }

    /// Ends the step with one line.
    pub(crate) fn finish(self, remark: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let space = if remark.is_empty() { "" } else { "   " };
        eprintln!("  {:10} {}/{}  {}/s{space}{remark}", self.label, self.done, self.total, self.rate());
    }

    fn rate(&self) -> u64 {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done.saturating_mul(1000) / ms
    }
}
