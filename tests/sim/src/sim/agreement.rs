//! One chain for everybody, over all epochs: who delivered and executed what at which height.

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header};
use chain_core::crypto::Digest;
use chain_core::id::Height;

/// What was delivered and executed at each height, by anybody.
#[derive(Debug, Default)]
pub struct Agreement {
    chain: BTreeMap<Height, (Digest, Option<Digest>)>,
    /// The execution roots that final blocks certify.
    certified: BTreeMap<Height, Digest>,
}

impl Agreement {
    /// A block was delivered: every node delivers the same block at a height, never a Suffix, and none that certifies
    /// another execution than everybody's.
    ///
    /// # Errors
    /// In words.
    pub fn delivered(&mut self, who: &str, header: &Header) -> Result<(), String> {
        let (height, digest) = (header.height, header.digest());
        if header.flags.contains(Flags::SUFFIX) {
            return Err(format!("{who} delivered a Suffix at height {height}"));
        }
        let (at, root) = (header.exec_height, header.exec_root);
        let certified = *self.certified.entry(at).or_insert(root);
        let executed = self.chain.get(&at).and_then(|(_, executed)| *executed);
        if let Some(other) = [Some(certified), executed].into_iter().flatten().find(|one| *one != root) {
            return Err(format!(
                "{who} delivered height {height}, which certifies {root} at {at}, not {other}"
            ));
        }
        let (known, _) = *self.chain.entry(height).or_insert((digest, None));
        if known == digest {
            Ok(())
        } else {
            Err(format!("{who} delivered {digest} at height {height}, others {known}"))
        }
    }

    /// A block was executed: every node reaches the same root. True when nobody executed the height before.
    ///
    /// # Errors
    /// In words.
    pub fn executed(&mut self, who: &str, height: Height, root: Digest) -> Result<bool, String> {
        // What a node executes at start, out of its store, it delivered in another life.
        let Some((_, known)) = self.chain.get_mut(&height) else {
            return Err(format!("{who} executed height {height}, which nobody delivered"));
        };
        let first = known.is_none();
        let known = *known.get_or_insert(*self.certified.get(&height).unwrap_or(&root));
        if known == root {
            Ok(first)
        } else {
            Err(format!("{who} reached root {root} at height {height}, others {known}"))
        }
    }

    /// Newest height delivered by anybody.
    pub fn height(&self) -> Height {
        self.chain.last_key_value().map_or(Height::ZERO, |(height, _)| *height)
    }
}
