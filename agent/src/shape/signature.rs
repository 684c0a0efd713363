//! The canonical text of a shape.

use std::sync::Arc;

use super::{CallTime, Span};
use crate::ledger::limits::SHAPE_STEPS_MAX;

/// Stands for what is not told apart.
pub(crate) const MORE: &str = "…";
/// How many steps a part that comes again may have.
const PERIOD_MAX: usize = 4;

/// A signature, and where the calls stand in it.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) signature: String,
    /// By call.
    pub(super) step_of: Vec<u32>,
    /// The step of what is beyond the limit.
    more: Option<u32>,
}

impl Form {
    /// True for the step in which calls are not told apart.
    pub(super) fn is_more(&self, step: u32) -> bool {
        self.more == Some(step)
    }
}

/// One part of a signature.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    text: String,
    /// How many steps it has.
    steps: u32,
    /// True when a star needs no brackets.
    plain: bool,
}

/// The text of spans in the order of their start, and then of the calls that were not waited for.
pub(super) fn form(spans: &[Span], calls: &[CallTime]) -> Form {
    let mut parts = Vec::new();
    // By span: its part and its step in there.
    let mut at: Vec<(usize, u32)> = Vec::with_capacity(spans.len());
    let mut rest = spans;
    while let Some((step, after)) = first_step(rest) {
        at.extend(step.iter().map(|_| (parts.len(), 0)));
        parts.push(part_of(step, calls));
        rest = after;
    }
    // What comes again by itself first, so that loops in a loop need not be equally long.
    for period_max in [1, PERIOD_MAX, PERIOD_MAX] {
        let repeats = |n| repetition(&parts[n..], period_max).1 > 1;
        if !(0..parts.len()).any(repeats) {
            continue;
        }
        let (folded, moved) = fold(parts, period_max);
        parts = folded;
        for (part, step) in &mut at {
            let (to, offset) = moved[*part];
            *part = to;
            *step += offset;
        }
    }
    let mut form = Form {
        signature: String::new(),
        step_of: vec![0; calls.len()],
        more: None,
    };
    let mut begins = Vec::with_capacity(parts.len());
    let mut steps = 0u32;
    for part in &parts {
        let fits = (steps + part.steps) as usize <= SHAPE_STEPS_MAX && form.more.is_none();
        begins.push(steps);
        if fits {
            form.push(&part.text);
            steps += part.steps;
        } else if form.more.is_none() {
            form.push(MORE);
            form.more = Some(steps);
        }
    }
    for (span, (part, step)) in spans.iter().zip(&at) {
        form.step_of[span.call] = match form.more {
            Some(more) if begins[*part] >= more => more,
            _ => begins[*part] + step,
        };
    }
    form.push_detached(calls, steps + u32::from(form.more.is_some()));
    form
}

impl Form {
    fn push(&mut self, text: &str) {
        if !self.signature.is_empty() {
            self.signature.push(';');
        }
        self.signature.push_str(text);
    }

    fn push_detached(&mut self, calls: &[CallTime], begin: u32) {
        let detached = || calls.iter().filter(|call| call.detached);
        let mut names: Vec<&Arc<str>> = detached().map(|call| &call.name).collect();
        if names.is_empty() {
            return;
        }
        names.sort_unstable();
        names.dedup();
        let told = SHAPE_STEPS_MAX.saturating_sub(begin as usize);
        let end = begin + u32::try_from(names.len().min(told)).unwrap_or(0);
        for name in names.iter().take(told) {
            self.push(name);
            self.signature.push('&');
        }
        if names.len() > told {
            if self.more.is_none() {
                self.push(MORE);
            }
            self.more.get_or_insert(end);
        }
        let more = self.more.unwrap_or(end);
        for (n, call) in calls.iter().enumerate().filter(|(_, call)| call.detached) {
            let place = names.binary_search(&&call.name).unwrap_or(usize::MAX);
            self.step_of[n] = match u32::try_from(place) {
                Ok(place) if (place as usize) < told => begin + place,
                _ => more,
            };
        }
    }
}

/// The spans at the front that hang together by overlapping, and those behind them.
fn first_step(spans: &[Span]) -> Option<(&[Span], &[Span])> {
    let mut reach = spans.first()?.end_ns;
    let mut n = 1;
    while let Some(next) = spans.get(n).filter(|next| next.start_ns < reach) {
        reach = reach.max(next.end_ns);
        n += 1;
    }
    Some(spans.split_at(n))
}

fn part_of(step: &[Span], calls: &[CallTime]) -> Part {
    if let [only] = step {
        return Part {
            text: calls[only.call].name.to_string(),
            steps: 1,
            plain: true,
        };
    }
    let mut names: Vec<&str> = step.iter().map(|span| &*calls[span.call].name).collect();
    names.sort_unstable();
    let mut text = String::new();
    for same in names.chunk_by(|a, b| a == b) {
        if !text.is_empty() {
            text.push('|');
        }
        text.push_str(same[0]);
        if same.len() > 1 {
            text.push('+');
        }
    }
    Part {
        text,
        steps: 1,
        plain: false,
    }
}

/// Writes parts that come again at once only once. Says where each part went, and how many steps stand before
/// it there.
fn fold(parts: Vec<Part>, period_max: usize) -> (Vec<Part>, Vec<(usize, u32)>) {
    let mut folded: Vec<Part> = Vec::with_capacity(parts.len());
    let mut moved = Vec::with_capacity(parts.len());
    let mut left = parts.into_iter();
    while !left.as_slice().is_empty() {
        let (period, times) = repetition(left.as_slice(), period_max);
        let mut group: Vec<Part> = left.by_ref().take(period).collect();
        let again = left.by_ref().take(period * (times - 1)).count();
        debug_assert_eq!(again, period * (times - 1));
        let mut offsets = Vec::with_capacity(period);
        let mut steps = 0;
        for part in &group {
            offsets.push(steps);
            steps += part.steps;
        }
        for n in 0..period * times {
            moved.push((folded.len(), offsets[n % period]));
        }
        folded.push(match (times, group.pop()) {
            (1, Some(only)) => only,
            (_, last) => repeated(group.into_iter().chain(last), steps),
        });
    }
    (folded, moved)
}

fn repeated(group: impl Iterator<Item = Part>, steps: u32) -> Part {
    let mut text = String::new();
    let mut plain = false;
    for (n, part) in group.enumerate() {
        if n > 0 {
            text.push(';');
        }
        plain = n == 0 && part.plain;
        text.push_str(&part.text);
    }
    Part {
        text: if plain {
            format!("{text}*")
        } else {
            format!("({text})*")
        },
        steps,
        plain: false,
    }
}

/// How many parts at the front come again right after, and how many times they stand there.
fn repetition(parts: &[Part], period_max: usize) -> (usize, usize) {
    for period in 1..=period_max.min(parts.len() / 2) {
        let (first, _) = parts.split_at(period);
        let times = parts
            .chunks_exact(period)
            .take_while(|chunk| *chunk == first)
            .count();
        if times > 1 {
            return (period, times);
        }
    }
    (1, 1)
}
