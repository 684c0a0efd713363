//! Figures of one topology beside those of another, as predictions of a document.

use std::collections::BTreeSet;

use super::{DeployableFigures, Figures, OriginFigures, Weights};
use crate::Options;
use crate::decide::{before_and_after, say};
use crate::document::{FigureUnit, ObserveWhat, Prediction, QualityWord};
use crate::model::Estimate;

/// Figures before and after, at the point and in draws.
pub(crate) struct Compared {
    pub(crate) point: (Figures, Figures),
    pub(crate) draws: Vec<(Figures, Figures)>,
    /// Why there are no draws, when there are none.
    pub(crate) no_draws: &'static str,
}

/// Why nothing was drawn from a short range.
pub(crate) const TOO_FEW_WINDOWS: &str = "too few windows for an interval";

impl Compared {
    pub(super) fn estimate(
        &self,
        of: impl Fn(&(Figures, Figures)) -> Option<f64>,
    ) -> Option<Estimate> {
        let point = of(&self.point)?;
        if self.draws.is_empty() {
            return Some(Estimate::without_interval(
                point,
                QualityWord::Estimated,
                self.no_draws,
            ));
        }
        let draws = self
            .draws
            .iter()
            .map(|draw| of(draw).unwrap_or(f64::NAN))
            .collect();
        Some(Estimate::of_draws(point, draws))
    }

    /// A figure of both topologies.
    fn both(
        &self,
        name: String,
        unit: FigureUnit,
        of: impl Fn(&Figures) -> Option<f64>,
    ) -> Prediction {
        let before = of(&self.point.0).filter(|x| x.is_finite());
        let after = self.estimate(|(_, after)| of(after));
        before_and_after(name, unit, before, after.as_ref())
    }

    /// All that the engine says.
    pub(crate) fn predictions(&self, options: &Options) -> Vec<Prediction> {
        let mut all = self.system(options);
        all.extend(self.deployables());
        for (at, origin) in self.point.0.origins.iter().enumerate() {
            if origin.rate.is_some() {
                all.extend(self.origin(at));
            }
        }
        all
    }

    fn system(&self, options: &Options) -> Vec<Prediction> {
        let mut all = vec![
            self.both("cores of all services".to_owned(), FigureUnit::Cores, |f| {
                Some(f.cores)
            }),
            self.both(
                "memory of all services".to_owned(),
                FigureUnit::Bytes,
                |f| f.memory_bytes,
            )
            .observed_by(ObserveWhat::Memory, &[], "", ""),
            self.both("processes".to_owned(), FigureUnit::Count, |f| {
                Some(f.replicas)
            })
            .observed_by(ObserveWhat::Processes, &[], "", ""),
        ];
        all.extend(self.between());
        if let Some(prices) = &options.prices {
            let weights = Weights::of(Some(prices));
            all.insert(
                1,
                self.both(
                    format!("cores and memory, {} in an hour", prices.currency),
                    FigureUnit::MoneyPerHour,
                    move |f| Some(weights.cost(f)),
                ),
            );
        }
        all
    }

    /// What goes and stands between services: messages, copies, failures.
    fn between(&self) -> [Prediction; 6] {
        [
            self.both(
                "messages between services".to_owned(),
                FigureUnit::PerSecond,
                |f| Some(f.messages),
            )
            .observed_by(ObserveWhat::Messages, &[], "", ""),
            self.both("their bytes".to_owned(), FigureUnit::BytesPerSecond, |f| {
                Some(f.message_bytes)
            })
            .observed_by(ObserveWhat::MessageBytes, &[], "", ""),
            self.both("copies of data".to_owned(), FigureUnit::Count, |f| {
                Some(f.copies)
            })
            .observed_by(ObserveWhat::Copies, &[], "", ""),
            self.both("bytes of copies".to_owned(), FigureUnit::Bytes, |f| {
                f.copy_bytes
            }),
            self.both(
                "largest mean age of a change in a copy".to_owned(),
                FigureUnit::Ns,
                |f| f.staleness_ns,
            ),
            self.both(
                "largest share of requests that fail with one service".to_owned(),
                FigureUnit::Ratio,
                |f| f.blast_radius,
            ),
        ]
    }

