//! Batches of readings: what is refused, how far a stream has come, and what the ledger finds missing or odd in it.
//!
//! Gaps follow from headers and block time alone, so that whoever executes a block finds the same. A batch has at most one
//! of each kind. One block looks at [`SILENCES_MAX`] promises that ran out and writes [`GAPS_MAX`] gaps; the rest waits in
//! a queue and is written first in the next block.

use super::overlay::Fail;
use super::{Call, Execution, GAPS_MAX, LedgerRead, ReadError, SILENCES_MAX};
use crate::canonical::{Reader, Writer};
use crate::code::{Code, Refusal};
use crate::id::RecordId;
use crate::layout::{Layout as _, write_option};
use crate::leaf::{FoundLeaf, Leaf};
use crate::lifecycle;
use crate::org::OrgId;
use crate::record::device::batch::{BatchDetails, BatchPreimage};
use crate::record::device::gap::{Extent, GapDetails, GapKind};
use crate::record::device::readings::Run;
use crate::record::device::{Span, Stream};
use crate::record::governance::Role;
use crate::record::{Details, Header};
use crate::rules;
use crate::state::{DeviceEntry, DeviceKeyEntry, RecordHead, Status, StreamEntry, key};

impl<L: LedgerRead> Execution<'_, L> {
    /// Refuses a device that acts for another one.
    pub(super) fn check_own_device(call: &Call<'_>, header: &Header) -> Result<(), Refusal> {
        let device = match &header.details {
            Details::Batch(batch) => batch.device,
            Details::DeviceKey(event) => event.device,
            _ => return Ok(()),
        };
        let member = &call.author.member;
        if member.role == Role::Device && member.record != device {
            let detail = format!("device {} acts for itself, not for {device}", member.record);
            return Err(Refusal::new(Code::RoleNotAllowed, detail));
        }
        Ok(())
    }

    /// Refuses a batch that its device did not sign, or that does not follow on the last one of its stream.
    pub(super) fn check_batch(&mut self, header: &Header, batch: &BatchDetails) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        let device = self.device(&batch.device)?;
        if device.agency != header.agency {
            return refuse(Code::AgencyNotCompetent, format!("the device is of {}", device.agency));
        }
        self.check_inherited_basis(header, &device)?;
        let declared = device.details.stream(&batch.stream);
        if declared.is_none_or(|stream| stream.terms != batch.terms) {
            let shown = crate::text::shown(&batch.stream);
            return refuse(Code::StreamNotDeclared, format!("stream {shown} in these terms"));
        }
        self.check_batch_signature(&device, batch)?;
        let Some(stream) = self.state.read::<StreamEntry>(&key::stream(&batch.device, &batch.stream))? else {
            return refuse(Code::StreamNotDeclared, "the stream has not begun".to_owned());
        };
        if batch.seq <= stream.seq {
            return refuse(
                Code::SeqReplay,
                format!("seq {}, the stream has come to {}", batch.seq, stream.seq),
            );
        }
        if stream.batch.is_some() && batch.first_ms <= stream.last_ms {
            let detail =
                format!("first reading of {}, the stream's last of {}", batch.first_ms, stream.last_ms);
            return refuse(Code::TimeBackwards, detail);
        }
        // Of a batch that never came nobody knows the digest.
        if batch.seq == stream.seq + 1 && batch.prev != stream.prev {
            return refuse(Code::PrevMismatch, format!("prev {}, wants {}", batch.prev, stream.prev));
        }
        Ok(())
    }

    fn check_inherited_basis(&mut self, header: &Header, device: &DeviceEntry) -> Result<(), Fail> {
        let basis = match &device.legal_basis {
            Some(named) => self.state.basis(named)?,
            None => None,
        };
        let Some(basis) = basis else { return Err(rules::missing_basis().into()) };
        if !matches!(basis.status, Status::Effective | Status::Expired) {
            let detail = format!(
                "legal basis {} v{}: status {}",
                basis.details.id, basis.details.version, basis.status
            );
            return Err(Refusal::new(Code::LegalBasisNotInForce, detail).into());
        }
        Ok(rules::check_basis(header, &basis.details, self.today)?)
    }

    fn check_batch_signature(&self, device: &DeviceEntry, batch: &BatchDetails) -> Result<(), Fail> {
        let message = BatchPreimage { chain_id: self.chain.chain_id, digest: batch.digest() };
        let signer = [device.key, device.before]
            .into_iter()
            .flatten()
            .find(|known| known.verify(&message, &batch.signature));
        let Some(signer) = signer else {
            let detail = "the signature of the batch is not of the device's newest key or the one before";
            return Err(Refusal::new(Code::BadSignature, detail).into());
        };
        match self.state.read::<DeviceKeyEntry>(&key::device_key(&signer))? {
            Some(entry) => Ok(self.check_key_in_force(&signer, &entry)?),
            None => Err(Refusal::new(Code::Internal, "a device's key without its entry").into()),
        }
    }

    /// Moves a stream on by a batch that was accepted, and writes the gaps that the batch shows.
    pub(super) fn accept_batch(&mut self, header: &Header, batch: &BatchDetails) -> Result<(), Fail> {
        let place = key::stream(&batch.device, &batch.stream);
        let device = self.device(&batch.device)?;
        let (Some(stream), Some(before)) =
            (device.details.stream(&batch.stream).cloned(), self.state.read::<StreamEntry>(&place)?)
        else {
            return Ok(());
        };
        let mut after = StreamEntry {
            seq: batch.seq,
            prev: batch.digest(),
            batch: Some(header.record),
            last_ms: batch.last_ms,
            heard_ms: self.time_ms,
            ..before.clone()
        };
        let stuck = follow_runs(&stream, batch, &before, &mut after);
        let mut found = Vec::new();
        if batch.seq > before.seq + 1 {
            found.push((GapKind::Sequence, Extent::Numbers { from: before.seq + 1, to: batch.seq - 1 }));
        }
        let span = |kind, span: Option<Span>| span.map(|span| (kind, Extent::Times(span)));
        found.extend(span(GapKind::Time, hole(&stream, batch, &before)));
        found.extend(span(GapKind::Clock, self.clock_gap(&stream, batch)));
        found.extend(span(GapKind::Stuck, stuck));
        found.extend(span(GapKind::Range, out_of_range(&stream, batch)));
        self.promise(&batch.device, &stream, &mut after);
        self.state.put(place, after.to_canonical());
        self.state.put(key::batch_source(&header.record), batch_source(batch, &device));
        for (kind, extent) in found {
            // What lies between two batches names both.
            let earlier = match kind {
                GapKind::Sequence | GapKind::Time | GapKind::Stuck => before.batch,
                _ => None,
            };
            let batches = earlier.into_iter().chain([header.record]).collect();
            let gap =
                GapDetails { device: batch.device, stream: batch.stream.clone(), kind, extent, batches };
            self.find_gap(&device.agency, gap)?;
        }
        Ok(())
    }

    /// The next batch of a stream is due within its promise from now on.
    pub(super) fn promise(&mut self, device: &RecordId, stream: &Stream, entry: &mut StreamEntry) {
        if let Some(due) = entry.due_ms {
            self.state.remove(key::promise(due, device, &stream.id));
        }
        let due = self.time_ms.saturating_add(u64::from(stream.batch_within_s) * 1_000);
        entry.due_ms = Some(due);
        self.state.put(key::promise(due, device, &stream.id), Vec::new());
    }

    /// The device's time against that of the block: ahead by more than any record may be, or behind by more than the promise.
    fn clock_gap(&self, stream: &Stream, batch: &BatchDetails) -> Option<Span> {
        let (device, block) = (batch.last_ms, self.time_ms);
        let promise = u64::from(stream.batch_within_s) * 1_000;
        if device > self.latest_capture_ms() {
            return Some(Span { from_ms: block, to_ms: device });
        }
        (block.saturating_sub(device) > promise).then_some(Span { from_ms: device, to_ms: block })
    }

    /// Looks at promises that ran out before this block, oldest first.
    pub(super) fn find_silences(&mut self) -> Result<(), ReadError> {
        let (from, to) = (key::promises_from(0), key::promises_from(self.time_ms));
        for (promised, _) in self.state.ledger().range(&from, &to, SILENCES_MAX)? {
            let parsed = key::parse_promise(&promised);
            self.state.remove(promised);
            let Some((due, record, stream)) = parsed else { continue };
            let Some(device) = self.state.read::<DeviceEntry>(&key::device(&record))? else { continue };
            let place = key::stream(&record, &stream);
            let Some(mut entry) = self.state.read::<StreamEntry>(&place)? else { continue };
            if entry.due_ms != Some(due) {
                continue;
            }
            entry.due_ms = None;
            self.state.put(place, entry.to_canonical());
            // Nobody waits for a device that was put out of use, or for a stream that it no longer has.
            if device.status != Status::Effective || device.details.stream(&stream).is_none() {
                continue;
            }
            let extent = Extent::Times(Span { from_ms: entry.heard_ms, to_ms: due });
            let batches = entry.batch.into_iter().collect();
            let gap = GapDetails { device: record, stream, kind: GapKind::Silent, extent, batches };
            self.find_gap(&device.agency, gap)?;
        }
        Ok(())
    }

    /// Writes gaps that the block before had no room for.
    pub(super) fn continue_gaps(&mut self) -> Result<(), ReadError> {
        let (from, to) = key::all_gaps_to_write();
        for (queued, value) in self.state.ledger().range(&from, &to, GAPS_MAX)? {
            self.state.remove(queued);
            let mut reader = Reader::new(&value);
            if let (Ok(agency), Ok(gap)) = (OrgId::read(&mut reader), GapDetails::read(&mut reader)) {
                self.find_gap(&agency, gap)?;
            }
        }
        Ok(())
    }

    /// Writes a gap as a record of its own, if the block has room for it.
    fn find_gap(&mut self, agency: &OrgId, gap: GapDetails) -> Result<(), ReadError> {
        self.gaps += 1;
        if self.gaps > GAPS_MAX {
            let mut value = Writer::new();
            agency.write(&mut value);
            gap.write(&mut value);
            let number = u32::try_from(self.gaps).unwrap_or(u32::MAX);
            self.state.put(key::gap_to_write(self.height, number), value.finish());
            return Ok(());
        }
        let idempotency = gap.idempotency();
        let details = Details::Gap(Box::new(gap));
        let header = crate::build::device_header(self.chain.chain_id, agency, idempotency, details);
        if self.state.get(&key::record(&header.record))?.is_some() {
            return Ok(());
        }
        let version = lifecycle::in_force(&header, self.log.size());
        let mut head = RecordHead::first(&header, version, self.height);
        let record = header.record;
        let leaf = FoundLeaf { height: self.height, time_ms: self.time_ms, header };
        self.append(Some(record), Leaf::Found(Box::new(leaf)).to_canonical());
        self.put_head(record, &mut head)?;
        Ok(())
    }
}

