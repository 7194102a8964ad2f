//! Readings by MQTT 3.1.1 or 5, as a subscriber of a broker.
//!
//! The broker keeps what this client has not acknowledged (a session that is not clean, quality of service 1). A message is
//! acknowledged after the store wrote it durably, so a gateway that is killed gets it again; the store knows it then. When the store
//! has no room the connection is closed, and messages wait at the broker.

mod packet;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chain_core::code::Code;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::config::Mqtt;
use super::intake::{self, Sent};
use super::store::Store;
use crate::error::{CliError, CliResult};
use crate::output::Output;
use crate::{files, interrupt};
use packet::{Login, Packet, Publish};

/// Seconds after which a broker that heard nothing gives this client up.
const KEEP_ALIVE_S: u16 = 30;
/// How long one read waits.
const TICK: Duration = Duration::from_millis(200);
/// How long a connection may take to be made, and a packet to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a broker that wait to be looked at; more than the longest packet.
const PENDING_BYTES_MAX: usize = 1024 * 1024;
/// Most messages that one wait for the disk covers.
const MESSAGES_MAX: usize = 1_024;
/// First and longest wait between connections.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Bytes to and from a broker.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A subscriber that connects again until it is told to stop.
#[derive(Debug)]
pub(crate) struct Subscriber {
    config: Mqtt,
    password: Option<String>,
    tls: Option<Arc<rustls::ClientConfig>>,
    store: Arc<Mutex<Store>>,
    out: Output,
}

impl Subscriber {
    /// Of the configured broker.
    ///
    /// # Errors
    /// When password or certificates cannot be read.
    pub(crate) fn new(config: Mqtt, store: Arc<Mutex<Store>>, out: Output) -> CliResult<Self> {
        let password = config.password_file.as_deref().map(files::read_secret).transpose()?;
        let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let tls = config.tls_ca.as_deref().map(tls).transpose()?;
        Ok(Self { config, password, tls, store, out })
    }

    /// Takes messages until the command is interrupted.
    pub(crate) fn run(&self) {
        let mut back_off = BACK_OFF.0;
        let mut told = None;
        while !interrupt::asked() {
            let begun = Instant::now();
            match self.session() {
                Ok(()) => return,
                // Said once for each reason, not at every attempt.
                Err(error) if told != Some(error.code()) => {
                    self.out
                        .warn(format!("broker {}: {}; connecting again", self.config.broker, error.refusal));
                    told = Some(error.code());
                }
                Err(_) => {}
            }
            if begun.elapsed() > BACK_OFF.1 {
                (back_off, told) = (BACK_OFF.0, None);
            }
            if !interrupt::sleep(back_off) {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF.1);
        }
    }

    /// One connection; ends well when the command is interrupted.
    fn session(&self) -> CliResult {
        let mut session = Session::new(self.connect()?, self.config.version);
        let login = Login {
            client_id: &self.config.client_id,
            user: self.config.user.as_deref(),
            password: self.password.as_deref(),
            keep_alive_s: KEEP_ALIVE_S,
        };
        session.send(&packet::connect(self.config.version, &login)?)?;
        session.connected()?;
        session.send(&packet::subscribe(self.config.version, &format!("{}/+/+", self.config.prefix))?)?;
        self.out.say(format!("  taking {}/+/+ from broker {}", self.config.prefix, self.config.broker));
        while !interrupt::asked() {
            let messages = session.messages()?;
            if !messages.is_empty() {
                self.take(&messages)?;
                session.acknowledge(&messages)?;
            }
        }
        // Without a goodbye the broker would think that this client failed; it keeps the session either way.
        let _ = session.send(&packet::disconnect());
        Ok(())
    }

    /// Makes messages durable; they may be acknowledged when this returns.
    fn take(&self, messages: &[Publish]) -> CliResult {
        let sent: Vec<Sent<'_>> = messages
            .iter()
            .map(|message| {
                let rest =
                    message.topic.strip_prefix(&self.config.prefix).and_then(|rest| rest.strip_prefix('/'));
                let (device, stream) =
                    rest.and_then(|rest| rest.split_once('/')).unwrap_or((&message.topic, ""));
                Sent { device, stream, unit: None, wrong: None, text: &message.payload }
            })
            .collect();
        for (message, answer) in messages.iter().zip(intake::take(&self.store, &sent)?) {
            if let Err(refusal) = answer {
                self.out.warn(format!(
                    "a message on {} is set aside: {refusal}",
                    chain_core::text::shown(&message.topic)
                ));
            }
        }
        Ok(())
    }

