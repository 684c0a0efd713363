//! Growth of load: a trend over whole days, what weekdays do taken out.

use std::collections::BTreeMap;

use super::daily::{DAY_NS, as_f64_of};
use super::estimate::{Z, quantile};
use super::{Estimate, Model, ServiceFacts};
use crate::document::QualityWord;

/// Fewest whole days that tell a trend: below two of each weekday, what grows and what a weekday does are one.
pub(super) const DAYS_MIN: usize = 14;
/// Days in which weekdays come again.
const WEEK: u64 = 7;
/// Part of a day that must be covered for it to count as whole.
const WHOLE: f64 = 0.9;
/// Rounds in which levels and growth are found of each other: the change is of second order in the first already.
const ROUNDS: usize = 4;
/// Largest correlation of neighbouring days that the interval is widened for.
const CORRELATED_MAX: f64 = 0.9;

/// How load grows.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    /// In a day, as a share of the mean load.
    pub(crate) per_day: Estimate,
    /// Days from where the load is that mean to the end of the range.
    ahead_days: f64,
}

impl Trend {
    /// Load so many days after the end of the range, as a multiple of the load seen, never below 0.
    pub(crate) fn load_after(&self, days: f64) -> Estimate {
        let days = self.ahead_days + days;
        self.per_day
            .clone()
            .map(|share| (1.0 + share * days).max(0.0))
            .of_quality(QualityWord::Estimated)
    }
}

