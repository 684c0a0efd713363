//! Services whose peaks fall apart in time: together they need fewer cores than each for its own peak.

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::couple::Couple;
use super::judge::{Input, Stake};
use super::memory::pair_memory;
use super::merge::Merge;
use super::{Finding, Rule, say};
use crate::document::{Evidence, FigureUnit, Recommendation, RecommendationKind, Verdict};
use crate::model::{Estimate, ascending, weighted_quantile};
use crate::topology::{Change, Load, Weights, peak_processes};

/// Services that are looked at, those with most CPU: pairs grow with the square.
const SERVICES_MAX: usize = 20;

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// Quantile of the windows that capacity is planned for.
    pub(crate) peak: f64,
    /// Saved peak cores ÷ peak cores of both, above which their peaks fall apart.
    pub(crate) saving_share_min: f64,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            peak: 0.95,
            saving_share_min: 0.2,
        }
    }
}

/// Two services and their peaks.
pub(crate) struct Peaks {
    a: usize,
    b: usize,
    apart: Estimate,
    together: Estimate,
    share: Estimate,
    correlation: Option<f64>,
    /// Processes at the peak with the largest load planned for: apart and together.
    processes: (f64, f64),
}

impl Rule for Pool {
    type Candidate = Peaks;

    fn candidates(&self, context: &Context<'_>) -> Vec<Peaks> {
        let model = context.model;
        let mut largest: Vec<(usize, f64)> = model
            .services()
            .iter()
            .enumerate()
            .filter_map(|(at, service)| Some((at, model.service_cores_point(service)?)))
            .filter(|(at, _)| {
                context.service(*at).operations.values().next().is_some()
                    && model.cores_limit(context.service(*at)).is_some()
            })
            .collect();
        largest.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
        largest.truncate(SERVICES_MAX);
        let mut services: Vec<usize> = largest.into_iter().map(|(at, _)| at).collect();
        services.sort_unstable();
        let mut found = Vec::new();
        for (n, a) in services.iter().enumerate() {
            for b in &services[n + 1..] {
                found.extend(self.peaks(context, *a, *b));
            }
        }
        found
    }

    fn check(&self, context: &Context<'_>, peaks: &Peaks) -> Option<Finding> {
        let (a, b) = (peaks.a, peaks.b);
        let (before, after) = peaks.processes;
        if after >= before
            || context.kept_apart(a, b).is_some()
            || against(&peaks.share, self.saving_share_min, "the saving") != Against::Above
            || context.model.rollup.windows < context.options.sufficiency.windows
            || Merge::default().refused_for_memory(pair_memory(context, a, b).as_ref())
        {
            return None;
        }
        if let Some(why) = context.no_node_holds(a, b) {
            return Some(context.finding(Verdict::Leave, why));
        }
        if let Some(finding) = context.boundaries(1) {
            return Some(finding);
        }
        if let Err(missing) = context.sufficient(&context.busy(&[a, b])) {
            return Some(context.cannot_say(missing));
        }
        let edges = context.edges_between(a, b);
        if let Some((_, objection)) = Couple::default().objection(context, (a, b), &edges) {
            return Some(context.finding(
                Verdict::Leave,
                format!("Their peaks fall apart, but: {objection}"),
            ));
        }
        Some(context.finding(
            Verdict::Try,
            format!(
                "Their peaks fall apart in time: together they peak at {} where apart they peak at {}.",
                say::with_interval(&peaks.together, say::cores),
                say::cores(peaks.apart.point)
            ),
        ))
    }

    fn changes(&self, context: &Context<'_>, peaks: &Peaks) -> Vec<Change> {
        vec![Change::Merge {
            services: [peaks.a, peaks.b]
                .map(|at| context.label(at).to_owned())
                .into(),
            name: None,
        }]
    }

