//! Runs a placement through segments of load and reads the kernel's clocks around each.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use weighbridge_collector::Span;
use weighbridge_wire::FoldedRange;

use crate::child::protocol::{Command, Reply};
use crate::clock;
use crate::load::{MIX, Results, Segment};
use crate::placement::{Component, Edge, Placement, Transport};
use crate::supervisor::{ChildProcess, Cores, Fleet, OutDirectory, Reading, ServiceEnd, Started};
use crate::weigh::databases;

/// How often the load is asked for its results.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// How much longer than planned a segment may take: its last answers.
const GRACE: Duration = Duration::from_secs(90);
/// Those that are no part of the placement.
pub(super) const ASIDE: [&str; 2] = ["collector", "load"];

/// What a segment cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent {
    /// When, by the clock that the ledger's windows go by.
    pub(super) span: (u64, u64),
    pub(super) seconds: f64,
    /// Requests sent, by row of the mix.
    pub(super) requests: Vec<u64>,
    /// CPU by the kernel, ns, by process; replicas together.
    pub(super) cpu_ns: BTreeMap<String, f64>,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
}

impl Spent {
    /// CPU of all that is placed, ns.
    pub(super) fn placed_ns(&self) -> f64 {
        self.cpu_ns
            .iter()
            .filter(|(name, _)| !ASIDE.contains(&name.as_str()))
            .map(|(_, ns)| ns)
            .sum()
    }

    /// Share of the services' core that was busy.
    pub(super) fn utilisation(&self) -> f64 {
        self.placed_ns() / 1e9 / self.seconds.max(1e-9)
    }

    pub(super) fn sent(&self) -> u64 {
        self.requests.iter().sum()
    }
}

/// A placement that runs.
pub(super) struct Running {
    fleet: Fleet,
    load: ChildProcess,
    placement: Placement,
}

impl Running {
    pub(super) async fn start(
        text: &str,
        placement: &Placement,
        seed: u64,
        window_ms: u64,
        out: &OutDirectory,
    ) -> anyhow::Result<Self> {
        databases(out, seed, placement).await?;
        let fleet = Fleet::start(Started {
            placement_text: text.to_owned(),
            placement: placement.clone(),
            window_ms,
            cores: Cores::LoadApart,
            logs: out.logs(),
            databases: out.databases(),
            collector_data: out.collector(),
        })
        .await?;
        let load = fleet.start_load(seed, 0).await?;
        Ok(Self {
            fleet,
            load,
            placement: placement.clone(),
        })
    }

    /// Whether orders call the warehouse over HTTP.
    pub(super) fn calls_over_http(&self) -> bool {
        let edge = Edge {
            from: Component::Orders,
            to: Component::Stock,
        };
        self.placement.transport(edge) == Some(Transport::Http)
    }

    /// Sends a segment, waits until everything that it caused is done, and gives what that cost.
    pub(super) async fn run(&mut self, segment: Segment) -> anyhow::Result<Spent> {
        let length = Duration::from_millis(segment.millis);
        let (before, start, from) = (self.readings().await?, clock::now(), clock::unix_ns());
        self.load.send(Command::Segment(segment)).await?;
        let results = self.results(length + GRACE).await?;
        let until = clock::unix_ns();
        self.fleet.drain().await?;
        let (after, elapsed) = (
            self.readings().await?,
            clock::now().saturating_duration_since(start),
        );
        let spent = spent(&before, &after, elapsed, &results)?;
        Ok(Spent {
            span: (from, until),
            ..spent
        })
    }

    /// Waits without load and gives what that cost.
    pub(super) async fn idle(&mut self, millis: u64) -> anyhow::Result<Spent> {
        let (before, start, from) = (self.readings().await?, clock::now(), clock::unix_ns());
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let until = clock::unix_ns();
        let (after, elapsed) = (
            self.readings().await?,
            clock::now().saturating_duration_since(start),
        );
        let spent = spent(&before, &after, elapsed, &Results::default())?;
        Ok(Spent {
            span: (from, until),
            ..spent
        })
    }

    async fn readings(&mut self) -> anyhow::Result<Vec<Reading>> {
        self.fleet.readings(&mut self.load).await
    }

    async fn results(&mut self, patience: Duration) -> anyhow::Result<Results> {
        let start = clock::now();
        loop {
            if let Some(reply) = self.load.poll(WATCH_EVERY).await? {
                let Reply::Results(results) = reply else {
                    bail!("the load answered {reply:?} instead of its results");
                };
                return Ok(results);
            }
            if clock::now().saturating_duration_since(start) > patience {
                bail!("the load did not end within {} s", patience.as_secs());
            }
        }
    }

    /// Ends it and reads what its collector has.
    pub(super) async fn stop(
        self,
        out: &OutDirectory,
    ) -> anyhow::Result<(FoldedRange, Vec<ServiceEnd>)> {
        self.load.stop().await?;
        let ends = self.fleet.stop().await?;
        let directory = out.collector();
        let range = tokio::task::spawn_blocking(move || {
            weighbridge_collector::read_range(&directory, Span::default())
                .context("reading what the collector kept")
        })
        .await
        .context("reading the ledger")??;
        Ok((range, ends))
    }
}

fn spent(
    before: &[Reading],
    after: &[Reading],
    elapsed: Duration,
    results: &Results,
) -> anyhow::Result<Spent> {
    let mut cpu_ns: BTreeMap<String, f64> = BTreeMap::new();
    for (before, after) in before.iter().zip(after) {
        let (Some(from), Some(to)) = (before.cpu_ns, after.cpu_ns) else {
            bail!(
                "the kernel of this machine does not tell the CPU time of processes; --verify needs Linux"
            );
        };
        *cpu_ns.entry(after.name.clone()).or_default() += to.saturating_sub(from) as f64;
    }
    let (failed, first) = results.failures();
    let mut requests = vec![0; MIX.len()];
    for (slot, origin) in requests.iter_mut().zip(&results.origins) {
        *slot = origin.sent;
    }
    Ok(Spent {
        span: (0, 0),
        seconds: elapsed.as_secs_f64(),
        requests,
        cpu_ns,
        failed,
        first_failure: first.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(name: &str, cpu_ns: u64) -> Reading {
        Reading {
            name: name.to_owned(),
            cpu_ns: Some(cpu_ns),
        }
    }

    #[test]
    fn replicas_count_together_and_the_load_is_no_part_of_what_is_placed() {
        let before = ["store", "store", "broker", "load"].map(|name| reading(name, 1_000));
        let after = [
            reading("store", 4_000),
            reading("store", 6_000),
            reading("broker", 3_000),
            reading("load", 50_000),
        ];
        let spent = spent(
            &before,
            &after,
            Duration::from_micros(20),
            &Results::default(),
        )
        .expect("known");
        assert_eq!(spent.cpu_ns["store"], 8_000.0);
        assert_eq!(spent.placed_ns(), 10_000.0);
        assert!((spent.utilisation() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_an_error_and_no_zero() {
        let unknown = [Reading {
            cpu_ns: None,
            ..reading("store", 0)
        }];
        let error = spent(
            &unknown,
            &unknown,
            Duration::from_secs(1),
            &Results::default(),
        )
        .expect_err("refused");
        assert!(error.to_string().contains("needs Linux"));
    }
}
