//! What the rows of one service say, sorted by what reports ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weighbridge_wire::{
    CallShapeKey, CallStepKey, DistributionKey, EdgeKey, EdgeSizeKey, EntityKey, EntitySizeKey,
    FoldedWindow, LossKey, OperationKey, OwnerKey, ProcessKey, RegionKey, RowKind, RowValue,
    SeriesKey, ServiceId, Window, column, scope,
};

use super::daily::Daily;
use super::rollup::is_only_losses;
use super::shapes::Shapes;
use super::tally::{Sums, Tally};

/// Names in rows are shared.
pub(crate) type Name = Arc<str>;

/// A service over all its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceKey {
    pub(crate) tenant: String,
    pub(crate) namespace: String,
    pub(crate) environment: String,
    pub(crate) service: String,
}

impl ServiceKey {
    pub(crate) fn of(id: &ServiceId) -> Self {
        Self {
            tenant: id.tenant.clone(),
            namespace: id.namespace.clone(),
            environment: id.environment.clone(),
            service: id.service.clone(),
        }
    }
}

/// One operation, its class included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId {
    pub(crate) component: Name,
    pub(crate) operation: Name,
    pub(crate) class: Name,
}

impl OperationId {
    /// The row id in a document.
    pub(crate) fn row(&self, service: &str) -> String {
        let component = if self.component.is_empty() {
            String::new()
        } else {
            format!("[{}]", self.component)
        };
        let class = if self.class.is_empty() {
            String::new()
        } else {
            format!(";{}", self.class)
        };
        format!("operation:{service}{component}/{}{class}", self.operation)
    }

    /// The name as shown: the operation with its class.
    pub(crate) fn shown(&self) -> String {
        if self.class.is_empty() {
            self.operation.to_string()
        } else {
            format!("{} ({})", self.operation, self.class)
        }
    }
}

/// A service and an operation as a row names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) service: Name,
    pub(crate) operation: Name,
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperationFacts {
    pub(crate) all: Sums,
    pub(crate) by_caller: BTreeMap<Endpoint, Sums>,
    pub(crate) by_origin: BTreeMap<Endpoint, Sums>,
    /// Requests at which a chain began.
    pub(crate) root: Sums,
    pub(crate) distribution: RowValue,
    pub(crate) distribution_root: RowValue,
}

/// What joins the rows of one side of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeSideId {
    pub(crate) side: Name,
    pub(crate) operation: Name,
    pub(crate) peer_service: Name,
    pub(crate) peer_operation: Name,
    pub(crate) call_id: Name,
}

/// One side of an edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeSideFacts {
    pub(crate) all: Sums,
    pub(crate) by_origin: BTreeMap<Endpoint, Sums>,
    /// Transport, mode, peer, target, component and class, with the messages of each variant: the largest
    /// names the edge.
    pub(crate) variants: BTreeMap<EdgeVariant, i64>,
}

/// What describes an edge but does not identify it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeVariant {
    pub(crate) transport: Name,
    pub(crate) mode: Name,
    pub(crate) peer: Name,
    pub(crate) target: Name,
    pub(crate) component: Name,
    pub(crate) class: Name,
}

impl EdgeSideFacts {
    /// The variant with the most messages; the first by name among equals.
    pub(crate) fn variant(&self) -> EdgeVariant {
        self.variants
            .iter()
            .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)))
            .map(|(variant, _)| variant.clone())
            .unwrap_or_default()
    }
}

/// Messages by size on one side of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SizeId {
    pub(crate) edge: EdgeSideId,
    pub(crate) direction: Name,
}

/// One entity in one database.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntityFacts {
    pub(crate) size: Sums,
    /// By operation and access.
    pub(crate) uses: BTreeMap<(OperationId, Name), Sums>,
}

/// One service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceFacts {
    pub(crate) key: ServiceKey,
    /// The name shown; unique in the document.
    pub(crate) label: String,
    pub(crate) versions: BTreeSet<String>,
    windows: BTreeSet<Window>,
    /// CPU by the day, of ranges of many days.
    pub(crate) daily: Daily,
    pub(crate) operations: BTreeMap<OperationId, OperationFacts>,
    /// Arrivals by operation and class; a series does not name the component.
    pub(crate) series: BTreeMap<(Name, Name), Sums>,
    /// By owner kind and name.
    pub(crate) owners: BTreeMap<(Name, Name), Sums>,
    pub(crate) edges: BTreeMap<EdgeSideId, EdgeSideFacts>,
    pub(crate) sizes: BTreeMap<SizeId, BTreeMap<Name, Sums>>,
    /// By database and entity.
    pub(crate) entities: BTreeMap<(Name, Name), EntityFacts>,
    pub(crate) processes: BTreeMap<ProcessKey, Sums>,
    /// The versions that each process reported.
    pub(crate) process_versions: BTreeMap<ProcessKey, BTreeSet<String>>,
    /// All processes together.
    pub(crate) process: Sums,
    /// By operation and class, then by path; a region does not name the component.
    pub(crate) regions: BTreeMap<(Name, Name), BTreeMap<Name, Sums>>,
    /// By operation and class; a shape does not name the component.
    pub(crate) shapes: BTreeMap<(Name, Name), Shapes>,
    /// By place and reason.
    pub(crate) losses: BTreeMap<(Name, Name), Sums>,
}

