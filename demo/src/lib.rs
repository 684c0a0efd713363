//! An ERP in three services whose true costs are known.
//!
//! [`run`] starts a store, a warehouse and an accounting as processes of their own, each with the agent inside,
//! beside a message broker and a collector; loads them for a while; and compares the report with what was planted.
//! [`child`] is what each of those processes runs.

mod adapters;
mod child;
mod clock;
mod components;
mod data;
mod domain;
mod kernel;
mod load;
mod options;
mod placement;
mod run;
mod supervisor;
mod verdict;
mod verify;
mod weigh;

pub use child::child;
pub use options::{Options, Outcome};
pub use placement::{
    ALL_IN_ONE_TOML, DEFAULT_TOML, MERGED_STORE_WAREHOUSE_TOML, Placement, PlacementError,
    REPLICATED_SEARCH_TOML, SHARDED_STORE_TOML, SPLIT_CLOSING_TOML,
};
pub use run::run;
pub use verdict::{Difference, compare};
