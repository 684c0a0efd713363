//! Inputs made by hand.

use super::super::{Component, Edge, EdgePart, End, Inputs, Operation, Origin, Part, Service};

/// A service with one operation: `rate` requests per second of `cpu_ns`, on processes of one core.
pub(crate) fn service(inputs: &mut Inputs, label: &str, rate: f64, cpu_ns: f64) -> usize {
    let at = inputs.services.len();
    let cores = rate * cpu_ns * 1e-9;
    inputs.services.push(Service {
        label: label.to_owned(),
        has_agent: true,
        instances: 1.0,
        min_replicas: 0.0,
        cores_limit: Some(1.0),
        cores,
        background: 0.0,
        agent: 0.0,
        wake_ns: 0.0,
        rest: 0.0,
        base_bytes: None,
        peak_bytes: None,
    });
    inputs.components.push(Component {
        service: at,
        name: String::new(),
    });
    inputs.operations.push(Operation {
        service: at,
        component: at,
        name: format!("GET /{label}"),
        row: format!("operation:{label}/GET /{label}"),
        rate,
        cores,
        parts: Vec::new(),
        in_flight: 0.0,
        wall_ns: None,
        held_bytes: 0.0,
        held_max_bytes: 0.0,
        retained_bytes: None,
        service_cs2: 1.0,
        arrival_cs2: 1.0,
        spread_known: true,
        shapes: Vec::new(),
        wait_call_ns: None,
        hold_ns: None,
    });
    at
}

/// Synchronous calls whose messages stand in the operations' rows, half at each end; the rows grow by them.
pub(crate) fn call(
    inputs: &mut Inputs,
    from: usize,
    to: usize,
    rate: f64,
    message_ns: f64,
) -> usize {
    for at in [from, to] {
        let more = rate * message_ns / 2.0 * 1e-9;
        inputs.operations[at].cores += more;
        let service = inputs.operations[at].service;
        inputs.services[service].cores += more;
    }
    inputs.edges.push(Edge {
        id: format!("edge:{from}>{to}"),
        shown: format!("{from} → {to}"),
        from: End::Operation(from),
        to: End::Operation(to),
        sync: true,
        local: false,
        broker: None,
        rate,
        parts: Vec::new(),
        caller_ns: message_ns / 2.0,
        caller_pool_ns: 0.0,
        callee_ns: message_ns / 2.0,
        callee_pool_ns: 0.0,
        broker_ns: 0.0,
        broker_publication_ns: 0.0,
        shares_with: Vec::new(),
        by_bytes_ns: 0.0,
        by_bytes_known: false,
        bytes: 0.0,
        wait_ns: None,
        critical_share: None,
    });
    inputs.edges.len() - 1
}

/// Everything belongs to one origin at this operation.
pub(crate) fn one_origin(inputs: &mut Inputs, root: usize) {
    let rate = inputs.operations[root].rate;
    inputs.origins.push(Origin {
        service: inputs.services[root].label.clone(),
        operation: inputs.operations[root].name.clone(),
        rate: Some(rate),
        carried: 0.0,
        root: Some(root),
        wall_ns: None,
        waits_for: (0..inputs.operations.len()).collect(),
    });
    for operation in &mut inputs.operations {
        operation.parts = vec![Part {
            origin: 0,
            rate: operation.rate,
            cores: operation.cores,
        }];
    }
    for edge in &mut inputs.edges {
        edge.parts = vec![EdgePart {
            origin: 0,
            rate: edge.rate,
        }];
    }
}
