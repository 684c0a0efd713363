//! SQLite, weighed: `cargo run -p weighbridge-agent --features rusqlite-0_42 --example sqlite`

use std::error::Error;

use weighbridge_agent::sqlite::Connection;
use weighbridge_agent::{job, spawn_blocking};

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _agent = weighbridge_agent::init();
    let mut db = Connection::open_in_memory("store")?;
    db.execute_batch("CREATE TABLE price (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL)")?;
    job("reprice", async {
        // Statements block: off the threads that serve, with the request that asked for them.
        let written = spawn_blocking(move || {
            db.transaction(|tx| {
                for n in 0..10i64 {
                    tx.execute(
                        "INSERT INTO price VALUES (?1, ?2)",
                        (format!("A{n}"), 100 * n),
                    )?;
                }
                tx.execute("UPDATE price SET cents = cents * 2", [])
            })
        });
        assert_eq!(written.await??, 10);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
