//! What a span is called: its operation, or the call or statement that it is.

use std::borrow::Cow;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use rustc_hash::FxHasher;
use weighbridge_wire::{OTHER, ServiceId};

use super::derived::Target;
use super::names::{clean, method};
use super::spans::{Kind, Span};

/// What stands for a route or a template that is not known: its kind is, its path is not kept.
const UNMATCHED: &str = "<unmatched>";

/// Hash of everything that the names of a span depend on.
#[inline]
pub(crate) fn hash(span: &Span<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    let a = &span.attributes;
    (span.kind as u8, span.parent.iter().all(|byte| *byte == 0)).hash(&mut hasher);
    match span.kind {
        Kind::Server => {
            (
                a.http_method,
                a.http_route,
                a.rpc_system,
                a.rpc_service,
                a.rpc_method,
            )
                .hash(&mut hasher);
            if a.http_method.is_none() && a.rpc_method.is_none() {
                span.name.hash(&mut hasher);
            }
        }
        Kind::Client | Kind::Producer | Kind::Consumer => {
            (
                a.http_method,
                a.url_template,
                a.server_address,
                a.server_port,
            )
                .hash(&mut hasher);
            (a.peer_service, a.rpc_system, a.rpc_service, a.rpc_method).hash(&mut hasher);
            (a.db_system, a.db_namespace, a.db_collection, a.db_operation).hash(&mut hasher);
            (
                a.messaging_system,
                a.messaging_destination,
                a.messaging_template,
            )
                .hash(&mut hasher);
            (a.messaging_unnamed, a.messaging_settle).hash(&mut hasher);
            if a.http_method.is_none() && a.rpc_method.is_none() && a.db_system.is_none() {
                span.name.hash(&mut hasher);
            }
        }
        Kind::Internal => {
            if span.parent.iter().all(|byte| *byte == 0) {
                span.name.hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

/// The operation of a request: `GET /orders/{id}`, `shop.Cart/Add`, `CONSUME orders.created`.
pub(crate) fn operation(span: &Span<'_>) -> String {
    let a = &span.attributes;
    if span.kind == Kind::Consumer || a.messaging_system.is_some() {
        return format!("CONSUME {}", destination(span));
    }
    if a.rpc_system.is_some() || a.rpc_method.is_some() {
        return rpc(span).into_owned();
    }
    if let Some(verb) = a.http_method {
        let route = a.http_route.map_or(Cow::Borrowed(UNMATCHED), clean);
        return format!("{} {route}", method(verb));
    }
    clean(span.name).into_owned()
}

/// The operation of a trace that begins inside: `JOB nightly_closing`.
pub(crate) fn job(span: &Span<'_>) -> String {
    format!("JOB {}", clean(span.name))
}

fn rpc<'a>(span: &Span<'a>) -> Cow<'a, str> {
    let a = &span.attributes;
    match (a.rpc_service, a.rpc_method) {
        (Some(service), Some(method)) if !method.contains(&b'/') => {
            Cow::Owned(format!("{}/{}", clean(service), clean(method)))
        }
        (_, Some(method)) => clean(method),
        _ => clean(span.name),
    }
}

fn destination<'a>(span: &Span<'a>) -> Cow<'a, str> {
    let a = &span.attributes;
    match (a.messaging_template, a.messaging_destination) {
        (Some(template), _) => clean(template),
        (None, _) if a.messaging_unnamed => Cow::Borrowed("<temporary>"),
        (None, Some(name)) => clean(name),
        (None, None) => clean(span.name),
    }
}

