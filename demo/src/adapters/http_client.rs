//! The warehouse as its callers reach it over HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};

use weighbridge_agent::http_client::{Client, Response};

use crate::domain::stock::{Reservation, Reserved, Stock, StockLevel};
use crate::domain::{Answer, DomainError};

/// Stock behind one or several instances, asked in turn.
pub(crate) struct StockClient {
    peer: String,
    clients: Vec<Client>,
    next: AtomicUsize,
}

impl StockClient {
    /// A client of the instances at these addresses.
    pub(crate) fn new(peer: &str, addresses: &[String]) -> Result<Self, DomainError> {
        let clients = addresses
            .iter()
            .map(|base| Client::new(peer, base).map_err(|e| DomainError::call(peer, e)))
            .collect::<Result<Vec<_>, _>>()?;
        if clients.is_empty() {
            return Err(DomainError::call(
                peer,
                "it has no address; is it in the placement?",
            ));
        }
        Ok(Self {
            peer: peer.to_owned(),
            clients,
            next: AtomicUsize::new(0),
        })
    }

    fn client(&self) -> &Client {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.clients[turn % self.clients.len()]
    }

    fn failed(&self, reason: impl std::fmt::Display) -> DomainError {
        DomainError::call(&self.peer, reason)
    }
}

impl Stock for StockClient {
    fn level(&self, sku: String) -> Answer<'_, StockLevel> {
        Box::pin(async move {
            self.client()
                .get("/stock/{sku}")
                .param("sku", &sku)
                .send()
                .await
                .and_then(Response::error_for_status)
                .map_err(|e| self.failed(e))?
                .json()
                .await
                .map_err(|e| self.failed(e))
        })
    }

    fn reserve(&self, reservation: Reservation) -> Answer<'_, Reserved> {
        Box::pin(async move {
            self.client()
                .post("/reservations")
                .json(&reservation)
                .send()
                .await
                .and_then(Response::error_for_status)
                .map_err(|e| self.failed(e))?
                .json()
                .await
                .map_err(|e| self.failed(e))
        })
    }
}
