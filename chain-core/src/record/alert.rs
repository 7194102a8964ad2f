//! `security.alert`: public warnings in the terms of the Common Alerting Protocol (CAP 1.2; Emergency Response Law arts.
//! 63-64). An alert names its end; an update takes the place of earlier ones, a cancellation calls them off.
//!
//! What later alerts are held against (status, kind, times) stands in the header's details, so that nobody has to read a
//! body to know whether an alert is an exercise, and until when it holds.

use serde::{Deserialize, Serialize};

use super::body::{Derived, Fields, Origin, parse_instant};
use super::device::Datum;
use super::{CODE_BYTES_MAX, Details, Header, NAME_BYTES_MAX, Relation, SubjectKind};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::RecordId;
use crate::json::Json;
use crate::layout::{Layout, closed_list};
use crate::org::OrgId;
use crate::text::shown;

/// Most bytes of an alert's identifier.
pub const IDENTIFIER_BYTES_MAX: usize = 128;
/// Most languages, each with a block of its own.
pub const INFO_MAX: usize = 8;
/// Most areas.
pub const AREAS_MAX: usize = 16;
/// Most points of all areas together.
pub const POINTS_MAX: usize = 1_000;
/// Longest time between the sending of an alert and its end; whoever needs longer sends an update.
pub const ALERT_MS_MAX: u64 = 31 * 24 * 60 * 60 * 1_000;

closed_list!(
    /// Whether it is meant (CAP 1.2 `status`; drafts are not recorded).
    AlertStatus as u8, "alert status" {
        /// To be acted on by everybody.
        Actual = 1, "actual";
        /// To be acted on by those who take part in an exercise.
        Exercise = 2, "exercise";
        /// For the functioning of the alerting network.
        System = 3, "system";
        /// A technical test; to be disregarded.
        Test = 4, "test";
    }
);

closed_list!(
    /// What it does (CAP 1.2 `msgType`; acknowledgements and errors are not recorded).
    AlertKind as u8, "alert kind" {
        /// A first alert.
        Alert = 1, "alert";
        /// Takes the place of earlier ones.
        Update = 2, "update";
        /// Calls earlier ones off.
        Cancel = 3, "cancel";
    }
);

closed_list!(
    /// What it is about (CAP 1.2 `category`).
    AlertCategory as u8, "alert category" {
        /// Geophysical.
        Geo = 1, "geo";
        /// Weather and floods.
        Met = 2, "met";
        /// General emergency and public safety.
        Safety = 3, "safety";
        /// Law enforcement and public security.
        Security = 4, "security";
        /// Rescue and recovery.
        Rescue = 5, "rescue";
        /// Fire.
        Fire = 6, "fire";
        /// Medical and public health.
        Health = 7, "health";
        /// Pollution and other environmental matters.
        Env = 8, "env";
        /// Public and private transport.
        Transport = 9, "transport";
        /// Utilities, telecommunication and other infrastructure.
        Infra = 10, "infra";
        /// Chemical, biological, radiological, nuclear or explosive.
        Cbrne = 11, "cbrne";
        /// Anything else.
        Other = 12, "other";
    }
);

closed_list!(
    /// How soon to act (CAP 1.2 `urgency`).
    AlertUrgency as u8, "urgency" {
        /// At once. Takes effect before a supervisor has approved it, who does so afterwards.
        Immediate = 1, "immediate";
        /// Within the next hour.
        Expected = 2, "expected";
        /// In the near future.
        Future = 3, "future";
        /// No longer.
        Past = 4, "past";
        /// Not known.
        Unknown = 5, "unknown";
    }
);

closed_list!(
    /// How grave the event is (CAP 1.2 `severity`).
    AlertSeverity as u8, "alert severity" {
        /// Extraordinary threat to life or property.
        Extreme = 1, "extreme";
        /// Significant threat.
        Severe = 2, "severe";
        /// Possible threat.
        Moderate = 3, "moderate";
        /// Little or no known threat.
        Minor = 4, "minor";
        /// Not known.
        Unknown = 5, "unknown";
    }
);

