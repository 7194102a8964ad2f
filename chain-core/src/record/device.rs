//! Devices and sensors: registration and keys of devices; [`batch`] holds anchored batches of readings, [`gap`] what the
//! ledger finds missing or odd in them, [`readings`] the readings themselves.
//!
//! A device belongs to an agency, whose administrators suspend and revoke it like a member. What its batches are judged
//! by (key, streams, verification) stands in the header's details, so that a batch is judged without any body. Readings
//! about persons are not admitted: a device says that it takes none, and its class is P0.

pub mod batch;
pub mod gap;
pub mod readings;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, PublicKey, SIGNATURE_DOMAIN, Signable, Signature};
use crate::date::Date;
use crate::id::{ChainId, RecordId};
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::org::OrgId;
use crate::record::body::{Derived, Fields, LocalText, Origin};
use crate::record::governance::{NewKey, check_order, check_text};
use crate::record::{CODE_BYTES_MAX, Details, NAME_BYTES_MAX, SubjectKind};
use readings::VALUE_MAX;

/// Most streams of a device.
pub const STREAMS_MAX: usize = 16;
/// Longest nominal period, and longest promise of a stream: 366 days, in seconds.
pub const PERIOD_S_MAX: u32 = 366 * 24 * 60 * 60;
/// Largest power of ten of a stream's scale, either sign.
pub const SCALE_MAX: i8 = 12;

/// A time from one instant to another, both included; milliseconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Its beginning.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

impl Span {
    /// How long it is; 0 where it ends before it begins.
    pub const fn length_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

impl Layout for Span {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.from_ms).u64(self.to_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { from_ms: reader.u64()?, to_ms: reader.u64()? })
    }
}

/// The terms that a stream is declared with and that every batch of it repeats.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Unit, a common code of UN/CEFACT Recommendation 20, e.g. `CEL`.
    pub unit: String,
    /// Values are whole numbers of 10^scale of the unit; within ±[`SCALE_MAX`].
    pub scale: i8,
    /// Seconds between readings, 1 to [`PERIOD_S_MAX`].
    pub period_s: u32,
    /// By how many percent of the period a distance may be longer before readings count as missing.
    pub tolerance_pct: u8,
}

impl Terms {
    /// Whether readings are missing between two that lie so far apart.
    pub const fn is_hole(&self, distance_ms: u64) -> bool {
        let allowed = self.period_s as u64 * 10 * (100 + self.tolerance_pct as u64);
        distance_ms > allowed
    }

    /// How many: the distance in periods, to the nearest whole number and halves to the even one, less the one that is there.
    pub fn missing_in(&self, distance_ms: u64) -> u32 {
        let period = u64::from(self.period_s.max(1)) * 1_000;
        let (whole, rest) = (distance_ms / period, distance_ms % period);
        let up = match (rest * 2).cmp(&period) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => whole & 1,
            std::cmp::Ordering::Greater => 1,
        };
        u32::try_from((whole + up).saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn check(&self) -> Result<(), Refusal> {
        let formed = (2..=3).contains(&self.unit.len())
            && self.unit.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !formed {
            let detail =
                "unit wants a common code of UN/CEFACT Recommendation 20, two or three capitals and digits";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        for (what, got, holds) in [
            ("scale", i64::from(self.scale), self.scale.unsigned_abs() <= SCALE_MAX.unsigned_abs()),
            ("period_s", i64::from(self.period_s), (1..=PERIOD_S_MAX).contains(&self.period_s)),
        ] {
            if !holds {
                return Err(Refusal::new(Code::BadNumber, format!("{what} is {got}, out of range")));
            }
        }
        Ok(())
    }
}

impl Layout for Terms {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.unit).i64(i64::from(self.scale)).u32(self.period_s).u8(self.tolerance_pct);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            unit: reader.text(CODE_BYTES_MAX)?,
            scale: i8::try_from(reader.i64()?).map_err(|_| reader.error("scale out of range"))?,
            period_s: reader.u32()?,
            tolerance_pct: reader.u8()?,
        })
    }
}

