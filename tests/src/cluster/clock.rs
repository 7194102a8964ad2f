//! Another wall clock for processes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a library that, loaded with `LD_PRELOAD`, moves a program's wall clock ahead; its monotonic clock stays.
///
/// # Errors
/// Why not, where there is no C compiler.
pub fn ahead(dir: &Path, seconds: u64) -> Result<PathBuf, String> {
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cluster/clock.c");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]).arg(format!("-DAHEAD_S={seconds}LL"));
    let output =
        command.arg("-o").arg(&library).arg(source).output().map_err(|error| format!("cc: {error}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
