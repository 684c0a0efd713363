//! How large tables are.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::ledger::record_entity_size;

/// Reads the size of each table with its indexes, and its rows.
pub(super) fn report_sizes(connection: &Connection, database: &str) -> rusqlite::Result<()> {
    let bytes = bytes_by_table(connection)?;
    for table in tables(connection)? {
        let quoted = table.replace('"', "\"\"");
        let rows: i64 =
            connection.query_row(&format!("SELECT count(*) FROM \"{quoted}\""), [], |row| {
                row.get(0)
            })?;
        let bytes = bytes
            .as_ref()
            .map(|bytes| bytes.get(&table).copied().unwrap_or(0));
        let entity = table.to_ascii_lowercase();
        #[cfg(test)]
        super::tests::observe_size(database, &entity, rows, bytes);
        record_entity_size(database, &entity, u64::try_from(rows).ok(), bytes);
    }
    Ok(())
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema \
               WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    connection
        .prepare(sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Bytes of the pages of each table and its indexes. `None` when this SQLite is built without `dbstat`: the
/// size is then unknown, not zero.
fn bytes_by_table(connection: &Connection) -> rusqlite::Result<Option<BTreeMap<String, u64>>> {
    let built_in = "SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'";
    if connection.query_row(built_in, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let sql = "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat('main', 1) d \
               JOIN sqlite_schema s ON s.name = d.name GROUP BY s.tbl_name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let bytes: i64 = row.get(1)?;
        Ok((row.get(0)?, u64::try_from(bytes).unwrap_or(0)))
    })?;
    rows.collect::<rusqlite::Result<_>>().map(Some)
}
