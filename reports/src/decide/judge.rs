//! How sure a gain is: Monte Carlo over resampled ranges and assumptions, corrected for picking the best of many.

use crate::Options;
use crate::document::{Figure, FigureUnit, Judgement, QualityWord, Turn, Verdict};
use crate::model::{Estimate, Z, quantile};
use crate::rng::{SplitMix64, seed_of};

/// Most candidates that are judged; those with the largest gains.
pub(crate) const SHORTLIST_MAX: usize = 20;
/// Fewest draws of a judgement: every resampled range is used as often as it takes, each time with new assumptions.
const DRAWS_MIN: usize = 1_000;
/// Share of the draws in which the objective must improve for `do`.
pub(crate) const SURE_MIN: f64 = 0.95;
/// How far the assumed cost of a call inside a process may be off, either way.
const LOCAL_CALL_FACTOR: f64 = 4.0;
/// The input that is an assumption.
const LOCAL_CALL: &str = "a call inside the process";
/// Inputs that are shown.
const TURNS_MAX: usize = 6;

/// What a candidate's gain is made of.
pub(crate) struct Stake {
    pub(crate) objective: String,
    pub(crate) unit: FigureUnit,
    pub(crate) inputs: Vec<Input>,
    /// The gain from the inputs, in their order.
    pub(crate) gain: Function,
    /// What cost falls by, cores and memory at their prices; the gain itself when absent, where memory stays as it is.
    pub(crate) cost: Option<Function>,
}

/// A figure computed from the inputs of a stake. `None` where it has no value.
pub(crate) type Function = Box<dyn Fn(&[f64]) -> Option<f64>>;

/// A figure that a gain hangs on.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) unit: FigureUnit,
    pub(crate) value: Value,
}

/// How it is known.
pub(crate) enum Value {
    Weighed(Estimate),
    /// Not weighed: off by this factor either way in nine cases of ten.
    Assumed {
        point: f64,
        factor: f64,
    },
}

impl Input {
    pub(crate) fn weighed(name: impl Into<String>, unit: FigureUnit, value: &Estimate) -> Self {
        Self {
            name: name.into(),
            unit,
            value: Value::Weighed(value.clone()),
        }
    }

    /// What a call inside a process costs, ns.
    pub(crate) fn local_call(options: &Options) -> Self {
        Self {
            name: LOCAL_CALL.to_owned(),
            unit: FigureUnit::NsPerCall,
            value: Value::Assumed {
                point: options.local_call_ns,
                factor: LOCAL_CALL_FACTOR,
            },
        }
    }

    fn point(&self) -> f64 {
        match &self.value {
            Value::Weighed(estimate) => estimate.point,
            Value::Assumed { point, .. } => *point,
        }
    }

    fn draw(&self, range: usize, normal: f64) -> f64 {
        match &self.value {
            Value::Weighed(estimate) => estimate.draw(range),
            Value::Assumed { point, factor } => point * libm::exp(normal * libm::log(*factor) / Z),
        }
    }

    fn ends(&self) -> (f64, f64) {
        match &self.value {
            Value::Weighed(estimate) => (
                estimate.low().unwrap_or(estimate.point),
                estimate.high().unwrap_or(estimate.point),
            ),
            Value::Assumed { point, factor } => (point / factor, point * factor),
        }
    }
}

/// Gains of one stake.
struct Drawn {
    point: f64,
    gains: Vec<f64>,
    costs: Vec<f64>,
}

/// Judges stakes on common draws: `ranges` of them are resampled, `seed` is the rollup's. `candidates` is how many
/// were looked at, on the shortlist or not. `None` where an input has no spread, or the gain no value.
pub(crate) fn judge(
    stakes: &[&Stake],
    candidates: usize,
    ranges: usize,
    seed: u64,
) -> Vec<Option<Judged>> {
    let luck = best_of(candidates);
    stakes
        .iter()
        .map(|stake| {
            let drawn = draw(stake, ranges, seed)?;
            Some(judgement(stake, &drawn, candidates, luck))
        })
        .collect()
}

fn draw(stake: &Stake, ranges: usize, seed: u64) -> Option<Drawn> {
    let unknown = stake.inputs.iter().any(|input| match &input.value {
        Value::Weighed(estimate) => estimate.spread_unknown().is_some(),
        Value::Assumed { .. } => false,
    });
    if ranges == 0 || unknown {
        return None;
    }
    let points: Vec<f64> = stake.inputs.iter().map(Input::point).collect();
    let point = (stake.gain)(&points).filter(|x| x.is_finite())?;
    let times = DRAWS_MIN.div_ceil(ranges);
    let (mut gains, mut costs) = (Vec::new(), Vec::new());
    for round in 0..times {
        for range in 0..ranges {
            let values: Vec<f64> = stake
                .inputs
                .iter()
                .map(|input| input.draw(range, assumed(seed, &input.name, round, range)))
                .collect();
            let Some(gain) = (stake.gain)(&values).filter(|x| x.is_finite()) else {
                continue;
            };
            let cost = match &stake.cost {
                Some(cost) => cost(&values).filter(|x| x.is_finite()),
                None => Some(gain),
            };
            if let Some(cost) = cost {
                gains.push(gain);
                costs.push(cost);
            }
        }
    }
    // A gain that most draws do not have is no gain to judge.
    (gains.len() * 10 >= times * ranges * 9).then_some(Drawn {
        point,
        gains,
        costs,
    })
}

