//! One piece of work for several requests.

use std::future::Future;

use weighbridge_wire::Class;

use super::Context;
use crate::account::{Account, InAccount, OwnerRef, Split};

/// Runs work that is done for several requests at once (a group commit, a batch of messages, a data loader) and
/// charges what it costs to all of them: CPU and allocations, by these weights (equally, when all are 0; a request
/// without a weight has 0). The shares add up to the cost, to the nanosecond and byte, however the work ends.
///
/// Rows of the shares are marked as apportioned and stand beside what the same requests spent alone. Calls made
/// inside stand in the name of one of the requests, drawn by the weights; the wait for them is that request's.
/// Spans inside are no regions. Each change of the account costs about as much as one for each request.
///
/// Contexts outside of requests have no share. When all are, the work is done in the present account.
#[must_use = "futures do nothing unless polled"]
pub fn charge_split<F: Future>(
    contexts: &[Context],
    weights: &[u64],
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let (bills, weights): (Vec<_>, Vec<u64>) = contexts
        .iter()
        .enumerate()
        .filter_map(|(n, context)| {
            let weight = weights.get(n).copied().unwrap_or(0);
            Some((context.bill()?, weight))
        })
        .unzip();
    // Made now, so that work dropped before its first poll is dropped in its account too.
    let work = match Split::new(&bills, &weights) {
        Some(split) => {
            let account = Account::new(OwnerRef::Split(split), Class::Handler);
            Ok(InAccount::new(account, work))
        }
        None => Err(work),
    };
    async move {
        match work {
            Ok(work) => work.await,
            Err(work) => work.await,
        }
    }
}

#[cfg(test)]
mod tests;
