//! The genesis document as people write it: plain fields, no unknown keys.
//!
//! Enumerations of the domain (roles, classes, types, organisation identifiers) stand here as text; the
//! record rules convert them. What can be judged alone, the module `check` judges.

use serde::{Deserialize, Serialize};

use super::terms::{self, CalendarEntry, DeadlineEntry, Repair};
use crate::canonical::Writer;
use crate::crypto::{PublicKey, Signature};
use crate::record::schema::SchemaDetails;

/// Name and version of the document's form.
pub const SCHEMA: &str = "city/genesis/v1";

/// Everything a network starts from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Name of the network: lower-case letters, digits and hyphens, e.g. `example-city`.
    pub network: String,
    /// Algorithms of the chain; see [`crate::crypto::SUITE`].
    pub suite: u8,
    /// Predicate of signatures: 1 is `verify_strict`, one signature at a time.
    pub sig_rule: u8,
    /// When the network begins: RFC 3339 in UTC to the second, e.g. `2026-11-23T00:00:00Z`.
    pub created: String,
    /// The city's zone, minutes east of Greenwich; every local date is reckoned with it.
    pub utc_offset_minutes: i16,
    /// Limits and times of the protocol.
    #[serde(default)]
    pub parameters: Parameters,
    /// Who changes catalogue, agencies and validators later.
    pub council: Council,
    /// Who may carry the chain on when no quorum is left; absent means nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Public key of the index of subjects, which shows all that is published about an organisation; absent means that the
    /// ledger keeps no such index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key: Option<PublicKey>,
    /// Who orders and checks blocks, in order of name.
    #[serde(default, rename = "validator", skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<ValidatorEntry>,
    /// Who acts, in order of identifier.
    #[serde(default, rename = "agency", skip_serializing_if = "Vec::is_empty")]
    pub agencies: Vec<AgencyEntry>,
    /// Whose keys may sign, in order of agency and key.
    #[serde(default, rename = "member", skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberEntry>,
    /// What acts may rest on, in order of id and version.
    #[serde(default, rename = "legal_basis", skip_serializing_if = "Vec::is_empty")]
    pub legal_bases: Vec<LegalBasisEntry>,
    /// When offices work, in order of year; a deadline in working days needs the year's.
    #[serde(default, rename = "calendar", skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<CalendarEntry>,
    /// Registered record types, in order of key and version: the content of `gov.schema`. The JSON Schema may stand in any
    /// layout.
    #[serde(default, rename = "registered_type", skip_serializing_if = "Vec::is_empty")]
    pub registered_types: Vec<SchemaDetails>,
}

/// The council that governs the network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Council {
    /// How many members with role `council_member` must agree.
    pub threshold: u16,
}

/// The way out of a lost quorum.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// How many of the keys must sign: more than half.
    pub threshold: u16,
    /// The keys, 2 to 100, at most one of each agency, in order of name.
    #[serde(default, rename = "key")]
    pub keys: Vec<RecoveryKeyEntry>,
}

/// One agency's recovery key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryKeyEntry {
    /// Short name, unique: lower-case letters, digits and hyphens, at most 40.
    pub name: String,
    /// The agency that keeps it, an organisation identifier in text form.
    pub agency: String,
    /// The key; kept offline.
    pub key: PublicKey,
    /// Proof that the agency holds the key.
    pub possession: Signature,
}

/// One validator of epoch 0.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorEntry {
    /// Short name, unique: lower-case letters, digits and hyphens, at most 40. Also the name of its cosignatures.
    pub name: String,
    /// Agency that runs it, an organisation identifier in text form.
    pub agency: String,
    /// Signs proposals, votes and view changes.
    pub consensus_key: PublicKey,
    /// Identity of its network host.
    pub network_key: PublicKey,
    /// Cosigns checkpoints.
    pub log_key: PublicKey,
    /// Where peers dial it, as a multiaddr, e.g. `/ip4/10.0.0.1/tcp/7101`.
    pub address: String,
    /// Proof that the agency holds the consensus key.
    pub consensus_possession: Signature,
    /// Proof that the agency holds the network key.
    pub network_possession: Signature,
    /// Proof that the agency holds the log key.
    pub log_possession: Signature,
}