/// The same assumption is off by the same factor in every candidate of a draw.
fn assumed(seed: u64, name: &str, round: usize, range: usize) -> f64 {
    let at = (round as u64) << 32 | range as u64;
    let seed = seed ^ at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    SplitMix64::new(seed_of(seed, name.bytes().map(u64::from))).normal()
}

fn judgement(stake: &Stake, drawn: &Drawn, candidates: usize, luck: f64) -> Judged {
    // Without variation over the draws there is no luck either.
    let less = luck * deviation(&drawn.gains);
    let corrected: Vec<f64> = drawn.gains.iter().map(|gain| gain - less).collect();
    let cost_less = luck * deviation(&drawn.costs);
    let costs: Vec<f64> = drawn.costs.iter().map(|cost| cost - cost_less).collect();
    let mut sorted = corrected.clone();
    sorted.sort_by(f64::total_cmp);
    let point = drawn.point - less;
    let (low, high) = (
        quantile(&sorted, 0.05).unwrap_or(point).min(point),
        quantile(&sorted, 0.95).unwrap_or(point).max(point),
    );
    let regret = |sign: f64| {
        mean(
            corrected.iter().map(|gain| (sign * gain).max(0.0)),
            corrected.len(),
        )
    };
    let judgement = Judgement {
        objective: stake.objective.clone(),
        draws: u32::try_from(corrected.len()).unwrap_or(u32::MAX),
        candidates: u32::try_from(candidates).unwrap_or(u32::MAX),
        gain_found: drawn.point,
        gain: Figure {
            low: Some(low),
            high: Some(high),
            interval_absent_reason: None,
            ..Figure::exact(point, stake.unit, QualityWord::Estimated)
        },
        improves: above_zero(&corrected),
        cost_falls: above_zero(&costs),
        slo_kept: None,
        slo_kept_absent_reason: Some("no service-level objective is given".to_owned()),
        regret: Figure::unknown(stake.unit, "no verdict yet"),
        turns: turns(stake),
        experiment: String::new(),
    };
    Judged {
        judgement,
        regret_done: regret(-1.0),
        regret_left: regret(1.0),
    }
}

/// A judgement before there is a verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    judgement: Judgement,
    /// What doing costs on average against the better of doing and leaving.
    regret_done: f64,
    /// What leaving does.
    regret_left: f64,
}

impl Judged {
    /// Share of the draws in which the objective improves.
    pub(crate) fn improves(&self) -> f64 {
        self.judgement.improves
    }

    /// Share of the draws in which cores and memory together cost less.
    pub(crate) fn cost_falls(&self) -> f64 {
        self.judgement.cost_falls
    }

    pub(crate) fn candidates(&self) -> u32 {
        self.judgement.candidates
    }

    /// Share of the draws in which objectives are kept, or why it is not known.
    pub(crate) fn with_slo(mut self, kept: Result<f64, String>) -> Self {
        (
            self.judgement.slo_kept,
            self.judgement.slo_kept_absent_reason,
        ) = match kept {
            Ok(share) => (Some(share), None),
            Err(reason) => (None, Some(reason)),
        };
        self
    }

    pub(crate) fn slo_kept(&self) -> Option<f64> {
        self.judgement.slo_kept
    }

    /// What would have to be known better: the input by which the gain moves most, and how it gets narrower.
    pub(crate) fn missing(&self) -> String {
        self.judgement.turns.first().map_or_else(String::new, |most| {
            if most.input == LOCAL_CALL {
                " Missing: what a call inside the process costs, which is assumed; time one in a build of both.".to_owned()
            } else {
                format!(
                    " Missing: a narrower figure of {}, by which the answer moves most; weigh for longer.",
                    most.input
                )
            }
        })
    }

    /// For the verdict that was come to.
    pub(crate) fn for_verdict(self, verdict: Verdict, first_step: &str) -> Judgement {
        let mut judgement = self.judgement;
        let regret = if matches!(verdict, Verdict::Do | Verdict::Try) {
            self.regret_done
        } else {
            self.regret_left
        };
        judgement.regret = Figure::exact(regret, judgement.regret.unit, QualityWord::Estimated);
        judgement.experiment = match judgement.turns.first() {
            Some(most) => format!("Most hangs on {}. {first_step}", most.input),
            None => first_step.to_owned(),
        };
        judgement
    }
}

