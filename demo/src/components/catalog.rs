//! The catalogue.

use std::sync::Arc;

use super::Events;
use crate::data::store::StoreData;
use crate::domain::catalog::{Catalog, ProductCopy};
use crate::domain::product::{Product, ProductChange};
use crate::domain::{Answer, DomainError};

/// The catalogue over the store's database.
pub(crate) struct CatalogService {
    pub(crate) data: StoreData,
    pub(crate) events: Arc<dyn Events>,
}

impl Catalog for CatalogService {
    fn product(&self, id: i64) -> Answer<'_, Product> {
        Box::pin(async move { self.data.product(id) })
    }

    fn change(&self, id: i64, change: ProductChange) -> Answer<'_, Product> {
        Box::pin(async move {
            if change.price.0 <= 0 {
                return Err(DomainError::Invalid(format!(
                    "price {} is not above zero; send one in cents",
                    change.price
                )));
            }
            let product = self.data.change(id, change)?;
            self.events.product_changed(product.clone()).await?;
            Ok(product)
        })
    }
}

/// A part of a divided store: keeps up with what the other parts change.
pub(crate) struct CatalogCopy {
    pub(crate) data: StoreData,
}

impl ProductCopy for CatalogCopy {
    fn apply(&self, product: Product) -> Answer<'_, bool> {
        Box::pin(async move { self.data.apply(product) })
    }
}
