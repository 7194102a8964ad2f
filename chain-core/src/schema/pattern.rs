//! Patterns: regular expressions that every engine reads alike, matched in linear time.
//!
//! ECMA-262, Python and Rust differ in what `\d`, `\w`, `.`, `$` and case mean beyond ASCII, and some of them backtrack. What
//! is left here is the part without such differences: ASCII characters, classes that list what they hold, groups,
//! alternatives and counted repetition, from `^` to `$`.

use regex_lite::{Regex, RegexBuilder};

/// Most bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 256;
/// Most bytes of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 64 * 1024;
/// Largest count of a repetition.
const REPEAT_MAX: u32 = 256;

/// A pattern, compiled.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What about it is not allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("has {} bytes, at most {PATTERN_BYTES_MAX}", text.len()));
        }
        let inner = text.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
        let inner = inner.ok_or("wants ^ at its beginning and $ at its end")?;
        check(inner)?;
        // Around alternatives, ^ and $ would hold for the outer ones alone.
        let whole = format!("^(?:{inner})$");
        let regex = RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).build();
        let regex = regex.map_err(|error| {
            format!("is no regular expression, or takes more than {COMPILED_BYTES_MAX} bytes when compiled: {error}")
        })?;
        Ok(Self { regex })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as it was written.
    pub(super) fn shown(&self) -> String {
        let inner = self.regex.as_str().strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
        format!("^{}$", inner.unwrap_or_default())
    }
}

/// Refuses what engines read differently. An alternative outside a group is such a thing: `^a|b$` is not `^(a|b)$`.
fn check(inner: &str) -> Result<(), String> {
    let bytes = inner.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at = escaped(bytes, at)?,
            b'[' => at = class(bytes, at)?,
            b'{' => at = repeat(bytes, at)?,
            b'(' => {
                open += 1;
                if bytes[at..].starts_with(b"?:") {
                    at += 2;
                } else if bytes.get(at) == Some(&b'?') {
                    return Err("has a group that is neither (…) nor (?:…)".to_owned());
                }
            }
            b')' => open = open.checked_sub(1).ok_or("has a ) without its (")?,
            b'|' if open == 0 => return Err("has alternatives outside a group".to_owned()),
            b'*' | b'+' | b'?' => {
                if matches!(bytes.get(at), Some(b'*' | b'+' | b'?' | b'{')) {
                    return Err("has two repetitions in a row".to_owned());
                }
            }
            b'.' | b'^' | b'$' => {
                return Err(format!("has {:?} inside; escape it or list what it stands for", byte as char));
            }
            b']' | b'}' => return Err(format!("has a bare {:?}", byte as char)),
            b'|' | b' '..=b'~' => {}
            _ => return Err("holds a character beyond printable ASCII".to_owned()),
        }
    }
    if open == 0 { Ok(()) } else { Err("has a ( without its )".to_owned()) }
}

fn escaped(bytes: &[u8], at: usize) -> Result<usize, String> {
    match bytes.get(at) {
        Some(byte) if b"\\.+*?()[]{}|^$/-".contains(byte) => Ok(at + 1),
        _ => Err("escapes something else than a sign of patterns; list characters as in [0-9]".to_owned()),
    }
}

fn class(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    if bytes.get(at) == Some(&b'^') {
        return Err("has a class of what it does not hold".to_owned());
    }
    let from = at;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b']' if at - 1 > from => return Ok(at),
            b'\\' => at = escaped(bytes, at)?,
            b'[' | b']' | b'&' | b'~' => return Err(format!("has a bare {:?} in a class", byte as char)),
            b'-' if at - 1 > from && bytes.get(at) != Some(&b']') => {
                // A range of letters of one case, or of digits.
                let (Some(&low), Some(&high)) = (bytes.get(at.wrapping_sub(2)), bytes.get(at)) else {
                    return Err("has a range without an end".to_owned());
                };
                let same = [b'0'..=b'9', b'A'..=b'Z', b'a'..=b'z']
                    .iter()
                    .any(|kind| kind.contains(&low) && kind.contains(&high));
                if !same || low > high {
                    return Err("has a range that is not of digits or of letters of one case".to_owned());
                }
                at += 1;
            }
            b' '..=b'~' => {}
            _ => return Err("holds a character beyond printable ASCII".to_owned()),
        }
    }
    Err("has a [ without its ]".to_owned())
}

fn repeat(bytes: &[u8], at: usize) -> Result<usize, String> {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == b'}').ok_or("has a { without its }")?;
    let counts = std::str::from_utf8(&rest[..end]).unwrap_or("");
    let mut parts = counts.split(',');
    let count =
        |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).filter(|&n| n <= REPEAT_MAX);
    let (low, high) = (count(parts.next()), parts.next());
    let fits = low.is_some()
        && high.is_none_or(|high| high.is_empty() || count(Some(high)) >= low)
        && parts.next().is_none();
    let next = bytes.get(at + end + 1);
    if !fits || matches!(next, Some(b'*' | b'+' | b'?' | b'{')) {
        return Err(format!(
            "has a repetition that is not {{n}}, {{n,}} or {{n,m}} with at most {REPEAT_MAX}"
        ));
    }
    Ok(at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_part_of_all_engines_is_read() {
        for (pattern, good, bad) in [
            ("^[0-9a-f]{4}$", "00af", "00AF"),
            ("^[A-Z]{2,3}$", "CNY", "C"),
            ("^(a|bc)+$", "abca", "b"),
            ("^(?:x-)?[0-9]{1,2}$", "x-12", "x-"),
            ("^a\\.b\\-c$", "a.b-c", "axb-c"),
            ("^[a-z0-9_-]*$", "a-_1", "a b"),
            ("^a{2,}$", "aaa", "a"),
            ("^$", "", "a"),
        ] {
            let one = Pattern::parse(pattern).unwrap();
            assert!(one.matches(good), "{pattern} {good}");
            assert!(!one.matches(bad), "{pattern} {bad}");
            // Python lets $ stand before a last line feed.
            assert!(!one.matches(&format!("{good}\n")), "{pattern}");
            assert_eq!(one.shown(), pattern);
        }
    }

    #[test]
    fn what_engines_read_differently_is_refused() {
        for pattern in [
            "a",
            "^a",
            "a$",
            "^a|b$",
            "^\\d$",
            "^\\w+$",
            "^.$",
            "^a^b$",
            "^a$b$",
            "^[^a]$",
            "^(?=a)$",
            "^(?i)a$",
            "^(?P<n>a)$",
            "^\\p{L}$",
            "^(a)\\1$",
            "^[a-Z]$",
            "^[z-a]$",
            "^[+-9]$",
            "^[[:alpha:]]$",
            "^[a&&b]$",
            "^[]$",
            "^[a$",
            "^(a$",
            "^a)$",
            "^a{$",
            "^a{,3}$",
            "^a{3,2}$",
            "^a{257}$",
            "^a{1,2,3}$",
            "^a++$",
            "^a+?$",
            "^a{2}?$",
            "^文$",
            "^[一-龥]$",
            "^*a$",
            "^\u{1}$",
            "^(a*$",
            "^\\$",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::parse(&format!("^{}$", "a".repeat(300))).is_err());
        // Small to write, large to compile.
        let nested = "^(((a{200}){200}){200})$";
        assert!(Pattern::parse(nested).unwrap_err().contains("when compiled"));
    }

    #[test]
    fn a_pattern_that_would_backtrack_does_not() {
        let one = Pattern::parse("^(a|a)*(a|a)*(a|a)*b$").unwrap();
        assert!(!one.matches(&"a".repeat(16 * 1024)));
    }
}
