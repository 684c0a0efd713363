//! Figures that carry their own uncertainty.

use super::Amounts;
use super::tally::Tally;
use crate::document::{Figure, FigureUnit, QualityShare, QualityWord};
use crate::rng::{SplitMix64, seed_of};

/// How many resampled ranges are drawn.
const DRAWS: usize = 200;
/// Fewest slots from which a range is resampled.
const SLOTS_MIN: u32 = 8;
/// Share of draws left out at each end: a 90 % interval.
const TAIL: f64 = 0.05;

/// Resampled ranges, shared by all figures of a document: the same draw means the same windows
/// everywhere, so differences and ratios of figures get honest intervals.
///
/// Circular block bootstrap (Politis & Romano 1992), block length ⌈n^⅓⌉, so that windows which resemble
/// their neighbours are drawn together.
#[derive(Clone, Debug)]
pub(crate) struct Resampler {
    /// For each draw, how often each slot was drawn.
    weights: Vec<Vec<u32>>,
    /// The same for each slot, over all draws: sums are made slot by slot, for all draws at once.
    /// Signed, which processors turn into floats several at a time.
    by_slot: Vec<[i32; DRAWS]>,
    slots: u32,
}

impl Resampler {
    pub(crate) fn new(slots: u32, seed: u64) -> Self {
        if slots < SLOTS_MIN {
            return Self {
                weights: Vec::new(),
                by_slot: Vec::new(),
                slots,
            };
        }
        let block = (1..=slots)
            .find(|l| l.saturating_pow(3) >= slots)
            .unwrap_or(1);
        let mut rng = SplitMix64::new(seed);
        let weights: Vec<Vec<u32>> = (0..DRAWS)
            .map(|_| {
                let mut weight = vec![0u32; slots as usize];
                let mut drawn = 0;
                while drawn < slots {
                    let start = rng.below(slots);
                    let take = block.min(slots - drawn);
                    for offset in 0..take {
                        weight[((start + offset) % slots) as usize] += 1;
                    }
                    drawn += take;
                }
                weight
            })
            .collect();
        let mut by_slot = vec![[0; DRAWS]; slots as usize];
        for (draw, weight) in weights.iter().enumerate() {
            for (slot, times) in by_slot.iter_mut().zip(weight) {
                slot[draw] = i32::try_from(*times).unwrap_or(i32::MAX);
            }
        }
        Self {
            weights,
            by_slot,
            slots,
        }
    }

    /// How many resampled ranges were drawn; 0 when there are too few slots.
    pub(crate) fn draws(&self) -> usize {
        self.weights.len()
    }

    /// A function of how often each slot counts, in every draw; estimated. `None` when it has no value over the
    /// range as it is.
    pub(crate) fn over_slots(&self, f: impl Fn(&[u32]) -> Option<f64>) -> Option<Estimate> {
        let point = f(&vec![1; self.slots as usize]).filter(|x| x.is_finite())?;
        if self.weights.is_empty() {
            let reason = format!(
                "{} windows; an interval needs at least {SLOTS_MIN}",
                self.slots
            );
            return Some(Estimate::without_interval(
                point,
                QualityWord::Estimated,
                &reason,
            ));
        }
        let draws = self
            .weights
            .iter()
            .map(|weight| f(weight).unwrap_or(f64::NAN))
            .collect();
        Some(Estimate::of_draws(point, draws))
    }

    /// A sum over the range, with its spread over resampled ranges.
    pub(crate) fn estimate(&self, tally: &Tally) -> Estimate {
        let mut quality = Amounts::default();
        for (word, amount) in tally.by_quality.iter() {
            *quality.entry(word) = as_f64(amount);
        }
        let draws = if self.weights.is_empty() {
            Draws::None(format!(
                "{} windows; an interval needs at least {SLOTS_MIN}",
                self.slots
            ))
        } else {
            let unsure = Unsure::of(tally);
            let mut sums = [0.0; DRAWS];
            for (slot, value) in tally.slots() {
                let value = as_f64(*value);
                // A slot beyond the range was drawn by none.
                if let Some(times) = self.by_slot.get(*slot as usize) {
                    for (sum, times) in sums.iter_mut().zip(times) {
                        *sum += value * f64::from(*times);
                    }
                }
            }
            let sums = sums.iter().enumerate();
            Draws::Some(sums.map(|(draw, sum)| sum * unsure.factor(draw)).collect())
        };
        Estimate {
            point: as_f64(tally.total),
            draws,
            quality,
        }
    }
}

