//! What client, consumer and driver of one connection share.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::v5::Publish;
use rumqttc::v5::mqttbytes::{QoS, matches, valid_filter};
use tokio::sync::{Semaphore, watch};

use super::had::Had;
use super::publishing::Publishing;
use super::{MqttError, SUBSCRIPTIONS_MAX};
use crate::account::{self, OwnerRef};
use crate::messages::Peer;
use crate::sync::lock;

/// The word for MQTT in edges.
pub(super) const TRANSPORT: &str = "mqtt";

/// One connection to a broker.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    pub(super) owner: OwnerRef,
    pub(super) requests: AsyncClient,
    /// One permit for each publish under way.
    pub(super) room: Arc<Semaphore>,
    state: Mutex<State>,
    status: watch::Sender<Status>,
}

/// What others wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// There is a connection.
    pub(super) connected: bool,
    /// The broker has confirmed every subscription.
    pub(super) subscribed: bool,
    /// Most bytes of a packet that the broker takes, where it has a limit.
    pub(super) packet_bytes_max: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    packet_bytes_max: Option<u32>,
    closing: bool,
    /// Counts connections: an acknowledgement is only good on the one the message came over.
    generation: u64,
    /// Handed to the event loop, in its order, not yet written.
    unwritten: VecDeque<Publishing>,
    /// Written and not acknowledged, by packet id.
    unacknowledged: HashMap<u16, Publishing>,
    had: Had,
    filters: Vec<(String, QoS)>,
    /// Subscriptions that the broker has not confirmed on this connection.
    unconfirmed: usize,
}

