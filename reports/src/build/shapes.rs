//! Call shapes of operations and of edges.

use weighbridge_wire::column;

use super::figures::{count, figure, share};
use crate::document::{CallShapeReport, CallStepReport, EdgeShape, FigureUnit};
use crate::model::{
    Edge, EdgeSideFacts, Estimate, Model, OperationId, Order, ServiceFacts, ShapeFacts, Sums, kinds,
};

/// The shapes of an operation, those seen most often first.
pub(crate) fn shapes(
    model: &Model,
    service: &ServiceFacts,
    id: &OperationId,
) -> Vec<CallShapeReport> {
    let key = (id.operation.clone(), id.class.clone());
    let Some(shapes) = service.shapes.get(&key) else {
        return Vec::new();
    };
    let requests = |facts: &ShapeFacts| facts.all.total(column::COUNT).unwrap_or(0);
    let all = shapes
        .values()
        .filter_map(|facts| model.column(&facts.all, column::COUNT))
        .reduce(|a, b| a.plus(&b));
    let mut sorted: Vec<_> = shapes.iter().collect();
    sorted.sort_by(|a, b| requests(b.1).cmp(&requests(a.1)).then_with(|| a.0.cmp(b.0)));
    sorted
        .into_iter()
        .map(|(signature, facts)| shape(model, service, id, signature, facts, all.as_ref()))
        .collect()
}

fn shape(
    model: &Model,
    service: &ServiceFacts,
    id: &OperationId,
    signature: &str,
    facts: &ShapeFacts,
    all: Option<&Estimate>,
) -> CallShapeReport {
    let requests = model.column(&facts.all, column::COUNT);
    let per_request = |column| {
        let sum = model.column(&facts.all, column);
        let mean = sum.zip(requests.as_ref()).and_then(|(sum, n)| sum.over(n));
        figure(mean.as_ref(), FigureUnit::NsPerRequest, "no row holds it")
    };
    let kinds = kinds(signature);
    let steps = facts
        .steps
        .iter()
        .map(|((step, call_id), sums)| {
            let kind = kinds
                .iter()
                .find(|kind| kind.step == *step && kind.name == **call_id);
            let calls = model.column(sums, column::COUNT);
            let per_call = |column| {
                let sum = model.column(sums, column);
                let mean = sum.zip(calls.as_ref()).and_then(|(sum, n)| sum.over(n));
                figure(mean.as_ref(), FigureUnit::NsPerCall, "no row holds it")
            };
            let each = calls
                .as_ref()
                .zip(requests.as_ref())
                .and_then(|(calls, requests)| calls.over(requests));
            CallStepReport {
                step: *step,
                call_id: call_id.to_string(),
                shown: call_name(service, &id.operation, call_id),
                order: kind.map_or("", |kind| order_word(kind.order)).to_owned(),
                calls: figure(each.as_ref(), FigureUnit::PerRequest, "no request ended"),
                wall: per_call(column::WALL_NS),
                critical: per_call(column::CRITICAL_NS),
                offset: per_call(column::OFFSET_NS),
            }
        })
        .collect();
    CallShapeReport {
        shown: shown(signature, |name| call_name(service, &id.operation, name)),
        signature: signature.to_owned(),
        requests: count(&facts.all, column::COUNT, FigureUnit::Count),
        share: share(requests.as_ref(), all),
        wall: per_request(column::WALL_NS),
        own: per_request(column::OWN_NS),
        critical: per_request(column::CRITICAL_NS),
        steps,
    }
}

fn order_word(order: Order) -> &'static str {
    match order {
        Order::Serial => "serial",
        Order::Parallel => "parallel",
        Order::Detached => "detached",
    }
}

/// `warehouse POST /stock/{sku}` for the id of a call; the id where no edge has it.
fn call_name(service: &ServiceFacts, operation: &str, call_id: &str) -> String {
    let mine = |id: &&crate::model::EdgeSideId| {
        *id.side == *weighbridge_wire::side::CALLER && *id.call_id == *call_id
    };
    let ids = || service.edges.keys().filter(mine);
    // The same call of another operation has the same name.
    let id = ids()
        .find(|id| *id.operation == *operation)
        .or_else(|| ids().next());
    match id.and_then(|id| service.edges.get(id)) {
        Some(facts) => {
            let variant = facts.variant();
            format!("{} {}", variant.peer, variant.target)
        }
        None => call_id.to_owned(),
    }
}

/// A signature with other names.
fn shown(signature: &str, name_of: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut name = String::new();
    for c in signature.chars().chain([';']) {
        let mark = match c {
            ';' => " → ",
            '|' => " | ",
            '*' => " again and again",
            '+' => " several times",
            '&' => " (not waited for)",
            '(' => "(",
            ')' => ")",
            c => {
                name.push(c);
                continue;
            }
        };
        if !name.is_empty() {
            out.push_str(&name_of(&name));
            name.clear();
        }
        out.push_str(mark);
    }
    out.trim_end_matches(" → ").to_owned()
}

/// How the calls of an edge ran.
pub(crate) fn edge_shape(model: &Model, edge: &Edge, caller: Option<&EdgeSideFacts>) -> EdgeShape {
    let orders = edge.joined.caller.as_ref().and_then(|side| {
        let service = model.services().get(side.service)?;
        service.orders(&side.id.operation, &side.id.call_id)
    });
    let all = orders
        .as_ref()
        .and_then(|orders| model.sum(Some(&orders.all)));
    let of = |part: Option<Estimate>| {
        let part = part.or_else(|| all.as_ref().map(|_| Estimate::zero()));
        let share = part
            .zip(all.as_ref())
            .and_then(|(part, all)| part.over(all));
        figure(
            share.as_ref(),
            FigureUnit::Ratio,
            "no shape of the caller's requests holds this call",
        )
    };
    let in_order = |order| {
        of(orders
            .as_ref()
            .and_then(|orders| model.sum(orders.by_order.get(&order))))
    };
    let critical = caller.and_then(|facts| model.column(&facts.all, column::CRITICAL_NS));
    let calls = caller.and_then(|facts| model.column(&facts.all, column::REQUEST_MESSAGES));
    let absent = "the caller's rows do not tell what was critical";
    let each = critical
        .as_ref()
        .zip(calls)
        .and_then(|(critical, calls)| critical.over(&calls));
    let wall = caller_wall(model, edge);
    let of_wall = critical.zip(wall).and_then(|(part, wall)| part.over(&wall));
    EdgeShape {
        serial: in_order(Order::Serial),
        parallel: in_order(Order::Parallel),
        detached: in_order(Order::Detached),
        repeated: of(orders
            .as_ref()
            .filter(|orders| orders.again.total > 0)
            .and_then(|orders| model.sum(Some(&orders.again)))),
        critical: figure(each.as_ref(), FigureUnit::NsPerCall, absent),
        critical_share: figure(of_wall.as_ref(), FigureUnit::Ratio, absent),
    }
}

/// Wall time of the calling operation's requests, over its classes.
fn caller_wall(model: &Model, edge: &Edge) -> Option<Estimate> {
    let side = edge.joined.caller.as_ref()?;
    let rows: Vec<&Sums> = model
        .services()
        .get(side.service)?
        .operations
        .iter()
        .filter(|(id, _)| id.operation == side.id.operation)
        .map(|(_, facts)| &facts.all)
        .collect();
    rows.iter()
        .filter_map(|sums| model.column(sums, column::WALL_NS))
        .reduce(|a, b| a.plus(&b))
}
