mod documents;

use std::path::PathBuf;

use chain_core::block::{Flags, HEADER_VERSION, Header};
use chain_core::crypto::Signature;
use chain_core::execute::{OrderedBatch, OrderedBlock, Outcome, Verdict};
use chain_core::genesis::AgencyEntry;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::ledger::MemoryLedger;
use chain_core::subject::Index;
use chain_core::transaction::Batch;

use super::*;
use crate::app::read_genesis;
use crate::commands::start::devnet::create;
use crate::import::sheet::Sheet;
use crate::passphrase;
use crate::registered::{newest, of_genesis};

/// The time of every block here: 23 November 2026, 10:00 in the sample city.
const NOW_MS: u64 = 1_795_399_200_000;

struct Desk {
    _folder: tempfile::TempDir,
    genesis: Genesis,
    catalogue: Catalogue,
    ring: KeyRing,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let layout = create::fill(folder.path(), folder.path(), 4, 7100).unwrap();
    let genesis = read_genesis(&layout.genesis()).unwrap();
    let catalogue = Catalogue::of(&genesis).unwrap();
    let ring = KeyRing::open(&layout.keys(), passphrase::Source { file: None, no_input: true }).unwrap();
    Desk { _folder: folder, genesis, catalogue, ring }
}

/// A folder of the shared test data; says that the test is skipped where there is none.
fn data_of(test: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CITY_TEST_DATA").map(|folder| PathBuf::from(folder).join(name));
    if folder.is_none() {
        println!("skipped: {test}: CITY_TEST_DATA is unset");
    }
    folder
}

fn data(test: &str) -> Option<PathBuf> {
    data_of(test, "double_publicity")
}

fn expected(folder: &std::path::Path, name: &str) -> Vec<(u64, String, String)> {
    let text = std::fs::read_to_string(folder.join(format!("{name}_expected.csv"))).unwrap();
    let row = |line: &str| {
        let mut cells = line.splitn(3, ',');
        let mut next = || cells.next().unwrap_or("").to_owned();
        (next().parse().unwrap(), next(), next())
    };
    text.lines().skip(1).map(row).collect()
}

fn judged(desk: &Desk, mapping: &str, sheet: &Sheet, raw: bool, ring: Option<&KeyRing>) -> Judged {
    let (mapping, _) = Mapping::load(mapping).unwrap();
    judged_by(desk, &mapping, &Source::from(sheet.clone()), raw, ring)
}

fn judged_by(desk: &Desk, mapping: &Mapping, source: &Source, raw: bool, ring: Option<&KeyRing>) -> Judged {
    let today = "2026-11-23".parse().unwrap();
    let record_type: RecordType = mapping.record_type.parse().unwrap();
    let registered = match record_type {
        RecordType::Registered(key) => Some(newest(&of_genesis(&desk.genesis), key, today).unwrap()),
        _ => None,
    };
    // Whose records these are, where the sheet does not say it.
    let competent = |agency: &&AgencyEntry| agency.types.contains(&mapping.record_type);
    let agency = desk.genesis.document().agencies.iter().find(competent).map(|agency| agency.id.as_str());
    let (registered, catalogue, mapping) = (registered.as_ref(), &desk.catalogue, mapping);
    let processes = Processes::new();
    let judging = Judging { catalogue, mapping, registered, agency, processes, today, raw, ring };
    judge_sheet(judging, source, &BTreeSet::new()).unwrap()
}

fn table(judged: &Judged) -> Vec<(u64, String, String)> {
    let accepted = judged.ready.iter().map(|(row, _)| (row.row, "accept".to_owned(), row.notes.to_string()));
    let refused =
        judged.refused.iter().map(|row| (row.row, "reject".to_owned(), row.refusal.code.name().to_owned()));
    let mut rows: Vec<_> = accepted.chain(refused).collect();
    rows.sort();
    rows
}

/// Executes transactions one after the other, as validators do: without the bodies that must not travel.
fn execute(genesis: &Genesis, sent: &[Sent]) -> Vec<(u64, Outcome)> {
    let mut ledger = MemoryLedger::new(genesis.chain_params(), &genesis.state().unwrap()).unwrap();
    let mut outcomes = Vec::new();
    for (at, sent) in sent.iter().enumerate() {
        let mut submission: Submission = codec::decode(&sent.bytes().unwrap()).unwrap();
        assert!(submission.signed.verify_signature());
        for (operation, body) in submission.signed.transaction.operations.iter().zip(&mut submission.bodies) {
            if operation.shared_body_commit().is_none() {
                *body = None;
            }
        }
        let batch = Batch { signed: unused_batch(genesis), submissions: vec![submission] };
        let header = header(genesis, at as u64 + 1);
        let ordered = OrderedBatch { batch: &batch, signatures_ok: &[true], recorded: None };
        let done = ledger
            .execute(&OrderedBlock { header: &header, batches: vec![ordered], index: Index::Recorded(None) })
            .unwrap();
        outcomes.extend(sent.rows.iter().copied().zip(done));
    }
    outcomes
}