impl Link {
    pub(super) fn new(peer: &str, requests: AsyncClient, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            peer: Peer::new(TRANSPORT, peer),
            owner: account::owner(weighbridge_wire::OwnerKind::Driver, &format!("mqtt {peer}")),
            requests,
            room: Arc::new(Semaphore::new(capacity)),
            state: Mutex::default(),
            status: watch::Sender::new(Status::default()),
        })
    }

    /// What the connection is like, and a way to wait for a change.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn peer_name(&self) -> String {
        self.peer.name().to_owned()
    }

    /// Number of the present connection.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.state).generation
    }

    /// Hands a publish to the event loop. Both queues have the same order, so both are filled under one lock.
    /// `send` says whether the event loop had room.
    pub(super) fn hand_over(
        &self,
        publishing: Publishing,
        send: impl FnOnce(&AsyncClient) -> bool,
    ) {
        let mut state = lock(&self.state);
        let outcome = if !state.connected {
            Err(MqttError::NotConnected {
                peer: self.peer_name(),
            })
        } else if send(&self.requests) {
            Ok(())
        } else {
            Err(MqttError::Full {
                peer: self.peer_name(),
            })
        };
        match outcome {
            Ok(()) => state.unwritten.push_back(publishing),
            Err(error) => {
                drop(state);
                publishing.settle(Err(error));
            }
        }
    }

    /// The event loop has written the oldest publish; `0` means that no acknowledgement will come.
    pub(super) fn written(&self, packet_id: u16) {
        let mut state = lock(&self.state);
        let Some(publishing) = state.unwritten.pop_front() else {
            return;
        };
        if packet_id != 0 {
            let replaced = state.unacknowledged.insert(packet_id, publishing);
            drop(state);
            // An id is free before it is used again, so this is empty.
            drop(replaced);
            return;
        }
        drop(state);
        publishing.settle(Ok(()));
    }

    /// The broker has acknowledged a publish, or refused it.
    pub(super) fn acknowledged(&self, packet_id: u16, refusal: Option<String>) {
        let found = lock(&self.state).unacknowledged.remove(&packet_id);
        let Some(publishing) = found else { return };
        let outcome = match refusal {
            None => Ok(()),
            Some(reason) => Err(MqttError::Refused {
                peer: self.peer_name(),
                topic: publishing.topic().to_owned(),
                reason,
            }),
        };
        publishing.settle(outcome);
    }

    /// A connection is there, whose broker takes packets of so many bytes. Subscribes to everything again.
    pub(super) fn connected(&self, addresses: Vec<IpAddr>, packet_bytes_max: Option<u32>) {
        let mut state = lock(&self.state);
        state.connected = true;
        state.packet_bytes_max = packet_bytes_max;
        state.generation += 1;
        state.had.connected();
        self.peer.set_addresses(addresses);
        state.unconfirmed = 0;
        for (filter, qos) in state.filters.clone() {
            if self.requests.try_subscribe(filter, qos).is_ok() {
                state.unconfirmed += 1;
            }
        }
        self.publish_status(&state);
    }

    /// The connection is gone. `discard` empties the event loop, so that nothing is sent of which the
    /// publisher was told that it failed. True when it should stay gone.
    pub(super) fn disconnected(&self, discard: impl FnOnce()) -> bool {
        let mut state = lock(&self.state);
        discard();
        state.connected = false;
        // What is acknowledged from now on would reach the next connection, where the id means another message.
        state.generation += 1;
        state.unconfirmed = 0;
        self.publish_status(&state);
        let mut failed: Vec<Publishing> = state.unwritten.drain(..).collect();
        failed.extend(
            state
                .unacknowledged
                .drain()
                .map(|(_, publishing)| publishing),
        );
        let closing = state.closing;
        drop(state);
        for publishing in failed {
            let topic = publishing.topic().to_owned();
            publishing.settle(Err(MqttError::Broken {
                peer: self.peer_name(),
                topic,
            }));
        }
        closing
    }

    /// Adds a subscription, for this connection and those to come.
    pub(super) fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), MqttError> {
        if !valid_filter(filter) {
            return Err(MqttError::Topic {
                topic: filter.to_owned(),
            });
        }
        let mut state = lock(&self.state);
        if state.filters.len() >= SUBSCRIPTIONS_MAX {
            return Err(MqttError::Subscriptions {
                max: SUBSCRIPTIONS_MAX,
            });
        }
        state.filters.push((filter.to_owned(), qos));
        if state.connected {
            let sent = self.requests.try_subscribe(filter, qos);
            sent.map_err(|_| MqttError::Full {
                peer: self.peer_name(),
            })?;
            state.unconfirmed += 1;
        }
        self.publish_status(&state);
        Ok(())
    }

    /// The broker has confirmed a subscription.
    pub(super) fn subscribed(&self) {
        let mut state = lock(&self.state);
        state.unconfirmed = state.unconfirmed.saturating_sub(1);
        self.publish_status(&state);
    }

    /// The name under which a message is booked: the filter that it came through, which has no ids in it.
    pub(super) fn topic_name(&self, topic: &str) -> String {
        let state = lock(&self.state);
        let filters = state
            .filters
            .iter()
            .map(|(filter, _)| shared_filter(filter));
        let exact = filters.clone().find(|filter| *filter == topic);
        let name = exact.or_else(|| filters.clone().find(|filter| matches(topic, filter)));
        name.unwrap_or(weighbridge_wire::OTHER).to_owned()
    }

    /// Whether this message came before. One that was lost on its way is marked as such by the broker too.
    pub(super) fn came_before(&self, publish: &Publish) -> bool {
        lock(&self.state).had.add(publish)
    }

    /// From now on a lost connection stays lost.
    pub(super) fn close(&self) {
        lock(&self.state).closing = true;
    }

    fn publish_status(&self, state: &State) {
        let status = Status {
            connected: state.connected,
            subscribed: state.connected && state.unconfirmed == 0,
            packet_bytes_max: state.packet_bytes_max,
        };
        self.status
            .send_if_modified(|old| std::mem::replace(old, status) != status);
    }
}

/// What a shared subscription, `$share/<group>/<filter>`, filters by; others are filters themselves.
fn shared_filter(filter: &str) -> &str {
    match filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_group, filter)) => filter,
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::MqttOptions;

    use super::*;

    #[test]
    fn messages_are_named_after_what_was_subscribed_to() {
        let (requests, _event_loop) = AsyncClient::new(MqttOptions::new("c", "localhost", 1), 10);
        let link = Link::new("m-names", requests, 1);
        for filter in ["a/+", "$share/group/b", "$share/group/c/#", "a/x"] {
            link.subscribe(filter, QoS::AtLeastOnce).unwrap();
        }
        assert_eq!(link.topic_name("a/x"), "a/x", "the exact one goes first");
        assert_eq!(link.topic_name("a/4711"), "a/+");
        assert_eq!(link.topic_name("b"), "b");
        assert_eq!(link.topic_name("c/1/2"), "c/#");
        assert_eq!(link.topic_name("elsewhere"), weighbridge_wire::OTHER);
    }

    #[test]
    fn a_message_of_a_lost_connection_is_not_acknowledged_before_the_next_one() {
        let (requests, _event_loop) = AsyncClient::new(MqttOptions::new("c", "localhost", 1), 10);
        let link = Link::new("m-generations", requests, 1);
        link.connected(Vec::new(), None);
        let arrived = link.generation();
        link.disconnected(|| {});
        assert_ne!(
            link.generation(),
            arrived,
            "an acknowledgement made now waits in the queue for the next connection"
        );
    }
}
