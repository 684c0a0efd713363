//! The ledger: everything booked since the last rotation, in sharded tables.

mod cost;
mod edge;
pub(crate) mod limits;
mod names;
mod region;
mod rotate;
mod shapes;
mod shard;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use weighbridge_wire::{OwnerKind, Window};

pub(crate) use cost::{Cost, Spent};
pub(crate) use edge::{Direction, EdgeFigures, EdgeId, EntityFigures, frame_weight};
pub(crate) use limits::Limits;
pub(crate) use names::{
    Asked, EdgeName, EntityName, Folded, Names, OperationName, OperationRow, OwnerId, Place,
    Wanted, Weight,
};
pub(crate) use region::{RegionId, Regions, TOO_DEEP, Untold};
pub(crate) use rotate::{ProcessGauges, Rotation};
use shard::Common;
pub(crate) use shard::{Exchange, Shard, Socket};

use crate::bill::Bill;
use crate::entities::KeyHash;
use crate::sync::{lock, read, write};

/// The owner `connection` of what the streams of an HTTP/2 connection share. Its protocol and io are apportioned
/// when a window ends.
pub(crate) const HTTP2_CONNECTION: &str = "http2";

/// How many tables share the work.
const SHARDS: usize = 8;

/// The end of a window, whose rows rotation has written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowEnd {
    /// The aligned window.
    pub(crate) window: Window,
    /// Requests that began in it.
    pub(crate) started: u64,
    /// Bills that closed in it.
    pub(crate) ended: u64,
    /// CPU of the process since init, by the kernel.
    pub(crate) process_cpu_ns: i64,
}

/// Under which service this process speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) namespace: Arc<str>,
    pub(crate) service: Arc<str>,
}

/// The process's tables.
pub(crate) struct Ledger {
    names: Names,
    pub(crate) regions: Regions,
    shards: [Mutex<Shard>; SHARDS],
    /// Into which shards are emptied when they hold many rows.
    common: Mutex<Common>,
    next_shard: AtomicUsize,
    service: RwLock<ServiceName>,
}

static LEDGER: LazyLock<Ledger> = LazyLock::new(|| Ledger {
    names: Names::new(),
    regions: Regions::default(),
    shards: std::array::from_fn(|_| Mutex::default()),
    common: Mutex::default(),
    next_shard: AtomicUsize::new(0),
    service: RwLock::new(ServiceName {
        namespace: "".into(),
        service: "unknown_service".into(),
    }),
});

/// The one ledger of the process: threads and CPU clocks are the process's too.
#[inline]
pub(crate) fn ledger() -> &'static Ledger {
    &LEDGER
}

/// Keeps all tables locked over a fork.
pub(crate) struct Held {
    _shards: Vec<MutexGuard<'static, Shard>>,
    _common: MutexGuard<'static, Common>,
    names: names::Held<'static>,
    _service: RwLockWriteGuard<'static, ServiceName>,
    _regions: region::Held<'static>,
}

impl Held {
    /// In a forked child: the requests in flight are the parent's.
    pub(crate) fn forget_requests(&mut self) {
        self.names.forget_requests();
    }
}

impl Ledger {
    /// Locks everything, in the order in which rotation does.
    pub(crate) fn hold(&'static self) -> Held {
        Held {
            _shards: self.shards.iter().map(lock).collect(),
            _common: lock(&self.common),
            names: self.names.hold(),
            _service: write(&self.service),
            _regions: self.regions.hold(),
        }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.names.set_limits(limits);
        self.regions.set_max(limits.regions_max);
    }

    pub(crate) fn set_service(&self, namespace: &str, service: &str) {
        *write(&self.service) = ServiceName {
            namespace: namespace.into(),
            service: service.into(),
        };
        // Chains that begin here bear the service's name.
        self.names.make_void();
    }

    pub(crate) fn service(&self) -> ServiceName {
        read(&self.service).clone()
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// A shard for a thread, handed out in turn.
    pub(crate) fn assign_shard(&self) -> usize {
        self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS
    }

    /// Locks one shard, for a few additions.
    #[inline]
    pub(crate) fn shard(&self, n: usize) -> MutexGuard<'_, Shard> {
        let mut shard = lock(&self.shards[n % SHARDS]);
        if shard.is_full() {
            self.empty(&mut shard);
        }
        shard
    }

    #[cold]
    fn empty(&self, shard: &mut Shard) {
        lock(&self.common).absorb(shard);
    }

