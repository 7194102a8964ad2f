//! JSON as bodies use it: RFC 8259 restricted to what every reader reads alike.
//!
//! Refused: duplicate names, numbers that are no integer within ±(2^53−1), `-0`, `null`, lone surrogates, a
//! byte order mark, comments, more than [`DEPTH_MAX`] levels or [`MEMBERS_MAX`] members of an object, and
//! texts with bidirectional, zero-width or other invisible characters or not in NFC.
//!
//! The canonical form is RFC 8785: no white space, names in the order of their UTF-16 units, shortest
//! escapes. Validators read bodies with [`parse_canonical`], which checks the form while reading, so nothing
//! is serialised again.

use std::borrow::Cow;

use serde::Serialize;

use crate::code::{Code, Refusal};
use crate::text;

/// Most levels of arrays and objects.
pub const DEPTH_MAX: usize = 16;
/// Most members of one object.
pub const MEMBERS_MAX: usize = 512;
/// Largest integer of either sign.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A JSON value; texts are borrowed where they hold no escapes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Json<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An integer within ±[`INTEGER_MAX`].
    Integer(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// Members in the order found; names are unique.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl Json<'_> {
    /// What kind of value it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Whether any text or name in it satisfies a condition.
    pub fn any_text(&self, condition: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Bool(_) | Self::Integer(_) => false,
            Self::Text(text) => condition(text),
            Self::Array(items) => items.iter().any(|item| item.any_text(condition)),
            Self::Object(members) => {
                members.iter().any(|(name, value)| condition(name) || value.any_text(condition))
            }
        }
    }
}

/// Reads a strict JSON text in any layout.
///
/// # Errors
/// `MALFORMED_JSON`, `JSON_NOT_CANONICAL` (values that canonical JSON excludes), `BAD_TEXT` or `SIZE_LIMIT`,
/// with the byte offset; nothing of the text is repeated.
pub fn parse(text: &str) -> Result<Json<'_>, Refusal> {
    Parser::new(text, false).document()
}

/// Reads a text that must be in canonical form (RFC 8785).
///
/// # Errors
/// As [`parse`], and `JSON_NOT_CANONICAL` for another layout of the same value.
pub fn parse_canonical(text: &str) -> Result<Json<'_>, Refusal> {
    Parser::new(text, true).document()
}

/// The canonical form of a JSON text. It changes the layout only: which characters a text may hold is judged
/// when the body is.
///
/// # Errors
/// As [`parse`], but for `BAD_TEXT`.
pub fn canonicalise(text: &str) -> Result<String, Refusal> {
    Parser { texts: false, ..Parser::new(text, false) }.document()?;
    let malformed = |error: &dyn std::fmt::Display| Refusal::new(Code::MalformedJson, error.to_string());
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    serde_json_canonicalizer::to_string(&value).map_err(|error| malformed(&error))
}

