//! What the handles of one connection share: the peer, and where it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Statistics;
use tokio::sync::Mutex;

use crate::messages::Peer;

/// The word for NATS in edges.
pub(super) const TRANSPORT: &str = "nats";

/// How long a message waits for the addresses of the servers after each new connection. Without them it goes
/// without headers.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_millis(250);

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    client: async_nats::Client,
    statistics: Arc<Statistics>,
    /// How many connections there had been when the addresses were looked up.
    known: AtomicU64,
    looking: Mutex<()>,
    /// Length of the subjects on which the client waits for answers.
    pub(super) inbox_bytes: Option<usize>,
    /// The server takes headers.
    takes_headers: AtomicBool,
}

impl Link {
    pub(super) fn new(peer: &str, client: async_nats::Client) -> Arc<Self> {
        Arc::new(Self {
            peer: Peer::new(TRANSPORT, peer),
            statistics: client.statistics(),
            inbox_bytes: inbox_bytes(&client.new_inbox()),
            client,
            known: AtomicU64::new(0),
            looking: Mutex::new(()),
            takes_headers: AtomicBool::new(false),
        })
    }

    /// Sees to it that the addresses are those of the present connection: each new one may be to another server
    /// of the cluster.
    pub(super) async fn look(&self) {
        let connects = self.statistics.connects.load(Ordering::Relaxed);
        if self.known.load(Ordering::Acquire) == connects {
            return;
        }
        let _looking = self.looking.lock().await;
        if self.known.load(Ordering::Acquire) == connects {
            return;
        }
        let found = tokio::time::timeout(LOOK_UP_PATIENCE, self.addresses()).await;
        self.peer
            .set_addresses(found.ok().flatten().unwrap_or_default());
        let info = self.client.try_server_info();
        self.takes_headers
            .store(info.is_some_and(|info| info.headers), Ordering::Relaxed);
        self.known.store(connects, Ordering::Release);
    }

    /// Addresses of every server that the client may go to; `None` when one of them is not known.
    async fn addresses(&self) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for server in self.client.server_pool().await.ok()? {
            let found = crate::messages::look_up(server.addr.host(), server.addr.port()).await;
            if found.is_empty() {
                return None;
            }
            addresses.extend(found);
        }
        Some(addresses)
    }

    /// Whether our headers may go along.
    pub(super) fn takes_headers(&self) -> bool {
        self.takes_headers.load(Ordering::Relaxed)
    }
}

/// True when the message had left the caller when this error came.
pub(super) fn was_sent(kind: async_nats::RequestErrorKind) -> bool {
    kind == async_nats::RequestErrorKind::TimedOut
}

/// Length of the subject on which the client waits for answers to all its requests: its inbox, `prefix.id`, and
/// another id.
fn inbox_bytes(inbox: &str) -> Option<usize> {
    let (_, id) = inbox.rsplit_once('.')?;
    Some(inbox.len() + 1 + id.len())
}
