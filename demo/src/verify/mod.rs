//! Predictions tried for real: weighs a placement, seals what others would cost, runs them, and compares.
//!
//! What is true is what the kernel says of each process while the mix of the load varies. What the agents say of
//! their own placement stands beside it.

mod crossing;
mod cut;
mod drift;
mod fan_out;
mod figure;
mod fronts;
mod interval;
mod measure;
mod plan;
mod predict;
mod price;
mod score;
mod seal;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use weighbridge_reports::Document;
use weighbridge_wire::{FoldedRange, Window};

use crate::load::{MIX, ProbeLoad};
use crate::options::Options;
use crate::placement::Placement;
use crate::supervisor::{OutDirectory, Progress, ServiceEnd};
use crossing::Crossing;
use drift::Control;
use figure::{Round, Subject};
use measure::{Running, Spent};
use plan::{Costs, GIVEN, Trial};
use score::{Measured, Pair};
use seal::{Predictions, Seal};

/// Length of a first stretch of load whose figures are thrown away, ms: connections open, caches fill.
const WARM_MS: u64 = 700;
/// How long nothing is asked before what is spent idle is measured, ms: some windows, because what came before is still
/// folded and sent, and databases put their logs away.
const SETTLE_MS: u64 = 1_000;
/// Length of the stretch by which rates are set, for each origin, ms.
const PILOT_MS: u64 = 500;
/// Length of the agents' windows, ms: several must lie within each stretch.
const WINDOW_MS: u64 = 250;
/// CPU of a request on a machine that we know nothing of, ns: where the pilot begins.
const PILOT_COSTS_NS: [f64; 8] = [2e5, 1e6, 2e6, 2.5e6, 2.5e5, 2e5, 8e6, 1e8];

/// What came of it.
pub(crate) struct Verified {
    /// Nothing failed, the seal held, utilisation stayed below its limit; in the full form also that the
    /// predictions are as close as they must be.
    pub(crate) passed: bool,
    pub(crate) text: String,
    /// The report of the given placement.
    pub(crate) document: Document,
}

/// Lengths of stretches of load, ms.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    idle: u64,
    mix: u64,
    alone: u64,
}

impl Lengths {
    /// Of one start of the weighing.
    fn weighing(options: &Options) -> Self {
        let all = options.seconds * 1_000;
        Self {
            idle: all / 10,
            mix: all / 8,
            alone: all / 16,
        }
    }

    /// Of one start of one placement in a round.
    fn round(options: &Options) -> Self {
        let all = options.seconds * 1_000;
        Self {
            idle: all / 10,
            mix: all / 12,
            alone: all / 24,
        }
    }
}

/// What was measured of one placement so far.
#[derive(Default)]
struct Tried {
    values: BTreeMap<Subject, Vec<f64>>,
    agent: BTreeMap<String, Vec<f64>>,
    utilisation: Vec<f64>,
    failed: u64,
    first_failure: Option<String>,
}

impl Tried {
    /// Adds a round, without the [drift](drift) of the machine.
    fn add(&mut self, round: &Round, document: &Document, drift: f64) {
        for (subject, value) in round.figures() {
            self.values.entry(subject).or_default().push(value / drift);
        }
        self.utilisation.extend(round.utilisations());
        let (failed, first) = round.failures();
        self.failed += failed;
        if let Some(first) = first {
            self.first_failure.get_or_insert_with(|| first.to_owned());
        }
        for origin in &MIX {
            if let Some(ns) = agent_says(document, origin.operation) {
                let slot = self.agent.entry(origin.operation.to_owned()).or_default();
                slot.push(ns / drift);
            }
        }
    }

    fn measured(&self, subject: &Subject) -> Option<Measured> {
        Measured::of(self.values.get(subject)?)
    }

    fn agent(&self, subject: &Subject) -> Option<f64> {
        let Subject::Origin(operation) = subject else {
            return None;
        };
        Measured::of(self.agent.get(operation)?).map(|measured| measured.mean)
    }
}

/// CPU of a request of an origin as the report has it, ns: all its classes in all services.
fn agent_says(document: &Document, operation: &str) -> Option<f64> {
    let found = document
        .origins
        .iter()
        .find(|o| o.operation == operation && o.unit_cost.total.value.is_some());
    found?.unit_cost.total.value
}