closed_list!(
    /// How sure it is (CAP 1.2 `certainty`).
    AlertCertainty as u8, "certainty" {
        /// Has happened or is happening.
        Observed = 1, "observed";
        /// More likely than not.
        Likely = 2, "likely";
        /// Possible, not likely.
        Possible = 3, "possible";
        /// Not expected.
        Unlikely = 4, "unlikely";
        /// Not known.
        Unknown = 5, "unknown";
    }
);

closed_list!(
    /// Warning levels (Emergency Response Law art. 63).
    AlertLevel as u8, "alert level" {
        /// Red.
        One = 1, "I";
        /// Orange.
        Two = 2, "II";
        /// Yellow.
        Three = 3, "III";
        /// Blue.
        Four = 4, "IV";
    }
);

/// The alert in one language. All blocks of an alert agree in everything but the texts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertInfo {
    /// BCP 47 tag; each language once, the authoritative one first.
    pub lang: String,
    /// What it is about.
    pub category: AlertCategory,
    /// The event, 1 to 256 bytes, e.g. `暴雨`.
    pub event: String,
    /// How soon to act.
    pub urgency: AlertUrgency,
    /// How grave.
    pub severity: AlertSeverity,
    /// How sure.
    pub certainty: AlertCertainty,
    /// The level of the law; required of an actual alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<AlertLevel>,
    /// From when it holds, RFC 3339 with offset; the time of sending where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
    /// When the event is expected to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<String>,
    /// Until when it holds, with the offset of the city. Its day is the header's `effective_to`.
    pub expires: String,
    /// The warning in one line, 1 to 256 bytes.
    pub headline: String,
    /// The warning, 1 to 4,096 bytes.
    pub description: String,
    /// What to do, 1 to 4,096 bytes; required of an actual alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
}

/// Where it holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertArea {
    /// Its name, 1 to 256 bytes.
    pub desc: String,
    /// A closed ring of at least four points, degrees × 10^7, longitude first (RFC 7946); absent where the name says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub polygon: Vec<[i64; 2]>,
    /// What the points refer to; with a polygon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datum: Option<Datum>,
}

/// Body of `security.alert`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertBody {
    /// The sender's number of the alert, 1 to 128 bytes without blanks, commas, `<` and `&`; unique with the sender.
    pub identifier: String,
    /// Who issues it; the header's agency.
    pub sender: OrgId,
    /// When it was sent, RFC 3339 with offset; header details.
    pub sent: String,
    /// Whether it is meant; header details.
    pub status: AlertStatus,
    /// What it does; header details.
    pub msg_type: AlertKind,
    /// The alerts that it updates or cancels; header references `updates`. A first alert has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<RecordId>,
    /// The alert in 1 to 8 languages; a cancellation may have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<AlertInfo>,
    /// Where it holds, 1 to 16; a cancellation may have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<AlertArea>,
    /// Where the data came from.
    pub origin: Origin,
}

/// What the header of `security.alert` says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertDetails {
    /// Whether it is meant.
    pub status: AlertStatus,
    /// What it does.
    pub kind: AlertKind,
    /// Whether it takes effect before a supervisor has approved it: urgency `immediate`, and no cancellation.
    pub immediate: bool,
    /// When it was sent, milliseconds since 1970.
    pub sent_ms: u64,
    /// Until when it holds; a cancellation may hold without end.
    pub expires_ms: Option<u64>,
}

