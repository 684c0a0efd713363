//! Regions: named pieces of code inside an operation, and what they cost. A region is a node of a tree whose
//! root is the operation; only what it cost itself is booked, and sums over subtrees are taken at rotation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockWriteGuard};

use weighbridge_wire::{OTHER, Quality, RegionKey, RowSet, column};

use super::limits::{FORGET_AFTER_NS, REGION_DEPTH_MAX, REGION_PATH_BYTES_MAX, REGIONS_MAX, cut};
use super::names::OperationName;
use crate::account::Totals;
use crate::alloc;
use crate::sync::{read, write};

/// Separates the names of a path. One in a name becomes a comma.
const SEPARATOR: char = ';';

/// Number of a region. Numbers of forgotten regions come again with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegionId {
    index: u32,
    generation: u32,
}

impl RegionId {
    /// Costs under this number are nobody's. All zeros: no region is of this generation.
    pub(crate) const NONE: Self = Self {
        index: 0,
        generation: 0,
    };

    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// Reason of the loss row when a region lies too deep to be told apart.
pub(crate) const TOO_DEEP: &str = "too deep";
const TABLE_FULL: &str = "table full";

/// Why a region is not told apart: the reason of the loss row.
pub(crate) type Untold = Option<&'static str>;

#[derive(Debug)]
struct Node {
    generation: u32,
    /// Keeps the operation's number from being given to another.
    operation: Arc<OperationName>,
    parent: Option<u32>,
    children: u32,
    name: &'static str,
    path: Arc<str>,
    depth: usize,
    /// Instant of the last rotation that saw a cost of it.
    used_ns: AtomicU64,
}

impl Node {
    fn is_other(&self) -> bool {
        self.name == OTHER
    }

    fn key(&self) -> NodeKey {
        (
            self.operation.id,
            self.parent.unwrap_or(NO_PARENT),
            self.name,
        )
    }
}

/// Operation, parent, name.
type NodeKey = (u32, u32, &'static str);

const NO_PARENT: u32 = u32::MAX;

/// Instead of the end of the last window that had a cost: there was no end of a window yet.
const NEW: u64 = u64::MAX;

#[derive(Debug)]
struct Tree {
    by_key: HashMap<NodeKey, u32>,
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    /// Never 0, see [`RegionId::NONE`].
    generation: u32,
    /// Nodes that stand for many: they do not count against the limit.
    others: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            generation: 1,
            others: 0,
        }
    }
}

impl Tree {
    fn named(&self) -> usize {
        self.by_key.len() - self.others
    }

    fn node(&self, id: RegionId) -> Option<&Node> {
        self.nodes
            .get(id.index as usize)?
            .as_ref()
            .filter(|node| node.generation == id.generation)
    }

    fn at(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)?.as_ref()
    }

    fn id(&self, index: u32) -> RegionId {
        self.at(index).map_or(RegionId::NONE, |node| RegionId {
            index,
            generation: node.generation,
        })
    }

    fn insert(
        &mut self,
        operation: &Arc<OperationName>,
        parent: Option<u32>,
        name: &'static str,
        path: String,
    ) -> RegionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            // Bounded by twice the limit and the operations.
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        });
        let node = Node {
            generation: self.generation,
            operation: operation.clone(),
            parent,
            children: 0,
            name,
            path: path.into(),
            depth: parent.and_then(|p| self.at(p)).map_or(1, |p| p.depth + 1),
            used_ns: AtomicU64::new(NEW),
        };
        self.others += usize::from(node.is_other());
        self.by_key.insert(node.key(), index);
        if let Some(parent) = parent.and_then(|p| self.nodes.get_mut(p as usize)?.as_mut()) {
            parent.children += 1;
        }
        if let Some(slot) = self.nodes.get_mut(index as usize) {
            *slot = Some(node);
        }
        self.id(index)
    }

    /// Those to forget, all without children: idle ones, and the lightest sixteenth when a name was refused.
    fn leaving(&self, costs: &RegionCosts, now_ns: u64, refused: bool) -> Vec<u32> {
        let before_ns = now_ns.saturating_sub(FORGET_AFTER_NS);
        let (mut leaving, mut light) = (Vec::new(), Vec::new());
        for (index, node) in (0u32..).zip(&self.nodes) {
            let Some(node) = node.as_ref().filter(|node| node.children == 0) else {
                continue;
            };
            let used_ns = node.used_ns.load(Ordering::Relaxed);
            if used_ns == NEW {
                // Somebody is in it whose cost comes in a later window.
                node.used_ns.store(now_ns, Ordering::Relaxed);
            } else if used_ns < before_ns {
                leaving.push(index);
            } else if refused && !node.is_other() {
                light.push((costs.cpu_ns(index), index));
            }
        }
        light.sort_unstable();
        light.truncate((self.named() / 16 + 1).saturating_sub(leaving.len()));
        leaving.extend(light.into_iter().map(|(_, index)| index));
        leaving
    }

    /// Forgets a region that has no children.
    fn forget(&mut self, index: u32) {
        if self.at(index).is_none_or(|node| node.children > 0) {
            return;
        }
        let Some(node) = self.nodes.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        self.by_key.remove(&node.key());
        self.others -= usize::from(node.is_other());
        if let Some(parent) = node
            .parent
            .and_then(|parent| self.nodes.get_mut(parent as usize)?.as_mut())
        {
            parent.children = parent.children.saturating_sub(1);
        }
        self.free.push(index);
    }
}

