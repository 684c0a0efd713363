//! Connecting, and the connection's own task.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls};
use weighbridge_wire::{Class, OwnerKind};

use super::{CONNECT_TIMEOUT, Client, Socket};
use crate::account::{Account, InAccount, owner};
use crate::hooks;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration names no host.
    #[error("no host: name one in the configuration, such as `host=127.0.0.1`")]
    NoHost,
    /// No host could be reached; this is what the last one said.
    #[error("no host could be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// The TLS connector refused the host's name.
    #[error("cannot prepare TLS: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the client says, unchanged.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

/// Connects without TLS, and spawns the connection as the driver `postgres <database>`. `database` is the name under
/// which its tables are shown.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(database: &str, config: &Config) -> Result<Client, ConnectError> {
    connect_with(database, config, NoTls).await
}

/// As [`connect`], with TLS. Of the configuration's settings for connecting, `host`, `hostaddr`, `port` and
/// `connect_timeout` are used; keepalive, session attributes and balancing are not.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect_with<T>(
    database: &str,
    config: &Config,
    mut tls: T,
) -> Result<Client, ConnectError>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let owner = owner(OwnerKind::Driver, &format!("postgres {database}"));
    let account = Account::new(owner, Class::Protocol);
    // Connecting serves all who will use the connection.
    let connecting = InAccount::new(account.clone(), async {
        let (socket, name) = reach(config).await?;
        let tls = tls
            .make_tls_connect(&name)
            .map_err(|error| ConnectError::Tls(error.into()))?;
        Ok::<_, ConnectError>(config.connect_raw(socket, tls).await?)
    });
    let (client, connection) = connecting.await?;
    let driver = InAccount::new(account, connection);
    tokio::spawn(async move {
        hooks::detach_current();
        if let Err(error) = driver.await {
            // Whoever waits for a statement is told by the client. What the server says may hold data.
            let code = error.code().map_or("none", |state| state.code());
            tracing::debug!(code, "postgres: the connection ended with an error");
        }
    });
    Ok(Client::new(database, client).connected(config))
}

/// What can cancel a statement under way. Made by [`Client::cancel_token`].
#[derive(Clone)]
pub struct CancelToken {
    inner: tokio_postgres::CancelToken,
    config: Arc<Config>,
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").finish_non_exhaustive()
    }
}

impl CancelToken {
    pub(super) fn new(inner: tokio_postgres::CancelToken, config: Arc<Config>) -> Self {
        Self { inner, config }
    }

    /// Asks the server, over a connection of its own, to cancel what runs. It may have ended before.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn cancel_query<T: MakeTlsConnect<Socket>>(
        &self,
        mut tls: T,
    ) -> Result<(), ConnectError> {
        let (socket, name) = reach(&self.config).await?;
        let tls = tls
            .make_tls_connect(&name)
            .map_err(|error| ConnectError::Tls(error.into()))?;
        Ok(self.inner.cancel_query_raw(socket, tls).await?)
    }
}

/// Opens a socket to the first address that answers. Returns the name of the host too.
async fn reach(config: &Config) -> Result<(Socket, String), ConnectError> {
    let limit = config.get_connect_timeout().copied();
    let limit = limit.filter(|limit| !limit.is_zero());
    let mut last = None;
    for address in addresses(config) {
        let opening = open(&address);
        let opened = tokio::time::timeout(limit.unwrap_or(CONNECT_TIMEOUT), opening);
        match opened.await {
            Ok(Ok(socket)) => return Ok((socket, address.name)),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Err(last.map_or(ConnectError::NoHost, ConnectError::Unreachable))
}

/// Where a server may be.
#[derive(Debug)]
struct Address {
    name: String,
    port: u16,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Ip(IpAddr),
    Name,
    #[cfg(unix)]
    Directory(std::path::PathBuf),
}

fn addresses(config: &Config) -> Vec<Address> {
    let (hosts, ips, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    (0..hosts.len().max(ips.len()))
        .map(|n| {
            // One port serves all hosts.
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            let (name, place) = match hosts.get(n) {
                Some(Host::Tcp(name)) => (name.clone(), Place::Name),
                #[cfg(unix)]
                Some(Host::Unix(path)) => (String::new(), Place::Directory(path.clone())),
                _ => (String::new(), Place::Name),
            };
            Address {
                name,
                port,
                place: ips.get(n).map_or(place, |ip| Place::Ip(*ip)),
            }
        })
        .collect()
}

async fn open(address: &Address) -> io::Result<Socket> {
    let stream = match &address.place {
        #[cfg(unix)]
        Place::Directory(path) => {
            let socket = format!(".s.PGSQL.{}", address.port);
            return Socket::unix(&path.join(socket)).await;
        }
        Place::Ip(ip) => TcpStream::connect((*ip, address.port)).await?,
        Place::Name => TcpStream::connect((address.name.as_str(), address.port)).await?,
    };
    stream.set_nodelay(true)?;
    Ok(Socket::tcp(stream))
}
