//! Call shapes of a window, by operation and signature.

use rustc_hash::FxHashMap;
use weighbridge_wire::{CallShapeKey, CallStepKey, OTHER, Quality, RowSet, column};

use super::edge::signed;
use super::limits::{SHAPES_MAX, SHAPES_PER_OPERATION_MAX};
use super::names::Resolved;
use crate::shape::{Shape, Step};

/// How many an operation may have until the window ends: the heaviest are chosen then.
const HELD_MAX: usize = 2 * SHAPES_PER_OPERATION_MAX;

/// Requests of one shape.
#[derive(Debug, Default)]
pub(crate) struct ShapeCell {
    count: i64,
    wall_ns: i64,
    own_ns: i64,
    critical_ns: i64,
    /// The same in all requests of the signature; empty where signatures are folded.
    steps: Vec<Step>,
}

impl ShapeCell {
    /// One request.
    pub(crate) fn of(shape: Shape, wall_ns: u64) -> (Box<str>, Self) {
        let cell = Self {
            count: 1,
            wall_ns: signed(wall_ns),
            own_ns: signed(wall_ns.saturating_sub(shape.covered_ns)),
            critical_ns: signed(shape.steps.iter().map(|step| step.critical_ns).sum()),
            steps: shape.steps,
        };
        (shape.signature.into(), cell)
    }

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
        self.own_ns = self.own_ns.saturating_add(other.own_ns);
        self.critical_ns = self.critical_ns.saturating_add(other.critical_ns);
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            mine.count += theirs.count;
            mine.wall_ns = mine.wall_ns.saturating_add(theirs.wall_ns);
            mine.critical_ns = mine.critical_ns.saturating_add(theirs.critical_ns);
            mine.offset_ns = mine.offset_ns.saturating_add(theirs.offset_ns);
        }
    }
}

/// The shapes of a window, bounded.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    by_operation: FxHashMap<u32, Vec<(Box<str>, ShapeCell)>>,
    len: usize,
}

impl Shapes {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds requests of an operation. Returns how many were folded into `__other__`.
    pub(crate) fn add(&mut self, operation: u32, signature: Box<str>, mut cell: ShapeCell) -> u64 {
        let cells = self.by_operation.entry(operation).or_default();
        let known = |cells: &[(Box<str>, ShapeCell)], text: &str| {
            cells.iter().position(|(known, _)| **known == *text)
        };
        if let Some(n) = known(cells, &signature) {
            cells[n].1.absorb(&cell);
            return 0;
        }
        let room = cells.len() < HELD_MAX && self.len < SHAPES_MAX;
        if room || *signature == *OTHER {
            self.len += 1;
            cells.push((signature, cell));
            return 0;
        }
        let folded = u64::try_from(cell.count).unwrap_or(0);
        match known(cells, OTHER) {
            Some(n) => cells[n].1.absorb(&cell),
            None => {
                cell.steps = Vec::new();
                self.len += 1;
                cells.push((OTHER.into(), cell));
            }
        }
        folded
    }

    /// Empties another table into this one. Returns how many requests were folded.
    pub(crate) fn merge(&mut self, other: &mut Self) -> u64 {
        other.len = 0;
        let mut folded = 0;
        for (operation, cells) in other.by_operation.drain() {
            for (signature, cell) in cells {
                folded += self.add(operation, signature, cell);
            }
        }
        folded
    }

    /// Writes the rows of the shapes seen most often, and one of the rest; those of their steps to `steps`. Returns
    /// how many requests were folded.
    pub(crate) fn write(&mut self, rows: &mut RowSet, steps: &mut RowSet, names: &Resolved) -> u64 {
        let mut folded = 0;
        for (id, mut cells) in std::mem::take(self).by_operation {
            let Some(name) = names.operation(id) else {
                continue;
            };
            // `__other__` stands beside the limit.
            let rank = |(text, cell): &(Box<str>, ShapeCell)| (**text != *OTHER, -cell.count);
            cells.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.0.cmp(&b.0)));
            let others = usize::from(cells.first().is_some_and(|(text, _)| **text == *OTHER));
            for (n, (signature, cell)) in cells.iter().enumerate() {
                let beyond = n >= SHAPES_PER_OPERATION_MAX + others;
                if beyond {
                    folded += u64::try_from(cell.count).unwrap_or(0);
                }
                let key = CallShapeKey {
                    operation: name.operation.clone(),
                    class: name.class.clone(),
                    signature: if beyond { OTHER } else { &**signature }.into(),
                };
                let row = rows.row_mut(key.clone().row_key(Quality::Measured));
                row.add(column::COUNT, cell.count);
                row.add(column::WALL_NS, cell.wall_ns);
                row.add(column::OWN_NS, cell.own_ns);
                row.add(column::CRITICAL_NS, cell.critical_ns);
                if beyond {
                    continue;
                }
                for step in &cell.steps {
                    write_step(steps, &key, step);
                }
            }
        }
        folded
    }
}

fn write_step(rows: &mut RowSet, shape: &CallShapeKey, step: &Step) {
    let key = CallStepKey {
        operation: shape.operation.clone(),
        class: shape.class.clone(),
        signature: shape.signature.clone(),
        step: step.step.to_string().into(),
        call_id: step.name.clone(),
    };
    let row = rows.row_mut(key.row_key(Quality::Measured));
    row.add(column::COUNT, signed(step.count));
    row.add(column::WALL_NS, signed(step.wall_ns));
    row.add(column::CRITICAL_NS, signed(step.critical_ns));
    row.add(column::OFFSET_NS, signed(step.offset_ns));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(count: i64) -> ShapeCell {
        ShapeCell {
            count,
            wall_ns: count * 10,
            own_ns: count * 4,
            critical_ns: count * 6,
            steps: vec![Step {
                step: 0,
                name: "a".into(),
                count: u64::try_from(count).unwrap(),
                wall_ns: 6,
                critical_ns: 6,
                offset_ns: 1,
            }],
        }
    }

    #[test]
    fn a_full_table_folds_and_keeps_the_totals() {
        let mut shapes = Shapes::default();
        let mut folded = 0;
        for n in 0..100 {
            folded += shapes.add(7, format!("s{n}").into(), cell(1));
        }
        // Those that are known still count as themselves.
        assert_eq!(shapes.add(7, "s0".into(), cell(5)), 0);
        assert_eq!(folded, 100 - HELD_MAX as u64);
        let sums = |shapes: &Shapes| -> (i64, i64) {
            let cells = shapes.by_operation.values().flatten();
            cells.fold((0, 0), |sum, (_, cell)| {
                (sum.0 + cell.count, sum.1 + cell.wall_ns)
            })
        };
        assert_eq!(sums(&shapes), (105, 1_050));
        let mut sum = Shapes::default();
        sum.add(7, "t".into(), cell(3));
        let len = shapes.len();
        assert!(sum.merge(&mut shapes) >= 1);
        assert_eq!(len, HELD_MAX + 1);
        assert_eq!((shapes.len(), sums(&shapes)), (0, (0, 0)));
        assert_eq!(sums(&sum), (108, 1_080));
        assert!(sum.len() <= HELD_MAX + 1);
    }

    #[test]
    fn the_process_has_a_limit_too() {
        let mut shapes = Shapes::default();
        for operation in 0..1_000 {
            for n in 0..3 {
                shapes.add(operation, format!("s{n}").into(), cell(1));
            }
        }
        // Each operation may have one `__other__` beside it.
        assert!(shapes.len() <= SHAPES_MAX + 1_000);
    }
}
