//! What a call between processes costs on this machine: the same call over HTTP and inside the process, by request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use serde::Deserialize;
use weighbridge_agent::Json;

use super::http_server::Failure;
use crate::domain::DomainError;
use crate::domain::stock::{Reservation, Stock};

/// Most calls that one request may ask for.
const CALLS_MAX: usize = 100;

/// Makes the warehouse inside this process, when it is asked for.
type Make = Box<dyn Fn() -> Result<Arc<dyn Stock>, DomainError> + Send + Sync>;

/// Both ways to the warehouse.
pub(crate) struct Probe {
    remote: Arc<dyn Stock>,
    local: OnceLock<Arc<dyn Stock>>,
    make: Make,
    asked: AtomicU64,
}

impl Probe {
    pub(crate) fn new(remote: Arc<dyn Stock>, make: Make) -> Self {
        Self {
            remote,
            local: OnceLock::new(),
            make,
            asked: AtomicU64::new(0),
        }
    }

    fn local(&self) -> Result<Arc<dyn Stock>, DomainError> {
        if let Some(local) = self.local.get() {
            return Ok(local.clone());
        }
        let made = (self.make)()?;
        Ok(self.local.get_or_init(|| made).clone())
    }
}

#[derive(Deserialize)]
struct Asked {
    /// A product that every catalogue has.
    sku: String,
    /// Over HTTP, or inside the process.
    remote: bool,
}

/// `GET /probe/{calls}?sku=…&remote=true`: so many reservations, one after the other.
pub(crate) fn probe_routes(probe: Probe) -> Router {
    async fn ask(
        State(probe): State<Arc<Probe>>,
        Path(calls): Path<usize>,
        Query(asked): Query<Asked>,
    ) -> Result<Json<i64>, Failure> {
        if calls > CALLS_MAX {
            let text = format!("{calls} calls are more than {CALLS_MAX}; ask for fewer");
            return Err(DomainError::Invalid(text).into());
        }
        let stock = if asked.remote {
            probe.remote.clone()
        } else {
            probe.local()?
        };
        let number = probe.asked.fetch_add(1, Ordering::Relaxed);
        let mut reserved = 0;
        // As an order does it: what a write finds in caches is what the comparison is about.
        for line in 0..calls {
            let reservation = Reservation {
                order_ref: format!("probe-{number}"),
                line: line as i64,
                sku: asked.sku.clone(),
                quantity: 1,
            };
            reserved += stock.reserve(reservation).await?.reserved;
        }
        Ok(Json(reserved))
    }
    Router::new()
        .route("/probe/{calls}", get(ask))
        .with_state(Arc::new(probe))
}
