//! Every wrong transaction gets its own code, through the API and through `city`; right ones beside them are
//! not lost, and no validator panics. Tests compare the NAME of the catalogue's entry.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::code::Code;
use chain_core::codec::encode;
use chain_core::crypto::{Digest, Signature};
use chain_core::execute::Verdict;
use chain_core::id::ChainId;
use chain_core::operation::Operation;
use chain_core::record::RecordType;
use chain_core::transaction::Submission;
use city_tests::cluster::clerk::{Officer, now_ms, officers};
use city_tests::cluster::http::{self, Failed};
use city_tests::cluster::{Cluster, sheet};

/// What a submission came to: the name of a refusal, by the API or by all validators, or `accepted`.
fn verdict(answer: Result<chain_core::api::TransactionStatus, Failed>) -> String {
    match answer {
        Err(failed) => failed.name(),
        Ok(status) => match status.outcomes.first().map(|outcome| &outcome.verdict) {
            Some(Verdict::Accepted { duplicate: true, .. }) => "duplicate".to_owned(),
            Some(Verdict::Accepted { .. }) => "accepted".to_owned(),
            Some(Verdict::Refused(refusal)) => refusal.code.name().to_owned(),
            None => format!("no outcome at stage {:?}", status.stage),
        },
    }
}

/// Signed anew after a change.
fn changed(officer: &Officer, submission: Submission, change: impl FnOnce(&mut Submission)) -> Submission {
    let mut submission = submission;
    change(&mut submission);
    submission.signed = submission.signed.transaction.sign(&officer.key);
    submission
}

#[test]
fn every_wrong_transaction_gets_its_own_code_through_the_api() {
    let cluster = Cluster::up();
    let clerks = officers(&cluster.genesis, &cluster.keys, "clerk", 30);
    let clerk = &clerks[0];
    let other = clerks.iter().find(|one| one.agency != clerk.agency).expect("two agencies");
    let supervisor = officers(&cluster.genesis, &cluster.keys, "supervisor", 30)
        .into_iter()
        .find(|one| one.agency == clerk.agency)
        .expect("a supervisor");
    let url = cluster.nodes[0].url();
    let send = |submission: &Submission| verdict(http::submit(&url, submission));
    let post = |kind: &str, bytes: &[u8]| verdict(http::post(&format!("{url}/v1/transactions"), kind, bytes));

    assert_eq!(send(&clerk.file("first", "first")), "accepted");

    let mut foreign = clerk.file("foreign", "foreign");
    foreign.signed.transaction.chain_id = ChainId::new(Digest::tagged(b"another chain", &[]));
    assert_eq!(send(&changed(clerk, foreign, |_| {})), "WRONG_CHAIN");

    let expired = changed(clerk, clerk.file("late", "late"), |one| {
        one.signed.transaction.valid_until_ms = now_ms() - 3_600_000;
    });
    assert_eq!(send(&expired), "EXPIRED");
    let too_long = changed(clerk, clerk.file("long", "long"), |one| {
        one.signed.transaction.valid_until_ms = now_ms() + 30 * 24 * 3_600_000;
    });
    assert_eq!(send(&too_long), "VALIDITY_TOO_LONG");

    let mut unsigned = clerk.file("unsigned", "unsigned");
    unsigned.signed.signature = Signature::ZERO;
    assert_eq!(send(&unsigned), "BAD_SIGNATURE");
    let mut lifted = clerk.file("lifted", "lifted");
    lifted.signed.signature = clerk.file("first", "first").signed.signature;
    assert_eq!(send(&lifted), "BAD_SIGNATURE");

    let empty = clerk.sign(Vec::new());
    assert_eq!(send(&empty), "NO_OPERATIONS");
    let many: Vec<_> = (0..1_025)
        .map(|_| {
            let record = clerk.filing("first", "first").header.record;
            (Operation::Withdraw { record, version: 1 }, None)
        })
        .collect();
    assert_eq!(send(&clerk.sign(many)), "TOO_MANY_OPERATIONS");

    let bodiless = changed(clerk, clerk.file("bodiless", "bodiless"), |one| one.bodies[0] = None);
    assert_eq!(send(&bodiless), "BODY_MISSING");
    let swapped = changed(clerk, clerk.file("swapped", "swapped"), |one| {
        one.bodies = clerk.file("first", "first").bodies;
    });
    assert_eq!(send(&swapped), "BODY_COMMITMENT");

    assert_eq!(post("application/octet-stream", b"\x01nonsense"), "MALFORMED_BYTES");
    let right = encode(&clerk.file("trailing", "trailing")).unwrap();
    assert_eq!(post("application/octet-stream", &[&right[..], &[0]].concat()), "MALFORMED_BYTES");
    assert_eq!(post("application/json", b"{\"signed\": "), "MALFORMED_JSON");
    assert_eq!(post("application/json", b"\xff\xfe{}"), "MALFORMED_JSON");
    let deep = "[".repeat(100_000);
    assert_eq!(post("application/json", deep.as_bytes()), "MALFORMED_JSON");
    assert_eq!(post("text/plain", b"hello"), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(post("application/octet-stream", &vec![1; 600 * 1024]), "SIZE_LIMIT");
    // Beyond what is read at all, the connection may close before the answer is read.
    let huge = post("application/json", &vec![b' '; 3 * 1024 * 1024]);
    assert!(huge == "SIZE_LIMIT" || huge.contains("roken") || huge.contains("reset"), "{huge}");

    // From here on the validators decide: the transaction is ordered, its outcome says why not.
    let (operation, body, _) = clerk.filing("role", "role").submit();
    assert_eq!(send(&supervisor.sign(vec![(operation, body)])), "ROLE_NOT_ALLOWED");
    let (operation, body, _) = clerk.filing("agency", "agency").submit();
    assert_eq!(send(&other.sign(vec![(operation, body)])), "AGENCY_NOT_COMPETENT");
    let stranger = Officer {
        key: chain_core::crypto::SecretKey::from_seed([0x77; 32]),
        ..officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0)
    };
    assert_eq!(send(&stranger.file("stranger", "stranger")), "UNKNOWN_AUTHOR");
    assert_eq!(send(&clerk.file("first", "something else")), "IDEMPOTENCY_CONFLICT");

    // The very same transaction again is recognised by its id, here and elsewhere, and takes no effect.
    let again = clerk.file("again", "again");
    assert_eq!(send(&again), "accepted");
    for node in &cluster.nodes {
        let answer = verdict(http::submit(&node.url(), &again));
        assert!(answer == "accepted" || answer == "REPLAYED", "{answer}");
    }
    // The same key and content under a new signature is the same record.
    let resigned =
        changed(clerk, clerk.file("again", "again"), |one| one.signed.transaction.valid_until_ms -= 1);
    assert_ne!(resigned.signed.transaction.id(), again.signed.transaction.id());
    assert_eq!(send(&resigned), "duplicate");

    assert_eq!(send(&clerk.file("last", "last")), "accepted");
    cluster.wait_agreed();
    // Nothing is lost and nothing is there twice.
    for node in &cluster.nodes {
        let page: serde_json::Value =
            http::get(&format!("{}/v1/records?type={}", node.url(), RecordType::DocFingerprint.name()))
                .unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), 3, "{}", node.name);
    }
    cluster.assert_clean();
}

