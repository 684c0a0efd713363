//! The entity that all three services keep: `product`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::Cents;

/// How a product is taxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TaxClass {
    Standard,
    Reduced,
    Exempt,
}

impl TaxClass {
    /// The rate in hundredths of a percent.
    pub(crate) fn rate_basis_points(self) -> i64 {
        match self {
            Self::Standard => 1_900,
            Self::Reduced => 700,
            Self::Exempt => 0,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Reduced => "reduced",
            Self::Exempt => "exempt",
        }
    }

    /// The class of a word from a database. An unknown word is taxed in full: the safe side for the books.
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "reduced" => Self::Reduced,
            "exempt" => Self::Exempt,
            _ => Self::Standard,
        }
    }
}

/// A product as the catalogue knows it. Deliberately fat, as such records are: every change carries all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) brand: String,
    pub(crate) price: Cents,
    pub(crate) cost: Cents,
    pub(crate) tax_class: TaxClass,
    pub(crate) weight_g: i64,
    /// Free properties: colour, material, dimensions.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Counts up with each change; an older one never overwrites a newer one.
    pub(crate) revision: i64,
}

/// What may be changed of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductChange {
    pub(crate) price: Cents,
    pub(crate) description: String,
}
