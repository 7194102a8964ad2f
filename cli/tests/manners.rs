//! What scripts rely on: data on stdout, talk on stderr, documented exit codes, and errors with code and hint.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside the functions that clippy exempts")]

use std::path::Path;
use std::process::{Command, Output};

/// An agency of the sample city.
const AGENCY: &str = "uscc:11320100MAXP23YC3L";

fn city(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city"))
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Exit code, stdout and stderr of a command in an empty home.
fn run(args: &[&str]) -> (i32, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = city(home.path(), args);
    (output.status.code().unwrap(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
}

#[test]
fn explain_takes_a_number_or_a_name() {
    let want = "\
code     E0407
name     DUPLICATE_NATURAL_KEY
meaning  The agency already filed a record with this decision number.
hint     Amend the existing record instead.
exit     5
";
    for code in ["E0407", "407", "DUPLICATE_NATURAL_KEY", "duplicate_natural_key"] {
        assert_eq!(run(&["explain", code]), (0, want.to_owned(), String::new()), "{code}");
    }
}

#[test]
fn an_error_names_its_code_and_a_way_out() {
    let (exit, stdout, stderr) = run(&["explain", "E9999"]);
    assert_eq!((exit, stdout.as_str()), (3, ""));
    assert!(stderr.starts_with("error[E0128 UNKNOWN_CODE]: \"E9999\" is neither"), "{stderr}");
    assert!(stderr.contains("\nhint: Run `city explain --list`.\n"), "{stderr}");
}

#[test]
fn with_json_an_error_is_one_object_on_stderr() {
    let (exit, stdout, stderr) = run(&["-o", "json", "explain", "E9999"]);
    assert_eq!((exit, stdout.as_str()), (3, ""));
    let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((error["name"].as_str(), error["exit"].as_u64()), (Some("UNKNOWN_CODE"), Some(3)));
    assert_eq!(error["schema"], "city/v1/error");
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let missing = ["batch", "check", "none.csv", "--map", "licences"];
    for (args, want) in [
        (&["version"][..], 0),
        (&["no-such-command"], 2),
        (&["context", "show"], 2),
        (&["explain", "NO_SUCH_CODE"], 3),
        (&["receipt", "show", "none.json"], 3),
        (&missing, 11),
        (&["--no-input", "key", "new", "a", "--agency", "uscc:11320100MAXP23YC3L", "--role", "clerk"], 4),
        (&["--node", "http://127.0.0.1:9", "--timeout", "300ms", "node", "status"], 6),
    ] {
        let (exit, _, stderr) = run(args);
        assert_eq!(exit, want, "{args:?}: {stderr}");
    }
}

#[test]
fn every_output_form_is_drawn_from_the_same_data() {
    let rows = [
        ("licences", "credit.licence"),
        ("penalties", "credit.penalty"),
        ("permits", "egov.building_permit"),
        ("inspections", "commerce.food_inspection"),
        ("requests", "egov.service_request"),
        ("fiware", "egov.doc_fingerprint"),
        ("fiware-requests", "egov.service_request"),
        ("ocds", "egov.procurement"),
        ("cap", "security.alert"),
        ("gtfs", "transport.feed"),
        ("fhir", "health.commit_batch"),
    ];
    let drawn = |row: &dyn Fn(&str, &str) -> String| -> String {
        rows.iter().map(|(name, kind)| row(name, kind)).collect()
    };
    let (_, table, _) = run(&["batch", "mappings"]);
    let aligned = drawn(&|name, kind| format!("{name:15}  {kind}\n"));
    assert_eq!(table, format!("NAME             TYPE\n{aligned}"));
    let (_, csv, _) = run(&["batch", "mappings", "-o", "csv"]);
    assert_eq!(csv, format!("name,type\n{}", drawn(&|name, kind| format!("{name},{kind}\n"))));
    let (_, ids, _) = run(&["batch", "mappings", "-o", "id"]);
    assert_eq!(ids, drawn(&|name, _| format!("{name}\n")));
    let (_, lines, _) = run(&["batch", "mappings", "-o", "jsonl", "--fields", "type"]);
    assert_eq!(lines, drawn(&|_, kind| format!("{{\"type\":\"{kind}\"}}\n")));
    let (_, json, _) = run(&["batch", "mappings", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "city/v1/mappings");
    let (exit, _, stderr) = run(&["batch", "mappings", "--fields", "colour"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("no field colour; there are name, type"), "{stderr}");
}

#[test]
fn contexts_are_added_used_shown_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let go = |args: &[&str]| city(home.path(), args);
    let empty = go(&["context", "list"]);
    assert_eq!(text(&empty.stdout), "");
    assert!(text(&empty.stderr).contains("no contexts yet"));
    assert!(go(&["context", "add", "a", "--node", "http://x:1,http://y:2"]).status.success());
    assert!(go(&["context", "add", "b", "--node", "http://z:3"]).status.success());
    let list = go(&["context", "list", "-o", "csv", "--fields", "name,current,nodes"]);
    assert_eq!(text(&list.stdout), "name,current,nodes\na,true,http://x:1|http://y:2\nb,false,http://z:3\n");
    assert!(go(&["context", "use", "b"]).status.success());
    assert!(text(&go(&["context", "show", "--fields", "name"]).stdout).contains('b'));
    assert!(go(&["context", "remove", "b"]).status.success());
    let gone = go(&["context", "use", "b"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).starts_with("error[E0907 NO_CONTEXT]"));
}

#[test]
fn four_agencies_make_one_genesis_from_separate_parts() {
    let home = tempfile::tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../genesis/example-city.toml");
    std::fs::write(home.path().join("pass"), "correct horse battery\n").unwrap();
    std::fs::set_permissions(home.path().join("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let go = |args: &[&str]| {
        let output = city(home.path(), args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    go(&["genesis", "new", "--network", "test-city", "--from", example, "--out", "draft.toml"]);
    let agencies: serde_json::Value = {
        let draft: toml::Value =
            toml::from_str(&std::fs::read_to_string(home.path().join("draft.toml")).unwrap()).unwrap();
        serde_json::to_value(&draft["agency"]).unwrap()
    };
    let mut homes: Vec<&str> =
        agencies.as_array().unwrap().iter().map(|one| one["home_validator"].as_str().unwrap()).collect();
    homes.sort_unstable();
    homes.dedup();
    assert_eq!(homes.len(), 4);
    let mut parts = Vec::new();
    for (at, validator) in homes.iter().enumerate() {
        let guests: Vec<&str> = agencies
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["home_validator"] == *validator)
            .map(|one| one["id"].as_str().unwrap())
            .collect();
        let (keys, part) = (format!("keys-{validator}"), format!("{validator}.part.toml"));
        let address = format!("/ip4/10.0.0.{}/tcp/7101", at + 1);
        let mut args = vec!["--keys", &keys, "--passphrase-file", "pass", "genesis", "join", "draft.toml"];
        args.extend(["--validator", validator, "--agency", guests[0], "--address", &address, "--out", &part]);
        let members: Vec<String> = guests
            .iter()
            .flat_map(|id| [format!("agency_admin@{id}"), format!("agency_admin@{id}")])
            .collect();
        for member in &members {
            args.extend(["--member", member]);
        }
        args.extend(["--member", "council_member"]);
        go(&args);
        parts.push(part);
    }
    let mut assemble = vec!["genesis", "assemble", "draft.toml"];
    assemble.extend(parts.iter().map(String::as_str));
    let chain = go(&[&assemble[..], &["-o", "id"]].concat());
    // The order of the parts does not matter, and the hash is that of the file.
    assert_eq!(go(&["genesis", "hash", "genesis.toml", "-o", "id"]), chain);
    go(&["genesis", "verify", "genesis.toml", "--expect", chain.trim()]);
    for validator in &homes {
        let (keys, key) = (format!("keys-{validator}"), format!("{validator}-consensus"));
        go(&["--keys", &keys, "--passphrase-file", "pass", "genesis", "sign", "genesis.toml", "--key", &key]);
        let marker = home.path().join(&keys).join(format!("{key}.pem.fresh"));
        assert!(marker.exists(), "the key of {validator} is marked fresh");
    }
    go(&["genesis", "verify", "genesis.toml", "--signatures", "genesis.sigs"]);
    let wrong = city(home.path(), &["genesis", "verify", "genesis.toml", "--expect", &"0".repeat(64)]);
    assert_eq!(wrong.status.code(), Some(10));
    assert!(text(&wrong.stderr).starts_with("error[E0511 GENESIS_MISMATCH]"));
    // A hash may be typed in capitals and groups; what is none is a slip, not an alarm.
    let typed = chain.trim().to_uppercase().replace("A", " A");
    go(&["genesis", "verify", "genesis.toml", "--expect", &typed]);
    let slip = city(home.path(), &["genesis", "verify", "genesis.toml", "--expect", "abc"]);
    assert_eq!(slip.status.code(), Some(2));
    // A wrong signature is an alarm; one that is missing leaves nothing to judge by.
    let all = std::fs::read_to_string(home.path().join("genesis.sigs")).unwrap();
    let forged = all.replacen("signature = \"", "signature = \"00", 1);
    let at = forged.find("signature = \"").unwrap() + "signature = \"".len();
    let forged = format!("{}{}", &forged[..at + 2], &forged[at + 4..]);
    let few = &all[..all.rfind("[[signature]]").unwrap()];
    for (name, text_of, want) in [("forged.sigs", forged.as_str(), 10), ("few.sigs", few, 11)] {
        std::fs::write(home.path().join(name), text_of).unwrap();
        let verdict = city(home.path(), &["genesis", "verify", "genesis.toml", "--signatures", name]);
        assert_eq!(verdict.status.code(), Some(want), "{name}: {}", text(&verdict.stderr));
    }
    // The hash, and nothing else.
    let hash = go(&["genesis", "hash", "genesis.toml", "-o", "csv"]);
    assert!(hash.starts_with("chain_id,read_aloud\n"), "{hash}");
}

#[test]
fn keys_are_encrypted_and_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("pass"), "correct horse battery\n").unwrap();
    let new = ["--passphrase-file", "pass", "key", "new", "m-ortiz", "--agency", AGENCY, "--role", "clerk"];
    let open = city(home.path(), &new);
    assert_eq!(open.status.code(), Some(4), "a passphrase that others can read is refused");
    std::fs::set_permissions(home.path().join("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    assert!(city(home.path(), &new).status.success());
    let file = std::fs::read_to_string(home.path().join("keys/m-ortiz.pem")).unwrap();
    assert!(file.contains("BEGIN ENCRYPTED PRIVATE KEY"));
    let again = city(home.path(), &new);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).starts_with("error[E0906 FILE_EXISTS]"));
}

#[test]
fn a_wrong_command_line_has_a_code_and_a_hint_like_every_error() {
    let (exit, stdout, stderr) = run(&["record", "get"]);
    assert_eq!((exit, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("error[E0104 BAD_PARAMETER]: the following required"), "{stderr}");
    assert!(stderr.contains("\nhint: see the same command with --help\n"), "{stderr}");
    let (exit, _, stderr) = run(&["-o", "json", "devnet", "bench"]);
    let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((exit, error["code"].as_str()), (2, Some("E0104")));
    let (exit, stdout, _) = run(&["help", "exit-codes"]);
    assert!(exit == 0 && stdout.contains(" 12  evidence of tampering"), "{stdout}");
    assert_eq!(run(&["--version"]).0, 0);
}

#[test]
fn hints_for_a_network_name_its_folder() {
    for step in ["status", "logs", "down"] {
        let (exit, _, stderr) = run(&["devnet", step, "--dir", "elsewhere"]);
        assert_eq!(exit, 1);
        assert!(stderr.contains("\nhint: make one: city devnet up --dir elsewhere\n"), "{stderr}");
        let (_, _, stderr) = run(&["devnet", step]);
        assert!(stderr.contains("\nhint: make one: city devnet up\n"), "{stderr}");
    }
}

#[test]
fn slips_are_named_before_anything_is_asked_or_made() {
    let node = ["--node", "http://127.0.0.1:9", "--timeout", "300ms"];
    for (args, exit, code) in [
        (&["record", "list", "--type", "credit.license"][..], 3, "UNKNOWN_TYPE"),
        (&["record", "list", "--agency", "market"], 5, "BAD_IDENTIFIER"),
        (&["record", "list", "--limit", "0"], 2, "BAD_PARAMETER"),
        (&["agency", "member", "list", "--agency", "market"], 5, "BAD_IDENTIFIER"),
        (&["audit", "chain", "--from", "10", "--to", "5"], 2, "BAD_PARAMETER"),
        (&["batch", "submit", "-", "--map", "licences"], 2, "BAD_PARAMETER"),
        (&["record", "submit", "x.json", "--dry-run", "--receipt", "r.json"], 2, "BAD_PARAMETER"),
        (&["record", "submit", "x.json", "--wait", "--no-wait"], 2, "BAD_PARAMETER"),
    ] {
        let (got, _, stderr) = run(&[&node[..], args].concat());
        assert!(got == exit && stderr.contains(code), "{args:?}: exit {got}, {stderr}");
    }
    let (exit, _, stderr) = run(&["--node", "nonsense", "node", "status"]);
    assert_eq!(exit, 2, "{stderr}");
}

#[test]
fn a_context_is_checked_when_it_is_added() {
    let home = tempfile::tempdir().unwrap();
    let go = |args: &[&str]| city(home.path(), args);
    assert_eq!(go(&["context", "add", "a", "--node", "nonsense"]).status.code(), Some(2));
    let url = ["--node", "http://127.0.0.1:9"];
    let missing = [&["context", "add", "a", "--genesis", "none.toml"][..], &url].concat();
    assert_eq!(go(&missing).status.code(), Some(3));
    assert!(text(&go(&["context", "list"]).stdout).is_empty());
    for name in ["a", "b"] {
        assert!(go(&[&["context", "add", name][..], &url].concat()).status.success());
    }
    let removed = go(&["context", "remove", "a"]);
    assert!(text(&removed.stderr).contains("Choose one: city context use NAME (b)"));
    let none = go(&["record", "list"]);
    assert!(text(&none.stderr).contains("city context use NAME"), "{}", text(&none.stderr));
}

#[test]
fn a_part_that_would_be_refused_makes_no_keys() {
    let home = tempfile::tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../genesis/example-city.toml");
    let go = |args: &[&str]| city(home.path(), args);
    assert!(go(&["genesis", "new", "--network", "test-city", "--from", example]).status.success());
    let join = |more: &[&str]| {
        let args = ["--no-input", "genesis", "join", "draft.toml", "--out", "part.toml"];
        go(&[&args[..], more].concat())
    };
    let (place, mine) = (["--address", "/ip4/10.0.0.1/tcp/7101"], ["--validator", "market-regulation"]);
    for (more, code) in [
        (["--agency", "uscc:A", "--member", "clerk"], "UNKNOWN_AGENCY"),
        (["--agency", AGENCY, "--member", "emperor"], "BAD_PARAMETER"),
        (["--agency", AGENCY, "--member", "clerk@uscc:11320100MAX78A442D"], "BAD_PARAMETER"),
        (["--agency", AGENCY, "--from", "yesterday"], "BAD_DATE"),
    ] {
        let output = join(&[&place[..], &mine, &more].concat());
        assert!(text(&output.stderr).contains(code), "{more:?}: {}", text(&output.stderr));
    }
    let output = join(&[&mine[..], &["--agency", AGENCY, "--address", "10.0.0.1"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(!home.path().join("keys").exists(), "no key was made");
}

#[test]
fn keys_say_only_what_the_ledger_knows() {
    let home = tempfile::tempdir().unwrap();
    let go = |args: &[&str]| {
        let output = city(home.path(), &[&["--no-input", "key"][..], args].concat());
        (output.status.code().unwrap(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    for args in [
        &["new", "a", "--agency", "market", "--role", "clerk"][..],
        &["new", "a", "--agency", AGENCY, "--role", "emperor"],
        &["new", "a", "--kind", "validator", "--role", "clerk"],
    ] {
        let (exit, _, stderr) = go(args);
        assert!(exit == 2 || exit == 5, "{args:?}: exit {exit}, {stderr}");
        assert!(stderr.contains("BAD_"), "{stderr}");
    }
    let (exit, stdout, _) = go(&["new", "market", "--kind", "dedupe", "--agency", AGENCY]);
    assert!(exit == 0 && stdout.contains("market.dedupe"), "{stdout}");
    let (exit, _, stderr) = go(&["new", "other", "--kind", "dedupe", "--agency", AGENCY]);
    assert!(exit == 1 && stderr.contains("FILE_EXISTS"), "{stderr}");
    assert!(go(&["list"]).1.contains("dedupe"));
    assert_eq!(go(&["show", "market"]).0, 0);
    let (exit, _, stderr) = go(&["show", "none"]);
    assert!(exit == 3 && stderr.contains("hint: the ring is empty"), "{stderr}");
}

#[test]
fn what_is_no_journal_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("x.journal"), "my notes, no newline").unwrap();
    assert_eq!(city(home.path(), &["batch", "report", "x.journal"]).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(home.path().join("x.journal")).unwrap(), "my notes, no newline");
    let none = city(home.path(), &["batch", "report", "y.csv"]);
    assert!(none.status.code() == Some(3) && text(&none.stderr).contains("city batch submit"));
}

#[test]
fn a_registered_type_is_judged_offline_and_its_flaw_is_named() {
    let home = tempfile::tempdir().unwrap();
    let go = |args: &[&str]| {
        let output = city(home.path(), args);
        (output.status.code().unwrap(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../genesis/schemas/env.finding.json");
    let (exit, stdout, stderr) = go(&["-o", "json", "schema", "check", file]);
    assert!(exit == 0 && stdout.contains("\"type\": \"env.finding\""), "{stdout} {stderr}");
    let sample = std::fs::read_to_string(file).unwrap();
    let changed = |name: &str, from: &str, to: &str| {
        assert!(sample.contains(from), "{from}");
        std::fs::write(home.path().join(name), sample.replacen(from, to, 1)).unwrap();
        go(&["schema", "check", name])
    };
    let (exit, _, stderr) = changed("a.json", "\"#/$defs/decimal\"", "\"https://example.org/decimal.json\"");
    assert!(exit == 5 && stderr.contains("SCHEMA_UNSUPPORTED") && stderr.contains("/$ref"), "{stderr}");
    let (exit, _, stderr) = changed("b.json", "\"coverage_pct\": 101", "\"coverage_pct\": 100");
    assert!(exit == 2 && stderr.contains("more than the whole"), "{stderr}");
    let (exit, _, stderr) = changed("c.json", "\"key\": \"env.finding\"", "\"key\": \"credit.finding\"");
    assert!(exit == 5 && stderr.contains("MALFORMED_JSON") && stderr.contains("family outside"), "{stderr}");
    // A second version may add, and nothing else.
    let second = sample.replace("\"version\": 1", "\"version\": 2").replace(
        "\"from\": \"2026-01-01\",\n  \"schema\"",
        "\"from\": \"2026-07-01\",\n  \"previous_until\": \"2026-07-31\",\n  \"schema\"",
    );
    std::fs::write(home.path().join("d.json"), &second).unwrap();
    assert_eq!(go(&["schema", "check", "d.json", "--follows", file]).0, 0);
    std::fs::write(home.path().join("e.json"), second.replace("\"maxLength\": 16", "\"maxLength\": 17"))
        .unwrap();
    let (exit, _, stderr) = go(&["schema", "check", "e.json", "--follows", file]);
    assert!(exit == 5 && stderr.contains("SCHEMA_INCOMPATIBLE") && stderr.contains("/pollutant"), "{stderr}");
}
