use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// `-a +b ?`: reads a, writes b, and something could not be followed.
fn shown(text: &str) -> String {
    shown_as(text, Dialect::Sqlite)
}

fn shown_as(text: &str, dialect: Dialect) -> String {
    let analysis = scan(text, dialect);
    let sign = |access| if access == Access::Read { '-' } else { '+' };
    let mut parts: Vec<String> = analysis
        .entities
        .iter()
        .map(|(name, access)| format!("{}{name}", sign(*access)))
        .collect();
    parts.extend(analysis.unknown.then(|| "?".to_owned()));
    parts.join(" ")
}

#[allow(clippy::needless_pass_by_value)] // `expect!` makes one for each call
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&shown(text));
}

#[test]
fn queries() {
    check("SELECT 1", expect![""]);
    check("select * from Product", expect!["-product"]);
    check(
        "SELECT * FROM a, b x, main.c AS y WHERE a.id = 'from d'",
        expect!["-a -b -c"],
    );
    check(
        "SELECT a.x FROM a LEFT OUTER JOIN b ON a.id = b.id AND f(a.x, b.y), c NATURAL JOIN d ORDER BY e, f",
        expect!["-a -b -c -d"],
    );
    check(
        "SELECT x, (SELECT max(y) FROM b WHERE b.i = a.i), z FROM a",
        expect!["-a -b"],
    );
    check(
        "SELECT * FROM (SELECT * FROM a WHERE x IN (SELECT y FROM b)) t, c",
        expect!["-a -b -c"],
    );
    check(
        "SELECT * FROM (a JOIN b USING (id, k)), c",
        expect!["-a -b -c"],
    );
    check(
        "SELECT * FROM a UNION ALL SELECT * FROM b LIMIT 1, 2",
        expect!["-a -b"],
    );
    check(
        "SELECT * FROM json_each(?1) j JOIN a ON a.id = j.value",
        expect!["-a"],
    );
    check(
        "SELECT * FROM \"order\" o, [line item], `x`",
        expect!["-line item -order -x"],
    );
    check(
        "SELECT a FROM t WHERE a IS NOT DISTINCT FROM b",
        expect!["-t"],
    );
    check(
        "SELECT DISTINCT a FROM t INDEXED BY i GROUP BY a, b HAVING c",
        expect!["-t"],
    );
    check(
        "SELECT sum(x) OVER w FROM t WINDOW w AS (PARTITION BY a, b)",
        expect!["-t"],
    );
    check(
        "SELECT name FROM sqlite_master JOIN dbstat USING (name)",
        expect![""],
    );
    check("VALUES (1, 2), (3, 4)", expect![""]);
}

#[test]
fn common_table_expressions() {
    check(
        "WITH RECURSIVE n(i, j) AS (SELECT 1 UNION SELECT i + 1 FROM n), m AS MATERIALIZED (SELECT * FROM a) \
         SELECT * FROM n, m, b",
        expect!["-a -b"],
    );
    check(
        "WITH t AS (SELECT * FROM a) INSERT INTO b SELECT * FROM t",
        expect!["-a +b"],
    );
    check(
        "WITH t AS (SELECT 1) DELETE FROM a WHERE x IN (SELECT * FROM t)",
        expect!["+a"],
    );
    check("WITH t AS (SELECT 1) SELECT * FROM main.t", expect!["-t"]);
    check(
        "SELECT * FROM (WITH q AS (SELECT * FROM a) SELECT * FROM q), b",
        expect!["-a -b"],
    );
}

#[test]
fn writes() {
    check("INSERT INTO a (x, y) VALUES (?1, 'b')", expect!["+a"]);
    check(
        "INSERT OR REPLACE INTO main.a SELECT * FROM b, c",
        expect!["+a -b -c"],
    );
    check(
        "INSERT INTO a(x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = excluded.x, y = (SELECT z FROM b) RETURNING x",
        expect!["+a -b"],
    );
    check(
        "REPLACE INTO a VALUES (replace('a', 'b', 'c'))",
        expect!["+a"],
    );
    check("INSERT INTO a DEFAULT VALUES", expect!["+a"]);
    check(
        "UPDATE OR IGNORE a SET x = 1, y = 2 WHERE z IN (SELECT z FROM b)",
        expect!["+a -b"],
    );
    check(
        "UPDATE a SET x = b.x FROM b, c WHERE a.id = b.id",
        expect!["+a -b -c"],
    );
    check(
        "DELETE FROM a WHERE EXISTS (SELECT 1 FROM a)",
        expect!["-a +a"],
    );
    check("update a set x = x + 1 returning x", expect!["+a"]);
}

