//! Where deltas go, and with which token.

use std::fmt;

use http::{HeaderValue, Uri};

/// Why an endpoint or a token cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The text is no address.
    #[error("not an address; write `http://HOST:PORT`, for example `http://127.0.0.1:4318`")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("only `http://` and `https://` are spoken; write `http://HOST:PORT`")]
    Scheme,
    /// TLS was left out when the agent was built.
    #[cfg(not(feature = "tls"))]
    #[error(
        "`https://` needs the feature `tls` of weighbridge-agent; switch it on, or put a collector or a TLS proxy on \
         this host and give its `http://` address"
    )]
    NoTls,
    /// The token holds characters that no header can carry.
    #[error("the token holds characters that an HTTP header cannot carry; use visible ASCII")]
    Token,
}

/// The address of a collector.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    ledger: Uri,
}

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`, with a path prefix if the collector stands behind one.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let base = text.trim().trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| EndpointError::Malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            #[cfg(feature = "tls")]
            Some("https") => {}
            #[cfg(not(feature = "tls"))]
            Some("https") => return Err(EndpointError::NoTls),
            Some(_) => return Err(EndpointError::Scheme),
            None => return Err(EndpointError::Malformed),
        }
        let host = uri
            .authority()
            .filter(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        if host.is_none() || uri.query().is_some() {
            return Err(EndpointError::Malformed);
        }
        let ledger = format!("{base}/v1/ledger")
            .parse()
            .map_err(|_| EndpointError::Malformed)?;
        Ok(Self { ledger })
    }

    /// True when it is spoken to under TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.ledger.scheme_str() == Some("https")
    }

    /// The address to which deltas are posted.
    pub(crate) fn ledger(&self) -> &Uri {
        &self.ledger
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ledger)
    }
}

/// The bearer token of the collector. Its text never reaches a log.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// Takes the bare token, without the word `Bearer`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
            .map_err(|_| EndpointError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
