//! The attributes that are read, and no other: an allow-list. Current names of the semantic conventions and the ones
//! before them.

use super::proto::{Fields, Malformed};

/// What a value can be here; arrays, maps and bytes are of no use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Text(&'a [u8]),
    Number(i64),
    Bool(bool),
}

impl<'a> Scalar<'a> {
    fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A number, or a text that is one.
    pub(crate) fn number(self) -> Option<i64> {
        match self {
            Self::Number(n) => Some(n),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Bool(_) => None,
        }
    }
}

/// What is read of the attributes of a span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpanAttributes<'a> {
    pub(crate) http_method: Option<&'a [u8]>,
    pub(crate) http_route: Option<&'a [u8]>,
    pub(crate) http_status: Option<i64>,
    pub(crate) url_template: Option<&'a [u8]>,
    pub(crate) resend_count: Option<i64>,
    pub(crate) request_body_bytes: Option<i64>,
    pub(crate) response_body_bytes: Option<i64>,
    pub(crate) server_address: Option<&'a [u8]>,
    pub(crate) server_port: Option<i64>,
    pub(crate) peer_service: Option<&'a [u8]>,
    pub(crate) rpc_system: Option<&'a [u8]>,
    pub(crate) rpc_service: Option<&'a [u8]>,
    pub(crate) rpc_method: Option<&'a [u8]>,
    pub(crate) grpc_status: Option<i64>,
    pub(crate) db_system: Option<&'a [u8]>,
    pub(crate) db_namespace: Option<&'a [u8]>,
    pub(crate) db_collection: Option<&'a [u8]>,
    pub(crate) db_operation: Option<&'a [u8]>,
    pub(crate) messaging_system: Option<&'a [u8]>,
    pub(crate) messaging_destination: Option<&'a [u8]>,
    pub(crate) messaging_template: Option<&'a [u8]>,
    pub(crate) messaging_unnamed: bool,
    pub(crate) messaging_settle: bool,
    pub(crate) messaging_batch: Option<i64>,
    pub(crate) messaging_body_bytes: Option<i64>,
}

impl<'a> SpanAttributes<'a> {
    /// True when the attribute is read at all.
    #[inline]
    pub(crate) fn take(&mut self, key: &[u8], value: Scalar<'a>) {
        match key {
            b"http.request.method" | b"http.method" => self.http_method = value.text(),
            b"http.route" => self.http_route = value.text(),
            b"http.response.status_code" | b"http.status_code" => self.http_status = value.number(),
            b"url.template" => self.url_template = value.text(),
            b"http.request.resend_count" | b"http.resend_count" => {
                self.resend_count = value.number();
            }
            b"http.request.body.size" | b"http.request_content_length" => {
                self.request_body_bytes = value.number();
            }
            b"http.response.body.size" | b"http.response_content_length" => {
                self.response_body_bytes = value.number();
            }
            b"server.address" | b"net.peer.name" => self.server_address = value.text(),
            b"server.port" | b"net.peer.port" => self.server_port = value.number(),
            b"peer.service" | b"service.peer.name" => self.peer_service = value.text(),
            b"rpc.system" | b"rpc.system.name" => self.rpc_system = value.text(),
            b"rpc.service" => self.rpc_service = value.text(),
            b"rpc.method" => self.rpc_method = value.text(),
            b"rpc.grpc.status_code" => self.grpc_status = value.number(),
            b"rpc.response.status_code" => self.grpc_status = grpc_code(value),
            b"db.system" | b"db.system.name" => self.db_system = value.text(),
            b"db.namespace" | b"db.name" => self.db_namespace = value.text(),
            b"db.collection.name"
            | b"db.sql.table"
            | b"db.mongodb.collection"
            | b"db.cassandra.table" => self.db_collection = value.text(),
            b"db.operation.name" | b"db.operation" => self.db_operation = value.text(),
            b"messaging.system" => self.messaging_system = value.text(),
            b"messaging.destination.name" | b"messaging.destination" => {
                self.messaging_destination = value.text();
            }
            b"messaging.destination.template" => self.messaging_template = value.text(),
            b"messaging.destination.temporary" | b"messaging.destination.anonymous" => {
                self.messaging_unnamed |= value == Scalar::Bool(true);
            }
            b"messaging.operation.type" | b"messaging.operation" => {
                self.messaging_settle =
                    matches!(value.text(), Some(b"settle" | b"create" | b"receive"));
            }
            b"messaging.batch.message_count" => self.messaging_batch = value.number(),
            b"messaging.message.body.size" => self.messaging_body_bytes = value.number(),
            _ => {}
        }
    }
}

