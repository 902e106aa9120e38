//! Chance from a seed.
//!
//! Invariants
//! * The same seed gives the same draws, on every machine and in every version of the compiler.

/// A splitmix64 stream.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for another purpose, so that more draws of one do not move the other.
    pub(super) fn split(&mut self) -> Self {
        Self(self.draw())
    }

    /// The next 64 bits.
    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number under `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// The same for a length.
    pub(super) fn below_len(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// Heads or tails.
    pub(super) fn coin(&mut self) -> bool {
        self.draw() >> 63 == 0
    }

    /// True with this probability; nothing is drawn at 0.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        const STEPS: u64 = 1 << 53;
        probability > 0.0 && (self.draw() % STEPS) as f64 / (STEPS as f64) < probability
    }
}
