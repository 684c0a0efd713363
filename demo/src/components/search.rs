//! The search.

use crate::data::store::StoreData;
use crate::domain::ranking::{rank, words};
use crate::domain::search::{Found, Query, Search};
use crate::domain::{Answer, DomainError};

/// Most words in one query.
const TERMS_MAX: usize = 6;

/// The search over the store's database.
pub(crate) struct SearchService {
    pub(crate) data: StoreData,
}

impl Search for SearchService {
    fn find(&self, query: Query) -> Answer<'_, Found> {
        Box::pin(async move {
            let terms = words(&query.q);
            if terms.is_empty() || terms.len() > TERMS_MAX {
                return Err(DomainError::Invalid(format!(
                    "a query has 1 to {TERMS_MAX} words, this one has {}",
                    terms.len()
                )));
            }
            let candidates = self.data.candidates(terms.clone()).await?;
            // Milliseconds of arithmetic do not belong on a thread that others are polled on.
            weighbridge_agent::spawn_blocking(move || rank(&terms, &candidates))
                .await
                .map_err(|e| DomainError::Store(format!("the ranking broke off: {e}")))
        })
    }
}
