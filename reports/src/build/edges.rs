//! Edges with what their messages cost.

use weighbridge_wire::{column, mode};

use super::ends::ends;
use super::figures::{count, figure};
use super::shapes::edge_shape;
use crate::document::{
    Absence, EdgeEnd, EdgeReport, EdgeSideCpu, EdgeTraffic, Figure, FigureUnit, MessagePrice,
    QualityWord,
};
use crate::model::{Edge, EdgeSideFacts, Estimate, Model, SideCost, prices};

const NO_AGENT: &str = "this end has no agent, or its rows do not name this call";

pub(crate) fn edges(model: &Model) -> Vec<EdgeReport> {
    let mut reports: Vec<(f64, EdgeReport)> = model
        .edges
        .iter()
        .map(|edge| {
            let cores = edge
                .cost
                .overhead_cores
                .as_ref()
                .map_or(0.0, |cores| cores.point);
            (cores, report(model, edge))
        })
        .collect();
    reports.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    reports.into_iter().map(|(_, report)| report).collect()
}

fn report(model: &Model, edge: &Edge) -> EdgeReport {
    let joined = &edge.joined;
    let cost = &edge.cost;
    let caller = joined.caller.as_ref().and_then(|side| model.side(side));
    let callee = joined.callee.as_ref().and_then(|side| model.side(side));
    let is_async = &*joined.variant.mode == mode::ASYNC;
    let per_call = |facts: Option<&EdgeSideFacts>, column| {
        let facts = facts?;
        model
            .column(&facts.all, column)?
            .over(&model.column(&facts.all, column::REQUEST_MESSAGES)?)
    };
    let share = cost
        .overhead
        .as_ref()
        .zip(cost.work.as_ref())
        .and_then(|(overhead, work)| overhead.over(&overhead.plus(work)));
    let (wait, lag) = if is_async {
        (
            Figure::unknown(FigureUnit::NsPerCall, Absence::NO_WAIT.reason),
            figure(
                per_call(callee, column::WAIT_NS).as_ref(),
                FigureUnit::NsPerMessage,
                NO_AGENT,
            ),
        )
    } else {
        (
            figure(
                per_call(caller, column::WAIT_NS).as_ref(),
                FigureUnit::NsPerCall,
                NO_AGENT,
            ),
            Figure::unknown(FigureUnit::NsPerMessage, "only asynchronous calls lag"),
        )
    };
    // Errors are what the caller saw; retries are made by it.
    let seen_by_caller = |column| {
        caller.or(callee).map_or_else(
            || Figure::unknown(FigureUnit::Count, NO_AGENT),
            |facts| count(&facts.all, column, FigureUnit::Count),
        )
    };
    EdgeReport {
        id: edge.id.clone(),
        from: end(model, &joined.from),
        to: end(model, &joined.to),
        transport: joined.variant.transport.to_string(),
        mode: joined.variant.mode.to_string(),
        call_id: joined.call_id.to_string(),
        target: joined.variant.target.to_string(),
        broker: if is_async && !joined.variant.peer.is_empty() {
            Some(match joined.broker {
                Some(broker) => model.services()[broker].label.clone(),
                None => joined.variant.peer.to_string(),
            })
        } else {
            None
        },
        calls: figure(cost.calls.as_ref(), FigureUnit::Count, NO_AGENT),
        rate: figure(cost.rate.as_ref(), FigureUnit::PerSecond, NO_AGENT),
        calls_per_request: figure(
            cost.calls_per_request.as_ref(),
            FigureUnit::PerRequest,
            "the caller has no agent, or none of its requests ended",
        ),
        traffic: traffic(model, edge, caller, callee),
        ends: ends(model, edge),
        shape: edge_shape(model, edge, caller),
        caller_cpu: side(&cost.caller),
        callee_cpu: side(&cost.callee),
        broker_cpu: is_async.then(|| {
            figure(
                cost.broker.as_ref(),
                FigureUnit::NsPerMessage,
                "the broker has no agent, or delivered nothing",
            )
        }),
        overhead: figure(cost.overhead.as_ref(), FigureUnit::NsPerCall, NO_AGENT),
        overhead_cores: figure(cost.overhead_cores.as_ref(), FigureUnit::Cores, NO_AGENT),
        work: figure(cost.work.as_ref(), FigureUnit::NsPerCall, NO_AGENT),
        overhead_share: figure(
            share.as_ref(),
            FigureUnit::Ratio,
            "overhead or work is not known",
        ),
        wait,
        lag,
        errors: seen_by_caller(column::ERRORS),
        retries: seen_by_caller(column::RETRIES),
        redelivered: callee.map_or_else(
            || Figure::unknown(FigureUnit::Count, NO_AGENT),
            |facts| count(&facts.all, column::REDELIVERED, FigureUnit::Count),
        ),
        prices: message_prices(model, edge),
        notes: notes(model, edge),
    }
}

fn end(model: &Model, end: &crate::model::End) -> EdgeEnd {
    let known = end.service.is_some_and(|service| {
        model.services()[service]
            .operations
            .contains_key(&end.operation)
    });
    EdgeEnd {
        row: if known {
            end.operation.row(&end.label)
        } else {
            String::new()
        },
        service: end.label.clone(),
        component: end.operation.component.to_string(),
        operation: end.operation.operation.to_string(),
        instrumented: end.seen,
    }
}

