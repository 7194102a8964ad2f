//! Putting a backup back, cut off after each step; into nothing; beside a vault that has gone on.

use std::fs;

use super::*;
use crate::backup::tests::{Desk, flip};
use crate::datadir::{IDENTITY, marker_of};
use crate::fsck::{Stores, examine};
use crate::snapshots::tests::NEWEST;
use crate::storage::ledger::LedgerStore;
use crate::vault::Holder;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::transaction::Body;

const MARK: &str = "mark";

impl Desk {
    /// Puts a backup in the place of what is there, or where nothing is.
    fn making<'a>(
        &'a self,
        data: &'a DataDir,
        manifest: &'a Manifest,
        new_for: Option<&'a Path>,
    ) -> Making<'a> {
        let backup = self.shelf().path(&self.shelf().find(&Which::Newest).unwrap());
        let keys = self.shelf().vault_keys();
        Making { data, identity: &self.identity, backup, keys, manifest, new_for }
    }

    /// What the stores of a directory hold is the chain; gives whether the consensus store has the mark, and a record.
    fn looked_through(&self, data: &DataDir) -> (bool, bool) {
        let stores = Stores { consensus: data.consensus(), ledger: data.ledger() };
        let report = examine(&stores, &self.trust(), |_| Ok(()));
        assert_eq!(report.findings, []);
        assert_eq!(report.blocks, NEWEST);
        assert_eq!(report.ledger.unwrap().height.get(), NEWEST);
        let store = ConsensusStore::open(&data.consensus()).unwrap();
        LedgerStore::open(&data.ledger()).unwrap();
        (store.meta(MARK).unwrap().is_some(), store.safety().unwrap().is_some())
    }
}

/// A desk with a backup, and a mark in the consensus store that the backup does not have.
fn marked() -> (Desk, Manifest) {
    let desk = Desk::new();
    let (_, manifest) = desk.create();
    let store = ConsensusStore::open(&desk.world.data.consensus()).unwrap();
    store.set_meta(MARK, b"later").unwrap();
    drop(store);
    (desk, manifest)
}

#[test]
fn a_crash_at_any_step_leaves_what_was_there_or_the_backup() {
    let (desk, manifest) = marked();
    let mut steps = Vec::new();
    let mut note = |step| {
        steps.push(step);
        Ok(())
    };
    desk.making(&desk.world.data, &manifest, None).put_told(&mut note).unwrap();
    steps.dedup();
    assert_eq!(steps.len(), 7, "{steps:?}");
    for at in steps {
        let (desk, manifest) = marked();
        let data = &desk.world.data;
        let mut crash = |step| {
            if step == at { Err(Refusal::new(Code::Internal, "a crash")) } else { Ok(()) }
        };
        desk.making(data, &manifest, None).put_told(&mut crash).unwrap_err();
        restoring::settle(data).unwrap();
        let there = at == Step::Copying;
        assert_eq!(desk.looked_through(data), (there, there), "{at:?}");
        assert_eq!(data.path().join("consensus-set-aside-1").exists(), !there, "{at:?}");
    }
}

#[test]
fn a_file_that_changes_after_it_was_verified_is_not_put_back() {
    let (desk, manifest) = marked();
    let data = &desk.world.data;
    let backup = desk.shelf().path(&desk.shelf().find(&Which::Newest).unwrap());
    flip(&backup.join("ledger/CURRENT"));
    let refusal = desk.making(data, &manifest, None).put().unwrap_err();
    assert_eq!(refusal.code, Code::BackupInvalid, "{refusal}");
    assert_eq!(desk.looked_through(data), (true, true));
    assert!(!data.path().join("restoring").exists() && !data.path().join("restored").exists());
}

