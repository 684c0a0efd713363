//! What other placements will cost, worked out from the weighing of one: changes of a topology, priced by the model
//! that reports use, and what that model does not know, a process that stands before others.

use std::collections::BTreeMap;

use anyhow::Context as _;
use weighbridge_reports::topology::{Inputs, Weighed};
use weighbridge_wire::{FoldedRange, Window};

use super::Start;
use super::crossing::{Crossing, beside_ns};
use super::fan_out::{at_fan_out, fan_out};
use super::figure::{Sealed, Subject};
use super::fronts::caller_ns;
use super::interval::{Spread, interval};
use super::plan::{Costs, Trial};
use super::price::figures_of;
use crate::load::MIX;
use crate::placement::Placement;

/// A stretch of the weighing in which the load had one mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Calls over HTTP, for what a crossing costs; nothing is predicted from it alone.
    Crossing,
    Idle,
    Mix,
    /// Row of the mix.
    Alone(usize),
}

impl Part {
    fn all() -> impl Iterator<Item = Self> {
        let alone = (0..MIX.len()).map(Self::Alone);
        [Self::Crossing, Self::Idle, Self::Mix]
            .into_iter()
            .chain(alone)
    }

    fn span(self, start: &Start) -> Option<(u64, u64)> {
        Some(match self {
            Self::Crossing => start.crossing.as_ref()?.remote.span,
            Self::Idle => start.round.idle.span,
            Self::Mix => start.round.mix.span,
            Self::Alone(row) => start.round.alone.get(row)?.span,
        })
    }

    /// The windows that lie within this stretch of these starts.
    fn cut<'a>(self, starts: impl Iterator<Item = &'a Start>) -> FoldedRange {
        let mut cut = FoldedRange {
            window: Window {
                start_unix_ns: u64::MAX,
                end_unix_ns: 0,
            },
            windows: Vec::new(),
        };
        for start in starts {
            let Some((from, until)) = self.span(start) else {
                continue;
            };
            let within = start.range.windows.iter().filter(|folded| {
                folded.window.start_unix_ns >= from && folded.window.end_unix_ns <= until
            });
            for folded in within {
                cut.window = cut.window.cover(folded.window);
                cut.windows.push(folded.clone());
            }
        }
        cut
    }
}

/// What a call between processes costs beside what the ledger shows, ns; by all starts.
pub(super) fn crossing_ns(starts: &[Start]) -> f64 {
    let crossings: Vec<&Crossing> = starts.iter().filter_map(|s| s.crossing.as_ref()).collect();
    let idle: f64 = starts.iter().map(|s| s.round.idle.utilisation()).sum();
    let idle = idle / starts.len().max(1) as f64;
    beside_ns(&crossings, idle, &Part::Crossing.cut(starts.iter()))
}

/// What a stretch says, read from the ledger.
struct Reading {
    part: Part,
    weighed: Weighed,
}

/// All stretches of some starts.
fn read(starts: &[&Start], crossing_ns: f64) -> Vec<Reading> {
    let options = weighbridge_reports::Options {
        crossing_ns,
        ..weighbridge_reports::Options::default()
    };
    Part::all()
        .map(|part| Reading {
            part,
            weighed: Weighed::read(&part.cut(starts.iter().copied()), &options),
        })
        .collect()
}

/// Predicts all figures of all placements from all that was weighed, and from its starts how much they differ.
pub(super) fn predict(
    whole: &FoldedRange,
    starts: &[Start],
    trials: &[Trial],
    rounds: u32,
) -> anyhow::Result<Vec<Sealed>> {
    let given = trials.first().context("no placement was weighed")?;
    let crossing_ns = crossing_ns(starts);
    let all = read(&starts.iter().collect::<Vec<_>>(), crossing_ns);
    let of = |wanted: Part| {
        let found = all.iter().find(|reading| reading.part == wanted);
        found.map(|reading| reading.weighed.inputs().clone())
    };
    let whole = Weighed::read(whole, &weighbridge_reports::Options::default())
        .inputs()
        .clone();
    // Only all stretches together hold topics with one receiver and with two, each in its own time.
    let fan_out = fan_out(&whole);
    let known = Known {
        given: &given.placement,
        idle: of(Part::Idle).context("nothing was weighed")?,
        whole,
        caller_ns: of(Part::Crossing).map_or(0.0, |inputs| caller_ns(&inputs)),
    };
    let point = |readings: &[Reading], trial: &Trial| -> anyhow::Result<Vec<(Subject, f64)>> {
        let mut figures = Vec::new();
        for reading in readings {
            let inputs = at_fan_out(reading.weighed.inputs().clone(), fan_out);
            let of = figures_of(reading.part, &inputs, &known, trial);
            figures.extend(of.with_context(|| format!("predicting `{}`", trial.name))?);
        }
        Ok(figures)
    };
    let by_start = starts
        .iter()
        .map(|start| point(&read(&[start], crossing_ns), given))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let spread = Spread::of(&by_start, rounds);
    let now: BTreeMap<Subject, f64> = point(&all, given)?.into_iter().collect();
    let mut draws: BTreeMap<(&str, Subject), Vec<f64>> = BTreeMap::new();
    for reading in &all {
        for draw in 0..reading.weighed.draws() {
            let inputs = at_fan_out(reading.weighed.draw(draw), fan_out);
            for trial in trials {
                // A draw without a request of an origin tells nothing of it.
                let of = figures_of(reading.part, &inputs, &known, trial).unwrap_or_default();
                for (subject, ns) in of {
                    draws.entry((trial.name, subject)).or_default().push(ns);
                }
            }
        }
    }
    let mut sealed = Vec::new();
    for trial in trials {
        for (subject, predicted) in point(&all, trial)? {
            let change = predicted - now.get(&subject).copied().unwrap_or(0.0);
            let drawn = draws
                .remove(&(trial.name, subject.clone()))
                .and_then(interval);
            sealed.push(Sealed {
                placement: trial.name.to_owned(),
                interval: drawn.map(|drawn| spread.widen(&subject, predicted, change, drawn)),
                subject,
                predicted,
            });
        }
    }
    Ok(sealed)
}

/// What is known beside the stretch at hand.
pub(super) struct Known<'a> {
    pub(super) given: &'a Placement,
    /// The numbers without load.
    pub(super) idle: Inputs,
    /// The numbers of all that was weighed, for an origin of which no request ended within its own stretch.
    pub(super) whole: Inputs,
    /// The caller's side of a call between processes, ns.
    pub(super) caller_ns: f64,
}

/// CPU of a request by row of the mix as predicted; as the pilot found it where nothing is.
pub(super) fn costs(figures: &[Sealed], placement: &str, pilot: &Costs) -> Costs {
    MIX.iter()
        .zip(pilot)
        .map(|(origin, pilot)| {
            let subject = Subject::Origin(origin.operation.to_owned());
            figures
                .iter()
                .find(|f| f.placement == placement && f.subject == subject)
                .map_or(*pilot, |f| f.predicted)
        })
        .collect()
}
