//! Analyses by text, bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::scan::scan;
use super::{Dialect, SQL_CACHED_BYTES_MAX, SQL_CACHED_MAX};
use crate::store::Uses;

/// The analyses of one database's texts.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    dialect: Dialect,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_text: HashMap<Arc<str>, Arc<Uses>>,
    by_age: VecDeque<Arc<str>>,
}

impl Statements {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            known: Mutex::default(),
        }
    }

    /// The analysis of a text.
    pub(crate) fn get(&self, text: &str) -> Arc<Uses> {
        if let Some(found) = self.known().by_text.get(text) {
            return Arc::clone(found);
        }
        let uses = Arc::new(scan(text, self.dialect));
        if text.len() <= SQL_CACHED_BYTES_MAX {
            self.known().insert(text, &uses);
        }
        uses
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, text: &str, uses: &Arc<Uses>) {
        let text: Arc<str> = text.into();
        if self
            .by_text
            .insert(Arc::clone(&text), Arc::clone(uses))
            .is_some()
        {
            return;
        }
        self.by_age.push_back(text);
        while self.by_age.len() > SQL_CACHED_MAX {
            if let Some(oldest) = self.by_age.pop_front() {
                self.by_text.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_right() {
        let statements = Statements::default();
        for n in 0..3 * SQL_CACHED_MAX {
            let found = statements.get(&format!("SELECT {n} FROM t{n}"));
            assert_eq!(&*found.entities[0].0, format!("t{n}"));
        }
        let known = statements.known();
        assert_eq!(
            (known.by_text.len(), known.by_age.len()),
            (SQL_CACHED_MAX, SQL_CACHED_MAX)
        );
        drop(known);
        let again = statements.get("SELECT 1 FROM t1");
        assert!(Arc::ptr_eq(&again, &statements.get("SELECT 1 FROM t1")));
    }

    #[test]
    fn long_texts_are_analysed_but_not_kept() {
        let statements = Statements::default();
        let long = format!(
            "SELECT * FROM t WHERE a IN ({}1)",
            "1,".repeat(SQL_CACHED_BYTES_MAX)
        );
        assert_eq!(statements.get(&long).entities.len(), 1);
        assert_eq!(statements.known().by_text.len(), 0);
    }
}
