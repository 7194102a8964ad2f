//! The official data sets, judged row by row. The data folder is named by `CITY_TEST_DATA`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chain_core::build::{self, Filing};
use chain_core::code::Code;
use chain_core::execute::GenesisState;
use chain_core::identifier::{
    ResidentCheck, check_lei, check_resident_number, check_uscc, contains_resident_number,
};
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use serde_json::{Value, json};

use crate::city::{City, DEDUPE_KEY, agency_details, basis_details, chain, member_details, public};

/// The rows of a CSV file without its heading: fields up to the first three commas, none of them quoted.
pub(crate) fn rows(test: &str, file: &str) -> Option<Vec<[String; 3]>> {
    let Ok(folder) = std::env::var("CITY_TEST_DATA") else {
        println!("skipped: {test}: CITY_TEST_DATA is unset");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(file)).unwrap();
    let row = |line: &str| {
        let mut fields = line.trim_end_matches('\r').splitn(4, ',').map(str::to_owned);
        [0; 3].map(|_| fields.next().unwrap_or_default())
    };
    Some(text.lines().skip(1).map(row).collect())
}

#[test]
fn social_credit_codes_are_judged_as_listed() {
    let Some(rows) = rows("social_credit_codes_are_judged_as_listed", "identifiers/uscc.csv") else {
        return;
    };
    assert!(rows.len() >= 70, "{} rows", rows.len());
    for [code, expected, error] in rows {
        let got = check_uscc(&code).map_err(|code| code.name().trim_start_matches("USCC_"));
        let want = if expected == "valid" { Ok(()) } else { Err(error.as_str()) };
        assert_eq!(got, want, "{code:?}");
    }
}

#[test]
fn legal_entity_identifiers_are_judged_as_listed() {
    let Some(rows) = rows("legal_entity_identifiers_are_judged_as_listed", "identifiers/lei.csv") else {
        return;
    };
    assert!(rows.len() >= 50, "{} rows", rows.len());
    for [lei, expected, error] in rows {
        let got = check_lei(&lei).map_err(|code| code.name().trim_start_matches("LEI_"));
        let want = if expected == "valid" { Ok(()) } else { Err(error.as_str()) };
        assert_eq!(got, want, "{lei:?}");
    }
}

#[test]
fn resident_numbers_are_judged_as_listed() {
    let name = "resident_numbers_are_judged_as_listed";
    let Some(rows) = rows(name, "identifiers/resident_number_algorithm.csv") else {
        return;
    };
    for [number, expected, note] in rows {
        let want = match expected.as_str() {
            "check-ok" => ResidentCheck::Valid,
            "check-bad" => ResidentCheck::WrongCheck,
            _ => ResidentCheck::NotEighteen,
        };
        assert_eq!(check_resident_number(&number), want, "{note}");
        if note.starts_with("worked example") {
            assert!(contains_resident_number(&number), "{note}");
        }
    }
}

#[test]
fn no_valid_organisation_code_is_taken_for_a_person() {
    let name = "no_valid_organisation_code_is_taken_for_a_person";
    for file in ["identifiers/uscc.csv", "identifiers/lei.csv"] {
        let Some(rows) = rows(name, file) else {
            return;
        };
        for [code, ..] in rows.iter().filter(|[_, expected, _]| expected == "valid") {
            assert!(!contains_resident_number(code), "{code}");
        }
    }
}

type Row = BTreeMap<String, String>;

fn table(test: &str, file: &str) -> Option<Vec<Row>> {
    let Ok(folder) = std::env::var("CITY_TEST_DATA") else {
        println!("skipped: {test}: CITY_TEST_DATA is unset");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join("double_publicity").join(file)).unwrap();
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let names: Vec<&str> = lines.next()?.split(',').collect();
    let row = |line: &str| {
        names.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect()
    };
    Some(lines.map(row).collect())
}

/// Full-width digits and letters to ASCII: what even the crudest client does.
fn narrow(text: &str) -> String {
    let narrowed = |c: char| match c {
        '！'..='～' => char::from_u32(u32::from(c) - 0xfee0).unwrap(),
        _ => c,
    };
    text.trim().chars().map(narrowed).collect()
}

