//! What must not be lost: readings that were acknowledged, batches that were sealed, answers of the ledger.
//!
//! A folder that one process uses at a time, with plain files (docs/adr/0022):
//!
//! * `streams.json`: the streams, and where the ledger stood when the gateway took them over;
//! * `journal`: readings of open windows, and what was counted ([`lines`]); begun anew when windows were sealed;
//! * `aside`: readings that can be in no batch, with the reason;
//! * `batches/<stream>/<number>.…`: sealed batches ([`batch`]). Such a file is the word on what it holds: a reading that is in a
//!   batch and in the journal counts once.
//!
//! [`Store::take`] returns when everything it was given is durable. A batch is sealed and signed once, and its file is durable
//! before anybody can send it. After a failed write nothing more is taken.

pub(crate) mod batch;
mod lines;
pub(crate) mod recover;
pub(crate) mod stream;

use std::fs::File;
use std::path::PathBuf;

use chain_core::code::{Code, Refusal};
use chain_core::id::ChainId;
use chain_core::record::device::batch::{DataPlace, Sealing};
use chain_core::record::device::readings::{READINGS_MAX, Reading};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;

use batch::{Part, Sealed};
use lines::Lines;
use stream::{Base, Declared, State, Tally};

/// Most streams of a gateway.
pub(crate) const STREAMS_MAX: usize = 1_024;
/// Length at which the journal is begun anew, if it holds readings that are in batches by now.
const JOURNAL_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most bytes of what is set aside; beyond them it is counted alone.
const ASIDE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What one reading adds to the folder at most, in the journal and in a batch, and what it adds per call.
const READING_BYTES: u64 = 160;
/// Room that is kept for the ledger's answers: without them nothing could ever be let go of.
const ANSWERS_BYTES: u64 = 16 * 1024 * 1024;

/// How the store seals and how much it may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Readings of a window, 1 to [`READINGS_MAX`].
    pub(crate) window_readings: usize,
    /// Milliseconds after its first reading at which a window is sealed.
    pub(crate) window_ms: u64,
    /// Whether data travels with its batch where it fits (8 KiB).
    pub(crate) inline: bool,
    /// Most bytes of all files.
    pub(crate) bytes_max: u64,
    /// How far ahead of the gateway's clock a reading may be, milliseconds.
    pub(crate) ahead_ms: u64,
}

/// A reading on its way in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Incoming {
    /// Position of the stream in the store.
    pub(crate) stream: usize,
    /// The reading.
    pub(crate) reading: Reading,
}

/// What became of a reading.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It is durable and will be in a batch.
    New,
    /// The very same was taken before.
    Doubled,
    /// It is not after the last batch of its stream; kept aside.
    Late,
    /// It is too far ahead of the clock; kept aside.
    Refused(Refusal),
}

/// One line of the journal: what one call of [`Store::take`] added, all of it or nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Stream, time, value, quality.
    readings: Vec<(usize, u64, i64, u8)>,
    /// The counts of each stream that changed.
    tallies: Vec<(usize, Tally)>,
}

/// One line of what was set aside.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aside {
    /// When it came, by the gateway's clock.
    pub(crate) at_ms: u64,
    /// Why it is in no batch.
    pub(crate) why: Refusal,
    /// The stream, when it is one of the gateway's.
    pub(crate) stream: Option<usize>,
    /// The reading, when it is one.
    pub(crate) reading: Option<Reading>,
    /// Else the beginning of what was sent.
    pub(crate) text: Option<String>,
}

/// A batch that waits for the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The batch.
    pub(crate) sealed: Sealed,
    /// Its transaction, when one was signed.
    pub(crate) transaction: Option<Vec<u8>>,
}

/// How a stream stands, for showing.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What was declared.
    pub(crate) declared: Declared,
    /// Readings of the open window.
    pub(crate) open: usize,
    /// Number of the newest sealed batch; 0 when there is none.
    pub(crate) sealed: u64,
    /// Sealed batches without a receipt.
    pub(crate) waiting: u64,
    /// Why the ledger refused the oldest of them.
    pub(crate) held: Option<Refusal>,
    /// What was counted.
    pub(crate) tally: Tally,
}

/// The open store.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    chain_id: ChainId,
    bounds: Bounds,
    streams: Vec<State>,
    journal: Lines,
    aside: Lines,
    /// Messages that named no stream of this gateway or were none.
    strays: u64,
    batch_bytes: u64,
    /// A write failed; what the folder holds is known again after a restart.
    broken: bool,
    /// Held for as long as the store is open.
    _lock: File,
}

