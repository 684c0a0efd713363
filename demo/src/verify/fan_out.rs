//! What the broker pays for a publication and for each delivery of it. A stretch with one kind of request has one
//! fan-out, and cannot tell the two apart; all that was weighed can.

use std::collections::BTreeMap;

use weighbridge_reports::topology::{Edge, Inputs};

/// How many get what is published.
fn receivers(edge: &Edge) -> f64 {
    (edge.shares_with.len() + 1) as f64
}

/// Price of a delivery ÷ price of a publication; `None` where nothing is published.
pub(super) fn fan_out(inputs: &Inputs) -> Option<f64> {
    inputs
        .edges
        .iter()
        .find(|edge| edge.broker.is_some() && edge.broker_publication_ns > 0.0)
        .map(|edge| edge.broker_delivery_ns() / (edge.broker_publication_ns * receivers(edge)))
}

/// The same inputs with each broker's CPU shared out at this ratio; it stays the same in all.
pub(super) fn at_fan_out(mut inputs: Inputs, ratio: Option<f64>) -> Inputs {
    let Some(ratio) = ratio else {
        return inputs;
    };
    // By broker: its CPU, and what it is shared over.
    let mut brokers: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for edge in &inputs.edges {
        if let Some(broker) = edge.broker.filter(|_| edge.broker_publication_ns > 0.0) {
            let (cpu, over) = brokers.entry(broker).or_insert((0.0, 0.0));
            *cpu += edge.rate * edge.broker_ns;
            *over += edge.rate * (1.0 / receivers(edge) + ratio);
        }
    }
    for edge in &mut inputs.edges {
        let priced = edge.broker.filter(|_| edge.broker_publication_ns > 0.0);
        let price = priced.and_then(|broker| brokers.get(&broker));
        if let Some((cpu, over)) = price.filter(|(_, over)| *over > 0.0) {
            let publication = cpu / over;
            edge.broker_publication_ns = publication / receivers(edge);
            edge.broker_ns = edge.broker_publication_ns + ratio * publication;
        }
    }
    inputs
}

#[cfg(test)]
mod tests {
    use weighbridge_reports::topology::End;

    use super::*;

    fn edge(rate: f64, shares_with: Vec<usize>, publication: f64, delivery: f64) -> Edge {
        let receivers = (shares_with.len() + 1) as f64;
        Edge {
            id: String::new(),
            shown: String::new(),
            from: End::Service(0),
            to: End::Service(0),
            sync: false,
            local: false,
            broker: Some(0),
            rate,
            parts: Vec::new(),
            caller_ns: 0.0,
            caller_pool_ns: 0.0,
            callee_ns: 0.0,
            callee_pool_ns: 0.0,
            broker_ns: publication / receivers + delivery,
            broker_publication_ns: publication / receivers,
            shares_with,
            by_bytes_ns: 0.0,
            by_bytes_known: false,
            bytes: 0.0,
            wait_ns: None,
            critical_share: None,
        }
    }

    #[test]
    fn a_stretch_is_priced_at_the_ratio_of_all_and_loses_nothing() {
        let whole = Inputs {
            edges: vec![edge(5.0, Vec::new(), 40.0, 100.0)],
            ..Inputs::default()
        };
        assert_eq!(fan_out(&whole), Some(2.5));
        // Two receivers, told evenly: 70 + 2 · 70 a publication.
        let alone = Inputs {
            edges: vec![
                edge(9.0, vec![1], 70.0, 70.0),
                edge(9.0, vec![0], 70.0, 70.0),
            ],
            ..Inputs::default()
        };
        let priced = at_fan_out(alone, fan_out(&whole));
        for edge in &priced.edges {
            // 210 = p + 2 · 2.5 p.
            assert!(
                (edge.broker_publication_ns - 35.0 / 2.0).abs() < 1e-9,
                "{edge:?}"
            );
            assert!((edge.broker_delivery_ns() - 87.5).abs() < 1e-9, "{edge:?}");
        }
        let cpu: f64 = priced.edges.iter().map(|e| e.rate * e.broker_ns).sum();
        assert!((cpu - 9.0 * 210.0).abs() < 1e-9, "{cpu}");
    }
}