impl Model {
    /// Growth of the CPU of services together.
    ///
    /// # Errors
    /// Why it is not known.
    pub(crate) fn trend<'a>(
        &self,
        services: impl Iterator<Item = &'a ServiceFacts>,
    ) -> Result<Trend, String> {
        let whole: BTreeMap<u64, f64> = self
            .rollup
            .day_ns
            .iter()
            .map(|(day, ns)| (*day, as_f64_of(*ns)))
            .filter(|(_, ns)| *ns >= WHOLE * as_f64_of(DAY_NS))
            .collect();
        if whole.len() < DAYS_MIN {
            return Err(format!(
                "fewer than {DAYS_MIN} whole days (UTC) were seen: what grows and what a weekday does are not told apart"
            ));
        }
        let known: Vec<&BTreeMap<u64, f64>> = services
            .filter_map(|service| service.daily.cpu_ns())
            .collect();
        let cores: Vec<(u64, f64)> = whole
            .iter()
            .map(|(day, covered)| {
                let sum: f64 = known.iter().filter_map(|days| days.get(day)).sum();
                (*day, sum / covered)
            })
            .collect();
        if cores.iter().all(|(_, cores)| *cores <= 0.0) {
            return Err("there is no load on whole days".to_owned());
        }
        let end = as_f64_of(self.rollup.seen.end_unix_ns) / as_f64_of(DAY_NS);
        // A day stands at its middle.
        let middle = mean(cores.iter().map(|(day, _)| as_f64_of(*day))) + 0.5;
        let per_day = growth(&cores, self.sampler.draws(), self.rollup.seed)
            .ok_or("too few weekdays were seen twice for a trend with an interval")?;
        Ok(Trend {
            per_day,
            ahead_days: (end - middle).max(0.0),
        })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// Growth in a day as a share of the mean: each day as a multiple of its weekday's level, and of these the median slope
/// over all pairs of days of one weekday (Hirsch, Slack & Smith 1982, the seasonal form of Theil 1950 and Sen 1968). Its
/// spread is that of the ranks of these slopes under Kendall's statistic (Sen 1968; Gilbert 1987, §16.4.2), widened where
/// neighbouring days resemble each other (Bayley & Hammersley 1946). `None` where so few pairs have no interval of 90 %.
fn growth(series: &[(u64, f64)], draws: usize, seed: u64) -> Option<Estimate> {
    let middle = mean(series.iter().map(|(day, _)| as_f64_of(*day)));
    let mut weekdays: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for (day, value) in series {
        let of = weekdays.entry(day % WEEK).or_default();
        of.push((as_f64_of(*day) - middle, *value));
    }
    // A weekday on which nothing ever runs has no level, and no growth.
    weekdays.retain(|_, days| mean(days.iter().map(|(_, y)| *y)) > 0.0);
    let mut shares = Vec::new();
    let mut point = 0.0;
    // The days of a weekday lie about another middle than all: its level there is known once the growth is.
    for _ in 0..ROUNDS {
        shares = slopes(&weekdays, point);
        point = quantile(&shares, 0.5)?;
    }
    let mut variance = 0.0;
    for days in weekdays.values() {
        #[allow(clippy::cast_precision_loss)]
        let n = days.len() as f64;
        variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let middle_rank = (shares.len() as f64 + 1.0) / 2.0;
    let deviation = libm::sqrt(variance);
    // The sum of signs changes by 2 from one rank to the next.
    let rank = |z: f64| middle_rank + (z * deviation + z.signum()) / 2.0;
    if rank(-Z) < 1.0 {
        return None;
    }
    let wider = libm::sqrt(correlated(&weekdays, point));
    Some(Estimate::of_normal(point, draws, seed ^ 0x7265_6e64, |z| {
        point + (at_rank(&shares, rank(z)) - point) * wider
    }))
}

/// A weekday's level in the middle of the range, by its mean and a growth.
fn level(days: &[(f64, f64)], growth: f64) -> f64 {
    let (t, y) = (
        mean(days.iter().map(|(t, _)| *t)),
        mean(days.iter().map(|(_, y)| *y)),
    );
    // Where a growth takes the level below what is left of it, the mean is the better guess.
    y / (1.0 + growth * t).max(0.1)
}

/// Slopes of all pairs of days of one weekday, as shares of its level; ascending.
fn slopes(weekdays: &BTreeMap<u64, Vec<(f64, f64)>>, growth: f64) -> Vec<f64> {
    let mut slopes = Vec::new();
    for days in weekdays.values() {
        let level = level(days, growth);
        for (at, (t, y)) in days.iter().enumerate() {
            let pairs = days[at + 1..].iter();
            slopes.extend(pairs.map(|(s, z)| (z - y) / (s - t) / level));
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// Variance of a mean of such days ÷ that of independent ones, by the correlation of neighbours beside trend and
/// weekday.
fn correlated(weekdays: &BTreeMap<u64, Vec<(f64, f64)>>, growth: f64) -> f64 {
    let mut left: Vec<(f64, f64)> = Vec::new();
    for days in weekdays.values() {
        let level = level(days, growth);
        let off = |(t, y): &(f64, f64)| y / level - growth * t;
        let usual = mean(days.iter().map(off));
        left.extend(days.iter().map(|day| (day.0, off(day) - usual)));
    }
    left.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = left.iter().map(|(_, e)| e * e).sum();
    let next: f64 = left
        .windows(2)
        .filter(|pair| pair[1].0 - pair[0].0 < 1.5)
        .map(|pair| pair[0].1 * pair[1].1)
        .sum();
    let r = if all > 0.0 { next / all } else { 0.0 };
    let r = r.clamp(0.0, CORRELATED_MAX);
    (1.0 + r) / (1.0 - r)
}

/// The value at a rank from 1, between two by the straight line.
fn at_rank(ascending: &[f64], rank: f64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let last = ascending.len() as f64;
    let rank = rank.clamp(1.0, last);
    let below = libm::floor(rank);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = below as usize - 1;
    let low = ascending[at];
    let high = ascending.get(at + 1).copied().unwrap_or(low);
    low + (high - low) * (rank - below)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    /// So many days from a Thursday on: 100 and `more` each day, half of it at the weekend, and noise (in percent of 100) of
    /// which each day keeps a part from the day before. With the growth as a share of the middle.
    fn days(count: u64, more: f64, noise: f64, kept: f64, seed: u64) -> (Vec<(u64, f64)>, f64) {
        let mut rng = SplitMix64::new(seed);
        let mut off = rng.normal();
        let series = (0..count)
            .map(|day| {
                let weekday = if [2, 3].contains(&(day % 7)) {
                    0.5
                } else {
                    1.0
                };
                off = kept * off + libm::sqrt(1.0 - kept * kept) * rng.normal();
                (day, weekday * (100.0 + more * day as f64 + noise * off))
            })
            .collect();
        (series, more / (100.0 + more * (count - 1) as f64 / 2.0))
    }

    #[test]
    fn a_weekday_pattern_is_no_growth() {
        // From a weekend to a working day: the straight line through all days rises.
        for count in 14..40 {
            for more in [-0.5, 0.0, 2.0] {
                let (series, want) = days(count, more, 0.0, 0.0, 1);
                let found = growth(&series, 200, 1).unwrap();
                assert!(
                    (found.point - want).abs() < 1e-4,
                    "{count}: {} {want}",
                    found.point
                );
                let (low, high) = found.interval().unwrap();
                assert!(high - low < 1e-3, "{low} {high}");
            }
        }
    }

    #[test]
    fn intervals_of_growth_cover_the_truth_about_nine_times_in_ten() {
        let cases = [
            (14, 0.0, 0.85),
            (28, 0.0, 0.85),
            (90, 0.0, 0.85),
            (56, 0.5, 0.8),
        ];
        for (count, kept, least) in cases {
            let runs = 300;
            let held = (0..runs)
                .filter(|seed| {
                    let (series, want) = days(count, 1.0, 10.0, kept, *seed);
                    let found = growth(&series, 200, *seed).unwrap();
                    let (low, high) = found.interval().unwrap();
                    low <= want && want <= high
                })
                .count();
            let share = held as f64 / runs as f64;
            assert!(
                (least..=0.98).contains(&share),
                "{count} days, {kept}: {share}"
            );
        }
    }

    #[test]
    fn one_wild_day_does_not_turn_the_trend() {
        let (mut series, want) = days(28, 1.0, 1.0, 0.0, 3);
        series[25].1 *= 5.0;
        let found = growth(&series, 200, 3).unwrap().point;
        assert!((found / want - 1.0).abs() < 0.2, "{found} {want}");
    }

    #[test]
    fn weekdays_that_come_once_tell_nothing() {
        let (mut series, _) = days(60, 1.0, 0.0, 0.0, 1);
        series.retain(|(day, _)| [0, 1, 2, 3, 4, 5, 6, 7, 8, 30, 34].contains(day));
        assert!(growth(&series, 200, 1).is_none());
    }
}
