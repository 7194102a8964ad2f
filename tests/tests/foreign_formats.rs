//! Documents of others through four running validators and out again: no point of contact of a real procurement package is in
//! any node's files or stores, and other people's software accepts what `city export` writes.
//!
//! `tests/foreign/formats.py` leaves the verdict to lxml (the schema of CAP 1.2), jsonschema (those of OCDS and FIWARE) and
//! OCDS Kit.
//! Without PyPI the test is skipped by name.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;

use chain_core::date::Date;
use city_tests::cluster::Cluster;
use city_tests::cluster::canary::{canary, in_files, in_stores};
use city_tests::python::judges;
use city_tests::skip;
use serde_json::Value;

/// Who buys.
const BUYER: &str = "uscc:11320100MAX78A442D";
/// Who warns.
const WARNER: &str = "uscc:11320100MAXEYHTT33";
/// Contact values of the real package that its copy has replaced.
const CONTACTS: usize = 38;
/// What they were replaced by.
const STAND_INS: [&str; 3] = ["PERSON REMOVED", "removed@example.org", "000-0000"];

fn data(test: &str) -> Option<PathBuf> {
    let data = std::env::var_os("CITY_TEST_DATA").map(PathBuf::from);
    if data.is_none() {
        skip(test, "CITY_TEST_DATA is not set");
    }
    data
}

/// Files a document; gives what became of its rows.
fn submit(cluster: &Cluster, path: &Path, map: &str, agency: &str, nth: &str) -> Vec<Value> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let journal = cluster.dir().join(format!("{name}.{nth}.journal"));
    let output = cluster.city(&[
        "batch",
        "submit",
        path.to_str().unwrap(),
        "--map",
        map,
        "--agency",
        agency,
        "--nth",
        nth,
        "-o",
        "json",
        "--journal",
        journal.to_str().unwrap(),
    ]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    said["items"].as_array().unwrap().clone()
}

fn accepted(rows: &[Value]) -> Vec<&str> {
    let of = |row: &Value| row["outcome"] == "accept";
    assert!(rows.iter().all(of), "{rows:?}");
    rows.iter().map(|row| row["record"].as_str().unwrap()).collect()
}

