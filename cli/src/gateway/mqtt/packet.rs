//! The packets of MQTT that a subscriber of quality of service 1 needs (OASIS MQTT 3.1.1 and 5.0, chapters 2 and 3).

use chain_core::code::Code;

use crate::error::{CliError, CliResult};

/// Longest packet read; a broker sends no larger one than its clients publish.
const PACKET_BYTES_MAX: u32 = 512 * 1024;
/// Messages that a broker of MQTT 5 may leave without an acknowledgement.
const RECEIVE_MAX: u16 = 1_024;
/// A request to show that the connection lives.
pub(super) const PING: [u8; 2] = [0xc0, 0];

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) client_id: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) keep_alive_s: u16,
}

/// What a broker sends to a subscriber.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Packet {
    ConnAck { code: u8 },
    SubAck { code: u8 },
    Publish(Publish),
    PingResp,
    Disconnect { code: u8 },
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// What to acknowledge it by; none for quality of service 0.
    pub(super) id: Option<u16>,
}

/// CONNECT to a session that the broker keeps.
pub(super) fn connect(version: u8, login: &Login<'_>) -> CliResult<Vec<u8>> {
    let mut body = Vec::new();
    text(&mut body, "MQTT")?;
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    body.extend([version, flag(login.user.is_some(), 0x80) | flag(login.password.is_some(), 0x40)]);
    body.extend(login.keep_alive_s.to_be_bytes());
    if version == 5 {
        // The session never expires; so many messages without an acknowledgement; packets no larger than are read.
        let mut properties = vec![0x11];
        properties.extend(u32::MAX.to_be_bytes());
        properties.push(0x21);
        properties.extend(RECEIVE_MAX.to_be_bytes());
        properties.push(0x27);
        properties.extend(PACKET_BYTES_MAX.to_be_bytes());
        length(&mut body, properties.len());
        body.append(&mut properties);
    }
    text(&mut body, login.client_id)?;
    for one in [login.user, login.password].into_iter().flatten() {
        text(&mut body, one)?;
    }
    Ok(packet(0x10, &body))
}

/// SUBSCRIBE to one filter at quality of service 1.
pub(super) fn subscribe(version: u8, filter: &str) -> CliResult<Vec<u8>> {
    let mut body = vec![0, 1];
    if version == 5 {
        body.push(0);
    }
    text(&mut body, filter)?;
    body.push(1);
    Ok(packet(0x82, &body))
}

/// PUBACK: success, in the form that both versions share.
pub(super) fn acknowledge(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}

/// DISCONNECT, in the form that both versions share.
pub(super) const fn disconnect() -> [u8; 2] {
    [0xe0, 0]
}

/// The first packet of some bytes, with its length; none while it is not whole.
///
/// # Errors
/// `MALFORMED_BYTES` for what no broker may send.
pub(super) fn parse(version: u8, bytes: &[u8]) -> CliResult<Option<(Packet, usize)>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((body, head)) = read_length(rest)? else { return Ok(None) };
    if body > PACKET_BYTES_MAX as usize {
        return Err(malformed(format!("a packet of {body} bytes, at most {PACKET_BYTES_MAX}")));
    }
    let Some(body) = rest.get(head..head + body) else { return Ok(None) };
    let whole = 1 + head + body.len();
    Ok(Some((packet_of(version, first, body)?, whole)))
}

fn packet_of(version: u8, first: u8, body: &[u8]) -> CliResult<Packet> {
    let byte = |at: usize| body.get(at).copied();
    match (first >> 4, first & 0x0f) {
        (2, 0) => {
            let code = byte(1).ok_or_else(|| malformed("a CONNACK without its code"))?;
            Ok(Packet::ConnAck { code })
        }
        (3, flags) => publish(version, flags, body).map(Packet::Publish),
        (9, 0) => {
            let code = body.last().copied().filter(|_| body.len() >= 3);
            Ok(Packet::SubAck { code: code.ok_or_else(|| malformed("a SUBACK without its code"))? })
        }
        (13, 0) if body.is_empty() => Ok(Packet::PingResp),
        (14, 0) if version == 5 => Ok(Packet::Disconnect { code: byte(0).unwrap_or(0) }),
        (kind, flags) => Err(malformed(format!("a packet of type {kind} with flags {flags:#x}"))),
    }
}