fn turns(stake: &Stake) -> Vec<Turn> {
    let points: Vec<f64> = stake.inputs.iter().map(Input::point).collect();
    let at = |n: usize, value: f64| {
        let mut moved = points.clone();
        moved[n] = value;
        (stake.gain)(&moved).filter(|x| x.is_finite())
    };
    let mut turns: Vec<Turn> = stake
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(n, input)| {
            let (low, high) = input.ends();
            Some(Turn {
                input: input.name.clone(),
                unit: input.unit,
                point: input.point(),
                low,
                high,
                gain_at_low: at(n, low)?,
                gain_at_high: at(n, high)?,
                turns_at: turns_at(input.point(), |value| at(n, value)),
            })
        })
        .collect();
    let swing = |turn: &Turn| (turn.gain_at_high - turn.gain_at_low).abs();
    turns.sort_by(|a, b| {
        swing(b)
            .total_cmp(&swing(a))
            .then_with(|| a.input.cmp(&b.input))
    });
    turns.truncate(TURNS_MAX);
    turns
}

/// Where a gain changes its sign, by bisection between a thousandth and a thousand times the point.
fn turns_at(point: f64, gain: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    if !(point.is_finite() && point > 0.0) {
        return None;
    }
    let here = gain(point)?;
    for far in [point / 1_000.0, point * 1_000.0] {
        let Some(there) = gain(far) else { continue };
        if here * there < 0.0 {
            let (mut same, mut other) = (point, far);
            for _ in 0..60 {
                let middle = libm::sqrt(same * other);
                match gain(middle) {
                    Some(x) if x * here >= 0.0 => same = middle,
                    _ => other = middle,
                }
            }
            return Some(other);
        }
    }
    None
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let n = count.max(1) as f64;
    values.sum::<f64>() / n
}

fn deviation(values: &[f64]) -> f64 {
    let middle = mean(values.iter().copied(), values.len());
    let square = mean(
        values.iter().map(|x| (x - middle) * (x - middle)),
        values.len(),
    );
    libm::sqrt(square.max(0.0))
}

fn above_zero(values: &[f64]) -> f64 {
    mean(
        values.iter().map(|x| if *x > 0.0 { 1.0 } else { 0.0 }),
        values.len(),
    )
}

/// By how many standard deviations the best of `m` that are worth nothing looks better than nothing, on average:
/// `Φ⁻¹((m − 3/8) ÷ (m + 1/4))` (Blom 1958); 0 for one, 1.87 for twenty.
pub(crate) fn best_of(m: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let m = m.max(1) as f64;
    normal_quantile((m - 0.375) / (m + 0.25))
}

