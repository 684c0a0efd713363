//! Edges and entities under small ids: what keys their rows is compared once, when a request enters or a call
//! is made, and not at each addition.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge_wire::{OTHER, side};

use super::heavy::{Wanted, Which};
use super::table::{Entry, Table};
use super::{Folded, Names, OperationName, Place, Tables};
use crate::ledger::edge::EdgeId;
use crate::sync::{lock, read, write};

/// Key of an edge row: the edge, and the operation and the origin on this side.
#[derive(Debug)]
pub(crate) struct EdgeName {
    pub(crate) id: u32,
    pub(crate) edge: EdgeId,
    pub(crate) name: Arc<OperationName>,
    pub(crate) origin: Arc<Place>,
    used_ns: AtomicU64,
}

/// Key of an entity row.
#[derive(Debug)]
pub(crate) struct EntityName {
    pub(crate) id: u32,
    pub(crate) name: Arc<OperationName>,
    pub(crate) database: Arc<str>,
    pub(crate) entity: Arc<str>,
    /// A word of [`weighbridge_wire::access`].
    pub(crate) access: &'static str,
    used_ns: AtomicU64,
}

/// The places in loss rows.
pub(super) const EDGES: &str = "agent.edges";
pub(super) const ENTITIES: &str = "agent.entities";

macro_rules! forgettable {
    ($($name:ident)*) => {$(
        impl Entry for $name {
            fn used_ns(&self) -> &AtomicU64 {
                &self.used_ns
            }

            fn is_fixed(&self) -> bool {
                false
            }
        }
    )*};
}

forgettable! { EdgeName EntityName }

impl EdgeName {
    /// True for the row that those beyond the limit share.
    pub(super) fn is_folded(&self) -> bool {
        *self.edge.call_id == *OTHER && *self.edge.target == *OTHER
    }
}

impl EntityName {
    /// True for the row that those beyond the limit share.
    pub(super) fn is_folded(&self) -> bool {
        *self.database == *OTHER && *self.entity == *OTHER
    }
}

/// What edges beyond the limit share: their side, mode and transport.
fn folded(edge: &EdgeId) -> EdgeId {
    let other: Arc<str> = OTHER.into();
    let peer: Arc<str> = if edge.side == side::CALLEE {
        other.clone()
    } else {
        "".into()
    };
    EdgeId {
        side: edge.side,
        mode: edge.mode,
        transport: edge.transport,
        peer_service: peer.clone(),
        peer_operation: peer,
        call_id: other.clone(),
        peer: other.clone(),
        target: other,
    }
}

impl Names {
    fn edge_hash(&self, edge: &EdgeId, name: &OperationName, origin: &Place) -> u64 {
        self.hasher.hash_one((edge, name.id, origin.id))
    }

    fn entity_hash(
        &self,
        name: &OperationName,
        database: &str,
        entity: &str,
        access: &'static str,
    ) -> u64 {
        self.hasher.hash_one((name.id, database, entity, access))
    }

    /// The row of this edge; `__other__` when there are too many in the process.
    pub(crate) fn edge(
        &self,
        edge: &EdgeId,
        name: &Arc<OperationName>,
        origin: &Arc<Place>,
    ) -> (Arc<EdgeName>, Folded) {
        let find = |edge: &EdgeId, name: &Arc<OperationName>, origin: &Arc<Place>, max| {
            let same = |known: &EdgeName| {
                Arc::ptr_eq(&known.name, name)
                    && Arc::ptr_eq(&known.origin, origin)
                    && known.edge == *edge
            };
            self.intern(
                (|t| &t.edges, |t| &mut t.edges),
                (Which::Edges, max),
                self.edge_hash(edge, name, origin),
                same,
                |id, used_ns| EdgeName {
                    id,
                    edge: self.shared(edge),
                    name: name.clone(),
                    origin: origin.clone(),
                    used_ns,
                },
            )
        };
        if let Some(found) = find(edge, name, origin, self.limits().edges_max) {
            return (found, None);
        }
        let (edge, name, origin) = (
            folded(edge),
            self.operation("", OTHER, "").0,
            self.origin(OTHER, OTHER).0,
        );
        loop {
            // These rows stand beside the limit, so the first attempt succeeds.
            if let Some(found) = find(&edge, &name, &origin, usize::MAX) {
                return (found, Some(EDGES));
            }
        }
    }

