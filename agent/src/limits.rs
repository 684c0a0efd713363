//! Every limit of the agent in one place. Beyond a limit nothing fails: costs are folded into
//! [`OTHER`](crate::wire::OTHER), windows are merged, texts are cut, and a loss row says how often.
//!
//! Limits that name a variable are adjustable by it and by the [`Builder`](crate::Builder)'s setter of the
//! same name.

pub use crate::alloc::{
    RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MAX, RETAINED_MEAN_BYTES_MIN, RETAINED_SAMPLES_MAX,
};
pub use crate::config::{WINDOW_DEFAULT, WINDOW_MAX, WINDOW_MIN};
pub use crate::export::{
    CONNECT_TIMEOUT, REQUEST_TIMEOUT, RESPONSE_BYTES_MAX, SPOOL_BYTES_MAX, SPOOL_WINDOWS_MAX,
};
pub use crate::identity::IDENTITY_BYTES_MAX;
pub use crate::ledger::limits::{
    CALLERS_MAX, CHILD_PATIENCE_NS, CLASSES_PER_OPERATION_MAX, EDGES_MAX, ENTITIES_MAX,
    FORGET_AFTER_NS, NAME_BYTES_MAX, OPERATION_ROWS_MAX, OPERATIONS_MAX, ORIGINS_MAX, OWNERS_MAX,
    REGION_DEPTH_MAX, REGION_PATH_BYTES_MAX, REGION_STACK_MAX, REGIONS_MAX, SPAWN_SITES_MAX,
    TASK_RULES_MAX, TASKS_MAX, THREADS_MAX, WAITING_BILLS_MAX,
};
pub use crate::propagation::{BAGGAGE_BYTES_MAX, BAGGAGE_HEADERS_MAX, HOP_BYTES_MAX};
pub use crate::serve::HEADER_READ_TIMEOUT;
#[cfg(feature = "rusqlite-0_42")]
pub use crate::sql::{SQL_BYTES_MAX, SQL_CACHED_BYTES_MAX, SQL_CACHED_MAX, SQL_ENTITIES_MAX};
pub use crate::trust::{KEY_BYTES_MIN, NETWORKS_MAX};
