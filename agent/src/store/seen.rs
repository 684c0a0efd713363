//! What goes to the ledger, which all tests of the process share. Each test has a database name of its own.

use std::sync::Mutex;

use super::Access;
use crate::ledger::EntityFigures;

/// Database, entity, access, figures.
type Touched = (String, String, Access, EntityFigures);

static SEEN: Mutex<Vec<Touched>> = Mutex::new(Vec::new());

pub(super) fn observe(database: &str, entity: &str, access: Access, figures: EntityFigures) {
    SEEN.lock()
        .unwrap()
        .push((database.into(), entity.into(), access, figures));
}

/// What was recorded for a database: `-entity rows` for reads, `+entity rows` for writes, `!` for failed ones.
pub(crate) fn of(database: &str) -> Vec<String> {
    let line = |entity: &str, access: Access, figures: EntityFigures| {
        assert_eq!(figures.statements + figures.errors, 1);
        let sign = if access == Access::Read { '-' } else { '+' };
        let rows = figures.rows.map_or("?".to_owned(), |rows| rows.to_string());
        match figures.errors {
            0 => format!("{sign}{entity} {rows}"),
            _ => format!("{sign}{entity} !"),
        }
    };
    let all = SEEN.lock().unwrap();
    all.iter()
        .filter(|seen| seen.0 == database)
        .map(|(_, entity, access, figures)| line(entity, *access, *figures))
        .collect()
}
