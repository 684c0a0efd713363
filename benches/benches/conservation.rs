//! How much of a busy process the ledger does not explain, by protocol, with everything wrapped.
//!
//! The server's own rows are summed over a stretch of load and set against the CPU of the process. A build
//! with `--cfg tokio_unstable`, whose path `WEIGHBRIDGE_BENCH_HOOKED` names, is measured beside it: its poll
//! hooks see every task, so its share of `runtime` is the scheduler alone.
//!
//! The demo's services stand beside it when `WEIGHBRIDGE_BENCH_DEMO` names a `report.json` of theirs: how much
//! of what is not scheduler belongs to requests, connections and drivers, and how much to pools, which are drivers of
//! connections that requests share. The demo must be built with the poll hooks: without them the scheduler's account
//! is `runtime or unwrapped`, which may hold anything, and all of it counts as not explained.
//!
//! `--quick` runs a short form.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use weighbridge_benches::child::Server;
use weighbridge_benches::load::Load;
use weighbridge_benches::load::http1::{self, Http1};
use weighbridge_benches::load::http2::{Call, Http2};
use weighbridge_benches::sink::Shares;
use weighbridge_benches::{Figure, Report, grpc, say, server};
use weighbridge_wire::COLLECTOR_SERVICE;

/// What is not explained may be this share of the process.
const UNATTRIBUTED_LIMIT: f64 = 1.0;
/// Points between `runtime or unwrapped` and the scheduler that the hooks see.
const RUNTIME_LIMIT: f64 = 3.0;
/// What requests, connections, drivers and pools leave unexplained of a demo service, in percent of what is not
/// scheduler.
const DEMO_LIMIT: f64 = 10.0;

type Connect = fn(&Server) -> io::Result<Box<dyn Load>>;

const CASES: &[(&str, u64, Connect)] = &[
    ("HTTP/1 hello, 16 connections", 100_000, |server| {
        let request = http1::get("/hello", "");
        Ok(Box::new(Http1::connect(server.address, 16, request)?))
    }),
    ("HTTP/1 JSON echo, 16 connections", 30_000, |server| {
        let request = http1::post_json("/echo", &serde_json::to_vec(&server::items(50))?);
        Ok(Box::new(Http1::connect(server.address, 16, request)?))
    }),
    ("HTTP/2 hello, 2 connections of 8", 100_000, |server| {
        let call = Call::get("/hello");
        Ok(Box::new(Http2::connect(server.address, 2, 8, call)?))
    }),
    (
        "tonic echo of 20 lines, 2 connections of 8",
        60_000,
        |server| {
            let call = Call::grpc(grpc::PATH, &grpc::lines(20));
            Ok(Box::new(Http2::connect(server.address, 2, 8, call)?))
        },
    ),
];

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let mut report = Report::new("conservation");
    for (name, requests, connect) in CASES {
        let requests = if quick { requests / 10 } else { *requests };
        if let Err(error) = measure(name, requests, *connect, &mut report) {
            say::note(&format!("the bench broke off: {error}"));
            return ExitCode::FAILURE;
        }
    }
    match std::env::var_os("WEIGHBRIDGE_BENCH_DEMO") {
        Some(path) => {
            if let Err(error) = demo(Path::new(&path), &mut report) {
                say::note(&format!("the demo's report cannot be read: {error}"));
                return ExitCode::FAILURE;
            }
        }
        None => say::note("WEIGHBRIDGE_BENCH_DEMO is not set: the demo's services were left out"),
    }
    report.finish()
}