fn publish(version: u8, flags: u8, body: &[u8]) -> CliResult<Publish> {
    let short = || malformed("a PUBLISH that ends early");
    let (size, rest) = body.split_at_checked(2).ok_or_else(short)?;
    let size = usize::from(u16::from_be_bytes([size[0], size[1]]));
    let (topic, mut rest) = rest.split_at_checked(size).ok_or_else(short)?;
    let topic = std::str::from_utf8(topic).map_err(|_| malformed("a topic that is not UTF-8"))?;
    let id = match (flags >> 1) & 3 {
        0 => None,
        1 => {
            let (id, after) = rest.split_at_checked(2).ok_or_else(short)?;
            rest = after;
            Some(u16::from_be_bytes([id[0], id[1]])).filter(|id| *id != 0)
        }
        other => return Err(malformed(format!("a PUBLISH of quality of service {other}, subscribed was 1"))),
    };
    if version == 5 {
        let (properties, head) = read_length(rest)?.ok_or_else(short)?;
        rest = rest.get(head + properties..).ok_or_else(short)?;
    }
    Ok(Publish { topic: topic.to_owned(), payload: rest.to_vec(), id })
}

/// A length of up to four bytes, seven bits each, and how many bytes it took; none while it is not whole.
fn read_length(bytes: &[u8]) -> CliResult<Option<(usize, usize)>> {
    let mut value = 0;
    for at in 0..4 {
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    Err(malformed("a length of more than four bytes"))
}

fn length(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) -> CliResult {
    let size = u16::try_from(text.len())
        .map_err(|_| CliError::usage(format!("a text of {} bytes, at most 65535", text.len())))?;
    bytes.extend(size.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    length(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

fn malformed(detail: impl Into<String>) -> CliError {
    CliError::new(Code::MalformedBytes, format!("the broker sent {}", detail.into()))
}

/// What the code of a CONNACK means (MQTT 3.1.1, table 3.1; MQTT 5, table 3-1).
pub(super) fn why_refused(code: u8) -> &'static str {
    match code {
        1 | 0x84 => "it does not speak this version of MQTT",
        2 | 0x85 => "it does not take this client_id",
        3 | 0x88 | 0x89 => "it is not available now",
        4 | 0x86 => "user or password is wrong",
        5 | 0x87 => "this user is not authorised",
        0x8a => "this client is banned",
        _ => "no reason that this gateway knows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(version: u8, payload: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "city/d/s").unwrap();
        body.extend([0x12, 0x34]);
        if version == 5 {
            body.extend([2, 0x01, 1]);
        }
        body.extend_from_slice(payload);
        packet(0x32, &body)
    }

    #[test]
    fn the_packets_are_those_of_the_standard() {
        let login = Login { client_id: "g", user: Some("u"), password: Some("p"), keep_alive_s: 30 };
        assert_eq!(
            connect(4, &login).unwrap(),
            b"\x10\x13\x00\x04MQTT\x04\xc0\x00\x1e\x00\x01g\x00\x01u\x00\x01p"
        );
        let anonymous = Login { user: None, password: None, ..login };
        assert_eq!(
            connect(5, &anonymous).unwrap(),
            b"\x10\x1b\x00\x04MQTT\x05\x00\x00\x1e\x0d\x11\xff\xff\xff\xff\x21\x04\x00\x27\x00\x08\x00\x00\x00\x01g"
        );
        assert_eq!(subscribe(4, "a/+").unwrap(), b"\x82\x08\x00\x01\x00\x03a/+\x01");
        assert_eq!(subscribe(5, "a/+").unwrap(), b"\x82\x09\x00\x01\x00\x00\x03a/+\x01");
        assert_eq!(acknowledge(0x1234), [0x40, 2, 0x12, 0x34]);
    }

    #[test]
    fn messages_are_read_whole_or_not_at_all() {
        for version in [4, 5] {
            for size in [0, 5, 200, 20_000] {
                let bytes = message(version, &vec![7; size]);
                let (read, length) = parse(version, &bytes).unwrap().unwrap();
                let wanted = Publish { topic: "city/d/s".into(), payload: vec![7; size], id: Some(0x1234) };
                assert_eq!((read, length), (Packet::Publish(wanted), bytes.len()));
                for cut in (0..bytes.len()).step_by(1 + size / 50) {
                    assert_eq!(parse(version, &bytes[..cut]).unwrap(), None, "{cut}");
                }
            }
        }
    }

    #[test]
    fn what_no_broker_may_send_is_refused() {
        for (bytes, what) in [
            (&b"\x34\x00"[..], "ends early"),
            (b"\x34\x05\x00\x01a\x00\x01", "quality of service 2"),
            (b"\x32\x04\x00\x09ab", "ends early"),
            (b"\x32\x03\x00\x01a", "ends early"),
            (b"\x20\xff\xff\xff\xff\x01", "more than four bytes"),
            (b"\x20\xff\xff\xff\x7f", "at most"),
            (b"\x20\x01\x00", "CONNACK"),
            (b"\x90\x02\x00\x01", "SUBACK"),
            (b"\xf0\x00", "type 15"),
            (b"\x32\x05\x00\x01\xff\x00\x01", "UTF-8"),
        ] {
            let error = parse(4, bytes).unwrap_err();
            assert!(error.refusal.detail.contains(what), "{bytes:x?}: {}", error.refusal);
        }
    }
}
