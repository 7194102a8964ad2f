//! The log of reads, in the vault of the agency whose officers ask ([`chain_core::access`]).
//!
//! Every vault has a log of its own. An entry stands under its day in the city's zone and its number on that day, sealed with the vault's key for that place. It
//! is synced before the question is answered. Backups, restores and `fsck` treat the log as they treat bodies; it is never
//! shortened: entries are kept for at least five years (Shenzhen credit regulation art. 45), and a root on the chain says how
//! many there were.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use chacha20poly1305::XChaCha20Poly1305;
use chain_core::access::{Entry, SKEW_MS_MAX, SignedQuery};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::layout::Layout as _;
use chain_core::record::governance::Role;
use rocksdb::{DB, Direction, IteratorMode};

use super::{Sealed, Vault, corrupt, decode, encode, first_opened, open, random, read_failed, seal};
use crate::storage::{StorageError, synced};

/// What the keys of entries begin with.
const PREFIX: &[u8; 4] = b"\x00log";

/// Where an entry stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    day: Date,
    number: u32,
}

impl Place {
    fn key(self, space: &[u8]) -> Vec<u8> {
        let mut key = prefix(space);
        key.extend(self.day.to_canonical());
        key.extend(self.number.to_be_bytes());
        key
    }

    /// The place of a key within its vault, if it is the key of an entry.
    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(PREFIX)?;
        let (day, number) = rest.split_at_checked(4)?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        Some(Self { day: Date::from_canonical(day).ok()?, number })
    }
}

/// What the keys of a vault's entries begin with.
fn prefix(space: &[u8]) -> Vec<u8> {
    [space, PREFIX.as_slice()].concat()
}

/// The place of a key of the store, if it is that of an entry of this vault.
fn place_in(space: &[u8], key: &[u8]) -> Option<Place> {
    key.strip_prefix(space).and_then(Place::parse)
}

/// Where the log ends, and which questions came lately.
#[derive(Debug, Default)]
pub(super) struct End {
    last: Option<(Place, u64)>,
    recent: BTreeMap<Digest, u64>,
}

impl End {
    /// Reads the end of a log, back to the oldest question that could be asked again.
    pub(super) fn read(db: &DB, key: &XChaCha20Poly1305, space: &[u8]) -> Result<Self, Refusal> {
        let mut end = Self::default();
        let prefix = prefix(space);
        let above: Vec<u8> = prefix.iter().copied().chain([0xff; 8]).collect();
        for found in db.iterator(IteratorMode::From(&above, Direction::Reverse)) {
            let (found, bytes) = found.map_err(read_failed)?;
            let Some(place) = place_in(space, &found) else {
                if found.starts_with(&prefix) {
                    continue;
                }
                break;
            };
            let entry = entry_of(key, space, place, &bytes)?;
            let (_, newest_ms) = *end.last.get_or_insert((place, entry.time_ms));
            if entry.time_ms.saturating_add(2 * SKEW_MS_MAX) < newest_ms {
                break;
            }
            end.recent.insert(entry.asked.query.nonce, entry.asked.query.time_ms);
        }
        Ok(end)
    }
}

