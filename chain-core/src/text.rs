//! What characters a text may hold, and how texts are shown in messages.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::is_nfc;

/// Whether a text holds characters that are refused everywhere: bidirectional controls, zero-width and other
/// invisible characters, control characters other than tab and line feed, or anything not in NFC.
pub fn is_bad(text: &str) -> bool {
    let mut needs_check = false;
    for c in text.chars() {
        if is_forbidden(c) {
            return true;
        }
        // Ranges whose members never change under normalisation and never combine.
        let inert = matches!(c, '\0'..='\u{2ff}' | '\u{3001}'..='\u{3029}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff5e}');
        needs_check |= !inert;
    }
    needs_check && !is_nfc(text)
}

fn is_forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | ' '..='~' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian
        // separator, zero-width and bidirectional controls, line and paragraph separators, invisible
        // operators, byte order mark, interlinear annotation, variation selectors and tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// The text in normalisation form C.
pub fn to_nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Whether a text is a short name: lower-case letters, digits and inner hyphens, 1 to `limit` bytes.
pub fn is_short_name(text: &str, limit: usize) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=limit).contains(&bytes.len())
        && bytes.iter().all(|&byte| good(byte) || byte == b'-')
        && bytes.first().is_some_and(|&byte| good(byte))
        && bytes.last().is_some_and(|&byte| good(byte))
}

/// At most the first 40 characters of a text, for messages.
pub fn clip(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at])
}

/// A value as messages may show it: clipped, and withheld when it holds a resident identity number.
pub fn shown(text: &str) -> String {
    if crate::identifier::contains_resident_number(text) {
        "(withheld)".to_owned()
    } else {
        format!("{:?}", clip(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_unnormalised_characters_are_refused() {
        for text in
            ["明湖\u{200b}", "a\u{202e}b", "\u{feff}a", "e\u{301}", "a\u{7}", "x\u{e0041}", "\u{212b}"]
        {
            assert!(is_bad(text), "{text:?}");
        }
        for text in
            ["示例市市场监督管理局（二）〔2026〕1号", "é ñ ü", "line\nnext\tcell", "Ａ１", "한국어", "😀"]
        {
            assert!(!is_bad(text), "{text:?}");
        }
        assert!(!is_bad(&to_nfc("e\u{301}")));
    }

    #[test]
    fn every_inert_character_is_normal_by_itself() {
        for c in '\0'..='\u{ffff}' {
            let text = c.to_string();
            if !is_bad(&text) {
                assert!(is_nfc(&text), "{c:?}");
            }
        }
    }

    #[test]
    fn messages_show_the_beginning_only() {
        assert_eq!(clip(&"文".repeat(50)).chars().count(), 40);
        assert_eq!(shown("no. 11010519491231002X"), "(withheld)");
        assert_eq!(shown("a"), "\"a\"");
    }
}
