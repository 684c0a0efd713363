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

/// How much of a bench is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every figure, from so many pairs.
    Pairs(usize),
    /// Blocks of one figure in one state, and nothing else. What an instruction counter finds in a run of 2N blocks
    /// less one of N is what N blocks take, start and end left out; that of the weighed state less that of the bare
    /// one is what weighing adds, on a busy machine too:
    ///
    ///     WEIGHBRIDGE_CLOCK=tsc-unchecked WEIGHBRIDGE_WINDOW=1h valgrind --tool=callgrind BENCH --count FIGURE on 20
    Count {
        /// Part of the figure's name.
        figure: String,
        /// Weighed.
        on: bool,
        /// How many blocks.
        blocks: usize,
    },
}

impl Extent {
    /// Reads `--count FIGURE on|off BLOCKS`.
    #[must_use]
    pub fn counting(arguments: &[String]) -> Option<Self> {
        let at = arguments
            .iter()
            .position(|argument| argument == "--count")?;
        let [figure, state, blocks] = arguments.get(at + 1..at + 4)? else {
            return None;
        };
        Some(Self::Count {
            figure: figure.clone(),
            on: state == "on",
            blocks: blocks.parse().ok()?,
        })
    }

    /// True when nothing is to be reported.
    #[must_use]
    pub fn is_counting(&self) -> bool {
        matches!(self, Self::Count { .. })
    }

    /// How many pairs of a figure are to be measured; `None` when its blocks were counted or left out.
    ///
    /// # Errors
    /// The first error of a block.
    pub fn pairs_or_count<T, E>(
        &self,
        name: &str,
        mut block: impl FnMut(bool) -> Result<T, E>,
    ) -> Result<Option<usize>, E> {
        match self {
            Self::Pairs(pairs) => return Ok(Some(*pairs)),
            Self::Count { figure, on, blocks } if name.contains(figure.as_str()) => {
                for _ in 0..*blocks {
                    block(*on)?;
                }
            }
            Self::Count { .. } => {}
        }
        Ok(None)
    }
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
    fn counting_runs_blocks_of_one_figure_only() {
        let arguments = ["--quick", "--count", "consumed", "on", "3"].map(str::to_owned);
        let extent = Extent::counting(&arguments).unwrap();
        assert!(extent.is_counting());
        let mut blocks = Vec::new();
        for name in ["NATS, published", "NATS, consumed"] {
            let block = |on| {
                blocks.push((name, on));
                Ok::<_, ()>(())
            };
            assert_eq!(extent.pairs_or_count(name, block), Ok(None));
        }
        assert_eq!(blocks, [("NATS, consumed", true); 3]);
        assert_eq!(Extent::counting(&arguments[..4]), None);
        let all = Extent::Pairs(7).pairs_or_count("x", |_| Err::<(), ()>(()));
        assert_eq!(all, Ok(Some(7)));
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
