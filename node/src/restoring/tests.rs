//! A restoring that is cut off after any of its steps: the next start finds all that was there, or all copies.

use super::*;
use chain_core::code::Code;

/// A data directory with something in some places.
fn directory(places: &[&str]) -> (tempfile::TempDir, DataDir) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    for place in places {
        put(dir.path(), place, "present");
    }
    (dir, data)
}

/// Puts something in a place: a file in a folder, or the file itself.
fn put(folder: &Path, place: &str, text: &str) {
    let path = folder.join(place);
    if place == IDENTITY {
        return fs::write(path, text).unwrap();
    }
    fs::create_dir(&path).unwrap();
    fs::write(path.join("CURRENT"), text).unwrap();
}

fn found(data: &DataDir, place: &str) -> Option<String> {
    let path = data.path().join(place);
    let file = if path.is_dir() { path.join("CURRENT") } else { path };
    fs::read_to_string(file).ok()
}

fn make(copies: &Path, reached: &mut Reached<'_>) -> Result<(), Refusal> {
    for place in PLACES {
        put(copies, place, "copy");
        reached(Step::Copying)?;
    }
    Ok(())
}

/// All steps of a restoring into a directory, in order.
fn steps(places: &[&str]) -> Vec<Step> {
    let (_dir, data) = directory(places);
    let mut steps = Vec::new();
    let mut note = |step| {
        steps.push(step);
        Ok(())
    };
    replace(&data, make, &mut note).unwrap();
    steps
}

/// Cuts a restoring off once so many steps are done.
fn cut_off(data: &DataDir, after: usize) {
    let mut done = 0;
    let mut crash = |_| {
        done += 1;
        if done > after { Err(Refusal::new(Code::Internal, "a crash")) } else { Ok(()) }
    };
    replace(data, make, &mut crash).unwrap_err();
}

fn names(data: &DataDir) -> Vec<String> {
    let entries = fs::read_dir(data.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const ALL: [&str; 3] = ["consensus", "ledger", "vault"];

#[test]
fn whatever_step_a_crash_follows_all_that_was_there_or_all_copies_are() {
    for there in [&ALL[..], &["ledger"], &[]] {
        let steps = steps(there);
        assert_eq!(steps.last(), Some(&Step::Done));
        assert_eq!(steps.iter().filter(|step| matches!(step, Step::Placed(_))).count(), PLACES.len());
        assert_eq!(steps.iter().filter(|step| matches!(step, Step::SetAside(_))).count(), there.len());
        for (at, step) in steps.iter().enumerate() {
            let (_dir, data) = directory(there);
            cut_off(&data, at);
            let complete = *step != Step::Copying;
            // What a reader in between is pointed to is what the next start will find.
            let look: Vec<_> = PLACES.map(|place| fs::exists(standing(&data, place)).unwrap()).into();
            assert_eq!(settle(&data), Ok(complete && *step != Step::Done), "{there:?}, {step:?}");
            for (place, looked) in PLACES.into_iter().zip(look) {
                let wanted = match complete {
                    true => Some("copy".to_owned()),
                    false => there.contains(&place).then(|| "present".to_owned()),
                };
                assert_eq!(found(&data, place), wanted, "{there:?}, {step:?}: {place}");
                assert_eq!(looked, wanted.is_some(), "{there:?}, {step:?}: {place}");
            }
            for place in there {
                let aside = found(&data, &format!("{place}-set-aside-1"));
                assert_eq!(aside.is_some(), complete, "{there:?}, {step:?}: {place}");
            }
            assert!(
                !names(&data).iter().any(|name| name.starts_with("restor")),
                "{step:?}: {:?}",
                names(&data)
            );
            assert_eq!(settle(&data), Ok(false));
        }
    }
}

#[test]
fn a_settling_that_is_cut_off_itself_is_gone_on_with() {
    let (_dir, data) = directory(&ALL);
    cut_off(&data, PLACES.len());
    for after in 0..7 {
        let mut done = 0;
        let mut crash = |_| {
            done += 1;
            if done > after { Err(Refusal::new(Code::Internal, "a crash")) } else { Ok(()) }
        };
        let _ = take_over(&data, &mut crash);
    }
    settle(&data).unwrap();
    for place in PLACES {
        assert_eq!(found(&data, place).as_deref(), Some("copy"), "{place}");
    }
}

#[test]
fn what_was_set_aside_stays_however_often_something_is_restored() {
    let (_dir, data) = directory(&ALL);
    for number in 1..=3 {
        let ((), aside) = replace(&data, make, &mut |_| Ok(())).unwrap();
        let wanted = ALL.map(|place| data.path().join(format!("{place}-set-aside-{number}")));
        assert_eq!(aside, wanted);
    }
    assert_eq!(names(&data).len(), PLACES.len() + 3 * ALL.len());
    assert_eq!(found(&data, "ledger-set-aside-1").as_deref(), Some("present"));
}

#[test]
fn a_fresh_keys_marker_is_used_up_before_the_directory_is_a_validators() {
    let (_dir, data) = directory(&[]);
    fs::write(data.path().join("fresh-key"), "a key").unwrap();
    let mut seen = false;
    let mut look = |step| {
        if step == Step::Placed("vault") {
            seen = data.path().join("fresh-key").exists();
        }
        Ok(())
    };
    replace(&data, make, &mut look).unwrap();
    assert!(seen && !data.path().join("fresh-key").exists());
}

#[test]
fn copies_that_cannot_be_made_replace_nothing() {
    let (_dir, data) = directory(&ALL);
    fn fail(copies: &Path, _: &mut Reached<'_>) -> Result<(), Refusal> {
        put(copies, "ledger", "half a copy");
        Err(Refusal::new(Code::StorageFailed, "the disk is full"))
    }
    assert_eq!(replace(&data, fail, &mut |_| Ok(())).unwrap_err().code, Code::StorageFailed);
    forget_unfinished(&data).unwrap();
    assert_eq!(names(&data), ALL);
    assert_eq!(settle(&data), Ok(false));
}
