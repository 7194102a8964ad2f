//! Starting and stopping `city-node` processes, each by its own id and never by name.
//!
//! A process id alone may be reused after a reboot, so the file holds the start time of the process as well.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chain_core::code::Code;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::{CliError, CliResult};
use crate::files;

use super::layout::{Layout, Validator};

/// How long an orderly stop may take before the process is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The program: `CITY_NODE_BIN`, beside this one, or in PATH.
pub(crate) fn node_program() -> CliResult<PathBuf> {
    if let Some(path) = std::env::var_os("CITY_NODE_BIN").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("city-node")));
    let in_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|folder| folder.join("city-node")).collect::<Vec<_>>());
    let mut places = beside.into_iter().chain(in_path.unwrap_or_default());
    places.find(|path| path.is_file()).ok_or_else(|| CliError::new(Code::NodeProgramMissing, ""))
}

/// Initialises a validator's data directory, once in its life. What `init` did not finish, it completes.
fn initialise(layout: &Layout, validator: &Validator) -> CliResult {
    let done = layout.home(validator).join("initialised");
    if done.exists() {
        return Ok(());
    }
    let output = Command::new(node_program()?)
        .arg("init")
        .arg("--config")
        .arg(layout.config(validator))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CliError::new(Code::NodeProgramMissing, error.to_string()))?;
    if output.status.success() {
        return files::replace(&done, "");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let detail = format!("{} could not be initialised: {}", validator.name, said.trim());
    Err(CliError::new(Code::DevnetState, detail))
}

/// Starts a validator unless it runs.
pub(super) fn start(layout: &Layout, validator: &Validator) -> CliResult {
    if running(layout, validator).is_some() {
        return Ok(());
    }
    for port in [validator.api_port, validator.p2p_port] {
        free(port)?;
    }
    initialise(layout, validator)?;
    let path = layout.log(validator);
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| CliError::file(&path, &error))?;
    let errors = log.try_clone().map_err(|error| CliError::file(&path, &error))?;
    // A group of its own: Ctrl-C in this terminal must not reach the validators.
    let child = Command::new(node_program()?)
        .arg("start")
        .arg("--config")
        .arg(layout.config(validator))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|error| CliError::new(Code::NodeProgramMissing, error.to_string()))?;
    let pid = child.id();
    files::replace(&layout.pid_file(validator), format!("{pid} {}\n", started(pid).unwrap_or(0)))
}

/// The process id of a validator that runs.
pub(super) fn running(layout: &Layout, validator: &Validator) -> Option<u32> {
    let text = std::fs::read_to_string(layout.pid_file(validator)).ok()?;
    let (pid, start) = text.trim().split_once(' ')?;
    let (pid, start) = (pid.parse().ok()?, start.parse::<u64>().ok()?);
    (started(pid) == Some(start)).then_some(pid)
}

/// Asks a validator to stop and waits; kills it when it does not.
pub(super) fn stop(layout: &Layout, validator: &Validator) -> CliResult {
    if let Some(pid) = running(layout, validator) {
        signal(pid, Signal::TERM)?;
        if !gone(layout, validator, STOP_TIMEOUT) {
            signal(pid, Signal::KILL)?;
            gone(layout, validator, Duration::from_secs(5));
        }
    }
    forget(layout, validator)
}

/// Kills a validator as a crash would.
pub(super) fn kill(layout: &Layout, validator: &Validator) -> CliResult {
    let Some(pid) = running(layout, validator) else {
        return Err(CliError::new(Code::DevnetState, format!("{} does not run", validator.name))
            .hint(layout.command(&format!("restart {}", validator.number))));
    };
    signal(pid, Signal::KILL)?;
    gone(layout, validator, Duration::from_secs(5));
    forget(layout, validator)
}

/// The last lines of a validator's log.
pub(super) fn last_words(layout: &Layout, validator: &Validator) -> String {
    let text = std::fs::read(layout.log(validator)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Resident memory of a process, bytes.
pub(super) fn memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Fails with `PORT_IN_USE` when a port is taken.
pub(super) fn free(port: u16) -> CliResult {
    TcpListener::bind(("127.0.0.1", port)).map(drop).map_err(|error| {
        CliError::new(Code::PortInUse, format!("port {port}: {error}")).hint(
            "stop the other program, or start afresh elsewhere: city devnet up --dir D --base-port 7500",
        )
    })
}

/// Start time of a live process in clock ticks since boot; `None` also for one that only awaits its parent.
fn started(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; state and the other fields follow the last one.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn signal(pid: u32, signal: Signal) -> CliResult {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| CliError::internal("process id"))?;
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            Err(CliError::new(Code::DevnetState, format!("process {}: {error}", pid.as_raw_nonzero())))
        }
    }
}

fn gone(layout: &Layout, validator: &Validator, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while running(layout, validator).is_some() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn forget(layout: &Layout, validator: &Validator) -> CliResult {
    let path = layout.pid_file(validator);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file(&path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_process_id_is_not_taken_for_the_validator() {
        let dir = tempfile::tempdir().unwrap();
        let validator = Validator::new(1, "market", "uscc:A", 7100).unwrap();
        let layout = Layout::new(dir.path(), 7100, vec![validator.clone()]).unwrap();
        std::fs::create_dir(layout.home(&validator)).unwrap();
        let mine = std::process::id();
        let start = started(mine).unwrap();
        std::fs::write(layout.pid_file(&validator), format!("{mine} {start}\n")).unwrap();
        assert_eq!(running(&layout, &validator), Some(mine));
        std::fs::write(layout.pid_file(&validator), format!("{mine} {}\n", start + 1)).unwrap();
        assert_eq!(running(&layout, &validator), None);
        assert!(memory(mine).unwrap() > 1_000_000);
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = free(port).unwrap_err();
        assert_eq!(error.code(), Code::PortInUse);
        assert!(error.report().contains(&port.to_string()));
    }
}