/// How far an estimated amount may be off beside its spread over windows, for the share of the amount that is estimated:
/// between the bounds that its rows carry, in nine cases of ten. Where they carry none, by a factor between 1 ÷ 1.5 and 1.5:
/// an assumption, like the estimate itself, since windows cannot tell it; they all share it.
struct Unsure {
    share: f64,
    /// 5th and 95th percentile of what the amount is ÷ what is estimated, where rows tell them.
    bounds: Option<(f64, f64)>,
    seed: u64,
}

/// Half of the 90 % interval of an estimated amount, as a factor.
const ESTIMATED_FACTOR: f64 = 1.5;
/// Two-sided 90 % quantile of the normal distribution.
pub(crate) const Z: f64 = 1.644_853_626_951_472_2;

impl Unsure {
    fn of(tally: &Tally) -> Self {
        let all: i64 = tally.by_quality.iter().map(|(_, amount)| amount).sum();
        let estimated = tally.by_quality.get(QualityWord::Estimated).unwrap_or(0);
        let share = if all > 0 {
            as_f64(estimated) / as_f64(all)
        } else {
            0.0
        };
        // The same amount is off by the same factor wherever it is read.
        let words = tally.slots().iter();
        let seed = seed_of(
            0,
            words.map(|(slot, value)| u64::from(*slot) ^ value.cast_unsigned()),
        );
        let told = tally.bounds;
        let bounds = (estimated > 0 && told.estimated > 0).then(|| {
            let all = as_f64(estimated);
            // What has no bounds among what has some is as unsure as everywhere.
            let others = as_f64((estimated - told.estimated).max(0));
            (
                ((as_f64(told.low) + others / ESTIMATED_FACTOR) / all).min(1.0),
                ((as_f64(told.high) + others * ESTIMATED_FACTOR) / all).max(1.0),
            )
        });
        Self {
            share,
            bounds,
            seed,
        }
    }

    fn factor(&self, draw: usize) -> f64 {
        if self.share <= 0.0 {
            return 1.0;
        }
        let draw = u64::try_from(draw).unwrap_or(u64::MAX);
        let mut rng = SplitMix64::new(self.seed.wrapping_add(draw.wrapping_mul(0x9E37_79B9)));
        let z = rng.normal() / Z;
        let off = match self.bounds {
            // Two halves of normal distributions that meet at the estimate; less than nothing it cannot be.
            Some((low, _)) if z < 0.0 => (1.0 + z * (1.0 - low)).max(0.0),
            Some((_, high)) => 1.0 + z * (high - 1.0),
            None => libm::exp(z * libm::log(ESTIMATED_FACTOR)),
        };
        1.0 + self.share * (off - 1.0)
    }
}

#[derive(Clone, Debug)]
enum Draws {
    /// A constant: no spread.
    Exact,
    /// There is a spread, but it is not known; why.
    None(String),
    /// One value per draw.
    Some(Vec<f64>),
}

/// A number with its spread and how it came about.
#[derive(Clone, Debug)]
pub(crate) struct Estimate {
    pub(crate) point: f64,
    draws: Draws,
    quality: Amounts<f64>,
}

impl Estimate {
    /// A number without spread.
    pub(crate) fn exact(point: f64, quality: QualityWord) -> Self {
        Self {
            point,
            draws: Draws::Exact,
            quality: Amounts::one(quality, point.abs()),
        }
    }

    /// A number whose spread is not known.
    pub(crate) fn without_interval(point: f64, quality: QualityWord, reason: &str) -> Self {
        Self {
            point,
            draws: Draws::None(reason.to_owned()),
            quality: Amounts::one(quality, point.abs()),
        }
    }

    /// A number with a value in every draw; estimated.
    pub(crate) fn of_draws(point: f64, draws: Vec<f64>) -> Self {
        Self {
            point,
            draws: Draws::Some(draws),
            quality: Amounts::one(QualityWord::Estimated, point.abs()),
        }
    }

    /// The number in one draw; the number itself where it has no spread.
    pub(crate) fn draw(&self, draw: usize) -> f64 {
        match &self.draws {
            Draws::Some(draws) => draws.get(draw).copied().unwrap_or(self.point),
            Draws::Exact | Draws::None(_) => self.point,
        }
    }

    /// Nothing, exactly: the neutral element of [`plus`](Self::plus).
    pub(crate) fn zero() -> Self {
        Self {
            point: 0.0,
            draws: Draws::Exact,
            quality: Amounts::default(),
        }
    }

