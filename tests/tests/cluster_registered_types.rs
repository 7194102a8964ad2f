//! Registered record types through real processes: records of types from the genesis, one about a person that stands in the
//! vault of its own agency alone, a body that breaks its schema and is turned away before it is ordered, and a second version of
//! a type that the council votes while the network runs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::api::RecordView;
use chain_core::build::{Filing, file_registered};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use chain_core::org::OrgId;
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::SchemaDetails;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use city_tests::cluster::canary::holds;
use city_tests::cluster::council::Council;
use city_tests::cluster::{Cluster, Node, PATIENCE, done, http, said};
use city_tests::officer;
use serde_json::{Value, json};

const REQUEST: &str = "egov.service_request";
const INSPECTION: &str = "commerce.food_inspection";

/// What the genesis says of a type: its schema, its legal basis, and the first agency that may file it and runs a validator.
fn known(genesis: &Genesis, name: &str) -> (SchemaDetails, String, OrgId) {
    let document = genesis.document();
    let schema = document.registered_types.iter().find(|one| one.key.as_str() == name).unwrap();
    let permits = |types: &[String]| types.iter().any(|one| one == name);
    let basis = document.legal_bases.iter().find(|one| permits(&one.permits.types)).unwrap();
    let agency = document.agencies.iter().find(|one| permits(&one.types)).unwrap();
    (schema.clone(), basis.id.clone(), agency.id.parse().unwrap())
}

/// Files a draft as a clerk does; gives what the command says of it.
fn submit(cluster: &Cluster, name: &str, draft: &Value) -> std::process::Output {
    let path = cluster.dir().join(format!("{name}.json"));
    std::fs::write(&path, draft.to_string()).unwrap();
    cluster.city(&["record", "submit", path.to_str().unwrap(), "-o", "json"])
}

fn record_of(output: &std::process::Output) -> String {
    done(output)["items"][0]["record"].as_str().unwrap().to_owned()
}

/// What a node shows of a record.
fn shown(node: &Node, record: &str) -> RecordView {
    http::get(&format!("{}/v1/records/{record}", node.url())).unwrap()
}

fn request(agency: &OrgId, number: &str) -> Value {
    json!({
        "request_id": number, "service_code": "street-light", "status": "open", "stage": "received",
        "agency": agency, "opened_on": "2026-05-06", "requested": "2026-05-06T09:00:00+08:00",
        "updated": "2026-05-06T09:10:00+08:00",
        "place": { "lat_e4": 320_600, "lon_e4": 1_187_900, "datum": "CGCS2000" },
        "summary": [{ "lang": "zh-Hans", "text": "路灯不亮" }],
        "description": Digest::tagged(b"what the caller said", &[]),
        "origin": { "system": "office", "method": "manual" },
    })
}

fn inspection(number: &str, kind: &str, inspectors: &[Value]) -> Value {
    let code = if kind == "organisation" { "91440300100012316L" } else { "92320199MAX0B0FC0W" };
    json!({
        "inspection_no": number, "date": "2026-05-06", "kind": "routine", "result": "conform",
        "inspectors": inspectors, "publish_by": "2026-06-03",
        "subject": { "id": format!("uscc:{code}"), "kind": kind, "name": "示例食品店" },
    })
}

/// Files a body under the headers that it leads to, as somebody does who has the key and asks no rules.
fn forged(cluster: &Cluster, body: &Value) -> Result<(), String> {
    let (schema, basis, agency) = known(&cluster.genesis, REQUEST);
    let registered = RegisteredType::new(schema).unwrap();
    let wanted = |found: &[officer::Officer], of: &OrgId| found.is_empty() && *of == agency;
    let clerk = officer::officers(&cluster.genesis, &cluster.keys, "clerk", wanted).unwrap().remove(0);
    let filing = Filing {
        chain_id: clerk.chain_id,
        agency,
        dedupe_key: b"test-dedupe-key",
        idempotency_key: "forged",
        record_type: RecordType::Registered(registered.details().key),
        version: 1,
        class: Class::P0,
        subject_kind: SubjectKind::None,
        legal_basis: Some(BasisRef { id: basis, version: 1 }),
        salt: Digest::tagged(b"test-salt", &[]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None; 3],
        dispose_on: None,
    };
    let (operation, body, _) = file_registered(&filing, &registered, &body.to_string()).unwrap().submit();
    let submission = clerk.sign_until(officer::now_ms() + 60_000, vec![(operation, body)]);
    http::submit(&cluster.nodes[0].url(), &submission).map(|_| ()).map_err(|failed| failed.name())
}

