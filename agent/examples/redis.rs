//! Redis, weighed. With the address of a server:
//! `cargo run -p weighbridge-agent --features redis-1 --example redis -- redis://127.0.0.1/`
//!
//! The keys' prefixes are declared, so that nothing of a key becomes a name.

use std::error::Error;

use redis::AsyncCommands as _;
use weighbridge_agent::{entity, job};

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _agent = weighbridge_agent::init();
    let url = std::env::args().nth(1);
    run(url.as_deref().unwrap_or("redis://127.0.0.1/")).await
}

pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = redis::Client::open(url)?;
    let mut cache = weighbridge_agent::redis::connect("cache", &client)
        .await?
        .entity("cart", "cart:");
    job("fill a cart", async {
        let customer = 17;
        // Which key it is goes nowhere: only how many different ones requests touch.
        entity!("cart", key = customer, write = true, database = "cache");
        let key = format!("cart:{customer}");
        let _: i64 = cache.del(&key).await?;
        let _: i64 = cache.rpush(&key, "anvil").await?;
        let lines: Vec<String> = cache.lrange(&key, 0, -1).await?;
        assert_eq!(lines, ["anvil"]);
        let _: i64 = cache.del(&key).await?;
        Ok(())
    })
    .await
}
