//! Bodies that are not public are read at the agency's own node, and every question is in its log: by whom, in which role, for what
//! purpose, with a proof under the root that the agency anchors; also after the node was killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use chain_core::crypto::Digest;
use chain_core::date::Date;
use city_tests::cluster::{Cluster, done, said};
use serde_json::{Value, json};

/// The agency that files; it runs a validator of its own.
const AGENCY: &str = "uscc:11320100MAXEYHTT33";
/// Another one that does: [`HOST`].
const OTHER: &str = "uscc:11320100MAXP23YC3L";
/// One that runs none, and is at home at [`HOST`].
const GUEST: &str = "uscc:11320100MAXWCL3B8Y";
const HOST: &str = "market-regulation";
/// Another guest, of [`AGENCY`].
const STRANGER: &str = "uscc:11320100MAX74G4N2C";
/// What the body alone says.
const NAME: &str = "示例早餐铺";

const HEADINGS: &str = "行政相对人名称,行政相对人类别,行政相对人代码_1(统一社会信用代码),\
行政相对人代码_2(工商注册号),行政相对人代码_3(组织机构代码),行政相对人代码_4(税务登记号),\
行政相对人代码_5(事业单位证书号),行政相对人代码_6(社会组织登记证号),法定代表人,法定代表人证件类型,\
法定代表人证件号码,证件类型,证件号码,行政处罚决定书文号,违法行为类型,违法事实,处罚依据,处罚类别,处罚内容,\
罚款金额(万元),没收违法所得、没收非法财物的金额(万元),暂扣或吊销证照名称及编号,处罚决定日期,处罚有效期,公示截止期,\
处罚机关,处罚机关统一社会信用代码,数据来源单位,数据来源单位统一社会信用代码,备注";

/// A fine for an individual business: its body is a person's.
fn file(cluster: &Cluster) -> String {
    let row = format!(
        "{NAME},个体工商户,,320100600123456,,,,,,,,,,示罚〔2026〕7号,超标排放,经查明（虚构）。,\
         《中华人民共和国安全生产法》,罚款,罚款0.05万元,0.05,,,2026-10-10,,2027-10-09,\
         示例市应急管理局,11320100MAXEYHTT33,示例市应急管理局,11320100MAXEYHTT33,一般"
    );
    let sheet = cluster.dir().join("fine.csv");
    std::fs::write(&sheet, format!("{HEADINGS}\n{row}\n")).unwrap();
    let journal = cluster.dir().join("fine.journal");
    let (sheet, journal) = (sheet.to_string_lossy(), journal.to_string_lossy());
    let filed =
        cluster.city(&["batch", "submit", &sheet, "--map", "penalties", "--journal", &journal, "-o", "json"]);
    let item = done(&filed)["items"][0].clone();
    item["record"].as_str().unwrap_or_else(|| panic!("{item}")).to_owned()
}

/// A call for tenders of [`STRANGER`] that is not opened yet.
fn tender(cluster: &Cluster) -> String {
    let body = json!({
        "ocid": "ocds-a1b2c3-2026-18", "release_id": "1-tender", "tags": ["tender"],
        "date": "2026-05-06T10:00:00+08:00", "title": [{ "lang": "zh-Hans", "text": "实验室设备" }],
        "buyer": STRANGER, "method": "open", "status": "planned",
        "package": Digest::tagged(b"package", &[]).to_string(),
        "origin": { "system": "tenders", "method": "manual" },
    });
    let basis = "cn-government-procurement";
    let draft = json!({
        "type": "egov.procurement", "agency": STRANGER, "legal_basis": basis, "class": "P2", "body": body,
    });
    let path = cluster.dir().join("tender.json");
    std::fs::write(&path, draft.to_string()).unwrap();
    let filed = done(&cluster.city(&["record", "submit", &path.to_string_lossy(), "-o", "json"]));
    filed["items"][0]["record"].as_str().unwrap_or_else(|| panic!("{filed}")).to_owned()
}

/// Name of an agency's key in a role.
fn key(cluster: &Cluster, agency: &str, role: &str) -> String {
    let keys = done(&cluster.city(&["key", "list", "-o", "json"]));
    let found =
        keys["items"].as_array().unwrap().iter().find(|key| key["agency"] == agency && key["role"] == role);
    found.unwrap_or_else(|| panic!("{role} of {agency}"))["name"].as_str().unwrap().to_owned()
}

fn access(cluster: &Cluster, args: &[&str], agency: &str, role: &str) -> Output {
    let key = key(cluster, agency, role);
    let asked = ["--purpose", "objection 12", "--key", &key, "-o", "json"];
    cluster.city(&[&["access"], args, &asked].concat())
}

fn refused(output: &Output, code: &str) {
    assert!(!output.status.success() && said(output).contains(code), "{code}: {}", said(output));
}

fn day(cluster: &Cluster, ago_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let offset = cluster.genesis.document().utc_offset_minutes;
    Date::of_time(u64::try_from(now).unwrap() - ago_ms, offset).to_string()
}

