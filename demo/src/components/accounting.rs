//! Ledger, closing and export.

use crate::data::accounting::AccountingData;
use crate::domain::catalog::ProductCopy;
use crate::domain::closing::{Closer, Closing, Which, close};
use crate::domain::export::{Exporter, document};
use crate::domain::ledger::{Balance, Ledger};
use crate::domain::orders::Order;
use crate::domain::product::Product;
use crate::domain::{Answer, DomainError};

/// The books.
#[derive(Clone)]
pub(crate) struct LedgerService {
    pub(crate) data: AccountingData,
}

impl Ledger for LedgerService {
    fn book(&self, order: Order) -> Answer<'_, bool> {
        Box::pin(self.data.book(order))
    }

    fn balance(&self, account: i64) -> Answer<'_, Balance> {
        Box::pin(self.data.balance(account))
    }
}

impl ProductCopy for LedgerService {
    fn apply(&self, product: Product) -> Answer<'_, bool> {
        Box::pin(async move { self.data.apply(product) })
    }
}

/// Closing of months.
pub(crate) struct CloserService {
    pub(crate) data: AccountingData,
}

impl Closer for CloserService {
    fn close(&self, month: String, which: Which) -> Answer<'_, Closing> {
        Box::pin(async move {
            let entries = self.data.entries(month.clone(), which.branch).await?;
            if entries.is_empty() {
                let id = format!("{month} of branch {}", which.branch);
                return Err(DomainError::NotFound { what: "month", id });
            }
            // Milliseconds of arithmetic do not belong on a thread that others are polled on.
            let closing =
                weighbridge_agent::spawn_blocking(move || close(&month, which.branch, &entries))
                    .await
                    .map_err(|e| DomainError::Store(format!("the closing broke off: {e}")))??;
            self.data.keep_closing(closing).await
        })
    }
}

/// Export of the journal.
pub(crate) struct ExporterService {
    pub(crate) data: AccountingData,
}

impl Exporter for ExporterService {
    fn journal(&self, month: String) -> Answer<'_, String> {
        Box::pin(async move {
            let lines = self.data.journal(month.clone()).await?;
            weighbridge_agent::spawn_blocking(move || document(&month, &lines))
                .await
                .map_err(|e| DomainError::Store(format!("the export broke off: {e}")))
        })
    }
}
