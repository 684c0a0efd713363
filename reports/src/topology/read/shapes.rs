//! Call shapes as steps of branches.

use weighbridge_wire::column;

use super::super::{Branch, Shape, Step};
use super::Index;
use crate::model::{Model, OperationId, Order, as_f64, kinds};

/// The shapes of an operation. Those that were folded for being too many keep no order and are left out; the shares
/// of the others then add up to 1 all the same.
pub(super) fn shapes(model: &Model, index: &Index, service: usize, id: &OperationId) -> Vec<Shape> {
    let facts = &model.services()[service];
    let Some(shapes) = facts.shapes.get(&(id.operation.clone(), id.class.clone())) else {
        return Vec::new();
    };
    let known: Vec<_> = shapes
        .iter()
        .filter(|(signature, facts)| signature.is_empty() || !facts.steps.is_empty())
        .filter_map(|(signature, facts)| {
            let requests = facts
                .all
                .total(column::COUNT)
                .map(as_f64)
                .filter(|n| *n > 0.0)?;
            Some((signature, facts, requests))
        })
        .collect();
    let all: f64 = known.iter().map(|(_, _, requests)| requests).sum();
    known
        .into_iter()
        .map(|(signature, facts, requests)| {
            let kinds = kinds(signature);
            let mut steps: Vec<(u32, Step)> = Vec::new();
            for ((step, call), sums) in &facts.steps {
                let Some(calls) = sums.total(column::COUNT).map(as_f64).filter(|n| *n > 0.0) else {
                    continue;
                };
                let kind = kinds.iter().find(|k| k.step == *step && k.name == **call);
                let key = (service, id.operation.clone(), call.clone());
                let branch = Branch {
                    edge: index.calls.get(&key).copied(),
                    calls: calls / requests,
                    wall_ns: sums.total(column::WALL_NS).map_or(0.0, as_f64) / calls,
                    beside: kind.is_some_and(|k| k.order == Order::Parallel),
                    detached: kind.is_some_and(|k| k.order == Order::Detached),
                };
                match steps.last_mut() {
                    Some((last, of)) if last == step => of.branches.push(branch),
                    _ => steps.push((
                        *step,
                        Step {
                            branches: vec![branch],
                        },
                    )),
                }
            }
            Shape {
                share: requests / all,
                steps: steps.into_iter().map(|(_, step)| step).collect(),
            }
        })
        .collect()
}