    fn deployables(&self) -> Vec<Prediction> {
        let names = |figures: &Figures| {
            figures
                .deployables
                .iter()
                .map(|d| d.name.clone())
                .collect::<Vec<_>>()
        };
        let mut deployables = names(&self.point.0);
        deployables.extend(
            names(&self.point.1)
                .into_iter()
                .filter(|name| !names(&self.point.0).contains(name)),
        );
        let mut all = Vec::new();
        for name in deployables {
            let of = |f: &Figures| f.deployables.iter().find(|d| d.name == name).cloned();
            let mut more = vec![
                self.both(format!("cores of {name}"), FigureUnit::Cores, |f| {
                    Some(of(f)?.cores)
                }),
                self.both(format!("processes of {name}"), FigureUnit::Count, |f| {
                    Some(of(f)?.replicas)
                }),
                self.both(format!("utilisation of {name}"), FigureUnit::Ratio, |f| {
                    of(f)?.utilisation
                }),
                self.both(
                    format!("utilisation of {name} with one process lost"),
                    FigureUnit::Ratio,
                    |f| of(f)?.utilisation_one_lost,
                ),
                self.both(format!("memory of {name}"), FigureUnit::Bytes, |f| {
                    of(f)?.memory_bytes
                }),
                self.both(
                    format!("share of time in which the serial section of {name} is taken"),
                    FigureUnit::Ratio,
                    |f| of(f)?.section_utilisation,
                ),
            ];
            // What is neither before nor after says nothing; nor does what does not change.
            more.retain(|p| p.before.is_some() || p.after.is_some());
            for prediction in &mut more {
                if prediction.after.is_none() && of(&self.point.1).is_none() {
                    prediction.interval_absent_reason =
                        Some("it is gone after the change".to_owned());
                }
            }
            all.extend(more);
        }
        all
    }

    fn origin(&self, at: usize) -> [Prediction; 6] {
        let origin = &self.point.0.origins[at];
        let name = format!("{} of {}", origin.operation, origin.service);
        let figure = |what: &str, unit, of: fn(&OriginFigures) -> Option<f64>| {
            self.both(format!("{what} of {name}"), unit, |f| {
                of(f.origins.get(at)?)
            })
        };
        // What a later report shows of it too.
        let seen = |what: &str, unit, of: fn(&OriginFigures) -> Option<f64>, observe| {
            figure(what, unit, of).observed_by(observe, &[&origin.service], &origin.operation, "")
        };
        let latency = |what: &str, of: fn(&OriginFigures) -> Option<f64>, observe| {
            seen(what, FigureUnit::Ns, of, observe)
        };
        let cpu = FigureUnit::NsPerRequest;
        [
            seen(
                "CPU of a request",
                cpu,
                |o| o.cpu_ns,
                ObserveWhat::OriginCpu,
            ),
            figure(
                "CPU of a request, with its part of schedulers and of what has no name,",
                cpu,
                |o| o.kernel_cpu_ns,
            ),
            latency("mean latency", |o| o.mean_ns, ObserveWhat::Wall),
            latency("median latency", |o| o.p50_ns, ObserveWhat::WallP50),
            latency(
                "95th percentile of latency",
                |o| o.p95_ns,
                ObserveWhat::WallP95,
            ),
            latency(
                "99th percentile of latency",
                |o| o.p99_ns,
                ObserveWhat::WallP99,
            ),
        ]
    }

    /// What fails with one of the services that change, and what is left with one of their processes lost.
    fn failures(&self) -> Vec<Prediction> {
        if self.point.0.deployables.is_empty() && self.point.1.deployables.is_empty() {
            return Vec::new();
        }
        let mut lost = self.both(
            "highest utilisation of the services that change, with one process lost".to_owned(),
            FigureUnit::Ratio,
            one_lost,
        );
        if lost.after.is_none() {
            lost.interval_absent_reason = Some(
                "one process is all there is of one of them, or its cores are not known: without it the service is gone"
                    .to_owned(),
            );
        }
        let fails = self.both(
            "largest share of requests that fail with one of the services that change".to_owned(),
            FigureUnit::Ratio,
            fails_with_one,
        );
        vec![fails, lost]
    }

    /// What gets worse, in words.
    pub(crate) fn worse(&self) -> Vec<String> {
        let (before, after) = &self.point;
        let grew = |was: f64, is: f64| is > was && differ(was, is);
        let names = |figures: &Figures| {
            let names: Vec<String> = figures.deployables.iter().map(|d| d.name.clone()).collect();
            say::list(&names)
        };
        let one_of = |figures: &Figures| match figures.deployables.as_slice() {
            [only] => only.name.clone(),
            _ => format!("one of {}", names(figures)),
        };
        let mut worse = Vec::new();
        if let Some((was, is)) = fails_with_one(before).zip(fails_with_one(after))
            && grew(was, is)
        {
            worse.push(format!(
                "{} of the requests from outside fail when {} does; now it is {}.",
                say::share(is),
                one_of(after),
                say::share(was)
            ));
        }
        match (one_lost(before), one_lost(after)) {
            (Some(was), Some(is)) if grew(was, is) => worse.push(format!(
                "With one process lost those that are left of {} are used to {}; now it is {}.",
                names(after),
                say::share(is),
                say::share(was)
            )),
            (Some(_), None) => worse.push(format!(
                "One process is all there will be of {}: without it, it is gone.",
                one_of(after)
            )),
            _ => {}
        }
        match (before.staleness_ns, after.staleness_ns) {
            (Some(was), Some(is)) if grew(was, is) => worse.push(format!(
                "A change is {} old on average when a copy applies it; now it is {}.",
                say::ns(is),
                say::ns(was)
            )),
            (Some(_), None) if after.copies > before.copies => worse.push(
                "How old a change is when the new copy applies it is not known: nothing is copied here yet."
                    .to_owned(),
            ),
            _ => {}
        }
        for (was, is) in before.origins.iter().zip(&after.origins) {
            if let Some((mean, grown)) = was.mean_ns.zip(is.mean_ns)
                && grown > mean * WORSE_MIN
            {
                worse.push(format!(
                    "The mean latency of {} of {} grows from {} to {}.",
                    was.operation,
                    was.service,
                    say::ns(mean),
                    say::ns(grown)
                ));
            }
        }
        worse
    }

