//! Entries of the state by a name that people and programs can write.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    AgencyEntry, BasisEntry, CalendarEntry, DeviceEntry, DeviceKeyEntry, EpochEntry, ErasureEntry,
    MemberEntry, ParamsEntry, RecordHead, SchemaEntry, StreamEntry, ValidatorEntry, key,
};
use crate::canonical::CanonicalError;
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::date::Date;
use crate::genesis::NAME_MAX;
use crate::id::RecordId;
use crate::layout::Layout;
use crate::org::OrgId;
use crate::record::{BasisRef, CODE_BYTES_MAX, TypeKey};

/// The name of an entry, whether it exists or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EntryName {
    /// `record:<id>`: a [`RecordHead`].
    Record(RecordId),
    /// `agency:<organisation>`: an [`AgencyEntry`].
    Agency(OrgId),
    /// `member:<key>`: a [`MemberEntry`].
    Member(PublicKey),
    /// `basis:<id>@<version>`: a [`BasisEntry`].
    Basis(BasisRef),
    /// `validator:<name>`: a [`ValidatorEntry`].
    Validator(String),
    /// `calendar:<year>`: a [`CalendarEntry`].
    Calendar(u32),
    /// `params:<first day>`: a [`ParamsEntry`].
    Params(Date),
    /// `schema:<type>@<version>`: a [`SchemaEntry`].
    Schema(TypeKey, u16),
    /// `epoch`: the [`EpochEntry`].
    Epoch,
    /// `erasure:<record id>`: an [`ErasureEntry`].
    Erasure(RecordId),
    /// `device:<record id of the registration>`: a [`DeviceEntry`].
    Device(RecordId),
    /// `device_key:<key>`: a [`DeviceKeyEntry`].
    DeviceKey(PublicKey),
    /// `stream:<record id of the registration>/<stream>`: a [`StreamEntry`].
    Stream(RecordId, String),
}

impl EntryName {
    /// The state key.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Record(record) => key::record(record),
            Self::Agency(agency) => key::agency(agency),
            Self::Member(member) => key::member(member),
            Self::Basis(basis) => key::basis(basis),
            Self::Validator(name) => key::validator(name),
            Self::Calendar(year) => key::calendar(*year),
            Self::Params(from) => key::params(*from),
            Self::Schema(type_key, version) => key::schema(*type_key, *version),
            Self::Epoch => key::epoch(),
            Self::Erasure(record) => key::erasure(record),
            Self::Device(record) => key::device(record),
            Self::DeviceKey(device_key) => key::device_key(device_key),
            Self::Stream(device, stream) => key::stream(device, stream),
        }
    }

    /// What a value under this name says, for readers.
    ///
    /// # Errors
    /// When the bytes are no value of this kind.
    pub fn decode(&self, value: &[u8]) -> Result<Value, CanonicalError> {
        fn shown<T: Layout + Serialize>(value: &[u8]) -> Result<Value, CanonicalError> {
            let entry = T::from_canonical(value)?;
            #[expect(clippy::expect_used, reason = "entries have names and numbers only")]
            Ok(serde_json::to_value(entry).expect("an entry is JSON"))
        }
        match self {
            Self::Record(_) => shown::<RecordHead>(value),
            Self::Agency(_) => shown::<AgencyEntry>(value),
            Self::Member(_) => shown::<MemberEntry>(value),
            Self::Basis(_) => shown::<BasisEntry>(value),
            Self::Validator(_) => shown::<ValidatorEntry>(value),
            Self::Calendar(_) => shown::<CalendarEntry>(value),
            Self::Params(_) => shown::<ParamsEntry>(value),
            Self::Schema(..) => shown::<SchemaEntry>(value),
            Self::Epoch => shown::<EpochEntry>(value),
            Self::Erasure(_) => shown::<ErasureEntry>(value),
            Self::Device(_) => shown::<DeviceEntry>(value),
            Self::DeviceKey(_) => shown::<DeviceKeyEntry>(value),
            Self::Stream(..) => shown::<StreamEntry>(value),
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "record:{record}"),
            Self::Agency(agency) => write!(f, "agency:{agency}"),
            Self::Member(member) => write!(f, "member:{member}"),
            Self::Basis(basis) => write!(f, "basis:{}@{}", basis.id, basis.version),
            Self::Validator(name) => write!(f, "validator:{name}"),
            Self::Calendar(year) => write!(f, "calendar:{year}"),
            Self::Params(from) => write!(f, "params:{from}"),
            Self::Schema(type_key, version) => write!(f, "schema:{type_key}@{version}"),
            Self::Epoch => f.write_str("epoch"),
            Self::Erasure(record) => write!(f, "erasure:{record}"),
            Self::Device(record) => write!(f, "device:{record}"),
            Self::DeviceKey(device_key) => write!(f, "device_key:{device_key}"),
            Self::Stream(device, stream) => write!(f, "stream:{device}/{stream}"),
        }
    }
}

