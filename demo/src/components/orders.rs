//! The orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Events;
use crate::data::store::StoreData;
use crate::domain::Answer;
use crate::domain::money::Cents;
use crate::domain::orders::{NewOrder, Order, Orders};
use crate::domain::pricing::price_lines;
use crate::domain::stock::{Reservation, Stock};

/// Branches that orders are spread over.
const BRANCHES: i64 = 3;

/// Orders over the store's database and whatever stands for the warehouse.
pub(crate) struct OrdersService {
    data: StoreData,
    stock: Arc<dyn Stock>,
    events: Arc<dyn Events>,
    /// Makes order numbers distinct between instances and starts.
    prefix: String,
    next: AtomicU64,
}

impl OrdersService {
    pub(crate) fn new(
        data: StoreData,
        stock: Arc<dyn Stock>,
        events: Arc<dyn Events>,
        prefix: String,
    ) -> Self {
        Self {
            data,
            stock,
            events,
            prefix,
            next: AtomicU64::new(1),
        }
    }
}

impl Orders for OrdersService {
    fn place(&self, wanted: NewOrder) -> Answer<'_, Order> {
        Box::pin(async move {
            let ids = wanted.lines.iter().map(|line| line.product_id).collect();
            let products = self.data.priceable(ids)?;
            let lines = price_lines(&wanted.lines, &products, wanted.coupon.as_deref())?;
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let order_ref = format!("{}-{number}", self.prefix);
            let mut backordered = 0;
            // One call a line, one after the other: planted truth 1.
            for (line, priced) in (0..).zip(&lines) {
                let reserved = self
                    .stock
                    .reserve(Reservation {
                        order_ref: order_ref.clone(),
                        line,
                        sku: priced.sku.clone(),
                        quantity: priced.quantity,
                    })
                    .await?;
                backordered += i64::from(reserved.backordered > 0);
            }
            let net: Cents = lines.iter().map(|line| line.net).sum();
            let tax: Cents = lines.iter().map(|line| line.tax).sum();
            let weight_g = lines.iter().map(|line| line.weight_g).sum();
            let order = Order {
                order_ref,
                customer: wanted.customer,
                branch: wanted.customer.rem_euclid(BRANCHES) + 1,
                lines,
                net,
                tax,
                gross: net + tax,
                backordered,
                weight_g,
            };
            self.data.keep(order.clone())?;
            self.events.order_created(order.clone()).await?;
            Ok(order)
        })
    }
}
