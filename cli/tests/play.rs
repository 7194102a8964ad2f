//! Scenarios of records' lives, played by the command on the ledger's own executor.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside the functions that clippy exempts")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn play(file: &Path) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_city"))
        .args(["-o", "json", "play", "--only-differences"])
        .arg(file)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap()
}

/// The steps that came to something else, as `scenario/step`.
fn differences(output: &Output) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |row: &serde_json::Value| {
        format!("{}/{}", row["scenario"].as_str().unwrap(), row["step"].as_str().unwrap())
    };
    told["items"].as_array().unwrap().iter().map(name).collect()
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/lives.json")
}

#[test]
fn our_own_scenarios_come_to_what_they_expect() {
    let output = play(&own());
    assert_eq!(differences(&output), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_step_that_comes_to_something_else_fails_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.json");
    let text = std::fs::read_to_string(own()).unwrap().replacen("\"OUTLASTS_BASE\"", "\"TOO_EARLY\"", 1);
    std::fs::write(&file, text).unwrap();
    let output = play(&file);
    assert_eq!(differences(&output), ["measures-follow-their-base/4"]);
    assert_eq!(output.status.code(), Some(1));
}

/// The scenarios of the domain's description.
#[test]
fn the_scenarios_of_the_domain_come_to_what_they_expect() {
    let Some(folder) = std::env::var_os("CITY_TEST_DATA") else {
        println!("skipped: the_scenarios_of_the_domain_come_to_what_they_expect: CITY_TEST_DATA is unset");
        return;
    };
    let output = play(&PathBuf::from(folder).join("lifecycle/scenarios.json"));
    assert_eq!(differences(&output), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0));
}
