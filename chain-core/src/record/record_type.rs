//! Types of records: the core ones, whose rules are written in Rust, and registered ones, whose schema stands in the state.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::schema::TypeTerms;
use super::{Class, Relation};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::layout::{Layout, UnknownName, closed_list};

/// Most bytes of a registered type's key.
pub const TYPE_KEY_BYTES_MAX: usize = 48;
/// The number before a registered type's key in canonical bytes.
const REGISTERED: u16 = 0x0f00;
/// Families whose rules are all written in Rust. No schema may add to them: an entry of the credit family without its end,
/// its notice and its way back would be none.
const CORE_FAMILIES: &[&str] = &["audit", "credit", "gov", "privacy", "sensor"];

/// The key of a registered type: family and name, e.g. `env.finding`. Lower-case letters, digits and underscores around one
/// point, at most [`TYPE_KEY_BYTES_MAX`] bytes; no core type, and in no family that is the core's alone.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TypeKey {
    /// Padded with zeros, which no key holds, so that the order is that of the texts.
    bytes: [u8; TYPE_KEY_BYTES_MAX],
}

impl TypeKey {
    /// The key, if the text has the form of one.
    pub fn new(text: &str) -> Option<Self> {
        let (family, name) = text.split_once('.')?;
        let word = |word: &str| {
            word.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
                && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let free = !CORE_FAMILIES.contains(&family) && core_type(text).is_none();
        if text.len() > TYPE_KEY_BYTES_MAX || !word(family) || !word(name) || !free {
            return None;
        }
        let mut bytes = [0; TYPE_KEY_BYTES_MAX];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Some(Self { bytes })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(TYPE_KEY_BYTES_MAX);
        std::str::from_utf8(&self.bytes[..end]).unwrap_or("")
    }
}

impl fmt::Debug for TypeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TypeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TypeKey {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::new(text).ok_or_else(|| UnknownName {
            what: "key of a registered type",
            known: format!("a family outside {} and a name, e.g. env.finding", CORE_FAMILIES.join(", ")),
        })
    }
}

impl Serialize for TypeKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TypeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Layout for TypeKey {
    fn write(&self, writer: &mut Writer) {
        writer.text(self.as_str());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let text = reader.text(TYPE_KEY_BYTES_MAX)?;
        Self::new(&text).ok_or_else(|| reader.error("not the key of a registered type"))
    }
}

macro_rules! record_types {
    ($($(#[$doc:meta])* $member:ident = $code:literal, $text:literal;)*) => {
        /// The kinds of records.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u16)]
        pub enum RecordType {
            $($(#[$doc])* $member = $code,)*
            /// A type that the council has registered with `gov.schema`.
            Registered(TypeKey) = REGISTERED,
        }

        /// How binary encodings write it: the position in the list, and the key of a registered type. The registered ones come
        /// after all core types, so a core type that is added moves them, as a wire format of its own version may.
        #[derive(Deserialize, Serialize)]
        enum Coded {
            $($member,)*
            Registered(TypeKey),
        }

        impl RecordType {
            /// Every core type, in the order of binary encodings.
            pub const ALL: &'static [Self] = &[$(Self::$member),*];

            /// The number in canonical bytes; the same for every registered type.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$member => $code,)*
                    Self::Registered(_) => REGISTERED,
                }
            }

            /// The name used in JSON, on the command line and in texts.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$member => $text,)*
                    Self::Registered(key) => key.as_str(),
                }
            }

            const fn coded(self) -> Coded {
                match self {
                    $(Self::$member => Coded::$member,)*
                    Self::Registered(key) => Coded::Registered(key),
                }
            }
        }

        impl From<Coded> for RecordType {
            fn from(coded: Coded) -> Self {
                match coded {
                    $(Coded::$member => Self::$member,)*
                    Coded::Registered(key) => Self::Registered(key),
                }
            }
        }

        fn core_type(name: &str) -> Option<RecordType> {
            match name {
                $($text => Some(RecordType::$member),)*
                _ => None,
            }
        }

        fn core_type_of_number(number: u16) -> Option<RecordType> {
            match number {
                $($code => Some(RecordType::$member),)*
                _ => None,
            }
        }
    };
}

