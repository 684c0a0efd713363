//! Search over the catalogue.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::money::Cents;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Query {
    /// Words, separated by spaces.
    pub(crate) q: String,
}

/// One product found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hit {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) brand: String,
    pub(crate) price: Cents,
    pub(crate) score: f64,
}

/// How many of the products found share a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facet {
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) count: usize,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) total: usize,
    pub(crate) hits: Vec<Hit>,
    pub(crate) facets: Vec<Facet>,
}

/// Finds products.
pub(crate) trait Search: Send + Sync {
    /// The best hits with facets over all of them.
    fn find(&self, query: Query) -> Answer<'_, Found>;
}
