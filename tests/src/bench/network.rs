//! The network that is measured: one of its own through `city devnet`, an existing one, or bare URLs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chain_core::genesis::Genesis;

use super::options::Options;
use super::{BenchResult, machine};

/// One validator.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// Number from 1.
    pub(super) number: u16,
    /// Base URL.
    pub(super) url: String,
    /// Its folder, where it is on this machine.
    home: Option<PathBuf>,
}

/// A network and how to end it.
#[derive(Debug)]
pub(super) struct Network {
    /// The validators.
    pub(super) seats: Vec<Seat>,
    /// What it started from.
    pub(super) genesis: Genesis,
    /// Key ring with clerks.
    pub(super) keys: PathBuf,
    /// The development network's folder.
    dir: Option<PathBuf>,
    /// Remove it at the end.
    own: bool,
    keep: bool,
    /// Validators that this program killed and did not start again.
    down: Vec<u16>,
}

impl Network {
    /// Starts or finds the network.
    pub(super) fn open(options: &Options) -> BenchResult<Self> {
        if let (false, Some(genesis), Some(keys)) =
            (options.nodes.is_empty(), &options.genesis, &options.keys)
        {
            let seat = |(number, url): (u16, &String)| Seat { number, url: url.clone(), home: None };
            return Ok(Self {
                seats: (1..).zip(&options.nodes).map(seat).collect(),
                genesis: read_genesis(genesis)?,
                keys: keys.clone(),
                dir: None,
                own: false,
                keep: true,
                down: Vec::new(),
            });
        }
        let (dir, own) = match &options.dir {
            Some(dir) => (std::path::absolute(dir)?, false),
            None => (std::path::absolute(&options.work)?.join(format!("bench-{}", std::process::id())), true),
        };
        if own {
            // From here on an early return must end what was started.
            let guard = Unfinished(dir.clone());
            city(&["devnet", "up", "--dir"], &dir, &["--base-port", &options.base_port.to_string()])?;
            let network = Self::read(&dir, true, options.keep)?;
            std::mem::forget(guard);
            return Ok(network);
        }
        Self::read(&dir, false, true)
    }

    fn read(dir: &Path, own: bool, keep: bool) -> BenchResult<Self> {
        let list: toml::Table = toml::from_str(&std::fs::read_to_string(dir.join("devnet.toml"))?)?;
        let mut seats = Vec::new();
        for entry in list.get("validator").and_then(toml::Value::as_array).into_iter().flatten() {
            let number = |name: &str| entry.get(name).and_then(toml::Value::as_integer);
            let (Some(number), Some(port)) = (number("number"), number("api_port")) else { continue };
            seats.push(Seat {
                number: u16::try_from(number)?,
                url: format!("http://127.0.0.1:{port}"),
                home: Some(dir.join(format!("v{number}"))),
            });
        }
        if seats.is_empty() {
            return Err(format!("{} lists no validator", dir.display()).into());
        }
        Ok(Self {
            seats,
            genesis: read_genesis(&dir.join("genesis.toml"))?,
            keys: dir.join("keys"),
            dir: Some(dir.to_owned()),
            own,
            keep,
            down: Vec::new(),
        })
    }

    /// Folder on whose disk the network lives.
    pub(super) fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Base URLs of the validators that run.
    pub(super) fn urls(&self) -> Vec<String> {
        let up = self.seats.iter().filter(|seat| !self.down.contains(&seat.number));
        up.map(|seat| seat.url.clone()).collect()
    }

    /// Whether this program can kill and start validators.
    pub(super) fn is_ours(&self) -> bool {
        self.dir.is_some()
    }

    /// Kills the last validator.
    pub(super) fn kill_one(&mut self) -> BenchResult {
        if let (Some(dir), Some(seat)) = (&self.dir, self.seats.last()) {
            city(&["devnet", "kill", "--dir"], dir, &[&seat.number.to_string()])?;
            self.down.push(seat.number);
        }
        Ok(())
    }

    /// Starts it again.
    pub(super) fn restart_killed(&mut self) -> BenchResult {
        for number in std::mem::take(&mut self.down) {
            if let Some(dir) = &self.dir {
                city(&["devnet", "restart", "--dir"], dir, &[&number.to_string()])?;
            }
        }
        Ok(())
    }

    /// Resident memory of every validator that runs, in KiB.
    pub(super) fn resident_kib(&self) -> Vec<u64> {
        let pid = |seat: &Seat| -> Option<u32> {
            let text = std::fs::read_to_string(seat.home.as_ref()?.join("node.pid")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        self.seats.iter().filter_map(|seat| machine::resident_kib(pid(seat)?)).collect()
    }

    /// Bytes on the disk of every validator's data.
    pub(super) fn disk_bytes(&self) -> Vec<u64> {
        self.seats.iter().filter_map(|seat| machine::disk_bytes(&seat.home.as_ref()?.join("data"))).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(dir) = &self.dir else { return };
        let ended = match (self.own, self.keep) {
            (true, false) => city(&["devnet", "reset", "--yes", "--dir"], dir, &[]),
            (true, true) => city(&["devnet", "down", "--dir"], dir, &[]),
            (false, _) => {
                let down = std::mem::take(&mut self.down);
                down.iter()
                    .try_for_each(|number| city(&["devnet", "restart", "--dir"], dir, &[&number.to_string()]))
            }
        };
        if let Err(error) = ended {
            eprintln!("city-bench: the network in {} could not be put back: {error}", dir.display());
        }
    }
}

/// Ends a network that did not come up.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.join("devnet.toml").exists() {
            let _ = city(&["devnet", "reset", "--yes", "--dir"], &self.0, &[]);
        }
    }
}

/// Runs the `city` program: `CITY_BIN`, or the one beside this one.
fn city(before: &[&str], dir: &Path, after: &[&str]) -> BenchResult {
    let program = match std::env::var_os("CITY_BIN").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("city"),
    };
    let output = Command::new(&program)
        .args(["--quiet", "--no-input"])
        .args(before)
        .arg(dir)
        .args(after)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("{}: {error}; build it: make build", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("city {}: {}", before[..2].join(" "), said.trim()).into())
}

fn read_genesis(path: &Path) -> BenchResult<Genesis> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Genesis::parse(&text)?)
}