/// A series of readings that a device takes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Its name, 1 to 64 bytes; unique with the device.
    pub id: String,
    /// What is observed, 1 to 64 bytes, e.g. `pm25`.
    pub property: String,
    /// Unit, scale, period and tolerance.
    pub terms: Terms,
    /// The least value that counts as possible.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
    /// The promise: seconds within which one batch follows the one before, 1 to [`PERIOD_S_MAX`].
    pub batch_within_s: u32,
    /// After how many seconds of one value the sensor counts as stuck; none where one value may last.
    pub stuck_after_s: Option<u32>,
}

impl Stream {
    fn check(&self) -> Result<(), Refusal> {
        check_text("stream id", &self.id, CODE_BYTES_MAX)?;
        check_text("property", &self.property, CODE_BYTES_MAX)?;
        self.terms.check()?;
        for (what, bound) in [("min", self.min), ("max", self.max)] {
            if let Some(bound) = bound.filter(|bound| bound.unsigned_abs() > VALUE_MAX.unsigned_abs()) {
                return Err(Refusal::new(Code::BadNumber, format!("{what} is {bound}, out of range")));
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(Refusal::new(Code::BadNumber, format!("min {min} lies above max {max}")));
        }
        let terms = [Some(self.batch_within_s), self.stuck_after_s];
        if let Some(got) = terms.into_iter().flatten().find(|term| !(1..=PERIOD_S_MAX).contains(term)) {
            let detail = format!("a term of {got} s, wants 1 to {PERIOD_S_MAX}");
            return Err(Refusal::new(Code::BadNumber, detail));
        }
        Ok(())
    }

    fn judge(mut fields: Fields<'_>) -> Result<Self, Refusal> {
        let stream = Self {
            id: fields.text("id", CODE_BYTES_MAX)?.to_owned(),
            property: fields.text("property", CODE_BYTES_MAX)?.to_owned(),
            terms: Terms {
                unit: fields.text("unit", CODE_BYTES_MAX)?.to_owned(),
                scale: fields.number("scale")?,
                period_s: fields.number("period_s")?,
                tolerance_pct: fields.number("tolerance_pct")?,
            },
            min: fields.optional_number("min")?,
            max: fields.optional_number("max")?,
            batch_within_s: fields.number("batch_within_s")?,
            stuck_after_s: fields.optional_number("stuck_after_s")?,
        };
        fields.finish()?;
        Ok(stream)
    }
}

impl Layout for Stream {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.id).text(&self.property);
        self.terms.write(writer);
        for bound in [self.min, self.max] {
            writer.option(bound, |writer, bound| {
                writer.i64(bound);
            });
        }
        writer.u32(self.batch_within_s);
        write_option(writer, self.stuck_after_s.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            id: reader.text(CODE_BYTES_MAX)?,
            property: reader.text(CODE_BYTES_MAX)?,
            terms: Terms::read(reader)?,
            min: reader.option(Reader::i64)?,
            max: reader.option(Reader::i64)?,
            batch_within_s: reader.u32()?,
            stuck_after_s: read_option(reader)?,
        })
    }
}

/// What the header of `device.registration` says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDetails {
    /// Its first key; the label is the device's own number. Later keys come by key events.
    pub key: NewKey,
    /// Its streams, 1 to [`STREAMS_MAX`]. A later version may add and drop some; none changes its terms.
    pub streams: Vec<Stream>,
    /// The last day of its verification, where the law wants one (Metrology Law art. 9).
    pub verified_until: Option<Date>,
}

impl DeviceDetails {
    /// Checks content without state.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self, chain_id: ChainId) -> Result<(), Refusal> {
        self.key.check(Some(chain_id))?;
        if !(1..=STREAMS_MAX).contains(&self.streams.len()) {
            let detail = format!("{} streams, wants 1 to {STREAMS_MAX}", self.streams.len());
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        for (at, stream) in self.streams.iter().enumerate() {
            stream.check()?;
            if self.streams[..at].iter().any(|other| other.id == stream.id) {
                let detail = format!("stream {} is declared twice", crate::text::shown(&stream.id));
                return Err(Refusal::new(Code::BadParameter, detail));
            }
        }
        Ok(())
    }

