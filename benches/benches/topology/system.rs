//! A made-up system for the search.

use weighbridge_reports::topology::{
    Component, Edge, EdgePart, End, Inputs, Operation, Origin, Part, Service,
};

use crate::numbers::Numbers;

/// Services with one operation each and calls between random ones; 20 origins.
pub(crate) fn system(services: usize, edges: usize) -> Inputs {
    let mut numbers = Numbers(7);
    let n = &mut numbers;
    let mut inputs = Inputs {
        local_call_ns: 1_000.0,
        remote_call_ns: Some(250_000.0),
        ..Inputs::default()
    };
    for at in 0..services {
        let (rate, cpu_ns) = (1.0 + n.real(300), 200_000.0 + n.real(3_000_000));
        let cores = rate * cpu_ns * 1e-9;
        let (agent, background) = (n.real(10) * 1e-3, n.real(5) * 1e-3);
        inputs.services.push(Service {
            label: format!("s{at}"),
            has_agent: true,
            instances: 1.0 + n.real(3),
            min_replicas: 0.0,
            cores_limit: Some(2.0),
            cores: cores + agent + background,
            background,
            agent,
            wake_ns: n.real(5_000),
            rest: 0.0,
            base_bytes: Some(3e7),
            peak_bytes: Some(6e7 + n.real(500_000_000)),
        });
        inputs.components.push(Component {
            service: at,
            name: String::new(),
        });
        inputs.operations.push(Operation {
            service: at,
            component: at,
            name: format!("GET /{at}"),
            row: format!("operation:s{at}/GET /{at}"),
            rate,
            cores,
            parts: vec![Part {
                origin: at % 20,
                rate,
                cores,
            }],
            in_flight: n.real(5),
            wall_ns: Some(cpu_ns * 4.0),
            held_bytes: 10_000.0,
            held_max_bytes: 100_000.0,
            retained_bytes: None,
            service_cs2: 1.0,
            arrival_cs2: 1.0,
            spread_known: true,
            shapes: Vec::new(),
            wait_call_ns: None,
            hold_ns: None,
        });
    }
    for at in 0..edges {
        let (from, to) = (
            n.below(services as u64) as usize,
            n.below(services as u64) as usize,
        );
        let (rate, half) = (n.real(100), 10_000.0 + n.real(200_000));
        inputs.edges.push(Edge {
            id: format!("edge:{at}"),
            shown: format!("{from} → {to}"),
            from: End::Operation(from),
            to: End::Operation(to),
            sync: n.below(4) > 0,
            local: false,
            broker: None,
            rate,
            parts: vec![EdgePart {
                origin: from % 20,
                rate,
            }],
            caller_ns: half,
            caller_pool_ns: half / 2.0,
            callee_ns: half,
            callee_pool_ns: half / 4.0,
            broker_ns: 0.0,
            broker_publication_ns: 0.0,
            shares_with: Vec::new(),
            by_bytes_ns: 0.0,
            by_bytes_known: false,
            bytes: 500.0,
            wait_ns: Some(4e6),
            critical_share: None,
        });
    }
    let rates: Vec<f64> = inputs.operations.iter().take(20).map(|o| o.rate).collect();
    for (at, rate) in rates.into_iter().enumerate() {
        inputs.origins.push(Origin {
            service: format!("s{at}"),
            operation: format!("GET /{at}"),
            rate: Some(rate),
            carried: 0.0,
            root: Some(at),
            wall_ns: Some([4e6, 1e7, 2e7, 5e6]),
            waits_for: (0..services).filter(|s| s % 20 == at).collect(),
        });
    }
    inputs
}