    /// What changes beside cores, memory and processes: between services, and for the origins that are kept.
    pub(crate) fn changed(&self) -> Vec<Prediction> {
        let differs = |p: &Prediction| match (p.before, p.after) {
            (Some(before), Some(after)) => differ(before, after),
            (before, after) => before != after,
        };
        self.between()
            .into_iter()
            .filter(differs)
            .chain(self.failures())
            .chain((0..self.point.0.origins.len()).flat_map(|at| self.origin(at)))
            .collect()
    }
}

/// Growth of a mean latency from which it is named.
const WORSE_MIN: f64 = 1.01;

/// Largest share of requests that fail with one of these services.
fn fails_with_one(figures: &Figures) -> Option<f64> {
    figures
        .deployables
        .iter()
        .filter_map(|d| d.blast)
        .reduce(f64::max)
}

/// Highest utilisation with one process lost; none where one process is all there is.
fn one_lost(figures: &Figures) -> Option<f64> {
    let all = figures.deployables.iter().map(|d| d.utilisation_one_lost);
    all.collect::<Option<Vec<f64>>>()?
        .into_iter()
        .reduce(f64::max)
}

/// Deployables that a change makes, ends or changes, by name.
pub(crate) fn resized(before: &Figures, after: &Figures) -> BTreeSet<String> {
    let changed = |d: &DeployableFigures, others: &[DeployableFigures]| {
        let other = others.iter().find(|o| o.name == d.name);
        other.is_none_or(|o| differ(o.cores, d.cores) || differ(o.replicas, d.replicas))
    };
    let of = |these: &[DeployableFigures], others: &[DeployableFigures]| -> Vec<String> {
        let these = these.iter().filter(|d| changed(d, others));
        these.map(|d| d.name.clone()).collect()
    };
    let mut names: BTreeSet<String> = of(&before.deployables, &after.deployables)
        .into_iter()
        .collect();
    names.extend(of(&after.deployables, &before.deployables));
    names
}

/// Origins whose figures a change touches, those with most time or CPU in a second at stake first, at most `most`.
pub(crate) fn touched(before: &Figures, after: &Figures, most: usize) -> Vec<usize> {
    let mut touched: Vec<(f64, usize)> = before
        .origins
        .iter()
        .zip(&after.origins)
        .enumerate()
        .filter_map(|(at, (before, after))| {
            let rate = before.rate?;
            let change = |of: fn(&OriginFigures) -> Option<f64>| match (of(before), of(after)) {
                (Some(before), Some(after)) if differ(before, after) => (after - before).abs(),
                // Saturated: no figure is the largest change.
                (Some(_), None) => f64::MAX,
                _ => 0.0,
            };
            let stake = rate * change(|o| o.mean_ns).max(change(|o| o.kernel_cpu_ns));
            (stake > 0.0).then_some((stake, at))
        })
        .collect();
    touched.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    touched.truncate(most);
    let mut origins: Vec<usize> = touched.into_iter().map(|(_, at)| at).collect();
    origins.sort_unstable();
    origins
}

/// More than the last digits of a sum.
fn differ(before: f64, after: f64) -> bool {
    (after - before).abs() > 1e-9 * before.abs().max(after.abs())
}

impl Figures {
    /// The same with what is said of these deployables and origins only.
    pub(crate) fn only(&self, origins: &[usize], deployables: &BTreeSet<String>) -> Self {
        let kept = self.deployables.iter();
        Self {
            deployables: kept
                .filter(|d| deployables.contains(&d.name))
                .cloned()
                .collect(),
            origins: origins.iter().map(|at| self.origins[*at].clone()).collect(),
            notes: Vec::new(),
            ..*self
        }
    }
}