record_types! {
    /// An agency and what it may file.
    Agency = 0x0101, "gov.agency";
    /// A post of an agency: key and role.
    Member = 0x0102, "gov.member";
    /// One version of an entry in the catalogue of legal bases.
    LegalBasis = 0x0103, "gov.legal_basis";
    /// A validator: the keys that vote for an agency, and where peers dial it.
    Validator = 0x0104, "gov.validator";
    /// An administrative licence (Administrative Licensing Law).
    Licence = 0x0201, "credit.licence";
    /// An administrative penalty (Administrative Penalty Law).
    Penalty = 0x0202, "credit.penalty";
    /// A promise, as of a repair (Shenzhen credit regulation arts. 57-64).
    Commitment = 0x0203, "credit.commitment";
    /// An entry in a list that a law sets up (State Council Office 2020/49).
    ListEntry = 0x0204, "credit.list_entry";
    /// A measure taken because of another record (Shenzhen credit regulation arts. 65-73).
    Measure = 0x0205, "credit.measure";
    /// An objection to a record (Civil Code art. 1029).
    Objection = 0x0206, "credit.objection";
    /// An application for the repair of a record (NDRC Order 36 of 2025).
    Repair = 0x0207, "credit.repair";
    /// A rule, decision, plan, budget or notice of an authority.
    Decision = 0x0301, "egov.decision";
    /// The digest of a document kept elsewhere.
    DocFingerprint = 0x0302, "egov.doc_fingerprint";
    /// An event of the real estate register (Real Estate Registration Regulation arts. 3, 8-28).
    PropertyEvent = 0x0303, "egov.property_event";
    // At the end: encoded transactions count the types in this order.
    /// The holidays and make-up working days of a year.
    Calendar = 0x0105, "gov.calendar";
    /// A device with its key and streams (Metrology Law art. 9).
    Device = 0x0401, "device.registration";
    /// Another key of a device, or the end of one.
    DeviceKey = 0x0402, "device.key_event";
    /// The anchor of a batch of readings.
    SensorBatch = 0x0404, "sensor.batch";
    /// What the ledger found missing or odd in a stream.
    SensorGap = 0x0405, "sensor.gap";
    /// One version of the schema of a registered type (JSON Schema 2020-12).
    Schema = 0x0106, "gov.schema";
    /// A public warning (CAP 1.2; Emergency Response Law arts. 63-64).
    Alert = 0x0501, "security.alert";
    /// A release of a public procurement (Open Contracting Data Standard 1.1).
    Procurement = 0x0304, "egov.procurement";
    /// That a reporter held health documents of a day: commitments alone (FHIR Bundle, Provenance).
    CommitBatch = 0x0601, "health.commit_batch";
    /// A certificate of a person or organisation (W3C Verifiable Credentials 2.0; GB/T 36904-2018).
    Certificate = 0x0305, "egov.certificate";
    /// A version of the list that says which certificates still hold (W3C Bitstring Status List 1.0).
    StatusList = 0x0306, "egov.status_list";
    /// The parameters of the ledger from a day on.
    Params = 0x0107, "gov.params";
    /// What an agency's log of reads came to on a day (Shenzhen credit regulation art. 45).
    AccessRoot = 0x0701, "audit.access_root";
}

impl RecordType {
    /// The type with this name: a core one, or the registered one of this key, whether it is registered or not.
    pub fn from_name(name: &str) -> Option<Self> {
        core_type(name).or_else(|| TypeKey::new(name).map(Self::Registered))
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RecordType {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::from_name(text).ok_or_else(|| {
            let core: Vec<&str> = Self::ALL.iter().map(Self::name).collect();
            let known = format!("{}, or the key of a registered type", core.join(", "));
            UnknownName { what: "record type", known }
        })
    }
}

impl Layout for RecordType {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.number());
        if let Self::Registered(key) = self {
            key.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        match reader.u16()? {
            REGISTERED => TypeKey::read(reader).map(Self::Registered),
            number => core_type_of_number(number).ok_or_else(|| reader.error("unknown record type")),
        }
    }
}

