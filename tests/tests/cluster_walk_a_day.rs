//! `docs/walk-a-day.md`, carried out: every command of the page on four real validators whose clocks stand at the days of its
//! headings, and every line that the page shows of an answer found in that answer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::Path;
use std::process::{Command, Stdio};

use chain_core::record::body::parse_instant;
use city_tests::cluster::clerk::now_ms;
use city_tests::cluster::{Cluster, PATIENCE, clock, program, said};
use city_tests::skip;

const PAGE: &str = include_str!("../../docs/walk-a-day.md");
/// The page's port of the gateway.
const GATEWAY_PORT: &str = "7300";
/// What every block of commands begins and ends with: variables and functions of the blocks before it go on.
const BEFORE: &str = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n\
    [ ! -f .variables ] || . ./.variables\n";
const AFTER: &str = "\nfor name in $(compgen -v | grep '^[a-z]'); do declare -p \"$name\"; done >.variables\ndeclare -f >>.variables\n";

/// Seconds for a block of commands: some of them wait in loops.
const BLOCK_S: &str = "240";

/// A part of the page.
#[derive(Debug, Eq, PartialEq)]
enum Part {
    /// `## 2026-05-06`: the wall clock stands at four in the afternoon of that day.
    Day(String),
    /// Commands, and the line of the page on which they begin.
    Commands(usize, String),
    /// Lines that the answer to the commands before has.
    Answer(Vec<String>),
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut block = || -> Vec<&str> {
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect()
        };
        match line {
            "```sh" => parts.push(Part::Commands(at + 1, block().join("\n"))),
            "```text" => parts.push(Part::Answer(block().into_iter().map(words).collect())),
            _ => parts.extend(line.strip_prefix("## ").map(|day| Part::Day(day.to_owned()))),
        }
    }
    parts
}

/// A line without what only aligns it.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line of an answer is the one shown; `…` stands for what differs from run to run.
fn is_shown(shown: &str, line: &str) -> bool {
    let mut rest = line;
    shown.split('…').enumerate().all(|(at, piece)| match rest.find(piece) {
        Some(found) if at > 0 || found == 0 => {
            rest = &rest[found + piece.len()..];
            true
        }
        _ => false,
    }) && (rest.is_empty() || shown.ends_with('…'))
}

/// The network on a day, and what its programs have in their environment.
struct Stage {
    cluster: Cluster,
    clock: tempfile::TempDir,
    library: String,
}

impl Stage {
    /// Seconds between now and a day of the page.
    fn shift(day: &str) -> i64 {
        let then = parse_instant(&format!("{day}T16:00:00+08:00")).unwrap_or_else(|| panic!("a day: {day}"));
        (i64::try_from(then).unwrap() - i64::try_from(now_ms()).unwrap()) / 1000
    }

    fn of(day: &str) -> Result<Self, String> {
        let clock = tempfile::tempdir().unwrap();
        let library = clock::shifted(clock.path(), Self::shift(day))?.to_str().unwrap().to_owned();
        let cluster = Cluster::made_with(&[("LD_PRELOAD", &library)]);
        let mut stage = Self { cluster, clock, library };
        stage.start();
        Ok(stage)
    }

    fn start(&mut self) {
        for node in &mut self.cluster.nodes {
            node.start_with(&[("LD_PRELOAD", &self.library)]);
        }
        self.cluster.wait_voting();
    }

    /// Stops every validator and starts it on another day.
    fn turn_to(&mut self, day: &str) {
        self.cluster.wait_agreed();
        for node in &mut self.cluster.nodes {
            node.terminate();
        }
        for node in &mut self.cluster.nodes {
            assert!(node.ended_within(PATIENCE).expect("it stops").success(), "{}", node.name);
        }
        clock::shifted(self.clock.path(), Self::shift(day)).unwrap();
        self.start();
    }

    /// Runs commands as somebody types them; gives what they said.
    fn run(&self, (at, commands): (usize, &str), port: u16) -> String {
        let bin = program("city");
        let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let commands = commands.replace(GATEWAY_PORT, &port.to_string());
        let output = Command::new("timeout")
            .args(["--kill-after=5", BLOCK_S, "bash", "-c", &format!("{BEFORE}{commands}{AFTER}")])
            .envs(self.cluster.city_command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("CITY_NO_INPUT", "true")
            .env("PATH", path)
            .env("LD_PRELOAD", &self.library)
            .current_dir(self.cluster.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = said(&output);
        assert!(output.status.success(), "the commands from line {at} on:\n{commands}\nended with:\n{told}");
        println!("{told}");
        told
    }
}

fn has(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).is_file())
}

#[test]
fn a_day_in_the_city_goes_as_the_page_says() {
    const NAME: &str = "a_day_in_the_city_goes_as_the_page_says";
    if let Some(missing) = ["bash", "curl", "timeout"].into_iter().find(|program| !has(program)) {
        return skip(NAME, &format!("there is no {missing} here"));
    }
    let parts = parts(PAGE);
    let days = parts.iter().filter(|part| matches!(part, Part::Day(_))).count();
    let Some(Part::Day(first)) = parts.first() else { panic!("the page begins with a day") };
    let mut stage = match Stage::of(first) {
        Ok(stage) => stage,
        Err(why) => return skip(NAME, &why),
    };
    let port = Cluster::free_ports();
    let (mut said, mut at) = (String::new(), 0);
    let (mut blocks, mut shown) = (0, 0);
    for part in &parts[1..] {
        match part {
            Part::Day(day) => stage.turn_to(day),
            Part::Commands(line, commands) => {
                (said, at) = (stage.run((*line, commands), port), *line);
                blocks += 1;
            }
            Part::Answer(wanted) => {
                let mut lines = said.lines().map(words);
                for wanted in wanted {
                    let found = lines.any(|line| is_shown(wanted, &line));
                    assert!(found, "line {at} on: {wanted:?} is not, in this place, in\n{said}");
                    shown += 1;
                }
            }
        }
    }
    // A page that lost its blocks would pass.
    println!("{days} days, {blocks} blocks of commands, {shown} lines of answers");
    assert!(days >= 4 && blocks >= 20 && shown >= 20, "{days} days, {blocks} blocks, {shown} lines");
    stage.cluster.wait_agreed();
    stage.cluster.assert_clean();
}

#[test]
fn a_page_is_read_into_days_commands_and_answers() {
    let page = "# Title\n\n## 2026-05-06\n\ntext\n\n```sh\none\ntwo\n```\n\n```text\na   b\n```\n\n```json\n{}\n```\n";
    let want = [
        Part::Day("2026-05-06".to_owned()),
        Part::Commands(7, "one\ntwo".to_owned()),
        Part::Answer(vec!["a b".to_owned()]),
    ];
    assert_eq!(parts(page), want);
    for (shown, line, want) in [
        ("a b", "a b", true),
        ("a", "a b", false),
        ("b", "a b", false),
        ("a …", "a b", true),
        ("… b", "a b", true),
        ("a … c", "a b d", false),
        ("a … d", "a b d", true),
    ] {
        assert_eq!(is_shown(shown, line), want, "{shown} {line}");
    }
}
