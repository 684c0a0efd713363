//! Edges: caller and callee joined, and what their messages cost.

use serde::{Deserialize, Serialize};

use super::{EdgeShape, Figure};

/// One edge: caller operation → call → callee operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Row id, `edge:…`.
    pub id: String,
    /// Who calls or publishes.
    pub from: EdgeEnd,
    /// Who answers or consumes.
    pub to: EdgeEnd,
    /// `http`, `grpc`, `mqtt`, `local`, …
    pub transport: String,
    /// `sync` (the caller waits) or `async`.
    pub mode: String,
    /// Short id of the call.
    pub call_id: String,
    /// Method and client-side template, or topic.
    pub target: String,
    /// The broker's service, when messages go through one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// Calls or messages over this edge in the range: received where the callee has an agent, else sent.
    pub calls: Figure,
    /// The same in a second.
    pub rate: Figure,
    /// Calls for each ended request of the caller.
    pub calls_per_request: Figure,
    /// Messages and bytes at both ends.
    pub traffic: EdgeTraffic,
    /// What differs between both ends, and the time between them.
    pub ends: EdgeEnds,
    /// How the calls of a request ran.
    pub shape: EdgeShape,
    /// CPU of the calling side, ns/call.
    pub caller_cpu: EdgeSideCpu,
    /// CPU of the answering side, ns/call.
    pub callee_cpu: EdgeSideCpu,
    /// The broker's CPU, ns/message; absent where there is no broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_cpu: Option<Figure>,
    /// Message overhead of one call: both sides, pool share, broker, ns/call.
    pub overhead: Figure,
    /// The same as cores.
    pub overhead_cores: Figure,
    /// Work that one call causes at the callee: CPU of its requests less their message classes, ns/call.
    pub work: Figure,
    /// Overhead ÷ (overhead + work).
    pub overhead_share: Figure,
    /// Time from send to the end of the response, ns/call; for `async` absent.
    pub wait: Figure,
    /// Time from publishing to consuming, ns/message; for `sync` absent.
    pub lag: Figure,
    /// Calls that ended as errors.
    pub errors: Figure,
    /// Calls made again after a failure.
    pub retries: Figure,
    /// Messages delivered again by a broker.
    pub redelivered: Figure,
    /// Price per message and per byte, where the size classes tell them apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<MessagePrice>,
    /// What a reader must know about this row, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeEnd {
    /// Row id of the operation; empty when there is none (no agent, or background work).
    pub row: String,
    /// The service; for an end without an agent, the peer as the other end names it.
    pub service: String,
    /// The component; empty when the service is one component or it is not known.
    pub component: String,
    /// The operation; empty for background work and for ends without an agent.
    pub operation: String,
    /// False when this end has no agent: its side's figures are unknown.
    pub instrumented: bool,
}

/// Messages and body bytes counted at both ends. `sent` is what the sending side counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeTraffic {
    /// Request messages sent by the caller (share of it, where one call has several answering operations).
    pub request_messages_sent: Figure,
    /// Request messages received by the callee.
    pub request_messages_received: Figure,
    /// Body bytes of requests sent.
    pub request_body_bytes_sent: Figure,
    /// Body bytes of requests received.
    pub request_body_bytes_received: Figure,
    /// Response messages sent by the callee.
    pub response_messages_sent: Figure,
    /// Response messages received by the caller.
    pub response_messages_received: Figure,
    /// Body bytes of responses sent.
    pub response_body_bytes_sent: Figure,
    /// Body bytes of responses received.
    pub response_body_bytes_received: Figure,
    /// Bytes on the wire in both directions, where a socket was ours.
    pub wire_bytes: Figure,
}

/// The difference of both ends: sent − received, over all operations that answer the call (of a message, over
/// those of the consuming service, messages delivered again taken off). Positive: lost, refused, or under way at
/// the end of the range. Negative: one end's rows of an earlier or later window are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeEnds {
    /// Request messages.
    pub request_messages: Figure,
    /// Body bytes of requests.
    pub request_body_bytes: Figure,
    /// Response messages.
    pub response_messages: Figure,
    /// Body bytes of responses.
    pub response_body_bytes: Figure,
    /// Wall time of the request at the answering side, ns/call.
    pub answer_wall: Figure,
    /// Time on the wire: what the caller waited less what the answering side took, ns/call. Queues before the
    /// answering side's first reading and after its last are in it.
    pub wire: Figure,
}

/// What messages cost at one side of an edge, ns/call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeSideCpu {
    /// Serialisation.
    pub encode: Figure,
    /// Deserialisation.
    pub decode: Figure,
    /// Parsing, framing, TLS.
    pub protocol: Figure,
    /// Socket calls.
    pub io: Figure,
    /// Share of the side's pools, drivers and connections that the classes above do not hold.
    pub pool: Figure,
    /// Sum of the known ones.
    pub total: Figure,
}

/// A fitted price: CPU = per message + per byte × body bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessagePrice {
    /// `caller` or `callee`.
    pub side: String,
    /// `request` or `response`.
    pub direction: String,
    /// Messages in the size classes.
    pub messages: u64,
    /// ns/message.
    pub per_message: Figure,
    /// ns/byte; unknown when the sizes do not vary enough.
    pub per_byte: Figure,
    /// How far the size classes lie from the fitted line: root of their mean squared distance, weighted by messages,
    /// as a share of the mean cost of a message. Absent without a fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<Figure>,
    /// How the fit was made, or why there is none.
    pub note: String,
}