/// Tries the predictions of a placement.
pub(crate) async fn verify(
    options: &Options,
    placement_text: &str,
    out: &OutDirectory,
    progress: &mut Progress,
) -> anyhow::Result<Verified> {
    if crate::kernel::cores() < 2 {
        anyhow::bail!("--verify needs two cores: one for the load, one for the services");
    }
    let mut trials = vec![Trial {
        name: GIVEN,
        what: "as weighed",
        text: placement_text.to_owned(),
        placement: Placement::parse(placement_text)?,
    }];
    trials.extend(plan::trials(&options.only)?);
    let weighed = weigh(&trials[0], options, out, progress).await?;
    let all = weighed.all();
    let document = Document::build(&all, &weighbridge_reports::Options::default());
    progress.phase("sealing predictions");
    let figures = predict::predict(&all, &weighed.starts, &trials, options.rounds)?;
    let seal = Seal::write(
        &out.predictions(),
        &Predictions {
            schema_version: 1,
            about: "CPU by the kernel that placements of the demo will need, ns, with intervals of 90 %, written \
                    before any but the given one ran"
                .to_owned(),
            report_sha256: seal::sha256(&serde_json::to_vec(&document)?),
            crossing_ns: predict::crossing_ns(&weighed.starts),
            seed: options.seed,
            placements: trials
                .iter()
                .map(|trial| (trial.name.to_owned(), trial.text.clone()))
                .collect(),
            figures,
        },
    )?;
    progress.phase(&format!(
        "{} with SHA-256 {}",
        seal.path.display(),
        seal.sha256
    ));
    let predicted = seal.open()?;
    let control = Control::of(weighed.starts.iter().map(|start| &start.round));
    let mut tried: BTreeMap<&str, Tried> = BTreeMap::new();
    let mut drifts = Vec::new();
    for round in 0..options.rounds {
        let mut measured = Vec::new();
        for at in 0..trials.len() {
            // Each begins once before and once after any other: what drifts, drifts for all.
            let turn = (at + round as usize) % trials.len();
            let turn = if round % 2 == 0 {
                turn
            } else {
                trials.len() - 1 - turn
            };
            let trial = &trials[turn];
            progress.phase(&format!(
                "round {} of {}: {}",
                round + 1,
                options.rounds,
                trial.what
            ));
            let total = predict::costs(&predicted.figures, trial.name, &weighed.costs);
            let seed = options.seed + 1 + u64::from(round);
            let (found, document) = one(trial, seed, options, &weighed.costs, &total, out).await?;
            measured.push((trial.name, found, document));
        }
        let given = measured.iter().find(|(name, ..)| *name == GIVEN);
        let drift = given.map_or(1.0, |(_, found, _)| control.drift(found));
        drifts.push(drift);
        for (name, found, document) in &measured {
            let tried = tried.entry(name).or_default();
            tried.add(found, document, drift);
        }
    }
    let sealed = seal.open()?;
    let pairs = pairs(&sealed.figures, &tried);
    keep(&out.measured(), &tried, &drifts)?;
    let (text, passed) = table::render(
        &trials,
        &pairs,
        &tried,
        &drifts,
        &seal,
        options,
        progress.elapsed(),
    );
    Ok(Verified {
        passed,
        text,
        document,
    })
}

