//! Names, bounded: everything that keys a row is interned here once.

mod edges;
mod heavy;
mod table;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use weighbridge_wire::{OTHER, OwnerKind};

use super::limits::{CLASSES_PER_OPERATION_MAX, FORGET_AFTER_NS, Limits, cut};
use crate::alloc::Holder;
use crate::sync::{lock, read, write};
pub(crate) use edges::{EdgeName, EntityName};
pub(crate) use heavy::{Asked, Wanted, Weight};
use heavy::{Heavy, Which};
use table::{Entry, Table};

/// An operation with its component and declared class, and how many of it are in flight.
#[derive(Debug)]
pub(crate) struct OperationName {
    pub(crate) id: u32,
    pub(crate) component: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) class: Arc<str>,
    in_flight: AtomicI64,
    in_flight_max: AtomicI64,
    used_ns: AtomicU64,
}

impl OperationName {
    #[inline]
    pub(crate) fn arrive(&self) {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if now > self.in_flight_max.load(Ordering::Relaxed) {
            self.in_flight_max.fetch_max(now, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Most in flight since the last call; those in flight now count for the next stretch too.
    pub(crate) fn take_in_flight_max(&self) -> i64 {
        // A request that the parent of a forked child began may end in the child.
        let now = self.in_flight.load(Ordering::Relaxed).max(0);
        self.in_flight_max.swap(now, Ordering::Relaxed).max(now)
    }
}

/// A service and an operation of it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: u32,
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    used_ns: AtomicU64,
}

/// One row of operation costs.
#[derive(Debug)]
pub(crate) struct OperationRow {
    pub(crate) id: u32,
    pub(crate) name: Arc<OperationName>,
    pub(crate) caller: Arc<Place>,
    pub(crate) origin: Arc<Place>,
    used_ns: AtomicU64,
}

/// Number of an interned owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OwnerId(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct OwnerName {
    pub(crate) kind: OwnerKind,
    pub(crate) name: Arc<str>,
}

/// What was folded because a table was full: the place of the loss row.
pub(crate) type Folded = Option<&'static str>;

macro_rules! entries {
    ($($entry:ident, $fixed:expr;)*) => {$(
        impl Entry for $entry {
            fn used_ns(&self) -> &AtomicU64 {
                &self.used_ns
            }

            fn is_fixed(&self) -> bool {
                let fixed: fn(&Self) -> bool = $fixed;
                fixed(self)
            }
        }
    )*};
}

entries! {
    OperationName, |name| name.operation.is_empty() || *name.operation == *OTHER;
    Place, |place| place.service.is_empty() || *place.service == *OTHER;
    OperationRow, |_| false;
}

#[derive(Debug, Default)]
struct Tables {
    operations: Table<OperationName>,
    callers: Table<Place>,
    origins: Table<Place>,
    rows: Table<OperationRow>,
    edges: Table<EdgeName>,
    entities: Table<EntityName>,
    owners: Vec<Arc<OwnerName>>,
}

/// The interner. Reads share a lock; only a new name takes it alone.
#[derive(Debug)]
pub(crate) struct Names {
    hasher: RandomState,
    /// Instant of the last rotation, by which use is told.
    now_ns: AtomicU64,
    /// Grows when names were forgotten or would be found otherwise: what was remembered of them is void.
    generation: AtomicU32,
    limits: RwLock<Limits>,
    tables: RwLock<Tables>,
    /// Locked inside `tables`, or alone.
    heavy: Mutex<Heavy>,
    /// One copy of each text that edges have in common. Locked inside `tables`.
    texts: Mutex<HashSet<Arc<str>>>,
}

/// Keeps the names locked over a fork.
pub(crate) struct Held<'a> {
    _limits: RwLockWriteGuard<'a, Limits>,
    tables: RwLockWriteGuard<'a, Tables>,
    _heavy: MutexGuard<'a, Heavy>,
    _texts: MutexGuard<'a, HashSet<Arc<str>>>,
}

impl Held<'_> {
    /// Nothing is in flight any more.
    pub(super) fn forget_requests(&mut self) {
        for name in self.tables.operations.iter() {
            name.in_flight.store(0, Ordering::Relaxed);
            name.in_flight_max.store(0, Ordering::Relaxed);
        }
    }
}

