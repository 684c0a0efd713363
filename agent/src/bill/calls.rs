//! The calls of a request: when each began and ended, and how long the request waited for any of them.
//!
//! Waiting is time in which a call was under way and no thread worked for the request. It is counted once,
//! however many calls were under way, so that wall time = on CPU + waiting for calls + waiting for stores +
//! other waits, with no part below zero.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Bill, State, WaitKind};
use crate::clock;
use crate::ledger::limits::CALLS_PER_REQUEST_MAX;
use crate::ledger::{EdgeName, Shard};
use crate::shape::{self, CallTime, MORE};
use crate::sync::lock;

/// A call under way, as its request knows it. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct CallToken {
    bill: Arc<Bill>,
    place: Place,
    kind: WaitKind,
    /// The caller waits for an answer.
    answered: bool,
    open: bool,
}

/// Where a call is noted.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nothing is recorded of the request, or it has closed.
    Nowhere,
    Listed(usize),
    /// Counted only, among those of its name, since this instant.
    Folded(usize, u64),
}

/// A stretch in which a thread worked for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// When it began; 0 when the request waited for nothing by then.
    pub(crate) entered_ns: u64,
    pub(crate) left_ns: u64,
}

/// What is noted of a request's calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    list: Vec<CallTime>,
    folded: Option<Box<FoldedCalls>>,
    /// The request has ended: it waits for nothing any more.
    ended: bool,
}

/// Calls beyond the limit.
#[derive(Debug)]
struct FoldedCalls {
    /// When the first of them began.
    from_ns: u64,
    /// Calls under way that the request waits for, those in the list included.
    open: u32,
    /// Since when there has been one.
    since_ns: u64,
    /// Time since `from_ns` in which there was one.
    covered_ns: u64,
    by_name: Vec<FoldedCall>,
}

#[derive(Debug)]
struct FoldedCall {
    name: Arc<str>,
    edge: Option<Arc<EdgeName>>,
    count: u64,
    wall_ns: u64,
    /// Sum of the instants at which they began, from `from_ns`.
    begun_ns: u64,
}

impl FoldedCalls {
    fn new(from_ns: u64, list: &[CallTime]) -> Self {
        let open = list
            .iter()
            .filter(|call| call.end_ns.is_none() && !call.detached)
            .count();
        Self {
            from_ns,
            open: u32::try_from(open).unwrap_or(u32::MAX),
            since_ns: from_ns,
            covered_ns: 0,
            by_name: Vec::new(),
        }
    }

    fn began(&mut self, now_ns: u64) {
        if self.open == 0 {
            self.since_ns = now_ns;
        }
        self.open += 1;
    }

    fn ended(&mut self, now_ns: u64) {
        if self.open == 1 {
            self.covered_ns += now_ns.saturating_sub(self.since_ns);
        }
        self.open = self.open.saturating_sub(1);
    }

    /// The calls of this name; of a name that the list does not know, those of all such names.
    fn at(&mut self, name: &Arc<str>, list: &[CallTime]) -> usize {
        let listed = list.iter().any(|call| call.name == *name);
        let known = |call: &FoldedCall| call.name == *name || (!listed && *call.name == *MORE);
        self.by_name.iter().position(known).unwrap_or_else(|| {
            self.by_name.push(FoldedCall {
                name: if listed { name.clone() } else { MORE.into() },
                edge: None,
                count: 0,
                wall_ns: 0,
                begun_ns: 0,
            });
            self.by_name.len() - 1
        })
    }
}

impl Calls {
    fn begin(&mut self, name: &Arc<str>, start_ns: u64) -> Place {
        if self.list.len() < CALLS_PER_REQUEST_MAX {
            self.list.push(CallTime {
                name: name.clone(),
                start_ns,
                end_ns: None,
                detached: self.ended,
                edge: None,
            });
            return Place::Listed(self.list.len() - 1);
        }
        let list = &self.list;
        let folded = self
            .folded
            .get_or_insert_with(|| Box::new(FoldedCalls::new(start_ns, list)));
        let n = folded.at(name, list);
        let call = &mut folded.by_name[n];
        call.count += 1;
        call.begun_ns += start_ns.saturating_sub(folded.from_ns);
        if !self.ended {
            folded.began(start_ns);
        }
        Place::Folded(n, start_ns)
    }

