//! Statements against real servers: the round trip, with the client's own task where it has one. CPU is that of this
//! process, in which nothing else runs.

use std::error::Error;
use std::future::Future;
use std::hint::black_box;

use futures_util::future::join_all;
use redis::AsyncCommands as _;
use tokio::runtime::Runtime;
use weighbridge_agent::{job, postgres};
use weighbridge_benches::blocks::{differences, in_turns};
use weighbridge_benches::clock::process_cpu_ns;
use weighbridge_benches::interval::average;
use weighbridge_benches::{Figure, Interval, Report};

use super::servers::{self, Server};

type Failure = Box<dyn Error + Send + Sync>;

/// Statements in a block.
const STATEMENTS: usize = 1_600;
/// How many are under way at one time: what a thread costs that falls asleep at each answer would hide the rest.
const SIDE_BY_SIDE: usize = 16;
/// Added to one statement, at most.
const LIMIT_US: f64 = 1.0;
const QUERY: &str = "SELECT price FROM product WHERE id = $1";

/// Repeats a statement, bare or weighed, in one request.
fn cost<F>(
    runtime: &Runtime,
    name: &str,
    pairs: usize,
    statement: impl Fn(bool) -> F,
) -> Result<Figure, Failure>
where
    F: Future<Output = Result<i64, Failure>>,
{
    let block = |on| {
        let lane = || async {
            for _ in 0..STATEMENTS / SIDE_BY_SIDE {
                black_box(statement(on).await?);
            }
            Ok::<_, Failure>(())
        };
        let lanes = job("bench", join_all((0..SIDE_BY_SIDE).map(|_| lane())));
        let begun = process_cpu_ns();
        for done in weighbridge_agent::block_on(runtime, lanes) {
            done?;
        }
        Ok::<_, Failure>((process_cpu_ns() - begun) as f64 / 1e3 / STATEMENTS as f64)
    };
    block(false)?;
    block(true)?;
    let turns = in_turns(pairs, block)?;
    let bare: Vec<f64> = turns.iter().map(|pair| pair.off).collect();
    let figure = Figure::of(name, Interval::of_mean(&differences(&turns)), "µs")
        .at_most(LIMIT_US)
        .note(format!(
            "added to the {:.1} µs of the bare client, from {} blocks of {STATEMENTS} statements, {SIDE_BY_SIDE} at a time",
            average(&bare),
            pairs * 4
        ));
    Ok(figure)
}

pub(super) fn measure(runtime: &Runtime, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let missing = |server| format!("{server} is not installed: `cargo xtask test` installs it");
    let server = servers::postgres().ok_or_else(|| missing("postgresql"))?;
    report.push(by_tokio_postgres(runtime, &server, pairs)?);
    report.push(by_sqlx(runtime, &server, pairs)?);
    let server = servers::redis().ok_or_else(|| missing("redis-server"))?;
    report.push(by_redis(runtime, &server, pairs)?);
    Ok(())
}

fn by_tokio_postgres(runtime: &Runtime, server: &Server, pairs: usize) -> Result<Figure, Failure> {
    let settings = format!("host=127.0.0.1 port={} user=postgres", server.port);
    let config: postgres::Config = settings.parse()?;
    let connect = async {
        // It listens a little before it takes sessions.
        let (bare, connection) = loop {
            match config.connect(tokio_postgres::NoTls).await {
                Ok(both) => break both,
                Err(error) if error.as_db_error().is_some() => tokio::task::yield_now().await,
                Err(error) => return Err(Failure::from(error)),
            }
        };
        tokio::spawn(connection);
        let ddl = "CREATE TABLE product (id bigint PRIMARY KEY, price bigint); \
            INSERT INTO product VALUES (1, 250), (2, 300)";
        bare.batch_execute(ddl).await?;
        let weighed = postgres::connect("bench", &config).await?;
        Ok((bare, weighed))
    };
    let (bare, weighed) = runtime.block_on(connect)?;
    let bare_query = runtime.block_on(bare.prepare(QUERY))?;
    let weighed_query = runtime.block_on(weighed.prepare(QUERY))?;
    cost(
        runtime,
        "PostgreSQL by tokio-postgres, a row by its key",
        pairs,
        |on| {
            let (bare, weighed) = (&bare, &weighed);
            let (bare_query, weighed_query) = (&bare_query, &weighed_query);
            async move {
                let row = match on {
                    true => weighed.query_one(weighed_query, &[&1i64]).await?,
                    false => bare.query_one(bare_query, &[&1i64]).await?,
                };
                Ok(row.try_get(0)?)
            }
        },
    )
}

fn by_sqlx(runtime: &Runtime, server: &Server, pairs: usize) -> Result<Figure, Failure> {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    let pool = || {
        let options = sqlx::postgres::PgPoolOptions::new()
            .max_connections(u32::try_from(SIDE_BY_SIDE).unwrap_or(1));
        runtime.block_on(options.connect(&url))
    };
    let bare = pool()?;
    let weighed = weighbridge_agent::sqlx::Pool::new("bench", pool()?);
    cost(
        runtime,
        "PostgreSQL by sqlx, a row by its key",
        pairs,
        |on| {
            let (bare, weighed) = (&bare, &weighed);
            async move {
                let query = sqlx::query_scalar(QUERY).bind(1i64);
                Ok(match on {
                    true => query.fetch_one(weighed).await?,
                    false => query.fetch_one(bare).await?,
                })
            }
        },
    )
}

fn by_redis(runtime: &Runtime, server: &Server, pairs: usize) -> Result<Figure, Failure> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port))?;
    let (bare, weighed) = runtime.block_on(async {
        let mut bare = client.get_multiplexed_async_connection().await?;
        let _: () = bare.set("cart:17", 7).await?;
        let weighed = weighbridge_agent::redis::connect("bench", &client).await?;
        Ok::<_, Failure>((bare, weighed.entity("cart", "cart:")))
    })?;
    cost(runtime, "Redis, a command and its answer", pairs, |on| {
        let (mut bare, mut weighed) = (bare.clone(), weighed.clone());
        async move {
            Ok(match on {
                true => weighed.get("cart:17").await?,
                false => bare.get("cart:17").await?,
            })
        }
    })
}