#[test]
fn several_statements_and_those_without_rows() {
    check(
        "BEGIN; UPDATE a SET x = 1; INSERT INTO b SELECT * FROM c; COMMIT",
        expect!["+a +b -c"],
    );
    check(
        "PRAGMA journal_mode = WAL; CREATE TABLE a (id INTEGER, FOREIGN KEY (id) REFERENCES b)",
        expect![""],
    );
    check(
        "CREATE TRIGGER t AFTER UPDATE ON a BEGIN UPDATE b SET x = CASE 1 WHEN 1 THEN 2 END; DELETE FROM c; END; \
         DELETE FROM d",
        expect!["+d"],
    );
    check("", expect![""]);
    check(";;", expect![""]);
}

#[test]
fn what_cannot_be_followed_is_unknown_and_not_none() {
    check("SELEC * FROM a", expect!["?"]);
    check("SELECT * FROM", expect!["?"]);
    check("SELECT * FROM a WHERE x IN (1", expect!["-a ?"]);
    check("SELECT * FROM a)", expect!["-a ?"]);
    check("SELECT 'open", expect!["?"]);
    let long = format!("SELECT '{}' FROM a", "x".repeat(SQL_BYTES_MAX));
    assert_eq!(shown(&long), "?");
    let many: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    let analysis = scan(
        &format!("SELECT * FROM {}", many.join(",")),
        Dialect::Sqlite,
    );
    assert_eq!(
        (analysis.entities.len(), analysis.unknown),
        (SQL_ENTITIES_MAX, true)
    );
}

#[test]
fn s18_literals_and_comments_never_become_names() {
    let text = "SELECT 'from secret@example.org', x'00' /* FROM c1 */ FROM a -- JOIN c2\n WHERE t = 'INTO s3cret'";
    check(text, expect!["-a"]);
    assert!(!format!("{:?}", scan(text, Dialect::Sqlite)).contains("s3cret"));
}

#[allow(clippy::needless_pass_by_value)] // `expect!` makes one for each call
fn postgres(text: &str, expected: Expect) {
    expected.assert_eq(&shown_as(text, Dialect::Postgres));
}

#[allow(clippy::needless_pass_by_value)] // `expect!` makes one for each call
fn mysql(text: &str, expected: Expect) {
    expected.assert_eq(&shown_as(text, Dialect::MySql));
}

#[test]
fn postgres_queries() {
    postgres(
        "SELECT a.x::text, $1 FROM shop.product a WHERE a.id = ANY($2) AND b = $q$ FROM secret $q$",
        expect!["-product"],
    );
    postgres(
        "SELECT extract(year FROM x), substring(y FROM 1 FOR 2), trim(both ' ' FROM z) FROM a",
        expect!["-a"],
    );
    postgres(
        "SELECT * FROM a JOIN b ON a.x = ANY(ARRAY[1, 2, 3]) WHERE c = E'it\\'s'",
        expect!["-a -b"],
    );
    postgres(
        "SELECT * FROM product p, stock s WHERE p.id = s.id FOR UPDATE OF p, s SKIP LOCKED",
        expect!["-product -stock"],
    );
    postgres(
        "SELECT * FROM ONLY a CROSS JOIN LATERAL (SELECT * FROM b WHERE b.i = a.i) x, LATERAL f(a.x, 1) y",
        expect!["-a -b"],
    );
    postgres(
        "SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS t(n, i), \"Line Item\" TABLESAMPLE system (10)",
        expect!["-line item"],
    );
    postgres("SELECT DISTINCT ON (a, b) * FROM t OFFSET 1", expect!["-t"]);
    postgres("SELECT only.x FROM only", expect!["-only"]);
    postgres("TABLE a", expect!["-a"]);
    postgres("SELECT x INTO TEMP t FROM a", expect!["-a +t"]);
    postgres(
        "SELECT relname FROM pg_class JOIN pg_catalog.x USING (oid), information_schema.tables",
        expect![""],
    );
    postgres(
        "DECLARE c NO SCROLL CURSOR FOR SELECT * FROM a; FETCH 10 FROM c; CLOSE c",
        expect!["-a"],
    );
}

#[test]
fn postgres_writes() {
    postgres(
        "INSERT INTO shop.a AS t (x) VALUES ($1), ($2) ON CONFLICT (x) DO UPDATE SET x = excluded.x RETURNING id, x",
        expect!["+a"],
    );
    postgres(
        "WITH d AS (DELETE FROM a USING b, c WHERE a.i = b.i RETURNING *), \
         u AS MATERIALIZED (UPDATE e SET x = 1 FROM f RETURNING *) \
         INSERT INTO g SELECT * FROM d, u",
        expect!["+a -b -c +e -f +g"],
    );
    postgres(
        "WITH i AS (INSERT INTO a VALUES (1) RETURNING id) SELECT * FROM i JOIN b USING (id)",
        expect!["+a -b"],
    );
    postgres(
        "DELETE FROM ONLY a USING b JOIN c USING (id, k) WHERE a.id = b.id RETURNING a.x, b.y",
        expect!["+a -b -c"],
    );
    postgres("UPDATE ONLY a * SET x = 1", expect!["+a"]);
    postgres(
        "MERGE INTO a t USING (SELECT * FROM b) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET x = s.x, y = 1 \
         WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, s.x)",
        expect!["+a -b"],
    );
    postgres("TRUNCATE TABLE ONLY a, b CASCADE", expect!["+a +b"]);
    postgres("COPY a (x, y) FROM STDIN (FORMAT binary)", expect!["+a"]);
    postgres("COPY shop.a TO STDOUT", expect!["-a"]);
    postgres("COPY (SELECT * FROM a, b) TO STDOUT", expect!["-a -b"]);
}