    /// Applies `f` to the number in every draw.
    pub(crate) fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.point = f(self.point);
        if let Draws::Some(draws) = &mut self.draws {
            draws.iter_mut().for_each(|draw| *draw = f(*draw));
        }
        self
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> (f64, Draws) {
        let draws = match (&self.draws, &other.draws) {
            (Draws::None(reason), _) | (_, Draws::None(reason)) => Draws::None(reason.clone()),
            (Draws::Exact, Draws::Exact) => Draws::Exact,
            (Draws::Some(a), Draws::Exact) => {
                Draws::Some(a.iter().map(|a| f(*a, other.point)).collect())
            }
            (Draws::Exact, Draws::Some(b)) => {
                Draws::Some(b.iter().map(|b| f(self.point, *b)).collect())
            }
            (Draws::Some(a), Draws::Some(b)) => {
                Draws::Some(a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect())
            }
        };
        (f(self.point, other.point), draws)
    }

    /// Sum; qualities add by amount.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let (point, draws) = self.zip(other, |a, b| a + b);
        let mut quality = self.quality;
        for (word, amount) in other.quality.iter() {
            *quality.entry(word) += amount;
        }
        Self {
            point,
            draws,
            quality,
        }
    }

    /// Difference; qualities add by amount.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.plus(&other.clone().map(|x| -x))
    }

    /// Product; the quality is that of `self`.
    pub(crate) fn times(&self, other: &Self) -> Self {
        let (point, draws) = self.zip(other, |a, b| a * b);
        Self {
            point,
            draws,
            quality: self.quality,
        }
    }

    /// Product with a constant.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        self.clone().map(|x| x * factor)
    }

    /// Quotient; the quality is that of `self`. `None` when the divisor is 0 (or negative).
    pub(crate) fn over(&self, divisor: &Self) -> Option<Self> {
        if divisor.point <= 0.0 {
            return None;
        }
        let (point, draws) = self.zip(divisor, |a, b| if b > 0.0 { a / b } else { f64::NAN });
        point.is_finite().then_some(Self {
            point,
            draws,
            quality: self.quality,
        })
    }

    /// A function of several figures in every draw; estimated. `None` when it has no value at the point.
    pub(crate) fn combine(inputs: &[&Self], f: impl Fn(&[f64]) -> Option<f64>) -> Option<Self> {
        let points: Vec<f64> = inputs.iter().map(|input| input.point).collect();
        let point = f(&points).filter(|x| x.is_finite())?;
        let mut length = None;
        for input in inputs {
            match &input.draws {
                Draws::None(reason) => {
                    return Some(Self::without_interval(
                        point,
                        QualityWord::Estimated,
                        reason,
                    ));
                }
                Draws::Some(draws) => length = Some(draws.len()),
                Draws::Exact => {}
            }
        }
        let draws = match length {
            None => Draws::Exact,
            Some(length) => Draws::Some(
                (0..length)
                    .map(|at| {
                        let draw: Vec<f64> = inputs
                            .iter()
                            .map(|input| match &input.draws {
                                Draws::Some(draws) => draws.get(at).copied().unwrap_or(f64::NAN),
                                _ => input.point,
                            })
                            .collect();
                        f(&draw).unwrap_or(f64::NAN)
                    })
                    .collect(),
            ),
        };
        Some(Self {
            point,
            draws,
            quality: Amounts::one(QualityWord::Estimated, point.abs()),
        })
    }

    /// The same number, said to be of one quality.
    pub(crate) fn of_quality(mut self, quality: QualityWord) -> Self {
        self.quality = Amounts::one(quality, self.point.abs().max(f64::MIN_POSITIVE));
        self
    }

    /// Why its spread is not known, when it is not.
    pub(crate) fn spread_unknown(&self) -> Option<&str> {
        match &self.draws {
            Draws::None(reason) => Some(reason),
            Draws::Exact | Draws::Some(_) => None,
        }
    }

    /// Lower and upper end of the 90 % interval, when there is one.
    pub(crate) fn interval(&self) -> Result<(f64, f64), Option<String>> {
        match &self.draws {
            Draws::Exact => Err(None),
            Draws::None(reason) => Err(Some(reason.clone())),
            Draws::Some(draws) => {
                let mut finite: Vec<f64> = draws
                    .iter()
                    .copied()
                    .filter(|draw| draw.is_finite())
                    .collect();
                if finite.len() * 10 < draws.len() * 9 {
                    return Err(Some(
                        "too rare: many resampled ranges do not hold it".to_owned(),
                    ));
                }
                let low = quantile_unsorted(&mut finite, TAIL);
                let high = quantile_unsorted(&mut finite, 1.0 - TAIL);
                match (low, high) {
                    // The point may lie a hair outside when a figure hardly varies.
                    (Some(low), Some(high)) => Ok((low.min(self.point), high.max(self.point))),
                    _ => Err(Some("no finite draw".to_owned())),
                }
            }
        }
    }

    /// The lower end of the interval; the number itself when it is exact; `None` when there is no interval.
    pub(crate) fn low(&self) -> Option<f64> {
        match self.interval() {
            Ok((low, _)) => Some(low),
            Err(None) => Some(self.point),
            Err(Some(_)) => None,
        }
    }

    /// The upper end, as [`low`](Self::low).
    pub(crate) fn high(&self) -> Option<f64> {
        match self.interval() {
            Ok((_, high)) => Some(high),
            Err(None) => Some(self.point),
            Err(Some(_)) => None,
        }
    }

    /// As a figure of the document.
    pub(crate) fn figure(&self, unit: FigureUnit) -> Figure {
        if !self.point.is_finite() {
            return Figure::unknown(unit, "not a finite number");
        }
        let (low, high, reason) = match self.interval() {
            Ok((low, high)) => (Some(low), Some(high), None),
            Err(reason) => (None, None, reason),
        };
        Figure {
            value: Some(self.point),
            low,
            high,
            interval_absent_reason: reason,
            unknown_reason: None,
            unit,
            quality: shares(&self.quality),
        }
    }
}

