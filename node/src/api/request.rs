//! Reading requests: bounded, timed, strict.

use std::collections::BTreeSet;
use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use chain_core::code::Code;
use chain_core::codec::{self, CodecError};
use chain_core::transaction::Submission;
use futures::StreamExt as _;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use tokio::time::{Instant, timeout, timeout_at};

use super::Limits;
use super::problem::ApiError;

/// A submission in either encoding.
pub(super) async fn submission(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Submission, ApiError> {
    let parse = match media_type(headers)?.as_str() {
        "application/json" => from_json::<Submission>,
        "application/octet-stream" => from_codec,
        _ => {
            let detail = "send application/json or application/octet-stream";
            return Err(ApiError::new(Code::UnsupportedMediaType, detail));
        }
    };
    parse(&read_body(headers, body, limits).await?)
}

/// A body in JSON.
pub(super) async fn json_body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<T, ApiError> {
    if media_type(headers)? != "application/json" {
        return Err(ApiError::new(Code::UnsupportedMediaType, "send application/json"));
    }
    from_json(&read_body(headers, body, limits).await?)
}

/// The media type of a body that is not compressed.
fn media_type(headers: &HeaderMap) -> Result<String, ApiError> {
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(ApiError::new(Code::UnsupportedMediaType, "compressed bodies are not accepted"));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a body within its limits of size and time. A declared length over the limit is refused unread.
async fn read_body(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Vec<u8>, ApiError> {
    let too_large = || ApiError::new(Code::SizeLimit, format!("body over {} bytes", limits.body_bytes));
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|len| len > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let deadline = Instant::now() + limits.body_time;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let late = || ApiError::new(Code::RequestTimeout, "the body did not arrive in time");
        let chunk = timeout(limits.chunk_time, stream.next());
        match timeout_at(deadline, chunk).await.map_err(|_| late())?.map_err(|_| late())? {
            None => return Ok(bytes),
            Some(Ok(chunk)) if bytes.len() + chunk.len() > limits.body_bytes => return Err(too_large()),
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(_)) => {
                let detail = "the body ended early";
                return Err(ApiError::new(Code::MalformedBytes, detail).with_status(StatusCode::BAD_REQUEST));
            }
        }
    }
}

fn from_codec(bytes: &[u8]) -> Result<Submission, ApiError> {
    codec::decode(bytes).map_err(|error| match error {
        CodecError::TooLong { .. } => ApiError::new(Code::SizeLimit, error.to_string()),
        // The decoder's own words may repeat what was sent.
        CodecError::Malformed(_) => ApiError::new(Code::MalformedBytes, "not an encoded submission"),
        other => ApiError::new(Code::MalformedBytes, other.to_string()),
    })
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::new(Code::MalformedJson, format!("no UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let mut scanner = serde_json::Deserializer::from_str(text);
    UniqueNames.deserialize(&mut scanner).and_then(|()| scanner.end()).map_err(|error| json_error(&error))?;
    serde_json::from_str(text).map_err(|error| json_error(&error))
}

/// Says where the flaw is and of which kind, without repeating values: they may be about persons.
fn json_error(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    let name = || {
        let name = text.split('`').nth(1).unwrap_or_default();
        let plain =
            !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if plain { format!(" `{name}`") } else { String::new() }
    };
    if text.starts_with("unknown field") {
        ApiError::new(Code::UnknownField, format!("unknown field{} before {place}", name()))
    } else if text.starts_with("missing field") {
        ApiError::new(Code::MissingField, format!("missing field{} before {place}", name()))
    } else if text.starts_with(DUPLICATE) || text.starts_with("duplicate field") {
        ApiError::new(Code::MalformedJson, format!("a name appears twice in one object before {place}"))
    } else if error.is_data() {
        ApiError::new(Code::MalformedJson, format!("a value of the wrong kind or form before {place}"))
    } else if text.starts_with("recursion limit") {
        ApiError::new(Code::MalformedJson, format!("nested too deeply at {place}"))
    } else {
        ApiError::new(Code::MalformedJson, format!("no well-formed JSON at {place}"))
    }
}

const DUPLICATE: &str = "duplicate name";

/// Walks any JSON text and refuses objects that hold a name twice; keeps no values.
struct UniqueNames;

impl<'de> DeserializeSeed<'de> for UniqueNames {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(serde::de::Error::custom(DUPLICATE));
            }
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

/// Query parameters; anything unknown or malformed is `BAD_PARAMETER`.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|_| {
            let offered = "an unknown parameter, or a value of the wrong form; see the API description";
            ApiError::new(Code::BadParameter, offered)
        })
    }
}

/// The variable part of a path, or its parts as a tuple.
#[derive(Debug)]
pub(super) struct Segment<T = String>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segment)| Self(segment)).map_err(|_| ApiError::new(Code::NotFound, "no such address"))
    }
}

/// Parses a part of the path or a parameter.
pub(super) fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::new(Code::BadParameter, format!("{what} has the wrong form")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        from_json::<Submission>(text.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn flawed_json_has_its_code_and_values_are_not_repeated() {
        let cases = [
            ("", Code::MalformedJson),
            ("{", Code::MalformedJson),
            ("{} {}", Code::MalformedJson),
            ("[]", Code::MalformedJson),
            ("{}", Code::MissingField),
            (r#"{"status":"effective"}"#, Code::UnknownField),
            (r#"{"signed":1,"signed":1}"#, Code::MalformedJson),
            (r#"{"bodies":[],"x":{"a":1,"b":{"c":1,"c":2}}}"#, Code::MalformedJson),
            (r#"{"bodies":"11010519491231002X"}"#, Code::MalformedJson),
            (r#"{"11010519491231002X":1}"#, Code::UnknownField),
        ];
        for (text, want) in cases {
            let error = from_json::<Submission>(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), want, "{text}");
            assert!(!format!("{error:?}").contains("11010519491231002X"), "{text}");
        }
        assert_eq!(code(&"[".repeat(100_000)), Code::MalformedJson);
        assert_eq!(code(&format!("{}{}", "{\"a\":".repeat(100_000), "}")), Code::MalformedJson);
        assert_eq!(from_json::<Submission>(b"{\"a\":\"\xff\"}").unwrap_err().code(), Code::MalformedJson);
    }

    #[test]
    fn flawed_bytes_have_their_code() {
        assert_eq!(from_codec(&[]).unwrap_err().code(), Code::MalformedBytes);
        assert_eq!(from_codec(&[1, 2, 3]).unwrap_err().code(), Code::MalformedBytes);
        assert_eq!(from_codec(&vec![1; 600 * 1024]).unwrap_err().code(), Code::SizeLimit);
    }
}
