//! What weighing adds to a message over NATS, beside what the client costs itself: the same messages through the
//! weighed client and through the bare one, in off-on-on-off blocks against a real server. All of this process runs on
//! one thread, the client's own task too, so its clock sees longer headers as well.
//!
//! `--quick` runs a short form.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;
use weighbridge_agent::nats::{self, Client};
use weighbridge_agent::{Delivery, Sink, job};
use weighbridge_benches::blocks::{differences, in_turns};
use weighbridge_benches::clock::thread_cpu_ns;
use weighbridge_benches::{Figure, Interval, Report, say};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

type Failure = Box<dyn Error + Send + Sync>;

/// Messages in a block.
const MESSAGES: usize = 1_000;
/// How many are under way at one time.
const BURST: usize = 50;
const BODY_BYTES: usize = 200;
/// Added to one message, at most.
const LIMIT_US: f64 = 1.0;

/// A sink that keeps nothing.
struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

/// The server, ended when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("nats-server (apt-get install nats-server): {error}"))?;
        let server = Self { child, port };
        for _ in 0..500 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("nats-server does not listen".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes bursts, weighed or bare.
async fn publish(client: &Client, weighed: bool, body: &Bytes) -> Result<(), Failure> {
    for _ in 0..MESSAGES / BURST {
        for _ in 0..BURST {
            if weighed {
                client.publish("bench.published", body.clone()).await?;
            } else {
                client
                    .inner()
                    .publish("bench.published", body.clone())
                    .await?;
            }
        }
        client.inner().flush().await?;
    }
    Ok(())
}

/// Publishes bursts of bare messages and consumes them, weighed or bare. What publishing costs is in both.
async fn consume(
    client: &Client,
    bare: &mut Subscriber,
    weighed: Option<&mut nats::Subscriber>,
    body: &Bytes,
) -> Result<(), Failure> {
    let gone = || Failure::from("the server is gone");
    let mut weighed = weighed;
    let subject = match weighed {
        Some(_) => "bench.weighed",
        None => "bench.bare",
    };
    for _ in 0..MESSAGES / BURST {
        for _ in 0..BURST {
            client.inner().publish(subject, body.clone()).await?;
        }
        client.inner().flush().await?;
        for _ in 0..BURST {
            match &mut weighed {
                Some(weighed) => {
                    let delivery = weighed.next().await.ok_or_else(gone)?;
                    delivery.run(|message| async move { drop(message) }).await;
                }
                None => drop(bare.next().await.ok_or_else(gone)?),
            }
        }
    }
    Ok(())
}

fn measure(runtime: &Runtime, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let server = Server::start()?;
    let address = format!("127.0.0.1:{}", server.port);
    let client = runtime.block_on(nats::connect("bench", address))?;
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let added = cost(pairs, |on| {
        runtime.block_on(job("publishes", publish(&client, on, &body)))
    })?;
    report.push(
        Figure::of("a published message", added, "µs")
            .at_most(LIMIT_US)
            .note("in a request; what the client pays for the chain's headers is in it"),
    );
    let mut bare = runtime.block_on(client.inner().subscribe("bench.bare"))?;
    let mut weighed = runtime.block_on(client.subscribe("bench.weighed"))?;
    let added = cost(pairs, |on| {
        let weighed = on.then_some(&mut weighed);
        runtime.block_on(consume(&client, &mut bare, weighed, &body))
    })?;
    report.push(
        Figure::of("a consumed message", added, "µs")
            .at_most(LIMIT_US)
            .note("a request of its own: opened, run, closed"),
    );
    Ok(())
}

/// What being weighed adds to a message, in µs of this thread.
fn cost(
    pairs: usize,
    mut block: impl FnMut(bool) -> Result<(), Failure>,
) -> Result<Option<Interval>, Failure> {
    block(false)?;
    block(true)?;
    let turns = in_turns(pairs, |on| {
        let begun = thread_cpu_ns();
        block(on)?;
        Ok::<_, Failure>((thread_cpu_ns() - begun) as f64 / MESSAGES as f64 / 1e3)
    })?;
    Ok(Interval::of_mean(&differences(&turns)))
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let pairs = if quick { 20 } else { 150 };
    let mut report = Report::new("messages");
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    let measured = weighbridge_agent::runtime_current_thread()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| measure(&runtime, pairs, &mut report));
    if let Err(error) = measured {
        say::note(&format!("the bench broke off: {error}"));
        return ExitCode::FAILURE;
    }
    drop(agent);
    report.finish()
}
