//! Traces as they come: protobuf read in place, handed over span by span.

use super::attributes::{ResourceAttributes, SpanAttributes, key_value};
use super::proto::{Fields, Malformed, Value};

/// `Span.SpanKind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unspecified counts as internal, as the specification says.
    #[default]
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    pub(crate) fn of(number: u64) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

/// Trace and span.
pub(crate) type LinkIds<'a> = (&'a [u8], &'a [u8]);

/// Most links of one span that are read: what OpenTelemetry's SDKs keep by themselves (`OTEL_SPAN_LINK_COUNT_LIMIT`).
pub(crate) const LINKS_MAX: usize = 128;

/// What is read of a span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span<'a> {
    /// 16 bytes, or it is refused.
    pub(crate) trace: &'a [u8],
    /// 8 bytes, or it is refused.
    pub(crate) id: &'a [u8],
    /// Empty, or 8 bytes; all zero counts as empty.
    pub(crate) parent: &'a [u8],
    /// How a consumer names what it consumed, a link for each message: of links whose ids are whole, the first
    /// [`LINKS_MAX`].
    pub(crate) links: &'a [LinkIds<'a>],
    /// How many links there are beyond that.
    pub(crate) links_cut: u64,
    pub(crate) name: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) start_unix_ns: u64,
    pub(crate) end_unix_ns: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: SpanAttributes<'a>,
}

/// Takes what a request holds.
pub(crate) trait TakeSpans {
    fn resource(&mut self, attributes: &ResourceAttributes<'_>);
    fn span(&mut self, span: &Span<'_>);
    /// All spans of the resource were handed over.
    fn resource_ends(&mut self);
}

/// Reads an `ExportTraceServiceRequest`.
pub(crate) fn read(bytes: &[u8], take: &mut impl TakeSpans) -> Result<(), Malformed> {
    let mut links = Vec::new();
    each_message(bytes, 1, |resource_spans| {
        take.resource(&resource(resource_spans)?);
        each_message(resource_spans, 2, |scope_spans| {
            each_message(scope_spans, 2, |span| {
                links.clear();
                let span = read_span(span, &mut links)?;
                take.span(&Span {
                    links: &links,
                    ..span
                });
                Ok(())
            })
        })?;
        take.resource_ends();
        Ok(())
    })
}

/// Hands over every message in a repeated field.
#[inline]
pub(crate) fn each_message<'a>(
    bytes: &'a [u8],
    wanted: u32,
    mut take: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == wanted
            && let Some(message) = value.bytes()
        {
            take(message)?;
        }
    }
    Ok(())
}

/// The resource of `ResourceSpans` or `ResourceMetrics`, wherever in the message it stands.
pub(crate) fn resource(bytes: &[u8]) -> Result<ResourceAttributes<'_>, Malformed> {
    let mut attributes = ResourceAttributes::default();
    each_message(bytes, 1, |resource| {
        each_message(resource, 1, |pair| {
            key_value(pair, &mut |key, value| attributes.take(key, value))
        })
    })?;
    Ok(attributes)
}

/// Reads all of a span but its links, which are put beside it.
fn read_span<'a>(bytes: &'a [u8], links: &mut Vec<LinkIds<'a>>) -> Result<Span<'a>, Malformed> {
    let mut span = Span::default();
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => span.trace = bytes,
            (2, Value::Bytes(bytes)) => span.id = bytes,
            (4, Value::Bytes(bytes)) => span.parent = bytes,
            (5, Value::Bytes(bytes)) => span.name = bytes,
            (6, Value::Varint(kind)) => span.kind = Kind::of(kind),
            (7, Value::Fixed64(ns)) => span.start_unix_ns = ns,
            (8, Value::Fixed64(ns)) => span.end_unix_ns = ns,
            (9, Value::Bytes(bytes)) => {
                key_value(bytes, &mut |key, value| span.attributes.take(key, value))?;
            }
            (13, Value::Bytes(bytes)) => match read_link(bytes)? {
                Some(link) if links.len() < LINKS_MAX => links.push(link),
                Some(_) => span.links_cut += 1,
                None => {}
            },
            (15, Value::Bytes(bytes)) => {
                let mut status = Fields(bytes);
                while let Some((number, value)) = status.next()? {
                    if number == 3 {
                        span.is_error = value.varint() == Some(2);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(span)
}

fn read_link(bytes: &[u8]) -> Result<Option<LinkIds<'_>>, Malformed> {
    let (mut trace, mut span) = (&[][..], &[][..]);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => trace = bytes,
            (2, Value::Bytes(bytes)) => span = bytes,
            _ => {}
        }
    }
    Ok((trace.len() == 16 && span.len() == 8).then_some((trace, span)))
}
