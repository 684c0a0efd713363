//! Headers of all kinds of garbage cost a bounded amount of work: memory and allocations to the byte, CPU time within
//! the noise of its clock.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // the count is an allocator

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response};
use support::{Ledger, thread_cpu};
use tower::{Layer as _, Service as _, service_fn};
use weighbridge_agent::limits::{BAGGAGE_BYTES_MAX, BAGGAGE_HEADERS_MAX, HOP_BYTES_MAX};
use weighbridge_agent::{BAGGAGE, HOP, TRACEPARENT};

/// Counts on threads that are told to.
struct Count;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Count {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.get() {
            ALLOCATIONS.set(ALLOCATIONS.get() + 1);
            BYTES.set(BYTES.get() + layout.size());
        }
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOC: Count = Count;

#[derive(Clone, Copy, Debug)]
struct Work {
    allocations: usize,
    bytes: usize,
    /// CPU time, the least of a few requests.
    cpu: Duration,
}

impl PartialEq for Work {
    fn eq(&self, other: &Self) -> bool {
        (self.allocations, self.bytes) == (other.allocations, other.bytes)
    }
}

/// What a thousand times as long a header may add. A megabyte takes longer to look at in an unoptimised build, however
/// little is done with each byte.
const CPU_ADDED_MAX: Duration = Duration::from_millis(1);
/// What one header more may add, in an unoptimised build.
const CPU_OF_ONE_MAX: Duration = Duration::from_micros(2);

/// What one request with these headers costs in the layer, from a peer that is trusted or not. The first one
/// makes the names, so the second is counted.
fn work(trusted: bool, headers: &[(&'static str, Vec<u8>)]) -> Work {
    once(trusted, headers);
    // The least of each: a histogram or a table may grow in one of them.
    let few: Vec<Work> = (0..5).map(|_| once(trusted, headers)).collect();
    Work {
        allocations: few.iter().map(|it| it.allocations).min().unwrap(),
        bytes: few.iter().map(|it| it.bytes).min().unwrap(),
        cpu: few.iter().map(|it| it.cpu).min().unwrap(),
    }
}

/// An agent that measures, once for the process: without one the layer does less.
fn measuring() {
    static AGENT: OnceLock<(Arc<Ledger>, weighbridge_agent::Agent)> = OnceLock::new();
    AGENT.get_or_init(|| {
        let ledger = Ledger::new();
        let agent = weighbridge_agent::builder()
            .service("reads headers")
            .window(Duration::from_secs(3_600))
            .sink(ledger.clone())
            .try_init();
        (ledger, agent.unwrap())
    });
}

fn once(trusted: bool, headers: &[(&'static str, Vec<u8>)]) -> Work {
    measuring();
    let mut service = weighbridge_agent::layer().layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let peer: std::net::SocketAddr = if trusted {
        "127.0.0.1:9"
    } else {
        "203.0.113.9:9"
    }
    .parse()
    .unwrap();
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(peer);
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(name, value);
    }
    ALLOCATIONS.set(0);
    BYTES.set(0);
    let begun = thread_cpu();
    ON.set(true);
    let answer = service.call(request).now_or_never();
    ON.set(false);
    let cpu = thread_cpu() - begun;
    assert_eq!(answer.unwrap().unwrap().status(), 200);
    Work {
        allocations: ALLOCATIONS.get(),
        bytes: BYTES.get(),
        cpu,
    }
}

const MEGABYTE: usize = 1 << 20;
const A_HOP: &[u8] = b"1;shop;GET%20%2F;0123456789abcdef;s;1";
const A_TRACE: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn fill(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(len).collect()
}

#[test]
fn a_header_costs_no_more_for_being_a_thousand_times_as_long() {
    for trusted in [true, false] {
        let usual = work(
            trusted,
            &[
                (TRACEPARENT, A_TRACE.to_vec()),
                (HOP, A_HOP.to_vec()),
                (
                    BAGGAGE,
                    b"weighbridge.origin=shop;GET%20%2F,tenant=7".to_vec(),
                ),
            ],
        );
        assert!(usual.allocations > 0, "it is counted");
        for (name, unit) in [
            (TRACEPARENT, &b"0"[..]),
            (TRACEPARENT, A_TRACE),
            (TRACEPARENT, "0ß0af7651916cd43ß".as_bytes()),
            ("tracestate", b"vendor=value,"),
            (HOP, b"1;"),
            (HOP, b"1;a;b;c;s;9;9;9;9;9;"),
            (HOP, b"%00"),
            (HOP, b"\xff\xfe"),
            (BAGGAGE, b","),
            (BAGGAGE, b"a=b,"),
            (BAGGAGE, b"weighbridge.origin=%;%,"),
            (BAGGAGE, b"\xff"),
        ] {
            let of = |len: usize| work(trusted, &[(name, fill(unit, len))]);
            // Around what is the right length of a traceparent, and the longest that is read.
            for len in (1..4).chain(51..60).chain(508..516) {
                once(trusted, &[(name, fill(unit, len))]);
            }
            let (long, longer) = (of(MEGABYTE / 4), of(4 * MEGABYTE));
            assert_eq!(long, longer, "{name} of {unit:?}, trusted: {trusted}");
            assert!(
                longer.cpu < usual.cpu + CPU_ADDED_MAX,
                "{name} of {unit:?}, trusted: {trusted}: {longer:?}; usually {usual:?}"
            );
            // Up to its bound a header may be copied a few times, and never more than that.
            let most = of(BAGGAGE_BYTES_MAX.max(HOP_BYTES_MAX) - 1);
            assert!(
                longer.bytes <= usual.bytes + 4 * BAGGAGE_BYTES_MAX
                    && most.bytes <= usual.bytes + 4 * BAGGAGE_BYTES_MAX
                    && most.allocations.max(longer.allocations) <= usual.allocations + 8,
                "{name} of {unit:?}, trusted: {trusted}: {most:?}, {longer:?}; usually {usual:?}"
            );
        }
    }
}

#[test]
fn five_thousand_headers_cost_what_five_hundred_do() {
    for trusted in [true, false] {
        for (name, unit) in [
            (BAGGAGE, &b"weighbridge.origin=a;b,c=d"[..]),
            (BAGGAGE, b"k=v"),
            (HOP, A_HOP),
            (TRACEPARENT, A_TRACE),
            ("tracestate", b"a=b"),
        ] {
            let of = |count: usize| {
                let mut headers = vec![(name, unit.to_vec()); count];
                if name != HOP {
                    headers.push((HOP, A_HOP.to_vec()));
                }
                work(trusted, &headers)
            };
            let (many, more) = (of(500), of(5_000));
            assert_eq!(many, more, "{name}, trusted: {trusted}");
            // Where headers are taken off, the map itself walks all of them for each one, with debug assertions.
            assert!(
                !trusted || more.cpu < many.cpu + 4_500 * CPU_OF_ONE_MAX,
                "{name}, trusted: {trusted}: {many:?}, {more:?}"
            );
            assert!(
                more.allocations <= 40 + 8 * BAGGAGE_HEADERS_MAX
                    && more.bytes <= 8 * BAGGAGE_BYTES_MAX,
                "{name}, trusted: {trusted}: {more:?}"
            );
        }
    }
}
