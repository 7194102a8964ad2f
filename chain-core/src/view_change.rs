//! What a validator signs when it gives up on a leader: the view it asks for, and the best it ever certified.

use serde::{Deserialize, Serialize};

use crate::block::SlotPreimage;
use crate::canonical::Writer;
use crate::certificate::Rank;
use crate::crypto::{Digest, Signable};
use crate::id::{ChainId, Epoch, Height, View};

/// The position of a high QC as signed in a VIEW-CHANGE.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Claim {
    /// View of the certificate; `None` is the base, signed as `u64::MAX`.
    pub view: Option<View>,
    /// Height of the block.
    pub height: Height,
    /// Digest of the block.
    pub digest: Digest,
}

impl Claim {
    /// Rank; `None`, the base, sorts lowest.
    pub fn rank(&self) -> Option<Rank> {
        self.view.map(|view| Rank { view, height: self.height })
    }
}

/// Kind 4: 102 bytes with the new view and the claimed block, then eight bytes of the claim's view.
#[derive(Clone, Copy, Debug)]
pub struct ViewChangePreimage {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The view asked for.
    pub new_view: View,
    /// The claimed high QC.
    pub claim: Claim,
}

impl Signable for ViewChangePreimage {
    fn preimage(&self) -> Vec<u8> {
        let slot = SlotPreimage {
            kind: 4,
            chain_id: self.chain_id,
            epoch: self.epoch,
            view: self.new_view.get(),
            height: self.claim.height,
            digest: self.claim.digest,
        };
        let mut writer = Writer::new();
        writer.raw(&slot.preimage()).u64(self.claim.view.map_or(u64::MAX, View::get));
        writer.finish()
    }
}