impl ServiceFacts {
    /// True when a process of the service has the agent, and not only spans or metrics that somebody else made. Rows of
    /// a process may be missing: then what was booked to a class of work tells, since spans know of no such thing.
    pub(crate) fn has_agent(&self) -> bool {
        if self.processes.is_empty() {
            return self
                .operations
                .values()
                .any(|operation| operation.all.total(column::CPU_ENCODE_NS).is_some());
        }
        self.processes
            .keys()
            .any(|process| !process.agent_version.is_empty())
    }

    pub(crate) fn new(key: ServiceKey) -> Self {
        Self {
            key,
            label: String::new(),
            versions: BTreeSet::new(),
            windows: BTreeSet::new(),
            daily: Daily::default(),
            operations: BTreeMap::new(),
            series: BTreeMap::new(),
            owners: BTreeMap::new(),
            edges: BTreeMap::new(),
            sizes: BTreeMap::new(),
            entities: BTreeMap::new(),
            processes: BTreeMap::new(),
            process_versions: BTreeMap::new(),
            process: Sums::default(),
            regions: BTreeMap::new(),
            shapes: BTreeMap::new(),
            losses: BTreeMap::new(),
        }
    }

    /// Windows in which it reported.
    pub(crate) fn windows(&self) -> u64 {
        u64::try_from(self.windows.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn read(
        &mut self,
        id: &ServiceId,
        slot: u32,
        window: Window,
        folded: &FoldedWindow,
    ) {
        let rows = &folded.rows;
        if !is_only_losses(folded) {
            self.windows.insert(window);
        }
        if !id.version.is_empty() {
            self.versions.insert(id.version.clone());
        }
        for (key, value) in rows.iter() {
            let quality = key.quality;
            let Some(kind) = RowKind::from_wire(key.kind) else {
                continue;
            };
            match kind {
                RowKind::Operation => {
                    let Some(k) = OperationKey::read(key) else {
                        continue;
                    };
                    let is_root = k.caller_service.is_empty()
                        && *k.origin_service == *self.key.service
                        && k.origin_operation == k.operation;
                    let facts = self.operation(k.component, k.operation, k.class);
                    facts.all.add(slot, quality, value);
                    let caller = Endpoint {
                        service: k.caller_service,
                        operation: k.caller_operation,
                    };
                    facts
                        .by_caller
                        .entry(caller)
                        .or_default()
                        .add(slot, quality, value);
                    let origin = Endpoint {
                        service: k.origin_service,
                        operation: k.origin_operation,
                    };
                    facts
                        .by_origin
                        .entry(origin)
                        .or_default()
                        .add(slot, quality, value);
                    if is_root {
                        facts.root.add(slot, quality, value);
                    }
                }
                RowKind::Owner => {
                    let Some(k) = OwnerKey::read(key) else {
                        continue;
                    };
                    let sums = self.owners.entry((k.owner_kind, k.name)).or_default();
                    sums.add(slot, quality, value);
                }
                RowKind::Edge => {
                    let Some(k) = EdgeKey::read(key) else {
                        continue;
                    };
                    let side = EdgeSideId {
                        side: k.side,
                        operation: k.operation,
                        peer_service: k.peer_service,
                        peer_operation: k.peer_operation,
                        call_id: k.call_id,
                    };
                    let facts = self.edges.entry(side).or_default();
                    facts.all.add(slot, quality, value);
                    let origin = Endpoint {
                        service: k.origin_service,
                        operation: k.origin_operation,
                    };
                    facts
                        .by_origin
                        .entry(origin)
                        .or_default()
                        .add(slot, quality, value);
                    let variant = EdgeVariant {
                        transport: k.transport,
                        mode: k.mode,
                        peer: k.peer,
                        target: k.target,
                        component: k.component,
                        class: k.class,
                    };
                    let messages = value.get(column::REQUEST_MESSAGES).unwrap_or(0);
                    *facts.variants.entry(variant).or_default() += messages;
                }
                RowKind::EdgeSize => {
                    let Some(k) = EdgeSizeKey::read(key) else {
                        continue;
                    };
                    let edge = EdgeSideId {
                        side: k.side,
                        operation: k.operation,
                        peer_service: k.peer_service,
                        peer_operation: k.peer_operation,
                        call_id: k.call_id,
                    };
                    let id = SizeId {
                        edge,
                        direction: k.direction,
                    };
                    let class = self.sizes.entry(id).or_default().entry(k.size_class);
                    class.or_default().add(slot, quality, value);
                }
                RowKind::Entity => {
                    let Some(k) = EntityKey::read(key) else {
                        continue;
                    };
                    let id = OperationId {
                        component: k.component,
                        operation: k.operation,
                        class: k.class,
                    };
                    let facts = self.entities.entry((k.database, k.entity)).or_default();
                    facts
                        .uses
                        .entry((id, k.access))
                        .or_default()
                        .add(slot, quality, value);
                }
                RowKind::EntitySize => {
                    let Some(k) = EntitySizeKey::read(key) else {
                        continue;
                    };
                    let facts = self.entities.entry((k.database, k.entity)).or_default();
                    facts.size.add(slot, quality, value);
                }
                RowKind::Series => {
                    let Some(k) = SeriesKey::read(key) else {
                        continue;
                    };
                    let sums = self.series.entry((k.operation, k.class)).or_default();
                    sums.add(slot, quality, value);
                }
                RowKind::Distribution => {
                    let Some(k) = DistributionKey::read(key) else {
                        continue;
                    };
                    let facts = self.operation(k.component, k.operation, k.class);
                    if &*k.scope == scope::ROOT {
                        facts.distribution_root.merge(value);
                    } else if &*k.scope == scope::ALL {
                        facts.distribution.merge(value);
                    }
                }
                RowKind::Process => {
                    let Some(k) = ProcessKey::read(key) else {
                        continue;
                    };
                    let versions = self.process_versions.entry(k.clone()).or_default();
                    if !id.version.is_empty() && !versions.contains(&id.version) {
                        versions.insert(id.version.clone());
                    }
                    self.processes
                        .entry(k)
                        .or_default()
                        .add(slot, quality, value);
                    self.process.add(slot, quality, value);
                }
                RowKind::Loss => {
                    let Some(k) = LossKey::read(key) else {
                        continue;
                    };
                    let sums = self.losses.entry((k.place, k.reason)).or_default();
                    sums.add(slot, quality, value);
                }
                RowKind::CallShape => {
                    if let Some(k) = CallShapeKey::read(key) {
                        self.read_shape(k, slot, quality, value);
                    }
                }
                RowKind::CallStep => {
                    if let Some(k) = CallStepKey::read(key) {
                        self.read_step(k, slot, quality, value);
                    }
                }
                RowKind::Region => {
                    let Some(k) = RegionKey::read(key) else {
                        continue;
                    };
                    let of = self.regions.entry((k.operation, k.class)).or_default();
                    let sums = of.entry(k.region).or_default();
                    sums.add(slot, quality, value);
                }
                // Not part of this report.
                RowKind::Exemplar => {}
            }
        }
    }

    fn operation(&mut self, component: Name, operation: Name, class: Name) -> &mut OperationFacts {
        self.operations
            .entry(OperationId {
                component,
                operation,
                class,
            })
            .or_default()
    }

    /// All accounts: operations and owners.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Sums> {
        self.operations
            .values()
            .map(|facts| &facts.all)
            .chain(self.owners.values())
    }

    /// Sum of some columns over all owners of a kind; `None` when no such owner has one.
    pub(crate) fn owners_cpu(&self, wanted: impl Fn(&str, &str) -> bool) -> Option<Tally> {
        let mut sum: Option<Tally> = None;
        for ((kind, name), sums) in &self.owners {
            if wanted(kind, name)
                && let Some(cpu) = sums.sum_of(&CPU_COLUMNS)
            {
                sum.get_or_insert_default().merge_sum(&cpu);
            }
        }
        sum
    }
}

/// The CPU columns of all classes.
pub(crate) const CPU_COLUMNS: [u32; 6] = [
    column::CPU_HANDLER_NS,
    column::CPU_ENCODE_NS,
    column::CPU_DECODE_NS,
    column::CPU_PROTOCOL_NS,
    column::CPU_IO_NS,
    column::CPU_STORE_NS,
];

/// The classes that carry messages.
pub(crate) const MESSAGE_COLUMNS: [u32; 4] = [
    column::CPU_ENCODE_NS,
    column::CPU_DECODE_NS,
    column::CPU_PROTOCOL_NS,
    column::CPU_IO_NS,
];

/// The classes that are work.
pub(crate) const WORK_COLUMNS: [u32; 2] = [column::CPU_HANDLER_NS, column::CPU_STORE_NS];

/// The name of the owner that stands for the scheduler and for tasks that nothing wrapped.
pub(crate) const RUNTIME_OR_UNWRAPPED: &str = "runtime or unwrapped";

#[cfg(test)]
mod tests {
    use weighbridge_wire::Class;

    use super::*;

    #[test]
    fn cpu_columns_are_those_of_the_classes() {
        let columns: Vec<u32> = weighbridge_wire::ALL_CLASSES
            .iter()
            .map(|class| class.column())
            .collect();
        assert_eq!(columns, CPU_COLUMNS);
        assert!(MESSAGE_COLUMNS.iter().all(|c| !WORK_COLUMNS.contains(c)));
        assert!(WORK_COLUMNS.contains(&Class::Store.column()));
    }

    #[test]
    fn row_ids_tell_components_and_classes_apart() {
        let id = |component: &str, class: &str| OperationId {
            component: component.into(),
            operation: "GET /x".into(),
            class: class.into(),
        };
        assert_eq!(id("", "").row("s"), "operation:s/GET /x");
        assert_eq!(id("c", "bulk").row("s"), "operation:s[c]/GET /x;bulk");
        assert_eq!(id("", "bulk").shown(), "GET /x (bulk)");
    }
}
