//! From the placement to the objects of one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use futures_util::future::BoxFuture;
use rumqttc::v5::MqttOptions;
use tokio::time::{MissedTickBehavior, interval};
use weighbridge_agent::mqtt;

use super::protocol::ServiceConfig;
use crate::adapters::{
    self, BrokerEvents, Copies, LocalCopy, LocalLedger, LocalStock, MessageTally, Probe,
    StockClient,
};
use crate::components::{
    CatalogCopy, CatalogService, CloserService, Events, ExporterService, LedgerService,
    OrdersService, SearchService, StockService,
};
use crate::data::accounting::AccountingData;
use crate::data::database::Database;
use crate::data::store::StoreData;
use crate::data::warehouse::WarehouseData;
use crate::domain::DomainError;
use crate::domain::catalog::ProductCopy;
use crate::domain::ledger::Ledger;
use crate::domain::stock::Stock;
use crate::placement::{Component, DatabaseName, Edge, Placement, Process, Transport};

/// How often the sizes of the tables are told.
const SIZES_EVERY: Duration = Duration::from_secs(3);
/// How often reservations are shipped and books audited.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often the price index is made anew.
const PRICE_INDEX_EVERY: Duration = Duration::from_secs(2);
/// Messages on their way to the broker at once.
const BROKER_QUEUE: usize = 256;

/// A process, ready to run.
pub(super) struct Wired {
    pub(super) router: Router,
    /// Work beside requests; each runs until it is dropped.
    pub(super) background: Vec<BoxFuture<'static, ()>>,
    /// The connection to the broker, if the placement has one. It comes to life with the background work.
    pub(super) broker: Option<mqtt::Client>,
}

/// What the components of one process share.
struct Parts<'a> {
    placement: &'a Placement,
    process: &'a Process,
    config: &'a ServiceConfig,
    databases: BTreeMap<DatabaseName, Database>,
}

impl Parts<'_> {
    fn has(&self, component: Component) -> bool {
        self.process.components.contains(&component)
    }

    fn database(&self, name: DatabaseName) -> anyhow::Result<Database> {
        self.databases
            .get(&name)
            .cloned()
            .context("a component without its database")
    }

    fn store(&self) -> anyhow::Result<StoreData> {
        Ok(StoreData::new(self.database(DatabaseName::Store)?))
    }

    fn stock(&self) -> anyhow::Result<StockService> {
        Ok(StockService {
            data: WarehouseData::new(self.database(DatabaseName::Warehouse)?),
        })
    }

    fn accounting(&self) -> anyhow::Result<AccountingData> {
        Ok(AccountingData::new(
            self.database(DatabaseName::Accounting)?,
        ))
    }

    fn transport(&self, from: Component, to: Component) -> Option<Transport> {
        self.placement.transport(Edge { from, to })
    }

    /// The warehouse as the orders of this process reach it.
    fn stock_for_orders(&self) -> anyhow::Result<Arc<dyn Stock>> {
        if self.transport(Component::Orders, Component::Stock) == Some(Transport::Direct) {
            return Ok(Arc::new(LocalStock(Arc::new(self.stock()?))));
        }
        let peer = self
            .placement
            .process_of(Component::Stock)
            .map_or("warehouse", |process| process.name.as_str());
        let addresses = self
            .config
            .peers
            .get(&Component::Stock)
            .map_or(&[][..], Vec::as_slice);
        Ok(Arc::new(StockClient::new(peer, addresses)?))
    }

    /// Where the events of this process go.
    fn events(
        &self,
        broker: Option<mqtt::Client>,
        tally: Arc<MessageTally>,
    ) -> anyhow::Result<Arc<dyn Events>> {
        let over = |from, to, transport| self.transport(from, to) == Some(transport);
        let (catalog, orders) = (Component::Catalog, Component::Orders);
        let ledger: Option<Arc<dyn Ledger>> =
            if over(orders, Component::Ledger, Transport::Direct) && self.has(orders) {
                Some(Arc::new(LocalLedger(Arc::new(LedgerService {
                    data: self.accounting()?,
                }))))
            } else {
                None
            };
        let mut copies: Vec<Arc<dyn ProductCopy>> = Vec::new();
        for component in [Component::Stock, Component::Ledger] {
            if self.has(catalog) && over(catalog, component, Transport::Direct) {
                let copy = self.copy(component)?;
                copies.push(Arc::new(LocalCopy { component, copy }));
            }
        }
        Ok(Arc::new(BrokerEvents {
            broker,
            orders_published: over(orders, Component::Ledger, Transport::Mqtt),
            products_published: [Component::Stock, Component::Ledger]
                .into_iter()
                .any(|to| over(catalog, to, Transport::Mqtt)),
            ledger,
            copies,
            tally,
        }))
    }

    fn copy(&self, component: Component) -> anyhow::Result<Arc<dyn ProductCopy>> {
        Ok(match component {
            Component::Stock => Arc::new(self.stock()?),
            _ => Arc::new(LedgerService {
                data: self.accounting()?,
            }),
        })
    }

    /// Those in this process who get their events over the broker.
    fn subscribers(&self) -> anyhow::Result<Copies> {
        let mut copies = Copies::default();
        if self.has(Component::Ledger)
            && self
                .placement
                .consumes(Component::Ledger, Component::Orders)
        {
            copies.ledger = Some(Arc::new(LedgerService {
                data: self.accounting()?,
            }));
        }
        for component in [Component::Stock, Component::Ledger] {
            if self.has(component) && self.placement.consumes(component, Component::Catalog) {
                copies.products.push(self.copy(component)?);
            }
        }
        if self.has(Component::Catalog) && self.process.is_divided() {
            copies.products.push(Arc::new(CatalogCopy {
                data: self.store()?,
            }));
        }
        Ok(copies)
    }

    fn router(&self, events: &Arc<dyn Events>) -> anyhow::Result<Router> {
        let mut router = Router::new();
        for component in &self.process.components {
            router = router.merge(match component {
                Component::Catalog => adapters::catalog_routes(Arc::new(CatalogService {
                    data: self.store()?,
                    events: events.clone(),
                })),
                Component::Search => adapters::search_routes(Arc::new(SearchService {
                    data: self.store()?,
                })),
                Component::Orders => adapters::orders_routes(Arc::new(OrdersService::new(
                    self.store()?,
                    self.stock_for_orders()?,
                    events.clone(),
                    format!("{}-{}", self.process.name, self.config.instance),
                ))),
                Component::Stock => adapters::stock_routes(Arc::new(self.stock()?)),
                Component::Ledger => adapters::ledger_routes(Arc::new(LedgerService {
                    data: self.accounting()?,
                })),
                Component::Closing => adapters::closing_routes(Arc::new(CloserService {
                    data: self.accounting()?,
                })),
                Component::Export => adapters::export_routes(Arc::new(ExporterService {
                    data: self.accounting()?,
                })),
            });
        }
        if self.has(Component::Orders)
            && self.transport(Component::Orders, Component::Stock) == Some(Transport::Http)
        {
            router = router.merge(adapters::probe_routes(self.probe()?));
        }
        Ok(router)
    }

    /// A warehouse inside this process beside the one that orders call, for comparing what the calls cost.
    fn probe(&self) -> anyhow::Result<Probe> {
        let directory = self.config.databases.clone();
        let make = move || {
            let database = Database::open(&directory, DatabaseName::Warehouse, None)?;
            let data = WarehouseData::new(database);
            let local: Arc<dyn Stock> = Arc::new(LocalStock(Arc::new(StockService { data })));
            Ok(local)
        };
        Ok(Probe::new(self.stock_for_orders()?, Box::new(make)))
    }

    /// Work that no request asked for. Only the first instance does what must be done once.
    fn background(&self) -> anyhow::Result<Vec<BoxFuture<'static, ()>>> {
        let mut background: Vec<BoxFuture<'static, ()>> = Vec::new();
        if self.config.instance != 1 {
            return Ok(background);
        }
        for database in self.databases.values() {
            let database = database.clone();
            background.push(Box::pin(weighbridge_agent::background(
                "table sizes",
                every(SIZES_EVERY, move || {
                    let database = database.clone();
                    async move { database.report_sizes().await }
                }),
            )));
        }
        if self.has(Component::Catalog) {
            let data = self.store()?;
            background.push(Box::pin(every(PRICE_INDEX_EVERY, move || {
                let data = data.clone();
                weighbridge_agent::job("price index", async move {
                    data.refresh_price_index().await.map(|_| ())
                })
            })));
        }
        if self.has(Component::Stock) {
            let data = self.stock()?.data;
            background.push(Box::pin(weighbridge_agent::background(
                "shipping of reservations",
                every(SWEEP_EVERY, move || {
                    let data = data.clone();
                    async move { data.ship_reserved().await.map(|_| ()) }
                }),
            )));
        }
        if self.has(Component::Ledger) {
            let data = self.accounting()?;
            background.push(Box::pin(weighbridge_agent::background(
                "audit of the books",
                every(SWEEP_EVERY, move || {
                    let data = data.clone();
                    async move {
                        let sum = data.audit().await?;
                        if sum.0 != 0 {
                            tracing::error!(%sum, "the books do not balance");
                        }
                        Ok(())
                    }
                }),
            )));
        }
        Ok(background)
    }
}