impl AlertDetails {
    /// Checks what the header says of itself.
    ///
    /// # Errors
    /// `BAD_PARAMETER`, `MISSING_FIELD`, `EXPIRY_REQUIRED`, `DATE_ORDER`.
    pub fn check(&self, header: &Header) -> Result<(), Refusal> {
        let updates = header.refs.iter().filter(|reference| reference.rel == Relation::Updates).count();
        if self.kind == AlertKind::Alert && updates > 0 {
            let detail = "a first alert refers to no other; file an update or a cancellation";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        if self.kind != AlertKind::Alert && updates == 0 {
            let detail = format!("references: the kind {} wants the alerts that it is about", self.kind);
            return Err(Refusal::new(Code::MissingField, detail));
        }
        if self.kind == AlertKind::Cancel && self.immediate {
            let detail = "a cancellation waits for a supervisor: one officer alone calls no alert off";
            return Err(Refusal::new(Code::BadParameter, detail));
        }
        let Some(expires_ms) = self.expires_ms else {
            if self.kind != AlertKind::Cancel {
                return Err(Refusal::new(
                    Code::ExpiryRequired,
                    "info.expires is absent: an alert has an end",
                ));
            }
            return check_end_day(header, false);
        };
        if expires_ms <= self.sent_ms {
            return Err(Refusal::new(Code::DateOrder, "info.expires is not after sent"));
        }
        if expires_ms - self.sent_ms > ALERT_MS_MAX {
            let detail = "info.expires is more than 31 days after sent; send an update before the end";
            return Err(Refusal::new(Code::DateOrder, detail));
        }
        check_end_day(header, true)
    }
}

fn check_end_day(header: &Header, wanted: bool) -> Result<(), Refusal> {
    if header.effective_to.is_some() == wanted {
        return Ok(());
    }
    let detail = "effective_to of the header is the day of info.expires, and absent without it";
    Err(Refusal::new(Code::HeaderMismatch, detail))
}

impl Layout for AlertDetails {
    fn write(&self, writer: &mut Writer) {
        self.status.write(writer);
        self.kind.write(writer);
        writer.u8(u8::from(self.immediate)).u64(self.sent_ms);
        writer.option(self.expires_ms, |writer, ms| {
            writer.u64(ms);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            status: AlertStatus::read(reader)?,
            kind: AlertKind::read(reader)?,
            immediate: super::read_bool(reader)?,
            sent_ms: reader.u64()?,
            expires_ms: reader.option(Reader::u64)?,
        })
    }
}

/// What all blocks of an alert agree in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Same {
    category: AlertCategory,
    urgency: AlertUrgency,
    severity: AlertSeverity,
    certainty: AlertCertainty,
    level: Option<AlertLevel>,
    effective_ms: Option<u64>,
    onset_ms: Option<u64>,
    expires: (u64, Date),
}

fn instant<'a>(fields: &mut Fields<'a>, name: &'static str) -> Result<Option<(u64, &'a str)>, Refusal> {
    let Some(text) = fields.optional_text(name, CODE_BYTES_MAX)? else { return Ok(None) };
    let ms = parse_instant(text).ok_or_else(|| {
        let detail = format!("{name} is {}, wants an RFC 3339 time with offset", shown(text));
        Refusal::new(Code::BadDate, detail)
    })?;
    Ok(Some((ms, text)))
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Code::MissingField, format!("{name} is absent or empty"))
}

fn judge_info<'a>(mut fields: Fields<'a>, actual: bool) -> Result<(&'a str, Same), Refusal> {
    let lang = fields.text("lang", CODE_BYTES_MAX)?;
    if !super::body::is_language_tag(lang) {
        let detail = format!("info.lang is {}, wants a BCP 47 language tag", shown(lang));
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    }
    let category = fields.choice("category")?;
    fields.text("event", NAME_BYTES_MAX)?;
    let (urgency, severity, certainty) =
        (fields.choice("urgency")?, fields.choice("severity")?, fields.choice("certainty")?);
    let level = if fields.has("level") { Some(fields.choice("level")?) } else { None };
    let effective_ms = instant(&mut fields, "effective")?.map(|(ms, _)| ms);
    let onset_ms = instant(&mut fields, "onset")?.map(|(ms, _)| ms);
    let (expires_ms, text) = instant(&mut fields, "expires")?
        .ok_or_else(|| Refusal::new(Code::ExpiryRequired, "info.expires is absent: an alert has an end"))?;
    let day = text.get(..10).and_then(|day| day.parse().ok()).ok_or_else(|| missing("info.expires"))?;
    fields.text("headline", NAME_BYTES_MAX)?;
    fields.text("description", super::body::TEXT_BYTES_MAX)?;
    let instruction = fields.optional_text("instruction", super::body::TEXT_BYTES_MAX)?;
    fields.finish()?;
    // Emergency Response Law art. 64: kind, level, start, area, warning, measures, issuer and time.
    for (what, absent) in [("info.level", level.is_none()), ("info.instruction", instruction.is_none())] {
        if actual && absent {
            return Err(missing(what));
        }
    }
    if effective_ms.max(onset_ms).is_some_and(|start| start >= expires_ms) {
        return Err(Refusal::new(Code::DateOrder, "info.expires is not after effective and onset"));
    }
    let expires = (expires_ms, day);
    Ok((lang, Same { category, urgency, severity, certainty, level, effective_ms, onset_ms, expires }))
}

