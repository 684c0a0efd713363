//! The accounting database: the journal, balances, closed months and a copy of `product`.

use std::collections::BTreeMap;

use rusqlite::params;

use super::database::Database;
use crate::domain::DomainError;
use crate::domain::closing::{Closing, Entry};
use crate::domain::export::JournalLine;
use crate::domain::ledger::{Balance, LIVE_MONTH, account, postings};
use crate::domain::money::Cents;
use crate::domain::orders::Order;
use crate::domain::product::Product;

/// Statements of the accounting.
#[derive(Clone)]
pub(crate) struct AccountingData {
    database: Database,
}

impl AccountingData {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Books an order once, however often its message comes. True when it was new.
    pub(crate) async fn book(&self, order: Order) -> Result<bool, DomainError> {
        self.database
            .write(move |c| {
                Ok(c.transaction::<_, rusqlite::Error>(|tx| {
                    let new = tx.execute(
                        "INSERT OR IGNORE INTO booked_order (order_ref) VALUES (?1)",
                        params![order.order_ref],
                    )?;
                    if new == 0 {
                        return Ok(false);
                    }
                    let mut costs = BTreeMap::new();
                    for line in &order.lines {
                        let found = tx.query_map(
                            "SELECT cost FROM product WHERE id = ?1",
                            params![line.product_id],
                            |row| row.get::<_, i64>(0),
                        )?;
                        costs.extend(found.first().map(|cost| (line.product_id, Cents(*cost))));
                    }
                    for posting in postings(&order, |id| costs.get(&id).copied()) {
                        tx.execute(
                            "INSERT INTO entry (document, month, branch, account, cost_centre, \
                             currency, amount, day, product_id) \
                             VALUES (?1, ?2, ?3, ?4, ?5, 'EUR', ?6, 1, ?7)",
                            params![
                                order.order_ref,
                                LIVE_MONTH,
                                order.branch,
                                posting.account,
                                order.customer % 9,
                                posting.amount.0,
                                posting.product_id
                            ],
                        )?;
                        tx.execute(
                            "INSERT INTO balance (account, branch, month, amount, entries) \
                             VALUES (?1, ?2, ?3, ?4, 1) ON CONFLICT (account, branch, month) \
                             DO UPDATE SET amount = amount + excluded.amount, \
                             entries = entries + 1",
                            params![posting.account, order.branch, LIVE_MONTH, posting.amount.0],
                        )?;
                    }
                    Ok(true)
                })?)
            })
            .await
    }

    pub(crate) async fn balance(&self, number: i64) -> Result<Balance, DomainError> {
        self.database
            .read(move |c| {
                let (balance, entries) = c.query_row(
                    "SELECT coalesce(sum(amount), 0), coalesce(sum(entries), 0) FROM balance \
                     WHERE account = ?1",
                    params![number],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )?;
                if entries == 0 && !account::ALL.contains(&number) {
                    let id = number.to_string();
                    return Err(DomainError::NotFound {
                        what: "account",
                        id,
                    });
                }
                Ok(Balance {
                    account: number,
                    balance: Cents(balance),
                    entries,
                })
            })
            .await
    }

    /// The entries of a month of a branch.
    pub(crate) async fn entries(
        &self,
        month: String,
        branch: i64,
    ) -> Result<Vec<Entry>, DomainError> {
        self.database
            .read(move |c| {
                Ok(c.query_map(
                    "SELECT document, account, cost_centre, currency, amount, day FROM entry \
                     WHERE month = ?1 AND branch = ?2",
                    params![month, branch],
                    |row| {
                        Ok(Entry {
                            document: row.get(0)?,
                            account: row.get(1)?,
                            cost_centre: row.get(2)?,
                            currency: row.get(3)?,
                            amount: Cents(row.get(4)?),
                            booked_day: row.get(5)?,
                        })
                    },
                )?)
            })
            .await
    }

    /// Keeps a closed month; closing again replaces it.
    pub(crate) async fn keep_closing(&self, closing: Closing) -> Result<Closing, DomainError> {
        self.database
            .write(move |c| {
                c.transaction::<_, rusqlite::Error>(|tx| {
                    for account in &closing.accounts {
                        tx.execute(
                            "INSERT OR REPLACE INTO closed_account \
                             (month, branch, account, debit, credit, mean_daily) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                            params![
                                closing.month,
                                closing.branch,
                                account.account,
                                account.debit.0,
                                account.credit.0,
                                account.mean_daily_balance.0
                            ],
                        )?;
                    }
                    Ok(())
                })?;
                Ok(closing)
            })
            .await
    }

    /// The journal up to a month, with the names of what was sold.
    pub(crate) async fn journal(&self, month: String) -> Result<Vec<JournalLine>, DomainError> {
        self.database
            .read(move |c| {
                Ok(c.query_map(
                    "SELECT entry.document, entry.month, entry.branch, entry.account, \
                     entry.currency, entry.amount, product.name FROM entry \
                     LEFT JOIN product ON product.id = entry.product_id \
                     WHERE entry.month <= ?1",
                    params![month],
                    |row| {
                        Ok(JournalLine {
                            document: row.get(0)?,
                            month: row.get(1)?,
                            branch: row.get(2)?,
                            account: row.get(3)?,
                            currency: row.get(4)?,
                            amount: Cents(row.get(5)?),
                            product: row.get(6)?,
                        })
                    },
                )?)
            })
            .await
    }

    /// Takes over a product unless a newer revision is there.
    pub(crate) fn apply(&self, product: Product) -> Result<bool, DomainError> {
        self.database.write_here(move |c| {
            let changed = c.execute(
                "INSERT INTO product (id, name, category, tax_class, cost, revision) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                     ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
                     category = excluded.category, tax_class = excluded.tax_class, \
                     cost = excluded.cost, revision = excluded.revision \
                     WHERE excluded.revision > product.revision",
                params![
                    product.id,
                    product.name,
                    product.category,
                    product.tax_class.as_str(),
                    product.cost.0,
                    product.revision
                ],
            )?;
            Ok(changed > 0)
        })
    }

    /// The sum over all accounts. Anything but zero means that the books are wrong.
    pub(crate) async fn audit(&self) -> Result<Cents, DomainError> {
        self.database
            .read(|c| {
                let sum = c.query_row(
                    "SELECT coalesce(sum(amount), 0) FROM balance",
                    params![],
                    |row| row.get::<_, i64>(0),
                )?;
                Ok(Cents(sum))
            })
            .await
    }
}