impl Serialize for RecordType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            self.coded().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RecordType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            Coded::deserialize(deserializer).map(Self::from)
        }
    }
}

closed_list!(
    /// Which life a record leads.
    Lifecycle as u8, "lifecycle" {
        /// A register entry that is amended, expires and is revoked.
        Register = 1, "register";
        /// A register entry that is published for a time.
        Published = 2, "published";
        /// Somebody waits for an answer: open while effective, closed when it has expired.
        Case = 3, "case";
        /// A fact: never amended; invalidated only.
        Append = 4, "append";
        /// An agency, member, basis or validator: changed by council or administrators.
        Status = 5, "status";
    }
);

impl RecordType {
    /// The life that records of this type lead; none of a registered type, whose records say it in their headers.
    pub const fn lifecycle(self) -> Option<Lifecycle> {
        Some(match self {
            Self::Agency
            | Self::Member
            | Self::LegalBasis
            | Self::Validator
            | Self::Calendar
            | Self::Schema
            | Self::Params
            | Self::Device => Lifecycle::Status,
            Self::Licence | Self::Penalty | Self::ListEntry | Self::Measure => Lifecycle::Published,
            Self::Decision | Self::PropertyEvent | Self::Certificate => Lifecycle::Register,
            Self::Commitment | Self::Objection | Self::Repair => Lifecycle::Case,
            Self::DocFingerprint
            | Self::DeviceKey
            | Self::SensorBatch
            | Self::SensorGap
            | Self::Alert
            | Self::Procurement
            | Self::CommitBatch
            | Self::StatusList
            | Self::AccessRoot => Lifecycle::Append,
            Self::Registered(_) => return None,
        })
    }

    /// Whether the type governs the chain itself: its content stands in the header and needs no legal basis.
    pub const fn is_governance(self) -> bool {
        matches!(self.lifecycle(), Some(Lifecycle::Status)) && !self.is_of_devices()
    }

    /// Whether the type belongs to the family of devices and sensors.
    pub const fn is_of_devices(self) -> bool {
        matches!(self, Self::Device | Self::DeviceKey | Self::SensorBatch | Self::SensorGap)
    }

    /// Whether a record of this type changes entries of the state beside its own head when it takes effect, so that the
    /// ledger keeps its header until then.
    pub const fn governs(self) -> bool {
        self.is_governance() || matches!(self, Self::Device | Self::DeviceKey)
    }

    /// Whether the header of every record of this type has details that repeat what its body says for state changes.
    pub const fn has_content_details(self) -> bool {
        matches!(
            self,
            Self::Alert | Self::Procurement | Self::CommitBatch | Self::StatusList | Self::AccessRoot
        )
    }

    /// Whether it rests on the legal basis of the device that it is about instead of naming one.
    pub const fn inherits_basis(self) -> bool {
        matches!(self, Self::SensorBatch | Self::SensorGap)
    }

