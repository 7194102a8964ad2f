//! Steps that follow from dates and block time: expiry, end of publication, forgetting old transaction ids.

use super::{AUTOMATIC_STEPS_MAX, Execution, LedgerRead, ReadError};
use crate::canonical::Reader;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::{AutomaticLeaf, Leaf};
use crate::lifecycle;
use crate::operation::Step;
use crate::state::{RecordHead, VersionHead, key};

/// Most transaction ids forgotten by one block: more than a block can bring.
const FORGET_MAX: usize = 16_384;

impl<L: LedgerRead> Execution<'_, L> {
    /// Carries out what has become due, oldest day first.
    pub(super) fn automatic_steps(&mut self) -> Result<(), ReadError> {
        let (from, to) = (key::due_from(Date::MIN), key::due_from(self.today.next()));
        for (due_key, _) in self.state.ledger().range(&from, &to, AUTOMATIC_STEPS_MAX)? {
            let parsed = parse_due(&due_key);
            self.state.remove(due_key);
            if let Some((due, record, step)) = parsed {
                self.automatic_step(due, record, step)?;
            }
        }
        Ok(())
    }

    fn automatic_step(&mut self, due: Date, record: RecordId, step: Step) -> Result<(), ReadError> {
        let Some(mut head) = self.state.read::<RecordHead>(&key::record(&record))? else {
            return Ok(());
        };
        let before = head.current.status;
        // The queue remembers what was once planned; the head knows what still holds.
        if !lifecycle::take_due(&mut head, due, step) {
            return Ok(());
        }
        head.changed_at = self.height;
        match step {
            Step::RetentionEnd => self.dispose(&record, &head)?,
            Step::HoldEnd => self.plan_after_hold(&record, &head),
            _ => {}
        }
        let leaf = Leaf::Automatic(AutomaticLeaf {
            height: self.height,
            time_ms: self.time_ms,
            step,
            record,
            version: head.current.version,
            status: head.current.status,
            flags: head.flags,
            due,
        });
        self.append(Some(record), leaf.to_canonical());
        self.conclude(&record, before, &mut head)
    }

    /// Plans the automatic steps of a version that has become effective.
    pub(super) fn plan_automatic_steps(&mut self, record: &RecordId, version: &VersionHead) {
        for (day, step) in lifecycle::due_days(version).into_iter().flatten() {
            self.state.put(key::due(day, record, step), Vec::new());
        }
    }

    /// Forgets the ids of transactions whose validity ended: a replay of one is refused as expired.
    pub(super) fn forget_transactions(&mut self) -> Result<(), ReadError> {
        let done = self.state.read_time(&key::forget_cursor())?;
        let (from, to) = (key::forget_from(done), key::forget_from(self.time_ms));
        let expired = self.state.ledger().range(&from, &to, FORGET_MAX)?;
        let reached = match expired.last() {
            None => return Ok(()),
            Some((last, _)) if expired.len() == FORGET_MAX => {
                parse_forget(last).map_or(done, |(until, _)| until)
            }
            Some(_) => self.time_ms,
        };
        for (forget_key, _) in expired {
            if let Some((_, tx)) = parse_forget(&forget_key) {
                self.state.remove(key::transaction(&tx));
            }
            self.state.remove(forget_key);
        }
        self.state.put(key::forget_cursor(), reached.to_be_bytes().to_vec());
        Ok(())
    }
}

impl<L: LedgerRead> super::overlay::Overlay<'_, L> {
    fn read_time(&self, time_key: &[u8]) -> Result<u64, ReadError> {
        let bytes = self.get(time_key)?.unwrap_or_default();
        Ok(<[u8; 8]>::try_from(bytes.as_slice()).map_or(0, u64::from_be_bytes))
    }
}

fn parse_due(due_key: &[u8]) -> Option<(Date, RecordId, Step)> {
    let mut reader = Reader::new(due_key.get(1..)?);
    let day = Date::from_day_number(reader.u32().ok()?)?;
    Some((day, RecordId::read(&mut reader).ok()?, Step::read(&mut reader).ok()?))
}

fn parse_forget(forget_key: &[u8]) -> Option<(u64, crate::id::TxId)> {
    let mut reader = Reader::new(forget_key.get(1..)?);
    Some((reader.u64().ok()?, crate::id::TxId::read(&mut reader).ok()?))
}
