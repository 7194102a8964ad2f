//! What scripts rely on: data on stdout, talk on stderr, documented exit codes, and errors with code and hint.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside the functions that clippy exempts")]

use std::path::Path;
use std::process::{Command, Output};

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
    let (_, table, _) = run(&["batch", "mappings"]);
    assert_eq!(table, "NAME       TYPE\nlicences   credit.licence\npenalties  credit.penalty\n");
    let (_, csv, _) = run(&["batch", "mappings", "-o", "csv"]);
    assert_eq!(csv, "name,type\nlicences,credit.licence\npenalties,credit.penalty\n");
    let (_, ids, _) = run(&["batch", "mappings", "-o", "id"]);
    assert_eq!(ids, "licences\npenalties\n");
    let (_, lines, _) = run(&["batch", "mappings", "-o", "jsonl", "--fields", "type"]);
    assert_eq!(lines, "{\"type\":\"credit.licence\"}\n{\"type\":\"credit.penalty\"}\n");
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
}

#[test]
fn keys_are_encrypted_and_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("pass"), "correct horse battery\n").unwrap();
    let new = ["--passphrase-file", "pass", "key", "new", "m-ortiz", "--agency", "uscc:A", "--role", "clerk"];
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