/// One agency.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgencyEntry {
    /// Organisation identifier in text form, e.g. `uscc:11320100MAXP23YC3L`.
    pub id: String,
    /// Name in the city's language.
    pub name: String,
    /// Name in English; may be empty.
    #[serde(default)]
    pub name_en: String,
    /// Record types it may file.
    pub types: Vec<String>,
    /// Validator that keeps its P3 bodies and takes its submissions; may be empty in a draft.
    #[serde(default)]
    pub home_validator: String,
    /// First day, `YYYY-MM-DD`.
    pub from: String,
    /// Last day, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One member: a key that may sign for an agency in one role.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// The key.
    pub key: PublicKey,
    /// Its agency, an organisation identifier in text form.
    pub agency: String,
    /// Role, e.g. `clerk`, `supervisor`, `council_member`.
    pub role: String,
    /// The post, never a person's name.
    pub label: String,
    /// First day, `YYYY-MM-DD`.
    pub from: String,
    /// Last day, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Proof that the member holds the key.
    pub possession: Signature,
}

/// One legal basis in one version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LegalBasisEntry {
    /// Short name, e.g. `cn-food-safety`.
    pub id: String,
    /// Version, from 1.
    pub version: u32,
    /// Official title.
    pub title: String,
    /// Spellings by which exports name it; an importer compares them exactly.
    #[serde(default)]
    pub titles: Vec<String>,
    /// Kind of instrument, e.g. `law`, `regulation`, `rule`.
    pub instrument: String,
    /// Who made it.
    pub issuer: String,
    /// Number of the document; may be empty.
    #[serde(default)]
    pub doc_no: String,
    /// Article relied on; empty for the whole.
    #[serde(default)]
    pub article: String,
    /// SHA-256 of the text on file, in hexadecimal.
    pub text_hash: crate::crypto::Digest,
    /// First day in force, `YYYY-MM-DD`.
    pub in_force: String,
    /// Last day in force, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// What it allows.
    pub permits: Permits,
    /// Whether and how long records resting on it may be shown.
    pub publication: Publication,
    /// Whether and when what rests on it may be repaired; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// Days that the law gives for steps, each step at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<DeadlineEntry>,
    /// Roles that must countersign beside those that the type asks for: `supervisor`, `legal_reviewer`.
    #[serde(default)]
    pub countersign_roles: Vec<String>,
    /// Codes of the lists or measures that may rest on it; empty leaves them open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// Whether records must name an end date.
    #[serde(default)]
    pub expiry_required: bool,
    /// Whether the subject must have been heard.
    #[serde(default)]
    pub hearing: bool,
    /// Months a record is kept after its effect ends; 0 keeps it for ever.
    pub retention_months: u32,
}

/// What a legal basis allows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Permits {
    /// Record types, e.g. `credit.penalty`.
    pub types: Vec<String>,
    /// Kinds of subject, e.g. `organisation`, `individual_business`, `person`, `thing`, `none`.
    pub subject_kinds: Vec<String>,
    /// Highest privacy class, `P0` to `P4`.
    pub class_max: String,
}

/// Publication rule of a legal basis.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Whether records may be shown to the public at all.
    pub allowed: bool,
    /// Longest publication in months from the decision, by severity; an absent severity is not bounded here.
    #[serde(default)]
    pub months_max: Months,
    /// Shortest publication in months from the decision, by severity.
    #[serde(default)]
    pub months_min: Months,
}

/// Months by severity.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Months {
    /// For minor matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u16>,
    /// For ordinary matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinary: Option<u16>,
    /// For serious matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serious: Option<u16>,
    /// For matters without a severity: licences, entries in lists, inspections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclassified: Option<u16>,
}

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident: $min:expr, $default:expr, $max:expr;)*) => {
        /// Limits and times of the protocol. Every one has hard bounds, so that no genesis can stop a chain.
        #[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Parameters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for Parameters {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Parameters {
            /// Name, smallest, default and largest value of each, in canonical order.
            pub const BOUNDS: &'static [(&'static str, u64, u64, u64)] =
                &[$((stringify!($name), $min, $default, $max),)*];

            /// The values in the order of [`Self::BOUNDS`].
            pub fn values(&self) -> [u64; Self::BOUNDS.len()] {
                [$(self.$name),*]
            }
        }
    };
}

