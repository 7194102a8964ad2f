//! All that is published about an organisation, proved by running validators: the list is complete with our command,
//! offline, and before a checker in Python that shares no code with us; with one record hidden it is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chain_core::crypto::Digest;
use city_tests::cluster::canary::holds;
use city_tests::cluster::{Cluster, done, said, wait_for};
use city_tests::skip;
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);
/// The validator that is stopped in order and started again.
const RESTARTED: usize = 3;
/// Invented firms with valid check characters.
const FIRM: &str = "uscc:91440300100012316L";
const OTHER: &str = "uscc:91320199MAXBERYK7A";

const HEADINGS: &str = "行政相对人名称,行政相对人类别,行政相对人代码_1(统一社会信用代码),\
行政相对人代码_2(工商注册号),行政相对人代码_3(组织机构代码),行政相对人代码_4(税务登记号),\
行政相对人代码_5(事业单位证书号),行政相对人代码_6(社会组织登记证号),法定代表人,法定代表人证件类型,\
法定代表人证件号码,证件类型,证件号码,行政处罚决定书文号,违法行为类型,违法事实,处罚依据,处罚类别,处罚内容,\
罚款金额(万元),没收违法所得、没收非法财物的金额(万元),暂扣或吊销证照名称及编号,处罚决定日期,处罚有效期,公示截止期,\
处罚机关,处罚机关统一社会信用代码,数据来源单位,数据来源单位统一社会信用代码,备注";

/// A fine for a firm, published for a year.
fn row(firm: &str, number: u32) -> String {
    let code = firm.trim_start_matches("uscc:");
    format!(
        "示例食品有限公司,法人及非法人组织,{code},,,,,,,,,,,示罚〔2026〕{number}号,超标排放,经查明（虚构）。,\
         《中华人民共和国安全生产法》,罚款,罚款0.05万元,0.05,,,2026-10-10,,2027-10-09,\
         示例市应急管理局,11320100MAXEYHTT33,示例市应急管理局,11320100MAXEYHTT33,一般"
    )
}

/// Files penalties and has them approved; gives their records.
fn publish(cluster: &Cluster, name: &str, rows: &[String]) -> Vec<String> {
    let sheet = cluster.dir().join(format!("{name}.csv"));
    std::fs::write(&sheet, format!("{HEADINGS}\n{}\n", rows.join("\n"))).unwrap();
    let journal = cluster.dir().join(format!("{name}.journal"));
    let (sheet, journal) = (sheet.to_string_lossy(), journal.to_string_lossy());
    let filed =
        cluster.city(&["batch", "submit", &sheet, "--map", "penalties", "--journal", &journal, "-o", "json"]);
    let items = done(&filed)["items"].as_array().unwrap().clone();
    let records: Vec<String> = items
        .iter()
        .map(|item| {
            assert_eq!(item["outcome"], "accept", "{item}");
            item["record"].as_str().unwrap().to_owned()
        })
        .collect();
    for who in [["--role", "clerk", "--nth", "2"], ["--role", "supervisor", "--nth", "1"]] {
        let mut args = vec!["record", "countersign"];
        args.extend(records.iter().map(String::as_str));
        args.extend(who);
        args.extend(["-o", "json"]);
        done(&cluster.city(&args));
    }
    records
}

/// Asks for a proof until it names so many records; gives what the command says of it, and its file.
fn prove(cluster: &Cluster, firm: &str, count: usize, at: Option<u64>, name: &str) -> (Value, PathBuf) {
    let path = cluster.dir().join(name);
    let out = path.to_string_lossy().into_owned();
    let at = at.map(|at| at.to_string());
    let mut args = vec!["subject", "prove", firm, "--out", &out, "-o", "json"];
    args.extend(at.iter().flat_map(|at| ["--at", at]));
    let said = wait_for("the approvals are under a checkpoint", PATIENCE, || {
        let row = done(&cluster.city(&args))["items"][0].clone();
        (row["count"].as_u64() == Some(count as u64)).then_some(row)
    });
    (said, path)
}

fn sorted(mut records: Vec<String>) -> Value {
    records.sort();
    records.into()
}