fn run(cluster: &Cluster, args: &[&str]) {
    let output = cluster.city(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The real package with a canary in place of every contact value, and one in the titles, which are public.
fn planted(data: &Path) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(data.join("ocds/real/release-package-1.json")).unwrap();
    let (mut planted, mut canaries) = (String::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let mut line = line.to_owned();
        for stand_in in STAND_INS {
            if line.contains(stand_in) {
                canaries.push(canary(&format!("contact {}", canaries.len())));
                line = line.replace(stand_in, canaries.last().unwrap());
            }
        }
        planted.push_str(&line);
    }
    assert_eq!(canaries.len(), CONTACTS);
    (planted.replace("ARRENDAMIENTO DE BIENES", &canary("title")), canaries)
}

#[test]
fn no_point_of_contact_is_in_any_node() {
    let Some(data) = data("no_point_of_contact_is_in_any_node") else { return };
    let mut cluster = Cluster::up();
    let outside = tempfile::tempdir().unwrap();
    let (package, canaries) = planted(&data);
    let path = outside.path().join("package.json");
    std::fs::write(&path, package).unwrap();
    let printed = cluster.city(&["batch", "mappings", "ocds"]);
    let map = outside.path().join("ocds.toml");
    std::fs::write(&map, String::from_utf8(printed.stdout).unwrap() + "scheme = \"MX-RFC\"\n").unwrap();
    let rows = submit(&cluster, &path, map.to_str().unwrap(), BUYER, "1");
    assert_eq!(accepted(&rows).len(), 2);
    cluster.wait_agreed();
    // Journals and logs as well: everything that the network has on this machine.
    let title = std::collections::BTreeSet::from([canary("title")]);
    assert_eq!(in_files(cluster.dir()), title, "the title is found, and nothing else");
    for node in &mut cluster.nodes {
        node.terminate();
        assert!(node.ended_within(std::time::Duration::from_secs(60)).is_some(), "{}", node.name);
        let found = in_stores(&node.data());
        assert_eq!(found, title, "{}: {} of {} contacts", node.name, found.len(), canaries.len());
    }
}

#[test]
fn other_peoples_software_accepts_what_is_exported() {
    let test = "other_peoples_software_accepts_what_is_exported";
    let Some(data) = data(test) else { return };
    let python = match judges() {
        Ok(python) => python,
        Err(why) => return skip(test, &why),
    };
    let cluster = Cluster::up();
    let folder = cluster.dir().join("documents");
    std::fs::create_dir_all(&folder).unwrap();
    file_alerts(&cluster, &folder);
    for (stage, nth) in [
        ("01-planning", "1"),
        ("02-tender", "1"),
        ("04-award", "2"),
        ("05-contract", "1"),
        ("06-implementation", "2"),
    ] {
        let name = format!("ocds-213czf-000-00001-{stage}.json");
        let path = folder.join(&name);
        std::fs::copy(data.join("ocds").join(&name), &path).unwrap();
        let rows = submit(&cluster, &path, "ocds", BUYER, nth);
        if ["04-award", "05-contract"].contains(&stage) {
            run(&cluster, &["record", "countersign", accepted(&rows)[0]]);
        }
        cluster.wait_agreed();
    }
    let out = |name: &str| cluster.dir().join(name).to_str().unwrap().to_owned();
    let (caps, releases, entities) = (out("caps"), out("releases.json"), out("entities.json"));
    for (what, out) in [("cap", &caps), ("ocds", &releases), ("ngsi", &entities)] {
        run(&cluster, &["export", what, "--out", out]);
    }
    let judge = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/formats.py");
        let output =
            Command::new(&python).arg(script).arg(&data).args([&caps, &releases, &entities]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // One alert is in effect, its update; five releases of one process; the alert as an entity.
    assert_eq!(judge(), "compiled ocds-213czf-000-00001: planning, tender, awards, contracts\njudged 7\n");
    // The judges object where there is something to object to.
    for (path, from, to) in [
        (&releases, "\"procurementMethod\": \"open\"", "\"procurementMethod\": \"whoever\""),
        (&releases, "\"date\"", "\"day\""),
        (&entities, "\"category\": \"weather\"", "\"category\": \"rain\""),
    ] {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    let alert = std::fs::read_dir(&caps).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&alert).unwrap();
    assert!(text.contains("<references>uscc:11320100MAXEYHTT33,EX-1,"), "{text}");
    std::fs::write(&alert, text.replacen("<scope>Public</scope>", "", 1)).unwrap();
    let said = judge();
    let flaws = said.lines().filter(|line| line.starts_with("flaw: ")).count();
    assert!(flaws >= 4 && said.contains("flaw: releases.json: OCDS Kit: "), "{flaws} flaws: {said}");
}

/// A time in UTC (RFC 3339).
fn instant(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}+00:00", Date::of_time(ms, 0))
}

/// An alert for everybody and its update, which takes its place.
fn file_alerts(cluster: &Cluster, folder: &Path) {
    let now = cluster.statuses().iter().map(|status| status.block_time_ms).max().unwrap_or_default();
    let (sent, end) = (instant(now), instant(now + 86_400_000));
    let text = |number: &str, kind: &str, references: &str| {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.1"><identifier>{number}</identifier><sender>duty@city.example</sender>
<sent>{sent}</sent><status>Actual</status><msgType>{kind}</msgType><scope>Public</scope>{references}
<info><language>zh-Hans</language><category>Met</category><event>暴雨 &amp; 大风</event><urgency>Immediate</urgency>
<severity>Severe</severity><certainty>Likely</certainty><expires>{end}</expires><headline>注意 &lt;防范&gt;</headline>
<description>暴雨</description><instruction>请留在室内</instruction><area><areaDesc>示例区</areaDesc>
<polygon>32.0,118.7 32.1,118.7 32.1,118.8 32.0,118.7</polygon></area></info></alert>"#
        )
    };
    let references = format!("<references>duty@city.example,EX-1,{sent}</references>");
    for (number, kind, references) in [("EX-1", "Alert", ""), ("EX-2", "Update", references.as_str())] {
        let path = folder.join(format!("{number}.cap"));
        std::fs::write(&path, text(number, kind, references)).unwrap();
        accepted(&submit(cluster, &path, "cap", WARNER, "1"));
        cluster.wait_agreed();
    }
}
