//! An agency joins the city: the council agrees, two administrators register its officers, one officer files, and
//! is suspended. Everything through `city`, each step on another node.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::process::Output;

use city_tests::cluster::{Cluster, PATIENCE, wait_for};
use serde_json::Value;

const AGENCY: &str = "register:CN-320100:sample-archive";

/// What a command printed as JSON, when it succeeded.
fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command said that failed.
fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn record(filed: &Value) -> String {
    filed["items"][0]["record"].as_str().unwrap().to_owned()
}

/// The status of the rows that have this in this column.
fn statuses(list: &Value, column: &str, value: &str) -> Vec<String> {
    let rows = list["items"].as_array().unwrap().iter().filter(|row| row[column] == value);
    rows.map(|row| row["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_agency_joins_by_the_council_and_its_administrators_register_officers() {
    let cluster = Cluster::up();
    let json = |args: &[&str]| cluster.city(&[args, &["-o", "json"]].concat());
    let keys = done(&json(&["key", "list"]));
    let council: Vec<String> = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["role"] == "council_member")
        .map(|key| key["name"].as_str().unwrap().to_owned())
        .collect();
    for (name, role) in [("chief", "agency_admin"), ("deputy", "agency_admin"), ("archivist", "clerk")] {
        done(&json(&["key", "new", name, "--agency", AGENCY, "--role", role]));
    }
    let mut add = vec!["agency", "add", AGENCY, "--name", "Archive of the sample city"];
    add.extend(["--type", "egov.doc_fingerprint", "--key", &council[0]]);
    for (name, file) in [("chief", "chief.json"), ("deputy", "deputy.json")] {
        assert!(
            cluster
                .city(&["agency", "member", "prove", name, "--label", name, "--out", file])
                .status
                .success()
        );
        // One administrator alone could decide about everybody.
        if name == "chief" {
            let alone = [&add[..], &["--admin", file]].concat();
            assert!(refused(&json(&alone)).contains("1 administrators, wants 2"), "{alone:?}");
        }
    }
    add.extend(["--admin", "chief.json", "--admin", "deputy.json"]);
    let agency = record(&done(&json(&add)));

    // Nobody of the agency decides before the council has.
    let mut member = vec!["agency", "member", "add", "--agency", AGENCY, "--role", "clerk"];
    member.extend(["--label", "archivist", "--member-key", "archivist", "--key", "chief"]);
    let early = refused(&json(&member));
    assert!(early.contains("UNKNOWN_AUTHOR"), "{early}");
    let threshold = usize::from(cluster.genesis.document().council.threshold);
    assert!(threshold > 1);
    for key in &council[1..threshold] {
        assert_eq!(statuses(&done(&json(&["agency", "list"])), "agency", AGENCY), ["submitted"]);
        done(&json(&["record", "countersign", &agency, "--key", key]));
    }
    assert_eq!(statuses(&done(&json(&["agency", "list"])), "agency", AGENCY), ["effective"]);

    let officer = record(&done(&json(&member)));
    let own = refused(&json(&["record", "countersign", &officer, "--key", "chief"]));
    assert!(own.contains("SAME_PERSON"), "{own}");
    done(&json(&["record", "countersign", &officer, "--key", "deputy"]));
    let members = || done(&json(&["agency", "member", "list", "--agency", AGENCY]));
    assert_eq!(statuses(&members(), "label", "archivist"), ["effective"]);

    let suspend = ["agency", "member", "suspend", &officer, "--reason", "left the archive", "--key", "chief"];
    done(&json(&suspend));
    assert_eq!(statuses(&members(), "label", "archivist"), ["suspended"]);
    cluster.wait_agreed();
    two_clocks(&cluster, &officer);
    audited(&cluster, &officer, 3);
    audited(&cluster, &agency, threshold);
    cluster.assert_clean();
}

/// What held of a record with each of its blocks, each answer proved; and what nobody could know before.
fn two_clocks(cluster: &Cluster, record: &str) {
    let json = |args: &[&str]| cluster.city(&[args, &["-o", "json"]].concat());
    let history = done(&json(&["record", "history", record]));
    let steps = history["items"].as_array().unwrap();
    for (at, step) in steps.iter().enumerate() {
        let height = step["height"].to_string();
        let view = done(&json(&["record", "get", record, "--at", &height, "--proof"]));
        // Two steps may stand in one block.
        let last = steps[at..].iter().take_while(|next| next["height"] == step["height"]).last().unwrap();
        assert_eq!(view["known"]["head"]["status"], last["status"], "{view}");
        assert_eq!(view["now"]["head"]["status"], "suspended", "{view}");
        assert_eq!((&view["proof"]["height"], &view["known_height"]), (&step["height"], &step["height"]));
    }
    let today = done(&json(&["record", "get", record, "--at", &steps[0]["height"].to_string()]));
    let today = today["as_of"].as_str().unwrap();
    let known = |args: &[&str]| {
        let view = done(&json(&[&["record", "get", record][..], args].concat()));
        (
            view["known"]["status"].as_str().unwrap().to_owned(),
            view["now"]["status"].as_str().unwrap().to_owned(),
        )
    };
    let both = |one: &str, two: &str| (one.to_owned(), two.to_owned());
    assert_eq!(known(&["--as-of", today]), both("suspended", "suspended"));
    // The day before the network was made: nobody knew of the record, and it does not hold from then.
    assert_eq!(known(&["--as-of", "2020-01-01"]).0, "unknown");
    assert_eq!(known(&["--as-of", today, "--known-at", "2020-01-01"]), both("unknown", "suspended"));
    let lines = String::from_utf8(cluster.city(&["record", "get", record, "--as-of", today]).stdout).unwrap();
    assert!(
        lines.contains("  then        version 1 suspended") && lines.contains("  public      could see"),
        "{lines}"
    );
    for (args, code) in [
        (&["--at", "99999999"][..], "NOT_YET_EXECUTED"),
        (&["--at", "0"], "BAD_PARAMETER"),
        (&["--at", "1", "--as-of", "2020-01-01"], "BAD_PARAMETER"),
        (&["--known-at", "2020-01-01"], "BAD_PARAMETER"),
        (&["--as-of", "2020-02-30"], "BAD_PARAMETER"),
        (&["--proof"], "BAD_PARAMETER"),
    ] {
        let said = refused(&json(&[&["record", "get", record][..], args].concat()));
        assert!(said.contains(code), "{args:?}: {said}");
    }
}

/// A record of so many steps passes its audit, alone and with the whole log.
fn audited(cluster: &Cluster, record: &str, steps: usize) {
    let page = cluster.dir().join("record.html");
    let page = page.to_string_lossy();
    for more in [&[][..], &["--complete", "--report", &page]] {
        let args = [&["audit", "record", record, "-o", "json"][..], more].concat();
        // The checkpoint that covers the newest step is a second or two behind.
        let report = wait_for("all steps are under a checkpoint", PATIENCE, || {
            let report = done(&cluster.city(&args));
            (report["steps"].as_array().map(Vec::len) == Some(steps)).then_some(report)
        });
        assert_eq!((&report["verdict"], &report["complete"]), (&"PASS".into(), &(!more.is_empty()).into()));
    }
    let html = std::fs::read_to_string(&*page).unwrap();
    assert!(
        html.contains("<td>PASS</td>") && html.contains(record) && html.contains("there is no other step"),
        "{html}"
    );
}
