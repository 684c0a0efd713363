//! Cost of a request over all services, by where it entered.

use serde::{Deserialize, Serialize};

use super::{ClassFigures, Figure, FigureUnit, Quantiles};

/// One origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginReport {
    /// Row id, `origin:…`.
    pub id: String,
    /// The service at which the chain of requests began.
    pub service: String,
    /// The operation at which it began.
    pub operation: String,
    /// Chains that began here and ended, in a second.
    pub rate: Figure,
    /// Chains that ended in the range.
    pub ended: Figure,
    /// CPU over all services by class, ns/request. Holds the operations' own CPU and, in `protocol` and
    /// `io`, the share of pools, drivers, connections and brokers that `message_overhead` names.
    pub unit_cost: ClassFigures,
    /// Rate × unit cost, cores.
    pub cores: Figure,
    /// Share of the CPU of all origins.
    pub share: Figure,
    /// What carrying messages costs of `unit_cost`.
    pub message_overhead: MessageOverhead,
    /// What the cores cost in an hour, where there is a price sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Figure>,
    /// Wall time at the root, ns.
    pub wall: Quantiles,
    /// Cost by service; largest first.
    pub services: Vec<OriginService>,
    /// Cost by operation; largest first.
    pub operations: Vec<OriginOperation>,
    /// Cost by the way on which an operation was reached: what flame graphs are drawn from. In the order of the
    /// tree, each after the path that it continues.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<OriginPath>,
}

/// An operation on one way from the origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginPath {
    /// Row ids of the operations from the origin to this one.
    pub rows: Vec<String>,
    /// Its requests on this way, for each request of the origin.
    pub requests: Figure,
    /// Its own CPU on this way by class, ns per request of the origin.
    pub cpu: ClassFigures,
    /// Bytes that it allocates on this way, per request of the origin.
    pub alloc_bytes: Figure,
}

/// What carrying messages costs, per request of an origin, ns/request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageOverhead {
    /// Encode, decode, protocol and io on the calling sides of edges between services, pools and drivers left out.
    pub caller: Figure,
    /// The same on the answering sides.
    pub callee: Figure,
    /// Share of client pools and drivers, and of servers' connections, on edges between services.
    pub pool: Figure,
    /// Share of brokers' processes.
    pub broker: Figure,
    /// Reading what the origin's callers sent and answering them: the known side of the edge from outside, with the
    /// connections that carry it.
    #[serde(default = "absent_outside")]
    pub outside: Figure,
    /// Sum of the known ones.
    pub total: Figure,
    /// `total` as a share of the unit cost.
    pub share: Figure,
}

/// What one service contributes to an origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginService {
    /// The service.
    pub service: String,
    /// Requests at this service for each request of the origin.
    pub requests: Figure,
    /// CPU by class, ns per request of the origin.
    pub cpu: ClassFigures,
    /// Bytes that it allocates, per request of the origin.
    #[serde(default = "absent_bytes")]
    pub alloc_bytes: Figure,
    /// Share of the unit cost.
    pub share: Figure,
}

/// What one operation contributes to an origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginOperation {
    /// Row id of the operation.
    pub row: String,
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// Its requests for each request of the origin.
    pub calls: Figure,
    /// CPU of one of its requests, ns/request.
    pub cpu_per_call: Figure,
    /// CPU by class, ns per request of the origin.
    pub cpu: ClassFigures,
    /// Bytes that it allocates, per request of the origin.
    #[serde(default = "absent_bytes")]
    pub alloc_bytes: Figure,
    /// Share of the unit cost.
    pub share: Figure,
}

fn absent_outside() -> Figure {
    Figure::unknown(
        FigureUnit::NsPerRequest,
        "the document is from before this figure",
    )
}

fn absent_bytes() -> Figure {
    Figure::unknown(
        FigureUnit::BytesPerRequest,
        "the document is from before this figure",
    )
}
