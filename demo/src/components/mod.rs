//! The components themselves: what stands behind each trait where the component runs.

mod accounting;
mod catalog;
mod orders;
mod search;
mod stock;
#[cfg(test)]
mod tests;

pub(crate) use accounting::{CloserService, ExporterService, LedgerService};
pub(crate) use catalog::{CatalogCopy, CatalogService};
pub(crate) use orders::OrdersService;
pub(crate) use search::SearchService;
pub(crate) use stock::StockService;

use crate::domain::Answer;
use crate::domain::orders::Order;
use crate::domain::product::Product;

/// Where events go: to the broker, or straight to those who would have subscribed.
pub(crate) trait Events: Send + Sync {
    /// An order was accepted.
    fn order_created(&self, order: Order) -> Answer<'_, ()>;
    /// A product has changed.
    fn product_changed(&self, product: Product) -> Answer<'_, ()>;
}
