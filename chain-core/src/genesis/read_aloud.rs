//! A chain id as people read it to each other.

use crate::crypto::Digest;
use crate::id::ChainId;

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// Eight groups of four hexadecimal digits (the first 128 bits) and a five-letter check word over the whole
/// id, e.g. `7f3a 91c2 e0b4 1c55 9d20 aa71 03fe 6c1b lusab`. A digit misheard or two groups swapped do not
/// fit the word; what binds the agencies is their signature over the whole id.
pub fn read_aloud(chain_id: &ChainId) -> String {
    let digits = chain_id.to_string();
    let mut text = String::new();
    for group in 0..8 {
        text.push_str(&digits[4 * group..4 * group + 4]);
        text.push(' ');
    }
    text.push_str(&check_word(chain_id));
    text
}

/// Sixteen bits as consonant, vowel, consonant, vowel, consonant.
fn check_word(chain_id: &ChainId) -> String {
    let digest = Digest::tagged(b"CL/read-aloud/1", &[chain_id.digest().as_bytes()]);
    let bits = usize::from(u16::from_be_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]));
    let consonant = |shift: usize| char::from(CONSONANTS[bits >> shift & 15]);
    let vowel = |shift: usize| char::from(VOWELS[bits >> shift & 3]);
    [consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)].into_iter().collect()
}
