//! The store's database: the catalogue and the orders.

use rusqlite::{Row, params};
use weighbridge_agent::entity;

use super::database::Database;
use crate::domain::DomainError;
use crate::domain::money::Cents;
use crate::domain::orders::Order;
use crate::domain::pricing::Priceable;
use crate::domain::product::{Product, ProductChange, TaxClass};
use crate::domain::ranking::Candidate;

const COLUMNS: &str = "id, sku, name, description, category, brand, price, cost, tax_class, \
                       weight_g, attributes, revision";

/// Statements of the catalogue, the search and the orders.
#[derive(Clone)]
pub(crate) struct StoreData {
    database: Database,
}

impl StoreData {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) fn product(&self, id: i64) -> Result<Product, DomainError> {
        entity!("product", key = id, database = "store");
        self.database.read_here(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM product WHERE id = ?1");
            let found = c.query_map(&sql, params![id], product)?;
            one(found, id)
        })
    }

    pub(crate) fn change(&self, id: i64, change: ProductChange) -> Result<Product, DomainError> {
        entity!("product", key = id, write = true, database = "store");
        self.database.write_here(move |c| {
            let found = c.transaction::<_, rusqlite::Error>(|tx| {
                tx.execute(
                    "UPDATE product SET price = ?2, description = ?3, revision = revision + 1 \
                         WHERE id = ?1",
                    params![id, change.price.0, change.description],
                )?;
                let sql = format!("SELECT {COLUMNS} FROM product WHERE id = ?1");
                tx.query_map(&sql, params![id], product)
            })?;
            one(found, id)
        })
    }

    /// Takes over a product that another part of the store changed, unless a newer revision is there.
    pub(crate) fn apply(&self, product: Product) -> Result<bool, DomainError> {
        self.database.write_here(move |c| {
            let changed = c.execute(
                "UPDATE product SET price = ?2, description = ?3, revision = ?4 \
                 WHERE id = ?1 AND revision < ?4",
                params![
                    product.id,
                    product.price.0,
                    product.description,
                    product.revision
                ],
            )?;
            Ok(changed > 0)
        })
    }

    pub(crate) fn priceable(&self, ids: Vec<i64>) -> Result<Vec<Priceable>, DomainError> {
        for id in &ids {
            entity!("product", key = id, database = "store");
        }
        self.database.read_here(move |c| {
            let mut products = Vec::with_capacity(ids.len());
            for id in ids {
                products.extend(c.query_map(
                    "SELECT id, sku, category, price, tax_class, weight_g FROM product WHERE id = ?1",
                    params![id],
                    |row| {
                        Ok(Priceable {
                            id: row.get(0)?,
                            sku: row.get(1)?,
                            category: row.get(2)?,
                            price: Cents(row.get(3)?),
                            tax_class: TaxClass::parse(&row.get::<_, String>(4)?),
                            weight_g: row.get(5)?,
                        })
                    },
                )?);
            }
            Ok(products)
        })
    }

    /// Keeps an order. Its number is given by the caller, so that a second try cannot make a second order.
    pub(crate) fn keep(&self, order: Order) -> Result<(), DomainError> {
        self.database.write_here(move |c| {
            c.transaction::<_, rusqlite::Error>(|tx| {
                tx.execute(
                    "INSERT INTO orders (order_ref, customer, branch, net, tax, gross) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        order.order_ref,
                        order.customer,
                        order.branch,
                        order.net.0,
                        order.tax.0,
                        order.gross.0
                    ],
                )?;
                for (number, line) in (0_i64..).zip(&order.lines) {
                    tx.execute(
                        "INSERT INTO order_line (order_ref, line, product_id, quantity, net, \
                             tax) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![
                            order.order_ref,
                            number,
                            line.product_id,
                            line.quantity,
                            line.net.0,
                            line.tax.0
                        ],
                    )?;
                }
                Ok(())
            })?;
            Ok(())
        })
    }

    /// Products that hold one of the words anywhere in name or description.
    pub(crate) async fn candidates(
        &self,
        terms: Vec<String>,
    ) -> Result<Vec<Candidate>, DomainError> {
        self.database
            .read(move |c| {
                let mut seen = std::collections::BTreeMap::new();
                for term in terms {
                    // Words consist of letters and digits, so nothing in them is a wildcard.
                    let found = c.query_map(
                        "SELECT id, name, description, category, brand, price FROM product \
                         WHERE name LIKE ?1 OR description LIKE ?1",
                        params![format!("%{term}%")],
                        |row| {
                            Ok(Candidate {
                                id: row.get(0)?,
                                name: row.get(1)?,
                                description: row.get(2)?,
                                category: row.get(3)?,
                                brand: row.get(4)?,
                                price: Cents(row.get(5)?),
                            })
                        },
                    )?;
                    seen.extend(found.into_iter().map(|candidate| (candidate.id, candidate)));
                }
                for id in seen.keys() {
                    entity!("product", key = id, database = "store");
                }
                Ok(seen.into_values().collect())
            })
            .await
    }

    /// Works the mean price per category out anew. Gives the number of categories.
    pub(crate) async fn refresh_price_index(&self) -> Result<usize, DomainError> {
        self.database
            .write(|c| {
                Ok(c.execute(
                    "INSERT OR REPLACE INTO price_index (category, products, mean_price) \
                     SELECT category, count(*), CAST(avg(price) AS INTEGER) FROM product \
                     GROUP BY category",
                    params![],
                )?)
            })
            .await
    }
}

fn one(found: Vec<Product>, id: i64) -> Result<Product, DomainError> {
    found
        .into_iter()
        .next()
        .ok_or_else(|| DomainError::NotFound {
            what: "product",
            id: id.to_string(),
        })
}

fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    let attributes: String = row.get(10)?;
    Ok(Product {
        id: row.get(0)?,
        sku: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        category: row.get(4)?,
        brand: row.get(5)?,
        price: Cents(row.get(6)?),
        cost: Cents(row.get(7)?),
        tax_class: TaxClass::parse(&row.get::<_, String>(8)?),
        weight_g: row.get(9)?,
        attributes: serde_json::from_str(&attributes).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(10, rusqlite::types::Type::Text, Box::new(e))
        })?,
        revision: row.get(11)?,
    })
}
