//! Sections that one request at a time can be in: a queue of its own before the cores, which processes do not shorten.

use super::deployable::hottest;
use super::{Deployable, Inputs, Operation, Topology};

/// The part of an operation's requests that meet at one section, per second. Processes share it: a lock or sequence in a
/// database stays one, and where it lies is not seen. Divided by a key, each part has its own.
fn arrivals(inputs: &Inputs, operation: &Operation, deployable: &Deployable, f: f64) -> f64 {
    operation.rate * f * hottest(inputs, deployable)
}

/// By operation, the mean wait for its turn, seconds; 0 without a section, none where more arrive than pass.
pub(super) fn turns(inputs: &Inputs, topology: &Topology, f: f64) -> Vec<Option<f64>> {
    let operations = inputs.operations.iter().zip(&topology.place);
    operations
        .map(|(operation, place)| {
            let deployable = &topology.deployables[*place];
            operation.section().map_or(Some(0.0), |section| {
                section.wait(arrivals(inputs, operation, deployable, f))
            })
        })
        .collect()
}

/// The operation with the busiest section of a deployable, and the share of time in which it is taken.
pub(super) fn busiest(
    inputs: &Inputs,
    deployable: &Deployable,
    members: &[usize],
    f: f64,
) -> Option<(usize, f64)> {
    let busy = |at: &usize| {
        let operation = &inputs.operations[*at];
        let section = operation.section()?;
        let busy = section.utilisation(arrivals(inputs, operation, deployable, f))?;
        Some((*at, busy))
    };
    let all = members.iter().filter_map(busy);
    all.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// What gets more than passes.
pub(super) fn notes(inputs: &Inputs, topology: &Topology, f: f64) -> Vec<String> {
    let operations = inputs.operations.iter().zip(&topology.place);
    operations
        .filter_map(|(operation, place)| {
            let (deployable, section) = (&topology.deployables[*place], operation.section()?);
            let arrive = arrivals(inputs, operation, deployable, f);
            section.wait(arrive).is_none().then(|| {
                format!(
                    "{} of {}: one at a time, {:.3} a second at most, and {arrive:.3} arrive. No number of processes carries that.",
                    operation.name,
                    deployable.name,
                    1.0 / section.hold,
                )
            })
        })
        .collect()
}
