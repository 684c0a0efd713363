//! The message broker: rumqttd in a process of its own, weighed like a service.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use weighbridge_agent::Builder;
use weighbridge_wire::OwnerKind;

use super::control::{Control, say};
use super::protocol::{Command, Reply};
use super::status;

/// Name that rumqttd gives to the thread of its listener and connections: that of the server's settings.
const SERVER_THREAD: &str = "rumqttd-v5";
/// Name that rumqttd gives to the thread that routes.
const ROUTER_THREAD: &str = "router-";
/// Under which the broker's threads stand in the ledger.
const OWNER: &str = "mqtt broker";
/// How long the listener may take to be there.
const READY_TRIES: u32 = 500;
const READY_POLL: Duration = Duration::from_millis(10);

/// The broker's threads are not the agent's: their CPU is read from their clocks.
pub(super) fn owners(agent: Builder) -> Builder {
    agent
        .thread_owner(SERVER_THREAD, OwnerKind::Driver, OWNER)
        .thread_owner(ROUTER_THREAD, OwnerKind::Driver, OWNER)
}

pub(super) async fn run(mut control: Control) -> anyhow::Result<()> {
    let address = free_address()?;
    let mut broker = Broker::new(config(address));
    std::thread::Builder::new()
        .name("demo-broker".to_owned())
        .spawn(move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, "the broker ended");
            }
        })
        .context("starting the broker's thread")?;
    ready(address).await?;
    say(&Reply::Ready {
        address: Some(address.to_string()),
    })?;
    while let Some(Command::Status) = control.recv().await {
        say(&Reply::Status(status(BTreeMap::new(), BTreeMap::new())))?;
    }
    Ok(())
}

/// rumqttd cannot be given a listener, nor tells which port it got: take one that was free just now.
fn free_address() -> anyhow::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .context("no free port on 127.0.0.1")
}

async fn ready(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..READY_TRIES {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    bail!("the broker does not listen on {address}; is something else using the port?")
}

fn config(listen: SocketAddr) -> Config {
    let settings = ServerSettings {
        name: SERVER_THREAD.to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: 256 * 1024,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    Config {
        router: RouterConfig {
            max_connections: 64,
            max_outgoing_packet_count: 200,
            // A consumer that lags behind by more than this loses messages; a run makes a few megabytes.
            max_segment_size: 4 * 1024 * 1024,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".to_owned(), settings)])),
        ..Config::default()
    }
}
