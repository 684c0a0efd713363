//! The components over real databases, wired inside one process.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{
    CatalogService, CloserService, Events, ExporterService, LedgerService, OrdersService,
    SearchService, StockService,
};
use crate::data::accounting::AccountingData;
use crate::data::database::Database;
use crate::data::seed::{self, MONTHS, Size};
use crate::data::store::StoreData;
use crate::data::warehouse::WarehouseData;
use crate::domain::Answer;
use crate::domain::catalog::{Catalog as _, ProductCopy};
use crate::domain::closing::{Closer as _, Which};
use crate::domain::export::Exporter as _;
use crate::domain::ledger::{Ledger as _, account};
use crate::domain::money::Cents;
use crate::domain::orders::{NewLine, NewOrder, Order, Orders as _};
use crate::domain::product::{Product, ProductChange};
use crate::domain::search::{Query, Search as _};
use crate::domain::stock::{Reservation, Stock as _};
use crate::placement::DatabaseName;

const SIZE: Size = Size {
    products: 100,
    branches: 2,
    documents: 20,
};

/// Keeps events instead of sending them.
#[derive(Default)]
struct Kept {
    orders: Mutex<Vec<Order>>,
    products: Mutex<Vec<Product>>,
}

impl Events for Kept {
    fn order_created(&self, order: Order) -> Answer<'_, ()> {
        self.orders.lock().expect("not poisoned").push(order);
        Box::pin(async { Ok(()) })
    }

    fn product_changed(&self, product: Product) -> Answer<'_, ()> {
        self.products.lock().expect("not poisoned").push(product);
        Box::pin(async { Ok(()) })
    }
}

struct Erp {
    directory: TempDir,
    events: Arc<Kept>,
}

impl Erp {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        seed::write(directory.path(), 1, SIZE).expect("seeded");
        Self {
            directory,
            events: Arc::new(Kept::default()),
        }
    }

    fn database(&self, name: DatabaseName) -> Database {
        Database::open(self.directory.path(), name, None).expect("opens")
    }

    fn store(&self) -> StoreData {
        StoreData::new(self.database(DatabaseName::Store))
    }

    fn stock(&self) -> StockService {
        StockService {
            data: WarehouseData::new(self.database(DatabaseName::Warehouse)),
        }
    }

    fn accounting(&self) -> AccountingData {
        AccountingData::new(self.database(DatabaseName::Accounting))
    }

    fn orders(&self) -> OrdersService {
        let stock = Arc::new(self.stock());
        OrdersService::new(self.store(), stock, self.events.clone(), "test".to_owned())
    }
}

fn order(lines: &[(i64, i64)]) -> NewOrder {
    NewOrder {
        customer: 7,
        coupon: None,
        lines: lines
            .iter()
            .map(|&(product_id, quantity)| NewLine {
                product_id,
                quantity,
            })
            .collect(),
    }
}

#[tokio::test]
async fn an_order_reserves_every_line_and_is_booked_once_however_often_it_comes() {
    let erp = Erp::new();
    let placed = erp
        .orders()
        .place(order(&[(1, 2), (2, 3), (50, 30)]))
        .await
        .expect("placed");
    assert_eq!(placed.gross, placed.net + placed.tax);
    // Product 50 is one of those that are short: 20 on hand.
    assert_eq!(placed.backordered, 1);
    let level = erp.stock().level(seed::sku(50)).await.expect("known");
    assert_eq!((level.on_hand, level.reserved), (20, 20));
    let published = erp.events.orders.lock().expect("not poisoned").clone();
    assert_eq!(published, std::slice::from_ref(&placed));

    let ledger = LedgerService {
        data: erp.accounting(),
    };
    let before = ledger
        .balance(account::RECEIVABLES)
        .await
        .expect("known")
        .balance;
    assert!(ledger.book(placed.clone()).await.expect("booked"));
    assert!(!ledger.book(placed.clone()).await.expect("known already"));
    let after = ledger
        .balance(account::RECEIVABLES)
        .await
        .expect("known")
        .balance;
    assert_eq!(after - before, placed.gross);
    assert_eq!(erp.accounting().audit().await.expect("summed"), Cents::ZERO);
}

#[tokio::test]
async fn what_is_shipped_leaves_stock_and_reservations() {
    let erp = Erp::new();
    let stock = erp.stock();
    let wanted = Reservation {
        order_ref: "r".to_owned(),
        line: 0,
        sku: seed::sku(50),
        quantity: 15,
    };
    assert_eq!(stock.reserve(wanted).await.expect("reserved").reserved, 15);
    assert_eq!(stock.data.ship_reserved().await.expect("shipped"), 1);
    let level = stock.level(seed::sku(50)).await.expect("known");
    assert_eq!((level.on_hand, level.reserved), (5, 0));
    assert_eq!(stock.data.ship_reserved().await.expect("nothing left"), 0);
}

#[tokio::test]
async fn copies_follow_a_change_and_never_go_back() {
    let erp = Erp::new();
    let catalog = CatalogService {
        data: erp.store(),
        events: erp.events.clone(),
    };
    let old = catalog.product(3).await.expect("known");
    let change = ProductChange {
        price: Cents(12_345),
        description: "new words".to_owned(),
    };
    let new = catalog.change(3, change).await.expect("changed");
    assert_eq!((new.revision, new.price), (old.revision + 1, Cents(12_345)));
    assert_eq!(erp.events.products.lock().expect("not poisoned").len(), 1);
    let ledger = LedgerService {
        data: erp.accounting(),
    };
    for copy in [&erp.stock() as &dyn ProductCopy, &ledger] {
        assert!(copy.apply(new.clone()).await.expect("applied"));
        assert!(!copy.apply(old.clone()).await.expect("refused as older"));
    }
}

#[tokio::test]
async fn a_month_closes_twice_with_the_same_result() {
    let erp = Erp::new();
    let closer = CloserService {
        data: erp.accounting(),
    };
    let close = || closer.close(MONTHS[1].to_owned(), Which { branch: 2 });
    let first = close().await.expect("closed");
    assert_eq!(first.accounts.iter().map(|a| a.entries).sum::<usize>(), 60);
    assert!(first.unbalanced.is_empty());
    assert_eq!(close().await.expect("closed again"), first);
    let error = closer
        .close("1999-01".to_owned(), Which { branch: 2 })
        .await
        .expect_err("empty");
    assert!(error.to_string().contains("1999-01"), "{error}");
}

#[tokio::test]
async fn an_export_holds_every_entry_until_its_month() {
    let erp = Erp::new();
    let exporter = ExporterService {
        data: erp.accounting(),
    };
    let document = exporter
        .journal(MONTHS[1].to_owned())
        .await
        .expect("exported");
    let entries = 2 * SIZE.branches * SIZE.documents * 3;
    assert!(
        document.contains(&format!("entries=\"{entries}\"")),
        "{}",
        &document[..200]
    );
    assert_eq!(document.matches("<entry ").count() as i64, entries);
}

#[tokio::test]
async fn a_search_finds_what_is_there_and_refuses_nothing_at_all() {
    let erp = Erp::new();
    let search = SearchService { data: erp.store() };
    let found = search
        .find(Query {
            q: "steel".to_owned(),
        })
        .await
        .expect("found");
    assert!(found.total > 0 && !found.hits.is_empty());
    let error = search
        .find(Query { q: " ,".to_owned() })
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("1 to 6 words"), "{error}");
}
