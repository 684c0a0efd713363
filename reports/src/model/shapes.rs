//! Call shapes: what signatures say, and what the rows of their calls add up to.

use std::collections::BTreeMap;

use weighbridge_wire::{CallShapeKey, CallStepKey, Quality, RowValue, column};

use super::service::{Name, ServiceFacts};
use super::tally::{Sums, Tally};

/// How calls of one kind ran in a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Nothing else ran beside them.
    Serial,
    /// Beside others.
    Parallel,
    /// Nobody waited for them.
    Detached,
}

/// One kind of call in one step of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) step: u32,
    pub(crate) name: String,
    pub(crate) order: Order,
    /// Several of it: in one step, or because the step comes again.
    pub(crate) again: bool,
}

/// Requests of one signature.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShapeFacts {
    pub(crate) all: Sums,
    /// By step and call.
    pub(crate) steps: BTreeMap<(u32, Name), Sums>,
}

/// The shapes of one operation, by signature.
pub(crate) type Shapes = BTreeMap<Name, ShapeFacts>;

/// Reads a signature as docs/accounting.md describes it. Text that is none gives kinds of calls that no row has.
pub(crate) fn kinds(signature: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut depth = 0u32;
    for (token, step) in signature.split(';').zip(0u32..) {
        let inner = token.trim_start_matches('(');
        depth = depth.saturating_add(u32::try_from(token.len() - inner.len()).unwrap_or(0));
        let mut again = depth > 0;
        let mut text = inner;
        loop {
            if let Some(rest) = text.strip_suffix(")*") {
                depth = depth.saturating_sub(1);
                text = rest;
            } else if let Some(rest) = text.strip_suffix('*') {
                again = true;
                text = rest;
            } else {
                break;
            }
        }
        let (text, detached) = match text.strip_suffix('&') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let beside = text.contains('|');
        for name in text.split('|').filter(|name| !name.is_empty()) {
            let (name, several) = match name.strip_suffix('+') {
                Some(rest) => (rest, true),
                None => (name, false),
            };
            kinds.push(Kind {
                step,
                name: name.to_owned(),
                order: match (detached, beside || several) {
                    (true, _) => Order::Detached,
                    (false, true) => Order::Parallel,
                    (false, false) => Order::Serial,
                },
                again: again || several,
            });
        }
    }
    kinds
}

/// What is known of the calls of one kind over all shapes of an operation, in calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) by_order: BTreeMap<Order, Tally>,
    /// Those that their request made several of.
    pub(crate) again: Tally,
    /// All of them.
    pub(crate) all: Tally,
}

impl ServiceFacts {
    pub(crate) fn read_shape(
        &mut self,
        key: CallShapeKey,
        slot: u32,
        quality: Quality,
        value: &RowValue,
    ) {
        let shapes = self.shapes.entry((key.operation, key.class)).or_default();
        let facts = shapes.entry(key.signature).or_default();
        facts.all.add(slot, quality, value);
    }

    pub(crate) fn read_step(
        &mut self,
        key: CallStepKey,
        slot: u32,
        quality: Quality,
        value: &RowValue,
    ) {
        // Steps beyond any limit, and rows folded by a store, say nothing of an order.
        let Ok(step) = key.step.parse() else { return };
        let shapes = self.shapes.entry((key.operation, key.class)).or_default();
        let facts = shapes.entry(key.signature).or_default();
        let sums = facts.steps.entry((step, key.call_id)).or_default();
        sums.add(slot, quality, value);
    }

    /// How the calls of this id ran, over all classes of the operation. `None` when no shape has them.
    pub(crate) fn orders(&self, operation: &str, call_id: &str) -> Option<Orders> {
        let mut orders: Option<Orders> = None;
        let shapes = self
            .shapes
            .iter()
            .filter(|((name, _), _)| **name == *operation);
        for (signature, facts) in shapes.flat_map(|(_, shapes)| shapes) {
            let kinds = kinds(signature);
            for ((step, name), sums) in &facts.steps {
                let Some(count) = sums.get(column::COUNT).filter(|_| **name == *call_id) else {
                    continue;
                };
                let same = |kind: &&Kind| kind.step == *step && kind.name == *call_id;
                let Some(kind) = kinds.iter().find(same) else {
                    continue;
                };
                let orders = orders.get_or_insert_default();
                orders.all.merge_sum(count);
                let of_order = orders.by_order.entry(kind.order).or_default();
                of_order.merge_sum(count);
                if kind.again {
                    orders.again.merge_sum(count);
                }
            }
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(signature: &str) -> Vec<(u32, String, Order, bool)> {
        kinds(signature)
            .into_iter()
            .map(|kind| (kind.step, kind.name, kind.order, kind.again))
            .collect()
    }

    #[test]
    fn a_signature_is_read_as_the_agent_writes_it() {
        use Order::{Detached, Parallel, Serial};
        let kind = |step, name: &str, order, again| (step, name.to_owned(), order, again);
        assert_eq!(read(""), []);
        assert_eq!(
            read("a;b+;c&"),
            [
                kind(0, "a", Serial, false),
                kind(1, "b", Parallel, true),
                kind(2, "c", Detached, false),
            ]
        );
        assert_eq!(
            read("(a;(b|c)*;@db*)*;d;…"),
            [
                kind(0, "a", Serial, true),
                kind(1, "b", Parallel, true),
                kind(1, "c", Parallel, true),
                kind(2, "@db", Serial, true),
                kind(3, "d", Serial, false),
                kind(4, "…", Serial, false),
            ]
        );
        for odd in [")*)*", "((((", "|+|&", ";;;", "*", "a&*"] {
            let _ = read(odd);
        }
    }
}
