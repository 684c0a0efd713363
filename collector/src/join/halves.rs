//! Halves: fingerprints of spans that others may name, and what waits for one.

use crate::otlp::derived::{NONE, Reader, Writer};
use crate::otlp::rows::Figures;

/// Mixes 128 bits of a trace id and 64 of a span id into one key that is never 0. Two spans of the millions that
/// are compared get the same key with a chance of about one in 10^12.
fn mix(seed: u64, trace: &[u8; 16], span: u64) -> u64 {
    let (low, high) = trace.split_at(8);
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let mut h = seed ^ word(low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h = (h.rotate_left(29) ^ word(high)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h.rotate_left(31) ^ span).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^= h >> 32;
    h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
    h ^= h >> 29;
    h.max(1)
}

/// The key of a span.
#[inline]
pub(crate) fn key_of(seed: u64, trace: &[u8; 16], span: &[u8; 8]) -> u64 {
    mix(seed, trace, u64::from_le_bytes(*span))
}

/// The key under which the first request of a trace is known.
#[inline]
pub(crate) fn root_key_of(seed: u64, trace: &[u8; 16]) -> u64 {
    // No span has id 0.
    mix(seed, trace, 0)
}

/// A span, for those that name it as their parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its key.
    pub(crate) key: u64,
    /// Where `op` is not known: the missing span through which it is found. 0: there is none.
    pub(crate) via: u64,
    /// When it ended, ns since the Unix epoch.
    pub(crate) end_unix_ns: u64,
    /// The request that it is, or that it is part of.
    pub(crate) op: u32,
    /// The call that it is.
    pub(crate) call: u32,
    /// Kind of the span, or [`ROOT`](Self::ROOT).
    pub(crate) kind: u8,
}

impl Offer {
    /// The first request of a trace.
    pub(crate) const ROOT: u8 = 16;
    /// Bytes on disk.
    pub(crate) const BYTES: usize = 33;

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u64(self.key);
        out.u64(self.via);
        out.u64(self.end_unix_ns);
        out.u32(self.op);
        out.u32(self.call);
        out.u8(self.kind);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            key: from.u64()?,
            via: from.u64()?,
            end_unix_ns: from.u64()?,
            op: from.u32()?,
            call: from.u32()?,
            kind: from.u8()?,
        })
    }
}

/// What waits for a span to come: a request for its caller, a call for the request around it, either for the
/// request at which its trace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// The span waited for.
    pub(crate) key: u64,
    /// The first request of its trace.
    pub(crate) root: u64,
    /// A request's operation; a call's or statement's target.
    pub(crate) subject: u32,
    /// What is known by now: the request's caller, or the request around a call.
    pub(crate) op: u32,
    /// A request's: the call by which it came.
    pub(crate) call: u32,
    /// Start of the window in which it counts, seconds since the Unix epoch.
    pub(crate) window_s: u32,
    pub(crate) wall_ns: u64,
    pub(crate) start_unix_ns: u64,
    /// `NONE`: not known.
    pub(crate) request_bytes: u32,
    pub(crate) response_bytes: u32,
    /// How often it counts: the messages of a batch, else 1.
    pub(crate) count: u32,
    pub(crate) flags: u8,
    pub(crate) retries: u8,
}

impl Want {
    /// Bytes on disk; a batch takes four more.
    pub(crate) const BYTES: usize = 58;

    const ERROR: u8 = 1;
    const CLIENT_ERROR: u8 = 2;
    /// It is a call or a statement, not a request.
    const TARGET: u8 = 4;
    const ENTITY: u8 = 8;
    /// Caller or surrounding request are settled; it waits for the beginning of the trace.
    const AT_ROOT: u8 = 16;
    /// The message before was taken later than it was sent by another clock.
    const SKEWED: u8 = 32;
    /// On disk: how often it counts follows. Else it counts once.
    const BATCH: u8 = 64;
    /// A message of a batch behind the first: it came over an edge, and its request is counted with the first.
    const FURTHER: u8 = 128;

    pub(crate) fn with_outcome(mut self, is_error: bool, is_client_error: bool) -> Self {
        if is_error {
            self.flags |= Self::ERROR;
        }
        if is_client_error {
            self.flags |= Self::CLIENT_ERROR;
        }
        self
    }

    /// The same as a call or statement that waits for `key`.
    pub(crate) fn of_target(mut self, key: u64, is_entity: bool) -> Self {
        self.key = key;
        self.flags |= Self::TARGET | if is_entity { Self::ENTITY } else { 0 };
        self
    }

    pub(crate) fn at_root(mut self) -> Self {
        self.key = self.root;
        self.flags |= Self::AT_ROOT;
        self
    }

    /// The same as a message of the batch behind the first.
    pub(crate) fn further(mut self) -> Self {
        self.flags |= Self::FURTHER;
        self
    }

    pub(crate) fn is_further(&self) -> bool {
        self.flags & Self::FURTHER != 0
    }

    pub(crate) fn is_at_root(&self) -> bool {
        self.flags & Self::AT_ROOT != 0
    }

    pub(crate) fn is_request(&self) -> bool {
        self.flags & Self::TARGET == 0
    }

    pub(crate) fn is_entity(&self) -> bool {
        self.flags & Self::ENTITY != 0
    }

    pub(crate) fn skewed(mut self) -> Self {
        self.flags |= Self::SKEWED;
        self
    }

    pub(crate) fn is_skewed(&self) -> bool {
        self.flags & Self::SKEWED != 0
    }

    /// What it counts.
    pub(crate) fn figures(&self) -> Figures {
        let bytes = |size: u32| {
            if size == NONE {
                (0, 0)
            } else {
                (1, i64::from(size))
            }
        };
        Figures {
            count: i64::from(self.count),
            errors: i64::from(self.flags & Self::ERROR != 0),
            client_errors: i64::from(self.flags & Self::CLIENT_ERROR != 0),
            wall_ns: i64::try_from(self.wall_ns).unwrap_or(i64::MAX),
            retries: i64::from(self.retries),
            lag_ns: 0,
            request_bytes: bytes(self.request_bytes),
            response_bytes: bytes(self.response_bytes),
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u64(self.key);
        out.u64(self.root);
        out.u64(self.wall_ns);
        out.u64(self.start_unix_ns);
        [
            self.subject,
            self.op,
            self.call,
            self.window_s,
            self.request_bytes,
            self.response_bytes,
        ]
        .into_iter()
        .for_each(|word| out.u32(word));
        let is_batch = self.count != 1;
        out.u8(self.flags | if is_batch { Self::BATCH } else { 0 });
        out.u8(self.retries);
        if is_batch {
            out.u32(self.count);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut want = Self {
            key: from.u64()?,
            root: from.u64()?,
            wall_ns: from.u64()?,
            start_unix_ns: from.u64()?,
            subject: from.u32()?,
            op: from.u32()?,
            call: from.u32()?,
            window_s: from.u32()?,
            request_bytes: from.u32()?,
            response_bytes: from.u32()?,
            count: 1,
            flags: from.u8()?,
            retries: from.u8()?,
        };
        if want.flags & Self::BATCH != 0 {
            want.flags &= !Self::BATCH;
            want.count = from.u32()?;
        }
        Some(want)
    }
}
