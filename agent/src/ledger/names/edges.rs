//! Edges and entities under small ids: what keys their rows is compared once, when a request enters or a call
//! is made, and not at each addition.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge_wire::{OTHER, side};

use super::table::{Entry, Table};
use super::{Folded, Names, OperationName, Place, Tables};
use crate::ledger::edge::EdgeId;
use crate::sync::{read, write};

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
    /// The row of this edge; `__other__` when there are too many in the process.
    pub(crate) fn edge(
        &self,
        edge: &EdgeId,
        name: &Arc<OperationName>,
        origin: &Arc<Place>,
    ) -> (Arc<EdgeName>, Folded) {
        let find = |edge: &EdgeId, name: &Arc<OperationName>, origin: &Arc<Place>, max| {
            let hash = self.hasher.hash_one((edge, name.id, origin.id));
            let same = |known: &EdgeName| {
                Arc::ptr_eq(&known.name, name)
                    && Arc::ptr_eq(&known.origin, origin)
                    && known.edge == *edge
            };
            self.intern(
                |t| &t.edges,
                |t| &mut t.edges,
                hash,
                same,
                max,
                |id, used_ns| EdgeName {
                    id,
                    edge: edge.clone(),
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
                return (found, Some("agent.edges"));
            }
        }
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
            let hash = self.hasher.hash_one((name.id, database, entity, access));
            let same = |known: &EntityName| {
                Arc::ptr_eq(&known.name, name)
                    && known.database == *database
                    && known.entity == *entity
                    && known.access == access
            };
            self.intern(
                |t| &t.entities,
                |t| &mut t.entities,
                hash,
                same,
                max,
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
                return (found, Some("agent.entities"));
            }
        }
    }

    /// Finds an entry or makes it while there are fewer than `max`.
    fn intern<T: Entry>(
        &self,
        table: impl Fn(&Tables) -> &Table<T>,
        table_mut: impl Fn(&mut Tables) -> &mut Table<T>,
        hash: u64,
        same: impl Fn(&T) -> bool,
        max: usize,
        make: impl FnOnce(u32, AtomicU64) -> T,
    ) -> Option<Arc<T>> {
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        {
            let tables = read(&self.tables);
            if let Some(found) = table(&tables).find(hash, &same) {
                found.touch(now_ns);
                return Some(found.clone());
            }
            if table(&tables).len() >= max {
                return None;
            }
        }
        let mut tables = write(&self.tables);
        let table = table_mut(&mut tables);
        // Another thread may have been faster.
        if let Some(found) = table.find(hash, &same) {
            return Some(found.clone());
        }
        if table.len() >= max {
            return None;
        }
        Some(table.insert(hash, |id| make(id, AtomicU64::new(now_ns))))
    }
}