    /// Weighs for an edge that found no place: at once, or when a bill closes that takes what is wanted along.
    pub(crate) fn wanted_edge(
        &self,
        edge: &EdgeId,
        name: &OperationName,
        origin: &Place,
    ) -> Wanted {
        Wanted::edge(self.edge_hash(edge, name, origin))
    }

    /// The row of this entity; `__other__` when there are too many in the process.
    pub(crate) fn entity(
        &self,
        name: &Arc<OperationName>,
        database: &Arc<str>,
        entity: &Arc<str>,
        access: &'static str,
    ) -> (Arc<EntityName>, Folded) {
        let find = |name: &Arc<OperationName>, database: &Arc<str>, entity: &Arc<str>, max| {
            let same = |known: &EntityName| {
                Arc::ptr_eq(&known.name, name)
                    && known.database == *database
                    && known.entity == *entity
                    && known.access == access
            };
            self.intern(
                (|t| &t.entities, |t| &mut t.entities),
                (Which::Entities, max),
                self.entity_hash(name, database, entity, access),
                same,
                |id, used_ns| EntityName {
                    id,
                    name: name.clone(),
                    database: database.clone(),
                    entity: entity.clone(),
                    access,
                    used_ns,
                },
            )
        };
        if let Some(found) = find(name, database, entity, self.limits().entities_max) {
            return (found, None);
        }
        let (name, other) = (self.operation("", OTHER, "").0, OTHER.into());
        loop {
            if let Some(found) = find(&name, &other, &other, usize::MAX) {
                return (found, Some(ENTITIES));
            }
        }
    }

    /// Weighs for an entity that found no place.
    pub(crate) fn wanted_entity(
        &self,
        name: &OperationName,
        database: &str,
        entity: &str,
        access: &'static str,
    ) -> Wanted {
        Wanted::entity(self.entity_hash(name, database, entity, access))
    }

    /// The edge with texts that others have too.
    fn shared(&self, edge: &EdgeId) -> EdgeId {
        let mut texts = lock(&self.texts);
        let mut share = |text: &Arc<str>| match texts.get(text) {
            Some(known) => known.clone(),
            None => {
                texts.insert(text.clone());
                text.clone()
            }
        };
        EdgeId {
            side: edge.side,
            mode: edge.mode,
            transport: edge.transport,
            peer_service: share(&edge.peer_service),
            peer_operation: share(&edge.peer_operation),
            call_id: share(&edge.call_id),
            peer: share(&edge.peer),
            target: share(&edge.target),
        }
    }

    /// Finds an entry or makes it while there is room.
    fn intern<T: Entry>(
        &self,
        (table, table_mut): (
            impl Fn(&Tables) -> &Table<T>,
            impl Fn(&mut Tables) -> &mut Table<T>,
        ),
        (which, max): (Which, usize),
        hash: u64,
        same: impl Fn(&T) -> bool,
        make: impl FnOnce(u32, AtomicU64) -> T,
    ) -> Option<Arc<T>> {
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        {
            let tables = read(&self.tables);
            if let Some(found) = table(&tables).find(hash, &same) {
                found.touch(now_ns);
                return Some(found.clone());
            }
            // Floods of names share the lock.
            if table(&tables).len() >= max && !self.is_reserved(which, hash) {
                return None;
            }
        }
        let mut tables = write(&self.tables);
        let table = table_mut(&mut tables);
        // Another thread may have been faster.
        if let Some(found) = table.find(hash, &same) {
            return Some(found.clone());
        }
        if self.is_full(which, hash, table.len(), max) {
            return None;
        }
        Some(table.insert(hash, |id| make(id, AtomicU64::new(now_ns))))
    }
}

#[cfg(test)]
mod tests;
