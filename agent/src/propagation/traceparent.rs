//! The W3C trace context.

use std::cell::Cell;
use std::sync::OnceLock;

use super::text::push_hex;
use crate::identity::random_u64;

/// A trace and a span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// A new trace. Not sampled: recording spans is for tracers to decide.
    pub(crate) fn new_root() -> Self {
        let high = u128::from(next_random()) << 64;
        Self {
            trace_id: high | u128::from(next_random()),
            span_id: next_random(),
            flags: 0,
        }
    }

    /// The same trace with a span of its own, for the next hop.
    pub(crate) fn child(self) -> Self {
        Self {
            span_id: next_random(),
            ..self
        }
    }

    /// Reads a `traceparent`. `None` when it is malformed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        // Later versions may append fields after another dash; longer than this is no header of ours to read.
        if bytes.len() < 55 || bytes.len() > BYTES_MAX || !text.is_ascii() {
            return None;
        }
        let lower_hex = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let (version, trace, span, flags) =
            (&text[..2], &text[3..35], &text[36..52], &text[53..55]);
        let dashes = bytes[2] == b'-' && bytes[35] == b'-' && bytes[52] == b'-';
        if !dashes || ![version, trace, span, flags].into_iter().all(lower_hex) || version == "ff" {
            return None;
        }
        if bytes.len() > 55 && (version == "00" || bytes[55] != b'-') {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }
}

/// The trace of a request, read or made when somebody asks: most requests call nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// The header of version 00, as it came.
    text: Option<[u8; TEXT_BYTES]>,
    found: OnceLock<TraceContext>,
}

/// Length of a `traceparent` of version 00.
const TEXT_BYTES: usize = 55;
/// Longest one of a later version that is read.
const BYTES_MAX: usize = 512;

impl Trace {
    /// Takes the value of the header.
    pub(crate) fn from_header(value: &[u8]) -> Self {
        if let Ok(text) = value.try_into() {
            return Self {
                text: Some(text),
                found: OnceLock::new(),
            };
        }
        // A long one is not even looked at.
        (value.len() <= BYTES_MAX)
            .then(|| str::from_utf8(value).ok().and_then(TraceContext::parse))
            .flatten()
            .map_or_else(Self::default, Self::from)
    }

    /// The trace, if the request brought one that is well-formed.
    pub(crate) fn parsed(&self) -> Option<TraceContext> {
        let read = |text: &[u8; TEXT_BYTES]| TraceContext::parse(str::from_utf8(text).ok()?);
        self.found
            .get()
            .copied()
            .or_else(|| self.text.as_ref().and_then(read))
    }

    /// The trace; a new one when the request brought none that is well-formed.
    pub(crate) fn get(&self) -> TraceContext {
        *self
            .found
            .get_or_init(|| self.parsed().unwrap_or_else(TraceContext::new_root))
    }
}

impl From<TraceContext> for Trace {
    fn from(found: TraceContext) -> Self {
        Self {
            text: None,
            found: OnceLock::from(found),
        }
    }
}

impl TraceContext {
    /// The header's value.
    pub(crate) fn to_text(self) -> String {
        let mut out = String::with_capacity(TEXT_BYTES);
        out.push_str("00-");
        push_hex(&mut out, (self.trace_id >> 64) as u64, 16);
        push_hex(&mut out, self.trace_id as u64, 16);
        out.push('-');
        push_hex(&mut out, self.span_id, 16);
        out.push('-');
        // Version 00 knows two flags: sampled and random id.
        push_hex(&mut out, u64::from(self.flags & 0x03), 2);
        out
    }
}

/// SplitMix64 from a random start in each thread: ids need no more, and a call costs nanoseconds.
fn next_random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let step = |state: &Cell<u64>| {
        let mut seed = state.get();
        if seed == 0 {
            seed = random_u64();
        }
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(seed);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    // Zero is not a valid id; the thread-local is gone while a thread is torn down.
    STATE.try_with(step).unwrap_or_else(|_| random_u64()).max(1)
}
