//! The shape of a request: which of its calls ran one after the other and which side by side, which of them it
//! waited for, and on which of these it depended from moment to moment.
//!
//! Two calls ran side by side when one began before the other had ended. Calls that hang together so are one
//! *step*. The text of all steps in the order of time is the shape's signature:
//!
//! | text | means |
//! |---|---|
//! | `a;b` | `b` after `a` |
//! | `a\|b` | side by side; names in alphabetical order |
//! | `a+` | several calls of this kind in one step |
//! | `a*` | this step several times over; `(a;b)*` for more than one |
//! | `a&` | not waited for; these stand at the end |
//! | `…` | steps beyond [`SHAPE_STEPS_MAX`](crate::limits::SHAPE_STEPS_MAX), or calls beyond [`CALLS_PER_REQUEST_MAX`](crate::limits::CALLS_PER_REQUEST_MAX) of a kind not seen before |
//!
//! A name is the short id of a call, or `@` and the name of a database.

mod critical;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use signature::MORE;

use crate::ledger::EdgeName;

/// One call of a request.
#[derive(Clone, Debug)]
pub(crate) struct CallTime {
    /// What it is called in a signature.
    pub(crate) name: Arc<str>,
    pub(crate) start_ns: u64,
    /// None while it lasts.
    pub(crate) end_ns: Option<u64>,
    /// The request did not wait for it.
    pub(crate) detached: bool,
    /// The row of its edge, once that is known.
    pub(crate) edge: Option<Arc<EdgeName>>,
}

impl CallTime {
    /// How long it took, as far as it has come by this instant.
    fn wall_ns(&self, until_ns: u64) -> u64 {
        let end_ns = self.end_ns.unwrap_or(until_ns);
        end_ns.saturating_sub(self.start_ns)
    }
}

/// A stretch of time in which a call was waited for, within the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start_ns: u64,
    end_ns: u64,
    /// Which call.
    call: usize,
}

/// Calls of one kind in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which step of the signature, from 0.
    pub(crate) step: u32,
    pub(crate) name: Arc<str>,
    pub(crate) count: u64,
    /// Sum of their wall times.
    pub(crate) wall_ns: u64,
    /// What of it lay on the critical path.
    pub(crate) critical_ns: u64,
    /// Sum of the times from the start of the request to theirs.
    pub(crate) offset_ns: u64,
}

/// The shape of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) signature: String,
    /// By step and name.
    pub(crate) steps: Vec<Step>,
    /// Time in which at least one call was waited for.
    pub(crate) covered_ns: u64,
    /// Time on the critical path by call.
    pub(crate) critical_ns: Vec<u64>,
    /// Where each call stands in `steps`.
    pub(crate) places: Vec<usize>,
}

/// The shape of a request that lasted from `start_ns` to `end_ns`. Calls count up to `until_ns` where it is told
/// which lay on the critical path: the end of the request, or the instant after which calls were only counted.
pub(crate) fn of(calls: &[CallTime], start_ns: u64, until_ns: u64, end_ns: u64) -> Shape {
    let mut spans: Vec<Span> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| !call.detached)
        .map(|(n, call)| {
            let start = call.start_ns.clamp(start_ns, end_ns.max(start_ns));
            Span {
                start_ns: start,
                end_ns: call
                    .end_ns
                    .unwrap_or(end_ns)
                    .clamp(start, end_ns.max(start)),
                call: n,
            }
        })
        .collect();
    // Equal instants stand in the order of their names, so that the order of polling does not matter.
    spans.sort_by(|a, b| {
        let key = |span: &Span| (span.start_ns, span.end_ns);
        key(a)
            .cmp(&key(b))
            .then_with(|| calls[a.call].name.cmp(&calls[b.call].name))
    });
    let mut form = signature::form(&spans, calls);
    for span in &mut spans {
        span.start_ns = span.start_ns.min(until_ns);
        span.end_ns = span.end_ns.min(until_ns);
    }
    let mut critical_ns = vec![0; calls.len()];
    critical::path(&spans, until_ns, &mut critical_ns);
    let mut shape = Shape {
        signature: std::mem::take(&mut form.signature),
        steps: Vec::with_capacity(calls.len()),
        covered_ns: covered(&spans),
        critical_ns,
        places: Vec::with_capacity(calls.len()),
    };
    for (n, call) in calls.iter().enumerate() {
        let critical_ns = shape.critical_ns[n];
        let name = if form.is_more(form.step_of[n]) {
            MORE
        } else {
            &call.name
        };
        let place = shape.place(form.step_of[n], name, || call.name.clone());
        let step = &mut shape.steps[place];
        step.count += 1;
        step.wall_ns += call.wall_ns(end_ns);
        step.critical_ns += critical_ns;
        step.offset_ns += call.start_ns.saturating_sub(start_ns);
        shape.places.push(place);
    }
    shape.sort();
    shape
}

impl Shape {
    /// Where the calls of this name stand that are in this step.
    pub(crate) fn place(
        &mut self,
        step: u32,
        name: &str,
        shared: impl FnOnce() -> Arc<str>,
    ) -> usize {
        let same = |known: &Step| known.step == step && *known.name == *name;
        self.steps.iter().rposition(same).unwrap_or_else(|| {
            let shared = shared();
            self.steps.push(Step {
                step,
                name: if *shared == *name {
                    shared
                } else {
                    name.into()
                },
                count: 0,
                wall_ns: 0,
                critical_ns: 0,
                offset_ns: 0,
            });
            self.steps.len() - 1
        })
    }

    /// Where calls stand that are not told apart, after all others.
    pub(crate) fn place_of_more(&mut self) -> usize {
        if let Some(last) = self.steps.iter().rposition(|step| *step.name == *MORE) {
            return last;
        }
        let step = self.steps.last().map_or(0, |last| last.step + 1);
        if !self.signature.is_empty() {
            self.signature.push(';');
        }
        self.signature.push_str(MORE);
        self.place(step, MORE, || MORE.into())
    }

    /// Steps in their order: requests of one signature have them in the same places.
    fn sort(&mut self) {
        let key = |step: &Step| (step.step, step.name.clone());
        if self.steps.is_sorted_by_key(key) {
            return;
        }
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        order.sort_by_key(|n| key(&self.steps[*n]));
        let mut moved_to = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            moved_to[*from] = to;
        }
        self.steps.sort_by_key(key);
        for place in &mut self.places {
            *place = moved_to[*place];
        }
    }
}

/// The length of the union. Spans are sorted by their start.
fn covered(spans: &[Span]) -> u64 {
    let (mut covered, mut reach) = (0u64, 0u64);
    for span in spans {
        covered += span.end_ns.saturating_sub(span.start_ns.max(reach));
        reach = reach.max(span.end_ns);
    }
    covered
}