    fn connect(&self) -> CliResult<Box<dyn Wire>> {
        let broker = &self.config.broker;
        let failed = |error: std::io::Error| CliError::new(Code::Unreachable, error.to_string());
        let address = broker.to_socket_addrs().map_err(failed)?.next();
        let address = address.ok_or_else(|| CliError::new(Code::Unreachable, "the name has no address"))?;
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        tcp.set_read_timeout(Some(TICK)).map_err(failed)?;
        tcp.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let host = broker.rsplit_once(':').map_or(broker.as_str(), |(host, _)| host).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| CliError::new(Code::ConfigInvalid, format!("mqtt.broker: {error}")))?;
        let client = rustls::ClientConnection::new(Arc::clone(tls), name)
            .map_err(|error| CliError::new(Code::Unreachable, error.to_string()))?;
        Ok(Box::new(rustls::StreamOwned::new(client, tcp)))
    }
}

/// Roots from a file, and nothing else.
fn tls(path: &Path) -> CliResult<Arc<rustls::ClientConfig>> {
    let invalid =
        |detail: String| CliError::new(Code::ConfigInvalid, format!("{}: {detail}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| invalid(error.to_string()))? {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// One connection to a broker.
struct Session {
    wire: Box<dyn Wire>,
    version: u8,
    pending: Vec<u8>,
    heard: Instant,
    sent: Instant,
}

impl Session {
    fn new(wire: Box<dyn Wire>, version: u8) -> Self {
        let now = Instant::now();
        Self { wire, version, pending: Vec::new(), heard: now, sent: now }
    }

    fn send(&mut self, bytes: &[u8]) -> CliResult {
        self.sent = Instant::now();
        self.wire.write_all(bytes).and_then(|()| self.wire.flush()).map_err(|error| lost(&error))
    }

    /// Waits for the broker to take the connection; it says nothing before.
    fn connected(&mut self) -> CliResult {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.fill()?;
            match packet::parse(self.version, &self.pending)? {
                Some((Packet::ConnAck { code: 0 }, length)) => {
                    self.pending.drain(..length);
                    return Ok(());
                }
                Some((Packet::ConnAck { code }, _)) => {
                    let why = packet::why_refused(code);
                    let detail = format!("the broker refuses the connection with code {code}: {why}");
                    return Err(CliError::new(Code::Unreachable, detail));
                }
                Some(_) => {
                    return Err(CliError::new(Code::Unreachable, "the broker does not begin with CONNACK"));
                }
                None => {}
            }
        }
        Err(CliError::new(Code::RequestTimeout, format!("no CONNACK within {} s", PATIENCE.as_secs())))
    }

    /// The messages that are there, at most [`MESSAGES_MAX`]; none after a moment without any.
    fn messages(&mut self) -> CliResult<Vec<Publish>> {
        // With so much there is a whole packet, whatever its size: nothing more is read until it is taken.
        if self.pending.len() < PENDING_BYTES_MAX {
            self.fill()?;
        }
        let (mut messages, mut used) = (Vec::new(), 0);
        while messages.len() < MESSAGES_MAX
            && let Some((packet, length)) = packet::parse(self.version, &self.pending[used..])?
        {
            used += length;
            match packet {
                Packet::Publish(message) => messages.push(message),
                Packet::PingResp | Packet::SubAck { code: 1 } => {}
                Packet::SubAck { code } => {
                    let detail = format!("the broker grants {code:#04x} in place of quality of service 1");
                    return Err(CliError::new(Code::Unreachable, detail));
                }
                Packet::Disconnect { code } => {
                    return Err(CliError::new(
                        Code::Unreachable,
                        format!("the broker closes with code {code}"),
                    ));
                }
                Packet::ConnAck { .. } => {
                    return Err(CliError::new(Code::Unreachable, "the broker answers what was not asked"));
                }
            }
        }
        self.pending.drain(..used);
        let keep_alive = Duration::from_secs(u64::from(KEEP_ALIVE_S));
        if self.heard.elapsed() > keep_alive * 3 / 2 {
            return Err(CliError::new(Code::Unreachable, "the broker says nothing any more"));
        }
        if self.sent.elapsed() > keep_alive / 2 {
            self.send(&packet::PING)?;
        }
        Ok(messages)
    }

    fn acknowledge(&mut self, messages: &[Publish]) -> CliResult {
        let bytes: Vec<u8> = messages.iter().filter_map(|one| one.id).flat_map(packet::acknowledge).collect();
        if bytes.is_empty() { Ok(()) } else { self.send(&bytes) }
    }

    /// Reads what is there, or waits a moment.
    fn fill(&mut self) -> CliResult {
        let mut buffer = [0; 64 * 1024];
        match self.wire.read(&mut buffer) {
            Ok(0) => Err(CliError::new(Code::Unreachable, "the broker closed the connection")),
            Ok(read) => {
                self.heard = Instant::now();
                self.pending.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(lost(&error)),
        }
    }
}

fn lost(error: &std::io::Error) -> CliError {
    CliError::new(Code::Unreachable, error.to_string())
}
