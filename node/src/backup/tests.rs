//! Backups of a small chain: what is in them, what passes for one, and which are removed.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;

use super::create::Owner;
use super::manifest::{Manifest, digest_of, files_of};
use super::*;
use crate::datadir::{Identity, take};
use crate::snapshots::tests::{End, NEWEST, World};
use crate::snapshots::verify::Trust;
use crate::storage::consensus::ConsensusStore;
use chain_core::crypto::Digest;
use chain_core::id::{ChainId, Epoch};

/// A validator's data, and a shelf beside it.
pub(super) struct Desk {
    pub(super) world: World,
    pub(super) identity: Identity,
    pub(super) dir: tempfile::TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        let world = World::new(End::Closed);
        Self { identity: world.initialise(), world, dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn shelf(&self) -> Shelf {
        Shelf::at(&self.dir.path().join("shelf"))
    }

    fn owner(&self) -> Owner {
        let data = self.world.data.clone();
        Owner { data, identity: self.identity.clone(), validator: "v0".to_owned() }
    }

    pub(super) fn trust(&self) -> Trust<'_> {
        let keys = Some(&self.world.recovery_keys);
        Trust { chain_id: self.world.chain_id, committee: &self.world.first, recovery_keys: keys }
    }

    pub(super) fn create(&self) -> (Name, Manifest) {
        self.shelf().create(&self.owner(), &mut |_| {}).unwrap()
    }