/// Builds everything that a process needs and connects it to the broker.
pub(super) fn wire(
    config: &ServiceConfig,
    placement: &Placement,
    process: &Process,
    tally: Arc<MessageTally>,
) -> anyhow::Result<Wired> {
    let mut databases = BTreeMap::new();
    for component in &process.components {
        let name = component.database();
        databases.insert(name, Database::open(&config.databases, name, config.shard)?);
    }
    let parts = Parts {
        placement,
        process,
        config,
        databases,
    };
    let mut background = parts.background()?;
    let mut client = None;
    if let Some(address) = &config.broker {
        let id = format!("{}-{}", config.process, config.instance);
        let (broker, consumer) = connect(&id, address)?;
        // Replicas share a database, so one of them applies a message; parts of a divided one all do.
        let group =
            (process.replicas > 1 && !process.is_divided()).then_some(process.name.as_str());
        let copies = parts.subscribers()?;
        let consuming = adapters::consume(&broker, consumer, copies, group, tally.clone())?;
        background.push(Box::pin(consuming));
        client = Some(broker);
    }
    let events = parts.events(client.clone(), tally)?;
    let router = parts.router(&events)?;
    Ok(Wired {
        router,
        background,
        broker: client,
    })
}

fn connect(id: &str, address: &str) -> anyhow::Result<(mqtt::Client, mqtt::Consumer)> {
    let (host, port) = address
        .rsplit_once(':')
        .context("a broker address without port")?;
    let mut options = MqttOptions::new(id, host, port.parse::<u16>()?);
    options.set_keep_alive(Duration::from_secs(5));
    Ok(mqtt::connect("broker", options, BROKER_QUEUE))
}

async fn every<F>(period: Duration, mut work: impl FnMut() -> F + Send)
where
    F: Future<Output = Result<(), DomainError>> + Send,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = work().await {
            tracing::error!(%error, "background work failed");
        }
    }
}
