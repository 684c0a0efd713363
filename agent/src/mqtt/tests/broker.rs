//! A broker for tests: one session for each client id, at-least-once, with moods.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PubAck, PubAckReason, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS, matches};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the broker does with the next publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// What it should.
    Well,
    /// Closes the connection without taking the message.
    HangUpOnPublish,
    /// Takes and delivers the message, then closes the connection before anything is acknowledged.
    HangUpAfterDelivery,
    /// Says that the message is not allowed.
    Refuse,
    /// Answers with what is not MQTT.
    Garbage,
    /// Acknowledges what was never sent.
    UnknownAck,
    /// Sends a packet that says it is 256 MiB long.
    HugePacket,
}

#[derive(Default)]
struct Session {
    filters: Vec<String>,
    /// Delivered and not acknowledged.
    unacknowledged: Vec<Publish>,
    next_id: u16,
}

struct State {
    mood: Mood,
    sessions: HashMap<String, Session>,
}

pub(super) struct Broker {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Broker {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            sessions: HashMap::new(),
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                // A test ends without telling its broker; what a connection says then is of no interest.
                tokio::spawn(async move { drop(serve(socket, &state).await) });
            }
        });
        Self { port, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(super) async fn until_all_acknowledged(&self, patience: Duration) {
        let left = || -> usize {
            let state = self.state.lock().unwrap();
            state
                .sessions
                .values()
                .map(|session| session.unacknowledged.len())
                .sum()
        };
        let poll = async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(patience, poll)
            .await
            .expect("everything acknowledged");
    }
}

async fn serve(mut socket: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut input = BytesMut::new();
    let mut client = String::new();
    loop {
        let packet = loop {
            match Packet::read(&mut input, None) {
                Ok(packet) => break packet,
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the client sent what is not MQTT: {error}"),
            }
            if socket.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        let mut output = BytesMut::new();
        let go_on = handle(packet, &mut client, state, &mut output);
        socket.write_all(&output).await?;
        if !go_on {
            return socket.shutdown().await;
        }
    }
}

fn handle(
    packet: Packet,
    client: &mut String,
    state: &Mutex<State>,
    output: &mut BytesMut,
) -> bool {
    let mut state = state.lock().unwrap();
    match packet {
        Packet::Connect(connect, ..) => {
            *client = connect.client_id;
            let session_present = state.sessions.contains_key(client);
            let code = ConnectReturnCode::Success;
            write(
                output,
                Packet::ConnAck(ConnAck {
                    session_present,
                    code,
                    properties: None,
                }),
            );
            let session = state.sessions.entry(client.clone()).or_default();
            for publish in &mut session.unacknowledged {
                publish.dup = true;
                write(output, Packet::Publish(publish.clone()));
            }
        }
        Packet::Subscribe(subscribe) => {
            let session = state.sessions.entry(client.clone()).or_default();
            let paths = subscribe.filters.iter().map(|filter| filter.path.clone());
            for path in paths {
                if !session.filters.contains(&path) {
                    session.filters.push(path);
                }
            }
            let return_codes = subscribe
                .filters
                .iter()
                .map(|f| SubscribeReasonCode::Success(f.qos))
                .collect();
            let ack = SubAck {
                pkid: subscribe.pkid,
                return_codes,
                properties: None,
            };
            write(output, Packet::SubAck(ack));
        }
        Packet::PubAck(ack) => {
            let session = state.sessions.entry(client.clone()).or_default();
            session
                .unacknowledged
                .retain(|publish| publish.pkid != ack.pkid);
        }
        Packet::PingReq(_) => write(
            output,
            Packet::PingResp(rumqttc::v5::mqttbytes::v5::PingResp),
        ),
        Packet::Disconnect(_) => return false,
        Packet::Publish(publish) => return published(&publish, client, &mut state, output),
        other => panic!("the client sent {other:?}"),
    }
    true
}

fn published(publish: &Publish, client: &str, state: &mut State, output: &mut BytesMut) -> bool {
    let acknowledge = |output: &mut BytesMut, pkid, reason| {
        write(
            output,
            Packet::PubAck(PubAck {
                pkid,
                reason,
                properties: None,
            }),
        );
    };
    match state.mood {
        Mood::HangUpOnPublish => return false,
        Mood::Garbage => {
            output.extend_from_slice(&[0xff; 64]);
            return true;
        }
        Mood::UnknownAck => {
            acknowledge(output, 4_711, PubAckReason::Success);
            return true;
        }
        Mood::HugePacket => {
            output.extend_from_slice(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
            return true;
        }
        Mood::Refuse => {
            acknowledge(output, publish.pkid, PubAckReason::NotAuthorized);
            return true;
        }
        Mood::Well | Mood::HangUpAfterDelivery => {}
    }
    if publish.qos != QoS::AtMostOnce && state.mood == Mood::Well {
        acknowledge(output, publish.pkid, PubAckReason::Success);
    }
    // One client in each test, which consumes what it publishes.
    let Some(session) = state.sessions.get_mut(client) else {
        return true;
    };
    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
    if session.filters.iter().any(|filter| matches(&topic, filter)) {
        session.next_id = session.next_id.wrapping_add(1).max(1);
        let mut delivery = publish.clone();
        delivery.pkid = if publish.qos == QoS::AtMostOnce {
            0
        } else {
            session.next_id
        };
        if delivery.pkid != 0 {
            session.unacknowledged.push(delivery.clone());
        }
        write(output, Packet::Publish(delivery));
    }
    state.mood != Mood::HangUpAfterDelivery
}

#[allow(clippy::needless_pass_by_value)] // every caller makes the packet for this
fn write(output: &mut BytesMut, packet: Packet) {
    packet.write(output, None).unwrap();
}
