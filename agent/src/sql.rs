//! Which entities a statement reads and writes, from its text.
//!
//! The text is cut into tokens by `sqlparser`'s tokenizer and followed clause by clause. Tokens instead of a
//! tree, for two reasons: what the database accepts is what must be understood, including the corners of its
//! dialect, and a tree of somebody else's text is as deep as the text is long. Literals never leave this
//! module: the result holds names of tables only.
//!
//! What is not seen: what triggers and functions read and write, and what stands behind a view; the view itself
//! is the entity. Tables of one name in several schemas of a database are one entity.

mod cache;
mod scan;

pub(crate) use cache::Statements;
#[cfg(all(any(test, feature = "fuzz"), feature = "tokio-postgres-0_7"))]
pub(crate) use scan::scan;

/// Longest text that is analysed, in bytes. Longer ones have no entities and are counted.
pub const SQL_BYTES_MAX: usize = 65_536;
/// Most texts whose analysis is kept. Beyond it the oldest is forgotten.
pub const SQL_CACHED_MAX: usize = 512;
/// Longest text that is kept, in bytes; longer ones are analysed each time.
pub const SQL_CACHED_BYTES_MAX: usize = 8_192;
/// Most entities of one statement; more are counted, not listed.
pub const SQL_ENTITIES_MAX: usize = 32;

/// Whose SQL it is: how names are quoted, and which words begin what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "sqlx-0_9"), allow(dead_code))] // each client speaks its own
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
    /// Unknown: read as the standard says.
    #[default]
    Other,
}

impl Dialect {
    pub(crate) fn is_mysql(self) -> bool {
        self == Self::MySql
    }
}
