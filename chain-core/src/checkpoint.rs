//! Checkpoints of the record log as C2SP signed notes.

use crate::id::ChainId;

/// Origin line of a chain's record log: `<network>.city-ledger/<first 16 digits of the chain id>`.
pub fn origin(network: &str, chain_id: &ChainId) -> String {
    format!("{network}.city-ledger/{}", &chain_id.to_string()[..16])
}