    fn stake(&self, context: &Context<'_>, peaks: &Peaks) -> Option<Stake> {
        let weights = Weights::of(context.options.prices.as_ref());
        let memory = pair_memory(context, peaks.a, peaks.b);
        let bytes = memory.map_or(0.0, |m| weights.byte * (m.before - m.after));
        Some(Stake {
            objective: "cores saved at the peak".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("the peaks apart", FigureUnit::Cores, &peaks.apart),
                Input::weighed("the peak together", FigureUnit::Cores, &peaks.together),
            ],
            gain: Box::new(|x| Some(*x.first()? - *x.get(1)?)),
            cost: Some(Box::new(move |x| {
                Some(weights.core * (*x.first()? - *x.get(1)?) + bytes)
            })),
        })
    }

    fn explain(&self, context: &Context<'_>, peaks: &Peaks, finding: Finding) -> Recommendation {
        let (name_a, name_b) = (context.label(peaks.a), context.label(peaks.b));
        let percentile = say::factor(self.peak * 100.0);
        let factor = say::factor(context.options.design_load());
        Recommendation {
            id: format!("rec:pool:{name_a}+{name_b}"),
            kind: RecommendationKind::Merge,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Try => {
                    format!("Let {name_a} and {name_b} share processes: they peak at different times.")
                }
                _ => format!("Do not let {name_a} and {name_b} share processes for the sake of their peaks."),
            },
            subjects: vec![
                context.service_subject(peaks.a),
                context.service_subject(peaks.b),
            ],
            gain: crate::build::optional(None, FigureUnit::Cores, "the gain is at the peak, not on average"),
            evidence: vec![Evidence {
                sentence: format!(
                    "At the {percentile}th percentile of the windows {name_a} and {name_b} need {} apart and {} together{}.",
                    say::with_interval(&peaks.apart, say::cores),
                    say::with_interval(&peaks.together, say::cores),
                    peaks.correlation.map_or_else(String::new, |r| format!(
                        "; the correlation of their CPU is {}",
                        say::number(r)
                    ))
                ),
                rows: [name_a, name_b].map(|name| format!("service:{name}")).into(),
            }],
            prediction: vec![
                predict(
                    &format!("cores at the {percentile}th percentile of the windows: apart (before), together (after)"),
                    FigureUnit::Cores,
                    Some(&peaks.apart),
                    Some(&peaks.together),
                ),
                predict_plain(
                    &format!("processes for that peak at {factor} times the load"),
                    FigureUnit::Count,
                    Some(peaks.processes.0),
                    Some(peaks.processes.1),
                    "from whole processes",
                ),
            ],
            downsides: vec![
                format!("{name_a} and {name_b} fail together and are deployed together."),
                "Should their peaks ever meet, both are short of cores at once.".to_owned(),
            ],
            falsify: vec![
                "Weigh over a week: when their peaks meet in one window, the saving is gone.".to_owned(),
            ],
            first_step: format!(
                "Put both on the same machine with a common limit of cores for one peak of each, and watch the waits of {name_a}."
            ),
            rule: "Share processes when two services need markedly fewer cores for their common peak than each for its own, in whole processes, and nothing else stands against one process.".to_owned(),
            thresholds: vec![threshold(
                "saved ÷ peaks apart",
                self.saving_share_min,
                Some(peaks.share.point),
                FigureUnit::Ratio,
            )],
            judgement: None,
        }
    }
}

impl Pool {
    fn peaks(&self, context: &Context<'_>, a: usize, b: usize) -> Option<Peaks> {
        let model = context.model;
        let (one, other) = (context.service(a), context.service(b));
        let series = [model.cores_by_slot(one)?, model.cores_by_slot(other)?];
        let sum: Vec<f64> = series[0]
            .iter()
            .zip(&series[1])
            .map(|(x, y)| x + y)
            .collect();
        let orders = [ascending(&series[0]), ascending(&series[1])];
        let apart = model.sampler.over_slots(|weight| {
            Some(
                weighted_quantile(&series[0], &orders[0], weight, self.peak)?
                    + weighted_quantile(&series[1], &orders[1], weight, self.peak)?,
            )
        })?;
        let peak = model.level(&sum, self.peak)?;
        // A glance: most pairs peak together.
        if peak.point > (1.0 - self.saving_share_min) * apart.point {
            return None;
        }
        // What a merge saves by the topology engine: calls go with the load of the peak, processes do not.
        let merged = context.together(a, b)?;
        let by_calls = merged
            .by_calls
            .times(&peak.over(&context.pair_cores(a, b)?)?);
        let together = peak.minus(&by_calls).minus(&merged.base);
        let share = apart.minus(&together).over(&apart)?;
        let inputs = context.weighed.inputs();
        let load = Load::planned(context.options, context.options.design_load());
        let alone = |series: &[f64], order: &[usize], at: usize| {
            let once = vec![1; series.len()];
            let cores = weighted_quantile(series, order, &once, self.peak)?;
            peak_processes(inputs, &[at], cores, &load)
        };
        let before = alone(&series[0], &orders[0], a)? + alone(&series[1], &orders[1], b)?;
        let after = peak_processes(inputs, &[a, b], together.point, &load)?;
        Some(Peaks {
            a,
            b,
            apart,
            together,
            share,
            correlation: model.correlation(one, other),
            processes: (before, after),
        })
    }
}
