//! What is booked to an account.

use weighbridge_wire::{ALL_CLASSES, Class, RowValue, column};

/// CPU by class, and memory. Signed: corrections and moves subtract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) cpu_ns: [i64; ALL_CLASSES.len()],
    pub(crate) alloc_bytes: i64,
    pub(crate) alloc_count: i64,
    pub(crate) freed_bytes: i64,
}

impl Cost {
    pub(crate) fn class_ns(&self, class: Class) -> i64 {
        self.cpu_ns[class as usize]
    }

    /// CPU over all classes.
    pub(crate) fn total_ns(&self) -> i64 {
        self.cpu_ns.iter().sum()
    }

    /// What a request's own polls cost: everything but protocol and io (DESIGN §4).
    pub(crate) fn own_ns(&self) -> i64 {
        self.total_ns() - self.class_ns(Class::Protocol) - self.class_ns(Class::Io)
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.add_signed(other, 1);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.add_signed(other, -1);
    }

    fn add_signed(&mut self, other: &Self, sign: i64) {
        for (mine, theirs) in self.cpu_ns.iter_mut().zip(other.cpu_ns) {
            *mine += sign * theirs;
        }
        self.alloc_bytes += sign * other.alloc_bytes;
        self.alloc_count += sign * other.alloc_count;
        self.freed_bytes += sign * other.freed_bytes;
    }

    /// Writes the columns of the row; those of memory only where it is counted: unknown is not zero.
    pub(crate) fn write(&self, row: &mut RowValue, memory: bool) {
        for class in ALL_CLASSES {
            row.add(class.column(), self.class_ns(class));
        }
        if memory {
            row.add(column::ALLOC_BYTES, self.alloc_bytes);
            row.add(column::ALLOC_COUNT, self.alloc_count);
            row.add(column::FREED_BYTES, self.freed_bytes);
        }
    }
}

/// What a thread has spent for its current owner and not yet booked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) cost: Cost,
    /// Allocated minus freed bytes.
    pub(crate) net_bytes: i64,
    /// The largest balance on the way, at least 0.
    pub(crate) net_max_bytes: i64,
    /// Of the cost, protocol and io that stand on the edges of its calls.
    pub(crate) called_ns: [i64; 2],
}