    fn end(&mut self, place: Place, now_ns: u64, waited: bool) {
        let counts = match place {
            Place::Nowhere => false,
            Place::Listed(n) => {
                let Some(call) = self.list.get_mut(n) else {
                    return;
                };
                let counts = !call.detached;
                call.end_ns = Some(now_ns.max(call.start_ns));
                call.detached |= !waited;
                counts
            }
            Place::Folded(n, start_ns) => {
                if let Some(call) = self.folded.as_mut().and_then(|f| f.by_name.get_mut(n)) {
                    call.wall_ns += now_ns.saturating_sub(start_ns);
                }
                true
            }
        };
        if let Some(folded) = &mut self.folded
            && counts
            && !self.ended
        {
            folded.ended(now_ns);
        }
    }

    fn recorded(&mut self, place: Place, edge: Option<Arc<EdgeName>>) {
        let row = match place {
            Place::Nowhere => None,
            Place::Listed(n) => self.list.get_mut(n).map(|call| &mut call.edge),
            Place::Folded(n, _) => self
                .folded
                .as_mut()
                .and_then(|folded| folded.by_name.get_mut(n))
                .map(|call| &mut call.edge),
        };
        if let Some(row) = row {
            *row = edge;
        }
    }

    /// The request has ended: what is under way now it did not wait for.
    pub(super) fn request_ended(&mut self, now_ns: u64) {
        self.ended = true;
        for call in &mut self.list {
            call.detached |= call.end_ns.is_none();
        }
        if let Some(folded) = &mut self.folded {
            while folded.open > 0 {
                folded.ended(now_ns);
            }
        }
    }

    /// Books the shape of a request of this operation that has closed.
    pub(super) fn close(self, shard: &mut Shard, operation: u32, start_ns: u64, end_ns: u64) {
        let until_ns = match &self.folded {
            Some(folded) => folded.from_ns.clamp(start_ns, end_ns.max(start_ns)),
            None => end_ns,
        };
        let mut shape = shape::of(&self.list, start_ns, until_ns, end_ns);
        for (call, ns) in self.list.iter().zip(&shape.critical_ns) {
            if let Some(edge) = &call.edge {
                shard.edge_critical(edge, *ns);
            }
        }
        if let Some(folded) = self.folded {
            folded.add_to(&mut shape, &self.list, start_ns, shard);
        }
        shard.shape(operation, shape, end_ns.saturating_sub(start_ns));
    }
}

impl FoldedCalls {
    /// Adds the calls that were only counted to the last call of their name. The time in which any of them was
    /// waited for is shared out by their wall times.
    fn add_to(
        &self,
        shape: &mut shape::Shape,
        list: &[CallTime],
        start_ns: u64,
        shard: &mut Shard,
    ) {
        shape.covered_ns += self.covered_ns;
        let whole_ns: u64 = self.by_name.iter().map(|call| call.wall_ns).sum();
        for call in &self.by_name {
            let place = list.iter().rposition(|known| known.name == call.name);
            let place = place.and_then(|n| shape.places.get(n).copied());
            let place = place.unwrap_or_else(|| shape.place_of_more());
            let share = u128::from(self.covered_ns) * u128::from(call.wall_ns);
            let critical_ns = u64::try_from(share / u128::from(whole_ns.max(1))).unwrap_or(0);
            let step = &mut shape.steps[place];
            step.count += call.count;
            step.wall_ns += call.wall_ns;
            step.critical_ns += critical_ns;
            let from_ns = self.from_ns.saturating_sub(start_ns);
            step.offset_ns += call.begun_ns + call.count.saturating_mul(from_ns);
            if let Some(edge) = &call.edge {
                shard.edge_critical(edge, critical_ns);
            }
        }
    }
}

impl State {
    /// A thread worked for the request, which waits for `kind` from now on. What passed before it began and after
    /// the last one left was waiting, if a call was under way then.
    pub(super) fn worked(&mut self, stretch: Stretch, kind: Option<WaitKind>) {
        let left = self.left.take();
        if let Some((left_ns, kind)) = left
            && stretch.entered_ns != 0
        {
            let ended_ns = self.ended.map_or(u64::MAX, |(ended_ns, _)| ended_ns);
            let gap = stretch.entered_ns.min(ended_ns).saturating_sub(left_ns);
            *self.wait_ns(kind) += i64::try_from(gap).unwrap_or(i64::MAX);
        }
        if let Some(kind) = kind.filter(|_| self.ended.is_none()) {
            // Another thread may have left later than this one.
            let before = left.map_or(0, |(left_ns, _)| left_ns);
            self.left = Some((stretch.left_ns.max(before), kind));
        }
    }

