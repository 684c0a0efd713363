//! What was planted against what the report found, and whether everything adds up.

mod checks;
mod compare;
mod find;
mod table;
mod truths;

pub use compare::{Difference, compare};
pub(crate) use table::next_step;

use crate::weigh::Weighing;

/// One line of a table: what was wanted, what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) evidence: String,
    /// Absent when the placement leaves nothing to find.
    pub(crate) holds: Option<bool>,
}

/// The verdict on a weighing.
pub(crate) struct Summary {
    pub(crate) passed: bool,
    pub(crate) text: String,
}

/// Works out both tables.
pub(crate) fn summary(weighing: &Weighing) -> Summary {
    let truths = truths::look_for_all(&weighing.placement, &weighing.document);
    let checks = checks::all(weighing);
    let passed = truths
        .iter()
        .chain(&checks)
        .all(|line| line.holds != Some(false));
    Summary {
        passed,
        text: table::render(&truths, &checks),
    }
}
