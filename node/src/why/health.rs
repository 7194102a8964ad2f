//! What validators tell each other about themselves once a second, beside consensus.
//!
//! Nothing in it is proved and nothing is decided by it: it is for people.

use chain_core::code::Refusal;
use chain_core::codec::Wire;
use serde::{Deserialize, Serialize};

use super::clock::Echo;

/// Most bytes of a version.
const VERSION_BYTES_MAX: usize = 64;
/// Most bytes of a stated reason.
const DETAIL_BYTES_MAX: usize = 240;

/// One validator about itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Health {
    /// Its release.
    pub version: String,
    /// Its monotonic clock at sending, to be given back.
    pub stamp_ms: u64,
    /// Its wall clock at sending, milliseconds since 1970.
    pub wall_ms: u64,
    /// The newest stamp of the one that is addressed.
    pub echo: Option<Echo>,
    /// Whether it votes.
    pub voting: bool,
    /// If not: why; when it stops, why it stops.
    pub refusal: Option<Refusal>,
    /// Whether these are its last words.
    pub stopping: bool,
    /// Habitual pauses of its engine, in milliseconds.
    pub pause_ms: u64,
    /// Whether a second process with the keys of the one that is addressed asked the sender for a connection lately.
    pub twin: bool,
}

impl Wire for Health {
    const LIMIT: usize = 512;
}

impl Health {
    /// Within its limit whatever the texts are.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        cut(&mut self.version, VERSION_BYTES_MAX);
        if let Some(refusal) = self.refusal.as_mut() {
            cut(&mut refusal.detail, DETAIL_BYTES_MAX);
        }
        self
    }
}

fn cut(text: &mut String, most: usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::code::Code;
    use chain_core::codec::{decode, encode};

    fn sample() -> Health {
        Health {
            version: "0.1.0".into(),
            stamp_ms: 1_000,
            wall_ms: 1_700_000_000_000,
            echo: Some(Echo { stamp_ms: 900, kept_ms: 20 }),
            voting: false,
            refusal: Some(Refusal::new(Code::SafetyLost, "gone")),
            stopping: false,
            pause_ms: 50,
            twin: true,
        }
    }

    #[test]
    fn its_bytes_are_frozen() {
        let hex: String = encode(&sample()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "010500000000000000302e312e30e8030000000000000068e5cf8b0100000184030000000000001400000000000000000123030400000000000000676f6e6500320000000000000001"
        );
    }

    #[test]
    fn the_longest_texts_fit_and_stay_text() {
        let refusal = Refusal::new(Code::ForkDetected, "证".repeat(9_999));
        let long = Health { version: "ä".repeat(999), refusal: Some(refusal), ..sample() }.bounded();
        let bytes = encode(&long).unwrap();
        assert!(bytes.len() <= Health::LIMIT);
        assert_eq!(decode::<Health>(&bytes).unwrap(), long);
        assert_eq!(long.refusal.unwrap().detail, "证".repeat(80));
    }
}
