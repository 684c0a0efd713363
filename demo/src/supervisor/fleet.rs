//! All children of one run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::process::{ChildProcess, Spawn};
use crate::child::protocol::{
    BrokerConfig, ChildConfig, CollectorConfig, Command, Ended, FrontConfig, LoadConfig, Reply,
    ServiceConfig, Status,
};
use crate::kernel;
use crate::placement::{Component, Placement, Process};

/// How long the broker may take to deliver what is left when the load has ended.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked whether it has.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Which child runs on which core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Each service on one, in turn, as in containers limited to one core; all others where the system puts them.
    InTurn,
    /// All that is weighed on one, the load and the collector on another.
    LoadApart,
}

impl Cores {
    fn of_service(self, services: usize) -> usize {
        match self {
            Self::InTurn => services,
            Self::LoadApart => 1,
        }
    }

    fn of_broker(self) -> Option<usize> {
        (self == Self::LoadApart).then_some(1)
    }

    fn of_load(self) -> Option<usize> {
        (self == Self::LoadApart).then_some(0)
    }
}

/// What the kernel says of a process at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The process in the placement, what stands before it, `broker`, `collector` or `load`.
    pub(crate) name: String,
    /// CPU time since its start, ns; absent where the kernel does not tell.
    pub(crate) cpu_ns: Option<u64>,
}

/// What the children of a run have in common.
pub(crate) struct Started {
    pub(crate) placement_text: String,
    pub(crate) placement: Placement,
    /// Length of the agents' windows.
    pub(crate) window_ms: u64,
    pub(crate) cores: Cores,
    pub(crate) logs: PathBuf,
    pub(crate) databases: PathBuf,
    pub(crate) collector_data: PathBuf,
}

/// One service's last word.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEnd {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) ended: Ended,
}

/// The running children.
pub(crate) struct Fleet {
    common: Started,
    collector: ChildProcess,
    broker: Option<ChildProcess>,
    /// With the name of their process in the placement.
    services: Vec<(String, ChildProcess)>,
    targets: BTreeMap<Component, Vec<String>>,
    memory_peak_bytes: u64,
}

impl Fleet {
    /// Starts collector, broker and services, each when those that it needs are ready.
    pub(crate) async fn start(common: Started) -> anyhow::Result<Self> {
        let collector = start_collector(&common, "127.0.0.1:0").await?;
        let mut fleet = Self {
            common,
            collector,
            broker: None,
            services: Vec::new(),
            targets: BTreeMap::new(),
            memory_peak_bytes: 0,
        };
        if fleet.common.placement.needs_broker() {
            let environment = fleet.environment("broker", 1)?;
            fleet.broker = Some(
                ChildProcess::start(Spawn {
                    role: "broker",
                    name: "broker",
                    config: &ChildConfig::Broker(BrokerConfig {
                        core_turn: fleet.common.cores.of_broker(),
                    }),
                    environment: &environment,
                    logs: &fleet.common.logs,
                })
                .await?,
            );
        }
        let placement = fleet.common.placement.clone();
        for process in placement.start_order() {
            for instance in 1..=process.replicas {
                fleet.start_service(&process.name, instance).await?;
            }
            let mut addresses = fleet.addresses(&process.name);
            if let Some(front) = fleet.start_front(process, &addresses).await? {
                addresses = fleet.addresses(&front);
            }
            for component in &process.components {
                fleet.targets.insert(*component, addresses.clone());
            }
        }
        Ok(fleet)
    }

    fn addresses(&self, process: &str) -> Vec<String> {
        self.services
            .iter()
            .filter(|(name, _)| name == process)
            .filter_map(|(_, child)| child.address.as_ref())
            .map(|address| format!("http://{address}"))
            .collect()
    }

    /// Where the collector, and its live page, can be reached.
    pub(crate) fn collector_address(&self) -> anyhow::Result<&str> {
        self.collector
            .address
            .as_deref()
            .context("a collector without address")
    }

    /// Starts what stands before the replicas of a process, if anything does, and gives its name.
    async fn start_front(
        &mut self,
        process: &Process,
        targets: &[String],
    ) -> anyhow::Result<Option<String>> {
        let Some((name, by)) = process.front_name().zip(process.front) else {
            return Ok(None);
        };
        let config = ChildConfig::Front(FrontConfig {
            peer: process.name.clone(),
            by,
            targets: targets.to_vec(),
            core_turn: self.common.cores.of_service(self.services.len()),
        });
        let environment = self.environment(&name, 1)?;
        let child = ChildProcess::start(Spawn {
            role: by.role(),
            name: &format!("{name}-1"),
            config: &config,
            environment: &environment,
            logs: &self.common.logs,
        })
        .await?;
        self.services.push((name.clone(), child));
        Ok(Some(name))
    }

