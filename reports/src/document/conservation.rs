//! Does everything add up: accounts against the kernel, sent against received.

use serde::{Deserialize, Serialize};

use super::Figure;

/// The checks of conservation. All nanoseconds are exact integers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConservationReport {
    /// True when every service's accounts sum to its processes' CPU time to the nanosecond.
    pub cpu_exact: bool,
    /// True when every edge with agents at both ends has equal counts at both, to the unit.
    pub edges_exact: bool,
    /// Per service.
    pub services: Vec<ServiceConservation>,
    /// Per call: what the sender and all receivers counted.
    pub edges: Vec<EdgeConservation>,
    /// What was dropped, folded or refused, and where.
    pub losses: Vec<LossRow>,
}

/// One service's sum check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceConservation {
    /// Row id, `conservation:…`.
    pub id: String,
    /// The service.
    pub service: String,
    /// CPU time of its processes by the kernel; absent when no process row came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_cpu_ns: Option<i64>,
    /// Every account: operations, then owners. `unattributed` is one of them.
    pub accounts: Vec<AccountRow>,
    /// Sum of `accounts`.
    pub accounts_cpu_ns: i64,
    /// Change of CPU in progress (spent, not yet booked). Signed; absent when no process row came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress_ns: Option<i64>,
    /// `accounts_cpu_ns + in_progress_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_ns: Option<i64>,
    /// `process_cpu_ns − sum_ns`: 0 when everything adds up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_ns: Option<i64>,
    /// Share of the process CPU in `unattributed` and `runtime or unwrapped` (absolute amounts).
    pub unexplained_share: Figure,
    /// The share above which the attribution is called incomplete.
    pub unexplained_limit: f64,
    /// Per process, by its own row.
    pub processes: Vec<ProcessConservation>,
}

/// One account, or the operation's six accounts together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Row id: that of the operation or owner.
    pub row: String,
    /// `operation`, or the owner's kind.
    pub kind: String,
    /// The operation (with its class, if any) or the owner's name.
    pub name: String,
    /// Sum of the classes.
    pub cpu_ns: i64,
    /// By class; absent ones are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler_ns: Option<i64>,
    /// Serialisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encode_ns: Option<i64>,
    /// Deserialisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_ns: Option<i64>,
    /// Parsing, framing, TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_ns: Option<i64>,
    /// Socket calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_ns: Option<i64>,
    /// Database client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ns: Option<i64>,
    /// Share of the process CPU.
    pub share: Figure,
}

/// One process's own identity: process = accounts + in progress + unattributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessConservation {
    /// Row id of the instance.
    pub row: String,
    /// The instance.
    pub instance: String,
    /// Which start of the process.
    pub epoch: String,
    /// CPU time by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_cpu_ns: Option<i64>,
    /// Sum of all accounts, `unattributed` not included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts_cpu_ns: Option<i64>,
    /// Change of CPU in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress_ns: Option<i64>,
    /// What is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattributed_ns: Option<i64>,
    /// process − accounts − in progress − unattributed: 0 when everything adds up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_ns: Option<i64>,
}

/// One call's messages and bytes: sent against received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeConservation {
    /// Row ids of the edges that share this call.
    pub rows: Vec<String>,
    /// `service operation → target`.
    pub name: String,
    /// The transport.
    pub transport: String,
    /// Which count: `request messages`, `request body bytes`, `response messages`, `response body bytes`; for a
    /// broker `consumed by SERVICE`.
    pub what: String,
    /// What the sending side counted; absent when it has no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<i64>,
    /// What the receiving side counted, redelivered messages taken off; absent when it has no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
    /// `sent − received`; absent when either is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<i64>,
}

/// What was dropped, folded into `__other__` or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossRow {
    /// The service that counted it.
    pub service: String,
    /// Which bounded thing.
    pub place: String,
    /// Why.
    pub reason: String,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<i64>,
    /// CPU time that stood in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_cpu_ns: Option<i64>,
}
