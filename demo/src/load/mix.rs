//! What is asked, how often and in which rhythm: one table.

use crate::placement::Component;

/// How requests of an origin arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rhythm {
    /// Independent of each other.
    Poisson,
    /// All of a burst at once, bursts evenly apart.
    Bursts { size: usize },
    /// Evenly apart.
    Even,
}

/// One row of the mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Origin {
    /// The operation as the services name it.
    pub(crate) operation: &'static str,
    /// Who answers.
    pub(crate) component: Component,
    /// Requests per second.
    pub(crate) per_second: f64,
    /// Fewest requests in a run, however short: below 400 ended requests a report rightly says nothing.
    pub(crate) requests_min: usize,
    pub(crate) rhythm: Rhythm,
}

/// Fewest requests of an operation that a verdict hangs on: 400, and a margin for what is still in flight when
/// the last window closes.
const ENOUGH: usize = 440;

/// The mix.
pub(crate) const MIX: [Origin; 8] = [
    Origin {
        operation: "GET /products/{id}",
        component: Component::Catalog,
        per_second: 30.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "PUT /products/{id}",
        component: Component::Catalog,
        per_second: 10.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "GET /search",
        component: Component::Search,
        per_second: 40.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "POST /orders",
        component: Component::Orders,
        per_second: 16.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "GET /stock/{sku}",
        component: Component::Stock,
        per_second: 15.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "GET /balances/{account}",
        component: Component::Ledger,
        per_second: 40.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Poisson,
    },
    Origin {
        operation: "POST /closing/{month}",
        component: Component::Closing,
        per_second: 11.0,
        requests_min: ENOUGH,
        rhythm: Rhythm::Bursts { size: 40 },
    },
    Origin {
        operation: "GET /export/{month}",
        component: Component::Export,
        per_second: 0.1,
        requests_min: 3,
        rhythm: Rhythm::Even,
    },
];
