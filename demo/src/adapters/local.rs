//! Components called inside one process. The edge is still counted, with zero bytes.

use std::sync::Arc;

use weighbridge_agent::local_call;

use crate::domain::Answer;
use crate::domain::catalog::{PRODUCT_CHANGED, ProductCopy};
use crate::domain::ledger::{Balance, Ledger};
use crate::domain::orders::{ORDERS_CREATED, Order};
use crate::domain::product::Product;
use crate::domain::stock::{Reservation, Reserved, Stock, StockLevel};
use crate::placement::Component;

/// The operation that applies an event, under the name that it has over a broker: moving a component does not
/// rename what it does.
fn consume(topic: &str) -> &'static str {
    match topic {
        ORDERS_CREATED => "CONSUME orders.created",
        _ => "CONSUME product.changed",
    }
}

/// The warehouse in this process.
pub(crate) struct LocalStock(pub(crate) Arc<dyn Stock>);

impl Stock for LocalStock {
    fn level(&self, sku: String) -> Answer<'_, StockLevel> {
        Box::pin(local_call(
            Component::Stock.as_str(),
            "GET /stock/{sku}",
            self.0.level(sku),
        ))
    }

    fn reserve(&self, reservation: Reservation) -> Answer<'_, Reserved> {
        let call = self.0.reserve(reservation);
        Box::pin(local_call(
            Component::Stock.as_str(),
            "POST /reservations",
            call,
        ))
    }
}

/// The ledger in this process.
pub(crate) struct LocalLedger(pub(crate) Arc<dyn Ledger>);

impl Ledger for LocalLedger {
    fn book(&self, order: Order) -> Answer<'_, bool> {
        let call = self.0.book(order);
        Box::pin(local_call(
            Component::Ledger.as_str(),
            consume(ORDERS_CREATED),
            call,
        ))
    }

    fn balance(&self, account: i64) -> Answer<'_, Balance> {
        let call = self.0.balance(account);
        Box::pin(local_call(
            Component::Ledger.as_str(),
            "GET /balances/{account}",
            call,
        ))
    }
}

/// A keeper of a copy of `product` in this process.
pub(crate) struct LocalCopy {
    pub(crate) component: Component,
    pub(crate) copy: Arc<dyn ProductCopy>,
}

impl ProductCopy for LocalCopy {
    fn apply(&self, product: Product) -> Answer<'_, bool> {
        let call = self.copy.apply(product);
        Box::pin(local_call(
            self.component.as_str(),
            consume(PRODUCT_CHANGED),
            call,
        ))
    }
}
