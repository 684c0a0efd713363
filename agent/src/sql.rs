//! Which entities a statement reads and writes, from its text.
//!
//! The text is cut into tokens by `sqlparser`'s tokenizer and followed clause by clause. Tokens instead of a
//! tree, for two reasons: what the database accepts is what must be understood, including the corners of its
//! dialect, and a tree of somebody else's text is as deep as the text is long. Literals never leave this
//! module: the result holds names of tables only.
//!
//! What is not seen: what triggers write and what stands behind a view; the view itself is the entity.

mod cache;
mod scan;

use std::sync::Arc;

pub(crate) use cache::Statements;

/// Longest text that is analysed, in bytes. Longer ones have no entities and are counted.
pub const SQL_BYTES_MAX: usize = 65_536;
/// Most texts whose analysis is kept. Beyond it the oldest is forgotten.
pub const SQL_CACHED_MAX: usize = 512;
/// Longest text that is kept, in bytes; longer ones are analysed each time.
pub const SQL_CACHED_BYTES_MAX: usize = 8_192;
/// Most entities of one statement; more are counted, not listed.
pub const SQL_ENTITIES_MAX: usize = 32;

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

/// What a text does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Entities in lower case, each once for each access, ordered.
    pub(crate) entities: Vec<(Arc<str>, Access)>,
    /// True when the text could not be followed: its entities are unknown, not none.
    pub(crate) unknown: bool,
}
