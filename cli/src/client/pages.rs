//! Lists that nodes hand out in pages.

use chain_core::api::Page;
use chain_core::code::Code;
use serde::de::DeserializeOwned;

use super::Client;
use crate::error::{CliError, CliResult};
use crate::output::Output;

/// Most items that a node gives in one page.
const PAGE_MAX: usize = 500;

/// What was read of a list.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    /// The items, at most as many as were asked for.
    pub(crate) items: Vec<T>,
    /// Whether the list goes on behind them.
    pub(crate) goes_on: bool,
}

impl<T> Listed<T> {
    /// Says on stderr that the list goes on, where it does.
    pub(crate) fn tell_of_more(&self, out: &Output) {
        if self.goes_on {
            out.say(format!("  The list goes on behind these {}; --limit N shows more.", self.items.len()));
        }
    }
}

impl Client {
    /// Reads a list from its beginning, at most `limit` items. `path` names a page by its size and cursor.
    ///
    /// # Errors
    /// Those of [`Client::get`]; `MALFORMED_JSON` from a node that leads back to the page it just gave.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        limit: usize,
        path: impl Fn(usize, Option<&str>) -> String,
    ) -> CliResult<Listed<T>> {
        read(limit, path, |path| self.get(path))
    }
}

fn read<T>(
    limit: usize,
    path: impl Fn(usize, Option<&str>) -> String,
    get: impl Fn(&str) -> CliResult<Page<T>>,
) -> CliResult<Listed<T>> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let size = PAGE_MAX.min(limit - items.len());
        let page = get(&path(size, cursor.as_deref()))?;
        items.extend(page.items);
        let Some(next) = page.next_cursor else {
            let goes_on = items.len() > limit;
            items.truncate(limit);
            return Ok(Listed { items, goes_on });
        };
        if items.len() >= limit {
            items.truncate(limit);
            return Ok(Listed { items, goes_on: true });
        }
        if cursor.as_ref() == Some(&next) {
            let detail =
                format!("the page behind {next} says that it comes before {next}, wants a later one");
            return Err(CliError::new(Code::MalformedJson, detail).hint("ask another node with --node"));
        }
        cursor = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use chain_core::id::Height;

    use super::*;

    /// A list of so many numbers whose node gives `given` to a page, whatever was asked for.
    fn numbers(count: usize, given: usize) -> impl Fn(&str) -> CliResult<Page<usize>> {
        move |path| {
            let (size, from) = path.split_once(' ').unwrap();
            let (size, from): (usize, usize) = (size.parse().unwrap(), from.parse().unwrap());
            assert!((1..=PAGE_MAX).contains(&size), "a page of {size}");
            let end = count.min(from + given);
            let next_cursor = (end < count).then(|| end.to_string());
            Ok(Page { items: (from..end).collect(), next_cursor, height: Height::new(1) })
        }
    }

    fn path(size: usize, cursor: Option<&str>) -> String {
        format!("{size} {}", cursor.unwrap_or("0"))
    }

    #[test]
    fn a_list_is_read_to_its_end_or_to_the_limit_and_says_which() {
        for (count, given, limit, items, goes_on) in [
            (0, 500, 50, 0, false),
            (50, 50, 50, 50, false),
            (51, 50, 50, 50, true),
            // A node that gives more than was asked for.
            (60, 60, 50, 50, true),
            (1_200, 500, usize::MAX, 1_200, false),
            (1_200, 7, 1_000, 1_000, true),
        ] {
            let listed = read(limit, path, numbers(count, given)).unwrap();
            assert_eq!(listed.items, (0..items).collect::<Vec<_>>(), "{count} by {given}, at most {limit}");
            assert_eq!(listed.goes_on, goes_on, "{count} by {given}, at most {limit}");
        }
    }

    #[test]
    fn pages_of_nothing_are_passed_over_and_a_circle_is_left() {
        let sparse = |path: &str| {
            let from: usize = path.split_once(' ').unwrap().1.parse().unwrap();
            let items = if from == 3 { vec![from] } else { Vec::new() };
            let next_cursor = (from < 3).then(|| (from + 1).to_string());
            Ok(Page { items, next_cursor, height: Height::new(1) })
        };
        assert_eq!(read(10, path, sparse).unwrap().items, [3]);
        let circle =
            |_: &str| Ok(Page { items: vec![1], next_cursor: Some("5".to_owned()), height: Height::new(1) });
        assert_eq!(read(10, path, circle).unwrap_err().refusal.code, Code::MalformedJson);
    }
}
