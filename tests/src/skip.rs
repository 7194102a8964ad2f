//! A test that cannot run here says so by name.
//!
//! The test harness knows no "skipped at run time" and hides what a passing test prints. So a test
//! that lacks something calls [`skip`] and returns; besides printing, the call leaves a line in the
//! file named by `CITY_SKIP_LOG`, and `make test` closes with those lines and takes them off the
//! count of passed tests.
//!
//! ```no_run
//! # use city_tests::skip;
//! fn receipts_satisfy_a_foreign_verifier() {
//!     if std::process::Command::new("python3").arg("--version").output().is_err() {
//!         return skip("receipts_satisfy_a_foreign_verifier", "there is no python3 here");
//!     }
//!     // ...
//! }
//! # receipts_satisfy_a_foreign_verifier();
//! ```

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Records that the test `name` did not run, and why. Call it once per test, then return.
///
/// # Panics
/// When the log cannot be written: a skip nobody hears of would read as a pass.
pub fn skip(name: &str, reason: &str) {
    let line = line(name, reason);
    print!("{line}");
    if let Some(log) = std::env::var_os("CITY_SKIP_LOG").filter(|log| !log.is_empty())
        && let Err(err) = append(&log, &line)
    {
        panic!("failed to note a skipped test in {}: {err}", Path::new(&log).display());
    }
}

/// One line, whatever the reason holds: the log is read line by line.
fn line(name: &str, reason: &str) -> String {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("skipped: {name}: {reason}\n")
}

/// One `write` of one short line in append mode, so that test processes side by side do not mix.
fn append(log: &OsStr, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(log)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_several_lines_stays_one_line() {
        assert_eq!(line("story", "no\n  python3 \t here\n"), "skipped: story: no python3 here\n");
    }

    #[test]
    fn lines_of_several_tests_all_arrive() {
        let log = std::env::temp_dir().join(format!("city-skip-{}", std::process::id()));
        let _ = std::fs::remove_file(&log);
        std::thread::scope(|scope| {
            for i in 0..8 {
                let log = &log;
                scope.spawn(move || append(log.as_os_str(), &line(&format!("test_{i}"), "because")).unwrap());
            }
        });
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        let expected: Vec<_> = (0..8).map(|i| format!("skipped: test_{i}: because")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error() {
        assert!(append(OsStr::new("/nonexistent/skips"), "skipped: a: b\n").is_err());
    }
}
