//! `sqlx`, weighed, here with PostgreSQL. With the address of a server:
//! `cargo run -p weighbridge-agent --features sqlx-0_9 --example sqlx -- postgres://postgres@127.0.0.1/postgres`

use std::error::Error;

use sqlx::postgres::{PgPoolOptions, PgQueryResult};
use weighbridge_agent::job;
use weighbridge_agent::sqlx::Pool;

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _agent = weighbridge_agent::init();
    let url = std::env::args().nth(1);
    run(url
        .as_deref()
        .unwrap_or("postgres://postgres@127.0.0.1/postgres"))
    .await
}

pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    // A temporary table lives in one connection.
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let db = Pool::new("store", pool).with_rows_affected(PgQueryResult::rows_affected);
    let ddl = "CREATE TEMPORARY TABLE price (sku text PRIMARY KEY, cents bigint NOT NULL)";
    sqlx::query(ddl).execute(&db).await?;
    job("reprice", async {
        let mut tx = db.begin().await?;
        for n in 0..10i64 {
            let insert = sqlx::query("INSERT INTO price VALUES ($1, $2)");
            insert
                .bind(format!("A{n}"))
                .bind(100 * n)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        let all: Vec<(String, i64)> = sqlx::query_as("SELECT sku, cents FROM price")
            .fetch_all(&db)
            .await?;
        assert_eq!(all.len(), 10);
        Ok(())
    })
    .await
}
