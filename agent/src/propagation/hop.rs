//! The per-hop header.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::text::{decoded, push_encoded};
use super::{CallId, HOP_BYTES_MAX, Party};
use crate::trust::Trust;

/// Whether the caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The caller waits for the answer.
    Sync,
    /// The caller does not wait.
    Async,
}

impl Mode {
    /// The word on the wire and in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sync => weighbridge_wire::mode::SYNC,
            Self::Async => weighbridge_wire::mode::ASYNC,
        }
    }
}

/// What the caller says about one hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Who calls.
    pub(crate) caller: Party,
    /// Which call it is.
    pub(crate) call_id: CallId,
    /// Whether the caller waits.
    pub(crate) mode: Mode,
    /// When it was sent, µs since the Unix epoch by the caller's clock.
    pub(crate) sent_unix_us: u64,
}

impl Hop {
    /// The header's value: `1;service;operation;call id;mode;time[;code]`.
    pub(crate) fn format(&self, trust: &Trust) -> String {
        let mut out = String::with_capacity(96);
        out.push_str("1;");
        push_encoded(&mut out, &self.caller.service);
        out.push(';');
        push_encoded(&mut out, &self.caller.operation);
        let mode = if self.mode == Mode::Sync { 's' } else { 'a' };
        // Writing to a string cannot fail.
        let _ = write!(out, ";{};{mode};{}", self.call_id, self.sent_unix_us);
        if let Some(mac) = trust.mac(&out) {
            out.push(';');
            out.push_str(&mac);
        }
        out
    }

    /// Reads the header. `None` when it is malformed, of another version, or not believed.
    pub(crate) fn parse(value: &str, trust: &Trust, peer: Option<IpAddr>) -> Option<Self> {
        if value.len() > HOP_BYTES_MAX {
            return None;
        }
        let parts: Vec<&str> = value.splitn(8, ';').collect();
        let (&[version, service, operation, call_id, mode, sent], rest) =
            parts.split_first_chunk()?;
        let (signed, mac) = match rest {
            [] => (value, None),
            [mac] => (&value[..value.len() - mac.len() - 1], Some(*mac)),
            _ => return None,
        };
        if version != "1" || !trust.believes(peer, signed, mac) {
            return None;
        }
        let mode = match mode {
            "s" => Mode::Sync,
            "a" => Mode::Async,
            _ => return None,
        };
        let service: Arc<str> = decoded(service)?;
        if service.is_empty() {
            return None;
        }
        Some(Self {
            caller: Party {
                service,
                operation: decoded(operation)?,
            },
            call_id: CallId::parse(call_id)?,
            mode,
            sent_unix_us: sent.parse().ok()?,
        })
    }
}
