//! What the figures were measured on.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Processor, cores, memory, system, compiler flags.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    system: String,
}

impl Machine {
    /// Reads `/proc`.
    pub(super) fn here() -> Self {
        let of = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib =
            of("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores: cores(),
            memory_mib: kib.unwrap_or(0) / 1024,
            system: format!("Linux {}", kernel.trim()),
        }
    }

    /// One line.
    pub(super) fn text(&self) -> String {
        format!("{}, {} cores, {} MiB, {}", self.cpu, self.cores, self.memory_mib, self.system)
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({ "cpu": self.cpu, "cores": self.cores, "memory_mib": self.memory_mib, "system": self.system })
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Resident memory of a process, in KiB.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes that a folder occupies on its disk, as `du` counts them.
pub(super) fn disk_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(folder).output().ok()?;
    String::from_utf8_lossy(&output.stdout).split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_folders_have_bytes() {
        assert!(resident_kib(std::process::id()).is_some_and(|kib| kib > 100));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), vec![1; 100_000]).unwrap();
        assert!(disk_bytes(folder.path()).is_some_and(|bytes| bytes >= 100_000));
        assert!(Machine::here().cores > 0);
    }
}