    /// The same backup as if it had been begun at another time.
    pub(super) fn again(&self, of: &Name, begun_ms: u64) -> Name {
        let from = self.shelf().path(of);
        let manifest = Manifest { begun_ms, ..Manifest::read(&from).unwrap() };
        let name = Name::new(begun_ms, manifest.final_height);
        let to = self.shelf().path(&name);
        for file in manifest.files.keys() {
            fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        manifest.write(&to).unwrap();
        name
    }
}

/// Changes a byte in the middle of a file.
pub(super) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_holds_everything_but_the_memory_of_votes() {
    let desk = Desk::new();
    let (name, manifest) = desk.create();
    let newest = Height::new(NEWEST);
    assert_eq!((manifest.final_height, manifest.ledger_height), (newest, newest));
    assert_eq!((manifest.epoch, manifest.validator.as_str()), (Epoch::new(1), "v0"));
    assert_eq!(manifest.consensus_key, desk.identity.consensus_key);
    assert_eq!(desk.shelf().names(), Ok(vec![name.clone()]));

    let verified = desk.shelf().verify(&name, &desk.trust()).unwrap();
    assert_eq!(verified.report.findings, []);
    assert_eq!((verified.report.blocks, verified.report.certificates), (NEWEST, 2));
    let ledger = verified.report.ledger.unwrap();
    assert_eq!(ledger.contents.summary.root(), manifest.ledger_root);

    let backup = desk.shelf().path(&name);
    let own = ConsensusStore::open_read_only(&desk.world.data.consensus()).unwrap();
    let copy = ConsensusStore::open_read_only(&backup.join("consensus")).unwrap();
    assert!(own.safety().unwrap().is_some() && copy.safety().unwrap().is_none());
    assert_eq!(copy.read_all().unwrap() + 1, own.read_all().unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in manifest.files.keys() {
        assert_eq!(mode(&backup.join(file)), 0o600, "{file}");
    }
    for folder in [desk.shelf().0, backup.clone(), backup.join("ledger"), backup.join("consensus")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    assert_eq!(mode(&backup.join("backup.json")), 0o600);
}

/// What a copy of the ledger calls done must have been done before the other stores were read.
#[test]
fn the_ledger_is_copied_before_the_others() {
    let desk = Desk::new();
    let data = &desk.world.data;
    let mut order = Vec::new();
    let mut told = |step: &str| {
        let store = step.split(':').next().unwrap_or_default().to_owned();
        if store == "ledger" {
            let consensus = ConsensusStore::open(&data.consensus()).unwrap();
            consensus.set_meta("mark", b"after the ledger").unwrap();
        }
        order.push(store);
    };
    let (name, _) = desk.shelf().create(&desk.owner(), &mut told).unwrap();
    assert_eq!(order[..2], ["ledger", "consensus"]);
    let copy = ConsensusStore::open_read_only(&desk.shelf().path(&name).join("consensus")).unwrap();
    assert!(copy.meta("mark").unwrap().is_some());
}

#[test]
fn whatever_is_changed_in_a_backup_is_told() {
    let desk = Desk::new();
    let (name, manifest) = desk.create();
    let (shelf, backup) = (desk.shelf(), desk.shelf().path(&name));
    let verify = || shelf.verify(&name, &desk.trust());
    let refused = |what: &str, says: &str| {
        let refusal = verify().expect_err(what);
        assert_eq!(refusal.code, Code::BackupInvalid, "{what}");
        assert!(refusal.detail.contains(says), "{what}: {refusal}");
    };
    let mut kinds = BTreeSet::new();
    for (file, entry) in &manifest.files {
        let path = backup.join(file);
        let before = fs::read(&path).unwrap();
        if entry.bytes > 0 {
            flip(&path);
            refused(file, file);
            fs::write(&path, &before[1..]).unwrap();
            refused(file, file);
        }
        fs::remove_file(&path).unwrap();
        refused(file, "is missing");
        fs::write(&path, before).unwrap();
        kinds.insert(file.rsplit(['/', '.']).next().unwrap().split('-').next().unwrap().to_owned());
    }
    let wanted = ["CURRENT", "IDENTITY", "MANIFEST", "OPTIONS", "log", "sst"];
    assert!(wanted.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");

    fs::write(backup.join("ledger/notes"), "added").unwrap();
    refused("an added file", "ledger/notes is no file of this backup");
    fs::remove_file(backup.join("ledger/notes")).unwrap();
    fs::create_dir(backup.join("snapshots")).unwrap();
    refused("an added folder", "belongs in no backup");
    fs::remove_dir(backup.join("snapshots")).unwrap();
    std::os::unix::fs::symlink(backup.join("ledger/CURRENT"), backup.join("ledger/link")).unwrap();
    refused("a link", "not a file");
    fs::remove_file(backup.join("ledger/link")).unwrap();

    let text = fs::read_to_string(backup.join("backup.json")).unwrap();
    for (from, to) in [
        ("\"final_height\": 9", "\"final_height\": 8"),
        ("\"validator\": \"v0\"", "\"validator\": \"v1\""),
        ("\"format\": 2", "\"format\": 3"),
        ("\"backup\": {", "\"backup\": {\n    \"more\": 1,"),
        ("{", ""),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(backup.join("backup.json"), text.replacen(from, to, 1)).unwrap();
        refused(from, "backup.json");
    }
    fs::remove_file(backup.join("backup.json")).unwrap();
    refused("no manifest", "backup.json");
    fs::write(backup.join("backup.json"), text).unwrap();
    assert!(verify().unwrap().report.findings.is_empty());

    // Whole, but under another name or of another chain.
    let other = Name::new(5_000, manifest.final_height);
    fs::rename(&backup, shelf.path(&other)).unwrap();
    let renamed = shelf.verify(&other, &desk.trust()).unwrap_err();
    assert!(renamed.code == Code::BackupInvalid && renamed.detail.contains(&name.to_string()), "{renamed}");
    fs::rename(shelf.path(&other), &backup).unwrap();
    let elsewhere = Trust { chain_id: ChainId::new(Digest::ZERO), ..desk.trust() };
    assert_eq!(shelf.verify(&name, &elsewhere).unwrap_err().code, Code::GenesisMismatch);
    assert_eq!(shelf.verify(&other, &desk.trust()).unwrap_err().code, Code::NotFound);
}

/// As somebody could who writes the manifest anew.
#[test]
fn a_backup_is_not_believed_what_the_genesis_does_not_prove() {
    let desk = Desk::new();
    let (name, manifest) = desk.create();
    let backup = desk.shelf().path(&name);
    let store = ConsensusStore::open(&backup.join("consensus")).unwrap();
    desk.identity.lay_down_record(&store).unwrap();
    drop(store);
    let verify = |name: &Name, manifest: &Manifest| {
        let backup = desk.shelf().path(name);
        Manifest { files: digests(&backup), ..manifest.clone() }.write(&backup).unwrap();
        desk.shelf().verify(name, &desk.trust()).map(|verified| verified.report.findings)
    };
    let findings = verify(&name, &manifest).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].refusal.detail.contains("safety record"), "{findings:?}");

    let (name, manifest) = desk.create();
    assert_eq!(verify(&name, &manifest), Ok(Vec::new()));
    let findings = verify(&name, &Manifest { final_digest: Digest::ZERO, ..manifest.clone() }).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].refusal.detail.contains("its newest final block"), "{findings:?}");
    let refusal = verify(&name, &Manifest { ledger_root: Digest::ZERO, ..manifest }).unwrap_err();
    assert!(refusal.detail.contains("its ledger is at block"), "{refusal}");
}

fn digests(backup: &Path) -> std::collections::BTreeMap<String, manifest::Entry> {
    let files = files_of(backup).unwrap().into_keys();
    files.map(|file| (file.clone(), digest_of(&backup.join(file)).unwrap())).collect()
}

