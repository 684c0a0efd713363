//! Where the broker is.

use std::sync::{Arc, Mutex};

use lapin::ConnectionProperties;
use lapin::uri::AMQPUri;

use super::{Channel, TRANSPORT};
use crate::messages::Peer;
use crate::sync::lock;

/// A connection to a broker.
#[derive(Debug)]
pub struct Connection {
    inner: lapin::Connection,
    peer: Peer,
    configuration: Arc<lapin::Configuration>,
    place: Option<(String, u16)>,
}

/// Connects. `peer` is the name under which the broker's hop is shown.
///
/// # Errors
/// Those of [`lapin::Connection::connect`].
pub async fn connect(
    peer: &str,
    uri: &str,
    options: ConnectionProperties,
) -> lapin::Result<Connection> {
    let inner = lapin::Connection::connect(uri, options).await?;
    Ok(Connection::of(peer, inner, uri))
}

impl Connection {
    /// A connection that is there already, to the broker at this address. Nothing goes along with its messages
    /// where the address cannot be read.
    #[must_use]
    pub fn of(peer: &str, connection: lapin::Connection, uri: &str) -> Self {
        let place = uri.parse::<AMQPUri>().ok();
        note(peer);
        Self {
            configuration: Arc::new(connection.configuration().clone()),
            inner: connection,
            peer: Peer::new(TRANSPORT, peer),
            place: place.map(|uri| (uri.authority.host, uri.authority.port)),
        }
    }

    /// The connection itself. Messages over channels that it makes are not counted.
    #[must_use]
    pub fn inner(&self) -> &lapin::Connection {
        &self.inner
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// Those of [`lapin::Connection::create_channel`].
    pub async fn create_channel(&self) -> lapin::Result<Channel> {
        // A name may have come to mean another address since the last one.
        if let Some((host, port)) = &self.place {
            self.peer.resolve(host, *port).await;
        }
        let channel = self.inner.create_channel().await?;
        Ok(Channel::new(
            channel,
            self.peer.clone(),
            self.configuration.clone(),
        ))
    }
}

/// The first peer, and whether there is another one.
static PEERS: Mutex<Option<(String, bool)>> = Mutex::new(None);

fn note(peer: &str) {
    let mut peers = lock(&PEERS);
    match &mut *peers {
        None => *peers = Some((peer.to_owned(), false)),
        Some((first, another)) => *another |= first != peer,
    }
}

/// The owner of the client's threads, which all have one name: of the peer, while there is one only.
pub(crate) fn driver_name() -> String {
    match &*lock(&PEERS) {
        Some((peer, false)) => format!("{TRANSPORT} {peer}"),
        _ => TRANSPORT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_belong_to_the_only_peer_there_is() {
        assert_eq!(driver_name(), "amqp");
        note("one");
        note("one");
        assert_eq!(driver_name(), "amqp one");
        note("two");
        assert_eq!(driver_name(), "amqp");
    }
}