    /// The classes records of this type may have.
    pub const fn classes(self) -> &'static [Class] {
        match self {
            Self::Agency | Self::Member | Self::LegalBasis | Self::Validator | Self::Params => &[Class::P0],
            Self::Calendar | Self::Schema | Self::Decision | Self::Alert | Self::StatusList => &[Class::P0],
            Self::AccessRoot => &[Class::P0],
            // Its schema says which of them; P4 stands on the chain in batches alone.
            Self::Registered(_) => &[Class::P0, Class::P1, Class::P2, Class::P3],
            Self::Licence | Self::Penalty | Self::Commitment => &[Class::P1, Class::P3],
            Self::ListEntry | Self::Measure => &[Class::P1],
            Self::Objection | Self::Repair => &[Class::P0, Class::P1, Class::P3],
            Self::DocFingerprint => &[Class::P0, Class::P3],
            Self::PropertyEvent | Self::Certificate => &[Class::P3],
            Self::CommitBatch => &[Class::P4],
            Self::Procurement => &[Class::P0, Class::P2],
            Self::Device | Self::DeviceKey | Self::SensorBatch | Self::SensorGap => &[Class::P0],
        }
    }

    /// Whether the agency's own number (decision, document) must be unique and its HMAC stand in the header.
    pub const fn has_natural_key(self) -> bool {
        matches!(
            self,
            Self::Licence
                | Self::Penalty
                | Self::Decision
                | Self::ListEntry
                | Self::PropertyEvent
                | Self::Device
                | Self::Alert
                | Self::Procurement
                | Self::Certificate
                | Self::StatusList
        )
    }

    /// Whether a record of this type must have an end, whatever its legal basis asks for: what burdens somebody for the
    /// time being may not be forgotten in a register.
    pub const fn must_end(self) -> bool {
        matches!(self, Self::ListEntry | Self::Measure)
    }

    /// Whether a record of this type must name the notice that went before it (State Council Office 2020/49; Shenzhen
    /// credit regulation arts. 72-73).
    pub const fn needs_notice(self) -> bool {
        matches!(self, Self::ListEntry | Self::Measure)
    }

    /// Whether records of this type may be repaired where their legal basis allows it.
    pub const fn is_repairable(self) -> bool {
        matches!(self, Self::Penalty | Self::ListEntry)
    }

    /// How a record of this type refers to the one that it is about, if it is a case about another record.
    pub const fn case_relation(self) -> Option<Relation> {
        match self {
            Self::Objection => Some(Relation::ObjectsTo),
            Self::Repair => Some(Relation::Repairs),
            _ => None,
        }
    }
}

/// The life that a record leads, by its type and the terms that its header states.
pub(crate) fn lifecycle_of(record_type: RecordType, terms: Option<&TypeTerms>) -> Lifecycle {
    // A registered type without terms is refused by the form of its header.
    record_type.lifecycle().or(terms.map(|terms| terms.lifecycle)).unwrap_or(Lifecycle::Append)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_family_and_type_and_no_core_one() {
        for good in ["env.finding", "ai.model", "a.b2_c"] {
            assert_eq!(TypeKey::new(good).unwrap().as_str(), good);
        }
        let long = format!("env.{}", "x".repeat(TYPE_KEY_BYTES_MAX));
        let bad = ["", "env", "env.", ".x", "Env.x", "env.x.y", "env.1x", "env.x-y", "env.x ", "环.x", &long];
        // The families with an end, a notice and a way back; and the core types themselves.
        let taken = ["credit.score", "credit.penalty", "gov.king", "sensor.batch", "egov.decision"];
        for text in bad.into_iter().chain(taken) {
            assert_eq!(TypeKey::new(text), None, "{text}");
        }
        assert_eq!("credit.penality".parse::<RecordType>().ok(), None);
        assert_eq!(RecordType::from_name("egov.decision"), Some(RecordType::Decision));
    }

    #[test]
    fn every_encoding_gives_the_type_back() {
        let registered = RecordType::from_name("env.finding").unwrap();
        for one in RecordType::ALL.iter().copied().chain([registered]) {
            assert_eq!(RecordType::from_canonical(&one.to_canonical()), Ok(one));
            let json = serde_json::to_string(&one).unwrap();
            assert_eq!(json, format!("\"{one}\""));
            assert_eq!(serde_json::from_str::<RecordType>(&json).unwrap(), one);
            assert_eq!(one.name().parse(), Ok(one));
        }
        let bytes = registered.to_canonical();
        assert_eq!(bytes, [&[0x0f, 0, 0, 0, 0, 11][..], b"env.finding"].concat());
        assert!(RecordType::from_canonical(&[&[0x0f, 0, 0, 0, 0, 10][..], b"credit.lie"].concat()).is_err());
    }

    #[test]
    fn types_stand_in_the_order_of_their_names() {
        let key = |text: &str| RecordType::Registered(TypeKey::new(text).unwrap());
        let mut types = [key("env.findings"), key("env.finding"), RecordType::SensorGap, key("ai.model")];
        types.sort();
        let names: Vec<&str> = types.iter().map(RecordType::name).collect();
        assert_eq!(names, ["sensor.gap", "ai.model", "env.finding", "env.findings"]);
    }
}
