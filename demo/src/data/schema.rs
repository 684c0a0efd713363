//! Tables of the three databases and the statements that fill them.

use std::path::{Path, PathBuf};

use crate::placement::DatabaseName;

/// Readers beside one writer; the books survive the process, which is all that a demo promises. Rows are small: a page
/// of 1 KiB is a quarter of what a commit would copy.
pub(crate) const PRAGMAS: &str = "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; \
     PRAGMA busy_timeout = 5000; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;";

const STORE: &str = "
CREATE TABLE product (
    id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL, description TEXT NOT NULL,
    category TEXT NOT NULL, brand TEXT NOT NULL, price INTEGER NOT NULL, cost INTEGER NOT NULL,
    tax_class TEXT NOT NULL, weight_g INTEGER NOT NULL, attributes TEXT NOT NULL,
    revision INTEGER NOT NULL);
CREATE TABLE orders (
    order_ref TEXT PRIMARY KEY, customer INTEGER NOT NULL, branch INTEGER NOT NULL,
    net INTEGER NOT NULL, tax INTEGER NOT NULL, gross INTEGER NOT NULL);
CREATE TABLE order_line (
    order_ref TEXT NOT NULL, line INTEGER NOT NULL, product_id INTEGER NOT NULL,
    quantity INTEGER NOT NULL, net INTEGER NOT NULL, tax INTEGER NOT NULL,
    PRIMARY KEY (order_ref, line)) WITHOUT ROWID;
CREATE TABLE price_index (
    category TEXT PRIMARY KEY, products INTEGER NOT NULL, mean_price INTEGER NOT NULL);
";

const WAREHOUSE: &str = "
CREATE TABLE product (
    sku TEXT PRIMARY KEY, id INTEGER NOT NULL UNIQUE, name TEXT NOT NULL, weight_g INTEGER NOT NULL,
    revision INTEGER NOT NULL);
CREATE TABLE stock (
    sku TEXT PRIMARY KEY, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL DEFAULT 0,
    bin TEXT NOT NULL);
CREATE TABLE reservation (
    order_ref TEXT NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    PRIMARY KEY (order_ref, line)) WITHOUT ROWID;
CREATE TRIGGER reserve AFTER INSERT ON reservation BEGIN
    UPDATE stock SET reserved = reserved + NEW.quantity WHERE sku = NEW.sku;
END;
";

const ACCOUNTING: &str = "
CREATE TABLE product (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, tax_class TEXT NOT NULL,
    cost INTEGER NOT NULL, revision INTEGER NOT NULL);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY, document TEXT NOT NULL, month TEXT NOT NULL, branch INTEGER NOT NULL,
    account INTEGER NOT NULL, cost_centre INTEGER NOT NULL, currency TEXT NOT NULL,
    amount INTEGER NOT NULL, day INTEGER NOT NULL, product_id INTEGER);
CREATE INDEX entry_by_month ON entry (month, branch);
CREATE TABLE booked_order (order_ref TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE balance (
    account INTEGER NOT NULL, branch INTEGER NOT NULL, month TEXT NOT NULL, amount INTEGER NOT NULL,
    entries INTEGER NOT NULL, PRIMARY KEY (account, branch, month)) WITHOUT ROWID;
CREATE TABLE closed_account (
    month TEXT NOT NULL, branch INTEGER NOT NULL, account INTEGER NOT NULL, debit INTEGER NOT NULL,
    credit INTEGER NOT NULL, mean_daily INTEGER NOT NULL, PRIMARY KEY (month, branch, account))
    WITHOUT ROWID;
";

/// The tables of a database.
pub(crate) fn of(name: DatabaseName) -> &'static str {
    match name {
        DatabaseName::Store => STORE,
        DatabaseName::Warehouse => WAREHOUSE,
        DatabaseName::Accounting => ACCOUNTING,
    }
}

/// The file of a database.
pub(crate) fn path(directory: &Path, name: DatabaseName) -> PathBuf {
    directory.join(format!("{}.sqlite", name.as_str()))
}

/// The file of a part of a divided database, from 1; of a whole one when it is not divided.
pub(crate) fn shard_path(directory: &Path, name: DatabaseName, shard: Option<usize>) -> PathBuf {
    match shard {
        None => path(directory, name),
        Some(shard) => directory.join(format!("{}-{shard}.sqlite", name.as_str())),
    }
}

pub(crate) const INSERT_STORE_PRODUCT: &str =
    "INSERT INTO product VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(crate) const INSERT_WAREHOUSE_PRODUCT: &str =
    "INSERT INTO product (sku, id, name, weight_g, revision) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const INSERT_STOCK: &str = "INSERT INTO stock (sku, on_hand, bin) VALUES (?1, ?2, ?3)";
pub(crate) const INSERT_ACCOUNTING_PRODUCT: &str = "INSERT INTO product (id, name, category, tax_class, cost, revision) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const INSERT_ENTRY: &str = "INSERT INTO entry (document, month, branch, account, cost_centre, currency, amount, day, \
     product_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(crate) const INSERT_BALANCE: &str =
    "INSERT INTO balance (account, branch, month, amount, entries) VALUES (?1, ?2, ?3, ?4, ?5)";
