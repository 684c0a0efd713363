//! Both ends of an edge: what they counted, and the time between them.

use std::collections::BTreeMap;

use weighbridge_wire::column;

use super::figures::{figure, waiting};
use crate::document::{Absence, EdgeEnds, Figure, FigureUnit, QualityWord};
use crate::model::{Edge, EdgeSideFacts, Estimate, Model, as_f64};

const ONE_END: &str = "only one end of this edge is known";

pub(crate) fn ends(model: &Model, edge: &Edge) -> EdgeEnds {
    let siblings = siblings(model, edge);
    let caller = edge
        .joined
        .caller
        .as_ref()
        .and_then(|side| model.side(side));
    let redelivered = siblings
        .iter()
        .filter_map(|facts| facts.all.total(column::REDELIVERED))
        .fold(0, i64::saturating_add);
    let total = |facts: &[&EdgeSideFacts], column| -> Option<i64> {
        facts
            .iter()
            .map(|facts| facts.all.total(column))
            .reduce(|a, b| Some(a?.saturating_add(b?)))
            .flatten()
    };
    let difference = |column, unit, less: Option<i64>, asked: bool| {
        let mine = caller.and_then(|facts| facts.all.total(column));
        let theirs = total(&siblings, column);
        let difference = mine.zip(theirs).zip(less).map(|((mine, theirs), less)| {
            let by_caller = mine.saturating_sub(theirs.saturating_sub(less));
            // Requests go one way and answers the other: sent − received.
            if asked { by_caller } else { -by_caller }
        });
        match difference {
            Some(n) => Figure::exact(as_f64(n), unit, QualityWord::Measured),
            None if less.is_none() => Figure::unknown(
                unit,
                "messages were delivered again, and an agent of an older version does not tell their bytes apart",
            ),
            None => Figure::unknown(unit, ONE_END),
        }
    };
    let answers = |column, unit| {
        if edge.is_sync() {
            difference(column, unit, Some(0), false)
        } else {
            Figure::unknown(unit, Absence::NO_ANSWER.reason)
        }
    };
    let redelivered_bytes = redelivered_bytes(&siblings);
    let (n, b) = (FigureUnit::Count, FigureUnit::Bytes);
    let wall = mean(model, &siblings, column::WALL_NS);
    let wait = caller.and_then(|facts| mean(model, &[facts], column::WAIT_NS));
    let wire = wait
        .zip(wall.as_ref())
        .filter(|_| edge.is_sync())
        .map(|(wait, wall)| {
            let wire = wait.minus(wall);
            match siblings.len() {
                0 | 1 => wire,
                _ => wire.of_quality(QualityWord::Apportioned),
            }
        });
    let (absent_wall, absent_wire) = if edge.is_sync() {
        (
            "the answering side has no agent, or its rows do not tell wall times",
            "not both ends tell how long a call took",
        )
    } else {
        let absent = Absence::LAG_INSTEAD.reason;
        (absent, absent)
    };
    EdgeEnds {
        request_messages: difference(column::REQUEST_MESSAGES, n, Some(redelivered), true),
        request_body_bytes: difference(column::REQUEST_BODY_BYTES, b, redelivered_bytes, true),
        response_messages: answers(column::RESPONSE_MESSAGES, n),
        response_body_bytes: answers(column::RESPONSE_BODY_BYTES, b),
        answer_wall: figure(
            wall.as_ref().filter(|_| edge.is_sync()),
            FigureUnit::NsPerCall,
            absent_wall,
        ),
        wire: waiting(
            wire.as_ref(),
            FigureUnit::NsPerCall,
            absent_wire,
            "the answering side counts its wall time to the end of its own work, longer than the caller waited for the \
             answer",
        ),
    }
}

/// The answering sides that share the caller's counts: of a synchronous call all operations that answer it, of a
/// message those of one consuming service, as [`compared`] has them.
fn siblings<'a>(model: &'a Model, edge: &Edge) -> Vec<&'a EdgeSideFacts> {
    let same = |other: &&Edge| match &edge.joined.caller {
        None => other.id == edge.id,
        Some(caller) => {
            other.joined.caller.as_ref() == Some(caller)
                && (edge.is_sync() || other.joined.to.label == edge.joined.to.label)
        }
    };
    let edges: Vec<&Edge> = model.edges.iter().filter(same).collect();
    compared(model, edges)
        .into_iter()
        .filter(|group| group.iter().any(|other| other.id == edge.id))
        .flatten()
        .filter_map(|other| model.side(other.joined.callee.as_ref()?))
        .collect()
}

/// Which edges of one caller's messages to one consuming service are compared with it together: all of them, unless
/// they had more than was published. Then each operation has messages of its own (several queues or subscriptions
/// of one service), and what only came again, dead letters, stands with the first, from which it takes nothing.
pub(super) fn compared<'a>(model: &'a Model, edges: Vec<&'a Edge>) -> Vec<Vec<&'a Edge>> {
    let published = edges
        .first()
        .and_then(|edge| model.side(edge.joined.caller.as_ref()?))
        .and_then(|facts| facts.all.total(column::REQUEST_MESSAGES));
    let first = |edge: &Edge| {
        let side = edge
            .joined
            .callee
            .as_ref()
            .and_then(|side| model.side(side));
        side.map_or(0, first_time)
    };
    let consumed = edges
        .iter()
        .map(|edge| first(edge))
        .fold(0, i64::saturating_add);
    let is_sync = edges.iter().any(|edge| edge.is_sync());
    if is_sync || published.is_none_or(|published| consumed <= published) {
        return vec![edges];
    }
    let (again, fresh): (Vec<_>, Vec<_>) = edges.into_iter().partition(|edge| first(edge) == 0);
    let mut groups: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in fresh {
        let operation = &*edge.joined.to.operation.operation;
        groups.entry(operation).or_default().push(edge);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    if let Some(group) = groups.first_mut() {
        group.extend(again);
    }
    groups
}

/// Messages that were delivered to a side for the first time.
fn first_time(facts: &EdgeSideFacts) -> i64 {
    let total = |column| facts.all.total(column).unwrap_or(0);
    total(column::REQUEST_MESSAGES).saturating_sub(total(column::REDELIVERED))
}

/// Body bytes of messages that were delivered again; `None` where a side had such messages and does not tell theirs.
pub(super) fn redelivered_bytes(sides: &[&EdgeSideFacts]) -> Option<i64> {
    sides.iter().try_fold(0i64, |sum, facts| {
        let messages = facts.all.total(column::REDELIVERED).unwrap_or(0);
        let bytes = match facts.all.total(column::REDELIVERED_BYTES) {
            None if messages == 0 => 0,
            bytes => bytes?,
        };
        Some(sum.saturating_add(bytes))
    })
}

/// A sum of wall times for each request message; `None` where a side does not tell it.
fn mean(model: &Model, sides: &[&EdgeSideFacts], column: u32) -> Option<Estimate> {
    let sum = |column| {
        sides
            .iter()
            .map(|facts| model.column(&facts.all, column))
            .reduce(|a, b| Some(a?.plus(&b?)))
            .flatten()
    };
    sum(column)?.over(&sum(column::REQUEST_MESSAGES)?)
}

#[cfg(test)]
mod tests;
