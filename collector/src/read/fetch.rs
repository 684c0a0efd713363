//! A range from a running collector.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use weighbridge_agent::tls::{Connector, TlsError, TlsFiles, explain};
use weighbridge_wire::{DecodeError, FoldedRange, limits};

use crate::http::RANGE_PATH;

/// How long a range may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of an answer that refuses is shown, bytes.
pub(super) const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// Why a range could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not a URL of a collector.
    #[error("`{url}` is not the URL of a collector: {why}; write it like http://127.0.0.1:4318")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Files for TLS cannot be used.
    #[error("{setting}: {source}")]
    Tls {
        /// The variable to correct.
        setting: &'static str,
        /// What is wrong.
        source: TlsError,
    },
    /// Nobody answers.
    #[error("no answer from {url}: {why}; check that the collector runs there (its /readyz)")]
    NoAnswer {
        /// The URL.
        url: String,
        /// What happened.
        why: String,
    },
    /// The collector refused.
    #[error("{url} answered {status}: {text}")]
    Refused {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it said, without control characters.
        text: String,
    },
    /// A file of this machine cannot be used.
    #[error("cannot use {path}: {source}; check its directory, its permissions and the free space")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The answer is not a range.
    #[error(
        "{url} answered with something that is not a folded range: {source}; check that it is a \
         Weighbridge collector of this version"
    )]
    Decode {
        /// The URL.
        url: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// How a collector is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The secret of a token, without the word `Bearer`.
    pub token: Option<String>,
    /// Whom to trust, and whom to be, where the URL begins with `https://`.
    pub tls: TlsFiles,
}

impl Access {
    /// `WEIGHBRIDGE_TOKEN`, `WEIGHBRIDGE_TLS_CA`, `WEIGHBRIDGE_TLS_CERT` and `WEIGHBRIDGE_TLS_KEY`.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            token: std::env::var("WEIGHBRIDGE_TOKEN")
                .ok()
                .filter(|token| !token.is_empty()),
            tls: TlsFiles::from_env(),
        }
    }

    /// Why a request failed, with what to do where that is known.
    pub(super) fn explain(&self, url: &str, error: &Error) -> String {
        let mut why = explain(error);
        // With TLS 1.3 a client is let in before its certificate is asked for: what it sees of the refusal is often only
        // that the connection closed.
        let let_in = url.starts_with("https://") && !error.is_connect();
        if let_in && self.tls.cert.is_none() && !why.contains("WEIGHBRIDGE_TLS_CERT") {
            why.push_str("; if the collector asks for a certificate, set WEIGHBRIDGE_TLS_CERT and WEIGHBRIDGE_TLS_KEY");
        }
        why
    }

    /// A client for `url`.
    pub(super) fn client<B>(&self, url: &str) -> Result<Client<Connector, B>, FetchError>
    where
        B: http_body::Body + Send,
        B::Data: Send,
    {
        let connector = self
            .tls
            .connector(HttpConnector::new(), url.starts_with("https://"))
            .map_err(|error| FetchError::Tls {
                setting: error.setting(),
                source: error,
            })?;
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

/// Fetches a range from the collector at `url`, e.g. `http://127.0.0.1:4318`. `since` and `until` are as
/// for [`Span::parse`](crate::Span::parse), read by the collector's clock.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch_range(
    url: &str,
    access: &Access,
    since: Option<&str>,
    until: Option<&str>,
) -> Result<FoldedRange, FetchError> {
    let mut query = String::new();
    for (name, value) in [("since", since), ("until", until)] {
        if let Some(value) = value {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            escape(value, &mut query);
        }
    }
    let request = request(url, access, &format!("{RANGE_PATH}{query}"))?
        .body(Empty::new())
        .map_err(|error| FetchError::Url {
            url: url.to_owned(),
            why: error.to_string(),
        })?;
    let no_answer = |why: String| FetchError::NoAnswer {
        url: url.to_owned(),
        why,
    };
    let fetch = async {
        let client = access.client::<Empty<Bytes>>(url)?;
        let response = client
            .request(request)
            .await
            .map_err(|error| no_answer(access.explain(url, &error)))?;
        let status = response.status();
        let limit = if status.is_success() {
            limits::RANGE_BYTES_MAX
        } else {
            REFUSAL_BYTES_MAX
        };
        let body = Limited::new(response.into_body(), limit).collect().await;
        match body {
            Ok(body) if status.is_success() => FoldedRange::decode(&body.to_bytes())
                .map(super::in_order)
                .map_err(|source| FetchError::Decode {
                    url: url.to_owned(),
                    source,
                }),
            Ok(body) => Err(refused(url, status, &body.to_bytes())),
            Err(error) => Err(no_answer(format!("the answer broke off: {error}"))),
        }
    };
    tokio::time::timeout(PATIENCE, fetch)
        .await
        .map_err(|_| no_answer(format!("nothing within {} s", PATIENCE.as_secs())))?
}

/// What a collector said that refused, without what could steer a terminal.
pub(super) fn refused(url: &str, status: StatusCode, body: &[u8]) -> FetchError {
    FetchError::Refused {
        url: url.to_owned(),
        status,
        text: String::from_utf8_lossy(body)
            .chars()
            .filter(|c| !c.is_control())
            .collect(),
    }
}

/// The head of a request to a path of the collector at `url`.
pub(super) fn request(
    url: &str,
    access: &Access,
    path: &str,
) -> Result<http::request::Builder, FetchError> {
    let bad = |why: &str| FetchError::Url {
        url: url.to_owned(),
        why: why.to_owned(),
    };
    let base: Uri = url
        .trim_end_matches('/')
        .parse()
        .map_err(|_| bad("it cannot be parsed"))?;
    match base.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(bad("it does not begin with http:// or https://")),
    }
    if base.path() != "/" && !base.path().is_empty() {
        return Err(bad("it has a path"));
    }
    let mut request = Request::builder().uri(format!("{}{path}", url.trim_end_matches('/')));
    if let Some(token) = &access.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(request)
}

/// Percent-encodes everything but letters, digits and a few harmless marks.
fn escape(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._:".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}
