//! Seeded damage to valid bytes: what a hostile peer or a failing disk would hand to a decoder.

use crate::sim::random::Random;

/// Numbers that lengths, counts and tags are overwritten with.
const LIES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 40, u64::MAX / 2, u64::MAX];

/// A damaged copy of `bytes`; `donors` are other valid encodings to splice from.
pub fn mutate(random: &mut Random, bytes: &[u8], donors: &[Vec<u8>]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=random.index(3) {
        once(random, &mut out, donors);
    }
    out
}

fn once(random: &mut Random, out: &mut Vec<u8>, donors: &[Vec<u8>]) {
    if out.is_empty() {
        out.push(random.next_u64().to_le_bytes()[0]);
        return;
    }
    let at = random.index(out.len());
    match random.index(9) {
        0 => {
            for _ in 0..=random.index(8) {
                let at = random.index(out.len());
                out[at] ^= 1 << random.index(8);
            }
        }
        1 => out.truncate(at),
        2 => {
            for _ in 0..=random.index(32) {
                out.push(random.next_u64().to_le_bytes()[0]);
            }
        }
        // A length, count or variant tells a lie.
        3 | 4 => {
            let lie = LIES[random.index(LIES.len())].to_le_bytes();
            let width = [4, 8][random.index(2)].min(out.len() - at);
            out[at..at + width].copy_from_slice(&lie[..width]);
        }
        5 => {
            let value = out[at].wrapping_add([1, 0xff, 2][random.index(3)]);
            out[at] = value;
        }
        6 => {
            let donor = &donors[random.index(donors.len())];
            let from = random.index(donor.len());
            let tail = &donor[from..];
            let len = tail.len().min(1 + random.index(200));
            let until = if random.chance(500) { at + random.index(out.len() - at + 1) } else { out.len() };
            out.splice(at..until, tail[..len].iter().copied());
        }
        7 => {
            let until = (at + 1 + random.index(64)).min(out.len());
            out.drain(at..until);
        }
        _ => {
            let until = (at + 1 + random.index(64)).min(out.len());
            let piece = out[at..until].to_vec();
            out.splice(at..at, piece);
        }
    }
}