    async fn start_service(&mut self, process: &str, instance: usize) -> anyhow::Result<()> {
        let divided = self
            .common
            .placement
            .processes
            .iter()
            .any(|p| p.name == process && p.is_divided());
        let name = format!("{process}-{instance}");
        let config = ChildConfig::Service(ServiceConfig {
            placement: self.common.placement_text.clone(),
            process: process.to_owned(),
            instance,
            core_turn: self.common.cores.of_service(self.services.len()),
            shard: divided.then_some(instance),
            databases: self.common.databases.clone(),
            broker: self
                .broker
                .as_ref()
                .and_then(|broker| broker.address.clone()),
            peers: self.targets.clone(),
        });
        let environment = self.environment(process, instance)?;
        let child = ChildProcess::start(Spawn {
            role: "service",
            name: &name,
            config: &config,
            environment: &environment,
            logs: &self.common.logs,
        })
        .await?;
        self.services.push((process.to_owned(), child));
        Ok(())
    }

    fn environment(
        &self,
        service: &str,
        instance: usize,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let collector = self.collector_address()?;
        let mut environment = vec![
            ("OTEL_SERVICE_NAME", service.to_owned()),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                format!(
                    "service.namespace=demo,service.instance.id={service}-{instance},\
                     deployment.environment.name=demo"
                ),
            ),
            ("WEIGHBRIDGE_ENDPOINT", format!("http://{collector}")),
            window(&self.common),
            arenas(),
        ];
        if self.common.cores == Cores::LoadApart {
            environment.extend(kept_memory());
        }
        Ok(environment)
    }

    /// Starts the load; it waits for its command.
    pub(crate) async fn start_load(&self, seed: u64, seconds: u64) -> anyhow::Result<ChildProcess> {
        let targets = self.targets.clone();
        ChildProcess::start(Spawn {
            role: "load",
            name: "load",
            config: &ChildConfig::Load(LoadConfig {
                seed,
                seconds,
                targets,
                core_turn: self.common.cores.of_load(),
            }),
            environment: &[arenas()],
            logs: &self.common.logs,
        })
        .await
    }

    /// Sees that everybody lives, and how much memory all of them hold together.
    pub(crate) fn watch(&mut self, load: &mut ChildProcess) -> anyhow::Result<()> {
        let broker = self.broker.iter_mut();
        let services = self.services.iter_mut().map(|(_, child)| child);
        let mut memory_bytes = kernel::memory_bytes(std::process::id()).unwrap_or(0);
        for child in [&mut self.collector, load]
            .into_iter()
            .chain(broker)
            .chain(services)
        {
            child.check_alive()?;
            memory_bytes += kernel::memory_bytes(child.pid).unwrap_or(0);
        }
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory_bytes);
        Ok(())
    }

    /// Most memory that all processes held at one instant; `None` where the kernel does not tell.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        (self.memory_peak_bytes > 0).then_some(self.memory_peak_bytes)
    }

    /// Kills the collector and starts it again on the same directory and port.
    pub(crate) async fn restart_collector(&mut self) -> anyhow::Result<()> {
        let address = self.collector_address()?.to_owned();
        self.collector.kill().await?;
        self.collector = start_collector(&self.common, &address).await?;
        Ok(())
    }

    /// Waits until every message that was published has been applied by everybody who subscribed to it.
    pub(crate) async fn drain(&mut self) -> anyhow::Result<()> {
        let polls = DRAIN_PATIENCE.as_millis() / DRAIN_POLL.as_millis();
        let mut open = String::new();
        for _ in 0..polls {
            let mut statuses: Vec<(String, Status)> = Vec::new();
            for (process, child) in &mut self.services {
                let all = &self.common.placement.processes;
                let divided = all.iter().any(|p| p.name == *process && p.is_divided());
                // Parts of a divided process get every message each.
                let name = if divided { &child.name } else { &*process };
                statuses.push((name.clone(), status(child).await?));
            }
            match undelivered(&statuses) {
                None => return Ok(()),
                Some(text) => open = text,
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        bail!(
            "messages were not delivered within {} s: {open}",
            DRAIN_PATIENCE.as_secs()
        )
    }

    /// What the kernel says of every process now, the load included.
    pub(crate) async fn readings(
        &mut self,
        load: &mut ChildProcess,
    ) -> anyhow::Result<Vec<Reading>> {
        let broker = self.broker.iter_mut().map(|child| ("broker", child));
        let services = self
            .services
            .iter_mut()
            .map(|(name, child)| (name.as_str(), child));
        let others = [("collector", &mut self.collector), ("load", load)];
        let mut readings = Vec::new();
        for (name, child) in services.chain(broker).chain(others) {
            readings.push(Reading {
                name: name.to_owned(),
                cpu_ns: status(child).await?.cpu_ns,
            });
        }
        Ok(readings)
    }

    /// Ends everybody in the order in which nobody loses a peer that it still needs: services, broker,
    /// collector.
    pub(crate) async fn stop(self) -> anyhow::Result<Vec<ServiceEnd>> {
        let mut ends = Vec::new();
        // Callers were started after their callees, so they end before them.
        for (service, child) in self.services.into_iter().rev() {
            let instance = child.name.clone();
            ends.push(ServiceEnd {
                service,
                instance,
                ended: child.stop().await?,
            });
        }
        if let Some(broker) = self.broker {
            let instance = format!("{}-1", broker.name);
            let service = broker.name.clone();
            ends.push(ServiceEnd {
                service,
                instance,
                ended: broker.stop().await?,
            });
        }
        self.collector.stop().await?;
        Ok(ends)
    }
}

async fn status(child: &mut ChildProcess) -> anyhow::Result<Status> {
    match child.ask(Command::Status).await? {
        Reply::Status(status) => Ok(status),
        other => bail!(
            "`{}` answered {other:?} to a question for status",
            child.name
        ),
    }
}

/// Windows of one length everywhere: the collector weighs itself too.
fn window(common: &Started) -> (&'static str, String) {
    ("WEIGHBRIDGE_WINDOW", format!("{}ms", common.window_ms))
}

/// glibc keeps an arena per thread; two are plenty and keep eight processes within a small machine.
fn arenas() -> (&'static str, String) {
    ("MALLOC_ARENA_MAX", "2".to_owned())
}

/// glibc gives memory back when what is free at the top of the heap passes a threshold, and the next request faults
/// it in again: whether that happens hangs on what else lies there, which differs from start to start. Where starts
/// are compared it keeps what it has.
fn kept_memory() -> [(&'static str, String); 2] {
    [
        ("MALLOC_TRIM_THRESHOLD_", (1_u64 << 30).to_string()),
        // The largest that it takes.
        ("MALLOC_MMAP_THRESHOLD_", (32_u64 << 20).to_string()),
    ]
}

async fn start_collector(common: &Started, listen: &str) -> anyhow::Result<ChildProcess> {
    let config = ChildConfig::Collector(CollectorConfig {
        data: common.collector_data.clone(),
        listen: listen.to_owned(),
        core_turn: common.cores.of_load(),
    });
    ChildProcess::start(Spawn {
        role: "collector",
        name: "collector",
        config: &config,
        environment: &[
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.namespace=demo".to_owned(),
            ),
            window(common),
            arenas(),
        ],
        logs: &common.logs,
    })
    .await
}

/// What is still on its way, in words: per topic, everything published must be consumed by each process that
/// consumes the topic at all.
fn undelivered(statuses: &[(String, Status)]) -> Option<String> {
    let mut published: BTreeMap<&str, u64> = BTreeMap::new();
    let mut consumed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (process, status) in statuses {
        for (topic, count) in &status.published {
            *published.entry(topic).or_default() += count;
        }
        for (topic, count) in &status.consumed {
            *consumed.entry((process, topic)).or_default() += count;
        }
    }
    consumed.into_iter().find_map(|((process, topic), count)| {
        let sent = published.get(topic).copied().unwrap_or(0);
        (count < sent).then(|| format!("`{process}` applied {count} of {sent} `{topic}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(published: &[(&str, u64)], consumed: &[(&str, u64)]) -> Status {
        let map = |pairs: &[(&str, u64)]| {
            pairs
                .iter()
                .map(|(topic, count)| ((*topic).to_owned(), *count))
                .collect()
        };
        Status {
            published: map(published),
            consumed: map(consumed),
            ..Status::default()
        }
    }

    #[test]
    fn drained_means_that_every_subscriber_has_everything() {
        let store = ("store".to_owned(), status(&[("changed", 5)], &[]));
        let half = ("warehouse".to_owned(), status(&[], &[("changed", 4)]));
        let all = ("accounting".to_owned(), status(&[], &[("changed", 5)]));
        assert_eq!(
            undelivered(&[store.clone(), half, all.clone()]).as_deref(),
            Some("`warehouse` applied 4 of 5 `changed`")
        );
        assert_eq!(undelivered(&[store, all]), None);
    }

    #[test]
    fn replicas_share_what_was_published() {
        let a = (
            "store".to_owned(),
            status(&[("changed", 3)], &[("changed", 1)]),
        );
        let b = (
            "store".to_owned(),
            status(&[("changed", 2)], &[("changed", 4)]),
        );
        assert_eq!(undelivered(&[a, b]), None);
    }
}