    fn shard_here(&self) -> MutexGuard<'_, Shard> {
        self.shard(crate::account::shard_here())
    }

    pub(crate) fn limits(&self) -> Limits {
        self.names.limits()
    }

    pub(crate) fn operation(
        &self,
        component: &str,
        operation: &str,
        class: &str,
    ) -> Arc<OperationName> {
        counted(self.names.operation(component, operation, class))
    }

    pub(crate) fn origin(&self, service: &str, operation: &str) -> Arc<Place> {
        counted(self.names.origin(service, operation))
    }

    pub(crate) fn row(
        &self,
        name: &Arc<OperationName>,
        caller: &Arc<Place>,
        origin: &Arc<Place>,
    ) -> Arc<OperationRow> {
        counted(self.names.row(name, caller, origin))
    }

    pub(crate) fn edge(
        &self,
        edge: &EdgeId,
        name: &Arc<OperationName>,
        origin: &Arc<Place>,
    ) -> Arc<EdgeName> {
        counted(self.names.edge(edge, name, origin))
    }

    pub(crate) fn owner(&self, kind: OwnerKind, name: &str) -> OwnerId {
        counted(self.names.owner(kind, name))
    }
}

fn counted<T>((entry, folded): (T, Folded)) -> T {
    if let Some(place) = folded {
        loss(place, "table full", 1);
    }
    entry
}

/// Records one side of a call, and returns its row. Without a bill the operation is empty: background work.
pub(crate) fn record_edge(
    bill: Option<&Bill>,
    id: &EdgeId,
    figures: &EdgeFigures,
) -> Option<Arc<EdgeName>> {
    if !crate::state::measuring() {
        return None;
    }
    let (operation, origin) = names_of(bill);
    let names = ledger().names();
    let (name, folded) = names.edge(id, &operation, &origin);
    if let Some(place) = folded {
        loss(place, "table full", 1);
        names.weigh(
            &names.wanted_edge(id, &operation, &origin),
            figures.weight(),
        );
    }
    ledger().shard_here().edge(&name, figures, &figures.sizes);
    Some(name)
}

/// Records that a statement touched an entity.
pub(crate) fn record_entity(
    bill: Option<&Bill>,
    database: &Arc<str>,
    entity: &Arc<str>,
    access: &'static str,
    figures: EntityFigures,
) {
    if !crate::state::measuring() {
        return;
    }
    let (operation, _) = names_of(bill);
    let names = ledger().names();
    let (name, folded) = names.entity(&operation, database, entity, access);
    if let Some(place) = folded {
        loss(place, "table full", 1);
        let wanted = names.wanted_entity(&operation, database, entity, access);
        names.weigh(&wanted, figures.weight());
    }
    ledger().shard_here().entity(&name, figures);
}

/// Records that a key of an entity was touched.
pub(crate) fn record_key(
    bill: Option<&Bill>,
    database: &Arc<str>,
    entity: &Arc<str>,
    access: &'static str,
    key: KeyHash,
) {
    if !crate::state::measuring() {
        return;
    }
    let (operation, _) = names_of(bill);
    let name = ledger().names.entity(&operation, database, entity, access);
    let name = counted(name);
    ledger().shard_here().key(&name, key);
    if let Some(bill) = bill {
        bill.touch_key(&name, key.hash);
    }
}

/// Records how large an entity is; `None` means unknown.
pub(crate) fn record_entity_size(
    database: &str,
    entity: &str,
    rows: Option<u64>,
    bytes: Option<u64>,
) {
    if !crate::state::measuring() {
        return;
    }
    let max = ledger().limits().entities_max;
    let key: (Arc<str>, Arc<str>) = (limits::cut(database).into(), limits::cut(entity).into());
    // One table for all threads: a gauge is recorded now and then, and the limit is the process's.
    let mut shard = lock(&ledger().common);
    if shard.entity_sizes.len() >= max && !shard.entity_sizes.contains_key(&key) {
        // A gauge under a shared name would say nothing.
        shard.lose("agent.entity_sizes", "table full", 1);
        return;
    }
    shard
        .entity_sizes
        .insert(key, (rows.map(edge::signed), bytes.map(edge::signed)));
}

/// Counts what was dropped, folded or refused.
pub(crate) fn loss(place: &'static str, reason: &'static str, n: u64) {
    if n > 0 {
        ledger().shard_here().lose(place, reason, n);
    }
}

/// A bill's operation and origin; those of background work without one.
fn names_of(bill: Option<&Bill>) -> (Arc<OperationName>, Arc<Place>) {
    match bill {
        Some(bill) => bill.names(),
        // The chain begins here, as the headers say that the call carries.
        None => (
            ledger().operation("", "", ""),
            ledger().origin(&ledger().service().service, ""),
        ),
    }
}
