//! The warehouse's database: stock, reservations and a copy of `product`.

use rusqlite::params;
use weighbridge_agent::entity;

use super::database::Database;
use crate::domain::DomainError;
use crate::domain::product::Product;
use crate::domain::stock::{Reservation, Reserved, StockLevel};

/// Reservations that one sweep turns into shipments.
const SWEEP_MAX: i64 = 500;

/// Statements of the warehouse.
#[derive(Clone)]
pub(crate) struct WarehouseData {
    database: Database,
}

impl WarehouseData {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) fn level(&self, sku: String) -> Result<StockLevel, DomainError> {
        entity!("stock", key = sku, database = "warehouse");
        self.database.read_here(move |c| {
            c.query_map(
                "SELECT stock.sku, product.name, stock.on_hand, stock.reserved, stock.bin \
                     FROM stock JOIN product ON product.sku = stock.sku WHERE stock.sku = ?1",
                params![sku],
                |row| {
                    Ok(StockLevel {
                        sku: row.get(0)?,
                        name: row.get(1)?,
                        on_hand: row.get(2)?,
                        reserved: row.get(3)?,
                        bin: row.get(4)?,
                    })
                },
            )?
            .into_iter()
            .next()
            .ok_or(DomainError::NotFound {
                what: "stock",
                id: sku,
            })
        })
    }

    /// Reserves what is there and leaves the rest on back order. One statement: the table's trigger adds to `stock`.
    pub(crate) fn reserve(&self, wanted: Reservation) -> Result<Reserved, DomainError> {
        entity!(
            "stock",
            key = wanted.sku,
            write = true,
            database = "warehouse"
        );
        self.database.write_here(move |c| {
            let taken = c.query_map(
                "INSERT INTO reservation (order_ref, line, sku, quantity) \
                     SELECT ?1, ?2, sku, min(?4, max(on_hand - reserved, 0)) \
                     FROM stock WHERE sku = ?3 \
                     RETURNING quantity, \
                     (SELECT bin FROM stock WHERE stock.sku = reservation.sku)",
                params![wanted.order_ref, wanted.line, wanted.sku, wanted.quantity],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
            )?;
            let Some((quantity, bin)) = taken.into_iter().next() else {
                return Err(DomainError::NotFound {
                    what: "stock",
                    id: wanted.sku,
                });
            };
            Ok(Reserved {
                backordered: wanted.quantity - quantity,
                reserved: quantity,
                sku: wanted.sku,
                bin,
            })
        })
    }

    /// Takes over a product unless a newer revision is there.
    pub(crate) fn apply(&self, product: Product) -> Result<bool, DomainError> {
        self.database.write_here(move |c| {
            let changed = c.execute(
                "INSERT INTO product (sku, id, name, weight_g, revision) \
                     VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (sku) DO UPDATE SET name = excluded.name, \
                     weight_g = excluded.weight_g, revision = excluded.revision \
                     WHERE excluded.revision > product.revision",
                params![
                    product.sku,
                    product.id,
                    product.name,
                    product.weight_g,
                    product.revision
                ],
            )?;
            Ok(changed > 0)
        })
    }

    /// Ships what is reserved. Gives the number of lines shipped.
    pub(crate) async fn ship_reserved(&self) -> Result<usize, DomainError> {
        self.database
            .write(|c| {
                Ok(c.transaction::<_, rusqlite::Error>(|tx| {
                    let lines = tx.query_map(
                        "SELECT order_ref, line, sku, quantity FROM reservation LIMIT ?1",
                        params![SWEEP_MAX],
                        |row| {
                            Ok((
                                row.get::<_, String>(0)?,
                                row.get::<_, i64>(1)?,
                                row.get::<_, String>(2)?,
                                row.get::<_, i64>(3)?,
                            ))
                        },
                    )?;
                    for (order_ref, line, sku, quantity) in &lines {
                        tx.execute(
                            "UPDATE stock SET on_hand = on_hand - ?2, reserved = reserved - ?2 \
                             WHERE sku = ?1",
                            params![sku, quantity],
                        )?;
                        tx.execute(
                            "DELETE FROM reservation WHERE order_ref = ?1 AND line = ?2",
                            params![order_ref, line],
                        )?;
                    }
                    Ok(lines.len())
                })?)
            })
            .await
    }
}
