//! The log of reads on the disk.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chain_core::access::{Query, Question, tree};
use chain_core::crypto::SecretKey;
use chain_core::id::{ChainId, RecordId};

use super::*;
use crate::vault::{Holder, Vaults};

/// 2026-05-06 08:00 in UTC.
const NOW: u64 = 1_778_054_400_000;
const HOUR: u64 = 3_600_000;
/// The city's zone, minutes from UTC.
const ZONE: i16 = 480;

fn question(nonce: u64, time_ms: u64) -> SignedQuery {
    let query = Query {
        question: Question::Body,
        record: Some(RecordId::new(Digest::tagged(b"record", &[]))),
        version: None,
        day: None,
        purpose: "objection".to_owned(),
        time_ms,
        nonce: Digest::tagged(b"nonce", &[&nonce.to_be_bytes()]),
    };
    query.sign(ChainId::new(Digest::ZERO), &SecretKey::from_seed([7; 32]))
}

fn key_file(folder: &Path, digit: char) -> PathBuf {
    let path = folder.join(format!("{digit}.key"));
    std::fs::write(&path, digit.to_string().repeat(64)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn holder(folder: &Path, agency: &str, digit: char) -> Holder {
    Holder { agency: agency.to_owned(), key_file: key_file(folder, digit) }
}

/// The vaults of agency `uscc:1` and of its guest `uscc:2`.
fn vaults(folder: &Path) -> Vaults {
    let guest = holder(folder, "uscc:2", 'c');
    Vaults::open(&folder.join("vault"), &holder(folder, "uscc:1", 'a'), &[guest]).unwrap()
}

fn ask(vaults: &Vaults, nonce: u64, now_ms: u64) -> Result<(), Code> {
    ask_in(vaults.of("uscc:1").unwrap(), nonce, now_ms)
}

fn ask_in(vault: &Vault, nonce: u64, now_ms: u64) -> Result<(), Code> {
    let asked = question(nonce, now_ms);
    vault.check_new(&asked, now_ms).map_err(|refusal| refusal.code)?;
    vault.note(&asked, Role::Clerk, None, now_ms, ZONE).map_err(|refusal| refusal.code)
}

fn own(vaults: &Vaults) -> &Vault {
    vaults.of("uscc:1").unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn every_question_has_an_entry_on_the_day_of_the_citys_zone_and_a_restart_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    assert_eq!(ask(&opened, 0, NOW), Ok(()));
    assert_eq!(ask(&opened, 1, NOW + 1), Ok(()));
    drop(opened);
    let opened = vaults(folder.path());
    assert_eq!(ask(&opened, 2, NOW + 2), Ok(()));
    // Midnight in the city is 16:00 in UTC.
    assert_eq!(ask(&opened, 3, NOW + 8 * HOUR - 1), Ok(()));
    assert_eq!(ask(&opened, 4, NOW + 8 * HOUR), Ok(()));
    let first = own(&opened).log_of(day("2026-05-06")).unwrap();
    let nonces: Vec<Digest> = first.iter().map(|entry| entry.asked.query.nonce).collect();
    assert_eq!(nonces, [0, 1, 2, 3].map(|nonce| question(nonce, NOW).query.nonce));
    assert_eq!(own(&opened).log_of(day("2026-05-07")).unwrap().len(), 1);
    assert_eq!(own(&opened).log_of(day("2026-05-05")).unwrap(), []);
    assert_eq!(own(&opened).logged_days().unwrap(), [day("2026-05-06"), day("2026-05-07")]);
    assert_eq!(tree(&first).size(), 4);
}

#[test]
fn a_question_is_answered_once_and_only_for_a_while_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    assert_eq!(ask(&opened, 0, NOW), Ok(()));
    assert_eq!(ask(&opened, 0, NOW), Err(Code::Replayed));
    drop(opened);
    let opened = vaults(folder.path());
    let again = question(0, NOW);
    let refused = |now_ms: u64| own(&opened).check_new(&again, now_ms).map_err(|refusal| refusal.code);
    assert_eq!(refused(NOW + SKEW_MS_MAX), Err(Code::Replayed));
    // By then it is too old to be asked, so it need not be remembered.
    assert_eq!(refused(NOW + SKEW_MS_MAX + 1), Err(Code::Expired));
    assert_eq!(refused(NOW - SKEW_MS_MAX - 1), Err(Code::Expired));
    // Two at once pass the first check, and one of them is written down.
    let both = question(9, NOW);
    own(&opened).check_new(&both, NOW).unwrap();
    own(&opened).note(&both, Role::Clerk, None, NOW, ZONE).unwrap();
    let second = own(&opened).note(&both, Role::Clerk, None, NOW, ZONE).map_err(|refusal| refusal.code);
    assert_eq!(second, Err(Code::Replayed));
}

#[test]
fn a_clock_that_is_put_back_does_not_reorder_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    assert_eq!(ask(&opened, 0, NOW + 8 * HOUR), Ok(()));
    assert_eq!(ask(&opened, 1, NOW), Ok(()));
    let entries = own(&opened).log_of(day("2026-05-07")).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.time_ms).collect::<Vec<_>>(), [NOW + 8 * HOUR; 2]);
    assert_eq!(own(&opened).log_of(day("2026-05-06")).unwrap(), []);
}

