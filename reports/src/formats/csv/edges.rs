//! Tables of what origins and edges are made of, and of how calls run.

use super::{CsvTable, by_columns, number, value};
use crate::Document;
use crate::document::{ClassFigures, EdgeReport, EdgeSideCpu};

fn class(cpu: &ClassFigures, at: usize) -> String {
    cpu.each()
        .get(at)
        .map_or_else(String::new, |(_, figure)| value(figure))
}

/// What each service contributes to an origin.
pub(super) fn origin_services(document: &Document) -> CsvTable {
    let rows = document
        .origins
        .iter()
        .flat_map(|origin| origin.services.iter().map(move |part| (origin, part)));
    by_columns(
        "origin_services",
        rows,
        &[
            ("origin_service", &|(o, _)| o.service.clone()),
            ("origin_operation", &|(o, _)| o.operation.clone()),
            ("service", &|(_, s)| s.service.clone()),
            ("requests_per_request", &|(_, s)| value(&s.requests)),
            ("cpu_ns_per_request", &|(_, s)| value(&s.cpu.total)),
            ("handler_ns", &|(_, s)| class(&s.cpu, 0)),
            ("encode_ns", &|(_, s)| class(&s.cpu, 1)),
            ("decode_ns", &|(_, s)| class(&s.cpu, 2)),
            ("protocol_ns", &|(_, s)| class(&s.cpu, 3)),
            ("io_ns", &|(_, s)| class(&s.cpu, 4)),
            ("store_ns", &|(_, s)| class(&s.cpu, 5)),
            ("share", &|(_, s)| value(&s.share)),
            ("alloc_bytes_per_request", &|(_, s)| value(&s.alloc_bytes)),
        ],
    )
}

/// What each operation contributes to an origin.
pub(super) fn origin_operations(document: &Document) -> CsvTable {
    let rows = document
        .origins
        .iter()
        .flat_map(|origin| origin.operations.iter().map(move |part| (origin, part)));
    by_columns(
        "origin_operations",
        rows,
        &[
            ("origin_service", &|(o, _)| o.service.clone()),
            ("origin_operation", &|(o, _)| o.operation.clone()),
            ("service", &|(_, p)| p.service.clone()),
            ("operation", &|(_, p)| p.operation.clone()),
            ("calls_per_request", &|(_, p)| value(&p.calls)),
            ("cpu_ns_per_call", &|(_, p)| value(&p.cpu_per_call)),
            ("cpu_ns_per_request", &|(_, p)| value(&p.cpu.total)),
            ("share", &|(_, p)| value(&p.share)),
            ("alloc_bytes_per_request", &|(_, p)| value(&p.alloc_bytes)),
        ],
    )
}

/// One end of an edge: the edge, the side, and what a call costs there.
type Side<'a> = (&'a EdgeReport, &'static str, &'a EdgeSideCpu);

/// What one call costs on each side of an edge.
pub(super) fn sides(document: &Document) -> CsvTable {
    let rows = document.edges.iter().flat_map(|edge| -> [Side<'_>; 2] {
        [
            (edge, "caller", &edge.caller_cpu),
            (edge, "callee", &edge.callee_cpu),
        ]
    });
    by_columns(
        "edge_sides",
        rows,
        &[
            ("edge", &|(e, ..)| e.id.clone()),
            ("from_service", &|(e, ..)| e.from.service.clone()),
            ("to_service", &|(e, ..)| e.to.service.clone()),
            ("target", &|(e, ..)| e.target.clone()),
            ("side", &|(_, side, _)| (*side).to_owned()),
            ("encode_ns_per_call", &|(.., cpu)| value(&cpu.encode)),
            ("decode_ns_per_call", &|(.., cpu)| value(&cpu.decode)),
            ("protocol_ns_per_call", &|(.., cpu)| value(&cpu.protocol)),
            ("io_ns_per_call", &|(.., cpu)| value(&cpu.io)),
            ("pool_ns_per_call", &|(.., cpu)| value(&cpu.pool)),
            ("total_ns_per_call", &|(.., cpu)| value(&cpu.total)),
        ],
    )
}

