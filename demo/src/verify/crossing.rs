//! What a call between processes costs on this machine beside what the ledger shows of it.
//!
//! The store reserves stock as an order does, line after line, once over HTTP and once inside itself. The kernel tells what
//! the difference costs; the ledger tells which part of that it sees as messages and schedulers.
//! The rest is the framework around the callee's handler, and caches that each process finds full of the other's.

use weighbridge_reports::Options;
use weighbridge_reports::topology::{End, Inputs, Weighed};
use weighbridge_wire::FoldedRange;

use super::measure::Spent;

/// Calls of one request.
pub(super) const CALLS: usize = 10;

/// One comparison: the same requests, over HTTP and inside the process.
pub(super) struct Crossing {
    pub(super) remote: Spent,
    pub(super) local: Spent,
    pub(super) requests: usize,
}

impl Crossing {
    /// CPU by the kernel that a call costs more over HTTP than inside the process, ns.
    fn more_ns(&self, idle_cores: f64) -> f64 {
        let busy = |spent: &Spent| spent.placed_ns() - idle_cores * 1e9 * spent.seconds;
        (busy(&self.remote) - busy(&self.local)) / (self.requests * CALLS).max(1) as f64
    }
}

/// What the ledger shows of a synchronous call between processes, ns: messages on both sides, and the schedulers'
/// part. `None` without such a call.
fn shown_ns(inputs: &Inputs) -> Option<f64> {
    let wake = |end: End| match end {
        End::Operation(at) => inputs.services[inputs.operations[at].service].wake_ns,
        End::Service(at) => inputs.services[at].wake_ns,
        End::Outside => 0.0,
    };
    inputs
        .edges
        .iter()
        .filter(|e| e.sync && !e.local && e.from != End::Outside && e.to != End::Outside)
        .max_by(|a, b| a.rate.total_cmp(&b.rate))
        .map(|edge| {
            let messages = edge.caller_total_ns() + edge.callee_total_ns();
            messages + edge.messages() * (wake(edge.from) + wake(edge.to))
        })
}

/// The mean over comparisons of what no ledger shows, ns. 0 when nothing can be told: a lower estimate.
pub(super) fn beside_ns(
    crossings: &[&Crossing],
    idle_cores: f64,
    during_remote: &FoldedRange,
) -> f64 {
    let options = Options::default();
    let weighed = Weighed::read(during_remote, &options);
    let Some(shown) = shown_ns(weighed.inputs()) else {
        return 0.0;
    };
    if crossings.is_empty() {
        return 0.0;
    }
    let more: f64 = crossings.iter().map(|c| c.more_ns(idle_cores)).sum();
    // Both are beyond what a call inside the process costs.
    more / crossings.len() as f64 - (shown - options.local_call_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_costs_what_remote_takes_more_than_local() {
        let spent = |ns: f64, seconds: f64| Spent {
            seconds,
            cpu_ns: [("store".to_owned(), ns)].into(),
            ..Spent::default()
        };
        let crossing = Crossing {
            remote: spent(31e6, 1.0),
            local: spent(12e6, 2.0),
            requests: 20,
        };
        // Idle takes 1 ms a second; 200 calls made the difference of 20 ms.
        assert!((crossing.more_ns(0.001) - 1e5).abs() < 1e-6);
    }
}
