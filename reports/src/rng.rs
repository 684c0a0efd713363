//! A small deterministic generator.

/// A seed of its own for whatever the words tell apart, by the step of FNV-1a (Fowler, Noll, Vo).
pub(crate) fn seed_of(seed: u64, words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(seed, |hash, word| {
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for resampling, the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from the standard normal distribution, by Box and Muller (1958).
    pub(crate) fn normal(&mut self) -> f64 {
        // 53 bits, never 0: its logarithm is finite.
        #[allow(clippy::cast_precision_loss)]
        let mut unit = || ((self.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
        let (a, b) = (unit(), unit());
        libm::sqrt(-2.0 * libm::log(a)) * libm::cos(2.0 * std::f64::consts::PI * b)
    }

    /// A number below `bound`; 0 when `bound` is 0. By multiplication; the bias at the sizes used here
    /// (a few hundred) is below 2⁻⁵⁶.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u32::try_from(wide >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the reference implementation for seed 1234567.
    #[test]
    fn reference_outputs() {
        let mut rng = SplitMix64::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn normal_numbers_are_normal() {
        let mut rng = SplitMix64::new(5);
        let n = 20_000;
        let drawn: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(n);
        let square = drawn.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.04,
            "{mean} {square}"
        );
        let beyond = drawn.iter().filter(|x| x.abs() > 1.644_853_6).count();
        assert!((1_850..2_150).contains(&beyond), "{beyond} of a tenth");
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut rng = SplitMix64::new(1);
        let mut seen = [false; 7];
        for _ in 0..500 {
            seen[rng.below(7) as usize] = true;
        }
        assert!(seen.iter().all(|s| *s));
        assert_eq!(rng.below(0), 0);
    }
}
