//! What a supervisor and its children say to each other: one JSON document per line.
//!
//! Down the child's standard input: its configuration, then commands. Up its standard output: that it is ready,
//! answers to commands, and at the end its account of itself. The end of standard input is the order to stop, and
//! comes by itself when the supervisor is gone for whatever reason.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::load::{Results, Segment};
use crate::placement::{Component, Front};

/// What a child is told first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum ChildConfig {
    Collector(CollectorConfig),
    Broker(BrokerConfig),
    Front(FrontConfig),
    Service(ServiceConfig),
    Load(LoadConfig),
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectorConfig {
    pub(crate) data: PathBuf,
    /// `127.0.0.1:0` for a free port; after a restart the one from before.
    pub(crate) listen: String,
    /// Which core it runs on, counted in turn; absent: any.
    pub(crate) core_turn: Option<usize>,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BrokerConfig {
    /// Which core it runs on, counted in turn; absent: any.
    pub(crate) core_turn: Option<usize>,
}

/// What stands before the replicas of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrontConfig {
    /// The process that it stands before.
    pub(crate) peer: String,
    pub(crate) by: Front,
    /// Where its replicas listen, the first instance first.
    pub(crate) targets: Vec<String>,
    /// Which core it runs on, counted in turn.
    pub(crate) core_turn: usize,
}

/// A service of the ERP: some components in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceConfig {
    /// The placement file's text; each service finds itself in it.
    pub(crate) placement: String,
    /// Which of its processes this is.
    pub(crate) process: String,
    /// Which of its instances, from 1.
    pub(crate) instance: usize,
    /// Which core it runs on, counted in turn over those that the demo may use.
    pub(crate) core_turn: usize,
    /// Which part of the store's data it has, from 1; absent: all of it.
    pub(crate) shard: Option<usize>,
    /// Where the databases lie.
    pub(crate) databases: PathBuf,
    /// Where the broker listens, if there is one.
    pub(crate) broker: Option<String>,
    /// Where the components of other processes listen.
    pub(crate) peers: BTreeMap<Component, Vec<String>>,
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadConfig {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) targets: BTreeMap<Component, Vec<String>>,
    /// Which core it runs on, counted in turn; absent: any.
    pub(crate) core_turn: Option<usize>,
}

/// What a child may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Command {
    /// How far are you?
    Status,
    /// Load only: send everything, then answer with the results.
    Go,
    /// Load only: send this, then answer with the results.
    Segment(Segment),
}

/// What a child says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "lowercase")]
pub(crate) enum Reply {
    /// Ready to work, and where.
    Ready {
        address: Option<String>,
    },
    Status(Status),
    Results(Results),
    /// The last word.
    Ended(Ended),
}

/// How far a child is: messages over the broker so far, by topic, and its CPU time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// CPU time of the process by the kernel, ns; absent where it does not tell.
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) published: BTreeMap<String, u64>,
    pub(crate) consumed: BTreeMap<String, u64>,
}

/// A child's account of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// CPU time by the kernel just before the agent began to count, ms.
    pub(crate) cpu_before_agent_ms: Option<u64>,
    /// CPU time by the kernel just after the agent's last delta was acknowledged, ms.
    pub(crate) cpu_after_flush_ms: Option<u64>,
    /// Everything that the agent counted was acknowledged.
    pub(crate) flushed: bool,
}

impl Ended {
    /// CPU time by the kernel of what the agent should have counted, ms.
    pub(crate) fn weighed_cpu_ms(&self) -> Option<u64> {
        Some(
            self.cpu_after_flush_ms?
                .saturating_sub(self.cpu_before_agent_ms?),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_a_line() {
        let config = ChildConfig::Service(ServiceConfig {
            placement: "a = \"b\"\n".to_owned(),
            process: "store".to_owned(),
            instance: 1,
            core_turn: 0,
            shard: None,
            databases: PathBuf::from("/tmp/x"),
            broker: None,
            peers: BTreeMap::from([(Component::Stock, vec!["http://127.0.0.1:1".to_owned()])]),
        });
        let line = serde_json::to_string(&config).expect("written");
        assert!(!line.contains('\n'));
        assert_eq!(
            serde_json::from_str::<ChildConfig>(&line).expect("read"),
            config
        );
        let reply = Reply::Ended(Ended {
            flushed: true,
            ..Ended::default()
        });
        let line = serde_json::to_string(&reply).expect("written");
        assert_eq!(serde_json::from_str::<Reply>(&line).expect("read"), reply);
    }
}