/// `YYYY-MM-DD` out of the four styles, whether there is such a day or not.
fn day(text: &str) -> String {
    let text = narrow(text).replace(['年', '月', '/'], "-").replace('日', "");
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => format!("{year}-{month:0>2}-{day:0>2}"),
        _ if text.len() == 8 => format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]),
        _ => text,
    }
}

/// Moves the decimal point of 万元 by six places, without any check.
fn fen(amount: &str) -> Value {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let digits = format!("{whole}{kept:0<6}");
    match digits.parse::<i64>() {
        Ok(minor) if rest.is_empty() => json!(minor),
        _ => json!(format!("{digits}.{rest}")),
    }
}

fn texts(text: &str) -> Value {
    if text.is_empty() { json!([]) } else { json!([{ "lang": "zh-Hans", "text": text }]) }
}

/// A client without a single local check sends every row; the code it gets back.
struct Careless {
    city: City,
    sent: usize,
}

impl Careless {
    fn new(issuers: &[String]) -> Self {
        let mut genesis = GenesisState::default();
        for code in issuers {
            let org: chain_core::org::OrgId = format!("uscc:{code}").parse().unwrap();
            let mut agency = agency_details("A1", &[RecordType::Licence, RecordType::Penalty]);
            agency.id = org.clone();
            agency.admins = [1, 2].map(|at| crate::city::new_key(&format!("{code}/admin{at}"))).to_vec();
            genesis.agencies.push(agency);
            for post in ["clerk1", "clerk2"] {
                let mut member = member_details("A1", post);
                member.key = crate::city::new_key(&format!("{code}/{post}"));
                member.agency = org.clone();
                genesis.members.push(member);
            }
        }
        genesis.bases.push(basis_details("any"));
        Self { city: City::with(&genesis), sent: 0 }
    }

    fn send(&mut self, record_type: RecordType, row: &Row, mut body: Value) -> Option<Code> {
        self.sent += 1;
        let get = |name: &str| narrow(row.get(name).map_or("", String::as_str));
        let issuer = if record_type == RecordType::Licence {
            get("许可机关统一社会信用代码")
        } else {
            get("处罚机关统一社会信用代码")
        };
        let kind = get("行政相对人类别");
        let (subject_kind, class) = match kind.as_str() {
            "自然人" => (SubjectKind::Person, Class::P3),
            "个体工商户" => (SubjectKind::IndividualBusiness, Class::P3),
            _ => (SubjectKind::Organisation, Class::P1),
        };
        let code = get("行政相对人代码_1(统一社会信用代码)");
        body["subject"] = json!({ "kind": subject_kind.name(), "name": get("行政相对人名称") });
        if !code.is_empty() {
            body["subject"]["id"] = json!(format!("uscc:{code}"));
        }
        body["issuer"] = json!(format!("uscc:{issuer}"));
        body["data_source"] = body["issuer"].clone();
        body["origin"] = json!({ "system": "spreadsheet", "method": "import" });
        let has_basis = record_type == RecordType::Licence || !get("处罚依据").is_empty();
        let idempotency_key = format!("row-{}", self.sent);
        let filing = Filing {
            chain_id: chain().chain_id,
            agency: format!("uscc:{issuer}").parse().unwrap(),
            dedupe_key: DEDUPE_KEY,
            idempotency_key: &idempotency_key,
            record_type,
            version: 1,
            class,
            subject_kind,
            legal_basis: has_basis.then(|| BasisRef { id: "any".to_owned(), version: 1 }),
            salt: chain_core::crypto::Digest::tagged(b"salt", &[idempotency_key.as_bytes()]),
            officers: ["clerk1", "clerk2"].map(|post| public(&format!("{issuer}/{post}"))).to_vec(),
            refs: Vec::new(),
            publication: [None, None, None],
            dispose_on: None,
        };
        let filed = build::file(&filing, &body.to_string()).unwrap();
        self.city.submit(&format!("{issuer}/clerk1"), filed).err()
    }
}

fn issuers(rows: &[Row], column: &str) -> Vec<String> {
    let mut issuers: Vec<String> = rows.iter().map(|row| narrow(&row[column])).collect();
    issuers.sort();
    issuers.dedup();
    issuers
}

