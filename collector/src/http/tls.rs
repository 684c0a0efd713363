//! TLS, by rustls: 1.2 and 1.3, with or without certificates of the clients.
//!
//! The handshake belongs to the connection, not to the accept loop: a peer that fails it, or never finishes it, costs
//! its own connection and nobody else's.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use weighbridge_agent::Listener;

use crate::config::{ConfigError, TlsFiles};

/// Reads certificate, key and the authority of clients.
///
/// # Errors
/// [`ConfigError::Tls`], which names the file and never shows what is in it.
pub(crate) fn server(files: &TlsFiles) -> Result<TlsAcceptor, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = files.client_ca.as_deref().map(roots).transpose()?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&files.cert, &error))?;
    let builder = match (&files.client_ca, roots) {
        (Some(path), Some(roots)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| refused(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.cert)?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refused(&files.key, &error))?;
    let mut config = builder
        .with_single_cert(chain, key)
        // The chain was read before, so the key is at fault: not one, or of another certificate.
        .map_err(|error| refused(&files.key, &error))?;
    // What a client prefers of these: gRPC needs the first, and its clients give up without it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn refused(path: &Path, why: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Tls {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused(path, &error))?;
    if read.is_empty() {
        return Err(refused(path, &"it holds no certificate"));
    }
    Ok(read)
}

fn roots(path: &Path) -> Result<rustls::RootCertStore, ConfigError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| refused(path, &error))?;
    }
    Ok(roots)
}

/// A listener whose connections speak TLS.
pub(crate) struct Secured<L> {
    listener: L,
    acceptor: TlsAcceptor,
}

impl<L> Secured<L> {
    pub(crate) fn new(listener: L, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor }
    }
}

impl<L: Listener> Listener for Secured<L> {
    type Io = Socket<L::Io>;

    async fn accept(&mut self) -> io::Result<(Self::Io, SocketAddr)> {
        let (io, peer) = self.listener.accept().await?;
        Ok((Socket::Handshake(Box::new(self.acceptor.accept(io))), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection: first its handshake, then what is said under it.
pub(crate) enum Socket<S> {
    Handshake(Box<tokio_rustls::Accept<S>>),
    Open(Box<tokio_rustls::server::TlsStream<S>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut tokio_rustls::server::TlsStream<S>>>> {
        if let Self::Handshake(handshake) = self {
            let stream = ready!(Pin::new(&mut **handshake).poll(cx))?;
            *self = Self::Open(Box::new(stream));
        }
        match self {
            Self::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            Self::Handshake(_) => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(cx))?.poll_write(cx, buf)
    }

    // Before the handshake there is nothing to flush or to end.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Handshake(_) => Poll::Ready(Ok(())),
            Self::Open(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Handshake(_) => Poll::Ready(Ok(())),
            Self::Open(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