fn who(cluster: &Cluster, record: &str) -> Vec<Value> {
    let asked = done(&access(cluster, &["who", record], AGENCY, "privacy_officer"));
    asked["items"].as_array().unwrap().clone()
}

/// Entries of a whole day, in a file.
fn whole_day(cluster: &Cluster, day: &str) -> PathBuf {
    let path = cluster.dir().join(format!("{day}.json"));
    done(&access(cluster, &["day", day, "--out", &path.to_string_lossy()], AGENCY, "auditor"));
    path
}

fn verify(cluster: &Cluster, path: &Path) -> Output {
    cluster.city(&["access", "verify", &path.to_string_lossy(), "-o", "json"])
}

/// How many entries an agency's log has of a day.
fn entries_of(cluster: &Cluster, agency: &str, day: &str) -> u64 {
    let gateway = key(cluster, agency, "gateway");
    let root = done(&cluster.city(&["access", "root", day, "--key", &gateway, "-o", "json"]));
    assert_eq!(root["agency"], agency, "{root}");
    root["queries"].as_u64().unwrap_or_else(|| panic!("{root}"))
}

#[test]
fn an_agency_without_a_validator_keeps_bodies_and_its_log_at_its_host() {
    let mut cluster = Cluster::up();
    let host = cluster.nodes.iter().position(|node| node.name == HOST).unwrap();
    let day = day(&cluster, 0);
    // A batch of commitments; its body is of class P4.
    let document = cluster.dir().join("document.json");
    std::fs::write(
        &document,
        r#"{"resourceType":"Immunization","id":"1","occurrenceDateTime":"2026-10-10"}"#,
    )
    .unwrap();
    let journal = cluster.dir().join("document.journal");
    let [document, journal] = [&document, &journal].map(|path| path.to_string_lossy().into_owned());
    let args = ["batch", "submit", &document, "--map", "fhir", "--journal", &journal, "--agency", GUEST];
    let filed = done(&cluster.city(&[&args[..], &["-o", "json"]].concat()));
    let record = filed["items"][0]["record"].as_str().unwrap_or_else(|| panic!("{filed}")).to_owned();

    let read = |cluster: &Cluster, agency: &str| access(cluster, &["read", &record], agency, "clerk");
    let body = done(&read(&cluster, GUEST));
    assert!(body["root"].is_string(), "{body}");
    // Who runs the node that keeps it learns nothing of it, nor does anybody else.
    refused(&read(&cluster, OTHER), "AGENCY_NOT_COMPETENT");
    refused(&read(&cluster, STRANGER), "AGENCY_NOT_COMPETENT");
    // Each has a log of its own: the guest's read, and what the host's officer was refused.
    assert_eq!((entries_of(&cluster, GUEST, &day), entries_of(&cluster, OTHER, &day)), (1, 1));

    // Body and log are on the disk, each under its agency's key.
    cluster.nodes[host].kill();
    let report = cluster.nodes[host].run("fsck");
    assert!(report.status.success() && said(&report).contains("vault: 3 entries read"), "{}", said(&report));
    let config = std::fs::read_to_string(&cluster.nodes[host].config).unwrap();
    let guests = config.find("[[vault.guests]]").unwrap();
    std::fs::write(&cluster.nodes[host].config, &config[..guests]).unwrap();
    let report = cluster.nodes[host].run("fsck");
    assert_eq!(report.status.code(), Some(4), "{}", said(&report));
    assert_eq!(said(&report).matches("does not open").count(), 2, "{}", said(&report));
    // Without the guest's key the node serves its own agency, and sends the guest away.
    cluster.nodes[host].start();
    cluster.wait_caught_up(host);
    refused(&read(&cluster, GUEST), "NOT_OWN_NODE");
    let again = [&args[..], &["-o", "json"]].concat();
    std::fs::remove_file(&journal).unwrap();
    std::fs::write(
        &document,
        r#"{"resourceType":"Immunization","id":"2","occurrenceDateTime":"2026-10-11"}"#,
    )
    .unwrap();
    refused(&cluster.city(&again), "NOT_OWN_NODE");
    cluster.nodes[host].terminate();
    cluster.nodes[host].ended_within(std::time::Duration::from_secs(30)).unwrap();
    std::fs::write(&cluster.nodes[host].config, config).unwrap();
    cluster.nodes[host].start();
    cluster.wait_caught_up(host);
    assert_eq!(done(&read(&cluster, GUEST)), body);
    assert_eq!(entries_of(&cluster, GUEST, &day), 2);
    cluster.assert_clean();
}