/// Whether only the body decides, and it is one that validators never see.
fn hidden_from_validators(row: &Row, want: &str) -> bool {
    let personal = row["行政相对人类别"] != "法人及非法人组织";
    let body_only = ["BAD_DATE", "NEGATIVE_AMOUNT", "AMOUNT_BELOW_MINOR_UNIT", "USCC_CHECK_CHAR"];
    personal && body_only.contains(&want)
}

fn compare(row: &Row, expected: &Row, got: Option<Code>) {
    let (outcome, notes) = (&expected["outcome"], &expected["notes"]);
    let number = &expected["row"];
    match got {
        _ if hidden_from_validators(row, notes) => {}
        None => assert_eq!(outcome, "accept", "row {number}: accepted, wants {notes}"),
        Some(code) => {
            assert_eq!((outcome.as_str(), notes.as_str()), ("reject", code.name()), "row {number}");
        }
    }
}

#[test]
fn validators_judge_licences_of_a_careless_client_as_listed() {
    let name = "validators_judge_licences_of_a_careless_client_as_listed";
    let (Some(rows), Some(expected)) = (table(name, "licences.csv"), table(name, "licences_expected.csv"))
    else {
        return;
    };
    let mut client = Careless::new(&issuers(&rows, "许可机关统一社会信用代码"));
    for (row, expected) in rows.iter().zip(&expected) {
        let get = |name: &str| narrow(&row[name]);
        let class = match row["许可类别"].as_str() {
            "普通" => "ordinary",
            "特许" => "concession",
            "认可" => "recognition",
            "核准" => "approval",
            "登记" => "registration",
            _ => "other",
        };
        let mut body = json!({
            "decision_no": get("行政许可决定文书号"),
            "decision_title": texts(&get("行政许可决定文书名称")),
            "licence_class": class,
            "certificate_name": get("许可证书名称"),
            "certificate_no": get("许可编号"),
            "content": texts(&get("许可内容")),
            "decided_on": day(&row["许可决定日期"]),
            "valid_from": day(&row["有效期自"]),
        });
        let to = day(&row["有效期至"]);
        if to != "2099-12-31" {
            body["valid_to"] = json!(to);
        }
        let got = client.send(RecordType::Licence, row, body);
        compare(row, expected, got);
    }
    assert_eq!((client.sent, rows.len()), (expected.len(), expected.len()));
}

#[test]
fn validators_judge_penalties_of_a_careless_client_as_listed() {
    let name = "validators_judge_penalties_of_a_careless_client_as_listed";
    let (Some(rows), Some(expected)) = (table(name, "penalties.csv"), table(name, "penalties_expected.csv"))
    else {
        return;
    };
    let mut client = Careless::new(&issuers(&rows, "处罚机关统一社会信用代码"));
    for (row, expected) in rows.iter().zip(&expected) {
        let get = |name: &str| narrow(&row[name]);
        let kinds: Vec<&str> = row["处罚类别"]
            .split('|')
            .map(|kind| match kind {
                "警告" => "warning",
                "罚款" => "fine",
                "吊销许可证件" => "licence_revoked",
                _ => "other",
            })
            .collect();
        let severity = match row["备注"].as_str() {
            "轻微" => "minor",
            "严重" => "serious",
            _ => "ordinary",
        };
        let mut body = json!({
            "decision_no": get("行政处罚决定书文号"),
            "violation_type": texts(&get("违法行为类型")),
            "facts": texts(&get("违法事实")),
            "basis_cited": texts(&get("处罚依据")),
            "penalty_kinds": kinds,
            "content": texts(&get("处罚内容")),
            "severity": severity,
            "procedure": "ordinary",
            "hearing": "not_required",
            "decided_on": day(&row["处罚决定日期"]),
        });
        for (member, column) in
            [("fine", "罚款金额(万元)"), ("confiscated", "没收违法所得、没收非法财物的金额(万元)")]
        {
            if !get(column).is_empty() {
                body[member] = json!({ "currency": "CNY", "minor": fen(&get(column)) });
            }
        }
        if !row["公示截止期"].is_empty() {
            body["publish_from"] = json!(day(&row["处罚决定日期"]));
            body["publish_until"] = json!(day(&row["公示截止期"]));
        }
        let got = client.send(RecordType::Penalty, row, body);
        compare(row, expected, got);
    }
    assert_eq!((client.sent, rows.len()), (expected.len(), expected.len()));
}
