//! What weighing adds to a statement beside the client's own cost: the client as it comes and the weighed one in
//! off-on-on-off blocks on one thread, inside a request. Where no server takes part, in this file, its noise cannot hide
//! nanoseconds; those of PostgreSQL and Redis are in [`against`].
//!
//! `--quick` runs a short form.

mod against;
#[path = "../../../agent/tests/support/servers.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
// what the agent's tests start their servers by
mod servers;

use std::convert::Infallible;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt as _;
use redis::aio::ConnectionLike;
use redis::{AsyncCommands, Cmd, Pipeline, RedisFuture, Value};
use weighbridge_agent::{Delivery, Sink, entity};
use weighbridge_benches::blocks::{differences, in_turns};
use weighbridge_benches::clock::thread_cpu_ns;
use weighbridge_benches::{Figure, Interval, Report, say};

/// A sink that keeps nothing.
struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

/// Statements in a block: some tenths of a millisecond.
const STATEMENTS: usize = 500;

/// CPU per statement of one block, in ns.
fn block(mut statement: impl FnMut()) -> f64 {
    let begun = thread_cpu_ns();
    for _ in 0..STATEMENTS {
        statement();
    }
    (thread_cpu_ns() - begun) as f64 / STATEMENTS as f64
}

fn measure(pairs: usize, mut plain: impl FnMut(), mut weighed: impl FnMut()) -> Option<Interval> {
    block(&mut plain);
    block(&mut weighed);
    let turns = in_turns(pairs, |on| {
        Ok::<_, Infallible>(if on {
            block(&mut weighed)
        } else {
            block(&mut plain)
        })
    });
    let Ok(turns) = turns;
    Interval::of_mean(&differences(&turns))
}

const TABLE: &str = "CREATE TABLE product (id INTEGER PRIMARY KEY, price INTEGER); \
    INSERT INTO product VALUES (1, 250), (2, 300)";
const QUERY: &str = "SELECT price FROM product WHERE id = ?1";

/// A row of SQLite by its key.
fn sqlite(pairs: usize) -> rusqlite::Result<Option<Interval>> {
    let plain = rusqlite::Connection::open_in_memory()?;
    plain.execute_batch(TABLE)?;
    let weighed = weighbridge_agent::sqlite::Connection::open_in_memory("bench")?;
    weighed.execute_batch(TABLE)?;
    let price = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    Ok(measure(
        pairs,
        || {
            let statement = plain.prepare_cached(QUERY);
            black_box(
                statement
                    .and_then(|mut statement| statement.query_row([1], price))
                    .ok(),
            );
        },
        || {
            black_box(weighed.query_row(QUERY, [1], price).ok());
        },
    ))
}

/// A connection that answers at once.
#[derive(Clone)]
struct Canned;

impl ConnectionLike for Canned {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(std::future::ready(Ok(Value::Int(7))))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// A command of Redis.
fn redis(pairs: usize) -> Option<Interval> {
    let mut plain = Canned;
    let mut weighed =
        weighbridge_agent::redis::Connection::new(Canned, "bench").entity("cart", "cart:");
    measure(
        pairs,
        || {
            black_box(plain.get::<_, i64>("cart:17").now_or_never());
        },
        || {
            black_box(weighed.get::<_, i64>("cart:17").now_or_never());
        },
    )
}

fn main() -> ExitCode {
    const LIMIT_NS: f64 = 1_000.0;
    let quick = std::env::args().any(|argument| argument == "--quick");
    let pairs = if quick { 40 } else { 400 };
    let mut report = Report::new("stores");
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    let Ok(runtime) = weighbridge_agent::runtime_current_thread().build() else {
        say::note("no runtime: allow the process one more descriptor");
        return ExitCode::FAILURE;
    };
    let all = |report: &mut Report, state: &str, limit: bool| {
        let figures = [
            ("SQLite, a row by its key", sqlite(pairs).ok().flatten()),
            ("Redis, a command", redis(pairs)),
            (
                "entity!, a key",
                measure(
                    pairs,
                    || (),
                    || entity!("bench product", key = black_box(17)),
                ),
            ),
        ];
        for (name, found) in figures {
            let figure = Figure::of(format!("{name}{state}"), found, "ns");
            let figure = if limit {
                figure.at_most(LIMIT_NS)
            } else {
                figure
            };
            report.push(figure.note("added to what the client itself costs"));
        }
    };
    runtime.block_on(weighbridge_agent::job("bench", async {
        all(&mut report, "", true);
    }));
    let served = against::measure(&runtime, pairs / 10, &mut report);
    weighbridge_agent::bench::pause();
    all(&mut report, ", agent off", false);
    weighbridge_agent::bench::resume();
    drop(agent);
    if let Err(error) = served {
        say::note(&format!("the bench broke off: {error}"));
        return ExitCode::FAILURE;
    }
    report.finish()
}
