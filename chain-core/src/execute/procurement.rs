//! Procurements: releases follow one another without a fork, in the order of the stages, and no officer alone leads one from
//! the call for tenders to the acceptance (separation of incompatible duties).

use super::overlay::Fail;
use super::{Author, Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::org::OrgId;
use crate::record::Details;
use crate::record::egov::procurement::{ProcurementDetails, ReleaseTag, Stage};
use crate::state::{ProcessEntry, RecordHead, StageEntry, Status, key};

/// Stages that one clerk may not file both of: who calls for tenders does not award, who signs does not accept.
const SEPARATED: [(Stage, Stage); 2] =
    [(Stage::Tender, Stage::Award), (Stage::Contract, Stage::Implementation)];

impl<L: LedgerRead> Execution<'_, L> {
    fn process(&self, agency: &OrgId, release: &ProcurementDetails) -> Result<ProcessEntry, ReadError> {
        let entry = self.state.read::<ProcessEntry>(&key::process(agency, &release.process))?;
        Ok(entry.unwrap_or_default())
    }

    /// Judges a release against the ones before it.
    pub(super) fn check_release(
        &self,
        author: &Author,
        agency: &OrgId,
        release: &ProcurementDetails,
    ) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        if release.date_ms > self.latest_capture_ms() {
            return refuse(Code::DateOrder, "date lies after block time".to_owned());
        }
        let process = self.process(agency, release)?;
        check_follows(&process, release)?;
        if let Some(last) = &process.last
            && let Some(Details::Procurement(before)) = self.state.read::<Details>(&key::chained(last))?
            && release.date_ms < before.date_ms
        {
            return refuse(Code::DateOrder, format!("date lies before that of the last release, {last}"));
        }
        let begun: Vec<Stage> = release.begins().collect();
        for tag in &release.tags {
            let Some(wanted) = tag.wants().filter(|wanted| !begun.contains(wanted)) else { continue };
            if !self.is_reached(&process, wanted)? {
                let detail = format!("{} before {wanted}: no release in effect has begun that", tag.name());
                return refuse(Code::ReleaseOrder, detail);
            }
        }
        for (first, second) in SEPARATED {
            let same = match process.stage(first) {
                _ if !begun.contains(&second) => false,
                _ if begun.contains(&first) => true,
                reached => reached.is_some_and(|reached| reached.by == author.key),
            };
            if same {
                let detail =
                    format!("key {} filed {first}; another clerk files {second}", author.key.short());
                return refuse(Code::SamePerson, detail);
            }
        }
        Ok(())
    }

    /// Whether a stage has begun by a release that still holds.
    fn is_reached(&self, process: &ProcessEntry, stage: Stage) -> Result<bool, Fail> {
        let Some(reached) = process.stage(stage) else { return Ok(false) };
        Ok(self.head(&reached.record)?.current.status == Status::Effective)
    }

    /// Refuses to let a release take effect that others have overtaken while it waited.
    pub(super) fn check_waiting_release(&self, record: &RecordId, head: &RecordHead) -> Result<(), Fail> {
        match self.state.read::<Details>(&key::chained(record))? {
            Some(Details::Procurement(release)) => {
                Ok(check_follows(&self.process(&head.agency, &release)?, &release)?)
            }
            _ => Ok(()),
        }
    }

    /// Carries a process on with a release that has just taken effect.
    pub(super) fn follow_release(
        &mut self,
        record: &RecordId,
        before: Status,
        head: &RecordHead,
    ) -> Result<(), ReadError> {
        if before != Status::Submitted || head.current.status != Status::Effective {
            return Ok(());
        }
        let Some(Details::Procurement(release)) = self.state.read::<Details>(&key::chained(record))? else {
            return Ok(());
        };
        let mut process = self.process(&head.agency, &release)?;
        process.last = Some(*record);
        process.called_off |= release.tags.contains(&ReleaseTag::TenderCancellation);
        if release.tags.contains(&ReleaseTag::AwardCancellation) {
            process.stages.retain(|reached| reached.stage < Stage::Award);
        }
        let by = head.current.signers.first().map(|signer| signer.key);
        for stage in release.begins() {
            process.stages.retain(|reached| reached.stage != stage);
            process.stages.extend(by.map(|by: PublicKey| StageEntry { stage, record: *record, by }));
        }
        process.stages.sort_unstable_by_key(|reached| reached.stage);
        self.state.put(key::process(&head.agency, &release.process), process.to_canonical());
        Ok(())
    }
}

/// The release before must be the last one, and the process not called off.
fn check_follows(process: &ProcessEntry, release: &ProcurementDetails) -> Result<(), Refusal> {
    if release.previous != process.last {
        let shown =
            |record: Option<RecordId>| record.map_or_else(|| "none".to_owned(), |one| one.to_string());
        let detail = format!("previous is {}, wants {}", shown(release.previous), shown(process.last));
        return Err(Refusal::new(Code::ReleaseOrder, detail));
    }
    if process.called_off {
        return Err(Refusal::new(Code::BadState, "the tender was called off; begin another process"));
    }
    Ok(())
}
