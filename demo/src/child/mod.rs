//! The processes that the supervisor starts from this very program.

mod broker;
mod collector;
mod control;
mod front;
mod load;
pub(crate) mod protocol;
mod service;
mod wiring;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use weighbridge_agent::Builder;

use crate::kernel;
use control::{Control, say};
use protocol::{ChildConfig, Ended, Reply, Status};

/// Threads that poll sockets and handlers. What takes long runs on blocking threads, so one is enough, and no
/// CPU goes into waking another for each message.
const WORKERS: usize = 1;
/// Threads that run SQL. A burst of long statements delays the short ones: planted truth 2.
const BLOCKING_THREADS_MAX: usize = 4;
/// Under which a child's own starting, stopping and answering stand in the ledger.
pub(crate) const MAIN_OWNER: &str = weighbridge_wire::MAIN_OWNER;
/// How long the agent may take to hand over its last delta.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Runs one child of the demo. Its arguments are for who looks at the process list; what it does comes over
/// standard input.
#[must_use]
pub fn child(_args: &[String]) -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is a file of the supervisor's; nothing to do when that is gone too.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (config, control) = Control::open()?;
    log_to_stderr();
    let core_turn = match &config {
        ChildConfig::Collector(config) => config.core_turn,
        ChildConfig::Load(config) => config.core_turn,
        ChildConfig::Broker(config) => config.core_turn,
        ChildConfig::Front(config) => Some(config.core_turn),
        ChildConfig::Service(config) => Some(config.core_turn),
    };
    if let Some(turn) = core_turn {
        kernel::keep_to_one_core(turn);
    }
    match config {
        ChildConfig::Collector(config) => unweighed(collector::run(config, control)),
        ChildConfig::Load(config) => unweighed(load::run(config, control)),
        ChildConfig::Broker(_) => weighed(broker::owners, broker::run(control)),
        ChildConfig::Front(config) => weighed(|agent| agent, front::run(config, control)),
        ChildConfig::Service(config) => weighed(|agent| agent, service::run(config, control)),
    }
}

/// A child's answer to a question for status.
fn status(published: BTreeMap<String, u64>, consumed: BTreeMap<String, u64>) -> Status {
    Status {
        cpu_ns: kernel::own_cpu_ns(),
        published,
        consumed,
    }
}

/// Warnings and errors only; the broker's own words are many and of no use here.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::new("warn,rumqttd=off");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if subscriber.with_ansi(false).try_init().is_err() {
        tracing::debug!("the program that started this child has set up logging already");
    }
}

/// Runs a child that is no part of what is weighed.
fn unweighed(main: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(main)?;
    say(&Reply::Ended(Ended {
        flushed: true,
        ..Ended::default()
    }))
}

/// Runs a child with the agent inside, and gives its own account of it at the end.
fn weighed(
    configure: impl FnOnce(Builder) -> Builder,
    main: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let pid = std::process::id();
    let cpu_before_agent_ms = kernel::cpu_ms(pid);
    let agent = configure(weighbridge_agent::builder()).init();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("starting the runtime")?;
    let outcome = runtime.block_on(weighbridge_agent::background(MAIN_OWNER, main));
    // Its threads end before the last window does, so that nothing is spent after it.
    drop(runtime);
    let flushed = agent.flush(FLUSH_PATIENCE);
    let cpu_after_flush_ms = kernel::cpu_ms(pid);
    outcome?;
    say(&Reply::Ended(Ended {
        cpu_before_agent_ms,
        cpu_after_flush_ms,
        flushed,
    }))
}
