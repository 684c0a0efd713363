//! A consumed message.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::MqttError;

/// A message as the handler gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// The topic it was published under.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// True when this process had it before, or, on its first connection, when the broker says that it sent it before.
    pub redelivered: bool,
}

impl Message {
    /// The payload read as JSON; its CPU is booked as `decode`.
    ///
    /// # Errors
    /// [`MqttError::Json`] when it is not the JSON that `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, MqttError> {
        crate::codec::decode(|| serde_json::from_slice(&self.payload)).map_err(|source| {
            MqttError::Json {
                topic: self.topic.clone(),
                source,
            }
        })
    }
}