impl FromStr for EntryName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bad = |why: String| {
            let forms = "record:<id>, agency:<organisation>, member:<key>, basis:<id>@<version>, validator:<name>, calendar:<year>, params:<first day>, schema:<type>@<version>, epoch, erasure:<record id>, device:<record id>, device_key:<key> or stream:<record id>/<name>";
            let shown = crate::text::shown(text);
            Refusal::new(
                Code::BadParameter,
                format!("{shown} names no entry of the state ({why}); wants {forms}"),
            )
        };
        let Some((kind, name)) = text.split_once(':') else {
            return if text == "epoch" { Ok(Self::Epoch) } else { Err(bad("no kind".to_owned())) };
        };
        match kind {
            "record" => name.parse().map(Self::Record).map_err(|error| bad(error.to_string())),
            "erasure" => name.parse().map(Self::Erasure).map_err(|error| bad(error.to_string())),
            "device" => name.parse().map(Self::Device).map_err(|error| bad(error.to_string())),
            "device_key" => name.parse().map(Self::DeviceKey).map_err(|error| bad(error.to_string())),
            "stream" => {
                let parts = name.split_once('/').and_then(|(id, stream)| Some((id.parse().ok()?, stream)));
                let (device, stream) = parts.ok_or_else(|| bad("no record id and stream".to_owned()))?;
                let fits = (1..=CODE_BYTES_MAX).contains(&stream.len());
                fits.then(|| Self::Stream(device, stream.to_owned())).ok_or_else(|| {
                    bad(format!("a stream of {} bytes, wants 1 to {CODE_BYTES_MAX}", stream.len()))
                })
            }
            "agency" => name.parse().map(Self::Agency),
            "member" => name.parse().map(Self::Member).map_err(|error| bad(error.to_string())),
            "basis" => {
                let parts = name.rsplit_once('@').and_then(|(id, version)| Some((id, version.parse().ok()?)));
                let (id, version) = parts.ok_or_else(|| bad("no version".to_owned()))?;
                let fits = (1..=CODE_BYTES_MAX).contains(&id.len());
                let basis = BasisRef { id: id.to_owned(), version };
                fits.then_some(Self::Basis(basis))
                    .ok_or_else(|| bad(format!("an id of {} bytes, wants 1 to {CODE_BYTES_MAX}", id.len())))
            }
            "calendar" => name
                .parse()
                .map(Self::Calendar)
                .map_err(|error: std::num::ParseIntError| bad(error.to_string())),
            "params" => {
                name.parse().map(Self::Params).map_err(|error: crate::date::DateError| bad(error.to_string()))
            }
            "schema" => {
                let parts = name.rsplit_once('@').and_then(|(type_key, version)| {
                    Some(Self::Schema(TypeKey::new(type_key)?, version.parse().ok()?))
                });
                parts.ok_or_else(|| bad("no key of a registered type with a version".to_owned()))
            }
            "validator" if (1..=NAME_MAX).contains(&name.len()) => Ok(Self::Validator(name.to_owned())),
            "validator" => Err(bad(format!("a name of {} bytes, wants 1 to {NAME_MAX}", name.len()))),
            other => Err(bad(format!("kind {}", crate::text::shown(other)))),
        }
    }
}

impl Serialize for EntryName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|refusal: Refusal| serde::de::Error::custom(refusal.detail))
    }
}
