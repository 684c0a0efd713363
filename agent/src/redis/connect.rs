//! Connecting, and the connection's own task.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult};
use tokio::net::TcpStream;
use weighbridge_wire::{Class, OwnerKind};

use super::{CONNECT_TIMEOUT, Connection, Socket};
use crate::account::{Account, InAccount, owner};
use crate::hooks;

/// Connects to the server of this client, and spawns the connection as the driver `redis <database>`. `database` is
/// the name under which its entities are shown. Clones share the connection, which is not made again when it breaks:
/// for that wrap a connection manager with [`Connection::new`].
///
/// # Errors
/// What the client says; [`ErrorKind::InvalidClientConfig`] for TLS, where the client's own connection has to be
/// wrapped with [`Connection::new`].
pub async fn connect(
    database: &str,
    client: &Client,
) -> RedisResult<Connection<MultiplexedConnection>> {
    let owner = owner(OwnerKind::Driver, &format!("redis {database}"));
    let account = Account::new(owner, Class::Protocol);
    // Connecting serves all who will use the connection.
    let connecting = InAccount::new(account.clone(), async {
        let info = client.get_connection_info();
        let socket = open(info.addr()).await?;
        let config = AsyncConnectionConfig::new();
        MultiplexedConnection::new_with_config(info.redis_settings(), socket, config).await
    });
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    let (connection, driver) = connected
        .map_err(|_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))??;
    let driver = InAccount::new(account, driver);
    tokio::spawn(async move {
        hooks::detach_current();
        driver.await;
    });
    Ok(Connection::new(connection, database))
}

async fn open(address: &ConnectionAddr) -> RedisResult<Socket> {
    match address {
        ConnectionAddr::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::tcp(stream))
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Ok(Socket::unix(path).await?),
        _ => Err(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "only tcp and unix sockets are connected here: wrap a connection of the client's own",
        ))),
    }
}