impl Vault {
    /// Refuses a question that was answered before, or that is too old for that to be known.
    ///
    /// # Errors
    /// `EXPIRED`, `REPLAYED`.
    pub(crate) fn check_new(&self, asked: &SignedQuery, now_ms: u64) -> Result<(), Refusal> {
        let at = asked.query.time_ms;
        if at.abs_diff(now_ms) > SKEW_MS_MAX {
            let detail = format!(
                "signed at {at}, the node's clock says {now_ms}: wants at most {SKEW_MS_MAX} ms apart"
            );
            return Err(Refusal::new(Code::Expired, detail));
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.recent.contains_key(&asked.query.nonce) {
            return Err(Refusal::new(Code::Replayed, format!("question {}", asked.query.nonce)));
        }
        Ok(())
    }

    /// Writes down a question and what came of it, durably. Its day is that of the node's clock, in the city's zone; a clock that
    /// was put back does not take the log back with it.
    ///
    /// # Errors
    /// `REPLAYED` when the same question came meanwhile; when the entry cannot be written.
    pub(crate) fn note(
        &self,
        asked: &SignedQuery,
        role: Role,
        refused: Option<Code>,
        now_ms: u64,
        offset_minutes: i16,
    ) -> Result<(), Refusal> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let time_ms = log.last.map_or(now_ms, |(_, last)| last.max(now_ms));
        let day = Date::of_time(time_ms, offset_minutes);
        let number = match log.last {
            Some((place, _)) if place.day >= day => {
                place.number.checked_add(1).ok_or_else(|| corrupt("a day's log is full"))?
            }
            _ => 0,
        };
        let place = Place { day: log.last.map_or(day, |(last, _)| last.day.max(day)), number };
        let entry = Entry { time_ms, role, refused: refused.map(Code::number), asked: asked.clone() };
        let nonce = random()?;
        let sealed = seal(&self.key, &nonce, &entry.to_canonical(), &place.key(&self.space))?;
        if log.recent.contains_key(&asked.query.nonce) {
            return Err(Refusal::new(Code::Replayed, format!("question {}", asked.query.nonce)));
        }
        self.db
            .put_opt(place.key(&self.space), encode(&Sealed { nonce, sealed })?, &synced())
            .map_err(StorageError::failed("writing the log of reads"))
            .map_err(|error| error.refusal())?;
        log.last = Some((place, time_ms));
        log.recent.retain(|_, at| at.saturating_add(2 * SKEW_MS_MAX) >= now_ms);
        log.recent.insert(asked.query.nonce, asked.query.time_ms);
        Ok(())
    }

    /// The entries of a day, in order.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when one does not open or one is missing.
    pub(crate) fn log_of(&self, day: Date) -> Result<Vec<Entry>, Refusal> {
        let mut entries = Vec::new();
        let from = Place { day, number: 0 }.key(&self.space);
        let of_day = from.get(..from.len() - 4).unwrap_or_default();
        for found in self.db.iterator(IteratorMode::From(&from, Direction::Forward)) {
            let (key, bytes) = found.map_err(read_failed)?;
            if !key.starts_with(of_day) {
                break;
            }
            let Some(place) = place_in(&self.space, &key) else { continue };
            if place.number as usize != entries.len() {
                return Err(corrupt(&format!("the log of {day} has no entry {}", entries.len())));
            }
            entries.push(entry_of(&self.key, &self.space, place, &bytes)?);
        }
        Ok(entries)
    }

    /// The days on which something was asked, in order.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub(crate) fn logged_days(&self) -> Result<Vec<Date>, Refusal> {
        let mut days: Vec<Date> = Vec::new();
        let prefix = prefix(&self.space);
        let mut from = prefix.clone();
        // One look-up a day.
        while let Some(found) = self.db.iterator(IteratorMode::From(&from, Direction::Forward)).next() {
            let (key, _) = found.map_err(read_failed)?;
            if !key.starts_with(&prefix) {
                break;
            }
            from = match place_in(&self.space, &key) {
                Some(place) => {
                    days.push(place.day);
                    let mut above = Place { number: u32::MAX, ..place }.key(&self.space);
                    above.push(0);
                    above
                }
                None => key.iter().copied().chain([0]).collect(),
            };
        }
        Ok(days)
    }
}

/// Judges an entry by its form, and with keys by what it holds.
pub(super) fn judge(
    keys: &[XChaCha20Poly1305],
    space: &[u8],
    place: Place,
    bytes: &[u8],
) -> Result<(), Refusal> {
    if keys.is_empty() {
        return decode::<Sealed>(bytes).map(|_| ());
    }
    first_opened(keys, |key| entry_of(key, space, place, bytes)).map(|_| ())
}

fn entry_of(key: &XChaCha20Poly1305, space: &[u8], place: Place, bytes: &[u8]) -> Result<Entry, Refusal> {
    let stored: Sealed = decode(bytes)?;
    let named = |why: &str| corrupt(&format!("entry {} of the log of {}: {why}", place.number, place.day));
    let plain = open(key, &stored.nonce, &stored.sealed, &place.key(space))
        .map_err(|refusal| named(&refusal.detail))?;
    Entry::from_canonical(&plain).map_err(|error| named(&error.to_string()))
}

#[cfg(test)]
mod tests;