/// What a client or producer span calls. `None` for a span that is neither a call nor a statement.
pub(crate) fn target(span: &Span<'_>, service: &Arc<ServiceId>) -> Option<Target> {
    let a = &span.attributes;
    if let Some(system) = a.db_system {
        let database = a.db_namespace.map_or_else(|| clean(system), clean);
        let entity = a.db_collection.map_or_else(|| clean(system), clean);
        return Some(Target::Entity {
            service: service.clone(),
            database: database.into(),
            entity: entity.into(),
            is_write: is_write(a.db_operation.unwrap_or(span.name)),
        });
    }
    if a.messaging_settle && span.kind != Kind::Producer {
        return None;
    }
    let is_async = span.kind == Kind::Producer;
    let (transport, target): (Cow<'_, str>, Cow<'_, str>) = if let Some(system) = a.messaging_system
    {
        (clean(system), destination(span))
    } else if is_async {
        ("messaging".into(), destination(span))
    } else if a.rpc_system.is_some() || a.rpc_method.is_some() {
        let system = a.rpc_system.map_or(Cow::Borrowed("grpc"), clean);
        (system, rpc(span))
    } else if let Some(verb) = a.http_method {
        let template = a.url_template.map_or(Cow::Borrowed(UNMATCHED), clean);
        let target = format!("{} {template}", method(verb));
        ("http".into(), target.into())
    } else {
        ("other".into(), clean(span.name))
    };
    let peer = match (a.peer_service, a.server_address) {
        (Some(name), _) => clean(name).into_owned(),
        (None, Some(address)) => {
            let address: String = String::from_utf8_lossy(address)
                .chars()
                .filter(|c| !c.is_control())
                .take(128)
                .collect();
            match a.server_port {
                Some(port) if !is_async => format!("{address}:{port}"),
                _ => address,
            }
        }
        (None, None) => String::new(),
    };
    let call_id = call_id(service, &transport, &peer, &target);
    Some(Target::Call {
        service: service.clone(),
        transport: transport.into(),
        is_async,
        peer: peer.into(),
        target: target.into(),
        call_id: call_id.into(),
    })
}

/// Where targets that find no place are counted: one of each way for each service, whatever a request holds.
pub(crate) fn other(target: Target) -> Target {
    let other: Arc<str> = OTHER.into();
    match target {
        Target::Call {
            service, is_async, ..
        } => {
            let call_id = call_id(&service, OTHER, OTHER, OTHER);
            Target::Call {
                service,
                transport: other.clone(),
                is_async,
                peer: other.clone(),
                target: other,
                call_id: call_id.into(),
            }
        }
        Target::Entity {
            service, is_write, ..
        } => Target::Entity {
            service,
            database: other.clone(),
            entity: other,
            is_write,
        },
    }
}

/// The agent's own formula (docs/wire.md): the first 64 bits of a SHA-256 over what names the call.
fn call_id(service: &ServiceId, transport: &str, peer: &str, target: &str) -> String {
    let text = [
        &service.namespace,
        &service.service,
        transport,
        peer,
        target,
    ]
    .join("\0");
    crate::hash::hash64_hex(&text)
}

/// By the verb, of SQL or of the common stores; what is not known to read counts as a write.
fn is_write(operation: &[u8]) -> bool {
    const READS: [&[u8]; 18] = [
        b"SELECT",
        b"FIND",
        b"FINDONE",
        b"GET",
        b"MGET",
        b"HGET",
        b"HGETALL",
        b"QUERY",
        b"SCAN",
        b"COUNT",
        b"AGGREGATE",
        b"EXISTS",
        b"SEARCH",
        b"SHOW",
        b"LRANGE",
        b"SMEMBERS",
        b"ZRANGE",
        b"READ",
    ];
    let verb = operation
        .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    !READS.iter().any(|read| read.eq_ignore_ascii_case(verb))
}

/// Whether a span is an error, and whether it is the caller's mistake: DESIGN's word `errors`.
#[inline]
pub(crate) fn outcome(span: &Span<'_>) -> (bool, bool) {
    let a = &span.attributes;
    match (a.grpc_status, a.http_status) {
        (Some(0), _) => (false, false),
        // Cancelled, invalid argument, not found, already exists.
        (Some(1 | 3 | 5 | 6), _) => (false, true),
        (Some(_), _) => (true, false),
        (None, Some(status)) if status >= 500 => (true, false),
        (None, Some(status)) if status >= 400 => (false, true),
        (None, Some(status)) if status >= 100 => (false, false),
        _ => (span.is_error, false),
    }
}
