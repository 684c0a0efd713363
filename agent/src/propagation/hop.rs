//! The per-hop header.

use std::net::IpAddr;
use std::sync::Arc;

use super::memo::{self, push_party};
use super::text::{decoded, push_decimal};
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
        push_party(&mut out, &self.caller);
        out.push(';');
        out.push_str(self.call_id.as_str());
        out.push_str(if self.mode == Mode::Sync {
            ";s;"
        } else {
            ";a;"
        });
        push_decimal(&mut out, self.sent_unix_us);
        if let Some(mac) = trust.mac(&out) {
            out.push(';');
            out.push_str(&mac);
        }
        out
    }

    /// Reads the header. `None` when it is malformed, of another version, or not believed.
    pub(crate) fn parse(value: &str, trust: &Trust, peer: Option<IpAddr>) -> Option<Self> {
        let text = HopText::split(value)?;
        if !text.is_believed(trust, peer) {
            return None;
        }
        Self::read(text.lasting, text.sent_unix_us)
    }

    /// Reads the part of the header that is the same for all requests over one edge.
    pub(super) fn read(lasting: &str, sent_unix_us: u64) -> Option<Self> {
        let hop = memo::hop(lasting, || Self::read_lasting(lasting))?;
        Some(Self {
            sent_unix_us,
            ..hop
        })
    }

    fn read_lasting(lasting: &str) -> Option<Self> {
        let parts: Vec<&str> = lasting.splitn(6, ';').collect();
        let &[version, service, operation, call_id, mode] = &parts[..] else {
            return None;
        };
        let mode = match mode {
            "s" => Mode::Sync,
            "a" => Mode::Async,
            _ => return None,
        };
        let service: Arc<str> = decoded(service)?;
        if version != "1" || service.is_empty() {
            return None;
        }
        Some(Self {
            caller: Party {
                service,
                operation: decoded(operation)?,
            },
            call_id: CallId::parse(call_id)?,
            mode,
            sent_unix_us: 0,
        })
    }
}

/// The parts of a per-hop header, not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct HopText<'a> {
    /// Everything before the time of sending: the same for all requests over one edge.
    pub(super) lasting: &'a str,
    pub(super) sent_unix_us: u64,
    /// What the code was made of.
    signed: &'a str,
    mac: Option<&'a str>,
}

impl<'a> HopText<'a> {
    /// `None` when the header is too long, has too few or too many parts, or a malformed time.
    pub(super) fn split(value: &'a str) -> Option<Self> {
        if value.len() > HOP_BYTES_MAX {
            return None;
        }
        let (end, _) = value.match_indices(';').nth(4)?;
        let mut rest = value[end + 1..].split(';');
        let sent = rest.next()?;
        let mac = rest.next();
        if rest.next().is_some() {
            return None;
        }
        let signed = match mac {
            Some(mac) => &value[..value.len() - mac.len() - 1],
            None => value,
        };
        Some(Self {
            lasting: &value[..end],
            sent_unix_us: sent.parse().ok()?,
            signed,
            mac,
        })
    }

    pub(super) fn is_believed(&self, trust: &Trust, peer: Option<IpAddr>) -> bool {
        trust.believes(peer, self.signed, self.mac)
    }
}
