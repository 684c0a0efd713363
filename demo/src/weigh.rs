//! One weighing: start everything, load it, drain it, stop it, read what the collector has.

use std::time::Duration;

use anyhow::{Context as _, bail};
use weighbridge_collector::Span;
use weighbridge_reports::Document;

use crate::child::protocol::{Command, Reply};
use crate::clock;
use crate::data::seed::{self, Size};
use crate::load::Results;
use crate::options::Options;
use crate::placement::Placement;
use crate::supervisor::{Cores, Fleet, OutDirectory, Progress, ServiceEnd, Started};

/// How often the children are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How much longer than planned the load may take: its last answers.
const LOAD_GRACE: Duration = Duration::from_secs(90);

/// What a weighing gives.
pub(crate) struct Weighing {
    pub(crate) placement: Placement,
    pub(crate) document: Document,
    pub(crate) results: Results,
    pub(crate) ends: Vec<ServiceEnd>,
    /// Most memory that all processes held at once; absent where the kernel does not tell.
    pub(crate) memory_peak_bytes: Option<u64>,
}

/// Weighs one placement.
pub(crate) async fn weigh(
    placement_text: &str,
    options: &Options,
    out: &OutDirectory,
    progress: &mut Progress,
) -> anyhow::Result<Weighing> {
    let placement = Placement::parse(placement_text)?;
    progress.phase("making three databases");
    databases(out, options.seed, &placement).await?;
    let names: Vec<&str> = placement
        .processes
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    progress.phase(&format!("starting collector, broker, {}", names.join(", ")));
    let mut fleet = Fleet::start(Started {
        placement_text: placement_text.to_owned(),
        placement: placement.clone(),
        window_ms: options.window_ms(),
        cores: Cores::InTurn,
        logs: out.logs(),
        databases: out.databases(),
        collector_data: out.collector(),
    })
    .await?;
    progress.phase(&format!(
        "load for {} s, seed {}; see it live at http://{}/",
        options.seconds,
        options.seed,
        fleet.collector_address()?
    ));
    let results = load(&mut fleet, options, progress).await?;
    progress.phase("waiting until every message is applied");
    fleet.drain().await?;
    progress.phase("stopping services, broker, collector");
    let memory_peak_bytes = fleet.memory_peak_bytes();
    let ends = fleet.stop().await?;
    progress.phase("reading the ledger and working out the report");
    let document = document(out).await?;
    progress.finish();
    Ok(Weighing {
        placement,
        document,
        results,
        ends,
        memory_peak_bytes,
    })
}

/// Makes the databases that a placement needs.
pub(crate) async fn databases(
    out: &OutDirectory,
    seed: u64,
    placement: &Placement,
) -> anyhow::Result<()> {
    let (directory, placement) = (out.databases(), placement.clone());
    tokio::task::spawn_blocking(move || {
        seed::write(&directory, seed, Size::DEMO)?;
        seed::divide(&directory, &placement)
    })
    .await
    .context("making the databases")?
}

async fn load(
    fleet: &mut Fleet,
    options: &Options,
    progress: &mut Progress,
) -> anyhow::Result<Results> {
    let mut load = fleet.start_load(options.seed, options.seconds).await?;
    let start = clock::now();
    let patience = Duration::from_secs(options.seconds) + LOAD_GRACE;
    let mut kill_at = options.kill_collector_at.map(Duration::from_secs);
    load.send(Command::Go).await?;
    loop {
        if let Some(reply) = load.poll(WATCH_EVERY).await? {
            let Reply::Results(results) = reply else {
                bail!("the load answered {reply:?} instead of its results");
            };
            load.stop().await?;
            return Ok(results);
        }
        fleet.watch(&mut load)?;
        let elapsed = clock::now().saturating_duration_since(start);
        if elapsed > patience {
            bail!("the load did not end within {} s", patience.as_secs());
        }
        if kill_at.is_some_and(|at| elapsed >= at) {
            kill_at = None;
            progress.phase("killing the collector and starting it again");
            fleet.restart_collector().await?;
        }
    }
}

async fn document(out: &OutDirectory) -> anyhow::Result<Document> {
    let directory = out.collector();
    tokio::task::spawn_blocking(move || {
        // The directory is this run's own: everything in it belongs to the report.
        let folded = weighbridge_collector::read_range(&directory, Span::default())
            .context("reading what the collector kept")?;
        Ok(Document::build(
            &folded,
            &weighbridge_reports::Options::default(),
        ))
    })
    .await
    .context("working out the report")?
}
