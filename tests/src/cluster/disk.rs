//! A disk of the tests' own: an ext4 file system in a file, whose power can be cut and whose room can run out.
//!
//! Cutting the power is the file system's own `EXT4_IOC_SHUTDOWN` without a flush of its journal: what was not synced
//! is gone, and nothing more is written, as when the plug is pulled. A killed process does not show that: the kernel
//! still writes what it was given. Needs root, loop devices and mkfs.ext4.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Node;

/// How often the room that is left is measured and taken, while a process takes of it too.
const FILL_TRIES: usize = 32;
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, in a language that needs no leave for it.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A mounted disk.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes a disk of so many MiB in a folder and mounts it there.
    ///
    /// # Errors
    /// When this machine does not allow it, and why.
    pub fn make(folder: &Path, mib: u64) -> Result<Self, String> {
        let (image, at) = (folder.join("disk.img"), folder.join("disk"));
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib * 1024 * 1024).map_err(|error| error.to_string())?;
        // No blocks kept for root, who runs the tests.
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))?;
        mount(&image, &at)?;
        Ok(Self { image, at })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Moves a stopped node's data directory here.
    ///
    /// # Panics
    /// When it runs, or cannot be moved.
    pub fn take(&self, node: &mut Node) {
        assert!(!node.up(), "{} runs", node.name);
        let (data, here) = (node.data(), self.at.join(&node.name));
        let moved = Command::new("cp").arg("-a").arg(&data).arg(&here).status();
        assert!(moved.is_ok_and(|status| status.success()), "moving {}", data.display());
        run(Command::new("sync").arg("-f").arg(&here)).expect("what was moved is on the disk");
        std::fs::remove_dir_all(&data).expect("what was moved");
        std::os::unix::fs::symlink(&here, &data).expect("a name for it");
    }

    /// Cuts the power. Every write fails from here on, for those who still run.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn lose_power(&self) {
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.at)).expect("a power cut");
    }

    /// Switches it on again, once nobody has a file open on it.
    ///
    /// # Panics
    /// When somebody has, or it cannot be mounted.
    pub fn restart(&self) {
        run(Command::new("umount").arg(&self.at)).expect("nobody uses the disk");
        mount(&self.image, &self.at).expect("the disk is mounted again");
    }

    /// Takes all room that is left but so many KiB, with a file of this name; gives the file.
    ///
    /// # Panics
    /// When the disk cannot be written for another reason.
    pub fn fill(&self, name: &str, spare_kib: u64) -> PathBuf {
        let ballast = self.at.join(name);
        std::fs::File::create(&ballast).expect("ballast");
        for _ in 0..FILL_TRIES {
            let size = self.free_kib().saturating_sub(spare_kib);
            if size == 0 {
                return ballast;
            }
            // A process that runs may take room in between: then there is less to take.
            if run(Command::new("fallocate").args(["-l", &format!("{size}K")]).arg(&ballast)).is_ok() {
                return ballast;
            }
        }
        panic!("{}: room was taken {FILL_TRIES} times while it was filled", self.at.display());
    }

    fn free_kib(&self) -> u64 {
        let free = run(Command::new("df").args(["--output=avail", "-k"]).arg(&self.at)).expect("its room");
        let free = String::from_utf8_lossy(&free.stdout);
        free.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, should a process that a failed test left still have it open.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(image: &Path, at: &Path) -> Result<(), String> {
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at)).map(|_| ())
}

fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