/// A closed ring within the ranges of the coordinates; gives its number of points.
fn judge_polygon(points: &[Json<'_>]) -> Result<usize, Refusal> {
    let point = |item: &Json<'_>| match item {
        Json::Array(pair) => match pair.as_slice() {
            [Json::Integer(longitude), Json::Integer(latitude)] => Some([*longitude, *latitude]),
            _ => None,
        },
        _ => None,
    };
    let ring: Option<Vec<[i64; 2]>> = points.iter().map(point).collect();
    let Some(ring) = ring else {
        let detail = "areas.polygon wants points of two whole numbers, longitude first";
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    };
    for [longitude, latitude] in &ring {
        if longitude.unsigned_abs() > 1_800_000_000 || latitude.unsigned_abs() > 900_000_000 {
            let detail = format!(
                "areas.polygon: [{longitude}, {latitude}] is out of range; longitude first, degrees × 10^7. \
                 Swapped?"
            );
            return Err(Refusal::new(Code::BadNumber, detail));
        }
    }
    if ring.len() < 4 || ring.first() != ring.last() {
        let detail = format!("areas.polygon of {} points, wants a closed ring of 4 or more", ring.len());
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    }
    Ok(ring.len())
}

fn judge_areas(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    let mut points = 0;
    for mut area in fields.objects("areas", AREAS_MAX)? {
        area.text("desc", NAME_BYTES_MAX)?;
        if area.has("polygon") {
            points += judge_polygon(area.list("polygon", POINTS_MAX)?)?;
            area.choice::<Datum>("datum")?;
        }
        area.finish()?;
    }
    if points > POINTS_MAX {
        let detail = format!("areas of {points} points, at most {POINTS_MAX}");
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    Ok(())
}

pub(super) fn judge_alert(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let identifier = fields.text("identifier", IDENTIFIER_BYTES_MAX)?;
    if identifier.contains([' ', ',', '<', '&']) {
        let detail = format!("identifier is {}, wants none of blank, comma, < and &", shown(identifier));
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    }
    let sender = fields.org("sender")?;
    let (sent_ms, _) = instant(fields, "sent")?.ok_or_else(|| missing("sent"))?;
    let status: AlertStatus = fields.choice("status")?;
    let kind: AlertKind = fields.choice("msg_type")?;
    let refs = fields.records("references", Relation::Updates)?;
    let called_off = kind == AlertKind::Cancel;
    let actual = status == AlertStatus::Actual && !called_off;
    let mut languages = Vec::new();
    let mut same: Option<Same> = None;
    if fields.has("info") || !called_off {
        for info in fields.objects("info", INFO_MAX)? {
            let (lang, one) = judge_info(info, actual)?;
            if languages.contains(&lang) {
                let detail = format!("info: the language {} stands twice", shown(lang));
                return Err(Refusal::new(Code::SchemaInvalid, detail));
            }
            if same.is_some_and(|first| first != one) {
                let detail = format!("info: the block in {} differs in more than its texts", shown(lang));
                return Err(Refusal::new(Code::SchemaInvalid, detail));
            }
            languages.push(lang);
            same = Some(one);
        }
    }
    if fields.has("areas") || !called_off {
        judge_areas(fields)?;
    }
    let details = AlertDetails {
        status,
        kind,
        immediate: !called_off && same.is_some_and(|same| same.urgency == AlertUrgency::Immediate),
        sent_ms,
        expires_ms: same.map(|same| same.expires.0),
    };
    Ok(Derived {
        subject_kind: Some(SubjectKind::None),
        issuer: Some(sender),
        number: Some(identifier.to_owned()),
        effective_to: same.map(|same| same.expires.1),
        details: Details::Alert(details),
        refs,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