#[test]
fn every_question_of_an_officer_is_in_the_log_and_the_day_is_anchored() {
    let mut cluster = Cluster::up();
    let record = file(&cluster);
    let public = done(&cluster.city(&["record", "get", &record, "-o", "json"]));
    assert!(!public.to_string().contains(NAME), "{public}");

    // Who may read does, and who may not is told why; both are written down.
    let read = |role: &str| access(&cluster, &["read", &record], AGENCY, role);
    for role in ["clerk", "supervisor"] {
        let body = done(&read(role));
        assert_eq!(body["subject"]["name"], NAME, "{body}");
    }
    refused(&read("agency_admin"), "ROLE_NOT_ALLOWED");
    refused(&access(&cluster, &["who", &record], AGENCY, "clerk"), "ROLE_NOT_ALLOWED");
    // At another agency's node its officers learn nothing.
    refused(&access(&cluster, &["read", &record], OTHER, "clerk"), "AGENCY_NOT_COMPETENT");

    let entries = who(&cluster, &record);
    let told = |entries: &[Value]| -> Vec<String> {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        entries
            .iter()
            .map(|row| [text(row, "role"), text(row, "question"), text(row, "outcome")].join(" "))
            .collect()
    };
    let wanted = [
        "clerk body answered",
        "supervisor body answered",
        "agency_admin body ROLE_NOT_ALLOWED",
        "clerk who_asked ROLE_NOT_ALLOWED",
    ];
    assert_eq!(told(&entries), wanted);
    assert!(entries.iter().all(|row| row["purpose"] == "objection 12" && row["record"] == record.as_str()));

    // N reads, N entries: a killed node has forgotten none of them, the question before it included.
    let home = cluster.nodes.iter().position(|node| node.name == "emergency-management").unwrap();
    cluster.nodes[home].kill();
    let config = cluster.nodes[home].config.clone();
    let readers = format!(
        "\n[[vault.readers]]\nagency = \"{OTHER}\"\nof = \"{STRANGER}\"\ntypes = [\"egov.procurement\"]\n"
    );
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &readers).unwrap();
    cluster.nodes[home].start();
    cluster.wait_caught_up(home);
    let after = who(&cluster, &record);
    assert_eq!(told(&after), [&wanted[..], &["privacy_officer who_asked answered"]].concat());

    // What is restricted to named agencies is read by these, and logged with the agency whose it is.
    let tender = tender(&cluster);
    let of = |reader: &str| access(&cluster, &["read", &tender, "--of", STRANGER], reader, "clerk");
    assert_eq!(done(&of(OTHER))["ocid"], "ocds-a1b2c3-2026-18");
    refused(&of(GUEST), "NOT_OWN_NODE");
    refused(&access(&cluster, &["read", &tender], OTHER, "clerk"), "AGENCY_NOT_COMPETENT");
    assert_eq!(entries_of(&cluster, STRANGER, &day(&cluster, 0)), 1);

    // The present day is proved, and said not to be anchored; one entry less, or another purpose, is no proof.
    let today = after[0]["day"].as_str().unwrap().to_owned();
    let path = whole_day(&cluster, &today);
    refused(&verify(&cluster, &path), "NOT_FINAL");
    let good: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    type Change = fn(&mut Value);
    let lies: [(&str, Change); 3] = [
        ("left out", |file| drop(file["days"][0]["entries"].as_array_mut().unwrap().remove(1))),
        ("purpose", |file| file["days"][0]["entries"][0]["entry"]["asked"]["query"]["purpose"] = "x".into()),
        ("role", |file| file["days"][0]["entries"][0]["entry"]["role"] = "auditor".into()),
    ];
    for (what, lie) in lies {
        let mut file = good.clone();
        lie(&mut file);
        let path = cluster.dir().join("lie.json");
        std::fs::write(&path, file.to_string()).unwrap();
        refused(&verify(&cluster, &path), "PROOF_INVALID");
        println!("{what}: refused");
    }

    // A day that is over, on which nobody asked, is anchored; one that is not cannot be.
    let gateway = key(&cluster, AGENCY, "gateway");
    let anchor = |day: &str| {
        let out = cluster.dir().join(format!("root-{day}.json"));
        let out = out.to_string_lossy();
        let root =
            ["access", "root", day, "--key", &gateway, "--legal-basis", "sz-social-credit", "--out", &out];
        let root = done(&cluster.city(&[&root[..], &["-o", "json"]].concat()));
        (root, cluster.city(&["record", "submit", &out, "--key", &gateway, "-o", "json"]))
    };
    let before = day(&cluster, 2 * 24 * 3_600_000);
    let (root, filed) = anchor(&before);
    assert_eq!(root["queries"], 0, "{root}");
    let anchor_record = done(&filed)["items"][0]["record"].as_str().unwrap().to_owned();
    refused(&anchor(&day(&cluster, 0)).1, "DATE_ORDER");
    let path = whole_day(&cluster, &before);
    let verdict = done(&verify(&cluster, &path));
    assert_eq!(verdict["items"][0]["verdict"], "VALID", "{verdict}");
    // A root that the record does not say is not anchored by it.
    let mut lie: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    lie["days"][0]["root"]["day"] = day(&cluster, 3 * 24 * 3_600_000).into();
    let path = cluster.dir().join("lie.json");
    std::fs::write(&path, lie.to_string()).unwrap();
    refused(&verify(&cluster, &path), "PROOF_INVALID");
    // One that a supervisor takes back anchors nothing any more.
    done(&cluster.city(&["record", "revoke", &anchor_record, "--reason", "filed_in_error", "-o", "json"]));
    refused(&verify(&cluster, &whole_day(&cluster, &before)), "NOT_FINAL");
    cluster.assert_clean();
}