#[test]
fn agencies_file_records_of_types_that_the_council_registered() {
    let mut cluster = Cluster::up();
    let (_, basis, agency) = known(&cluster.genesis, REQUEST);
    let of_request =
        |body: Value| json!({ "type": REQUEST, "agency": agency, "legal_basis": basis, "body": body });

    let record = record_of(&submit(&cluster, "request", &of_request(request(&agency, "SR-1"))));
    cluster.wait_agreed();
    for node in &cluster.nodes {
        let held = shown(node, &record);
        assert_eq!((held.record_type.as_str(), held.status.as_str()), (REQUEST, "effective"));
        assert_eq!(held.body.unwrap()["request_id"], "SR-1", "{}", node.name);
    }

    // A member that the schema does not know: the clerk's program says so, and whoever goes around it is told by the node.
    let mut caller = request(&agency, "SR-2");
    caller["caller"] = json!("x");
    let output = submit(&cluster, "caller", &of_request(caller.clone()));
    assert!(said(&output).contains(Code::UnknownField.name()), "{}", said(&output));
    let height = cluster.wait_agreed().committed;
    assert_eq!(forged(&cluster, &caller), Err(Code::UnknownField.name().to_owned()));
    assert_eq!(forged(&cluster, &request(&agency, "SR-2")), Ok(()), "the same without it");
    assert!(cluster.wait_agreed().committed > height);

    let inspected = inspections(&cluster);
    let second = second_version(&cluster, &of_request(request(&agency, "SR-3")));

    let audit = cluster.city(&["audit", "chain", "--no-memory"]);
    assert!(audit.status.success(), "{}", said(&audit));
    // Each of them by itself: public, sealed in a vault, and under either version of its type.
    for record in inspected.iter().chain([&record, &second]) {
        let audit = cluster.city(&["audit", "record", record, "--evidence", cluster.dir().to_str().unwrap()]);
        assert!(audit.status.success(), "{record}: {}", said(&audit));
    }
    cluster.assert_clean();
    // What is about a person stands sealed in one vault and nowhere in clear.
    for node in &mut cluster.nodes {
        node.terminate();
        assert!(node.ended_within(PATIENCE).expect("it stops").success(), "{}", node.name);
        let held =
            ["organisation", "individual_business"].map(|kind| holds(&node.data(), number(kind).as_bytes()));
        assert_eq!(held, [true, false], "{}", node.name);
    }
}

/// The number of the inspection of a subject of a kind, which stands nowhere but in its body.
fn number(kind: &str) -> String {
    format!("inspection-of-{kind}-4711")
}

/// Inspections of a firm and of an individual business, each by two officers.
fn inspections(cluster: &Cluster) -> Vec<String> {
    let (_, basis, agency) = known(&cluster.genesis, INSPECTION);
    let keys = done(&cluster.city(&["key", "list", "-o", "json"]));
    let keys = keys["items"].as_array().unwrap().iter();
    let own = keys.filter(|key| key["agency"] == agency.to_string() && key["role"] == "clerk");
    let inspectors: Vec<Value> = own.map(|key| key["public"].clone()).take(2).collect();
    assert_eq!(inspectors.len(), 2);
    let unnumbered = json!({
        "kind": "organisation", "name": "示例商行", "other_codes": [{ "scheme": "food_business", "value": "F1000" }],
    });
    let mut records = Vec::new();
    for (kind, class) in [("organisation", "P1"), ("individual_business", "P3"), ("unnumbered", "P1")] {
        let mut body = inspection(&number(kind), kind, &inspectors);
        if kind == "unnumbered" {
            body["subject"] = unnumbered.clone();
        }
        let draft = json!({ "type": INSPECTION, "agency": agency, "legal_basis": basis, "body": body });
        let record = record_of(&submit(cluster, kind, &draft));
        cluster.wait_agreed();
        assert_eq!(standing(cluster, &record), [class, "submitted"].map(str::to_owned));
        let second = ["record", "countersign", &record, "--role", "clerk", "--nth", "2", "-o", "json"];
        done(&cluster.city(&second));
        cluster.wait_agreed();
        assert_eq!(standing(cluster, &record), [class, "effective"].map(str::to_owned));
        records.push(record);
    }
    records
}

/// Class and status of a record, the same everywhere.
fn standing(cluster: &Cluster, record: &str) -> [String; 2] {
    let seen = cluster.nodes.iter().map(|node| shown(node, record));
    let mut seen: Vec<_> = seen.map(|view| [view.class, view.status]).collect();
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

/// The council votes a second version with one more member, and records are filed under it.
fn second_version(cluster: &Cluster, draft: &Value) -> String {
    let mut draft = draft.clone();
    draft["body"]["channel"] = json!("counter");
    let output = submit(cluster, "too-early", &draft);
    assert!(said(&output).contains(Code::UnknownField.name()), "{}", said(&output));

    let file = format!("{}/../genesis/schemas/{REQUEST}.json", env!("CARGO_MANIFEST_DIR"));
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    schema["version"] = json!(2);
    schema["from"] = json!("2026-06-01");
    schema["previous_until"] = json!("2040-12-31");
    schema["schema"]["properties"]["channel"] = json!({ "type": "string", "enum": ["counter", "app"] });
    let path = cluster.dir().join("second.json");
    std::fs::write(&path, schema.to_string()).unwrap();
    let council = Council::of(cluster);
    let proposal =
        cluster.city(&["schema", "propose", path.to_str().unwrap(), "--key", council.first(), "-o", "json"]);
    let record = record_of(&proposal);
    for key in council.others(cluster) {
        let output = submit(cluster, "not-yet", &draft);
        assert!(said(&output).contains(Code::UnknownField.name()), "{}", said(&output));
        done(&cluster.city(&["record", "countersign", &record, "--key", key, "-o", "json"]));
        cluster.wait_agreed();
    }
    let filed = record_of(&submit(cluster, "second", &draft));
    cluster.wait_agreed();
    for node in &cluster.nodes {
        assert_eq!(shown(node, &filed).body.unwrap()["channel"], "counter", "{}", node.name);
    }
    draft["body"]["request_id"] = json!("SR-4");
    draft["body"]["channel"] = json!("letter");
    let output = submit(cluster, "third", &draft);
    assert!(said(&output).contains(Code::SchemaInvalid.name()), "{}", said(&output));
    filed
}
