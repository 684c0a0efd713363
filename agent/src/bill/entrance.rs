//! Under which names a request enters.

use std::sync::{Arc, Weak};

use crate::ledger::{Asked, EdgeId, EdgeName, Folded, Ledger, OperationRow, Place, Wanted, loss};

/// The rows that a request's figures go to, found once for all requests of its kind.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(super) row: Arc<OperationRow>,
    /// Caller and origin where the row's are `__other__`: the names that travel on.
    pub(super) unfolded: Option<Box<(Arc<Place>, Arc<Place>)>>,
    /// The edge over which it came, this side.
    pub(super) callee: Option<Arc<EdgeName>>,
    /// True when the chain of requests begins here.
    pub(super) root: bool,
    /// The names for which there was no room.
    pub(super) wanted: Option<Box<Wanted>>,
    /// Of the names, when they were remembered and not just looked up.
    pub(super) generation: Option<u32>,
}

/// What names an entrance.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntranceNames<'a> {
    /// Declared component; empty means that the service is one component.
    pub(crate) component: &'a str,
    /// `GET /orders/{id}`, `CONSUME topic`, `JOB name`.
    pub(crate) operation: &'a str,
    /// Service and operation that called, as a trusted peer said.
    pub(crate) caller: Option<(&'a str, &'a str)>,
    /// Service and operation at which the chain began; `None` when it begins here.
    pub(crate) origin: Option<(&'a str, &'a str)>,
    /// The edge over which the request came, this side.
    pub(crate) callee: Option<&'a EdgeId>,
}

impl Entrance {
    /// Looks the names up, and makes what is new. False when one of them was folded: then the next request
    /// has to look again, because each fold is counted.
    pub(crate) fn find(ledger: &Ledger, wanted: &EntranceNames<'_>) -> (Self, bool) {
        let names = ledger.names();
        let mut whole = true;
        let name = counted(
            names.operation(wanted.component, wanted.operation, ""),
            &mut whole,
        );
        let (service, operation) = wanted.caller.unwrap_or_default();
        let caller = counted(names.caller(service, operation), &mut whole);
        let origin = match wanted.origin {
            Some((service, operation)) => names.origin(service, operation),
            None => names.origin(&ledger.service().service, &name.operation),
        };
        let origin = counted(origin, &mut whole);
        let row = counted(names.row(&name, &caller, &origin), &mut whole);
        let mut wanted_edge = None;
        let callee = wanted.callee.map(|edge| {
            let (found, folded) = names.edge(edge, &name, &origin);
            wanted_edge = folded.map(|_| names.wanted_edge(edge, &name, &origin));
            counted((found, folded), &mut whole)
        });
        let folded = row.caller.id != caller.id || row.origin.id != origin.id;
        let asked = Asked {
            component: wanted.component,
            operation: wanted.operation,
            caller: wanted.caller,
            origin: wanted.origin,
        };
        let wanted_names = if whole {
            None
        } else {
            names.wanted(asked, &row)
        };
        let entrance = Self {
            row,
            wanted: match (wanted_names, wanted_edge) {
                (Some(names), Some(edge)) => Some(Box::new(names.and(edge))),
                (names, None) => names,
                (None, edge) => edge.map(Box::new),
            },
            unfolded: folded.then(|| Box::new((caller, origin))),
            callee,
            root: wanted.origin.is_none(),
            generation: None,
        };
        (entrance, whole)
    }

    /// Remembers the entrance without keeping its names from being forgotten. `generation` is that of the
    /// names before they were looked up.
    pub(crate) fn remember(&self, generation: u32) -> RememberedEntrance {
        RememberedEntrance {
            row: Arc::downgrade(&self.row),
            callee: self.callee.as_ref().map(Arc::downgrade),
            root: self.root,
            generation,
        }
    }

    /// As it was remembered, if it was.
    pub(crate) fn remembered(&self) -> Option<RememberedEntrance> {
        self.generation.map(|generation| self.remember(generation))
    }

    /// False when names may have been forgotten since this was remembered. It holds as long as a shard is
    /// locked: rotation forgets with all of them locked.
    #[inline]
    pub(super) fn is_valid(&self, ledger: &Ledger) -> bool {
        self.generation
            .is_none_or(|generation| generation == ledger.names().generation())
    }
}

/// An entrance that may have been forgotten.
#[derive(Clone, Debug)]
pub(crate) struct RememberedEntrance {
    row: Weak<OperationRow>,
    callee: Option<Weak<EdgeName>>,
    root: bool,
    generation: u32,
}

impl RememberedEntrance {
    /// The entrance, if its names are still known.
    #[inline]
    pub(crate) fn recall(&self, ledger: &Ledger) -> Option<Entrance> {
        if ledger.names().generation() != self.generation {
            return None;
        }
        let row = self.row.upgrade()?;
        let callee = match &self.callee {
            Some(callee) => Some(callee.upgrade()?),
            None => None,
        };
        ledger.names().touch(&row);
        if let Some(callee) = &callee {
            ledger.names().touch_edge(callee);
        }
        Some(Entrance {
            row,
            // What is folded is looked up each time.
            unfolded: None,
            wanted: None,
            callee,
            root: self.root,
            generation: Some(self.generation),
        })
    }
}

fn counted<T>((entry, folded): (T, Folded), whole: &mut bool) -> T {
    if let Some(place) = folded {
        *whole = false;
        loss(place, "table full", 1);
    }
    entry
}
