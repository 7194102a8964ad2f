//! A validator's disk is full, its syncs fail, or it may open no more files, while records are filed. It stops by itself
//! within seconds with a code and a sentence, signs nothing after the error that it cannot remember, and is back when the
//! cause is gone; the other three go on, and nothing that was acknowledged is lost.
//!
//! `CITY_CYCLES` sets how often each happens (docs/robustness-record.md).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use city_tests::cluster::disk::Disk;
use city_tests::cluster::load::{Load, assert_kept, under_load};
use city_tests::cluster::{Cluster, PATIENCE, wait_for};
use city_tests::skip;

/// The validator that it happens to.
const VICTIM: usize = 2;
/// An error comes to light this soon: not every call needs a new file or more room.
const ERROR_WITHIN: Duration = Duration::from_secs(120);
/// It has stopped this long after the error.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// It votes again this long after its start.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Records between two errors.
const BETWEEN: usize = 10;
/// Room on the victim's disk, MiB.
const ROOM: u64 = 512;
/// What is left of it, KiB, while the victim starts: too little to set room aside for what it will write.
const SPARE: u64 = 8_192;

fn cycles() -> usize {
    std::env::var("CITY_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(2)
}

/// Waits until the victim says that it stops, takes the cause's weight off it with `relieve`, and waits for its end; gives
/// how long it took and what it said.
fn ends(cluster: &mut Cluster, log_before: usize, relieve: impl FnOnce()) -> (Duration, String) {
    let node = &mut cluster.nodes[VICTIM];
    let said =
        |log: &str| log[log_before..].lines().find(|line| line.contains("the node stops")).map(str::to_owned);
    let last = wait_for("the victim says that it stops", ERROR_WITHIN, || said(&node.log()));
    let since = Instant::now();
    relieve();
    let status = node.ended_within(PATIENCE);
    let took = since.elapsed();
    let status = status.unwrap_or_else(|| panic!("{} goes on: {last}", node.name));
    assert_eq!(status.code(), Some(4), "{last}");
    (took, last)
}

/// Starts the victim; gives how long it takes until it votes and has caught up.
fn returns(cluster: &mut Cluster) -> Duration {
    let start = Instant::now();
    cluster.nodes[VICTIM].start();
    cluster.wait_caught_up(VICTIM);
    start.elapsed()
}

/// Lets it happen again and again under load. `fail` brings the error about, `relieve` and `mend` take it away.
fn again_and_again<T>(
    cluster: &mut Cluster,
    what: &str,
    fail: impl Fn(&mut Cluster) -> T,
    relieve: impl Fn(&mut T),
    mend: impl Fn(T),
) {
    let ((), acknowledged) = under_load(cluster, |cluster, load: &Load| {
        let (mut slowest_end, mut slowest_return) = (Duration::ZERO, Duration::ZERO);
        for cycle in 1..=cycles() {
            let seen = load.count();
            wait_for("acknowledged records", PATIENCE, || (load.count() >= seen + BETWEEN).then_some(()));
            let log_before = cluster.nodes[VICTIM].log().len();
            let mut cause = fail(cluster);
            let (took, said) = ends(cluster, log_before, || relieve(&mut cause));
            assert!(said.contains("STORAGE_FAILED"), "{said}");
            assert!(took <= STOPS_WITHIN, "{what} {cycle}: ended after {took:?}");
            // The others do not need it.
            let seen = load.count();
            wait_for("records without it", PATIENCE, || (load.count() >= seen + BETWEEN).then_some(()));
            mend(cause);
            let back = returns(cluster);
            assert!(back <= BACK_WITHIN, "{what} {cycle}: back after {back:?}");
            (slowest_end, slowest_return) = (slowest_end.max(took), slowest_return.max(back));
            println!("{what} {cycle}: ended after {took:?}, back after {back:?}: {said}");
        }
        println!(
            "{what}: {} times, slowest end {slowest_end:?}, slowest return {slowest_return:?}",
            cycles()
        );
    });
    assert_kept(cluster, &acknowledged);
    cluster.assert_clean();
}

#[test]
fn a_full_disk_stops_a_validator_until_there_is_room() {
    let mut cluster = Cluster::made();
    let disk = match Disk::make(cluster.dir(), ROOM) {
        Ok(disk) => disk,
        Err(why) => {
            return skip("cluster_disk_errors::a_full_disk_stops_a_validator_until_there_is_room", &why);
        }
    };
    disk.take(&mut cluster.nodes[VICTIM]);
    cluster.start_all();
    again_and_again(
        &mut cluster,
        "full",
        |cluster| {
            cluster.nodes[VICTIM].kill();
            let most = disk.fill("most", SPARE);
            returns(cluster);
            [most, disk.fill("rest", 0)]
        },
        |_| {},
        |ballast| ballast.into_iter().for_each(|file| std::fs::remove_file(file).expect("ballast")),
    );
    // The processes hold files on the disk.
    cluster.kill_all();
}

/// A tracer that lets every sync of a process fail, until it is dropped. It slows the process down, too.
struct Failing(Child);

impl Failing {
    fn of(pid: u32) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()]);
        strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
        Self(strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts"))
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a program does something here.
fn works(program: &str, args: &[&str]) -> Result<(), String> {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[test]
fn a_failed_sync_stops_a_validator() {
    if let Err(why) = works("strace", &["-qq", "-o", "/dev/null", "true"]) {
        return skip("cluster_disk_errors::a_failed_sync_stops_a_validator", &why);
    }
    let mut cluster = Cluster::up();
    again_and_again(
        &mut cluster,
        "sync",
        |cluster| Failing::of(cluster.nodes[VICTIM].pid().expect("it runs")),
        Failing::stop,
        drop,
    );
}

#[test]
fn a_validator_that_may_open_no_more_files_stops() {
    if let Err(why) = works("prlimit", &["--version"]) {
        return skip("cluster_disk_errors::a_validator_that_may_open_no_more_files_stops", &why);
    }
    let mut cluster = Cluster::up();
    again_and_again(
        &mut cluster,
        "files",
        |cluster| {
            let pid = cluster.nodes[VICTIM].pid().expect("it runs").to_string();
            let limited = works("prlimit", &["--pid", &pid, "--nofile=8:4096"]);
            limited.unwrap_or_else(|why| panic!("{why}"));
        },
        |()| {},
        drop,
    );
}