parameters! {
    /// Smallest base of the view timeout, milliseconds.
    view_timeout_base_ms_min: 50, 500, 2_000;
    /// Largest base of the view timeout, milliseconds (the base adapts to measured latency between the two).
    view_timeout_base_ms_max: 500, 2_000, 2_000;
    /// Most that doubling may make of the view timeout, milliseconds.
    view_timeout_cap_ms: 1_000, 8_000, 8_000;
    /// How often a VIEW-CHANGE is sent again, milliseconds.
    view_change_resend_ms: 100, 2_000, 2_000;
    /// Largest wait of a relayed batch before its leader is accused of leaving it out, milliseconds.
    inclusion_timeout_ms_max: 500, 4_000, 4_000;
    /// Silence of a leader that starts a view change, milliseconds.
    silence_timeout_ms: 1_000, 5_000, 10_000;
    /// Silence of the next leader that makes others skip it, milliseconds.
    skip_timeout_ms: 500, 3_000, 10_000;
    /// Least time between proposals while others are in flight, milliseconds.
    block_interval_ms_min: 0, 50, 2_000;
    /// Longest time without a block, milliseconds.
    heartbeat_ms: 1_000, 30_000, 300_000;
    /// Age at which a leader hands over, milliseconds.
    leader_term_ms: 5_000, 60_000, 600_000;
    /// Blocks in flight: W.
    window: 1, 16, 64;
    /// How far execution may lag behind ordering, blocks: K.
    exec_lag_max: 16, 64, crate::block::EXEC_LAG_MAX;
    /// Most blocks of one view.
    view_blocks_max: 64, 4_096, crate::block::VIEW_BLOCKS_MAX;
    /// Most batches one block orders from one lane.
    lane_batches_max: 1, 16, crate::block::LANE_BATCHES_MAX;
    /// Most bytes of a batch, headers and bodies.
    batch_bytes_max: 528 * 1024, 1024 * 1024, crate::lane::BATCH_BYTES_MAX as u64;
    /// Most bytes one block orders.
    block_bytes_max: 1024 * 1024, 4 * 1024 * 1024, crate::block::BLOCK_BYTES_MAX as u64;
    /// Most operations one block orders.
    block_records_max: 2_048, 8_192, crate::block::BLOCK_RECORDS_MAX as u64;
    /// How far ahead of block time a transaction may stay valid, milliseconds.
    validity_ms_max: 60_000, crate::transaction::VALIDITY_MS_MAX, crate::transaction::VALIDITY_MS_MAX;
    /// How far a proposal's time may lie ahead of a voter's clock, milliseconds.
    clock_ahead_ms_max: 50, 500, 2_000;
    /// How far a proposal's time may lie behind a voter's clock, milliseconds.
    clock_behind_ms_max: 1_000, 5_000, 60_000;
    /// Least time between checkpoints, milliseconds.
    checkpoint_interval_ms_min: 100, 200, 1_000;
    /// Longest time between checkpoints while records flow, milliseconds.
    checkpoint_interval_ms_max: 200, 1_000, 10_000;
    /// Most records one block ends because a date has passed.
    expiries_per_block_max: 16, 1_024, 8_192;
}