/// A key of a role in the ring: its name and agency.
fn key_of(cluster: &Cluster, role: &str, agency: Option<&str>, not: Option<&str>) -> (String, String) {
    let list: toml::Table =
        toml::from_str(&std::fs::read_to_string(cluster.keys.join("keyring.toml")).unwrap()).unwrap();
    let field =
        |entry: &toml::Value, name: &str| entry.get(name).and_then(toml::Value::as_str).map(str::to_owned);
    let keys = list["key"].as_array().unwrap();
    keys.iter()
        .filter(|entry| field(entry, "role").as_deref() == Some(role))
        .map(|entry| (field(entry, "name").unwrap(), field(entry, "agency").unwrap()))
        .find(|(_, of)| agency.is_none_or(|one| one == of) && not.is_none_or(|one| one != of))
        .unwrap()
}

fn document(agency: &str, basis: &str, sha: &[u8]) -> String {
    let sha256 = Digest::tagged(sha, &[]);
    format!(
        r#"{{"type":"egov.doc_fingerprint","agency":"{agency}","legal_basis":"{basis}","body":{{"custody":[{{"lang":"en","text":"registry"}}],"media_type":"application/pdf","purpose":"archive","sha256":"{sha256}","size":4096}}}}"#
    )
}

#[test]
fn every_wrong_record_gets_its_own_code_through_the_command() {
    let cluster = Cluster::up();
    let (clerk, agency) = key_of(&cluster, "clerk", None, None);
    let (supervisor, _) = key_of(&cluster, "supervisor", Some(&agency), None);
    let (foreigner, _) = key_of(&cluster, "clerk", None, Some(&agency));
    let kind = RecordType::DocFingerprint.name();
    let bases = &cluster.genesis.document().legal_bases;
    let basis = bases
        .iter()
        .find(|one| one.permits.types.iter().any(|name| name == kind) && one.countersign_roles.is_empty())
        .unwrap();
    let submit = |name: &str, text: &str, more: &[&str]| {
        let file = cluster.dir().join(format!("{name}.json"));
        std::fs::write(&file, text).unwrap();
        let mut args = vec!["record", "submit", file.to_str().unwrap(), "--idempotency-key", name];
        args.extend(more);
        let output = cluster.city(&args);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{said}");
        (output.status.success(), said)
    };
    let refused = |name: &str, text: &str, more: &[&str], code: Code| {
        let (ok, said) = submit(name, text, more);
        assert!(!ok && said.contains(code.name()), "{name}: wanted {code}, got {said}");
    };
    let good = document(&agency, &basis.id, b"one");
    let (ok, said) = submit("good", &good, &["--key", &clerk]);
    assert!(ok, "{said}");
    refused("malformed", "{\"type\": ", &["--key", &clerk], Code::MalformedJson);
    refused("role", &document(&agency, &basis.id, b"role"), &["--key", &supervisor], Code::RoleNotAllowed);
    refused(
        "agency",
        &document(&agency, &basis.id, b"agency"),
        &["--key", &foreigner],
        Code::AgencyNotCompetent,
    );
    // A dry run says the same as the validators.
    for (name, key, code) in
        [("role", &supervisor, Code::RoleNotAllowed), ("agency", &foreigner, Code::AgencyNotCompetent)]
    {
        let text = document(&agency, &basis.id, name.as_bytes());
        refused(name, &text, &["--key", key, "--dry-run"], code);
    }
    refused("good", &document(&agency, &basis.id, b"other"), &["--key", &clerk], Code::IdempotencyConflict);
    // Signed for another chain: the same keys under another genesis.
    let text = std::fs::read_to_string(cluster.genesis_file()).unwrap();
    let created = text.lines().find(|line| line.starts_with("created")).unwrap();
    let other = cluster.dir().join("other.toml");
    std::fs::write(&other, text.replace(created, "created = \"2025-01-01T00:00:00Z\"")).unwrap();
    let other = other.to_str().unwrap();
    let elsewhere = document(&agency, &basis.id, b"elsewhere");
    refused("elsewhere", &elsewhere, &["--key", &clerk, "--genesis", other], Code::WrongChain);
    let fat = document(&agency, &basis.id, b"fat").replace("registry", &"x".repeat(700 * 1024));
    let (ok, said) = submit("fat", &fat, &["--key", &clerk]);
    assert!(!ok && said.contains("E0"), "{said}");

    // A spreadsheet that names one decision number twice: the second row is refused, by `city` and, when its
    // checks are skipped, by the validators.
    let sheet = sheet::licences(7, 3);
    let mut rows: Vec<&str> = sheet.lines().collect();
    let twice = rows[1].replace("准予食品经营许可", "准予别的许可");
    rows.push(&twice);
    let path = cluster.dir().join("twice.csv");
    std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    let path = path.to_str().unwrap();
    for (journal, raw) in [("checked.journal", &[][..]), ("raw.journal", &["--raw"][..])] {
        let journal = cluster.dir().join(journal);
        let mut args = vec![
            "batch",
            "submit",
            path,
            "--map",
            "licences",
            "--journal",
            journal.to_str().unwrap(),
            "-o",
            "json",
        ];
        args.extend(raw);
        let output = cluster.city(&args);
        let said = String::from_utf8_lossy(&output.stdout);
        let named = [Code::DuplicateNaturalKey, Code::IdempotencyConflict]
            .iter()
            .any(|code| said.contains(code.name()));
        assert!(named, "{raw:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    }
    // A journal that has forgotten what became of its rows sends the very same bytes again: nothing changes.
    let count = || {
        let page: serde_json::Value =
            http::get(&format!("{}/v1/records?type=credit.licence&limit=500", cluster.nodes[0].url()))
                .unwrap();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count(), 3);
    let journal = cluster.dir().join("checked.journal");
    let text = std::fs::read_to_string(&journal).unwrap();
    let forgot: String =
        text.split_inclusive('\n').filter(|line| !line.contains("\"kind\":\"final\"")).collect();
    assert!(forgot.len() < text.len());
    std::fs::write(&journal, forgot).unwrap();
    let resumed = cluster.city(&["batch", "resume", journal.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(count(), 3, "replayed: {said}");
    cluster.wait_agreed();
    cluster.assert_clean();
}
