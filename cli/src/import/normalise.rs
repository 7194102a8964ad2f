//! One form for cells that people typed on different keyboards.

/// A cell in its ordinary form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Normal {
    /// The text.
    pub(crate) text: String,
    /// Whether full-width digits, letters or number signs were replaced.
    pub(crate) narrowed: bool,
}

/// Text of prose: trimmed, nothing else.
pub(crate) fn prose(cell: &str) -> &str {
    cell.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Codes and decision numbers: trimmed; full-width digits and letters become ordinary ones. Brackets and
/// other signs stay, because 〔2026〕 is part of an official number.
pub(crate) fn code(cell: &str) -> Normal {
    narrow(prose(cell), |c| matches!(c, '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ'))
}

/// Dates and amounts: as codes, and full-width signs that numbers use.
pub(crate) fn number(cell: &str) -> Normal {
    let sign = |c| matches!(c, '．' | '－' | '＋' | '／');
    narrow(prose(cell), |c| sign(c) || matches!(c, '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ'))
}

fn narrow(text: &str, wide: impl Fn(char) -> bool) -> Normal {
    let narrowed = text.chars().any(&wide);
    // The full-width forms U+FF01 to U+FF5E stand 0xFEE0 above ASCII.
    let narrow = |c: char| char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
    Normal { text: text.chars().map(|c| if wide(c) { narrow(c) } else { c }).collect(), narrowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_digits_and_letters_become_ordinary() {
        let normal = |text: &str, narrowed| Normal { text: text.to_owned(), narrowed };
        assert_eq!(code(" 9232０199MAXWLHLR1J　"), normal("92320199MAXWLHLR1J", true));
        assert_eq!(code("示许〔2026〕1012号"), normal("示许〔2026〕1012号", false));
        assert_eq!(code("（２）ｘ"), normal("（2）x", true));
        assert_eq!(number("１．５"), normal("1.5", true));
        assert_eq!(number("－０．５"), normal("-0.5", true));
        assert_eq!(number("２０２６／１／８"), normal("2026/1/8", true));
        assert_eq!(prose("\u{feff} 甲 某　"), "甲 某");
    }
}