/// Shares of amounts, largest first. An amount of nothing counts as wholly of its quality.
pub(crate) fn shares(amounts: &Amounts<f64>) -> Vec<QualityShare> {
    let total: f64 = amounts.iter().map(|(_, amount)| amount).sum();
    let mut shares: Vec<QualityShare> = if total > 0.0 {
        amounts
            .iter()
            .filter(|(_, amount)| *amount > 0.0)
            .map(|(quality, amount)| QualityShare {
                quality,
                share: amount / total,
            })
            .collect()
    } else {
        amounts
            .iter()
            .take(1)
            .map(|(quality, _)| QualityShare {
                quality,
                share: 1.0,
            })
            .collect()
    };
    shares.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.quality.cmp(&b.quality)));
    shares
}

/// Quantile of sorted numbers by linear interpolation.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[allow(clippy::cast_precision_loss)]
    let position = q * last as f64;
    let below = libm::floor(position);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = below as usize;
    let a = *sorted.get(at)?;
    let b = *sorted.get((at + 1).min(last))?;
    Some(a + (b - a) * (position - below))
}

/// The same of numbers in any order, which it changes: two of them are wanted, so sorting all is too much.
fn quantile_unsorted(numbers: &mut [f64], q: f64) -> Option<f64> {
    let last = numbers.len().checked_sub(1)?;
    #[allow(clippy::cast_precision_loss)]
    let position = q * last as f64;
    let below = libm::floor(position);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (_, a, above) = numbers.select_nth_unstable_by(below as usize, f64::total_cmp);
    let a = *a;
    let b = above.iter().copied().min_by(f64::total_cmp).unwrap_or(a);
    Some(a + (b - a) * (position - below))
}

/// Counts and nanoseconds are at most 2⁵³ a row; sums beyond that lose less than 1 in 10¹⁵.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn as_f64(value: i64) -> f64 {
    value as f64
}

impl Figure {
    /// A figure that is not known, and why.
    #[must_use]
    pub fn unknown(unit: FigureUnit, reason: &str) -> Self {
        Self {
            value: None,
            low: None,
            high: None,
            interval_absent_reason: None,
            unknown_reason: Some(reason.to_owned()),
            unit,
            quality: Vec::new(),
        }
    }