#[test]
fn postgres_statements_without_rows_and_those_that_hide_them() {
    postgres(
        "LOCK TABLE a, b IN SHARE MODE; SET search_path = x, y; LISTEN c; START TRANSACTION; SHOW all",
        expect![""],
    );
    postgres(
        "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); DELETE FROM b",
        expect!["+b"],
    );
    postgres(
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM a; SELECT 1; END; SELECT * FROM b",
        expect!["-b"],
    );
    postgres("DO $$ BEGIN DELETE FROM a; END $$", expect!["?"]);
    postgres("CALL p($1)", expect!["?"]);
    postgres("CREATE TABLE a AS SELECT * FROM b", expect!["?"]);
    postgres(
        "CREATE MATERIALIZED VIEW a AS SELECT * FROM b",
        expect!["?"],
    );
    postgres(
        "CREATE TABLE a (x int GENERATED ALWAYS AS IDENTITY); CREATE VIEW b AS SELECT * FROM a",
        expect![""],
    );
    postgres("EXECUTE x", expect!["?"]);
    postgres("SELECT * FROM $1", expect!["?"]);
    postgres("DECLARE c CURSOR", expect!["?"]);
}

#[test]
fn mysql_statements() {
    mysql(
        "SELECT `a`.x FROM `shop`.`Product` a STRAIGHT_JOIN b WHERE y = \"FROM secret\" # FROM c\n",
        expect!["-b -product"],
    );
    mysql(
        "INSERT IGNORE INTO a (x) VALUES (?) ON DUPLICATE KEY UPDATE x = VALUES(x), y = 1",
        expect!["+a"],
    );
    mysql("INSERT a VALUES (1), (2)", expect!["+a"]);
    mysql("REPLACE LOW_PRIORITY b SELECT * FROM c", expect!["+b -c"]);
    mysql("DELETE QUICK FROM a WHERE x = ?", expect!["+a"]);
    mysql("DELETE a FROM a JOIN b USING (id)", expect!["-a +a -b"]);
    // Which table `p` is, or which of two is written, is not followed.
    mysql("DELETE p FROM product p", expect!["-product ?"]);
    mysql("UPDATE IGNORE a SET x = 1, y = 2", expect!["+a"]);
    mysql(
        "UPDATE a JOIN b USING (id) SET a.x = b.x",
        expect!["+a -b ?"],
    );
    mysql("SELECT 1 FROM dual", expect![""]);
    mysql("SELECT x FROM a LOCK IN SHARE MODE", expect!["-a"]);
}

#[test]
fn rows_are_those_of_the_only_statement() {
    let rows = |text| scan(text, Dialect::Postgres).rows;
    assert_eq!(rows("SELECT 1"), Some(Access::Read));
    let mixed = "WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d";
    assert_eq!(rows(mixed), Some(Access::Read));
    let mixed = "WITH d AS (SELECT 1) UPDATE a SET x = 1 FROM d";
    assert_eq!(rows(mixed), Some(Access::Write));
    assert_eq!(rows("COPY a FROM STDIN"), Some(Access::Write));
    assert_eq!(rows("COPY (SELECT 1) TO STDOUT"), Some(Access::Read));
    assert_eq!(rows("SELECT 1; SELECT 2"), None);
    assert_eq!(rows("BEGIN"), None);
}

#[test]
fn an_unknown_dialect_follows_the_standard() {
    let text = "INSERT INTO a SELECT * FROM \"B\" WHERE x = :name";
    assert_eq!(shown_as(text, Dialect::Other), "+a -b");
}

#[test]
fn depth_costs_no_stack() {
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let run = || {
        assert_eq!(shown(&"(".repeat(60_000)), "?");
        let deep = format!(
            "SELECT {}1{} FROM a",
            "(".repeat(30_000),
            ")".repeat(30_000)
        );
        assert_eq!(shown(&deep), "-a");
        assert_eq!(
            shown(&format!("SELECT 1{} FROM a", "+1".repeat(30_000))),
            "-a"
        );
    };
    thread.spawn(run).unwrap().join().unwrap();
}

proptest! {
    #[test]
    fn no_text_panics(text in "(SELECT|FROM|WITH|INTO|UPDATE|DELETE|INSERT|MERGE|COPY|USING|DECLARE|FOR|TO|[(),;.'a1$\\[\\] ]|AS|END|BEGIN|CASE|TRIGGER|CREATE| ){0,40}") {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::Other] {
            scan(&text, dialect);
        }
    }
}
