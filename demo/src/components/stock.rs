//! The warehouse.

use crate::data::warehouse::WarehouseData;
use crate::domain::catalog::ProductCopy;
use crate::domain::product::Product;
use crate::domain::stock::{Reservation, Reserved, Stock, StockLevel};
use crate::domain::{Answer, DomainError};

/// Stock over the warehouse's database.
#[derive(Clone)]
pub(crate) struct StockService {
    pub(crate) data: WarehouseData,
}

impl Stock for StockService {
    fn level(&self, sku: String) -> Answer<'_, StockLevel> {
        Box::pin(async move { self.data.level(sku) })
    }

    fn reserve(&self, reservation: Reservation) -> Answer<'_, Reserved> {
        Box::pin(async move {
            if reservation.quantity <= 0 {
                return Err(DomainError::Invalid(format!(
                    "cannot reserve {} pieces; ask for one or more",
                    reservation.quantity
                )));
            }
            self.data.reserve(reservation)
        })
    }
}

impl ProductCopy for StockService {
    fn apply(&self, product: Product) -> Answer<'_, bool> {
        Box::pin(async move { self.data.apply(product) })
    }
}
