//! The state of height 0.

use std::collections::BTreeSet;

use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};

use super::overlay::{Fail, Overlay};
use super::{
    BlockResult, ChainParams, ExecState, Execution, GenesisState, LedgerRead, ReadError, StateEntry,
    outcomes_root,
};
use crate::block::ExecSummary;
use crate::build::governance_header;
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::{Epoch, Height};
use crate::layout::Layout as _;
use crate::leaf::{GenesisLeaf, Leaf};
use crate::lifecycle;
use crate::merkle::{self, Frontier};
use crate::org::OrgId;
use crate::record::{Details, Header};
use crate::state::{RecordHead, key, tree};
use crate::subject::{Index, IndexEntry};

/// The ledger before anything.
struct Nothing;

impl LedgerRead for Nothing {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }

    fn range(&self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<StateEntry>, ReadError> {
        Ok(Vec::new())
    }
}

impl TreeReader for Nothing {
    fn get_node_option(&self, _: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(None)
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// The header of a record that genesis lays down. Its id follows from chain, agency and content.
pub fn genesis_header(chain: &ChainParams, agency: &OrgId, details: Details) -> Header {
    let content = Digest::tagged(b"cityledger/genesis-record/1", &[&details.to_canonical()]);
    governance_header(chain.chain_id, agency, &[], &content.to_string(), 1, details)
}

/// Lays down registered types, agencies, legal bases, calendars, members and validators as height 0: state, tree and
/// one leaf per record. There is no seal leaf, for there is no block. Proofs of possession are not looked at: the
/// parts of a genesis are signed as a whole.
///
/// # Errors
/// `GENESIS_INVALID` with the flaw: a name or key used twice, an unknown agency, a bad text or term.
pub fn genesis_block(chain: &ChainParams, genesis: &GenesisState) -> Result<BlockResult, Refusal> {
    let invalid = |detail: String| Refusal::new(Code::GenesisInvalid, detail);
    if chain.council_threshold == 0 {
        return Err(invalid("council threshold is 0, wants 1 or more".to_owned()));
    }
    let Some(first) = genesis.agencies.first() else {
        return Err(invalid("there is no agency".to_owned()));
    };
    let previous = ExecState {
        summary: ExecSummary {
            height: Height::ZERO,
            previous: Digest::ZERO,
            log_size: 0,
            log_root: merkle::root::<&[u8]>([]),
            outcomes_root: outcomes_root(&[]),
            state_root: tree::EMPTY_ROOT,
        },
        log: Frontier::default(),
    };
    let mut execution = Execution {
        chain,
        epoch: Epoch::ZERO,
        height: Height::ZERO,
        time_ms: 0,
        today: Date::MIN,
        state: Overlay::new(&Nothing),
        log: Frontier::default(),
        leaves: Vec::new(),
        outcomes: Vec::new(),
        previous: &previous.summary,
        membership_touched: false,
        scheduled: None,
        frozen: Vec::new(),
        erased: BTreeSet::new(),
        linked: 0,
        gaps: 0,
        params: crate::record::params::Params::default(),
        index: Index::None,
        touched: BTreeSet::new(),
    };
    // First, because agencies and bases name registered types.
    for schema in &genesis.schemas {
        let details = Details::Schema(Box::new(schema.clone()));
        execution.lay_down(&genesis_header(chain, &first.id, details))?;
    }
    for agency in &genesis.agencies {
        agency.check(None).map_err(|error| invalid(format!("agency {}: {error}", agency.id)))?;
        let header = genesis_header(chain, &agency.id, Details::Agency(Box::new(agency.clone())));
        execution.lay_down(&header)?;
    }
    for basis in &genesis.bases {
        basis.check().map_err(|error| invalid(format!("legal basis {}: {error}", basis.id)))?;
        let header = genesis_header(chain, &first.id, Details::LegalBasis(Box::new(basis.clone())));
        execution.lay_down(&header)?;
    }
    for calendar in &genesis.calendars {
        calendar.check().map_err(|error| invalid(format!("calendar {}: {error}", calendar.year)))?;
        let details = Details::Calendar(Box::new(calendar.clone()));
        execution.lay_down(&genesis_header(chain, &first.id, details))?;
    }
    for member in &genesis.members {
        let short = member.key.key.short();
        member.check(None).map_err(|error| invalid(format!("member {short}: {error}")))?;
        let header = genesis_header(chain, &member.agency, Details::Member(Box::new(member.clone())));
        execution.lay_down(&header)?;
    }
    for validator in &genesis.validators {
        validator.check(None).map_err(|error| invalid(format!("validator {}: {error}", validator.name)))?;
        let details = Details::Validator(Box::new(validator.clone()));
        execution.lay_down(&genesis_header(chain, &validator.agency, details))?;
    }
    if !genesis.validators.is_empty() {
        execution.lay_down_epoch(&genesis.validators)?;
    }
    if let Some(keys) = &genesis.recovery {
        execution.state.put(key::recovery(), keys.to_canonical());
    }
    if let Some(index_key) = genesis.index {
        index_key.check().map_err(|error| invalid(format!("key of the index of subjects: {error}")))?;
        execution.state.put(key::index(), IndexEntry::empty(index_key).to_canonical());
    }
    execution.close_genesis().map_err(|error| invalid(error.to_string()))
}

impl Execution<'_, Nothing> {
    fn lay_down(&mut self, header: &Header) -> Result<(), Refusal> {
        self.try_lay_down(header).map_err(|fail| match fail {
            Fail::Refused(refusal) => Refusal::new(Code::GenesisInvalid, refusal.to_string()),
            Fail::Read(error) => Refusal::new(Code::GenesisInvalid, error.to_string()),
        })
    }

    fn try_lay_down(&mut self, header: &Header) -> Result<(), Fail> {
        self.check_governance(header, None)?;
        let version = lifecycle::in_force(header, self.log.size());
        let leaf = Leaf::Genesis(Box::new(GenesisLeaf { header: header.clone() }));
        self.append(Some(header.record), leaf.to_canonical());
        let mut head = RecordHead::first(header, version, self.height);
        self.file_governance(header)?;
        self.made_effective(&header.record, &head, None)?;
        Ok(self.put_head(header.record, &mut head)?)
    }

    fn close_genesis(mut self) -> Result<BlockResult, ReadError> {
        let state = self.state.take_writes();
        let entries = tree::entries(&state);
        let (state_root, tree) = tree::update(&Nothing, Height::ZERO, entries)?;
        let summary = ExecSummary {
            height: Height::ZERO,
            previous: Digest::ZERO,
            log_size: self.log.size(),
            log_root: self.log.root(),
            outcomes_root: outcomes_root(&[]),
            state_root,
        };
        Ok(BlockResult {
            summary,
            outcomes: Vec::new(),
            leaves: self.leaves,
            log: self.log,
            state,
            tree,
            scheduled: None,
            frozen: Vec::new(),
            erased: Vec::new(),
        })
    }
}
