//! Which messages a consumer had before.
//!
//! A broker marks what it sends again (`DUP`), also what never arrived the first time because the connection broke
//! under it. Whoever takes the mark for a redelivery misses messages: consumed less redelivered is then less than
//! published. So the consumer remembers what it had: by the packet id, which a broker keeps for a message, and by a
//! sample of the message, since ids are used again.

use std::collections::VecDeque;
use std::hash::Hasher as _;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;
use rustc_hash::FxHasher;

/// Most messages that are remembered: more than one connection can have unacknowledged with the default settings.
/// Sixteen bytes each.
const REMEMBERED_MAX: usize = 4_096;
/// So much of either end of a payload is looked at.
const SAMPLE_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Had {
    connections: u64,
    recent: VecDeque<(u16, u64)>,
}

impl Had {
    /// A connection is there.
    pub(super) fn connected(&mut self) {
        self.connections += 1;
    }

    /// Remembers a message, and says whether it came before.
    pub(super) fn add(&mut self, publish: &Publish) -> bool {
        if publish.qos == QoS::AtMostOnce {
            return false;
        }
        let message = (publish.pkid, sample(publish));
        // On the first connection of a process it was another process that may have had it: the mark is all there is.
        let before =
            publish.dup && (self.connections <= 1 || self.recent.iter().any(|had| *had == message));
        if self.recent.len() == REMEMBERED_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(message);
        before
    }
}

/// A hash of the topic, the length and both ends of the payload: long payloads are not read through for it.
fn sample(publish: &Publish) -> u64 {
    let payload = &publish.payload;
    let mut hasher = FxHasher::default();
    hasher.write(&publish.topic);
    hasher.write_usize(payload.len());
    hasher.write(&payload[..payload.len().min(SAMPLE_BYTES)]);
    hasher.write(&payload[payload.len().saturating_sub(SAMPLE_BYTES)..]);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(pkid: u16, payload: &str, dup: bool) -> Publish {
        let mut publish = Publish::new("t", QoS::AtLeastOnce, payload.to_owned(), None);
        (publish.pkid, publish.dup) = (pkid, dup);
        publish
    }

    #[test]
    fn only_what_came_before_came_again() {
        let mut had = Had::default();
        had.connected();
        assert!(had.add(&publish(1, "of another process", true)));
        assert!(!had.add(&publish(2, "b", false)));
        had.connected();
        assert!(had.add(&publish(2, "b", true)), "it came before");
        assert!(!had.add(&publish(3, "c", true)), "lost on its way");
        assert!(!had.add(&publish(2, "d", true)), "an id that is used again");
        assert!(had.add(&publish(3, "c", true)));
        assert!(!had.add(&publish(3, "c", false)), "a new one, it says");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut had = Had::default();
        had.connected();
        had.connected();
        for n in 0..2 * REMEMBERED_MAX {
            had.add(&publish(1, &n.to_string(), false));
        }
        assert_eq!(had.recent.len(), REMEMBERED_MAX);
        assert!(!had.add(&publish(1, "0", true)), "forgotten");
    }
}