#[test]
fn the_list_of_an_organisation_is_complete_or_refused() {
    let mut cluster = Cluster::up();
    let mine = publish(&cluster, "firm", &[1, 2, 3].map(|number| row(FIRM, number)));
    let other = publish(&cluster, "other", &[row(OTHER, 4)]);

    let (three, first) = prove(&cluster, FIRM, 3, None, "three.subject-proof.json");
    assert_eq!(three["records"], sorted(mine.clone()));
    let (one, second) = prove(&cluster, OTHER, 1, None, "one.subject-proof.json");
    assert_eq!(one["records"], sorted(other.clone()));
    let nobody = prove(&cluster, "uscc:91320100MAX000000U", 0, None, "x").0;
    assert_eq!(nobody["records"], sorted(Vec::new()));

    // One is taken out of publication: it is gone from the list now, and still in that of then.
    let then = three["height"].as_u64().unwrap();
    let stop = ["record", "stop-publication", &mine[1], "--reason", "wrong firm", "-o", "json"];
    done(&cluster.city(&[&stop[..], &["--role", "supervisor"]].concat()));
    let (two, third) = prove(&cluster, FIRM, 2, None, "two.subject-proof.json");
    assert_eq!(two["records"], sorted(vec![mine[0].clone(), mine[2].clone()]));
    let (before, fourth) = prove(&cluster, FIRM, 3, Some(then), "then.subject-proof.json");
    assert_eq!((&before["records"], &before["height"]), (&three["records"], &three["height"]));

    // Offline, and with one record hidden, one more, or the list of then for the one of now.
    let good = [&first, &second, &third, &fourth].map(|path| path.to_string_lossy().into_owned());
    let read =
        |path: &Path| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
    let (whole, single, now) = (read(&first), read(&second), read(&third));
    let mut lies = vec![whole.clone(), whole.clone(), single.clone(), now.clone(), now];
    lies[0]["records"].as_array_mut().unwrap().remove(1);
    lies[1]["records"].as_array_mut().unwrap().push(single["records"][0].clone());
    lies[1]["records"].as_array_mut().unwrap().sort_by_key(|one| one["record"].to_string());
    lies[2]["records"] = Vec::<Value>::new().into();
    lies[3]["records"] = whole["records"].clone();
    lies[4]["seal"] = whole["seal"].clone();
    let lies: Vec<String> = (0..)
        .zip(&lies)
        .map(|(at, lie)| {
            let path = cluster.dir().join(format!("lie-{at}.subject-proof.json"));
            std::fs::write(&path, lie.to_string()).unwrap();
            path.to_string_lossy().into_owned()
        })
        .collect();
    let genesis = cluster.genesis_file().to_string_lossy().into_owned();
    let verify = |file: &str| {
        let args = ["subject", "verify", "--genesis", &genesis, "-o", "json", file];
        cluster.city_command(&args).env("CITY_NODE", "http://127.0.0.1:9").output().unwrap()
    };
    for file in &good {
        assert_eq!(done(&verify(file))["items"][0]["verdict"], "COMPLETE");
    }
    for file in &lies {
        let refused = verify(file);
        let code = ["PROOF_INVALID", "LEAF_MISMATCH"].iter().any(|code| said(&refused).contains(code));
        assert!(code && !refused.status.success(), "{file}: {}", said(&refused));
    }
    let policy = cluster.dir().join("trust-policy.txt");
    let policy_text = policy.to_string_lossy();
    done(&cluster.city(&["trust", "export", "--epoch", "0", "--out", &policy_text, "-o", "json"]));
    independent(&policy, &good, &lies);

    keyless(&mut cluster);
    let salt = |proof: &Value| proof["records"][0]["salt"].as_str().unwrap().to_owned();
    erased(&mut cluster, &other[0], &salt(&single), &salt(&whole));

    // The auditor has not the key: the index comes from the blocks, under the certified roots.
    let audit = cluster.city(&["audit", "chain", "-o", "json"]);
    assert!(audit.status.success(), "{}", said(&audit));
    cluster.wait_agreed();
    cluster.assert_clean();
}

