use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// `-a +b ?`: reads a, writes b, and something could not be followed.
fn shown(text: &str) -> String {
    let analysis = scan(text);
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
    let analysis = scan(&format!("SELECT * FROM {}", many.join(",")));
    assert_eq!(
        (analysis.entities.len(), analysis.unknown),
        (SQL_ENTITIES_MAX, true)
    );
}

#[test]
fn literals_and_comments_never_become_names() {
    let text = "SELECT 'from secret@example.org', x'00' /* FROM c1 */ FROM a -- JOIN c2\n WHERE t = 'INTO s3cret'";
    check(text, expect!["-a"]);
    assert!(!format!("{:?}", scan(text)).contains("s3cret"));
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
    fn no_text_panics(text in "(SELECT|FROM|WITH|INTO|UPDATE|DELETE|[(),;.'a ]|AS|END|CASE|TRIGGER|CREATE| ){0,40}") {
        scan(&text);
    }
}