/// The canonical form of a value.
///
/// # Errors
/// When it holds anything that bodies may not, e.g. a float or a null.
pub fn to_canonical<T: Serialize>(value: &T) -> Result<String, Refusal> {
    let text = serde_json_canonicalizer::to_string(value)
        .map_err(|error| Refusal::new(Code::MalformedJson, error.to_string()))?;
    parse_canonical(&text)?;
    Ok(text)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    canonical: bool,
    /// Whether characters of texts are judged.
    texts: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, canonical: bool) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, canonical, texts: true }
    }

    fn refuse<T>(&self, code: Code, problem: &str) -> Result<T, Refusal> {
        Err(Refusal::new(code, format!("JSON at byte {}: {problem}", self.at)))
    }

    fn document(mut self) -> Result<Json<'a>, Refusal> {
        if self.text.starts_with('\u{feff}') {
            return self.refuse(Code::MalformedJson, "byte order mark");
        }
        let value = self.value(0)?;
        self.space()?;
        if self.at < self.bytes.len() {
            return self.refuse(Code::MalformedJson, "something after the value");
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) -> Result<(), Refusal> {
        let from = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        if self.canonical && self.at > from {
            return self.refuse(Code::JsonNotCanonical, "white space between tokens");
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Refusal> {
        self.space()?;
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{' | b'[') if depth == DEPTH_MAX => {
                self.refuse(Code::SizeLimit, &format!("more than {DEPTH_MAX} levels"))
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true").map(|()| Json::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Json::Bool(false)),
            Some(b'n') => {
                self.word("null")?;
                self.refuse(Code::JsonNotCanonical, "null is not allowed; leave the member out")
            }
            Some(_) => self.refuse(Code::MalformedJson, "no value begins like this"),
            None => self.refuse(Code::MalformedJson, "the text ends where a value is wanted"),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Refusal> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.refuse(Code::MalformedJson, "unknown word");
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<Json<'a>, Refusal> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let magnitude = &self.text[digits..self.at];
        if magnitude.is_empty() || (magnitude.len() > 1 && magnitude.starts_with('0')) {
            return self.refuse(Code::MalformedJson, "not a number of JSON");
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.refuse(Code::JsonNotCanonical, "only integers are allowed");
        }
        if negative && magnitude == "0" {
            return self.refuse(Code::JsonNotCanonical, "negative zero");
        }
        match self.text[from..self.at].parse::<i64>() {
            Ok(value) if (-INTEGER_MAX..=INTEGER_MAX).contains(&value) => Ok(Json::Integer(value)),
            _ => self.refuse(Code::JsonNotCanonical, "integer beyond 2^53-1"),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Refusal> {
        self.at += 1;
        let mut items = Vec::new();
        self.space()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return self.refuse(Code::MalformedJson, "wants a comma or the end of the list"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Refusal> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.space()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space()?;
            if self.peek() != Some(b'"') {
                return self.refuse(Code::MalformedJson, "wants a name in quotes");
            }
            let name = self.string()?;
            self.check_name(&members, &name)?;
            self.space()?;
            if self.peek() != Some(b':') {
                return self.refuse(Code::MalformedJson, "wants a colon after the name");
            }
            self.at += 1;
            let value = self.value(depth)?;
            members.push((name, value));
            self.space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return self.refuse(Code::MalformedJson, "wants a comma or the end of the object"),
            }
        }
    }

    fn check_name(&self, members: &[(Cow<'a, str>, Json<'a>)], name: &str) -> Result<(), Refusal> {
        if members.len() == MEMBERS_MAX {
            return self.refuse(Code::SizeLimit, &format!("more than {MEMBERS_MAX} members"));
        }
        let Some((last, _)) = members.last() else {
            return Ok(());
        };
        // RFC 8785 section 3.2.3: names are sorted by their UTF-16 code units.
        let ascending = last.encode_utf16().lt(name.encode_utf16());
        if self.canonical && ascending {
            return Ok(());
        }
        if members.iter().any(|(other, _)| other == name) {
            return self.refuse(Code::JsonNotCanonical, "a name appears twice");
        }
        if self.canonical {
            return self.refuse(Code::JsonNotCanonical, "names are not in canonical order");
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        self.at += 1;
        let from = self.at;
        let end = self.bytes[from..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        let text = match end {
            Some(len) if self.bytes[from + len] == b'"' => {
                self.at = from + len + 1;
                Cow::Borrowed(&self.text[from..from + len])
            }
            Some(_) => Cow::Owned(self.escaped_string()?),
            None => {
                self.at = self.bytes.len();
                return self.refuse(Code::MalformedJson, "a text has no end");
            }
        };
        if self.texts && text::is_bad(&text) {
            return self.refuse(Code::BadText, "invisible characters, or not in normalisation form C");
        }
        Ok(text)
    }

    fn escaped_string(&mut self) -> Result<String, Refusal> {
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.refuse(Code::MalformedJson, "a bare control character in a text"),
                None => return self.refuse(Code::MalformedJson, "a text has no end"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let from = self.at;
        self.at += 2;
        let decoded = match self.bytes.get(from + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.unicode_escape()?,
            _ => return self.refuse(Code::MalformedJson, "unknown escape"),
        };
        if self.canonical && canonical_escape(decoded).as_deref() != Some(&self.text[from..self.at]) {
            return self.refuse(Code::JsonNotCanonical, "an escape is not the canonical one");
        }
        Ok(decoded)
    }

    fn unicode_escape(&mut self) -> Result<char, Refusal> {
        let first = self.hex_unit()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.hex_unit()?;
            if (0xdc00..0xe000).contains(&second) {
                let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                if let Some(c) = char::from_u32(point) {
                    return Ok(c);
                }
            }
        }
        self.refuse(Code::MalformedJson, "a lone surrogate")
    }

    fn hex_unit(&mut self) -> Result<u32, Refusal> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let unit = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).and_then(|digits| {
            std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok())
        });
        match unit {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.refuse(Code::MalformedJson, "an escape wants four hexadecimal digits"),
        }
    }
}

/// The one escape RFC 8785 allows for a character, if it must be escaped at all.
fn canonical_escape(c: char) -> Option<String> {
    Some(match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(c)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Texts every implementation must judge alike, and the code they are refused with.
    const REFUSED: &[(&str, Code)] = &[
        (r#"{"a":1,"a":2}"#, Code::JsonNotCanonical),
        (r#"{"b":0,"a":1,"b":2}"#, Code::JsonNotCanonical),
        (r#"{"a":1,"\u0061":2}"#, Code::JsonNotCanonical),
        (r#"{"a":9007199254740993}"#, Code::JsonNotCanonical),
        (r#"{"a":9007199254740992}"#, Code::JsonNotCanonical),
        (r#"{"a":-9007199254740992}"#, Code::JsonNotCanonical),
        (r#"{"a":99999999999999999999999}"#, Code::JsonNotCanonical),
        (r#"{"a":1.0}"#, Code::JsonNotCanonical),
        (r#"{"a":1e3}"#, Code::JsonNotCanonical),
        (r#"{"a":-0}"#, Code::JsonNotCanonical),
        (r#"{"a":null}"#, Code::JsonNotCanonical),
        (r#"{"a":01}"#, Code::MalformedJson),
        (r#"{"a":-}"#, Code::MalformedJson),
        (r#"{"a":"\ud800"}"#, Code::MalformedJson),
        (r#"{"a":"\ud800\u0041"}"#, Code::MalformedJson),
        (r#"{"a":"\udc00\ud800"}"#, Code::MalformedJson),
        (r#"{"a":"\u00g0"}"#, Code::MalformedJson),
        (r#"{"a":"\x"}"#, Code::MalformedJson),
        (r#"{"a":"\"#, Code::MalformedJson),
        (r#"{"a":"\u12"#, Code::MalformedJson),
        ("{\"a\":\"\t\"}", Code::MalformedJson),
        ("{\"name\":\"明湖\u{200b}\"}", Code::BadText),
        (r#"{"name":"明湖\u200b"}"#, Code::BadText),
        ("{\"na\u{202e}me\":1}", Code::BadText),
        ("{\"a\":\"e\u{301}\"}", Code::BadText),
        ("\u{feff}{\"a\":1}", Code::MalformedJson),
        (r#"{/*x*/"a":1}"#, Code::MalformedJson),
        (r#"{"a":1,}"#, Code::MalformedJson),
        (r#"[1,]"#, Code::MalformedJson),
        (r#"{"a":1} 2"#, Code::MalformedJson),
        (r#"{"a" 1}"#, Code::MalformedJson),
        (r#"{a:1}"#, Code::MalformedJson),
        (r#"{"a":tru}"#, Code::MalformedJson),
        (r#"{"a":"#, Code::MalformedJson),
        ("", Code::MalformedJson),
        (r#""abc"#, Code::MalformedJson),
    ];

    #[test]
    fn what_readers_could_read_differently_is_refused() {
        for (text, code) in REFUSED {
            assert_eq!(parse(text).map_err(|refusal| refusal.code), Err(*code), "{text}");
            let again = parse_canonical(text).unwrap_err().code;
            assert!(again == *code || again == Code::JsonNotCanonical, "{text}: {again}");
        }
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)).unwrap_err().code, Code::SizeLimit);
        assert_eq!(parse(&nested(1_000_000)).unwrap_err().code, Code::SizeLimit);
        let wide = |members: usize| {
            let members: Vec<String> = (0..members).map(|at| format!("\"{at:04}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(parse_canonical(&wide(MEMBERS_MAX)).is_ok());
        assert_eq!(parse_canonical(&wide(MEMBERS_MAX + 1)).unwrap_err().code, Code::SizeLimit);
    }

    #[test]
    fn the_canonical_form_sorts_names_by_utf16_units() {
        for (text, canonical) in [
            (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#" { "a" : [ 1 , true ] } "#, r#"{"a":[1,true]}"#),
            // The surrogate pair of U+1F600 sorts before U+FB33.
            ("{\"\u{fb33}\":2,\"😀\":1}", "{\"😀\":1,\"\u{fb33}\":2}"),
            (r#"{"a":"\u0041\/\n\u0009"}"#, r#"{"a":"A/\n\t"}"#),
            (r#"{"a":-9007199254740991}"#, r#"{"a":-9007199254740991}"#),
        ] {
            assert_eq!(canonicalise(text).as_deref(), Ok(canonical), "{text}");
            // U+FB33 has its place in the order but is not in NFC.
            assert_eq!(parse_canonical(canonical).is_ok(), !canonical.contains('\u{fb33}'), "{canonical}");
        }
        let (low, high) = ("{\"😀\":1,\"\u{ff21}\":2}", "{\"\u{ff21}\":2,\"😀\":1}");
        assert!(parse_canonical(low).is_ok());
        assert_eq!(parse_canonical(high).unwrap_err().code, Code::JsonNotCanonical);
        assert_eq!(canonicalise(high).as_deref(), Ok(low));
    }

    #[test]
    fn other_layouts_of_a_value_are_not_canonical() {
        for text in [
            r#"{"a": 1}"#,
            " {}",
            "{}\n",
            r#"{"b":1,"a":2}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u000A"}"#,
            r#"{"a":"\u000a"}"#,
        ] {
            assert!(parse(text).is_ok(), "{text}");
            assert_eq!(parse_canonical(text).unwrap_err().code, Code::JsonNotCanonical, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(serde_json::Value::from),
            (-INTEGER_MAX..=INTEGER_MAX).prop_map(serde_json::Value::from),
            "[ -~\\n\\t一-龥😀Ａ-Ｚ]{0,12}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-zé一-龥😀Ａ]{1,4}", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_reader_accepts_exactly_what_the_canonicaliser_writes(value in value()) {
            let canonical = serde_json_canonicalizer::to_string(&value).unwrap();
            prop_assert!(parse_canonical(&canonical).is_ok(), "{canonical}");
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let canonicalised = canonicalise(&pretty);
            prop_assert_eq!(canonicalised.as_deref(), Ok(canonical.as_str()));
            if pretty != canonical {
                prop_assert!(parse_canonical(&pretty).is_err());
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,64}|[\\[\\]{}\",:\\\\u0-9a-f\\-. ]{0,64}") {
            let strict = parse(&text).is_ok();
            prop_assert!(strict || parse_canonical(&text).is_err());
            if strict {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