/// Leaves what was measured, round by round, for who wants to recompute the tables: without the machine's drift, by which
/// what the kernel said was divided.
fn keep(path: &Path, tried: &BTreeMap<&str, Tried>, drifts: &[f64]) -> anyhow::Result<()> {
    let rows: Vec<_> = tried
        .iter()
        .flat_map(|(placement, tried)| {
            tried.values.iter().map(move |(subject, ns)| {
                json!({"placement": placement, "subject": subject, "measured_ns": ns})
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&json!({
        "schema_version": 2,
        "drift_by_round": drifts,
        "figures": rows,
    }))?;
    text.push('\n');
    std::fs::write(path, text)
        .with_context(|| format!("cannot write {}; choose another --out", path.display()))
}

fn pairs(figures: &[figure::Sealed], tried: &BTreeMap<&str, Tried>) -> Vec<Pair> {
    figures
        .iter()
        .filter_map(|sealed| {
            let of = tried.get(sealed.placement.as_str())?;
            Some(Pair {
                measured: of.measured(&sealed.subject)?,
                agent: of.agent(&sealed.subject),
                sealed: sealed.clone(),
            })
        })
        .collect()
}

/// How often the given placement is started to be weighed: one start knows nothing of how starts differ.
const STARTS: u64 = 3;

/// What the weighing of the given placement gives.
struct Weighed {
    starts: Vec<Start>,
    /// By the pilot, by row of the mix.
    costs: Costs,
}

/// One start of it: what the ledger has, and when what was asked.
struct Start {
    range: FoldedRange,
    round: Round,
    /// Absent when nothing calls over HTTP in the given placement.
    crossing: Option<Crossing>,
}

impl Weighed {
    /// All starts in one range.
    fn all(&self) -> FoldedRange {
        let mut windows = self.starts.iter().map(|start| start.range.window);
        let first = windows.next().unwrap_or(Window {
            start_unix_ns: 0,
            end_unix_ns: 0,
        });
        FoldedRange {
            window: windows.fold(first, Window::cover),
            windows: self
                .starts
                .iter()
                .flat_map(|start| start.range.windows.iter().cloned())
                .collect(),
        }
    }
}

async fn weigh(
    trial: &Trial,
    options: &Options,
    out: &OutDirectory,
    progress: &mut Progress,
) -> anyhow::Result<Weighed> {
    progress.phase("finding the rates that use a third of a core");
    let start = |directory: OutDirectory| async move {
        let running = Running::start(
            &trial.text,
            &trial.placement,
            options.seed,
            WINDOW_MS,
            &directory,
        )
        .await?;
        anyhow::Ok((running, directory))
    };
    let (mut running, directory) = start(out.trial(trial.name)?).await?;
    let costs = pilot(&mut running, options.seed).await?;
    running.stop(&directory).await?;
    let lengths = Lengths::weighing(options);
    let mut starts = Vec::new();
    for number in 1..=STARTS {
        progress.phase(&format!(
            "weighing the given placement, start {number} of {STARTS}"
        ));
        let (mut running, directory) = start(out.trial(trial.name)?).await?;
        let seed = options.seed.wrapping_add(100 * number);
        let round = round(&mut running, seed, lengths, &costs, &costs).await?;
        let (failed, first) = round.failures();
        if failed > 0 {
            anyhow::bail!(
                "{failed} requests failed while the given placement was weighed: {}",
                first.unwrap_or_default()
            );
        }
        let crossing = crossing(&mut running, number, seed, lengths, &costs).await?;
        let (range, ends) = running.stop(&directory).await?;
        flushed(&ends)?;
        starts.push(Start {
            range,
            round,
            crossing,
        });
    }
    Ok(Weighed { starts, costs })
}

/// Compares calls over HTTP with calls inside the process, each first in its turn.
async fn crossing(
    running: &mut Running,
    number: u64,
    seed: u64,
    lengths: Lengths,
    costs: &Costs,
) -> anyhow::Result<Option<Crossing>> {
    if !running.calls_over_http() {
        return Ok(None);
    }
    // An order makes about as many calls, and has work of its own beside them.
    let orders = MIX.iter().position(|o| o.operation == "POST /orders");
    let cost = orders.and_then(|row| costs.get(row)).copied();
    let cost = cost.unwrap_or(PILOT_COSTS_NS[3]);
    let requests = (plan::UTILISATION * lengths.alone as f64 * 1e6 / cost).max(1.0) as usize;
    let mut spent = [Spent::default(), Spent::default()];
    for turn in [number % 2, (number + 1) % 2] {
        let remote = turn == 0;
        let mut segment = plan::segment(seed, 700, lengths.alone, Vec::new());
        segment.probe = Some(ProbeLoad {
            requests,
            calls: crossing::CALLS,
            remote,
        });
        spent[usize::from(!remote)] = running.run(segment).await?;
    }
    let [remote, local] = spent;
    Ok(Some(Crossing {
        remote,
        local,
        requests,
    }))
}

/// Finds out what rates make the utilisation that is wanted: nothing is predicted from it.
async fn pilot(running: &mut Running, seed: u64) -> anyhow::Result<Costs> {
    let mut costs = PILOT_COSTS_NS.to_vec();
    let idle = running.idle(PILOT_MS).await?;
    let idle_ns = idle.placed_ns() / idle.seconds;
    for step in 0..2 {
        for origin in 0..MIX.len() {
            let requests = plan::alone(origin, &costs, PILOT_MS);
            let number = 900 + step * 10 + origin as u64;
            let spent = running
                .run(plan::segment(seed, number, PILOT_MS, requests))
                .await?;
            let sent = spent.sent().max(1) as f64;
            let ns = (spent.placed_ns() - idle_ns * spent.seconds) / sent;
            costs[origin] = ns.max(1_000.0);
        }
    }
    Ok(costs)
}

/// One start of one placement.
async fn one(
    trial: &Trial,
    seed: u64,
    options: &Options,
    given: &Costs,
    total: &Costs,
    out: &OutDirectory,
) -> anyhow::Result<(Round, Document)> {
    let directory = out.trial(trial.name)?;
    let mut running = Running::start(
        &trial.text,
        &trial.placement,
        options.seed,
        WINDOW_MS,
        &directory,
    )
    .await?;
    let lengths = Lengths::round(options);
    let measured = round(&mut running, seed, lengths, given, total).await?;
    let (range, ends) = running.stop(&directory).await?;
    flushed(&ends)?;
    let document = Document::build(&range, &weighbridge_reports::Options::default());
    Ok((measured, document))
}

/// The segments of one start: warm up, nothing, the mix, each origin alone.
async fn round(
    running: &mut Running,
    seed: u64,
    lengths: Lengths,
    given: &Costs,
    total: &Costs,
) -> anyhow::Result<Round> {
    let warm = plan::mix(given, total, WARM_MS);
    running.run(plan::segment(seed, 800, WARM_MS, warm)).await?;
    tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
    let idle = running.idle(lengths.idle).await?;
    let requests = plan::mix(given, total, lengths.mix);
    let mix = running
        .run(plan::segment(seed, 0, lengths.mix, requests))
        .await?;
    let mut alone: Vec<Spent> = Vec::with_capacity(MIX.len());
    for origin in 0..MIX.len() {
        let requests = plan::alone(origin, total, lengths.alone);
        let number = 1 + origin as u64;
        let segment = plan::segment(seed, number, lengths.alone, requests);
        alone.push(running.run(segment).await?);
    }
    Ok(Round { idle, mix, alone })
}

fn flushed(ends: &[ServiceEnd]) -> anyhow::Result<()> {
    match ends.iter().find(|end| !end.ended.flushed) {
        Some(end) => anyhow::bail!(
            "`{}` ended before the collector had all that it counted; run again",
            end.instance
        ),
        None => Ok(()),
    }
}
