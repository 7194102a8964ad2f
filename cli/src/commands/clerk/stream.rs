//! A device's stream as the ledger anchors it: its batches in order, and the readings in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::record::device::Terms;
use chain_core::record::device::batch::{BatchBody, BatchDetails, DataPlace};
use chain_core::record::device::readings::Reading;
use chain_core::record::{Details, RecordType};

use super::record::list;
use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::operator::gateway::Address;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};

/// A stream.
pub(super) struct Stream {
    /// The device's registration.
    pub(super) device: RecordId,
    /// Its name.
    pub(super) name: String,
    /// The terms that it is declared with.
    pub(super) terms: Terms,
    /// The device's own number.
    number: String,
    /// The device's agency.
    agency: String,
}

/// A batch as the ledger anchors it.
pub(super) struct Anchored {
    pub(super) record: RecordId,
    pub(super) details: BatchDetails,
}

impl Stream {
    /// Looks a stream up.
    ///
    /// # Errors
    /// `BAD_PARAMETER` when the record is no device, `STREAM_NOT_DECLARED`.
    pub(super) fn of(client: &Client, device: &RecordId, name: &str) -> CliResult<Self> {
        let view: RecordView = client.get(&paths::record(device))?;
        let header = shown_header(&view)?;
        let Details::Device(details) = header.details else {
            let detail = format!("record {device} is a {}, no device", header.record_type);
            return Err(
                CliError::usage(detail).hint("readings are of a device's stream, and of nothing else")
            );
        };
        let Some(stream) = details.streams.iter().find(|stream| stream.id == name) else {
            let declared: Vec<&str> = details.streams.iter().map(|stream| stream.id.as_str()).collect();
            let shown = chain_core::text::shown(name);
            let detail = format!("stream {shown} of device {device}, which declares {}", declared.join(", "));
            return Err(CliError::new(Code::StreamNotDeclared, detail));
        };
        Ok(Self {
            device: *device,
            name: name.to_owned(),
            terms: stream.terms.clone(),
            number: details.key.label,
            agency: view.agency,
        })
    }

    /// Its batches in effect, in order.
    pub(super) fn batches(&self, client: &Client) -> CliResult<Vec<Anchored>> {
        let filter = [
            ("type", Some(RecordType::SensorBatch.name().to_owned())),
            ("agency", Some(self.agency.clone())),
            ("status", Some("effective".to_owned())),
        ];
        let mut batches = Vec::new();
        for view in list(client, &filter, usize::MAX)?.items {
            if let Details::Batch(details) = shown_header(&view)?.details
                && details.device == self.device
                && details.stream == self.name
            {
                batches.push(Anchored { record: view.record, details: *details });
            }
        }
        batches.sort_by_key(|batch| batch.details.seq);
        Ok(batches)
    }

    /// The readings of batches: from the ledger, or from the gateway and compared with the ledger.
    ///
    /// # Errors
    /// `BATCH_DATA` when somebody gives other data than the device signed; when the ledger or the gateway cannot be asked.
    pub(super) fn readings(
        &self,
        city: &City,
        client: &Client,
        batches: &[Anchored],
        gateway: &Address,
    ) -> CliResult<Vec<Reading>> {
        let mut readings = Vec::new();
        for batch in batches {
            let text = match batch.details.place_of_data {
                DataPlace::Inline => {
                    let view: RecordView = client.get(&paths::record(&batch.record))?;
                    let body = view.body.ok_or_else(|| {
                        let detail = format!("no node shows the body of batch {}", batch.record);
                        CliError::new(Code::BodyMissing, detail)
                    })?;
                    let body: BatchBody = serde_json::from_value(body).map_err(|error| {
                        CliError::new(Code::MalformedJson, format!("batch {}: {error}", batch.record))
                    })?;
                    body.data
                }
                DataPlace::OffChain => {
                    let encode = paths::encode;
                    let (device, stream, seq) = (encode(&self.number), encode(&self.name), batch.details.seq);
                    let sealed =
                        gateway.get(city, &format!("/v1/batch?device={device}&stream={stream}&seq={seq}"))?;
                    sealed["data"].as_str().unwrap_or_default().to_owned()
                }
            };
            let data = STANDARD.decode(text).map_err(|error| {
                CliError::new(Code::BatchData, format!("batch {}: {error}", batch.record))
            })?;
            // Whoever gave the data, it is what the device signed and the ledger anchors.
            readings.extend(batch.details.check_data(&data)?);
        }
        Ok(readings)
    }
}