/// A node with another key, or with none, does not start; with the right one it catches up.
fn keyless(cluster: &mut Cluster) {
    done(&cluster.city(&["key", "new", "another", "--kind", "subjects", "-o", "json"]));
    let node = &mut cluster.nodes[RESTARTED];
    node.terminate();
    assert!(node.ended_within(PATIENCE).unwrap().success());
    let config = node.data().with_file_name("node.toml");
    let right = std::fs::read_to_string(&config).unwrap();
    let line = right.lines().find(|line| line.starts_with("subjects = ")).unwrap();
    for wrong in
        [String::new(), line.replace("subjects.pem", "another.pem"), line.replace("subjects.pem", "none.pem")]
    {
        std::fs::write(&config, right.replace(line, &wrong)).unwrap();
        let refused = node.run("check");
        let code = if wrong.contains("none.pem") { "FILE_NOT_FOUND" } else { "CONFIG_INVALID" };
        assert!(!refused.status.success() && said(&refused).contains(code), "{wrong}: {}", said(&refused));
        assert!(said(&refused).contains("subjects") || code == "FILE_NOT_FOUND", "{}", said(&refused));
    }
    std::fs::write(&config, right).unwrap();
    node.start();
    cluster.wait_caught_up(RESTARTED);
}

/// A record whose body is erased leaves the list; and a node that builds its ledger again, which has the body no more and
/// so cannot know whose it was, comes to the same list.
/// The salt, with which anybody could try out firms against the log, is in no file any more.
fn erased(cluster: &mut Cluster, record: &str, gone: &str, kept: &str) {
    let erase = ["record", "erase", record, "--ground", "court", "--note", "file 9/2026", "-o", "json"];
    done(&cluster.city(&erase));
    done(&cluster.city(&["record", "countersign", record, "--role", "auditor", "-o", "json"]));
    prove(cluster, OTHER, 0, None, "erased.subject-proof.json");
    let certificate = cluster.dir().join("erased.state-proof.json").to_string_lossy().into_owned();
    let entry = format!("erasure:{record}");
    wait_for("everybody's word", PATIENCE, || {
        let proved = cluster.city(&["state", "prove", &entry, "--out", &certificate, "-o", "json"]);
        let proof: Value = serde_json::from_str(&std::fs::read_to_string(&certificate).ok()?).ok()?;
        (proved.status.success() && proof["decoded"]["awaited"].as_array()?.is_empty()).then_some(())
    });
    // The one that was stopped since the record was listed: there the salt has been in a file.
    let node = &mut cluster.nodes[RESTARTED];
    node.terminate();
    assert!(node.ended_within(PATIENCE).unwrap().success());
    for (salt, there) in [(gone, false), (kept, true)] {
        let raw: Digest = salt.parse().unwrap();
        for bytes in [raw.as_bytes(), salt.as_bytes()] {
            assert_eq!(holds(&node.data(), bytes), there, "the salt {salt}");
        }
    }
    node.delete_ledger();
    node.start();
    cluster.wait_one_voting(RESTARTED);
    cluster.wait_caught_up(RESTARTED);
    let url = cluster.nodes[RESTARTED].url();
    let out = cluster.dir().join("rebuilt.subject-proof.json").to_string_lossy().into_owned();
    for (firm, count) in [(OTHER, 0), (FIRM, 2)] {
        wait_for("a list from the ledger that was built again", PATIENCE, || {
            let asked = ["subject", "prove", firm, "--out", &out, "-o", "json"];
            let proved = cluster.city_command(&asked).env("CITY_NODE", &url).output().unwrap();
            let said: Value = serde_json::from_slice(&proved.stdout).ok()?;
            (said["items"][0]["count"] == count).then_some(())
        });
    }
}

/// The same files before the checker that was written from the book alone.
fn independent(policy: &Path, good: &[String], lies: &[String]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/complete.py");
    let run =
        |files: &[String]| Command::new("python3").arg("-B").arg(&script).arg(policy).args(files).output();
    let Ok(judged) = run(good) else {
        return skip(
            "cluster_subject::the_list_of_an_organisation_is_complete_or_refused",
            "python3 is not installed",
        );
    };
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success() && said.lines().all(|line| line.starts_with("complete: ")), "{said}");
    for lie in lies {
        let judged = run(std::slice::from_ref(lie)).unwrap();
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(!judged.status.success() && said.starts_with("refused: "), "{lie}: {said}");
    }
}
