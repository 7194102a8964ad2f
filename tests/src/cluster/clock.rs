//! Another wall clock for processes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a library that, loaded with `LD_PRELOAD`, moves a program's wall clock by so many seconds; its monotonic clock
/// stays. No process may run with the one that was compiled in the same folder before.
///
/// # Errors
/// Why not, where there is no C compiler.
pub fn shifted(dir: &Path, seconds: i64) -> Result<PathBuf, String> {
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cluster/clock.c");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]).arg(format!("-DSHIFT_S=({seconds}LL)"));
    let output =
        command.arg("-o").arg(&library).arg(source).output().map_err(|error| format!("cc: {error}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
