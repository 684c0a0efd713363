//! Words with a meaning of their own.

use crate::sql::Dialect;

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// What a `CREATE` makes that may hold statements of its own.
pub(super) fn names_a_routine(word: &str) -> bool {
    is_one_of(word, &["TRIGGER", "FUNCTION", "PROCEDURE", "EVENT"])
}

/// Words that may stand between `UPDATE`, `FROM` and their kind, and the table.
pub(super) fn stands_before_table(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "ONLY",
        "LATERAL",
        "TABLE",
        "TEMP",
        "TEMPORARY",
        "UNLOGGED",
        "LOW_PRIORITY",
        "IGNORE",
    ];
    is_one_of(word, WORDS)
}

/// Words that follow a table: the word before is then the table's name.
pub(super) fn follows_table(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "AS", "SET", "WHERE", "JOIN", "ON", "LEFT", "INNER", "CROSS", "NATURAL", "ORDER", "GROUP",
        "LIMIT", "VALUES", "SELECT", "USING",
    ];
    is_one_of(word, WORDS)
}

/// Words between `INSERT` and its table.
pub(super) fn modifies_insert(word: &str) -> bool {
    let words = &["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"];
    is_one_of(word, words)
}

/// Words between `DELETE` and its `FROM`.
pub(super) fn modifies_delete(word: &str) -> bool {
    is_one_of(word, &["LOW_PRIORITY", "QUICK", "IGNORE"])
}

/// Words after which a comma brings no further table.
pub(super) fn ends_from(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "WHERE",
        "GROUP",
        "HAVING",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "WINDOW",
        "SET",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "RETURNING",
        "FOR",
        "WHEN",
    ];
    is_one_of(word, WORDS)
}

/// Statements that are known to read and write no rows of a table.
pub(super) fn touches_no_rows(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "ABORT",
        "ALTER",
        "ANALYZE",
        "ATTACH",
        "BEGIN",
        "CHECKPOINT",
        "CLOSE",
        "CLUSTER",
        "COMMENT",
        "COMMIT",
        "DEALLOCATE",
        "DESC",
        "DESCRIBE",
        "DETACH",
        "DISCARD",
        "DROP",
        "END",
        "EXPLAIN",
        "FETCH",
        "FLUSH",
        "GRANT",
        "KILL",
        "LISTEN",
        "LOCK",
        "MOVE",
        "NOTIFY",
        "OPTIMIZE",
        "PRAGMA",
        "PREPARE",
        "REASSIGN",
        "REFRESH",
        "REINDEX",
        "RELEASE",
        "RENAME",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SET",
        "SHOW",
        "START",
        "UNLISTEN",
        "UNLOCK",
        "USE",
        "VACUUM",
    ];
    is_one_of(word, WORDS)
}

/// Tables of the database's own. Names are in lower case.
pub(super) fn is_internal(dialect: Dialect, schema: &str, name: &str) -> bool {
    if name.is_empty() || schema == "information_schema" {
        return true;
    }
    match dialect {
        Dialect::Sqlite => name.starts_with("sqlite_") || name == "dbstat",
        Dialect::Postgres => schema == "pg_catalog" || name.starts_with("pg_"),
        Dialect::MySql => {
            name == "dual" || ["performance_schema", "mysql", "sys"].contains(&schema)
        }
        Dialect::Other => false,
    }
}
