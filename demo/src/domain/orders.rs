//! Orders: what a customer wants and what it comes to.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::money::Cents;
use super::product::TaxClass;

/// The topic that every accepted order is published on.
pub(crate) const ORDERS_CREATED: &str = "orders.created";

/// A wish for some pieces of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewLine {
    pub(crate) product_id: i64,
    pub(crate) quantity: i64,
}

/// An order as the customer sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) customer: i64,
    /// A code that takes something off the whole order.
    pub(crate) coupon: Option<String>,
    pub(crate) lines: Vec<NewLine>,
}

/// A line with its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PricedLine {
    pub(crate) product_id: i64,
    pub(crate) sku: String,
    pub(crate) category: String,
    pub(crate) tax_class: TaxClass,
    pub(crate) quantity: i64,
    pub(crate) weight_g: i64,
    /// After all discounts, before tax.
    pub(crate) net: Cents,
    pub(crate) tax: Cents,
}

/// An accepted order: the answer to the customer and the message to the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_ref: String,
    pub(crate) customer: i64,
    pub(crate) branch: i64,
    pub(crate) lines: Vec<PricedLine>,
    pub(crate) net: Cents,
    pub(crate) tax: Cents,
    pub(crate) gross: Cents,
    /// Lines that the warehouse could not fill at once.
    pub(crate) backordered: i64,
    pub(crate) weight_g: i64,
}

/// Takes orders.
pub(crate) trait Orders: Send + Sync {
    /// Prices the order, reserves stock line by line, keeps it and publishes it.
    fn place(&self, order: NewOrder) -> Answer<'_, Order>;
}
