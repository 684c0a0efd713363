//! What tests see of single exchanges: the tables hold sums only.

use std::sync::Mutex;

use crate::ledger::{EdgeFigures, EdgeId};
use crate::sync::lock;

static SEEN: Mutex<Vec<(EdgeId, EdgeFigures)>> = Mutex::new(Vec::new());

/// Notes what goes to the tables, which all tests of the process share.
pub(super) fn observe(edge: &EdgeId, figures: &EdgeFigures) {
    lock(&SEEN).push((edge.clone(), figures.clone()));
}

/// What one side of a peer's edges was told, in order.
pub(crate) fn seen(peer: &str, side: &str) -> Vec<(EdgeId, EdgeFigures)> {
    lock(&SEEN)
        .iter()
        .filter(|(edge, _)| &*edge.peer == peer && edge.side == side)
        .cloned()
        .collect()
}