#[test]
fn a_lost_directory_is_made_anew_and_only_a_fresh_key_gets_a_record() {
    let desk = Desk::new();
    let (_, manifest) = desk.create();
    let key_file = desk.dir.path().join("consensus.pem");
    let put = |name: &str| {
        let data = DataDir::at(&desk.dir.path().join(name));
        data.make().unwrap();
        let ((initialised, _), aside) = desk.making(&data, &manifest, Some(&key_file)).put().unwrap();
        assert_eq!(aside, Vec::<PathBuf>::new());
        data.check(&desk.identity).unwrap();
        assert!(!data.path().join("fresh-key").exists());
        (initialised.unwrap(), desk.looked_through(&data).1)
    };
    assert_eq!(put("lost"), (Initialised::Following, false));
    fs::write(marker_of(&key_file), format!("{}\n", desk.identity.consensus_key)).unwrap();
    assert_eq!(put("fresh"), (Initialised::Voting, true));
    assert!(!marker_of(&key_file).exists());
    assert_eq!(put("again"), (Initialised::Following, false), "the key is fresh no more");

    // The marker of a fresh key that a crash left inside is still good; one of another key is refused.
    let data = DataDir::at(&desk.dir.path().join("cut-off"));
    data.make().unwrap();
    fs::write(marker_of(&key_file), format!("{}\n", desk.identity.consensus_key)).unwrap();
    let mut crash = |step| {
        if step == Step::Copied { Err(Refusal::new(Code::Internal, "a crash")) } else { Ok(()) }
    };
    desk.making(&data, &manifest, Some(&key_file)).put_told(&mut crash).unwrap_err();
    assert!(data.path().join("fresh-key").exists() && !data.path().join(IDENTITY).exists());
    assert_eq!(restoring::settle(&data), Ok(true));
    data.check(&desk.identity).unwrap();
    assert!(!data.path().join("fresh-key").exists() && desk.looked_through(&data).1);
    let other = SecretKey::from_seed([9; 32]).public();
    fs::write(marker_of(&key_file), format!("{other}\n")).unwrap();
    let data = DataDir::at(&desk.dir.path().join("other"));
    data.make().unwrap();
    let refusal = desk.making(&data, &manifest, Some(&key_file)).put().unwrap_err();
    assert_eq!(refusal.code, Code::KeyFileInvalid);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

/// Whose vault a desk has.
fn holder(desk: &Desk) -> Holder {
    use std::os::unix::fs::PermissionsExt as _;
    let key = desk.dir.path().join("vault.key");
    fs::write(&key, "a".repeat(64)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    Holder { agency: "uscc:1".to_owned(), key_file: key }
}

fn body(name: &str) -> Body {
    Body { salt: Digest::tagged(b"salt", &[name.as_bytes()]), json: name.into() }
}

/// Whether the files of a folder hold some bytes.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, wanted);
        }
        fs::read(&path).unwrap().windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn a_key_that_is_destroyed_takes_the_body_out_of_every_backup() {
    let desk = Desk::new();
    let data = &desk.world.data;
    let own = holder(&desk);
    let open = || Vaults::open(&data.vault(), &own, &[]).unwrap();
    let bodies = ["first", "second"].map(body);
    let [first, second] = &bodies;
    let vaults = open();
    for body in &bodies {
        vaults.of("uscc:1").unwrap().put(&body.commitment(), body).unwrap();
    }
    let keys = bodies.each_ref().map(|body| vaults.sealed_key(&body.commitment()));
    drop(vaults);
    let (name, manifest) = desk.create();
    // The keys are beside the backup and not in it.
    let (shelf, all) = (desk.shelf(), desk.shelf().vault_keys());
    for key in &keys {
        assert!(holds(&all, key) && !holds(&shelf.path(&name), key));
    }
    let (made, _) = desk.making(data, &manifest, None).put().unwrap();
    assert_eq!(made.1.unwrap().keyless, 0);
    for body in &bodies {
        assert_eq!(open().of("uscc:1").unwrap().get(&body.commitment()).unwrap().as_ref(), Some(body));
    }
    // A vault that was lost and begun anew takes no key from the older backups.
    fs::remove_dir_all(data.vault()).unwrap();
    drop(open());
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let (empty, _) = desk.create();
    assert!(holds(&all, &keys[0]));
    fs::remove_dir_all(shelf.path(&empty)).unwrap();

    // While a backup is made, nothing is said to be gone; nor is anything where another one was cut off.
    let places = open().places(&[first.commitment()]);
    let mut lock = shelf.lock_file().unwrap();
    let held = take(&mut lock, desk.dir.path()).unwrap();
    assert_eq!(shelf.destroy_keys(&places).unwrap_err().code, Code::LockHeld);
    drop(held);
    let cut_off = shelf.path(&name).with_file_name("making-20270203T041500Z");
    fs::create_dir(&cut_off).unwrap();
    fs::write(cut_off.join("keys"), &keys[0]).unwrap();
    assert_eq!(shelf.destroy_keys(&places), Ok(1));
    assert_eq!(shelf.destroy_keys(&places), Ok(0));
    let of_all = shelf.path(&name).parent().unwrap().to_owned();
    assert!(!holds(&of_all, &keys[0]) && holds(&of_all, &keys[1]));
    let (made, _) = desk.making(data, &manifest, None).put().unwrap();
    assert_eq!(made.1.unwrap().keyless, 1);
    let vaults = open();
    assert_eq!(vaults.of("uscc:1").unwrap().get(&first.commitment()).unwrap(), None);
    assert_eq!(vaults.of("uscc:1").unwrap().get(&second.commitment()).unwrap().as_ref(), Some(second));
    drop(vaults);
    let examined = Vaults::examine(&data.vault(), std::slice::from_ref(&own.key_file)).unwrap();
    assert_eq!((examined.entries, examined.flaws), (1, Vec::new()));

    // Without its keys the vault of a backup is empty, and the rest is put back all the same.
    fs::remove_dir_all(&all).unwrap();
    fs::remove_dir_all(data.vault()).unwrap();
    let (made, _) = desk.making(data, &manifest, None).put().unwrap();
    assert_eq!(made.1.unwrap(), RestoredVault { kept: None, keyless: 2, keys: all });
    assert_eq!(shelf.destroy_keys(&places), Ok(0));
}

#[test]
fn a_destruction_that_a_crash_cut_off_is_ended() {
    let desk = Desk::new();
    let (vault, all) = (desk.world.data.vault(), desk.shelf().vault_keys());
    let own = holder(&desk);
    let open = || Vaults::open(&vault, &own, &[]).unwrap();
    let first = body("first");
    let commit = first.commitment();
    let vaults = open();
    vaults.of("uscc:1").unwrap().put(&commit, &first).unwrap();
    let (key, places) = (vaults.sealed_key(&commit), vaults.places(&[commit]));
    drop(vaults);
    desk.create();
    for store in [&vault, &all] {
        assert_eq!(keys::delete_at(store, &places).unwrap(), 1);
        assert!(holds(store, &key), "{}", store.display());
    }
    let vaults = open();
    assert_eq!(vaults.destroy(&[commit]), Ok(0));
    assert_eq!(desk.shelf().destroy_keys(&places), Ok(0));
    drop(vaults);
    for store in [&vault, &all] {
        assert!(!holds(store, &key), "{}", store.display());
    }
}

#[test]
fn bodies_that_the_vault_took_in_later_stay() {
    let desk = Desk::new();
    let data = &desk.world.data;
    let own = holder(&desk);
    let open = || Vaults::open(&data.vault(), &own, &[]).unwrap();
    let [first, second] = ["first", "second"].map(body);
    open().of("uscc:1").unwrap().put(&first.commitment(), &first).unwrap();
    let (_, manifest) = desk.create();
    assert!(manifest.files.keys().any(|file| file.starts_with("vault/")));
    let vaults = open();
    vaults.of("uscc:1").unwrap().put(&second.commitment(), &second).unwrap();
    vaults.destroy(&[first.commitment()]).unwrap();
    drop(vaults);
    let kept = |vault: Option<RestoredVault>| vault.unwrap().kept;
    let ((_, vault), aside) = desk.making(data, &manifest, None).put().unwrap();
    assert_eq!((kept(vault), aside.len()), (Some(Ok(1)), 3));
    let kept_of = |one: &Body| open().of("uscc:1").unwrap().get(&one.commitment()).unwrap();
    for one in [&first, &second] {
        assert_eq!(kept_of(one).as_ref(), Some(one));
    }
    // One that cannot be read is told, and set aside like the rest.
    fs::write(data.vault().join("CURRENT"), "MANIFEST-999999\n").unwrap();
    let ((_, vault), aside) = desk.making(data, &manifest, None).put().unwrap();
    assert!(matches!(kept(vault), Some(Err(_))) && aside.len() == 3);
    assert_eq!(kept_of(&first), Some(first));
}

#[test]
fn a_vote_is_given_up_only_where_there_is_one() {
    let desk = Desk::new();
    let data = &desk.world.data;
    assert!(remembers(data, &desk.identity));
    let other = Identity::new(desk.identity.chain_id, SecretKey::from_seed([9; 32]).public());
    assert!(!remembers(data, &other));
    let (mut file, _) = HighWater::open(&data.high_water()).unwrap();
    file.raise(Mark { lane: 7, ..Mark::default() }).unwrap();
    assert!(!remembers(data, &desk.identity), "older than what was signed");
    fs::remove_file(data.high_water()).unwrap();
    assert!(remembers(data, &desk.identity));
    fs::write(data.consensus().join("CURRENT"), "MANIFEST-999999\n").unwrap();
    assert!(!remembers(data, &desk.identity));
    assert!(!remembers(&DataDir::at(desk.dir.path()), &desk.identity));
}