impl Names {
    /// Locks everything.
    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            _limits: write(&self.limits),
            tables: write(&self.tables),
            _heavy: lock(&self.heavy),
            _texts: lock(&self.texts),
        }
    }

    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            now_ns: AtomicU64::new(0),
            generation: AtomicU32::new(1),
            limits: RwLock::default(),
            tables: RwLock::default(),
            heavy: Mutex::default(),
            texts: Mutex::default(),
        }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        *write(&self.limits) = limits;
        lock(&self.heavy).give_up_places();
        self.make_void();
    }

    /// Which stretch between two forgettings this is. Names found in it keep their ids as long as somebody
    /// holds them, or a shard is locked.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Voids what threads remember of names.
    pub(crate) fn make_void(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Notes that a remembered row was asked for, as [`Self::row`] and the others do.
    #[inline]
    pub(crate) fn touch(&self, row: &OperationRow) {
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        if row.used_ns.load(Ordering::Relaxed) != now_ns {
            row.touch(now_ns);
            row.name.touch(now_ns);
            row.caller.touch(now_ns);
            row.origin.touch(now_ns);
        }
    }

    /// Notes that a remembered edge was asked for.
    #[inline]
    pub(crate) fn touch_edge(&self, edge: &EdgeName) {
        edge.touch(self.now_ns.load(Ordering::Relaxed));
    }

    pub(crate) fn limits(&self) -> Limits {
        *read(&self.limits)
    }

    /// The operation under these names, or `__other__` when there are too many.
    pub(crate) fn operation(
        &self,
        component: &str,
        operation: &str,
        class: &str,
    ) -> (Arc<OperationName>, Folded) {
        let (component, operation, class) = (cut(component), cut(operation), cut(class));
        let same = |n: &OperationName| {
            *n.operation == *operation && *n.component == *component && *n.class == *class
        };
        let hash = self.hasher.hash_one((component, operation, class));
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        if let Some(found) = read(&self.tables).operations.find(hash, same) {
            found.touch(now_ns);
            return (found.clone(), None);
        }
        let limits = self.limits();
        let mut tables = write(&self.tables);
        if let Some(found) = tables.operations.find(hash, same) {
            return (found.clone(), None);
        }
        let siblings = tables
            .operations
            .iter()
            .filter(|n| *n.operation == *operation && *n.component == *component)
            .count();
        // Classes have a limit of their own.
        let operations = || tables.operations.iter().filter(|n| n.class.is_empty());
        let folded = if siblings == 0
            && self.is_full(
                Which::Operations,
                hash,
                operations().count(),
                limits.operations_max,
            ) {
            Some(("", OTHER, "", "agent.operations"))
        } else if !class.is_empty() && siblings > CLASSES_PER_OPERATION_MAX {
            Some((component, operation, OTHER, "agent.classes"))
        } else {
            None
        };
        if let Some((component, operation, class, place)) = folded {
            let hash = self.hasher.hash_one((component, operation, class));
            let same = |n: &OperationName| {
                *n.operation == *operation && *n.component == *component && *n.class == *class
            };
            let found = tables.operations.find(hash, same).cloned();
            let name = found.unwrap_or_else(|| {
                tables.operations.insert(hash, |id| {
                    OperationName::new(id, component, operation, class, now_ns)
                })
            });
            return (name, Some(place));
        }
        (
            tables.operations.insert(hash, |id| {
                OperationName::new(id, component, operation, class, now_ns)
            }),
            None,
        )
    }

    /// The caller under these names; empty names mean "none".
    pub(crate) fn caller(&self, service: &str, operation: &str) -> (Arc<Place>, Folded) {
        let max = self.limits().callers_max;
        self.place(
            |t| &t.callers,
            |t| &mut t.callers,
            (Which::Callers, max),
            "agent.callers",
            service,
            operation,
        )
    }

    /// The origin under these names; empty names mean "none", as for background work.
    pub(crate) fn origin(&self, service: &str, operation: &str) -> (Arc<Place>, Folded) {
        let max = self.limits().origins_max;
        self.place(
            |t| &t.origins,
            |t| &mut t.origins,
            (Which::Origins, max),
            "agent.origins",
            service,
            operation,
        )
    }

    fn place(
        &self,
        table: impl Fn(&Tables) -> &Table<Place>,
        table_mut: impl Fn(&mut Tables) -> &mut Table<Place>,
        (which, max): (Which, usize),
        loss: &'static str,
        service: &str,
        operation: &str,
    ) -> (Arc<Place>, Folded) {
        let (mut service, mut operation, mut folded) = (cut(service), cut(operation), None);
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        loop {
            let hash = self.hasher.hash_one((service, operation));
            let same = |p: &Place| *p.service == *service && *p.operation == *operation;
            if let Some(found) = table(&read(&self.tables)).find(hash, same) {
                found.touch(now_ns);
                return (found.clone(), folded);
            }
            let mut tables = write(&self.tables);
            let table = table_mut(&mut tables);
            if let Some(found) = table.find(hash, same) {
                return (found.clone(), folded);
            }
            // "None" and `__other__` stand beside the limit.
            if folded.is_none()
                && !(service.is_empty() && operation.is_empty())
                && self.is_full(which, hash, table.len(), max)
            {
                (service, operation, folded) = (OTHER, OTHER, Some(loss));
                continue;
            }
            let made = table.insert(hash, |id| Place {
                id,
                service: service.into(),
                operation: operation.into(),
                used_ns: AtomicU64::new(now_ns),
            });
            return (made, folded);
        }
    }

    /// The row of these three; caller and origin become `__other__` when there are too many rows.
    pub(crate) fn row(
        &self,
        name: &Arc<OperationName>,
        caller: &Arc<Place>,
        origin: &Arc<Place>,
    ) -> (Arc<OperationRow>, Folded) {
        let find = |tables: &Tables, caller: &Place, origin: &Place| {
            let hash = self.hasher.hash_one((name.id, caller.id, origin.id));
            let same = |r: &OperationRow| {
                r.name.id == name.id && r.caller.id == caller.id && r.origin.id == origin.id
            };
            (hash, tables.rows.find(hash, same).cloned())
        };
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        if let (_, Some(found)) = find(&read(&self.tables), caller, origin) {
            found.touch(now_ns);
            return (found, None);
        }
        let max = self.limits().operation_rows_max;
        let full = {
            let tables = read(&self.tables);
            let (hash, _) = find(&tables, caller, origin);
            self.is_full(Which::Rows, hash, tables.rows.len(), max)
        };
        let (caller, origin, folded) = if full {
            let other = (self.caller(OTHER, OTHER).0, self.origin(OTHER, OTHER).0);
            (other.0, other.1, Some("agent.operation_rows"))
        } else {
            (caller.clone(), origin.clone(), None)
        };
        let mut tables = write(&self.tables);
        let (hash, found) = find(&tables, &caller, &origin);
        let row = found.unwrap_or_else(|| {
            tables.rows.insert(hash, |id| OperationRow {
                id,
                name: name.clone(),
                caller,
                origin,
                used_ns: AtomicU64::new(now_ns),
            })
        });
        (row, folded)
    }

    /// The owner under this name. Owners are few and named by code, so they are kept for good.
    pub(crate) fn owner(&self, kind: OwnerKind, name: &str) -> (OwnerId, Folded) {
        let max = self.limits().owners_max;
        let (mut name, mut folded) = (cut(name), None);
        loop {
            let position = |t: &Tables| {
                let n = t
                    .owners
                    .iter()
                    .position(|o| o.kind == kind && *o.name == *name)?;
                Some(OwnerId(u32::try_from(n).unwrap_or(u32::MAX)))
            };
            if let Some(id) = position(&read(&self.tables)) {
                return (id, folded);
            }
            let mut tables = write(&self.tables);
            if let Some(id) = position(&tables) {
                return (id, folded);
            }
            let bounded = !matches!(
                kind,
                OwnerKind::Runtime | OwnerKind::Agent | OwnerKind::Unattributed
            );
            if folded.is_none() && bounded && tables.owners.len() >= max {
                (name, folded) = (OTHER, Some("agent.owners"));
                continue;
            }
            tables.owners.push(Arc::new(OwnerName {
                kind,
                name: name.into(),
            }));
        }
    }

    /// True when the second owner is the first one of a peer: `nats broker` of `nats`.
    #[cfg(tokio_unstable)]
    pub(crate) fn is_of_peer(&self, general: OwnerId, owner: OwnerId) -> bool {
        let tables = read(&self.tables);
        let name = |id: OwnerId| tables.owners.get(id.0 as usize);
        let (Some(general), Some(owner)) = (name(general), name(owner)) else {
            return false;
        };
        let rest = owner.name.strip_prefix(&*general.name);
        general.kind == owner.kind && rest.is_some_and(|rest| rest.starts_with(' '))
    }

    /// Counts operations as asked for that have something alive, or are in flight and may still allocate: their ids must
    /// keep their meaning, also those of operations that gave way to heavier ones.
    pub(crate) fn keep<'a>(&self, holders: impl Iterator<Item = &'a Holder>) {
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        let tables = read(&self.tables);
        for holder in holders {
            if let Holder::Operation(id) = *holder
                && let Some(name) = tables.operations.get(id)
            {
                name.touch(now_ns);
            }
        }
        for name in tables.operations.all() {
            if name.in_flight.load(Ordering::Relaxed) > 0 {
                name.touch(now_ns);
            }
        }
    }

    /// What the ids in the shards mean that rotation has just taken, and then forgets in tables more than half
    /// full the names that were not asked for in [`FORGET_AFTER_NS`], and the edges and entities that were
    /// not in the window that ends: so names that come once make room, and those in use stay. Called with all
    /// shards locked and empty, so that no id of a forgotten name is left.
    pub(crate) fn resolve_and_forget(&self, now_ns: u64) -> Resolved {
        let window_begin_ns = self.now_ns.swap(now_ns, Ordering::Relaxed);
        let limits = self.limits();
        let full = |len: usize, max: usize| len > max / 2;
        let resolved = |tables: &Tables| Resolved {
            operations: tables.operations.by_id(),
            rows: tables.rows.by_id(),
            edges: tables.edges.by_id(),
            entities: tables.entities.by_id(),
            owners: tables.owners.clone(),
        };
        {
            let tables = read(&self.tables);
            let mut texts = lock(&self.texts);
            // An edge has five: some are those of edges that were forgotten.
            if texts.len() > 5 * tables.edges.len() {
                texts.retain(|text| Arc::strong_count(text) > 1);
            }
            drop(texts);
            let retired = tables.operations.has_retired()
                || tables.callers.has_retired()
                || tables.origins.has_retired()
                || tables.rows.has_retired()
                || tables.edges.has_retired()
                || tables.entities.has_retired();
            if !retired
                && !full(tables.operations.len(), limits.operations_max)
                && !full(tables.callers.len(), limits.callers_max)
                && !full(tables.origins.len(), limits.origins_max)
                && !full(tables.rows.len(), limits.operation_rows_max)
                && !full(tables.edges.len(), limits.edges_max)
                && !full(tables.entities.len(), limits.entities_max)
            {
                return resolved(&tables);
            }
        }
        let mut tables = write(&self.tables);
        let resolved = resolved(&tables);
        let before_ns = now_ns.saturating_sub(FORGET_AFTER_NS);
        // One reference is the table's, one is `resolved`'s. What a row refers to outlives the row here by
        // one rotation at least, because `resolved` holds the row.
        // Of the retired only operations may be asked for again, by `keep`.
        let retired_ns = u64::MAX;
        let forgotten = tables.edges.forget(window_begin_ns, retired_ns, 2)
            + tables.entities.forget(window_begin_ns, retired_ns, 2)
            + tables.rows.forget(before_ns, retired_ns, 2)
            + tables.operations.forget(before_ns, window_begin_ns, 2)
            + tables.origins.forget(before_ns, retired_ns, 1)
            + tables.callers.forget(before_ns, retired_ns, 1);
        if forgotten > 0 {
            self.make_void();
        }
        resolved
    }
}

