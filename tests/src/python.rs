//! Python with packages of PyPI, for software of others that judges ours.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An interpreter with the packages that `tests/foreign/requirements.txt` names: what others made to judge logs, receipts,
/// signatures, schemas and alerts.
///
/// # Errors
/// As [`interpreter`].
pub fn judges() -> Result<PathBuf, String> {
    // The name changes with the list.
    interpreter("judges-6", &Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/requirements.txt"))
}

/// An interpreter with what the requirements name, made once per machine under this name, or why there is none.
///
/// # Errors
/// When Python has no `venv` here or PyPI cannot be reached; the text says which.
pub fn interpreter(name: &str, requirements: &Path) -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME is set")?
        .join("city-ledger");
    let ready = cache.join(format!("venv-{name}"));
    let program = |venv: &Path| venv.join("bin/python");
    if program(&ready).exists() {
        return Ok(program(&ready));
    }
    // Built beside its place and moved there when complete, so that an interrupted install leaves nothing.
    let building = cache.join(format!("venv-{name}.{}", std::process::id()));
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let made = Command::new("python3").args(["-m", "venv"]).arg(&building).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return Err("python3 with its venv module is not installed".to_owned());
    }
    let installed = Command::new(program(&building))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--ignore-requires-python",
            "-r",
        ])
        .arg(requirements)
        .output()
        .map_err(|error| error.to_string())?;
    if !installed.status.success() {
        let _ = std::fs::remove_dir_all(&building);
        return Err("PyPI cannot be reached".to_owned());
    }
    if std::fs::rename(&building, &ready).is_err() {
        // Another run was faster; its copy is as good.
        let _ = std::fs::remove_dir_all(&building);
    }
    Ok(program(&ready))
}