/// The regions of the process, bounded.
#[derive(Debug)]
pub(crate) struct Regions {
    max: AtomicUsize,
    /// Changes whenever a number stops to be valid: what threads and spans remember is then asked for anew.
    epoch: AtomicU32,
    /// Set when a name did not find room.
    refused: AtomicBool,
    tree: RwLock<Tree>,
}

impl Default for Regions {
    fn default() -> Self {
        Self {
            max: AtomicUsize::new(REGIONS_MAX),
            epoch: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            tree: RwLock::default(),
        }
    }
}

/// Keeps the regions locked over a fork.
pub(super) struct Held<'a> {
    _tree: RwLockWriteGuard<'a, Tree>,
}

impl Regions {
    /// Under this lock no other is taken, so it comes last.
    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            _tree: write(&self.tree),
        }
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Numbers given out in another epoch must not be used.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The region of this name inside another one of the operation, or at its top. Where it is not told apart
    /// it is the parent itself (too deep) or an `__other__` beside its siblings (table full).
    pub(crate) fn region(
        &self,
        operation: &Arc<OperationName>,
        parent: Option<RegionId>,
        name: &'static str,
    ) -> (RegionId, Untold) {
        let key = |parent: Option<u32>, name| (operation.id, parent.unwrap_or(NO_PARENT), name);
        {
            let tree = read(&self.tree);
            let parent = parent.filter(|id| tree.node(*id).is_some());
            if let Some(index) = tree.by_key.get(&key(parent.map(|id| id.index), name)) {
                return (tree.id(*index), None);
            }
        }
        let mut tree = write(&self.tree);
        let parent = parent.filter(|id| tree.node(*id).is_some());
        let at = parent.map(|id| id.index);
        if let Some(index) = tree.by_key.get(&key(at, name)) {
            return (tree.id(*index), None);
        }
        let above = at.and_then(|index| tree.at(index));
        if let (Some(id), Some(node)) = (parent, above)
            && node.is_other()
        {
            return (id, Some(TABLE_FULL));
        }
        let path_to = |name: &str| {
            let name = cut(name).replace(SEPARATOR, ",");
            match above {
                Some(node) => format!("{}{SEPARATOR}{name}", node.path),
                None => name,
            }
        };
        let path = path_to(name);
        if let (Some(id), Some(node)) = (parent, above)
            && (node.depth >= REGION_DEPTH_MAX || path.len() > REGION_PATH_BYTES_MAX)
        {
            return (id, Some(TOO_DEEP));
        }
        if tree.named() < self.max.load(Ordering::Relaxed) {
            return (tree.insert(operation, at, name, path), None);
        }
        let path = path_to(OTHER);
        self.refused.store(true, Ordering::Relaxed);
        let id = match tree.by_key.get(&key(at, OTHER)) {
            Some(index) => tree.id(*index),
            None => tree.insert(operation, at, OTHER, path),
        };
        (id, Some(TABLE_FULL))
    }

    /// Writes the rows of a window, and then forgets regions without children that cost nothing for
    /// [`FORGET_AFTER_NS`] and, when a name found no room, the lightest of this window: so heavy newcomers
    /// get in, and the heaviest stay. Returns how often a cost came for a region that was forgotten already.
    pub(super) fn write(&self, rows: &mut RowSet, costs: &RegionCosts, now_ns: u64) -> u64 {
        let refused = self.refused.swap(false, Ordering::Relaxed);
        let (strayed, leaving) = {
            let tree = read(&self.tree);
            let strayed = write_tree(rows, &tree, Quality::Measured, &costs.measured, now_ns)
                + write_tree(rows, &tree, Quality::Sampled, &costs.sampled, now_ns);
            (strayed, tree.leaving(costs, now_ns, refused))
        };
        if leaving.is_empty() {
            return strayed;
        }
        let mut tree = write(&self.tree);
        for index in leaving {
            tree.forget(index);
        }
        tree.generation = tree.generation.wrapping_add(1).max(1);
        self.epoch.fetch_add(1, Ordering::Release);
        strayed
    }
}

/// Own costs and those of the regions inside.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    own: RegionCell,
    with_inner: Totals,
}

