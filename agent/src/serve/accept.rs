//! Accepting without ever giving up.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::Listener;
use crate::ledger::loss;

/// First pause after an error of the listener itself, such as too many open files.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The next connection. Errors of one connection are passed over; errors of the listener are waited out:
/// other connections will close and give their descriptors back.
pub(super) async fn accept<L: Listener>(listener: &mut L) -> (L::Io, SocketAddr) {
    let mut pause = PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                loss("agent.accept", "error", 1);
                tracing::warn!(%error, ?pause, "cannot accept a connection; trying again (too many open files? raise `ulimit -n`)");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Result};

    use tokio::io::DuplexStream;

    use super::*;

    /// Fails a number of times, then accepts.
    struct Failing(Vec<Error>);

    impl Listener for Failing {
        type Io = DuplexStream;

        async fn accept(&mut self) -> Result<(DuplexStream, SocketAddr)> {
            match self.0.pop() {
                Some(error) => Err(error),
                None => Ok((tokio::io::duplex(1).0, ([127, 0, 0, 1], 1).into())),
            }
        }

        fn local_addr(&self) -> Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_waited_out_longer_and_longer() {
        let many = |n| (0..n).map(|_| Error::from_raw_os_error(24)).collect();
        let begun = tokio::time::Instant::now();
        accept(&mut Failing(many(3))).await;
        assert_eq!(begun.elapsed(), PAUSE_MIN * 7);
        let begun = tokio::time::Instant::now();
        accept(&mut Failing(many(20))).await;
        assert!(begun.elapsed() < PAUSE_MAX * 20, "the pause is bounded");
        let begun = tokio::time::Instant::now();
        accept(&mut Failing(vec![ErrorKind::ConnectionAborted.into()])).await;
        assert!(
            begun.elapsed().is_zero(),
            "a lost connection is no reason to wait"
        );
    }
}
