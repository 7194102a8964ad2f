//! How many seeds a randomised test draws: a fixed, modest number in `make test`, many in
//! `make campaign`.

/// The seeds to run: `0..default`, or `CITY_SEED_FIRST..+CITY_SEEDS` where those are set.
///
/// # Panics
/// When a variable is set to something other than a number; a typing slip must not shrink a campaign.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = number("CITY_SEED_FIRST", std::env::var("CITY_SEED_FIRST").ok(), 0);
    let count = number("CITY_SEEDS", std::env::var("CITY_SEEDS").ok(), default);
    first..first.saturating_add(count)
}

fn number(name: &str, value: Option<String>, default: u64) -> u64 {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return default };
    match text.parse() {
        Ok(number) => number,
        Err(_) => panic!("{name} is {text:?}, which is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_or_empty_variable_leaves_the_default() {
        assert_eq!(number("CITY_SEEDS", None, 300), 300);
        assert_eq!(number("CITY_SEEDS", Some(String::new()), 300), 300);
        assert_eq!(number("CITY_SEEDS", Some("7".into()), 300), 7);
    }

    #[test]
    #[should_panic(expected = "not a number")]
    fn a_slip_is_not_taken_for_the_default() {
        number("CITY_SEEDS", Some("10k".into()), 300);
    }
}
