//! The warehouse: what is on hand and what is promised.

use serde::{Deserialize, Serialize};

use super::Answer;

/// What is on hand of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StockLevel {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) bin: String,
}

/// One order line's claim on stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) order_ref: String,
    pub(crate) line: i64,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserved {
    pub(crate) sku: String,
    /// Reserved from stock; the rest of the quantity is ordered in.
    pub(crate) reserved: i64,
    pub(crate) backordered: i64,
    pub(crate) bin: String,
}

/// Reads and reserves stock.
pub(crate) trait Stock: Send + Sync {
    /// What is on hand of one product.
    fn level(&self, sku: String) -> Answer<'_, StockLevel>;
    /// Reserves for one order line.
    fn reserve(&self, reservation: Reservation) -> Answer<'_, Reserved>;
}
