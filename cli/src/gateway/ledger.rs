//! The ledger through its nodes: what a device declares, where a stream has come to, filing and receipts.

use std::time::{Duration, Instant};

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, RecordId};
use chain_core::layout::Layout as _;
use chain_core::record::Details;
use chain_core::record::device::Stream;
use chain_core::state::{EntryName, StreamEntry};
use chain_core::transaction::Submission;

use super::config::Device;
use super::sender::Ledger;
use super::store::stream::{Base, Declared};
use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::auditor::proved;
use crate::commands::clerk::receipt::{self, Form};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::{filing, interrupt};

/// How long a transaction stays good: long enough for a node to come back, short enough to sign another.
const VALIDITY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The nodes of the context.
#[derive(Debug)]
pub(crate) struct Nodes {
    client: Client,
    genesis: Genesis,
    timeout: Duration,
}

impl Nodes {
    /// Of the context in force.
    pub(crate) fn of(city: &City) -> CliResult<Self> {
        Ok(Self { client: city.client()?, genesis: city.genesis()?, timeout: city.manners.timeout })
    }

    /// Whether any node answers now; each is asked once.
    pub(crate) fn answer(&self) -> bool {
        (0..self.client.len()).any(|node| self.client.bytes_from(node, paths::STATUS).is_ok())
    }

    /// The streams of a device, and where the ledger has come to in each; the state is proved.
    ///
    /// # Errors
    /// `STREAM_NOT_DECLARED` when the record is no device's registration.
    pub(crate) fn streams(&self, city: &City, device: &Device) -> CliResult<Vec<Declared>> {
        let view: RecordView = self.client.get(&paths::record(&device.record))?;
        let header = shown_header(&view)?;
        let Details::Device(details) = header.details else {
            let detail =
                format!("record {} is a {}, no device.registration", device.record, header.record_type);
            return Err(CliError::new(Code::StreamNotDeclared, detail));
        };
        if details.key.label != device.number {
            let detail =
                format!("record {} is of device {}, not {}", device.record, details.key.label, device.number);
            return Err(CliError::new(Code::ConfigInvalid, detail));
        }
        let declared = |stream: Stream| {
            let base = self.base(city, &device.record, &stream)?;
            let (device, record, agency) = (device.number.clone(), device.record, header.agency.clone());
            Ok(Declared { device, record, agency, stream, base })
        };
        details.streams.into_iter().map(declared).collect()
    }

    fn base(&self, city: &City, device: &RecordId, stream: &Stream) -> CliResult<Base> {
        let name = EntryName::Stream(*device, stream.id.clone());
        // What can be proved lags behind what was executed: a registration that just took effect is seen a moment later.
        let deadline = Instant::now() + self.timeout;
        let value = loop {
            let shown = proved::state(city, &self.client, &self.genesis, &name, None)?;
            let late = Instant::now() >= deadline || !interrupt::sleep(Duration::from_millis(200));
            if shown.value.is_some() || late {
                break shown.value;
            }
        };
        let Some(value) = value else {
            let detail = format!("the ledger knows no {name}: is the registration approved?");
            return Err(
                CliError::new(Code::StreamNotDeclared, detail).hint(format!("see: city record get {device}"))
            );
        };
        let entry = StreamEntry::from_canonical(&value)
            .map_err(|error| CliError::new(Code::ProofInvalid, format!("{name}: {error}")))?;
        Ok(Base { seq: entry.seq, prev: entry.prev, last_ms: entry.batch.map(|_| entry.last_ms) })
    }
}

impl Ledger for Nodes {
    fn chain_id(&self) -> ChainId {
        self.genesis.chain_id()
    }

    fn validity_ms(&self) -> u64 {
        VALIDITY_MS.min(self.genesis.parameters().validity_ms_max / 2)
    }

    fn file(&self, submission: &Submission) -> CliResult<Verdict> {
        let filed = filing::file(&self.client, &self.genesis, submission, None, self.timeout)?;
        let outcome = filed.outcomes.into_iter().next();
        outcome.map(|outcome| outcome.verdict).ok_or_else(|| CliError::internal("a step without an outcome"))
    }

    fn receipt(&self, record: &RecordId) -> CliResult<Vec<u8>> {
        let bytes = receipt::fetch(&self.client, record, None, Form::Bundle, self.timeout)?;
        let judged = receipt::proved(&self.client, &self.genesis, &bytes)?;
        match judged.facts.record == *record {
            true => Ok(bytes),
            false => {
                Err(CliError::new(Code::ProofInvalid, format!("the node gave another receipt for {record}")))
            }
        }
    }
}