/// Inverse of the normal distribution, by bisection on the error function.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: usize = 200;

    /// A gain of `truth`, found with an error of one standard deviation of 1.
    fn found(rng: &mut SplitMix64, truth: f64) -> Stake {
        let point = truth + rng.normal();
        let draws = (0..RANGES).map(|_| point + rng.normal()).collect();
        stake(&Estimate::of_draws(point, draws))
    }

    fn stake(gain: &Estimate) -> Stake {
        Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![Input::weighed("the gain", FigureUnit::Cores, gain)],
            gain: Box::new(|x| x.first().copied()),
            cost: None,
        }
    }

    fn judged(stakes: &[Stake], candidates: usize) -> Vec<Judged> {
        let stakes: Vec<&Stake> = stakes.iter().collect();
        judge(&stakes, candidates, RANGES, 7)
            .into_iter()
            .map(Option::unwrap)
            .collect()
    }

    /// Exact: 0.5642, 1.5388 and 1.8675 (Harter 1961).
    #[test]
    fn the_best_of_many_that_are_worth_nothing_looks_good() {
        for (m, want) in [(1, 0.0), (2, 0.5642), (10, 1.5388), (20, 1.8675)] {
            assert!((best_of(m) - want).abs() < 0.03, "{m}: {}", best_of(m));
        }
    }

    /// Winner's curse: of twenty candidates worth nothing the best is believed in by nine looks of ten without the
    /// correction, and hardly ever with it; what is worth much is believed in all the same.
    #[test]
    fn picking_the_best_of_twenty_is_corrected_for() {
        let mut rng = SplitMix64::new(11);
        let (mut fooled, mut fooled_uncorrected, mut seen) = (0, 0, 0);
        for _ in 0..100 {
            let stakes: Vec<Stake> = (0..20).map(|_| found(&mut rng, 0.0)).collect();
            let sure = |judged: Vec<Judged>| judged.iter().any(|j| j.improves() >= SURE_MIN);
            fooled_uncorrected += u32::from(sure(judged(&stakes, 1)));
            fooled += u32::from(sure(judged(&stakes, 20)));
            let good = [found(&mut rng, 6.0)];
            seen += u32::from(sure(judged(&good, 20)));
        }
        assert!(fooled_uncorrected > 50, "{fooled_uncorrected} of 100");
        assert!(fooled <= 5, "{fooled} of 100");
        assert!(seen >= 95, "{seen} of 100");
    }

    /// Common random numbers: what two candidates have in common is the same in every draw of both, in whatever order
    /// they name it, so their difference is free of it.
    #[test]
    fn candidates_that_differ_by_a_constant_differ_by_it_in_every_draw() {
        let mut rng = SplitMix64::new(5);
        let saved: Vec<f64> = (0..RANGES).map(|_| 3.0 + rng.normal()).collect();
        let saved = Estimate::of_draws(3.0, saved);
        let with = |more: f64, assumed_first: bool| {
            let mut inputs = vec![
                Input::weighed("saved", FigureUnit::Cores, &saved),
                Input::local_call(&Options::default()),
            ];
            let at = usize::from(!assumed_first);
            if assumed_first {
                inputs.reverse();
            }
            Stake {
                inputs,
                gain: Box::new(move |x| Some(x.get(1 - at)? - x.get(at)? * 1e-3 + more)),
                ..stake(&saved)
            }
        };
        let (one, other) = (with(0.0, false), with(2.5, true));
        let [one, other] = [&one, &other].map(|stake| draw(stake, RANGES, 7).unwrap());
        assert_eq!(one.gains.len(), DRAWS_MIN);
        assert!(deviation(&one.gains) > 1.0);
        for (gain, more) in one.gains.iter().zip(&other.gains) {
            assert!((more - gain - 2.5).abs() < 1e-9, "{gain} and {more}");
        }
        // The assumption varies from draw to draw too: the same range gives other gains in other rounds.
        assert!((one.gains[0] - one.gains[RANGES]).abs() > 1e-6);
    }

    #[test]
    fn gain_and_regret_are_those_of_the_draws() {
        let draws: Vec<f64> = (0..RANGES)
            .map(|n| if n % 4 == 0 { -1.0 } else { 3.0 })
            .collect();
        let one = judged(&[stake(&Estimate::of_draws(2.0, draws))], 1).remove(0);
        let seen = &one.judgement;
        assert!((seen.improves - 0.75).abs() < 1e-9 && (seen.cost_falls - 0.75).abs() < 1e-9);
        assert_eq!(seen.draws, 1_000);
        // A quarter of the draws loses one core when done, three quarters miss three when left.
        let done = one.clone().for_verdict(Verdict::Do, "Try it.");
        assert!((done.regret.value.unwrap() - 0.25).abs() < 1e-9);
        let left = one.for_verdict(Verdict::Leave, "Try it.");
        assert!((left.regret.value.unwrap() - 2.25).abs() < 1e-9);
        assert!(left.experiment.contains("the gain"));
    }

    #[test]
    fn what_turns_a_gain_is_named_with_its_value() {
        let rate = Estimate::of_draws(100.0, (0..RANGES).map(|n| 90.0 + (n % 21) as f64).collect());
        let stake = Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("calls", FigureUnit::PerSecond, &rate),
                Input {
                    name: "a local call".to_owned(),
                    unit: FigureUnit::Ns,
                    value: Value::Assumed {
                        point: 1_000.0,
                        factor: 4.0,
                    },
                },
            ],
            gain: Box::new(|x| Some(x[0] * (5_000.0 - x[1]) * 1e-9)),
            cost: None,
        };
        let judged = judged(&[stake], 1).remove(0).judgement;
        assert_eq!(judged.turns[0].input, "a local call", "it swings more");
        let turns_at = judged.turns[0].turns_at.unwrap();
        assert!((turns_at - 5_000.0).abs() < 1.0, "{turns_at}");
        assert_eq!(judged.turns[1].turns_at, None, "calls only scale it");
        assert!(
            judged.improves > 0.85 && judged.improves < 1.0,
            "{}",
            judged.improves
        );
    }

    #[test]
    fn without_a_spread_there_is_no_judgement() {
        let vague = Estimate::without_interval(2.0, QualityWord::Measured, "3 windows");
        let stakes = [stake(&vague)];
        let stakes: Vec<&Stake> = stakes.iter().collect();
        assert_eq!(judge(&stakes, 1, RANGES, 7), [None]);
        let stakes = [stake(&Estimate::of_draws(1.0, vec![f64::NAN; RANGES]))];
        let stakes: Vec<&Stake> = stakes.iter().collect();
        assert_eq!(judge(&stakes, 1, RANGES, 7), [None]);
    }
}