    /// The stream with a name.
    pub fn stream(&self, id: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.id == id)
    }

    /// Refuses a later version that is about another device, or judges a stream by other terms than before.
    ///
    /// # Errors
    /// `NOT_AMENDABLE`.
    pub fn check_follows(&self, before: &Self) -> Result<(), Refusal> {
        let kept = |stream: &Stream| {
            before
                .stream(&stream.id)
                .is_none_or(|old| (&old.terms, &old.property) == (&stream.terms, &stream.property))
        };
        if self.key == before.key && self.streams.iter().all(kept) {
            return Ok(());
        }
        let detail = "an amendment keeps number, first key, and what a stream observes in which terms; declare another stream, or file a key event";
        Err(Refusal::new(Code::NotAmendable, detail))
    }
}

impl Layout for DeviceDetails {
    fn write(&self, writer: &mut Writer) {
        self.key.write(writer);
        write_list(writer, &self.streams);
        write_option(writer, self.verified_until.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            key: NewKey::read(reader)?,
            streams: read_list(reader, STREAMS_MAX)?,
            verified_until: read_option(reader)?,
        })
    }
}

closed_list!(
    /// What a place's coordinates refer to.
    Datum as u8, "datum" {
        /// WGS 84, as GeoJSON has it (RFC 7946).
        Wgs84 = 1, "WGS84";
        /// China Geodetic Coordinate System 2000.
        Cgcs2000 = 2, "CGCS2000";
        /// The shifted coordinates of Chinese maps; kept as they are.
        Gcj02 = 3, "GCJ02";
        /// Baidu's coordinates; kept as they are.
        Bd09 = 4, "BD09";
    }
);

/// Where a device stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Degrees east times 10^7, within ±1,800,000,000.
    pub longitude_e7: i64,
    /// Degrees north times 10^7, within ±900,000,000.
    pub latitude_e7: i64,
    /// What they refer to.
    pub datum: Datum,
}

/// Body of `device.registration` (Metrology Law art. 9; OGC SensorThings 1.1).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBody {
    /// The agency's own number of the device, 1 to 64 bytes; unique with the agency.
    pub device_id: String,
    /// Maker and model, 1 to 256 bytes.
    pub model: String,
    /// Salted commitment to the serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Digest>,
    /// Whom it belongs to: an agency, or an enterprise that measures itself.
    pub owner: OrgId,
    /// Its first key; header details.
    pub key: PublicKey,
    /// That the device holds the key: its signature over [`crate::record::governance::Possession`].
    pub possession: Signature,
    /// Its streams; header details.
    pub streams: Vec<StreamBody>,
    /// Where it stands.
    pub place: Place,
    /// When it was installed; header `effective_from`.
    pub installed: Date,
    /// The last day of its verification; header details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_until: Option<Date>,
    /// Whether its readings are about persons; must be false.
    pub personal_data: bool,
    /// What it is for.
    pub purpose: Vec<LocalText>,
    /// Where the data came from.
    pub origin: Origin,
}

/// A stream as the body of a registration has it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamBody {
    /// As [`Stream::id`].
    pub id: String,
    /// As [`Stream::property`].
    pub property: String,
    /// As [`Terms::unit`].
    pub unit: String,
    /// As [`Terms::scale`].
    pub scale: i8,
    /// As [`Terms::period_s`].
    pub period_s: u32,
    /// As [`Terms::tolerance_pct`].
    pub tolerance_pct: u8,
    /// As [`Stream::min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// As [`Stream::max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// As [`Stream::batch_within_s`].
    pub batch_within_s: u32,
    /// As [`Stream::stuck_after_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck_after_s: Option<u32>,
}

