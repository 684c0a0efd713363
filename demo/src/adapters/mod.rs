//! How components reach each other: the same traits over HTTP, over the broker, and inside one process.

mod events;
mod http_client;
mod http_server;
mod local;
mod probe;
mod tally;

pub(crate) use events::{BrokerEvents, Copies, consume};
pub(crate) use http_client::StockClient;
pub(crate) use http_server::{
    catalog_routes, closing_routes, export_routes, ledger_routes, orders_routes, search_routes,
    stock_routes,
};
pub(crate) use local::{LocalCopy, LocalLedger, LocalStock};
pub(crate) use probe::{Probe, probe_routes};
pub(crate) use tally::MessageTally;