/// A status of gRPC, as its number or its name.
fn grpc_code(value: Scalar<'_>) -> Option<i64> {
    const NAMES: [&[u8]; 17] = [
        b"OK",
        b"CANCELLED",
        b"UNKNOWN",
        b"INVALID_ARGUMENT",
        b"DEADLINE_EXCEEDED",
        b"NOT_FOUND",
        b"ALREADY_EXISTS",
        b"PERMISSION_DENIED",
        b"RESOURCE_EXHAUSTED",
        b"FAILED_PRECONDITION",
        b"ABORTED",
        b"OUT_OF_RANGE",
        b"UNIMPLEMENTED",
        b"INTERNAL",
        b"UNAVAILABLE",
        b"DATA_LOSS",
        b"UNAUTHENTICATED",
    ];
    value.number().or_else(|| {
        let text = value.text()?;
        let place = NAMES.iter().position(|name| *name == text)?;
        i64::try_from(place).ok()
    })
}

/// What is read of the attributes of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResourceAttributes<'a> {
    pub(crate) service: Option<&'a [u8]>,
    pub(crate) namespace: Option<&'a [u8]>,
    pub(crate) environment: Option<&'a [u8]>,
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) instance: Option<&'a [u8]>,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) pod: Option<&'a [u8]>,
    pub(crate) deployment: Option<&'a [u8]>,
    pub(crate) pid: Option<i64>,
}

impl<'a> ResourceAttributes<'a> {
    pub(crate) fn take(&mut self, key: &[u8], value: Scalar<'a>) {
        match key {
            b"service.name" => self.service = value.text(),
            b"service.namespace" => self.namespace = value.text(),
            b"deployment.environment.name" | b"deployment.environment" => {
                self.environment = value.text();
            }
            b"service.version" => self.version = value.text(),
            b"service.instance.id" => self.instance = value.text(),
            b"host.name" => self.host = value.text(),
            b"k8s.pod.name" => self.pod = value.text(),
            b"k8s.deployment.name" | b"k8s.container.name" => self.deployment = value.text(),
            b"process.pid" => self.pid = value.number(),
            _ => {}
        }
    }
}

/// Reads one `KeyValue` and hands it over when its value is a scalar.
#[inline]
pub(crate) fn key_value<'a>(
    bytes: &'a [u8],
    take: &mut impl FnMut(&'a [u8], Scalar<'a>),
) -> Result<(), Malformed> {
    let mut fields = Fields(bytes);
    let (mut key, mut value) = (&[][..], None);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = field.bytes().unwrap_or_default(),
            2 => value = field.bytes(),
            _ => {}
        }
    }
    let Some(value) = value else { return Ok(()) };
    // Only the outermost level is looked at, so depth costs nothing.
    let mut fields = Fields(value);
    let mut scalar = None;
    while let Some((number, field)) = fields.next()? {
        scalar = match number {
            1 => field.bytes().map(Scalar::Text),
            2 => field.varint().map(|n| Scalar::Bool(n != 0)),
            3 => field.varint().map(|n| Scalar::Number(n.cast_signed())),
            _ => None,
        };
    }
    if let Some(scalar) = scalar {
        take(key, scalar);
    }
    Ok(())
}
