//! What database clients have in common: a statement is gathered while it runs and recorded once, to the
//! request in class `store`, and to the entities that it touches.

#[cfg(any(feature = "tokio-postgres-0_7", feature = "redis-1"))]
mod socket;
mod statement;

use std::sync::Arc;

#[cfg(any(feature = "tokio-postgres-0_7", feature = "redis-1"))]
pub use socket::Socket;
pub(crate) use statement::{Ended, Statement, in_store};

/// How a statement uses an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl Access {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => weighbridge_wire::access::READ,
            Self::Write => weighbridge_wire::access::WRITE,
        }
    }
}

/// What a statement does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Entities in lower case, each once for each access, ordered.
    pub(crate) entities: Vec<(Arc<str>, Access)>,
    /// What its rows are: read or written. Unknown when there are several statements.
    pub(crate) rows: Option<Access>,
    /// True when it could not be followed: its entities are unknown, not none.
    pub(crate) unknown: bool,
}

impl Uses {
    /// The entity that rows belong to. Of several nobody can say which one they came from.
    fn of_rows(&self) -> Option<usize> {
        let access = self.rows?;
        let alike = |(_, (_, how)): &(usize, &(Arc<str>, Access))| *how == access;
        let mut found = self.entities.iter().enumerate().filter(alike);
        match (found.next(), found.next()) {
            (Some((n, _)), None) => Some(n),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod seen;
#[cfg(test)]
mod tests;
