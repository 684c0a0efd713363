//! The agent beside others, each in a server of its own.

use std::io;
use std::path::Path;

use weighbridge_benches::child::Server;
use weighbridge_benches::interval::average;
use weighbridge_benches::load::http1::{self, Http1};
use weighbridge_benches::load::{self, Load};
use weighbridge_benches::otlp::Otlp;
use weighbridge_benches::{Figure, Interval, Report, say};

use super::Extent;

/// What everything on may add, in µs of CPU a request; also what noise must not hide when switched off.
const ADDED_MAX_US: f64 = 0.6;
const CONNECTIONS: usize = 16;
const REQUESTS: u64 = 4_000;

struct Peer {
    name: &'static str,
    program: Option<&'static str>,
    settings: Vec<(&'static str, String)>,
}

const PLAIN: &str = "axum::serve";
const OURS: &str = "weighbridge";
const OFF: &str = "weighbridge with WEIGHBRIDGE_ENABLED=false";
const OTEL: &str = "TraceLayer + tracing-opentelemetry + OTLP batch export";
const FASTRACE: &str = "fastrace, one span a request";
const HOTPATH: &str = "hotpath's axum layer";

/// Where those go who export: over HTTP, on loopback, to this process.
struct Sinks {
    /// Our collector.
    ours: Otlp,
    otlp: Otlp,
}

fn peers(sinks: &Sinks) -> Vec<Peer> {
    let peer = |name, program| Peer {
        name,
        program,
        settings: Vec::new(),
    };
    let with = |name, program, setting, value| Peer {
        settings: vec![(setting, value)],
        ..peer(name, program)
    };
    let ours = Some(env!("CARGO_BIN_EXE_serve_weighed"));
    let ledger = format!("http://{}", sinks.ours.address);
    let traces = format!("http://{}/v1/traces", sinks.otlp.address);
    vec![
        peer(PLAIN, Some(env!("CARGO_BIN_EXE_serve_plain"))),
        with(OURS, ours, "WEIGHBRIDGE_ENDPOINT", ledger),
        with(OFF, ours, "WEIGHBRIDGE_ENABLED", "false".into()),
        with(
            OTEL,
            measured_beside(option_env!("CARGO_BIN_EXE_serve_otel")),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            traces,
        ),
        peer(
            FASTRACE,
            measured_beside(option_env!("CARGO_BIN_EXE_serve_fastrace")),
        ),
        peer(
            HOTPATH,
            measured_beside(option_env!("CARGO_BIN_EXE_serve_hotpath")),
        ),
    ]
    .into_iter()
    .filter(|peer| {
        if peer.program.is_none() {
            say::note(&format!(
                "left out: {}; it needs --features peers",
                peer.name
            ));
        }
        peer.program.is_some()
    })
    .collect()
}

/// Cargo names programs of features that are off as well.
fn measured_beside(program: Option<&'static str>) -> Option<&'static str> {
    program.filter(|_| cfg!(feature = "peers"))
}

/// Per peer, the CPU per request in each round.
struct Rounds(Vec<(&'static str, Vec<f64>)>);

impl Rounds {
    fn of(&self, name: &str) -> Option<&[f64]> {
        let (_, rounds) = self.0.iter().find(|(other, _)| *other == name)?;
        Some(rounds)
    }

    /// What `a` takes more than `b`, round by round.
    fn difference(&self, a: &str, b: &str) -> Option<Vec<f64>> {
        let (a, b) = (self.of(a)?, self.of(b)?);
        Some(a.iter().zip(b).map(|(a, b)| a - b).collect())
    }
}

pub(crate) fn measure(extent: Extent, report: &mut Report) -> io::Result<()> {
    let sinks = Sinks {
        ours: Otlp::start()?,
        otlp: Otlp::start()?,
    };
    let peers = peers(&sinks);
    let mut rounds = Rounds(peers.iter().map(|peer| (peer.name, Vec::new())).collect());
    for n in 0..extent.rounds {
        say::note(&format!("peers, round {} of {}", n + 1, extent.rounds));
        for ((_, rounds), cpu_us) in rounds.0.iter_mut().zip(round(&peers, extent, n)?) {
            rounds.push(cpu_us);
        }
    }
    push(report, &rounds);
    let requests = (extent.rounds * (extent.blocks + 1)) as u64 * REQUESTS;
    let exported = |name: &str, sink: &Otlp| {
        Figure::new(
            format!("exported by {name}"),
            sink.taken_bytes() as f64 / requests as f64,
            "B/request",
        )
    };
    // Its last window leaves when its process ends, and all have.
    if sinks.ours.taken_bytes() == 0 {
        return Err(io::Error::other(
            "weighbridge delivered nothing to the collector, so its figures lack what that costs",
        ));
    }
    report.push(exported(OURS, &sinks.ours));
    if rounds.of(OTEL).is_some() {
        report.push(
            exported(OTEL, &sinks.otlp)
                .note("what its bounded queue did not drop; dropping made it cheaper"),
        );
    }
    Ok(())
}

/// Fresh processes, their blocks interleaved. One connection set per server stays open all the time.
fn round(peers: &[Peer], extent: Extent, number: usize) -> io::Result<Vec<f64>> {
    let mut running = Vec::new();
    for peer in peers {
        let Some(program) = peer.program else {
            continue;
        };
        let settings: Vec<(&str, &str)> = peer
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let server = Server::start(Path::new(program), &settings)?;
        let mut load = Http1::connect(server.address, CONNECTIONS, http1::get("/hello", ""))?;
        load.run(REQUESTS)?;
        running.push((server, load, Vec::new()));
    }
    for block in 0..extent.blocks {
        for turn in 0..running.len() {
            // Each block begins with another peer, so that nobody always follows the same one.
            let turn = (turn + block + number) % running.len();
            let (server, load, blocks) = &mut running[turn];
            blocks.push(load::block(server, load, REQUESTS)?);
        }
    }
    Ok(running
        .iter()
        .map(|(_, _, blocks)| average(blocks))
        .collect())
}

fn push(report: &mut Report, rounds: &Rounds) {
    for (name, cpu_us) in &rounds.0 {
        report.push(Figure::of(
            format!("whole request, 16 connections: {name}"),
            Interval::of_mean(cpu_us),
            "µs/request",
        ));
    }
    for (name, _) in rounds.0.iter().filter(|(name, _)| *name != PLAIN) {
        if let Some(added) = rounds.difference(name, PLAIN) {
            let figure = Figure::of(
                format!("added to axum::serve: {name}"),
                Interval::of_mean(&added),
                "µs/request",
            );
            report.push(match *name {
                OURS => figure.at_most(ADDED_MAX_US),
                OFF => figure.noise(ADDED_MAX_US).note(format!(
                    "kept when the interval holds zero, or lies below it, and half of it is at most {ADDED_MAX_US} µs"
                )),
                _ => figure,
            });
        }
    }
    if let (Some(ours), Some(otel)) = (
        rounds.difference(OURS, PLAIN),
        rounds.difference(OTEL, PLAIN),
    ) {
        let pairs: Vec<(f64, f64)> = ours.into_iter().zip(otel).collect();
        report.push(
            Figure::of(
                format!("added by weighbridge over added by {OTEL}"),
                Interval::of_ratio(&pairs),
                "",
            )
            .at_most(0.1),
        );
    }
    for peer in [FASTRACE, HOTPATH] {
        if let Some(more) = rounds.difference(OURS, peer) {
            report.push(
                Figure::of(
                    format!("weighbridge less {peer}"),
                    Interval::of_mean(&more),
                    "µs/request",
                )
                .at_most(0.0),
            );
        }
    }
}