fn demo(path: &Path, report: &mut Report) -> io::Result<()> {
    let document: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let services = document["conservation"]["services"]
        .as_array()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no conservation"))?;
    for service in services {
        let mut by_kind = BTreeMap::<&str, i64>::new();
        let mut scheduler = 0;
        for account in service["accounts"].as_array().into_iter().flatten() {
            let cpu_ns = account["cpu_ns"].as_i64().unwrap_or(0);
            let kind = match (account["kind"].as_str(), account["name"].as_str()) {
                // By this name the poll hooks saw each task, so that the rest is the scheduler.
                (Some("runtime"), Some("runtime")) => {
                    scheduler += cpu_ns;
                    continue;
                }
                (Some("runtime"), name) => name.unwrap_or("unknown"),
                (kind, _) => kind.unwrap_or("unknown"),
            };
            *by_kind.entry(kind).or_default() += cpu_ns;
        }
        let rest: i64 = by_kind.values().sum();
        let unexplained: i64 = by_kind
            .iter()
            .filter(|(kind, _)| !matches!(**kind, "operation" | "connection" | "driver" | "pool"))
            // Signed: what was booked too much does not make up for what is missing.
            .map(|(_, ns)| ns.abs())
            .sum();
        let percent = |ns: i64| ns as f64 * 100.0 / rest as f64;
        let parts: Vec<String> = by_kind
            .iter()
            .map(|(kind, ns)| format!("{kind} {:.2} %", percent(*ns)))
            .collect();
        let name = service["service"].as_str().unwrap_or("a service");
        let figure = Figure::new(
            format!("demo, {name}: not of requests, connections, drivers or pools"),
            percent(unexplained),
            "% of CPU less scheduler",
        );
        // The collector is no service of the demo's, and folds in the background.
        let figure = if name == COLLECTOR_SERVICE {
            figure
        } else {
            figure.at_most(DEMO_LIMIT)
        };
        report.push(figure.note(format!(
            "of {:.2} s: {}; the scheduler took {:.2} s",
            rest as f64 / 1e9,
            parts.join(", "),
            scheduler as f64 / 1e9
        )));
    }
    Ok(())
}

fn measure(name: &str, requests: u64, connect: Connect, report: &mut Report) -> io::Result<()> {
    let stable = shares(
        Path::new(env!("CARGO_BIN_EXE_serve_weighed")),
        requests,
        connect,
    )?;
    push(name, "", &stable, report);
    let Some(hooked) = std::env::var_os("WEIGHBRIDGE_BENCH_HOOKED") else {
        say::note("WEIGHBRIDGE_BENCH_HOOKED is not set: nothing was measured with poll hooks");
        return Ok(());
    };
    let hooked = shares(Path::new(&hooked), requests, connect)?;
    push(name, ", with the hooks", &hooked, report);
    report.push(
        Figure::new(
            format!("{name}: runtime, stable less hooks"),
            stable.percent("runtime") - hooked.percent("runtime"),
            "points",
        )
        .at_most(RUNTIME_LIMIT),
    );
    Ok(())
}

fn shares(program: &Path, requests: u64, connect: Connect) -> io::Result<Shares> {
    let mut server = Server::start(program, &[])?;
    let mut load = connect(&server)?;
    load.run(requests / 10)?;
    // From here on it keeps what it delivers.
    server.ledger()?;
    load.run(requests)?;
    server.ledger()
}

fn push(name: &str, build: &str, shares: &Shares, report: &mut Report) {
    let explained: i64 = shares.requests_ns + shares.owners_ns.values().sum::<i64>();
    let owners: Vec<String> = shares
        .owners_ns
        .keys()
        .map(|kind| format!("{kind} {:.2} %", shares.percent(kind)))
        .collect();
    report.push(
        Figure::new(
            format!("{name}{build}: unattributed"),
            shares.percent("unattributed").abs(),
            "% of CPU",
        )
        .at_most(UNATTRIBUTED_LIMIT)
        .note(format!(
            "of {:.2} s for {} requests: requests {:.2} %, {}",
            shares.process_ns as f64 / 1e9,
            shares.ended,
            shares.requests_ns as f64 * 100.0 / shares.process_ns as f64,
            owners.join(", ")
        )),
    );
    report.push(
        Figure::new(
            format!("{name}{build}: rows, in progress and process, off by"),
            (shares.process_ns - shares.in_progress_ns - explained).abs() as f64,
            "ns",
        )
        .at_most(0.0),
    );
}
