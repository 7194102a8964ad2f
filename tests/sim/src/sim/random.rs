//! The one source of chance in a simulation.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low + 1)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.next_u64() % 1000 < per_mille
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next_u64() % len as u64).unwrap_or(0)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A source of its own for one purpose, so that a change in one does not shift the others.
    #[must_use]
    pub fn fork(seed: u64, purpose: &[u8]) -> Self {
        let mut state = Self::new(seed);
        for byte in purpose {
            state = Self::new(state.next_u64() ^ u64::from(*byte));
        }
        state
    }

    /// Exponentially distributed with this mean: most are short, a few are several times as long.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // -ln(u) in steps: count the leading zeros, then one linear part; no float decides a trace.
        let draw = self.next_u64() | 1;
        let whole = u64::from(draw.leading_zeros());
        let part = (draw << whole.min(63) << 1) >> 44;
        // ln 2 = 0.693; the octave is walked linearly.
        let millionths = whole * 693_147 + (693_147 - ((part * 693_147) >> 20));
        u64::try_from(u128::from(mean) * u128::from(millionths) / 1_000_000).unwrap_or(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_has_its_mean() {
        let mut random = Random::new(7);
        let sum: u64 = (0..100_000).map(|_| random.exponential(1_000)).sum();
        let mean = sum / 100_000;
        assert!((950..1_100).contains(&mean), "mean {mean}");
    }

    #[test]
    fn forks_differ_by_purpose_and_seed() {
        let first = |seed, purpose: &[u8]| Random::fork(seed, purpose).next_u64();
        assert_eq!(first(1, b"network"), first(1, b"network"));
        assert_ne!(first(1, b"network"), first(1, b"clients"));
        assert_ne!(first(1, b"network"), first(2, b"network"));
    }
}
