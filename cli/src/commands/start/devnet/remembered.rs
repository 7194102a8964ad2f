//! The user's context `devnet`: it leads to the network that was started last.

use super::layout::Layout;
use crate::app::City;
use crate::context::{Contexts, user_file};
use crate::error::CliResult;

/// Name of the context, in the user's file and in the network's own.
pub(super) const NAME: &str = "devnet";

/// Makes the network the user's context; a home that cannot be written is no failure.
pub(super) fn remember(city: &City, layout: &Layout) {
    let kept = change(layout, |contexts, mine| {
        contexts.by_name.insert(NAME.to_owned(), mine);
        contexts.current.get_or_insert_with(|| NAME.to_owned());
        true
    });
    if let Err(error) = kept {
        city.out.warn(format!("the context {NAME} was not saved: {}", error.refusal));
    }
}

/// Takes the context away again if it still leads to this network, which is about to be removed.
pub(super) fn forget(city: &City, layout: &Layout) {
    let gone = change(layout, |contexts, mine| {
        if contexts.by_name.get(NAME) != Some(&mine) {
            return false;
        }
        contexts.by_name.remove(NAME);
        contexts.current.take_if(|current| current == NAME);
        true
    });
    if let Err(error) = gone {
        city.out.warn(format!("the context {NAME} was not removed: {}", error.refusal));
    }
}

/// Lets `edit` change the user's contexts, given the network's own; saved when it says so.
fn change(layout: &Layout, edit: impl FnOnce(&mut Contexts, crate::context::Context) -> bool) -> CliResult {
    let own = Contexts::load(&layout.contexts())?;
    let Some((_, mine)) = own.find(None) else { return Ok(()) };
    let file = user_file()?;
    let mut contexts = Contexts::load(&file)?;
    if edit(&mut contexts, mine.clone()) { contexts.save(&file) } else { Ok(()) }
}