impl Document {
    /// Puts every list in its one order: two documents that differ in order only are the same genesis.
    pub(super) fn normalise(&mut self) {
        self.validators.sort_by(|a, b| a.name.cmp(&b.name));
        self.agencies.sort_by(|a, b| a.id.cmp(&b.id));
        self.members.sort_by(|a, b| (&a.agency, a.key).cmp(&(&b.agency, b.key)));
        self.legal_bases.sort_by(|a, b| (&a.id, a.version).cmp(&(&b.id, b.version)));
        self.calendars.sort_by_key(|calendar| calendar.year);
        self.registered_types.sort_by_key(|one| (one.key, one.version));
        for one in &mut self.registered_types {
            // What is no JSON stays as it is, for the rules of the type to refuse.
            if let Ok(canonical) = crate::json::canonicalise(&one.json_schema) {
                one.json_schema = canonical;
            }
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        for agency in &mut self.agencies {
            agency.types.sort();
        }
        for basis in &mut self.legal_bases {
            basis.titles.sort();
            basis.countersign_roles.sort();
            basis.permits.types.sort();
            basis.permits.subject_kinds.sort();
            basis.deadlines.sort_by(|a, b| a.step.cmp(&b.step));
        }
        for calendar in &mut self.calendars {
            calendar.holidays.sort();
            calendar.work_days.sort();
        }
    }

    /// The fixed layout that is hashed, of a normalised document.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text(&self.schema).text(&self.network).u8(self.suite).u8(self.sig_rule);
        writer.text(&self.created).raw(&self.utc_offset_minutes.to_be_bytes());
        let values = self.parameters.values();
        writer.count(values.len());
        for value in values {
            writer.u64(value);
        }
        writer.u16(self.council.threshold);
        list(&mut writer, &self.validators, ValidatorEntry::write);
        list(&mut writer, &self.agencies, AgencyEntry::write);
        list(&mut writer, &self.members, MemberEntry::write);
        list(&mut writer, &self.legal_bases, LegalBasisEntry::write);
        // At the end and only when there are any: without them the bytes are those of before.
        if let Some(recovery) = &self.recovery {
            writer.u16(recovery.threshold);
            list(&mut writer, &recovery.keys, RecoveryKeyEntry::write);
        }
        if let Some(key) = &self.subject_key {
            // No threshold is 0, so this is no beginning of recovery keys.
            writer.text("subject_key").public_key(key);
        }
        terms::write(&mut writer, &self.legal_bases, &self.calendars);
        if !self.registered_types.is_empty() {
            writer.text("registered_types");
            list(&mut writer, &self.registered_types, crate::layout::Layout::write);
        }
        writer.finish()
    }
}

pub(super) fn list<T>(writer: &mut Writer, items: &[T], write: impl Fn(&T, &mut Writer)) {
    writer.count(items.len());
    for item in items {
        write(item, writer);
    }
}

pub(super) fn texts(writer: &mut Writer, texts: &[String]) {
    list(writer, texts, |text, writer| {
        writer.text(text);
    });
}

fn option_text(writer: &mut Writer, text: Option<&String>) {
    writer.option(text, |writer, text| {
        writer.text(text);
    });
}

impl ValidatorEntry {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(&self.name).text(&self.agency);
        writer.public_key(&self.consensus_key).public_key(&self.network_key).public_key(&self.log_key);
        writer.text(&self.address).signature(&self.consensus_possession);
        writer.signature(&self.network_possession).signature(&self.log_possession);
    }
}

impl RecoveryKeyEntry {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(&self.name).text(&self.agency).public_key(&self.key).signature(&self.possession);
    }
}

impl AgencyEntry {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(&self.id).text(&self.name).text(&self.name_en);
        texts(writer, &self.types);
        writer.text(&self.home_validator).text(&self.from);
        option_text(writer, self.to.as_ref());
    }
}

impl MemberEntry {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.public_key(&self.key).text(&self.agency).text(&self.role).text(&self.label);
        writer.text(&self.from);
        option_text(writer, self.to.as_ref());
        writer.signature(&self.possession);
    }
}

impl LegalBasisEntry {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(&self.id).u32(self.version).text(&self.title);
        texts(writer, &self.titles);
        writer.text(&self.instrument).text(&self.issuer).text(&self.doc_no).text(&self.article);
        writer.digest(&self.text_hash).text(&self.in_force);
        option_text(writer, self.ends.as_ref());
        texts(writer, &self.permits.types);
        texts(writer, &self.permits.subject_kinds);
        writer.text(&self.permits.class_max).u8(u8::from(self.publication.allowed));
        self.publication.months_max.write(writer);
        self.publication.months_min.write(writer);
        texts(writer, &self.countersign_roles);
        texts(writer, &self.codes);
        writer.u8(u8::from(self.expiry_required)).u8(u8::from(self.hearing)).u32(self.retention_months);
    }
}

impl Months {
    fn write(&self, writer: &mut Writer) {
        for months in [self.minor, self.ordinary, self.serious, self.unclassified] {
            writer.option(months, |writer, months| {
                writer.u16(months);
            });
        }
    }
}