fn header(genesis: &Genesis, height: u64) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: genesis.chain_id(),
        epoch: Epoch::ZERO,
        view: View::ZERO,
        height: Height::new(height),
        parent: Digest::ZERO,
        proposer: ValidatorIx::new(0),
        time_ms: NOW_MS + height,
        flags: Flags::NONE,
        lanes_root: Digest::ZERO,
        batches_root: Digest::ZERO,
        n_batches: 1,
        n_records: 1,
        n_bytes: 1,
        exec_height: Height::ZERO,
        exec_root: Digest::ZERO,
        history_root: Digest::ZERO,
        validators_hash: Digest::ZERO,
        next_validators_hash: Digest::ZERO,
    }
}

fn unused_batch(genesis: &Genesis) -> SignedBatchHeader {
    SignedBatchHeader {
        header: BatchHeader {
            chain_id: genesis.chain_id(),
            epoch: Epoch::ZERO,
            author: ValidatorIx::new(0),
            seq: 0,
            prev: Digest::ZERO,
            payload_root: Digest::ZERO,
            bytes: 0,
            count: 0,
            time_ms: 0,
        },
        signature: Signature::ZERO,
    }
}

#[test]
fn every_row_of_the_double_publicity_files_is_judged_as_listed() {
    let Some(folder) = data("every_row_of_the_double_publicity_files_is_judged_as_listed") else { return };
    let desk = desk();
    let mut seen = 0;
    for name in ["licences", "penalties"] {
        let sheet = Sheet::read(&folder.join(format!("{name}.csv"))).unwrap();
        let want = expected(&folder, name);
        seen += want.len();
        // With keys and without: a clerk may check a file before having any.
        for ring in [Some(&desk.ring), None] {
            assert_eq!(table(&judged(&desk, name, &sheet, false, ring)), want, "{name}");
        }
    }
    assert_eq!(seen, 140);
}

#[test]
fn accepted_rows_are_accepted_by_the_ledger_too() {
    let Some(folder) = data("accepted_rows_are_accepted_by_the_ledger_too") else { return };
    let desk = desk();
    for name in ["licences", "penalties"] {
        let sheet = Sheet::read(&folder.join(format!("{name}.csv"))).unwrap();
        let judged = judged(&desk, name, &sheet, false, Some(&desk.ring));
        let good = judged.ready.len();
        let sent = sign(&desk.ring, &desk.genesis, judged.ready, ("clerk", 1), 7, NOW_MS).unwrap();
        let outcomes = execute(&desk.genesis, &sent);
        assert_eq!(outcomes.len(), good);
        for (row, outcome) in outcomes {
            assert!(matches!(outcome.verdict, Verdict::Accepted { .. }), "{name} row {row}: {outcome:?}");
        }
    }
}

#[test]
fn validators_reach_the_same_verdicts_when_the_client_checks_nothing() {
    let Some(folder) = data("validators_reach_the_same_verdicts_when_the_client_checks_nothing") else {
        return;
    };
    let desk = desk();
    for name in ["licences", "penalties"] {
        let sheet = Sheet::read(&folder.join(format!("{name}.csv"))).unwrap();
        let judged = judged(&desk, name, &sheet, true, Some(&desk.ring));
        assert_eq!(judged.refused, [], "{name}: nothing is refused locally");
        let hidden: BTreeSet<u64> = judged
            .ready
            .iter()
            .filter(|(row, _)| !row.class.body_is_shared())
            .map(|(row, _)| row.row)
            .collect();
        let sent = sign(&desk.ring, &desk.genesis, judged.ready, ("clerk", 1), 100, NOW_MS).unwrap();
        let outcomes: BTreeMap<u64, Verdict> =
            execute(&desk.genesis, &sent).into_iter().map(|(row, outcome)| (row, outcome.verdict)).collect();
        for (row, outcome, notes) in expected(&folder, name) {
            let got = match &outcomes[&row] {
                Verdict::Accepted { .. } => "accept".to_owned(),
                Verdict::Refused(refusal) => refusal.code.name().to_owned(),
            };
            let want = if outcome == "accept" { outcome } else { notes };
            // Bodies about persons stay in the vault: what only they show, validators cannot see.
            assert!(
                got == want || (hidden.contains(&row) && got == "accept"),
                "{name} row {row}: {got}, not {want}"
            );
        }
    }
}

/// The key ring of a desk without an agency's keys in a role.
fn ring_without(desk: &Desk, agency: &str, role: &str) -> KeyRing {
    let list = desk.ring.folder().join("keyring.toml");
    let text = std::fs::read_to_string(&list).unwrap();
    let role = format!("\"{role}\"");
    let kept: Vec<&str> =
        text.split("[[key]]").filter(|entry| !(entry.contains(agency) && entry.contains(&role))).collect();
    std::fs::write(&list, kept.join("[[key]]")).unwrap();
    KeyRing::open(desk.ring.folder(), passphrase::Source { file: None, no_input: true }).unwrap()
}

