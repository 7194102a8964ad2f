//! What makes one validator slow, by the means that this machine permits.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;

use super::BenchResult;
use crate::cluster::{Cluster, Starved, program};

/// How long each synced write of a slow disk takes more, in milliseconds.
const SYNC_DELAY_MS: u64 = 500;
/// Of this much time a starved validator gets a tenth of one core, in microseconds.
const PERIOD_US: u64 = 100_000;
/// That tenth.
const QUOTA_US: u64 = PERIOD_US / 10;

/// What is the matter with one validator of four.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Fault {
    /// Killed for good
    Crashed,
    /// Stopped, its connections open
    Frozen,
    /// A tenth of one core
    Starved,
    /// Half a second more for every synced write
    SlowDisk,
}

/// A fault that lasts until this is dropped, or its network is.
#[derive(Debug)]
pub(super) struct Inflicted {
    /// How it was done, for the table.
    pub(super) means: String,
    _starved: Option<Starved>,
    _group: Option<Group>,
}

impl Fault {
    /// Name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crashed => "slow-crashed",
            Self::Frozen => "slow-frozen",
            Self::Starved => "slow-starved",
            Self::SlowDisk => "slow-disk",
        }
    }

    /// Does it to a validator that runs and votes.
    pub(super) fn inflict(self, cluster: &mut Cluster, victim: usize) -> BenchResult<Inflicted> {
        let mut done = Inflicted { means: String::new(), _starved: None, _group: None };
        match self {
            Self::Crashed => {
                cluster.nodes[victim].kill();
                "kill -9".clone_into(&mut done.means);
            }
            Self::Frozen => {
                cluster.nodes[victim].signal("STOP");
                "SIGSTOP".clone_into(&mut done.means);
            }
            Self::Starved => match Group::around(cluster.nodes[victim].pid().unwrap_or(0)) {
                Ok(group) => {
                    done.means =
                        format!("cgroup: {QUOTA_US} us of every {PERIOD_US} us, {}", group.0.display());
                    done._group = Some(group);
                }
                Err(why) => {
                    let (on, off) =
                        (Duration::from_micros(QUOTA_US), Duration::from_micros(PERIOD_US - QUOTA_US));
                    done.means =
                        format!("SIGSTOP for {off:?}, SIGCONT for {on:?} in turns (no cgroup: {why})");
                    done._starved = Some(Starved::of(&cluster.nodes[victim], off, on));
                }
            },
            Self::SlowDisk => {
                let wrapper = slow_disk(cluster.dir())?;
                cluster.nodes[victim].kill();
                cluster.nodes[victim].use_program(&wrapper);
                cluster.nodes[victim].start();
                cluster.wait_one_voting(victim);
                done.means = format!("strace: {SYNC_DELAY_MS} ms after every fsync and fdatasync");
            }
        }
        Ok(done)
    }
}

/// A control group with a tenth of a core. Removed on drop, its process put back.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    fn around(pid: u32) -> BenchResult<Self> {
        let name = format!("city-bench-{}", std::process::id());
        let (first, second) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        let (root, settings) = if first.join("cpu.cfs_quota_us").exists() {
            let settings = vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", QUOTA_US.to_string()),
            ];
            (first, settings)
        } else {
            (second, vec![("cpu.max", format!("{QUOTA_US} {PERIOD_US}"))])
        };
        let group = Self(root.join(name));
        std::fs::create_dir(&group.0)?;
        for (file, value) in settings {
            std::fs::write(group.0.join(file), value)?;
        }
        std::fs::write(group.0.join("cgroup.procs"), pid.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let procs = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            let _ = std::fs::write(self.0.with_file_name("cgroup.procs"), pid);
        }
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("city-bench: {}: {error}", self.0.display());
        }
    }
}

/// A program that becomes `city-node` with slow synced writes: the tracer runs beside it, so that the process keeps
/// its number and dies like any other.
fn slow_disk(dir: &Path) -> BenchResult<PathBuf> {
    let strace = format!(
        "strace -D -qq -f --seccomp-bpf -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_exit={} -o /dev/null",
        SYNC_DELAY_MS * 1000
    );
    let probe = Command::new("sh").args(["-c", &format!("exec {strace} true")]).stdin(Stdio::null()).output();
    let probe = probe?;
    if !probe.status.success() {
        let said = String::from_utf8_lossy(&probe.stderr);
        return Err(
            format!("strace may not trace here, and nothing else delays synced writes: {said}").into()
        );
    }
    let wrapper = dir.join("city-node-slow-disk");
    std::fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec {strace} '{}' \"$@\"\n", program("city-node").display()),
    )?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    Ok(wrapper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// How long a shell script takes.
    fn took(script: &Path, of: &[&str]) -> Duration {
        let start = Instant::now();
        assert!(Command::new(script).args(of).status().unwrap().success());
        start.elapsed()
    }

    #[test]
    fn synced_writes_are_delayed_where_strace_may_trace() {
        let dir = tempfile::tempdir().unwrap();
        let Err(why) = slow_disk(dir.path()).map(|wrapper| {
            // `dd` in place of the node: the wrapper's own line, another program.
            let text = std::fs::read_to_string(&wrapper).unwrap();
            let node = program("city-node");
            std::fs::write(&wrapper, text.replace(&format!("'{}'", node.display()), "dd")).unwrap();
            let file = format!("of={}", dir.path().join("file").display());
            let of = ["if=/dev/zero", &file, "bs=512", "count=1", "conv=fsync", "status=none"];
            assert!(took(&wrapper, &of) >= Duration::from_millis(SYNC_DELAY_MS));
        }) else {
            return;
        };
        crate::skip("synced_writes_are_delayed_where_strace_may_trace", &why.to_string());
    }

    #[test]
    fn a_group_holds_its_process_to_a_tenth_of_a_core() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let judged = match Group::around(busy.id()) {
            Err(why) => {
                crate::skip("a_group_holds_its_process_to_a_tenth_of_a_core", &why.to_string());
                Ok(())
            }
            Ok(group) => {
                std::thread::sleep(Duration::from_secs(2));
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", busy.id())).unwrap();
                // User time, in hundredths of a second.
                let used: u64 = stat.split_whitespace().nth(13).unwrap().parse().unwrap();
                let path = group.0.clone();
                drop(group);
                if path.exists() {
                    Err(format!("{} is left", path.display()))
                } else if used > 60 {
                    Err(format!("{used} hundredths of a second of two"))
                } else {
                    Ok(())
                }
            }
        };
        busy.kill().unwrap();
        busy.wait().unwrap();
        judged.unwrap();
    }
}