pub(crate) fn judge_registration(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let number = fields.text("device_id", CODE_BYTES_MAX)?.to_owned();
    fields.text("model", NAME_BYTES_MAX)?;
    fields.optional_digest("serial")?;
    if fields.org("owner")?.is_individual_business() {
        let detail = "owner is an individual business (prefix 92), a person in practice: name the agency";
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    let key = fields.parsed("key", "64 lower-case hexadecimal digits")?;
    let possession = fields.parsed("possession", "128 lower-case hexadecimal digits")?;
    let streams = fields.objects("streams", STREAMS_MAX)?;
    let streams = streams.into_iter().map(Stream::judge).collect::<Result<Vec<_>, _>>()?;
    judge_place(fields.nested("place")?)?;
    let installed = fields.date("installed")?;
    let verified_until = fields.optional_date("verified_until")?;
    check_order("installed", Some(installed), "verified_until", verified_until)?;
    if fields.flag("personal_data")? {
        let detail = "personal_data is true: streams about persons are not admitted";
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    fields.localised("purpose")?;
    let key = NewKey { key, label: number.clone(), possession };
    Ok(Derived {
        subject_kind: Some(SubjectKind::Thing),
        number: Some(number),
        effective_from: Some(installed),
        captured_ms: fields.origin("origin")?,
        details: Details::Device(Box::new(DeviceDetails { key, streams, verified_until })),
        ..Derived::default()
    })
}

fn judge_place(mut fields: Fields<'_>) -> Result<(), Refusal> {
    let (longitude, latitude): (i64, i64) = (fields.number("longitude_e7")?, fields.number("latitude_e7")?);
    fields.choice::<Datum>("datum")?;
    fields.finish()?;
    if longitude.abs() > 1_800_000_000 || latitude.abs() > 900_000_000 {
        let detail = format!("longitude {longitude}, latitude {latitude} (degrees times 10^7): swapped?");
        return Err(Refusal::new(Code::GeoOutOfArea, detail));
    }
    Ok(())
}

closed_list!(
    /// What happened to a device's key.
    KeyEventKind as u8, "kind of key event" {
        /// Another key takes its place.
        Rotate = 1, "rotate";
        /// It is out of use.
        Revoke = 2, "revoke";
        /// Somebody else may have it.
        Compromised = 3, "compromised";
    }
);

/// What the header of `device.key_event` says; it has no body.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEventDetails {
    /// The device's registration.
    pub device: RecordId,
    /// What happened.
    pub kind: KeyEventKind,
    /// The new key: with `rotate` always, with `compromised` if there is one, with `revoke` never.
    pub new_key: Option<NewKey>,
    /// From when, milliseconds since 1970; at the earliest from the block that brings it into effect.
    pub from_ms: u64,
    /// The old key's signature over [`KeyEventProof`]: no supervisor is needed then. Not with `compromised`, for whoever
    /// found the key could sign it too.
    pub proof: Option<Signature>,
}

impl KeyEventDetails {
    /// Checks content without state.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self, chain_id: ChainId) -> Result<(), Refusal> {
        let wrong = |detail: &str| Err(Refusal::new(Code::BadParameter, detail));
        match (self.kind, &self.new_key) {
            (KeyEventKind::Rotate, None) => return wrong("rotate wants a new key"),
            (KeyEventKind::Revoke, Some(_)) => return wrong("revoke brings no new key"),
            (_, Some(key)) => key.check(Some(chain_id))?,
            _ => {}
        }
        if self.kind == KeyEventKind::Compromised && self.proof.is_some() {
            return wrong("a compromised key proves nothing");
        }
        Ok(())
    }
}

/// What the old key signs to let another take its place, or to end.
#[derive(Clone, Copy, Debug)]
pub struct KeyEventProof<'a> {
    /// The chain.
    pub chain_id: ChainId,
    /// What the proof is part of.
    pub event: &'a KeyEventDetails,
}

impl Signable for KeyEventProof<'_> {
    /// Kind 21: domain, kind, chain, device, kind of event, new key, from.
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(21).digest(self.chain_id.digest()).digest(self.event.device.digest());
        self.event.kind.write(&mut writer);
        writer.option(self.event.new_key.as_ref(), |writer, key| {
            writer.public_key(&key.key);
        });
        writer.u64(self.event.from_ms);
        writer.finish()
    }
}

impl Layout for KeyEventDetails {
    fn write(&self, writer: &mut Writer) {
        self.device.write(writer);
        self.kind.write(writer);
        write_option(writer, self.new_key.as_ref());
        writer.u64(self.from_ms);
        write_option(writer, self.proof.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            device: RecordId::read(reader)?,
            kind: KeyEventKind::read(reader)?,
            new_key: read_option(reader)?,
            from_ms: reader.u64()?,
            proof: read_option(reader)?,
        })
    }
}