/// The longest distance that is longer than the tolerance, between the batches or in this one; where there is none but
/// several readings are of one time, the whole batch.
fn hole(stream: &Stream, batch: &BatchDetails, before: &StreamEntry) -> Option<Span> {
    let between = Span { from_ms: before.last_ms, to_ms: batch.first_ms };
    let between = before.batch.is_some().then_some(between);
    let between = between.filter(|span| stream.terms.is_hole(span.length_ms()));
    let longest = between
        .into_iter()
        .chain(batch.statistics.longest_hole)
        .reduce(|one, other| if other.length_ms() > one.length_ms() { other } else { one });
    longest.or_else(|| (batch.statistics.repeated > 0).then(|| batch.span()))
}

fn out_of_range(stream: &Stream, batch: &BatchDetails) -> Option<Span> {
    let seen = &batch.statistics;
    let below = stream.min.is_some_and(|min| seen.min < min);
    let above = stream.max.is_some_and(|max| seen.max > max);
    (seen.good > 0 && (below || above)).then(|| batch.span())
}

/// Carries the value that a stream ended with over to the next batch; gives the longest run of one value that is too long
/// and was not found before.
fn follow_runs(
    stream: &Stream,
    batch: &BatchDetails,
    before: &StreamEntry,
    after: &mut StreamEntry,
) -> Option<Span> {
    let runs = batch.statistics.runs?;
    let gap_ms = batch.first_ms.saturating_sub(before.last_ms);
    let goes_on = |tail: &Run| tail.value == runs.first.value && !stream.terms.is_hole(gap_ms);
    let first = match before.tail.filter(goes_on) {
        Some(tail) => Run { span: Span { from_ms: tail.span.from_ms, ..runs.first.span }, ..runs.first },
        None => runs.first,
    };
    after.tail = Some(if runs.last == runs.first { first } else { runs.last });
    let limit = u64::from(stream.stuck_after_s?) * 1_000;
    let longest = if runs.longest == runs.first || first.span.length_ms() >= runs.longest.span.length_ms() {
        first
    } else {
        runs.longest
    };
    let known = before.stuck_from_ms == Some(longest.span.from_ms);
    if longest.span.length_ms() < limit || known {
        return None;
    }
    after.stuck_from_ms = Some(longest.span.from_ms);
    Some(longest.span)
}

/// What the ledger keeps of a batch for whoever rests a decision on it: the device, the time of the last reading, and to
/// which day the device was verified then. A verification that comes later heals no reading of before.
fn batch_source(batch: &BatchDetails, device: &DeviceEntry) -> Vec<u8> {
    let mut writer = Writer::with_capacity(40);
    batch.device.write(&mut writer);
    writer.u64(batch.last_ms);
    write_option(&mut writer, device.details.verified_until.as_ref());
    writer.finish()
}