impl Store {
    /// Takes readings; each is durable, or set aside and counted, when this returns.
    ///
    /// # Errors
    /// `NO_ROOM`, and nothing was taken; `STORAGE_FAILED`, and the store takes nothing more.
    pub(crate) fn take(&mut self, incoming: &[Incoming], now_ms: u64) -> CliResult<Vec<Taken>> {
        self.check_room(incoming.len())?;
        let taken = self.take_all(incoming, now_ms);
        self.broken |= taken.is_err();
        taken
    }

    fn take_all(&mut self, incoming: &[Incoming], now_ms: u64) -> CliResult<Vec<Taken>> {
        let (mut all, mut entry, mut asides) =
            (Vec::with_capacity(incoming.len()), Entry::default(), Vec::new());
        for one in incoming {
            let taken = self.judge(one, now_ms)?;
            let state = &mut self.streams[one.stream];
            let Reading { time_ms, value, quality } = one.reading;
            match &taken {
                Taken::New => entry.readings.push((one.stream, time_ms, value, quality)),
                Taken::Doubled => state.tally.doubled += 1,
                Taken::Late => state.tally.late += 1,
                Taken::Refused(_) => state.tally.refused += 1,
            }
            if let Some(why) = reason(&taken, state) {
                let reading = Some(one.reading);
                asides.push(Aside { at_ms: now_ms, why, stream: Some(one.stream), reading, text: None });
            }
            entry.tallies.retain(|(stream, _)| *stream != one.stream);
            entry.tallies.push((one.stream, state.tally));
            all.push(taken);
            if self.streams[one.stream].open.len() >= self.bounds.window_readings {
                self.write(&mut entry, &mut asides)?;
                self.seal(one.stream)?;
            }
        }
        self.write(&mut entry, &mut asides)?;
        self.begin_journal_anew()?;
        Ok(all)
    }

    /// What becomes of a reading; a new one is in its window afterwards.
    fn judge(&mut self, one: &Incoming, now_ms: u64) -> CliResult<Taken> {
        let (time_ms, latest) = (one.reading.time_ms, now_ms.saturating_add(self.bounds.ahead_ms));
        if time_ms > latest {
            let detail = format!("a reading of {time_ms}, taken are such to {latest} (ms since 1970)");
            return Ok(Taken::Refused(Refusal::new(Code::ClockSkew, detail)));
        }
        if !self.streams[one.stream].is_closed(time_ms) {
            let new = self.streams[one.stream].insert(one.reading, now_ms);
            return Ok(if new { Taken::New } else { Taken::Doubled });
        }
        let known =
            self.batch_at(one.stream, time_ms)?.is_some_and(|(_, readings)| readings.contains(&one.reading));
        Ok(if known { Taken::Doubled } else { Taken::Late })
    }

