//! What can go wrong with a message.

use std::time::Duration;

/// Why a message was not published, or a topic not subscribed to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// There is no connection.
    #[error(
        "not connected to {peer}; is it running, and is `Consumer::run` driving the connection?"
    )]
    NotConnected {
        /// The broker as the client names it.
        peer: String,
    },
    /// The connection broke while the message was under way. The broker may have it.
    #[error("the connection to {peer} broke before {topic} was acknowledged; it may be published")]
    Broken {
        /// The broker as the client names it.
        peer: String,
        /// The topic.
        topic: String,
    },
    /// The broker did not acknowledge in time. It may have the message.
    #[error("{peer} did not acknowledge {topic} within {after:?}; it may be published")]
    Timeout {
        /// The broker as the client names it.
        peer: String,
        /// The topic.
        topic: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// Too many publishes are under way.
    #[error("no room for another message to {peer}; slow down or raise the capacity of `connect`")]
    Full {
        /// The broker as the client names it.
        peer: String,
    },
    /// The broker does not want the message.
    #[error("{peer} refused {topic}: {reason}")]
    Refused {
        /// The broker as the client names it.
        peer: String,
        /// The topic.
        topic: String,
        /// What it said.
        reason: String,
    },
    /// The broker does not take packets of that length; nothing was sent.
    #[error("{peer} takes packets of up to {bytes_max} bytes; one of {topic} would have {bytes}")]
    TooLarge {
        /// The broker as the client names it.
        peer: String,
        /// The topic.
        topic: String,
        /// Length of the packet, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The topic or filter is malformed.
    #[error("`{topic}` is not a topic that can be published or subscribed to")]
    Topic {
        /// The topic.
        topic: String,
    },
    /// Too many subscriptions.
    #[error("more than {max} subscriptions of one client; use a wildcard or a second client")]
    Subscriptions {
        /// The limit.
        max: usize,
    },
    /// The value could not be serialised or the payload not be read.
    #[error("the payload of {topic} is not the JSON that is expected")]
    Json {
        /// The topic.
        topic: String,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}
