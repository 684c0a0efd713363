//! The three databases.

pub(crate) mod accounting;
pub(crate) mod database;
pub(crate) mod schema;
pub(crate) mod seed;
pub(crate) mod store;
pub(crate) mod warehouse;