    /// Counts something that was sent and is no reading of a stream, and keeps its beginning.
    pub(crate) fn set_aside(
        &mut self,
        why: &Refusal,
        stream: Option<usize>,
        text: &[u8],
        now_ms: u64,
    ) -> CliResult {
        self.check_room(1)?;
        let mut entry = Entry::default();
        match stream {
            Some(stream) => {
                self.streams[stream].tally.refused += 1;
                entry.tallies.push((stream, self.streams[stream].tally));
            }
            None => self.strays += 1,
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(256)]).into_owned();
        let aside = Aside { at_ms: now_ms, why: why.clone(), stream, reading: None, text: Some(text) };
        let written = self.write(&mut entry, &mut vec![aside]);
        self.broken |= written.is_err();
        written
    }

    /// Seals every window that is old enough, or all of them. A refusal of one holds no other up.
    pub(crate) fn seal_due(&mut self, now_ms: u64, all: bool) -> CliResult {
        for stream in 0..self.streams.len() {
            let due = self.streams[stream]
                .opened_ms
                .is_some_and(|opened| now_ms >= opened.saturating_add(self.bounds.window_ms));
            if due || (all && !self.streams[stream].open.is_empty()) {
                self.check_room(0)?;
                let sealed = self.seal(stream);
                self.broken |= sealed.is_err();
                sealed?;
            }
        }
        self.begin_journal_anew()
    }

    /// Makes a batch of an open window. Its readings are durable in the journal before, and in the batch's file after.
    fn seal(&mut self, stream: usize) -> CliResult {
        let state = &mut self.streams[stream];
        let sealing = Sealing {
            chain_id: self.chain_id,
            device: state.declared.record,
            stream: &state.declared.stream,
            seq: state.tip.seq + 1,
            prev: state.tip.prev,
            key: &state.key,
        };
        let (mut details, data) = sealing.seal(&state.open)?;
        if !self.bounds.inline && details.place_of_data != DataPlace::OffChain {
            details.place_of_data = DataPlace::OffChain;
            details.sign(self.chain_id, &state.key);
        }
        let tip = Base { seq: details.seq, prev: details.digest(), last_ms: Some(details.last_ms) };
        let sealed = Sealed::new(details, &data, chain_core::crypto::Digest::new(files::random()?));
        self.batch_bytes += state.shelf.put(&sealed)?;
        state.tip = tip;
        state.open.clear();
        state.opened_ms = None;
        Ok(())
    }

    fn write(&mut self, entry: &mut Entry, asides: &mut Vec<Aside>) -> CliResult {
        if !asides.is_empty() && self.aside.bytes() < ASIDE_BYTES_MAX {
            self.aside.append(asides)?;
        }
        if !entry.readings.is_empty() || !entry.tallies.is_empty() {
            self.journal.append(std::slice::from_ref(entry))?;
        }
        (*entry, *asides) = (Entry::default(), Vec::new());
        Ok(())
    }

    /// Leaves out of the journal what stands in batches.
    fn begin_journal_anew(&mut self) -> CliResult {
        if self.journal.bytes() < JOURNAL_BYTES_MAX {
            return Ok(());
        }
        let mut entry = Entry::default();
        for (stream, state) in self.streams.iter().enumerate() {
            entry.tallies.push((stream, state.tally));
            entry.readings.extend(state.open.iter().map(|one| (stream, one.time_ms, one.value, one.quality)));
        }
        let replaced = self.journal.replace(&[entry]);
        self.broken |= replaced.is_err();
        replaced
    }

    fn check_room(&self, readings: usize) -> CliResult {
        if self.broken {
            return Err(CliError::new(Code::StorageFailed, "a write failed before; nothing more is taken"));
        }
        let wanted = self.bytes() + READING_BYTES * readings as u64 + ANSWERS_BYTES;
        if wanted > self.bounds.bytes_max {
            let detail = format!(
                "{} holds {} bytes, bytes_max is {} with {ANSWERS_BYTES} kept free for the ledger's answers",
                self.folder.display(),
                self.bytes(),
                self.bounds.bytes_max
            );
            return Err(CliError::new(Code::NoRoom, detail)
                .hint("readings wait at their senders; raise bytes_max, or see why batches wait: city gateway status"));
        }
        Ok(())
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.batch_bytes + self.journal.bytes() + self.aside.bytes()
    }

    /// Messages that belonged to no stream.
    pub(crate) const fn strays(&self) -> u64 {
        self.strays
    }

    /// Whether a write failed.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The stream of a device.
    pub(crate) fn find(&self, device: &str, stream: &str) -> Option<usize> {
        self.streams.iter().position(|one| one.declared.device == device && one.declared.stream.id == stream)
    }

    /// What was declared of a stream.
    pub(crate) fn declared(&self, stream: usize) -> &Declared {
        &self.streams[stream].declared
    }

    /// How many streams there are.
    pub(crate) const fn len(&self) -> usize {
        self.streams.len()
    }

    /// The batch that covers a time, with its readings.
    pub(crate) fn batch_at(&self, stream: usize, time_ms: u64) -> CliResult<Option<(Sealed, Vec<Reading>)>> {
        let state = &self.streams[stream];
        let (mut low, mut high) = (state.first, state.tip.seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let sealed = state.shelf.batch(middle)?;
            if sealed.details.last_ms < time_ms {
                low = middle + 1;
            } else if sealed.details.first_ms > time_ms {
                high = middle;
            } else {
                let readings = sealed.readings()?;
                return Ok(Some((sealed, readings)));
            }
        }
        Ok(None)
    }

    /// A sealed batch by its number.
    pub(crate) fn batch(&self, stream: usize, seq: u64) -> CliResult<Option<Sealed>> {
        let state = &self.streams[stream];
        let there = (state.first..=state.tip.seq).contains(&seq);
        there.then(|| state.shelf.batch(seq)).transpose()
    }

    /// The receipt of a batch, when it is there.
    pub(crate) fn receipt(&self, stream: usize, seq: u64) -> CliResult<Option<Vec<u8>>> {
        let shelf = &self.streams[stream].shelf;
        shelf.has(seq, Part::Receipt).then(|| shelf.read(seq, Part::Receipt)).transpose()
    }

    /// The oldest batch of a stream that the ledger has not confirmed; none while the ledger refuses it.
    pub(crate) fn waiting(&self, stream: usize) -> CliResult<Option<Waiting>> {
        let state = &self.streams[stream];
        if state.held || state.unconfirmed > state.tip.seq {
            return Ok(None);
        }
        let seq = state.unconfirmed;
        let signed = state.shelf.has(seq, Part::Transaction);
        let transaction = signed.then(|| state.shelf.read(seq, Part::Transaction)).transpose()?;
        Ok(Some(Waiting { sealed: state.shelf.batch(seq)?, transaction }))
    }

    /// Keeps the transaction of a batch; it may be sent when this returns.
    pub(crate) fn sending(&mut self, stream: usize, seq: u64, transaction: &[u8]) -> CliResult {
        let written = self.streams[stream].shelf.write(seq, Part::Transaction, transaction);
        self.grow(written)
    }

    /// Keeps the receipt of the oldest batch; the next one is its successor.
    pub(crate) fn confirm(&mut self, stream: usize, seq: u64, receipt: &[u8]) -> CliResult {
        let written = self.streams[stream].shelf.write(seq, Part::Receipt, receipt);
        self.grow(written)?;
        let state = &mut self.streams[stream];
        state.unconfirmed = state.unconfirmed.max(seq + 1);
        Ok(())
    }

    /// Keeps the ledger's refusal of the oldest batch: nothing more of the stream is sent.
    pub(crate) fn refuse(&mut self, stream: usize, seq: u64, refusal: &Refusal) -> CliResult {
        let text = serde_json::to_vec(refusal).map_err(CliError::internal)?;
        let written = self.streams[stream].shelf.write(seq, Part::Refusal, &text);
        self.grow(written)?;
        self.streams[stream].held = true;
        Ok(())
    }

    fn grow(&mut self, written: CliResult<u64>) -> CliResult {
        self.broken |= written.is_err();
        self.batch_bytes += written?;
        Ok(())
    }

    /// How a stream stands.
    pub(crate) fn standing(&self, stream: usize) -> CliResult<Standing> {
        let state = &self.streams[stream];
        let refusal = state.held.then(|| state.shelf.read(state.unconfirmed, Part::Refusal)).transpose()?;
        Ok(Standing {
            declared: state.declared.clone(),
            open: state.open.len(),
            sealed: state.tip.seq,
            waiting: (state.tip.seq + 1).saturating_sub(state.unconfirmed),
            held: refusal.and_then(|text| serde_json::from_slice(&text).ok()),
            tally: state.tally,
        })
    }
}

