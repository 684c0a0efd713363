//! What the tests of database clients share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use weighbridge_agent::wire::{RowKind, RowValue};

use super::servers::Server;
use super::{Ledger, PATIENCE, assert_conserved, logs};

/// Runs a test against the server that the binary's tests share, in an agent of its own. Only one is measured at a
/// time. `None` where the server is not installed.
pub fn weighed<T: Future<Output = ()>>(
    place: &Mutex<Weak<Server>>,
    start: impl FnOnce() -> Option<Server>,
    test: impl FnOnce(Arc<Server>) -> T,
) -> Option<Arc<Ledger>> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    logs::keep();
    let server = Server::shared(place, start)?;
    let ledger = Ledger::new();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .unwrap();
    let agent = weighbridge_agent::builder()
        .service("store test")
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    runtime.block_on(test(server));
    drop(runtime);
    assert!(agent.flush(PATIENCE));
    ledger.deltas().iter().for_each(assert_conserved);
    Some(ledger)
}

/// How an entity was used, over all operations.
pub fn entity(ledger: &Ledger, database: &str, entity: &str, access: &str) -> RowValue {
    ledger.select(RowKind::Entity, &[(3, database), (4, entity), (5, access)])
}