    /// A figure without spread. One that is not finite becomes unknown.
    #[must_use]
    pub fn exact(value: f64, unit: FigureUnit, quality: QualityWord) -> Self {
        Estimate::exact(value, quality).figure(unit)
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{Quality, RowValue, column};

    use super::super::tally::Sums;
    use super::*;

    fn series(values: &[i64]) -> Tally {
        let mut sums = Sums::default();
        for (slot, value) in (0u32..).zip(values) {
            let row = RowValue::new().with(column::ENDED, *value);
            sums.add(slot, Quality::Measured, &row);
        }
        sums.get(column::ENDED).unwrap().clone()
    }

    #[test]
    fn a_steady_series_has_a_narrow_interval_around_its_sum() {
        let sampler = Resampler::new(40, 7);
        let estimate = sampler.estimate(&series(&[100; 40]));
        assert_eq!(estimate.interval(), Ok((4000.0, 4000.0)));
    }

    /// Coverage: the interval of a mean holds the true mean about nine times in ten.
    #[test]
    fn intervals_cover_the_truth_about_nine_times_in_ten() {
        let mut rng = SplitMix64::new(3);
        let (mut inside, runs) = (0, 400);
        for run in 0..runs {
            let values: Vec<i64> = (0..60).map(|_| i64::from(rng.below(201))).collect();
            let estimate = Resampler::new(60, run).estimate(&series(&values));
            let (low, high) = estimate.interval().unwrap();
            if low <= 6000.0 && 6000.0 <= high {
                inside += 1;
            }
        }
        let share = f64::from(inside) / f64::from(u32::try_from(runs).unwrap());
        assert!((0.80..=0.97).contains(&share), "{share}");
    }

    /// What was estimated and not weighed has an interval of its own, however steady its windows are.
    #[test]
    fn an_estimated_amount_is_less_sure_than_a_measured_one() {
        let sampler = Resampler::new(40, 7);
        let of = |quality| {
            let mut sums = Sums::default();
            for slot in 0..40 {
                sums.add(slot, quality, &RowValue::new().with(column::ENDED, 100));
            }
            let estimate = sampler.estimate(sums.get(column::ENDED).unwrap());
            estimate.interval().unwrap()
        };
        assert_eq!(of(Quality::Measured), (4000.0, 4000.0));
        let (low, high) = of(Quality::Estimated);
        assert!((0.6..0.75).contains(&(low / 4000.0)), "{low}");
        assert!((1.35..1.65).contains(&(high / 4000.0)), "{high}");
    }

    #[test]
    fn common_draws_make_a_ratio_of_like_series_exact() {
        let sampler = Resampler::new(50, 7);
        let requests: Vec<i64> = (0..50).map(|i| 10 + (i % 7)).collect();
        let cpu: Vec<i64> = requests.iter().map(|n| n * 300).collect();
        let unit = sampler
            .estimate(&series(&cpu))
            .over(&sampler.estimate(&series(&requests)));
        let (low, high) = unit.unwrap().interval().unwrap();
        assert!((low - 300.0).abs() < 1e-9 && (high - 300.0).abs() < 1e-9);
    }

    #[test]
    fn few_windows_have_no_interval_and_say_so() {
        let estimate = Resampler::new(3, 7).estimate(&series(&[1, 2, 3]));
        let figure = estimate.figure(FigureUnit::Count);
        assert_eq!(figure.value, Some(6.0));
        assert_eq!(figure.low, None);
        assert!(figure.interval_absent_reason.unwrap().contains("3 windows"));
    }

    #[test]
    fn a_quantile_is_the_same_in_whatever_order_numbers_come() {
        let mut rng = SplitMix64::new(5);
        for count in [1u32, 2, 7, 200] {
            let mixed: Vec<f64> = (0..count).map(|_| rng.normal()).collect();
            let mut sorted = mixed.clone();
            sorted.sort_by(f64::total_cmp);
            for q in [0.0, TAIL, 0.5, 1.0 - TAIL, 1.0] {
                let found = quantile_unsorted(&mut mixed.clone(), q);
                assert_eq!(found, quantile(&sorted, q), "{q} of {count}");
            }
        }
        assert_eq!(quantile_unsorted(&mut [], 0.5), None);
    }

    #[test]
    fn dividing_by_nothing_is_unknown() {
        let sampler = Resampler::new(10, 7);
        let zero = sampler.estimate(&series(&[0; 10]));
        assert!(zero.over(&zero).is_none());
        assert!(
            Estimate::exact(1.0, QualityWord::Measured)
                .over(&zero)
                .is_none()
        );
    }

    #[test]
    fn a_rare_event_has_no_interval() {
        let sampler = Resampler::new(40, 7);
        let mut ended = [0i64; 40];
        ended[3] = 1;
        let rare = sampler.estimate(&series(&ended));
        let unit = sampler.estimate(&series(&[5; 40])).over(&rare).unwrap();
        assert!(matches!(unit.interval(), Err(Some(reason)) if reason.contains("rare")));
    }

    #[test]
    fn shares_of_quality_sum_to_one() {
        let a = Estimate::exact(3.0, QualityWord::Measured);
        let b = Estimate::exact(1.0, QualityWord::Estimated);
        let figure = a.plus(&b).figure(FigureUnit::Count);
        assert_eq!(
            figure.quality[0],
            QualityShare {
                quality: QualityWord::Measured,
                share: 0.75
            }
        );
        assert_eq!(figure.quality[1].share, 0.25);
    }
}
