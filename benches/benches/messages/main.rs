//! What weighing adds to a message of a broker, beside what the client costs itself: the same messages through the
//! weighed client and through the bare one, in off-on-on-off blocks against a real server. CPU is that of this
//! process, the client's own tasks and threads included, which see longer headers too.
//!
//! `--quick` runs a short form; a name (`nats`, `amqp`, `mqtt`) runs only that broker, and then the document is
//! `messages_NAME`. `--count FIGURE on|off BLOCKS` runs nothing but so many blocks of one figure, for an instruction
//! counter: see [`weighbridge_benches::blocks::Extent`].

mod amqp;
mod mqtt;
mod nats;
#[path = "../../../agent/tests/support/servers.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
// what the agent's tests start their servers by
mod servers;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;
use weighbridge_agent::{Delivery, Sink};
use weighbridge_benches::blocks::{Extent, differences, in_turns};
use weighbridge_benches::clock::process_cpu_ns;
use weighbridge_benches::interval::average;
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

fn body() -> Bytes {
    Bytes::from(vec![b'x'; BODY_BYTES])
}

fn missing(server: &str) -> Failure {
    format!("{server} is not installed: `cargo xtask test` installs it from Debian").into()
}

/// What being weighed adds to a message, in µs of this process.
fn cost(
    [name, note]: [&str; 2],
    extent: &Extent,
    report: &mut Report,
    mut block: impl FnMut(bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(pairs) = extent.pairs_or_count(name, &mut block)? else {
        return Ok(());
    };
    block(false)?;
    block(true)?;
    let turns = in_turns(pairs, |on| {
        let begun = process_cpu_ns();
        block(on)?;
        Ok::<_, Failure>((process_cpu_ns() - begun) as f64 / MESSAGES as f64 / 1e3)
    })?;
    let bare: Vec<f64> = turns.iter().map(|pair| pair.off).collect();
    let added = Interval::of_mean(&differences(&turns));
    let figure = Figure::of(format!("added: {name}"), added, "µs/message");
    report.push(figure.at_most(LIMIT_US).note(format!(
        "over {:.1} µs of the bare client, from {} blocks of {MESSAGES} messages{note}",
        average(&bare),
        pairs * 4
    )));
    Ok(())
}

type Bench = fn(&Runtime, &Extent, &mut Report) -> Result<(), Failure>;

const ALL: [(&str, Bench); 3] = [
    ("nats", nats::measure),
    ("amqp", amqp::measure),
    ("mqtt", mqtt::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only = |name: &str| arguments.iter().any(|argument| argument == name);
    let chosen: Vec<_> = ALL.iter().filter(|(name, _)| only(name)).collect();
    let (mut report, chosen) = match &chosen[..] {
        [] => (Report::new("messages"), ALL.iter().collect()),
        some => {
            let names: Vec<&str> = some.iter().map(|(name, _)| *name).collect();
            let report = Report::of_part("messages", &names.join("_"), &names);
            (report, chosen)
        }
    };
    let extent = match Extent::counting(&arguments) {
        Some(counting) => counting,
        None => Extent::Pairs(if quick { 20 } else { 150 }),
    };
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    for (name, bench) in chosen {
        let measured = weighbridge_agent::runtime_current_thread()
            .build()
            .map_err(Failure::from)
            .and_then(|runtime| bench(&runtime, &extent, &mut report));
        if let Err(error) = measured {
            say::note(&format!("the bench of {name} broke off: {error}"));
            return ExitCode::FAILURE;
        }
    }
    drop(agent);
    if extent.is_counting() {
        return ExitCode::SUCCESS;
    }
    report.finish()
}
