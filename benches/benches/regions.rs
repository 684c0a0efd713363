//! What the regions layer adds to a span, beside what tracing costs itself: the same spans under a registry
//! with the layer and one without, in off-on-on-off blocks on one thread, inside a request.
//!
//! `--quick` runs a short form.

use std::convert::Infallible;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use tracing::dispatcher::{Dispatch, with_default};
use tracing::{Span, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use weighbridge_agent::{Delivery, Sink};
use weighbridge_benches::blocks::{differences, in_turns};
use weighbridge_benches::clock::thread_cpu_ns;
use weighbridge_benches::{Figure, Interval, Report, say};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

/// A sink that keeps nothing.
struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

/// What entering and leaving may add: two readings of the clock, and 40 ns.
const ENTERED_MAX_NS: f64 = 60.0;

/// Spans in a block: some tenths of a millisecond.
const SPANS: usize = 2_000;

/// CPU per span of one block, in ns.
fn block(dispatch: &Dispatch, work: fn(&Span)) -> f64 {
    with_default(dispatch, || {
        let outer = info_span!("outer");
        let _outer = outer.enter();
        let span = info_span!("inner");
        let begun = thread_cpu_ns();
        for _ in 0..SPANS {
            work(&span);
        }
        (thread_cpu_ns() - begun) as f64 / SPANS as f64
    })
}

fn measure(pairs: usize, work: fn(&Span)) -> Option<Interval> {
    let with = Dispatch::new(tracing_subscriber::registry().with(weighbridge_agent::regions()));
    let without = Dispatch::new(tracing_subscriber::registry());
    for dispatch in [&with, &without] {
        block(dispatch, work);
    }
    let turns = in_turns(pairs, |on| {
        Ok::<_, Infallible>(block(if on { &with } else { &without }, work))
    });
    let Ok(turns) = turns;
    Interval::of_mean(&differences(&turns))
}

/// Enters and leaves a span that exists.
fn entered(span: &Span) {
    let _entered = black_box(span).enter();
}

/// The whole life of a span.
fn lived(_: &Span) {
    let span = info_span!("inner");
    let _entered = black_box(&span).enter();
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let pairs = if quick { 40 } else { 400 };
    let mut report = Report::new("regions");
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        say::note("no runtime: allow the process one more descriptor");
        return ExitCode::FAILURE;
    };
    runtime.block_on(weighbridge_agent::job("bench", async {
        report.push(
            Figure::of("enter and leave", measure(pairs, entered), "ns")
                .at_most(ENTERED_MAX_NS)
                .note("added to tracing-subscriber's registry, on the clock that the machine has"),
        );
        report.push(
            Figure::of("a span's whole life", measure(pairs, lived), "ns")
                .note("the first entering looks its region up and remembers it with the span"),
        );
    }));
    // Outside of requests nothing is measured, and nothing read.
    report.push(Figure::of(
        "enter and leave outside of requests",
        measure(pairs, entered),
        "ns",
    ));
    weighbridge_agent::bench::pause();
    report.push(Figure::of(
        "enter and leave, agent off",
        measure(pairs, entered),
        "ns",
    ));
    weighbridge_agent::bench::resume();
    drop(agent);
    report.finish()
}
