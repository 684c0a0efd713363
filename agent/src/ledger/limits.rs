//! How many of each thing the agent tells apart. Beyond a limit costs go on being booked, under
//! [`OTHER`](weighbridge_wire::OTHER), and the fold is counted in a loss row.

/// Operations, each with its declared classes. `WEIGHBRIDGE_OPERATIONS_MAX`.
pub const OPERATIONS_MAX: usize = 256;
/// Declared classes of one operation; not adjustable, since reports lay them out side by side.
pub const CLASSES_PER_OPERATION_MAX: usize = 8;
/// Callers (service and operation). `WEIGHBRIDGE_CALLERS_MAX`.
pub const CALLERS_MAX: usize = 256;
/// Origins (service and operation). `WEIGHBRIDGE_ORIGINS_MAX`.
pub const ORIGINS_MAX: usize = 128;
/// Rows of operation × class × caller × origin. `WEIGHBRIDGE_OPERATION_ROWS_MAX`.
pub const OPERATION_ROWS_MAX: usize = 4_096;
/// Owners other than requests. `WEIGHBRIDGE_OWNERS_MAX`.
pub const OWNERS_MAX: usize = 128;
/// Edge rows, in the process. `WEIGHBRIDGE_EDGES_MAX`.
pub const EDGES_MAX: usize = 2_048;
/// Entity rows, in the process. `WEIGHBRIDGE_ENTITIES_MAX`.
pub const ENTITIES_MAX: usize = 1_024;
/// Regions, over all operations; each and each operation may have one `__other__` beside them.
/// `WEIGHBRIDGE_REGIONS_MAX`.
pub const REGIONS_MAX: usize = 1_024;
/// Regions inside each other; deeper ones count as part of the deepest that is told apart. Not adjustable.
pub const REGION_DEPTH_MAX: usize = 32;
/// Longest path of a region in bytes; what lies deeper is treated as beyond [`REGION_DEPTH_MAX`]. Not adjustable.
pub const REGION_PATH_BYTES_MAX: usize = 1_024;
/// Spans that one thread is inside of at once; the cost of more counts as part of the last one. Not adjustable.
pub const REGION_STACK_MAX: usize = 64;
/// Calls of one request that are told apart in its shape; further ones are counted at the last call of their
/// kind, and their time is shared out. Not adjustable.
pub const CALLS_PER_REQUEST_MAX: usize = 64;
/// Steps of a shape that are told apart; the rest is one step `…`. Not adjustable.
pub const SHAPE_STEPS_MAX: usize = 24;
/// Shapes of one operation in a window; the rest is its shape `__other__`. Not adjustable.
pub const SHAPES_PER_OPERATION_MAX: usize = 16;
/// Shapes of all operations in a window. Not adjustable.
pub const SHAPES_MAX: usize = 1_024;
/// Longest name in bytes; longer ones are cut at a character boundary. Not adjustable.
pub const NAME_BYTES_MAX: usize = 200;
/// Threads whose CPU in progress is read at the end of a window. Not adjustable.
pub const THREADS_MAX: usize = 4_096;
/// Ended requests that wait for their children. Not adjustable.
pub const WAITING_BILLS_MAX: usize = 16_384;
/// Places in the code whose tasks are owners under the place's name. Not adjustable.
pub const SPAWN_SITES_MAX: usize = 48;
/// Rules of the program's own that tell whose a task is. Not adjustable.
pub const TASK_RULES_MAX: usize = 64;
/// Living tasks that the poll hooks know. Not adjustable.
pub const TASKS_MAX: usize = 262_144;
/// Clients that have a thread of their own at once. Not adjustable.
pub const DRIVER_THREADS_MAX: usize = 32;
/// How long an ended request waits for its children before its bill closes, in ns.
pub const CHILD_PATIENCE_NS: u64 = 10_000_000_000;

/// Names that nobody asked for in this time may be forgotten when their table is more than half full, in ns.
pub const FORGET_AFTER_NS: u64 = 600_000_000_000;

/// The adjustable limits, with the constants of this module as defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// See [`OPERATIONS_MAX`].
    pub(crate) operations_max: usize,
    /// See [`CALLERS_MAX`].
    pub(crate) callers_max: usize,
    /// See [`ORIGINS_MAX`].
    pub(crate) origins_max: usize,
    /// See [`OPERATION_ROWS_MAX`].
    pub(crate) operation_rows_max: usize,
    /// See [`OWNERS_MAX`].
    pub(crate) owners_max: usize,
    /// See [`EDGES_MAX`].
    pub(crate) edges_max: usize,
    /// See [`ENTITIES_MAX`].
    pub(crate) entities_max: usize,
    /// See [`REGIONS_MAX`].
    pub(crate) regions_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations_max: OPERATIONS_MAX,
            callers_max: CALLERS_MAX,
            origins_max: ORIGINS_MAX,
            operation_rows_max: OPERATION_ROWS_MAX,
            owners_max: OWNERS_MAX,
            edges_max: EDGES_MAX,
            entities_max: ENTITIES_MAX,
            regions_max: REGIONS_MAX,
        }
    }
}

/// Cuts a name to [`NAME_BYTES_MAX`] bytes at a character boundary.
pub(crate) fn cut(name: &str) -> &str {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mut end = NAME_BYTES_MAX;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = "ü".repeat(NAME_BYTES_MAX);
        assert_eq!(cut(&name).len(), NAME_BYTES_MAX);
        let odd = format!("x{name}");
        assert_eq!(cut(&odd).len(), NAME_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
    }
}