#[test]
fn the_newest_stay_and_so_does_the_last_one_that_is_whole() {
    let desk = Desk::new();
    let (first, _) = desk.create();
    let day = 24 * 60 * 60 * 1_000;
    let now = Core::wall_ms();
    let others: Vec<Name> = (1..=4).map(|days| desk.again(&first, now + days * day)).collect();
    let shelf = desk.shelf();
    let two = NonZeroUsize::new(2).unwrap();
    let all: Vec<Name> = std::iter::once(first.clone()).chain(others.clone()).collect();
    assert_eq!(shelf.names(), Ok(all.clone()));
    assert!(shelf.list().unwrap().iter().all(|one| one.manifest.is_ok() && one.bytes > 1_000));
    assert_eq!(shelf.find(&Which::Newest), Ok(others[3].clone()));

    // The newest two are damaged where no quick look sees it; of another one a file is missing.
    for name in &others[2..] {
        flip(&shelf.path(name).join("consensus/CURRENT"));
    }
    fs::remove_file(shelf.path(&others[0]).join("ledger/CURRENT")).unwrap();
    fs::create_dir(shelf.0.join("making-20270101T000000Z")).unwrap();
    assert_eq!(shelf.names(), Ok(all), "what is being made is none");
    let pruned = shelf.prune(two).unwrap();
    assert_eq!(pruned.kept, [others[3].clone(), others[2].clone()]);
    assert_eq!(pruned.spared, Some(others[1].clone()));
    assert_eq!(pruned.removed.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&first]);
    assert!(pruned.removed[0].1 > 1_000, "{pruned:?}");
    assert_eq!(pruned.incomplete.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&others[0]]);
    assert_eq!(shelf.names(), Ok(others.clone()));
    assert_eq!(shelf.entries().unwrap().len(), others.len() + 1, "the four, and the lock");

    // With one that is whole among the newest, the older ones go.
    flip(&shelf.path(&others[2]).join("consensus/CURRENT"));
    let pruned = shelf.prune(two).unwrap();
    assert_eq!((pruned.spared, pruned.removed.len()), (None, 1));
    assert_eq!(shelf.prune(two).unwrap().removed.len(), 0);
}

#[test]
fn one_at_a_time_outside_the_data_directory_and_with_room() {
    let desk = Desk::new();
    let shelf = desk.shelf();
    let create = |shelf: &Shelf| shelf.create(&desk.owner(), &mut |_| {}).map(|_| ());
    let inside = desk.world.data.path().join("backups");
    assert_eq!(create(&Shelf::at(&inside)).unwrap_err().code, Code::ConfigInvalid);
    assert!(!inside.exists());
    std::os::unix::fs::symlink(desk.world.data.path(), desk.dir.path().join("link")).unwrap();
    let hidden = desk.dir.path().join("link/deeper/backups");
    assert_eq!(create(&Shelf::at(&hidden)).unwrap_err().code, Code::ConfigInvalid);
    let room = check_room(desk.dir.path(), u64::MAX / 2).unwrap_err();
    assert_eq!(room.code, Code::NoRoom);
    check_room(desk.dir.path(), 1).unwrap();

    create(&shelf).unwrap();
    fs::create_dir(shelf.0.join("making-20270101T000000Z")).unwrap();
    {
        let mut lock = shelf.lock_file().unwrap();
        let _held = take(&mut lock, &shelf.0).unwrap();
        assert_eq!(create(&shelf).unwrap_err().code, Code::LockHeld);
        assert_eq!(shelf.prune(NonZeroUsize::MIN).unwrap_err().code, Code::LockHeld);
    }
    // Two in one second have two names, and what a crash left is gone.
    create(&shelf).unwrap();
    assert_eq!((shelf.names().unwrap().len(), shelf.entries().unwrap().len()), (2, 3));

    // Data in between, or not there yet.
    fs::create_dir(desk.world.data.path().join("restored")).unwrap();
    assert_eq!(create(&shelf).unwrap_err().code, Code::NotReady);
    fs::remove_dir(desk.world.data.path().join("restored")).unwrap();
    fs::remove_dir_all(desk.world.data.ledger()).unwrap();
    assert_eq!(create(&shelf).unwrap_err().code, Code::NotReady);
    assert_eq!(shelf.entries().unwrap().len(), 3, "nothing is left of what was refused");
}

#[test]
fn a_name_is_a_time_and_a_height() {
    assert_eq!(Name::new(1_801_627_200_999, Height::new(7)).to_string(), "20270203T040000Z-7");
    let name: Name = "20270203T040000Z-184302".parse().unwrap();
    assert!(name > "20261127T042416Z-999999".parse().unwrap());
    for wrong in [
        "",
        "newest",
        "../20270203T040000Z-1",
        "20270203T040000Z-1/..",
        "20270203T040000Z",
        "20270203T040000Z-",
        "2027020T0400000Z-1",
        "20270203T040000Z-+1",
        "20270203T040000Z-123456789012345678901",
    ] {
        assert_eq!(wrong.parse::<Name>().unwrap_err().code, Code::BadParameter, "{wrong}");
    }
    assert_eq!("newest".parse(), Ok(Which::Newest));
}
