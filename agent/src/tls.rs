//! TLS towards the collector, by rustls: 1.2 and 1.3, with the system's authorities or a given one, and with a
//! certificate of this process where the collector asks for it. Files are read at the start.

use std::error::Error;
use std::path::PathBuf;

use hyper_util::client::legacy::connect::HttpConnector;

use crate::config::Env;

/// Files for TLS towards the collector, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust in place of the system's. `WEIGHBRIDGE_TLS_CA`.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown, with its chain. `WEIGHBRIDGE_TLS_CERT`.
    pub cert: Option<PathBuf>,
    /// Its private key. `WEIGHBRIDGE_TLS_KEY`.
    pub key: Option<PathBuf>,
}

const CA: &str = "WEIGHBRIDGE_TLS_CA";
const CERT: &str = "WEIGHBRIDGE_TLS_CERT";
const KEY: &str = "WEIGHBRIDGE_TLS_KEY";

impl TlsFiles {
    /// Those that the environment of this process names.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(&Env::process())
    }

    pub(crate) fn read(env: &Env<'_>) -> Self {
        let path = |name| env.text(name).map(PathBuf::from);
        Self {
            ca: path(CA),
            cert: path(CERT),
            key: path(KEY),
        }
    }
}

/// What opens connections to the collector.
#[cfg(feature = "tls")]
pub type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
/// What opens connections to the collector.
#[cfg(not(feature = "tls"))]
pub(crate) type Connector = HttpConnector;

#[cfg(feature = "tls")]
pub use with_tls::TlsError;
#[cfg(not(feature = "tls"))]
pub(crate) use without_tls::TlsError;

#[cfg(feature = "tls")]
mod with_tls {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, RootCertStore};

    use super::{CA, CERT, Connector, HttpConnector, KEY, TlsFiles};

    /// Why the files for TLS cannot be used.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
    pub enum TlsError {
        /// A file is at fault.
        #[error("cannot use {path}: {why}")]
        File {
            /// The variable that names it.
            setting: &'static str,
            /// Which one.
            path: PathBuf,
            /// What is wrong; never what is in it.
            why: String,
        },
        /// A certificate without its key, or a key alone.
        #[error(
            "a certificate and its key belong together: set WEIGHBRIDGE_TLS_CERT and WEIGHBRIDGE_TLS_KEY"
        )]
        Half,
        /// The system names nobody to trust.
        #[error(
            "this system has no certificate authorities ({why}); install them (package ca-certificates), or name one by \
             WEIGHBRIDGE_TLS_CA"
        )]
        NoAuthorities {
            /// What was met on the way.
            why: String,
        },
    }

    impl TlsError {
        /// The variable to correct.
        #[must_use]
        pub fn setting(&self) -> &'static str {
            match self {
                Self::File { setting, .. } => setting,
                Self::Half => CERT,
                Self::NoAuthorities { .. } => CA,
            }
        }
    }

    impl TlsFiles {
        /// A connector for `http` and `https`. Without `is_tls` no file is read, and nobody is trusted.
        ///
        /// # Errors
        /// [`TlsError`].
        pub fn connector(
            &self,
            mut tcp: HttpConnector,
            is_tls: bool,
        ) -> Result<Connector, TlsError> {
            let unknown = Self::default();
            let files = if is_tls { self } else { &unknown };
            let roots = match &files.ca {
                Some(path) => given(path)?,
                None if is_tls => the_systems()?,
                None => RootCertStore::empty(),
            };
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| refused(CA, Path::new("TLS"), &error))?
                .with_root_certificates(roots);
            let config = match (&files.cert, &files.key) {
                (None, None) => builder.with_no_client_auth(),
                (Some(cert), Some(key)) => {
                    let chain = certificates(CERT, cert)?;
                    let private = PrivateKeyDer::from_pem_file(key)
                        .map_err(|error| refused(KEY, key, &error))?;
                    builder
                        .with_client_auth_cert(chain, private)
                        .map_err(|error| refused(KEY, key, &error))?
                }
                _ => return Err(TlsError::Half),
            };
            tcp.enforce_http(false);
            Ok(hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_or_http()
                .enable_http1()
                .wrap_connector(tcp))
        }
    }

    fn refused(setting: &'static str, path: &Path, why: &dyn std::fmt::Display) -> TlsError {
        TlsError::File {
            setting,
            path: path.to_owned(),
            why: why.to_string(),
        }
    }

    fn certificates(
        setting: &'static str,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let read = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(setting, path, &error))?;
        if read.is_empty() {
            return Err(refused(setting, path, &"it holds no certificate"));
        }
        Ok(read)
    }

    fn given(path: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CA, path)? {
            roots
                .add(certificate)
                .map_err(|error| refused(CA, path, &error))?;
        }
        Ok(roots)
    }

    fn the_systems() -> Result<RootCertStore, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // A system's store may hold some that nobody can read any more.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NoAuthorities {
                why: why.join("; "),
            });
        }
        Ok(roots)
    }
}

#[cfg(not(feature = "tls"))]
mod without_tls {
    use super::{Connector, HttpConnector, TlsFiles};

    /// There is nothing that could fail.
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum TlsError {}

    impl TlsError {
        pub(crate) fn setting(&self) -> &'static str {
            match *self {}
        }
    }

    impl TlsFiles {
        /// No address asks for TLS here.
        pub(crate) fn connector(
            &self,
            tcp: HttpConnector,
            _is_tls: bool,
        ) -> Result<Connector, TlsError> {
            Ok(tcp)
        }
    }
}

/// An error of a client with its causes, and with what to do where the handshake failed.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // An error of the system that wraps another shows it, and then names it as its cause.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        if let Some(remedy) = remedy(error) {
            text.push_str("; ");
            text.push_str(remedy);
            break;
        }
        cause = error.source();
    }
    text
}

/// What rustls said, in as many errors of the system as it is wrapped.
#[cfg(feature = "tls")]
fn said<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = || error.downcast_ref::<std::io::Error>()?.get_ref();
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| said(wrapped()?))
}

#[cfg(feature = "tls")]
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use rustls::{AlertDescription, CertificateError};
    Some(match said(error)? {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            "the collector's certificate is of no authority that is trusted here: set WEIGHBRIDGE_TLS_CA to the PEM file \
             of its authority"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use a name for which the collector's certificate was made",
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => {
            "the collector asks for a certificate that it knows: set WEIGHBRIDGE_TLS_CERT and WEIGHBRIDGE_TLS_KEY"
        }
        rustls::Error::InvalidMessage(_) => "the collector speaks no TLS at this address",
        _ => return None,
    })
}

#[cfg(not(feature = "tls"))]
fn remedy(_error: &(dyn Error + 'static)) -> Option<&'static str> {
    None
}

#[cfg(all(test, feature = "tls"))]
mod tests;
