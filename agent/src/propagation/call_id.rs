//! Short ids of calls, by which both ends of an edge are joined.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Sixteen lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallId(Arc<str>);

/// What a caller knows of a call before anybody answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSite<'a> {
    /// Namespace of the caller.
    pub(crate) namespace: &'a str,
    /// The caller.
    pub(crate) service: &'a str,
    /// `http`, `mqtt`, …
    pub(crate) transport: &'a str,
    /// The peer as the caller names it.
    pub(crate) peer: &'a str,
    /// Method and client-side template, or topic.
    pub(crate) target: &'a str,
}

impl CallId {
    /// The id of a call: the first eight bytes of SHA-256 over its parts, each ended by a zero byte but the
    /// last.
    pub(crate) fn of(site: CallSite<'_>) -> Self {
        let mut hash = Sha256::new();
        for part in [site.namespace, site.service, site.transport, site.peer] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(site.target.as_bytes());
        let digest = hash.finalize();
        Self(
            digest[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                .into(),
        )
    }

    /// Reads an id from a header.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 16 && text.bytes().all(hex)).then(|| Self(text.into()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as shared text.
    pub(crate) fn to_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
