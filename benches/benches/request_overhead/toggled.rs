//! The agent against itself switched off, inside one process.

use std::io;
use std::path::Path;

use weighbridge_benches::blocks::{Pair, differences, in_turns};
use weighbridge_benches::child::Server;
use weighbridge_benches::interval::average;
use weighbridge_benches::load::http1::{self, Http1};
use weighbridge_benches::load::http2::{Call, Http2};
use weighbridge_benches::load::{self, Load};
use weighbridge_benches::{Figure, Interval, Report, grpc, server};

use super::Extent;

/// What a calling service that is weighed too sends along.
const CALLER: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\
    baggage: weighbridge.origin=store;POST%20%2Forders\r\n\
    weighbridge-hop: 1;store;POST%20%2Forders;00000000000000ab;s;1764000000000000\r\n";

struct Case {
    name: &'static str,
    load: Kind,
    /// Requests of a block: about a tenth of a second.
    requests: u64,
    limit_us: Option<f64>,
}

enum Kind {
    Http1 {
        connections: usize,
        request: Vec<u8>,
    },
    Http2 {
        connections: usize,
        streams: usize,
        call: Call,
    },
}

impl Kind {
    fn connect(&self, server: &Server) -> io::Result<Box<dyn Load>> {
        Ok(match self {
            Self::Http1 {
                connections,
                request,
            } => Box::new(Http1::connect(
                server.address,
                *connections,
                request.clone(),
            )?),
            Self::Http2 {
                connections,
                streams,
                call,
            } => Box::new(Http2::connect(
                server.address,
                *connections,
                *streams,
                call.clone(),
            )?),
        })
    }
}

pub(crate) fn measure(extent: Extent, report: &mut Report) -> io::Result<()> {
    let http1 = |name, connections, request, requests, limit_us| Case {
        name,
        load: Kind::Http1 {
            connections,
            request,
        },
        requests,
        limit_us,
    };
    let http2 = |name, call, requests| Case {
        name,
        load: Kind::Http2 {
            connections: 2,
            streams: 8,
            call,
        },
        requests,
        limit_us: None,
    };
    let hello = || http1::get("/hello", "");
    let items = serde_json::to_vec(&server::items(50))?;
    let cases = [
        http1("hello, 16 connections", 16, hello(), 4_000, Some(0.6)),
        http1("hello, 64 connections", 64, hello(), 4_000, Some(0.6)),
        http1("hello, 2 connections", 2, hello(), 2_000, Some(2.5)),
        http1(
            "hello from a weighed caller, 16 connections",
            16,
            http1::get("/hello", CALLER),
            4_000,
            Some(0.6),
        ),
        http1(
            "echo of 50 items in JSON, 16 connections",
            16,
            http1::post_json("/echo", &items),
            1_000,
            None,
        ),
        http2(
            "hello over HTTP/2, 2 connections of 8",
            Call::get("/hello"),
            4_000,
        ),
        http2(
            "tonic echo of 20 lines, 2 connections of 8",
            Call::grpc(grpc::PATH, &grpc::lines(20)),
            2_000,
        ),
    ];
    for case in cases {
        let pairs = pairs(&case, extent)?;
        let off: Vec<f64> = pairs.iter().map(|pair| pair.off).collect();
        let mut figure = Figure::of(
            format!("added: {}", case.name),
            Interval::of_mean(&differences(&pairs)),
            "µs/request",
        )
        .note(format!(
            "over {:.1} µs switched off, from {} blocks of {} requests",
            average(&off),
            pairs.len() * 4,
            case.requests
        ));
        if let Some(limit) = case.limit_us {
            figure = figure.at_most(limit);
        }
        report.push(figure);
    }
    Ok(())
}

fn pairs(case: &Case, extent: Extent) -> io::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for _ in 0..extent.toggled_processes {
        let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_serve_weighed")), &[])?;
        let mut load = case.load.connect(&server)?;
        // Caches, allocator and the agent's tables are warm after these.
        load.run(case.requests * 3)?;
        pairs.extend(in_turns(extent.toggled_pairs, |on| {
            server.switch(on)?;
            // The first requests after a switch meet threads whose stamps are stale.
            load.run(64)?;
            load::block(&mut server, load.as_mut(), case.requests)
        })?);
    }
    Ok(pairs)
}