impl OperationName {
    fn new(id: u32, component: &str, operation: &str, class: &str, now_ns: u64) -> Self {
        Self {
            id,
            component: component.into(),
            operation: operation.into(),
            class: class.into(),
            in_flight: AtomicI64::new(0),
            in_flight_max: AtomicI64::new(0),
            used_ns: AtomicU64::new(now_ns),
        }
    }
}

/// A copy of the tables by id.
#[derive(Debug)]
pub(crate) struct Resolved {
    operations: Vec<Option<Arc<OperationName>>>,
    rows: Vec<Option<Arc<OperationRow>>>,
    edges: Vec<Option<Arc<EdgeName>>>,
    entities: Vec<Option<Arc<EntityName>>>,
    pub(crate) owners: Vec<Arc<OwnerName>>,
}

impl Resolved {
    pub(crate) fn operation(&self, id: u32) -> Option<&Arc<OperationName>> {
        self.operations.get(id as usize)?.as_ref()
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = &Arc<OperationName>> {
        self.operations.iter().flatten()
    }

    pub(crate) fn row(&self, id: u32) -> Option<&Arc<OperationRow>> {
        self.rows.get(id as usize)?.as_ref()
    }

    pub(crate) fn edge(&self, id: u32) -> Option<&Arc<EdgeName>> {
        self.edges.get(id as usize)?.as_ref()
    }

    pub(crate) fn entity(&self, id: u32) -> Option<&Arc<EntityName>> {
        self.entities.get(id as usize)?.as_ref()
    }
}

#[cfg(test)]
mod tests;
