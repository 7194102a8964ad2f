//! Putting copies in the places of what a data directory holds: all of them, or none.
//!
//! Each step is durable before the next one begins, and a name says how far it went:
//!
//! | after the step | `restoring/` | `restored/` | in the places |
//! |---|---|---|---|
//! | copies are being made | unfinished | | what is there |
//! | the copies are complete | | all copies | what is there |
//! | one of them takes its place | | the others | that copy, and what is there |
//! | the last one does | | | the copies |
//!
//! Once the copies are complete there is no way but forward: whoever opens the directory next goes on from where it was
//! cut off. Consensus store and ledger belong together, and a later ledger on an earlier consensus store is none.
//!
//! What stood in a place stays under `<name>-set-aside-<n>` until somebody deletes it.

use std::fs;
use std::path::{Path, PathBuf};

use chain_core::code::Refusal;

use crate::datadir::{DataDir, IDENTITY, make_private, remove_folder, rename, sync_directory};

/// What can be put in its place, in this order. The file that makes a directory a validator's comes last.
const PLACES: [&str; 4] = ["consensus", "ledger", "vault", IDENTITY];
const RESTORING: &str = "restoring";
const RESTORED: &str = "restored";

/// A step that is durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Some of the copies are there.
    Copying,
    /// All of them are.
    Copied,
    /// What is in a place has another name.
    SetAside(&'static str),
    /// A copy is in its place.
    Placed(&'static str),
    /// All of them are.
    Done,
}

/// What is told of each step; what it refuses ends the restoring there, as a crash would.
pub(crate) type Reached<'a> = dyn FnMut(Step) -> Result<(), Refusal> + 'a;

/// Ends a restoring that was cut off: by going on with it if its copies are complete, otherwise by forgetting them. True in
/// the first case.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn settle(data: &DataDir) -> Result<bool, Refusal> {
    forget_unfinished(data)?;
    if !is_open(data) {
        return Ok(false);
    }
    take_over(data, &mut |_| Ok(()))?;
    Ok(true)
}

/// Whether a restoring was cut off with its copies complete.
pub(crate) fn is_open(data: &DataDir) -> bool {
    data.path().join(RESTORED).exists()
}

/// Removes copies that were not completed.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn forget_unfinished(data: &DataDir) -> Result<(), Refusal> {
    remove_folder(&data.path().join(RESTORING))
}

/// Puts copies in their places: `make` makes them in a folder, durably, each under the name of its place. Gives what `make`
/// gave, and where that is now which was there before.
///
/// # Errors
/// What `make` or `reached` refuse; when the directory cannot be written.
pub(crate) fn replace<T>(
    data: &DataDir,
    make: impl FnOnce(&Path, &mut Reached<'_>) -> Result<T, Refusal>,
    reached: &mut Reached<'_>,
) -> Result<(T, Vec<PathBuf>), Refusal> {
    settle(data)?;
    let copies = data.path().join(RESTORING);
    make_private(&copies)?;
    let made = make(&copies, reached)?;
    sync_directory(&copies)?;
    rename(&copies, &data.path().join(RESTORED))?;
    sync_directory(data.path())?;
    reached(Step::Copied)?;
    let aside = take_over(data, reached)?;
    Ok((made, aside))
}

/// Where that is which the next start will find in a place.
pub(crate) fn standing(data: &DataDir, place: &str) -> PathBuf {
    let copy = data.path().join(RESTORED).join(place);
    if copy.exists() { copy } else { data.path().join(place) }
}

/// Puts the copies that are left in their places; gives where that is now which was there.
fn take_over(data: &DataDir, reached: &mut Reached<'_>) -> Result<Vec<PathBuf>, Refusal> {
    let copies = data.path().join(RESTORED);
    let mut aside = Vec::new();
    for name in PLACES {
        let (copy, place) = (copies.join(name), data.path().join(name));
        if !copy.exists() {
            continue;
        }
        if name == IDENTITY {
            // If the key was fresh, its record stands in the consensus store that is in its place by now.
            data.use_up_marker()?;
        } else if place.exists() {
            let other = free_name(data, name);
            rename(&place, &other)?;
            sync_directory(data.path())?;
            aside.push(other);
            reached(Step::SetAside(name))?;
        }
        rename(&copy, &place)?;
        sync_directory(data.path())?;
        sync_directory(&copies)?;
        reached(Step::Placed(name))?;
    }
    remove_folder(&copies)?;
    sync_directory(data.path())?;
    reached(Step::Done)?;
    Ok(aside)
}

fn free_name(data: &DataDir, name: &str) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let other = data.path().join(format!("{name}-set-aside-{number}"));
        if fs::symlink_metadata(&other).is_err() {
            return other;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests;