/// Prices of messages and bytes.
pub(super) fn prices(document: &Document) -> CsvTable {
    let rows = document
        .edges
        .iter()
        .flat_map(|edge| edge.prices.iter().map(move |price| (edge, price)));
    by_columns(
        "edge_prices",
        rows,
        &[
            ("edge", &|(e, _)| e.id.clone()),
            ("from_service", &|(e, _)| e.from.service.clone()),
            ("to_service", &|(e, _)| e.to.service.clone()),
            ("target", &|(e, _)| e.target.clone()),
            ("side", &|(_, p)| p.side.clone()),
            ("direction", &|(_, p)| p.direction.clone()),
            ("messages", &|(_, p)| p.messages.to_string()),
            ("ns_per_message", &|(_, p)| value(&p.per_message)),
            ("ns_per_message_low", &|(_, p)| number(p.per_message.low)),
            ("ns_per_message_high", &|(_, p)| number(p.per_message.high)),
            ("ns_per_byte", &|(_, p)| value(&p.per_byte)),
            ("ns_per_byte_low", &|(_, p)| number(p.per_byte.low)),
            ("ns_per_byte_high", &|(_, p)| number(p.per_byte.high)),
            ("how", &|(_, p)| p.note.clone()),
        ],
    )
}

/// How the calls of a request run.
pub(super) fn call_shapes(document: &Document) -> CsvTable {
    let operations = document
        .services
        .iter()
        .flat_map(|service| service.operations.iter().map(move |o| (service, o)));
    let rows = operations.flat_map(|(s, o)| o.shapes.iter().map(move |shape| (s, o, shape)));
    by_columns(
        "call_shapes",
        rows,
        &[
            ("service", &|(s, ..)| s.service.clone()),
            ("operation", &|(_, o, _)| o.operation.clone()),
            ("class", &|(_, o, _)| o.class.clone()),
            ("signature", &|(.., shape)| shape.signature.clone()),
            ("shape", &|(.., shape)| shape.shown.clone()),
            ("requests", &|(.., shape)| value(&shape.requests)),
            ("share", &|(.., shape)| value(&shape.share)),
            ("wall_ns_per_request", &|(.., shape)| value(&shape.wall)),
            ("own_ns_per_request", &|(.., shape)| value(&shape.own)),
            ("critical_ns_per_request", &|(.., shape)| {
                value(&shape.critical)
            }),
        ],
    )
}

/// What the copies of an entity cost.
pub(super) fn copies(document: &Document) -> CsvTable {
    let rows = document
        .entities
        .iter()
        .filter_map(|entity| Some((entity, entity.cost.as_ref()?)));
    by_columns(
        "entity_copies",
        rows,
        &[
            ("entity", &|(e, _)| e.entity.clone()),
            ("owner", &|(e, _)| e.owner.clone().unwrap_or_default()),
            ("copies", &|(_, c)| c.copies.to_string()),
            ("storage_bytes", &|(_, c)| value(&c.storage)),
            ("storage_bytes_low", &|(_, c)| number(c.storage.low)),
            ("storage_bytes_high", &|(_, c)| number(c.storage.high)),
            ("messages_per_s", &|(_, c)| value(&c.messages)),
            ("messages_per_s_low", &|(_, c)| number(c.messages.low)),
            ("messages_per_s_high", &|(_, c)| number(c.messages.high)),
            ("message_bytes_per_s", &|(_, c)| value(&c.message_bytes)),
            ("message_bytes_per_s_low", &|(_, c)| {
                number(c.message_bytes.low)
            }),
            ("message_bytes_per_s_high", &|(_, c)| {
                number(c.message_bytes.high)
            }),
            ("message_cores", &|(_, c)| value(&c.message_cpu)),
            ("message_cores_low", &|(_, c)| number(c.message_cpu.low)),
            ("message_cores_high", &|(_, c)| number(c.message_cpu.high)),
            ("apply_cores", &|(_, c)| value(&c.apply_cpu)),
            ("apply_cores_low", &|(_, c)| number(c.apply_cpu.low)),
            ("apply_cores_high", &|(_, c)| number(c.apply_cpu.high)),
            ("total_cores", &|(_, c)| value(&c.total_cpu)),
            ("total_cores_low", &|(_, c)| number(c.total_cpu.low)),
            ("total_cores_high", &|(_, c)| number(c.total_cpu.high)),
            ("ns_per_message", &|(_, c)| value(&c.per_message)),
            ("ns_per_message_low", &|(_, c)| number(c.per_message.low)),
            ("ns_per_message_high", &|(_, c)| number(c.per_message.high)),
            ("staleness_ns", &|(_, c)| value(&c.staleness)),
            ("staleness_ns_low", &|(_, c)| number(c.staleness.low)),
            ("staleness_ns_high", &|(_, c)| number(c.staleness.high)),
        ],
    )
}