fn write_tree(rows: &mut RowSet, tree: &Tree, quality: Quality, cells: &Cells, now_ns: u64) -> u64 {
    let memory = alloc::is_installed();
    let mut sums: HashMap<u32, Sums> = HashMap::new();
    // Left behind by regions that were forgotten while somebody was in them.
    let (mut strayed, mut strays) = (cells.strayed, cells.strays);
    for (index, cell) in (0u32..).zip(&cells.by_number) {
        if cell.is_empty() {
            continue;
        }
        if tree
            .at(index)
            .is_none_or(|node| node.generation != cell.generation)
        {
            strayed.add(cell);
            strays += 1;
            continue;
        }
        sums.entry(index).or_default().own = *cell;
        let mut next = Some(index);
        while let Some(index) = next {
            sums.entry(index).or_default().with_inner.add(cell.cost);
            next = tree.at(index).and_then(|node| {
                node.used_ns.store(now_ns, Ordering::Relaxed);
                node.parent
            });
        }
    }
    let mut add = |operation: Arc<str>, class: Arc<str>, region: Arc<str>, sums: &Sums| {
        let key = RegionKey {
            operation,
            class,
            region,
        };
        let row = rows.row_mut(key.row_key(quality));
        row.add(column::CPU_EXCLUSIVE_NS, sums.own.cost.cpu_ns);
        row.add(column::CPU_INCLUSIVE_NS, sums.with_inner.cpu_ns);
        row.add(column::COUNT, sums.own.times);
        if memory {
            row.add(column::ALLOC_BYTES, sums.own.cost.alloc_bytes);
            row.add(column::ALLOC_COUNT, sums.own.cost.alloc_count);
            row.add(column::ALLOC_INCLUSIVE_BYTES, sums.with_inner.alloc_bytes);
            row.add(column::ALLOC_INCLUSIVE_COUNT, sums.with_inner.alloc_count);
        }
    };
    for (index, sums) in &sums {
        if let Some(node) = tree.at(*index) {
            let name = &node.operation;
            add(
                name.operation.clone(),
                name.class.clone(),
                node.path.clone(),
                sums,
            );
        }
    }
    if !strayed.is_empty() {
        let sums = Sums {
            own: strayed,
            with_inner: strayed.cost,
        };
        add(OTHER.into(), "".into(), OTHER.into(), &sums);
    }
    strays
}

/// What one region cost itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegionCell {
    generation: u32,
    pub(crate) cost: Totals,
    /// How many spans began.
    pub(crate) times: i64,
}

impl RegionCell {
    fn is_empty(&self) -> bool {
        self.times == 0 && self.cost == Totals::NONE
    }

    fn add(&mut self, other: &Self) {
        self.cost.add(other.cost);
        self.times += other.times;
    }
}

/// Costs by the number of the region.
#[derive(Clone, Debug, Default)]
struct Cells {
    by_number: Vec<RegionCell>,
    /// Costs under a number that means another region by now.
    strayed: RegionCell,
    strays: u64,
}

impl Cells {
    fn add(&mut self, index: u32, cell: &RegionCell) {
        let at = index as usize;
        if at >= self.by_number.len() {
            self.by_number.resize(at + 1, RegionCell::default());
        }
        match self.by_number.get_mut(at) {
            Some(sum) if sum.is_empty() || sum.generation == cell.generation => {
                sum.generation = cell.generation;
                sum.add(cell);
            }
            _ => {
                self.strayed.add(cell);
                self.strays += 1;
            }
        }
    }
}

/// The regions of a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegionCosts {
    measured: Cells,
    /// Costs of one in so many requests, times as many.
    sampled: Cells,
}

impl RegionCosts {
    /// Adds what a region cost, for `weight` requests like this one.
    pub(crate) fn book(&mut self, id: RegionId, cost: Totals, times: i64, weight: u32) {
        if id == RegionId::NONE {
            return;
        }
        let cells = if weight > 1 {
            &mut self.sampled
        } else {
            &mut self.measured
        };
        let weight = i64::from(weight.max(1));
        let cell = RegionCell {
            generation: id.generation,
            cost: Totals {
                cpu_ns: cost.cpu_ns.saturating_mul(weight),
                alloc_bytes: cost.alloc_bytes.saturating_mul(weight),
                alloc_count: cost.alloc_count.saturating_mul(weight),
            },
            times: times.saturating_mul(weight),
        };
        cells.add(id.index, &cell);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.measured, &other.measured),
            (&mut self.sampled, &other.sampled),
        ] {
            mine.strayed.add(&theirs.strayed);
            mine.strays += theirs.strays;
            for (index, cell) in (0u32..).zip(&theirs.by_number) {
                if !cell.is_empty() {
                    mine.add(index, cell);
                }
            }
        }
    }

    fn cpu_ns(&self, index: u32) -> i64 {
        [&self.measured, &self.sampled]
            .iter()
            .filter_map(|cells| cells.by_number.get(index as usize))
            .map(|cell| cell.cost.cpu_ns)
            .sum()
    }
}

#[cfg(test)]
mod tests;
