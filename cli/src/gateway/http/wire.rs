//! HTTP/1.1 as far as the gateway speaks it (RFC 9112): requests with a Content-Length, one after the other on a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Longest body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long one request may take to arrive, and a connection may stay idle.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    query: Vec<(String, String)>,
    pub(super) bearer: Option<String>,
    pub(super) body: Vec<u8>,
    keep: bool,
}

impl Request {
    /// A request as a test writes it.
    #[cfg(test)]
    pub(super) fn of(method: &str, target: &str, body: &str, bearer: Option<&str>) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\n\r\n");
        let (request, _) = parse(head.as_bytes()).unwrap().unwrap();
        Self { body: body.as_bytes().to_vec(), bearer: bearer.map(str::to_owned), ..request }
    }

    /// The first parameter of a name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self { status, body: value.to_string().into_bytes() }
    }

    fn bytes(&self, keep: bool) -> Vec<u8> {
        let kind = if self.status < 400 { "application/json" } else { "application/problem+json" };
        let retry = if self.status == 503 { "Retry-After: 5\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{retry}Connection: {}\r\n\r\n",
            self.status,
            phrase(self.status),
            self.body.len(),
            if keep { "keep-alive" } else { "close" }
        )
        .into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        413 => "Content Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// Answers requests until the client closes, is too slow, or sends what is no request.
pub(super) fn serve(mut connection: TcpStream, answer: impl Fn(&Request) -> Answer) {
    let timeouts = connection.set_write_timeout(Some(PATIENCE)).and_then(|()| connection.set_nodelay(true));
    if timeouts.is_err() {
        return;
    }
    let mut pending = Vec::new();
    loop {
        let (reply, keep) = match read(&mut connection, &mut pending) {
            Ok(request) => (answer(&request), request.keep),
            Err(0) => return,
            Err(status) => (Answer { status, body: Vec::new() }, false),
        };
        if connection.write_all(&reply.bytes(keep)).is_err() || !keep {
            return;
        }
    }
}

/// Says that there are too many connections.
pub(super) fn turn_away(mut connection: TcpStream) {
    let reply = Answer { status: 503, body: Vec::new() };
    let _ = connection.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = connection.write_all(&reply.bytes(false));
}

/// Reads one request; what follows it stays in `pending`. An error is the status to answer with, 0 to close without one.
fn read(connection: &mut TcpStream, pending: &mut Vec<u8>) -> Result<Request, u16> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some((request, length)) = parse(pending)? {
            let begin = pending.len().min(length.0);
            let end = length.0 + length.1;
            if pending.len() >= end {
                let body = pending[begin..end].to_vec();
                pending.drain(..end);
                return Ok(Request { body, ..request });
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || connection.set_read_timeout(Some(left)).is_err() {
            return Err(0);
        }
        let mut buffer = [0; 16 * 1024];
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return Err(0),
            Ok(read) => pending.extend_from_slice(&buffer[..read]),
        }
    }
}

/// The head of a request, with the lengths of head and body; none while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, (usize, usize))>, u16> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes).map_err(|_| 400_u16)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() > HEAD_BYTES_MAX => return Err(413),
        httparse::Status::Partial => return Ok(None),
    };
    if length > HEAD_BYTES_MAX {
        return Err(413);
    }
    let all = |name: &str| {
        let wanted = name.to_owned();
        head.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(&wanted))
    };
    let text = |name: &str| all(name).next().and_then(|header| std::str::from_utf8(header.value).ok());
    if all("transfer-encoding").next().is_some() {
        return Err(501);
    }
    if all("content-length").count() > 1 {
        return Err(400);
    }
    let body: usize = match text("content-length") {
        Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map_err(|_| 413_u16)?
        }
        Some(_) => return Err(400),
        None => 0,
    };
    if body > BODY_BYTES_MAX {
        return Err(413);
    }
    let target = head.path.ok_or(400_u16)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty());
    let query = query.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    });
    let close = text("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let request = Request {
        method: head.method.ok_or(400_u16)?.to_owned(),
        path: path.to_owned(),
        query: query.collect::<Option<_>>().ok_or(400_u16)?,
        bearer: text("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
        body: Vec::new(),
        keep: head.version == Some(1) && !close,
    };
    Ok(Some((request, (length, body))))
}

/// Percent-encoding (RFC 3986 section 2.1), undone; a plus stays what it is, as in times.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whole_and_within_its_bounds() {
        let text = b"POST /v1/readings?a=1%2F2&time=x+y HTTP/1.1\r\nContent-Length: 2\r\nAuthorization: Bearer t\r\n\r\n{}";
        let (request, (head, body)) = parse(text).unwrap().unwrap();
        assert_eq!((head + body, body, request.keep), (text.len(), 2, true));
        assert_eq!((request.parameter("a"), request.parameter("time")), (Some("1/2"), Some("x+y")));
        assert_eq!(request.bearer.as_deref(), Some("t"));
        for cut in 0..head {
            assert!(parse(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        for (text, status) in [
            ("nonsense\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
            ("GET /?a=%zz HTTP/1.1\r\n\r\n", 400),
            (&long, 413),
            (&long[..HEAD_BYTES_MAX + 10], 413),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), status, "{}", &text[..text.len().min(60)]);
        }
    }
}
