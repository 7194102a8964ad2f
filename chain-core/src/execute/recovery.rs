//! The first block after a lost quorum: the agencies' act takes the place of a closing block.

use std::rc::Rc;

use super::overlay::Fail;
use super::{
    BlockResult, ChainParams, ExecState, Execution, LedgerRead, OrderedBlock, ReadError, execute_ordered,
};
use crate::block::Header;
use crate::committee::Validator;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::{Leaf, RecoveryLeaf};
use crate::lifecycle::{self, anew};
use crate::recovery::{RecoveryKeys, SignedRecovery};
use crate::state::{RecordHead, ValidatorEntry, key};

/// The recovery keys that the genesis laid down, if it did.
///
/// # Errors
/// When the ledger cannot be read.
pub fn recovery_keys<L: LedgerRead + ?Sized>(ledger: &L) -> Result<Option<RecoveryKeys>, ReadError> {
    let Some(bytes) = ledger.get(&key::recovery())? else {
        return Ok(None);
    };
    RecoveryKeys::from_canonical(&bytes)
        .map(Some)
        .map_err(|error| ReadError(format!("state value of the recovery keys: {error}")))
}

/// Executes the first block of an epoch that a [`SignedRecovery`] began, as [`super::execute_block`] does any
/// other. The act comes first: its leaf, then its validators as the set in force. Who is in that set under a
/// description that governance did not give is described anew by a version of its record, or by a new
/// record; whoever is left out may join again like anybody.
///
/// Where an act was followed by another one before its epoch had a block, both take effect here, in their order.
///
/// # Errors
/// When the ledger cannot be read, or when an act is not binding, or the block does not follow from the last: no
/// node votes for such a block.
pub fn execute_recovered_block<L: LedgerRead>(
    ledger: &L,
    chain: &ChainParams,
    previous: &ExecState,
    block: &OrderedBlock<'_>,
    recoveries: &[SignedRecovery],
) -> Result<BlockResult, ReadError> {
    let header = block.header;
    let mut execution = Execution::new(ledger, chain, previous, block);
    for recovery in recoveries {
        execution.recover(header, recovery)?;
    }
    let leads = recoveries.last().is_some_and(|last| {
        header.epoch == last.act.next.epoch() && header.validators_hash == last.act.next.hash()
    });
    if !leads {
        return Err(unusable(&format!("block {} does not follow from it", header.height)));
    }
    execute_ordered(execution, block)
}

fn unusable(why: &str) -> ReadError {
    ReadError(format!("the act of recovery: {why}"))
}

impl<L: LedgerRead> Execution<'_, L> {
    fn recover(&mut self, header: &Header, recovery: &SignedRecovery) -> Result<(), ReadError> {
        let Some(keys) = self.state.read::<RecoveryKeys>(&key::recovery())? else {
            return Err(unusable("the genesis of this chain names no recovery keys"));
        };
        let Some(epoch) = self.state.epoch()? else {
            return Err(unusable("the ledger keeps no validator set"));
        };
        let next = recovery
            .verify(self.chain.chain_id, epoch.current.epoch(), &keys)
            .map_err(|error| unusable(&error.to_string()))?;
        let act = &recovery.act;
        if header.height != act.height.next() || header.parent != act.block_digest {
            return Err(unusable(&format!("block {} does not follow from it", header.height)));
        }
        let leaf_index = self.log.size();
        let leaf = RecoveryLeaf { height: self.height, time_ms: self.time_ms, recovery: recovery.clone() };
        self.append(Some(act.record()), Leaf::Recovery(Box::new(leaf)).to_canonical());
        for validator in next.validators() {
            self.describe_anew(validator, act.record(), leaf_index).map_err(|fail| match fail {
                Fail::Read(error) => error,
                Fail::Refused(refusal) => unusable(&refusal.to_string()),
            })?;
        }
        let mut epoch = self.state.epoch()?.map_or_else(|| (*epoch).clone(), Rc::unwrap_or_clone);
        epoch.current = next.clone();
        epoch.base_height = act.height;
        epoch.base_digest = act.block_digest;
        epoch.scheduled = None;
        self.remember_set(&epoch.current);
        self.state.put_epoch(epoch);
        self.membership_touched = true;
        Ok(())
    }

    /// Makes governance want a validator as the act describes it.
    fn describe_anew(&mut self, validator: &Validator, act: RecordId, leaf: u64) -> Result<(), Fail> {
        let known: Option<ValidatorEntry> = self.state.read(&key::validator(&validator.name))?;
        let known = known.filter(|one| anew::is_known(one.status));
        if known.as_ref().is_some_and(|one| anew::is_as_wanted(one.status, &one.validator, validator)) {
            return Ok(());
        }
        let (header, mut head) = match known {
            Some(known) => {
                let Some(mut head) = self.state.read::<RecordHead>(&key::record(&known.record))? else {
                    return Err(ReadError(format!("record {} is gone", known.record)).into());
                };
                let old = self.governance_header(&known.record, head.current.version)?;
                let header = anew::next_version(&old, validator)?;
                anew::replace(&mut head, lifecycle::in_force(&header, leaf), self.height);
                (header, head)
            }
            None => {
                let header = anew::first_version(self.chain.chain_id, act, validator)?;
                let head = RecordHead::first(&header, lifecycle::in_force(&header, leaf), self.height);
                (header, head)
            }
        };
        self.file_governance(&header)?;
        self.made_effective(&header.record, &head, None)?;
        Ok(self.put_head(header.record, &mut head)?)
    }
}