#[test]
fn without_the_key_of_an_authority_its_good_rows_are_refused_and_the_others_are_not() {
    let Some(folder) =
        data("without_the_key_of_an_authority_its_good_rows_are_refused_and_the_others_are_not")
    else {
        return;
    };
    let desk = desk();
    let gone = "uscc:11320100MAXP23YC3L";
    let ring = ring_without(&desk, gone, "clerk");
    let sheet = Sheet::read(&folder.join("licences.csv")).unwrap();
    let mut locked = 0;
    let got = table(&judged(&desk, "licences", &sheet, false, Some(&ring)));
    for (got, want) in got.iter().zip(expected(&folder, "licences")) {
        let row = sheet.rows().nth(usize::try_from(want.0).unwrap() - 1).unwrap();
        if want.1 == "accept" && row.cell("许可机关统一社会信用代码") == "11320100MAXP23YC3L" {
            assert_eq!(got.2, "NO_KEY_FOR_AUTHORITY", "row {}", want.0);
            locked += 1;
        } else {
            assert_eq!(*got, want);
        }
    }
    assert!(locked > 5);
}

#[test]
fn a_group_never_mixes_authorities_nor_persons_with_others() {
    let Some(folder) = data("a_group_never_mixes_authorities_nor_persons_with_others") else { return };
    let desk = desk();
    let sheet = Sheet::read(&folder.join("licences.csv")).unwrap();
    let judged = judged(&desk, "licences", &sheet, false, Some(&desk.ring));
    for sent in sign(&desk.ring, &desk.genesis, judged.ready, ("clerk", 1), 5, NOW_MS).unwrap() {
        let submission: Submission = codec::decode(&sent.bytes().unwrap()).unwrap();
        let transaction = &submission.signed.transaction;
        assert!(transaction.operations.len() <= 5 && !transaction.atomic);
        let headers: Vec<_> = transaction.operations.iter().filter_map(|one| one.header()).collect();
        let private = sent.home.is_some();
        for header in headers {
            assert_eq!(header.class.body_is_shared(), !private);
            let clerk = desk.ring.of(&header.agency.to_string(), "clerk")[0].public;
            assert_eq!(transaction.author, clerk);
        }
    }
}

#[test]
fn the_sample_generator_and_the_judge_agree_about_every_flaw() {
    use crate::commands::start::devnet::sample;
    let desk = desk();
    for (name, made) in
        [("licences", sample::licences(7, 1, 600)), ("penalties", sample::penalties(7, 1, 400))]
    {
        let sheet = Sheet::parse(name, made.csv.as_bytes()).unwrap();
        let judged = judged(&desk, name, &sheet, false, Some(&desk.ring));
        let got: Vec<(u64, Code)> = judged.refused.iter().map(|row| (row.row, row.refusal.code)).collect();
        assert_eq!(got, made.flaws, "{name}");
        assert!(got.len() > 15, "{name}: {} flaws", got.len());
    }
}

/// The rows of our own lists of what becomes of permits, inspections and requests.
fn listed(name: &str) -> Vec<(u64, String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports");
    expected(&folder, name)
}

#[test]
fn permits_inspections_and_requests_are_judged_as_listed() {
    let test = "permits_inspections_and_requests_are_judged_as_listed";
    let desk = desk();
    for (name, folder, file) in [
        ("permits", "building_permits", "permits.csv"),
        ("inspections", "food_inspections", "inspections.csv"),
        ("requests", "open311", "requests.json"),
    ] {
        let Some(folder) = data_of(test, folder) else { return };
        let sheet = Sheet::read(&folder.join(file)).unwrap();
        let want = listed(name);
        assert_eq!(want.len(), sheet.len(), "{name}");
        for ring in [Some(&desk.ring), None] {
            assert_eq!(table(&judged(&desk, name, &sheet, false, ring)), want, "{name}");
        }
    }
}

#[test]
fn a_mapping_that_would_be_ignored_in_part_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.toml");
    for (from, to, word) in [
        ("kind = \"integer\"", "kind = \"integer\"\nfactor = \"2\"", "factor"),
        ("kind = \"text\"", "kind = \"text\"\nterm = { from = \"AppliedDate\", working_days = 3 }", "term"),
        ("north = \"32.7\"", "north = \"31.0\"", "south"),
        ("egov.building_permit\"\nclass", "credit.licence\"\nclass", "official"),
    ] {
        let (_, text) = Mapping::load("permits").unwrap();
        let text = text.replacen(from, to, 1).replacen(
            "[[field]]",
            if word == "official" {
                "[[field]]\nname = \"agency\"\nkind = \"agency\"\n\n[[field]]"
            } else {
                "[[field]]"
            },
            1,
        );
        std::fs::write(&path, text).unwrap();
        let error = Mapping::load(path.to_str().unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::BadMapping);
        assert!(error.report().contains(word), "{word}: {}", error.report());
    }
}