    pub(super) fn wait_ns(&mut self, kind: WaitKind) -> &mut i64 {
        match kind {
            WaitKind::Call => &mut self.wait_call_ns,
            WaitKind::Store => &mut self.wait_store_ns,
        }
    }
}

impl Bill {
    /// A call of the request begins. `answered` when the caller is to wait for an answer; one that is not
    /// counts as waited for when its [end](CallToken::end) says so. While it lasts, time in which nothing
    /// works for the request is waiting for it.
    pub(crate) fn call_began(
        self: &Arc<Self>,
        name: &Arc<str>,
        answered: bool,
        start_ns: u64,
    ) -> CallToken {
        self.began(WaitKind::Call, name, answered, start_ns)
    }

    /// A statement is sent to a database over a connection: a call under the database's
    /// [name](store_name). Nothing is to be added as a wait then.
    #[allow(dead_code, reason = "only where a client of a database is weighed")]
    pub(crate) fn store_began(self: &Arc<Self>, name: &Arc<str>, start_ns: u64) -> CallToken {
        self.began(WaitKind::Store, name, true, start_ns)
    }

    fn began(
        self: &Arc<Self>,
        kind: WaitKind,
        name: &Arc<str>,
        answered: bool,
        start_ns: u64,
    ) -> CallToken {
        let mut place = Place::Nowhere;
        if self.is_recorded() {
            let mut state = lock(&self.state);
            if !self.is_closed() {
                let calls = state.calls.get_or_insert_default();
                place = calls.begin(name, start_ns);
            }
        }
        self.waiting[kind as usize].fetch_add(1, Ordering::Relaxed);
        CallToken {
            bill: self.clone(),
            place,
            kind,
            answered,
            open: true,
        }
    }

    /// True while a call is under way.
    #[inline]
    pub(crate) fn is_calling(&self) -> bool {
        self.waiting_for().is_some()
    }

    /// What the request waits for when nothing works for it.
    #[inline]
    pub(super) fn waiting_for(&self) -> Option<WaitKind> {
        [WaitKind::Call, WaitKind::Store]
            .into_iter()
            .find(|kind| self.waiting[*kind as usize].load(Ordering::Relaxed) > 0)
    }
}

impl CallToken {
    /// The request that calls.
    pub(crate) fn bill(&self) -> &Arc<Bill> {
        &self.bill
    }

    /// The call has ended, at this instant. `waited` when the request waited for it although nobody answers.
    pub(crate) fn end(&mut self, now_ns: u64, waited: bool) {
        self.end_recorded(now_ns, waited, None);
    }

    /// [`end`](Self::end), with the row of the call's edge.
    pub(crate) fn end_recorded(&mut self, now_ns: u64, waited: bool, edge: Option<Arc<EdgeName>>) {
        if self.open {
            self.open = false;
            self.bill.waiting[self.kind as usize].fetch_sub(1, Ordering::Relaxed);
            let waited = waited || self.answered;
            self.note(|calls, place| {
                calls.end(place, now_ns, waited);
                calls.recorded(place, edge);
            });
        } else {
            self.recorded(edge);
        }
    }

    /// The row of the call's edge, where that is recorded after its end.
    pub(crate) fn recorded(&mut self, edge: Option<Arc<EdgeName>>) {
        if edge.is_some() {
            self.note(|calls, place| calls.recorded(place, edge));
        }
    }

    fn note(&self, note: impl FnOnce(&mut Calls, Place)) {
        if !matches!(self.place, Place::Nowhere)
            && let Some(calls) = &mut lock(&self.bill.state).calls
        {
            note(calls, self.place);
        }
    }
}

impl Drop for CallToken {
    fn drop(&mut self) {
        if self.open {
            self.end(clock::monotonic_ns(), false);
        }
    }
}

/// How a signature names a database.
#[allow(dead_code, reason = "only where a client of a database is weighed")]
pub(crate) fn store_name(database: &str) -> Arc<str> {
    let plain = |c: char| match c {
        ';' | '|' | '*' | '+' | '&' | '(' | ')' => '_',
        c => c,
    };
    std::iter::once('@')
        .chain(database.chars().map(plain))
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests;
