//! A client that Weighbridge does not know, weighed by hand; here a channel stands for the broker, and a map in memory
//! for the database. `docs/adapters.md` is the guide.
//! `cargo run -p weighbridge-agent --example messages`

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use weighbridge_agent::messages::{Arrival, Peer};
use weighbridge_agent::{entity, entity_size, job};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the broker carries.
struct Message {
    headers: Vec<(&'static str, String)>,
    payload: Vec<u8>,
}

/// A broker on this host: headers go to whom we trust.
fn peer() -> Peer {
    let peer = Peer::new("channel", "broker");
    peer.set_addresses([std::net::Ipv4Addr::LOCALHOST.into()]);
    peer
}

async fn publish(peer: &Peer, broker: &mpsc::Sender<Message>, order: u64) -> Result<()> {
    let mut publication = peer.publish("orders.created");
    let payload = publication.encode(|| order.to_string().into_bytes());
    let body_bytes = payload.len() as u64;
    let headers = publication.headers();
    let message = Message { headers, payload };
    publication.wait(broker.send(message)).await?;
    publication.sent(body_bytes);
    publication.end();
    Ok(())
}

async fn consume(
    peer: &Peer,
    message: Message,
    booked: &Mutex<BTreeMap<u64, usize>>,
) -> Result<()> {
    let headers = message.headers.iter();
    let headers = headers.map(|(name, value)| (*name, value.as_str()));
    let arrival = Arrival::of_bytes(message.payload.len() as u64).with_headers(headers);
    let consumption = peer.consume("orders.created", &arrival);
    let handler = async {
        let read = || -> Result<u64> { Ok(std::str::from_utf8(&message.payload)?.parse()?) };
        let order = weighbridge_agent::decode(read)?;
        // No statement shows this map: say which key is touched, and how large it is.
        entity!("order", key = order, write = true);
        let mut booked = booked.lock().unwrap_or_else(PoisonError::into_inner);
        booked.insert(order, message.payload.len());
        entity_size("memory", "order", Some(booked.len() as u64), None);
        Ok(())
    };
    consumption.try_run(handler).await
}

#[weighbridge_agent::main]
async fn main() -> Result<()> {
    let _agent = weighbridge_agent::init(); // without a collector it prints the table at the end
    let (broker, mut arrived) = mpsc::channel(16);
    let publishing = job("evening orders", async move {
        for order in 0..10 {
            publish(&peer(), &broker, order).await?;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let published = tokio::spawn(publishing);
    let booked = Mutex::new(BTreeMap::new());
    let peer = peer();
    while let Some(message) = arrived.recv().await {
        consume(&peer, message, &booked).await?;
    }
    published.await??;
    match booked.into_inner().map(|booked| booked.len()) {
        Ok(10) => Ok(()),
        other => Err(format!("{other:?} orders instead of 10").into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