#[test]
fn an_entry_that_is_gone_moved_or_under_another_key_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    for nonce in 0..3 {
        assert_eq!(ask(&opened, nonce, NOW + nonce), Ok(()));
    }
    let today = day("2026-05-06");
    let place = |number| Place { day: today, number }.key(&[]);
    let second = opened.db.get(place(1)).unwrap().unwrap();
    let refused = || own(&opened).log_of(today).map(|entries| entries.len()).map_err(|refusal| refusal.code);
    opened.db.delete(place(1)).unwrap();
    assert_eq!(refused(), Err(Code::StorageCorrupt));
    opened.db.put(place(1), opened.db.get(place(0)).unwrap().unwrap()).unwrap();
    assert_eq!(refused(), Err(Code::StorageCorrupt), "an entry is sealed for its place");
    opened.db.put(place(1), second).unwrap();
    assert_eq!(refused(), Ok(3));
    drop(opened);
    let path = folder.path().join("vault");
    let flaws = |digit| Vaults::examine(&path, &[key_file(folder.path(), digit)]).unwrap().flaws.len();
    assert_eq!((flaws('a'), flaws('b')), (0, 3));
    assert_eq!(Vaults::examine(&path, &[]).unwrap().entries, 3);
    let other_key = Vaults::open(&path, &holder(folder.path(), "uscc:1", 'b'), &[]);
    assert!(other_key.is_err(), "its log does not open");
}

#[test]
fn a_backup_keeps_the_log_and_a_restore_adds_what_came_since() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    assert_eq!(ask(&opened, 0, NOW), Ok(()));
    let copy = folder.path().join("copy");
    Vaults::copy(&folder.path().join("vault"), &copy, &folder.path().join("scratch")).unwrap();
    assert_eq!(ask(&opened, 1, NOW + 1), Ok(()));
    drop(opened);
    Vaults::add_all(&folder.path().join("vault"), &copy).unwrap();
    let restored = Vaults::open(&copy, &holder(folder.path(), "uscc:1", 'a'), &[]).unwrap();
    assert_eq!(own(&restored).log_of(day("2026-05-06")).unwrap().len(), 2);
}

#[test]
fn a_guest_has_a_log_of_its_own_that_a_restart_goes_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let opened = vaults(folder.path());
    let guest = |vaults: &Vaults| vaults.of("uscc:2").unwrap().log_of(day("2026-05-06")).unwrap().len();
    assert_eq!(ask(&opened, 0, NOW), Ok(()));
    // The same question at both is two questions.
    assert_eq!(ask_in(opened.of("uscc:2").unwrap(), 0, NOW), Ok(()));
    assert_eq!(ask_in(opened.of("uscc:2").unwrap(), 1, NOW), Ok(()));
    drop(opened);
    let opened = vaults(folder.path());
    assert_eq!(ask_in(opened.of("uscc:2").unwrap(), 1, NOW), Err(Code::Replayed));
    assert_eq!(ask_in(opened.of("uscc:2").unwrap(), 2, NOW + 24 * HOUR), Ok(()));
    assert_eq!((own(&opened).log_of(day("2026-05-06")).unwrap().len(), guest(&opened)), (1, 2));
    let days = opened.of("uscc:2").unwrap().logged_days().unwrap();
    assert_eq!(days, [day("2026-05-06"), day("2026-05-07")]);
    assert_eq!(own(&opened).logged_days().unwrap(), [day("2026-05-06")]);
    drop(opened);
    let path = folder.path().join("vault");
    let keys = [key_file(folder.path(), 'a'), key_file(folder.path(), 'c')];
    let examined = Vaults::examine(&path, &keys).unwrap();
    assert_eq!((examined.entries, examined.flaws.len()), (4, 0));
    assert_eq!(Vaults::examine(&path, &keys[..1]).unwrap().flaws.len(), 3);
}
