//! PostgreSQL, weighed. With the settings of a server:
//! `cargo run -p weighbridge-agent --features tokio-postgres-0_7 --example postgres -- "host=127.0.0.1 user=postgres"`
//!
//! The table at the end shows what the job cost, how long it waited for the database, and the connection's own cost.

use std::error::Error;

use weighbridge_agent::{job, postgres};

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _agent = weighbridge_agent::init();
    let settings = std::env::args().nth(1);
    run(settings
        .as_deref()
        .unwrap_or("host=127.0.0.1 user=postgres"))
    .await
}

pub(crate) async fn run(settings: &str) -> Result<(), Box<dyn Error>> {
    // The name is the one under which the tables are shown.
    let mut db = postgres::connect("store", &settings.parse()?).await?;
    let ddl = "CREATE TEMPORARY TABLE price (sku text PRIMARY KEY, cents bigint NOT NULL)";
    db.batch_execute(ddl).await?;
    job("reprice", async {
        let tx = db.transaction().await?;
        let insert = tx.prepare("INSERT INTO price VALUES ($1, $2)").await?;
        for n in 0..10i64 {
            tx.execute(&insert, &[&format!("A{n}"), &(100 * n)]).await?;
        }
        tx.execute("UPDATE price SET cents = cents * 2", &[])
            .await?;
        let dearest = tx.query_one("SELECT max(cents) FROM price", &[]).await?;
        assert_eq!(dearest.get::<_, i64>(0), 1_800);
        tx.commit().await?;
        Ok(())
    })
    .await
}
