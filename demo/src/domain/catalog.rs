//! The catalogue: owner of the entity `product`.

use super::Answer;
use super::product::{Product, ProductChange};

/// The topic that every change of a product is published on.
pub(crate) const PRODUCT_CHANGED: &str = "product.changed";

/// Reads and changes products.
pub(crate) trait Catalog: Send + Sync {
    /// One product.
    fn product(&self, id: i64) -> Answer<'_, Product>;
    /// Changes a product and tells everybody who keeps a copy.
    fn change(&self, id: i64, change: ProductChange) -> Answer<'_, Product>;
}

/// Somebody who keeps a copy of `product` and applies changes to it.
pub(crate) trait ProductCopy: Send + Sync {
    /// Takes over a product unless a newer revision is there. True when it was taken.
    fn apply(&self, product: Product) -> Answer<'_, bool>;
}
