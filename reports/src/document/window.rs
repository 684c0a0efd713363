//! The range that a document is about.

use serde::{Deserialize, Serialize};

use super::Figure;

/// The range of event time and how well it is covered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowReport {
    /// First nanosecond since the Unix epoch.
    pub start_unix_ns: u64,
    /// First nanosecond after the range.
    pub end_unix_ns: u64,
    /// `start_unix_ns` in RFC 3339, UTC, to the millisecond.
    pub start: String,
    /// `end_unix_ns` in RFC 3339, UTC, to the millisecond.
    pub end: String,
    /// Length of the range that holds data, in nanoseconds: from the first window's start to the last one's end.
    pub duration_ns: u64,
    /// The most common length of a window; absent when there is no window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ns: Option<u64>,
    /// Number of distinct windows that hold data of at least one service.
    pub windows: u64,
    /// True when the range is too short to hold a daily peak: verdicts then speak of the load seen.
    pub at_the_load_seen: bool,
    /// How much of the traffic the figures speak of; absent in documents of before it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What a reader must know about the coverage, in sentences. Empty when nothing is missing.
    pub notes: Vec<String>,
}

/// How much of the traffic the figures speak of, and what it adds up to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Share of all calls, those from outside with them, that a process with the agent answered.
    pub answered: Figure,
    /// Share of the calls that services with the agent made whose answering service has it too.
    pub both_ends: Figure,
    /// Processes that reported.
    pub processes: Figure,
    /// CPU of all services together, by the kernel, cores.
    pub cpu_cores: Figure,
    /// Share of it that carried messages (encode, decode, protocol, io of all accounts).
    pub message_share: Figure,
    /// What the cores cost in an hour, where there is a price sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Figure>,
}
