//! Random numbers.

/// The same pseudo-random numbers each time (an LCG; Knuth).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn real(&mut self, n: u64) -> f64 {
        self.below(n) as f64
    }
}