/// Why a reading is set aside; none for one that is not.
fn reason(taken: &Taken, state: &State) -> Option<Refusal> {
    match taken {
        Taken::New | Taken::Doubled => None,
        Taken::Late => {
            let last = state.tip.last_ms.unwrap_or(0);
            Some(Refusal::new(Code::TimeBackwards, format!("batch {} ends with {last}", state.tip.seq)))
        }
        Taken::Refused(refusal) => Some(refusal.clone()),
    }
}

impl Bounds {
    /// Refuses bounds that cannot be kept.
    ///
    /// # Errors
    /// `CONFIG_INVALID`.
    pub(crate) fn check(&self) -> CliResult {
        let least = 2 * ANSWERS_BYTES;
        for (key, got, wants, holds) in [
            (
                "window.readings",
                self.window_readings as u64,
                format!("1 to {READINGS_MAX}"),
                (1..=READINGS_MAX).contains(&self.window_readings),
            ),
            ("store.bytes_max", self.bytes_max, format!("{least} or more"), self.bytes_max >= least),
            ("window.time", self.window_ms, "some time".to_owned(), self.window_ms > 0),
        ] {
            if !holds {
                let detail = format!("{key} is {got}, wants {wants}");
                return Err(CliError::new(Code::ConfigInvalid, detail));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
