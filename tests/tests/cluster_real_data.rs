//! The official "double publicity" files through `city batch submit` against four running validators: every row
//! ends as listed, and as the validators alone would have it end.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Output;

use city_tests::cluster::{Cluster, http};
use serde_json::Value;

/// A row's number, outcome and notes.
type Row = (u64, String, String);

fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CITY_TEST_DATA").map(|data| PathBuf::from(data).join("double_publicity"));
    if folder.is_none() {
        city_tests::skip(test, "CITY_TEST_DATA is not set");
    }
    folder
}

/// What a file says of each row; cells of these columns hold no commas.
fn listed(folder: &Path, name: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(folder.join(format!("{name}_expected.csv"))).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].parse().unwrap(), cells[1].to_owned(), cells[2].trim().to_owned())
    });
    rows.collect()
}

fn items(output: &Output) -> Vec<Value> {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    said["items"].as_array().unwrap().clone()
}

fn submit(cluster: &Cluster, folder: &Path, name: &str, more: &[&str]) -> Vec<Value> {
    let sheet = folder.join(format!("{name}.csv"));
    let journal = cluster.dir().join(format!("{name}.journal"));
    let mut args = vec!["batch", "submit", sheet.to_str().unwrap(), "--map", name, "-o", "json"];
    args.extend(["--journal", journal.to_str().unwrap()]);
    args.extend(more);
    items(&cluster.city(&args))
}

fn judge(cluster: &Cluster, folder: &Path, more: &[&str]) {
    let mut rows = 0;
    let mut accepted = 0;
    for name in ["licences", "penalties"] {
        let got = submit(cluster, folder, name, more);
        let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
        let ended: Vec<Row> = got
            .iter()
            .map(|item| (item["row"].as_u64().unwrap(), text(item, "outcome"), text(item, "notes")))
            .collect();
        assert_eq!(ended, listed(folder, name), "{name} {more:?}");
        rows += ended.len();
        // Final is not yet executed by every node that is about to be asked.
        cluster.wait_agreed();
        for item in got.iter().filter(|item| item["outcome"] == "accept") {
            accepted += 1;
            assert!(item["height"].as_u64().is_some(), "final at no height: {item}");
            let record = item["record"].as_str().unwrap();
            for node in &cluster.nodes {
                let held: Value = http::get(&format!("{}/v1/records/{record}", node.url())).unwrap();
                assert_eq!(held["status"], "submitted", "{} at {}", record, node.name);
            }
        }
    }
    println!("{rows} rows as listed, {accepted} of them accepted and on all four, {more:?}");
    assert_eq!((rows, accepted), (140, 98));
}

#[test]
fn every_row_ends_as_listed_through_the_running_network() {
    let Some(folder) = data("every_row_ends_as_listed_through_the_running_network") else { return };
    let cluster = Cluster::up();
    // Without the authority's key a row is refused, and nothing of it reaches the ledger.
    let empty = cluster.dir().join("no-keys");
    std::fs::create_dir(&empty).unwrap();
    let sheet = folder.join("licences.csv");
    let journal = cluster.dir().join("no-keys.journal");
    let args = ["batch", "submit", sheet.to_str().unwrap(), "--map", "licences", "-o", "json", "--journal"];
    let mut command = cluster.city_command(&[&args[..], &[journal.to_str().unwrap()]].concat());
    let refused = items(&command.env("CITY_KEYS", &empty).output().unwrap());
    assert_eq!(refused.len(), 80);
    for row in &refused {
        assert_eq!(row["outcome"], "reject", "{row}");
    }
    let keyless = refused.iter().filter(|row| row["notes"] == "NO_KEY_FOR_AUTHORITY").count();
    assert!(keyless >= 58, "{keyless} rows are refused for want of a key");
    let page: Value =
        http::get(&format!("{}/v1/records?type=credit.licence&limit=1", cluster.nodes[0].url())).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 0);
    judge(&cluster, &folder, &[]);
    cluster.wait_agreed();
    cluster.assert_clean();
}

#[test]
fn the_validators_alone_reach_the_same_verdicts() {
    let Some(folder) = data("the_validators_alone_reach_the_same_verdicts") else { return };
    let cluster = Cluster::up();
    judge(&cluster, &folder, &["--raw"]);
    cluster.wait_agreed();
    cluster.assert_clean();
}
