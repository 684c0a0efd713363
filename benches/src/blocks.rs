//! Two states of one thing measured in turns, so that what drifts on the machine strikes both alike.

/// The mean cost in both states over one off-on-on-off (or on-off-off-on) of blocks: a drift that is linear
/// over the four cancels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Switched off.
    pub off: f64,
    /// Switched on.
    pub on: f64,
}

impl Pair {
    /// What the state costs.
    #[must_use]
    pub fn difference(self) -> f64 {
        self.on - self.off
    }
}

/// Runs `pairs` times four blocks. `block(on)` puts the thing into the state, runs a block and returns its
/// cost per unit.
///
/// # Errors
/// The first error of a block.
pub fn in_turns<E>(
    pairs: usize,
    mut block: impl FnMut(bool) -> Result<f64, E>,
) -> Result<Vec<Pair>, E> {
    (0..pairs)
        .map(|n| {
            // Every other four begin with `on`, so that nothing that happens every four blocks has a side.
            let outer = n % 2 == 1;
            let (first, second) = (block(outer)?, block(!outer)?);
            let (third, fourth) = (block(!outer)?, block(outer)?);
            let (outside, inside) = ((first + fourth) / 2.0, (second + third) / 2.0);
            Ok(if outer {
                Pair {
                    off: inside,
                    on: outside,
                }
            } else {
                Pair {
                    off: outside,
                    on: inside,
                }
            })
        })
        .collect()
}

/// The differences of pairs.
#[must_use]
pub fn differences(pairs: &[Pair]) -> Vec<f64> {
    pairs.iter().map(|pair| pair.difference()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_drift_cancels() {
        let mut drift = 10.0;
        let pairs = in_turns(6, |on| {
            drift += 0.5;
            Ok::<_, ()>(drift + if on { 0.25 } else { 0.0 })
        })
        .unwrap();
        assert_eq!(pairs.len(), 6);
        for difference in differences(&pairs) {
            assert!((difference - 0.25).abs() < 1e-9, "{difference}");
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut blocks = 0;
        let result = in_turns(6, |_| {
            blocks += 1;
            if blocks == 3 { Err("broken") } else { Ok(1.0) }
        });
        assert_eq!(result, Err("broken"));
        assert_eq!(blocks, 3);
    }
}