fn side(cost: &SideCost) -> EdgeSideCpu {
    let part = |estimate: &Option<Estimate>, absent| {
        figure(estimate.as_ref(), FigureUnit::NsPerCall, absent)
    };
    let no_row = "the agent of this side does not tell it";
    EdgeSideCpu {
        encode: part(&cost.encode, no_row),
        decode: part(&cost.decode, no_row),
        protocol: part(&cost.protocol, no_row),
        io: part(&cost.io, no_row),
        pool: part(
            &cost.pool,
            "no pool, driver or connection of its own carries this side",
        ),
        total: part(&cost.total, no_row),
    }
}

fn traffic(
    model: &Model,
    edge: &Edge,
    caller: Option<&EdgeSideFacts>,
    callee: Option<&EdgeSideFacts>,
) -> EdgeTraffic {
    let read = |facts: Option<&EdgeSideFacts>, column, unit| match facts {
        Some(facts) => count(&facts.all, column, unit),
        None => Figure::unknown(unit, NO_AGENT),
    };
    // A synchronous call that several operations answer: the caller's counts are shared out by what each received.
    let split = edge.joined.siblings > 1 && edge.is_sync();
    let share = split.then(|| {
        let mine = model.column(&callee?.all, column::REQUEST_MESSAGES)?;
        mine.over(&model.column(&caller?.all, column::REQUEST_MESSAGES)?)
    });
    let of_caller = |column, unit| match &share {
        None => read(caller, column, unit),
        Some(share) => {
            let part = caller
                .and_then(|facts| model.column(&facts.all, column))
                .zip(share.clone())
                .map(|(sum, share)| sum.times(&share).of_quality(QualityWord::Apportioned));
            figure(part.as_ref(), unit, NO_AGENT)
        }
    };
    let wire = [caller, callee].into_iter().flatten().find_map(|facts| {
        model.columns(
            &facts.all,
            &[column::REQUEST_WIRE_BYTES, column::RESPONSE_WIRE_BYTES],
        )
    });
    let (n, b) = (FigureUnit::Count, FigureUnit::Bytes);
    EdgeTraffic {
        request_messages_sent: of_caller(column::REQUEST_MESSAGES, n),
        request_messages_received: read(callee, column::REQUEST_MESSAGES, n),
        request_body_bytes_sent: of_caller(column::REQUEST_BODY_BYTES, b),
        request_body_bytes_received: read(callee, column::REQUEST_BODY_BYTES, b),
        response_messages_sent: read(callee, column::RESPONSE_MESSAGES, n),
        response_messages_received: of_caller(column::RESPONSE_MESSAGES, n),
        response_body_bytes_sent: read(callee, column::RESPONSE_BODY_BYTES, b),
        response_body_bytes_received: of_caller(column::RESPONSE_BODY_BYTES, b),
        wire_bytes: figure(wire.as_ref(), b, "no socket of this edge is ours"),
    }
}

fn message_prices(model: &Model, edge: &Edge) -> Vec<MessagePrice> {
    [&edge.joined.caller, &edge.joined.callee]
        .into_iter()
        .flatten()
        .flat_map(|side| prices(model, side))
        .map(|price| MessagePrice {
            per_message: figure(
                price.per_message.as_ref(),
                FigureUnit::NsPerMessage,
                &price.note,
            ),
            per_byte: figure(price.per_byte.as_ref(), FigureUnit::NsPerByte, &price.note),
            residual: price
                .residual
                .map(|share| Figure::exact(share, FigureUnit::Ratio, QualityWord::Estimated)),
            side: price.side,
            direction: price.direction,
            messages: price.messages,
            note: price.note,
        })
        .collect()
}

fn notes(model: &Model, edge: &Edge) -> Vec<String> {
    let joined = &edge.joined;
    let mut notes = Vec::new();
    match (&joined.caller, &joined.callee) {
        (Some(_), None) if joined.to.service.is_some() => notes.push(
            "The peer has an agent but did not see who called: its trust setting may refuse this caller's headers."
                .to_owned(),
        ),
        (Some(_), None) => {
            notes.push("Nobody with an agent answers this call; its other side is unknown.".to_owned());
        }
        (None, Some(_)) if &*joined.from.label == "outside" => {
            notes.push("These requests come from outside; their sender is unknown.".to_owned());
        }
        (None, Some(_)) => {
            notes.push("The caller's rows are missing; its side is unknown.".to_owned());
        }
        _ => {}
    }
    if joined.siblings > 1 && edge.is_sync() {
        notes.push(
            "Several operations answer this call; what the caller counted is shared out by the requests each received."
                .to_owned(),
        );
    }
    match model.brokers.byte_told(joined) {
        Some(true) => notes.push(
            "The broker has a price for each message and one for each byte.".to_owned(),
        ),
        Some(false) => notes.push(
            "The broker has a price for each message, whatever its size: sizes vary too little, or the windows leave the price of a byte open.".to_owned(),
        ),
        None => {}
    }
    notes
}
