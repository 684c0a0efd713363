//! A flood of names against small limits: nothing is lost of the totals, what has no place is told and counted, and
//! what weighs most gets a place of its own, the one that comes late too.

#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response};
use support::{Ledger, PATIENCE, assert_conserved, burn, figure};
use tower::{Layer as _, Service as _, service_fn};
use weighbridge_agent::wire::{Delta, LossKey, OTHER, OperationKey, RowKind, column};
use weighbridge_agent::{BAGGAGE, HOP, job, touch_entity};

/// Names of each table.
const MAX: usize = 8;
/// Windows, and light newcomers of each kind in one.
const WINDOWS: usize = 12;
const NEWCOMERS: usize = 40;
/// From this window on there is a heavy one of each kind.
const HEAVY_FROM: usize = 3;
/// Windows that it may take until it has a place: in one it is met, at its end it is weighed.
const PATIENCE_WINDOWS: usize = 3;

/// Names of jobs are the code's, hence static.
fn name(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn a_job(runtime: &tokio::runtime::Runtime, name: &'static str, cpu: Duration) {
    runtime.block_on(job(name, async {
        burn(cpu);
        touch_entity(None, name, false, &name);
    }));
}

/// A request whose chain began elsewhere, from a caller on this machine, which is trusted.
fn a_request(origin: &str, cpu: Duration) {
    let mut service =
        weighbridge_agent::layer().layer(service_fn(move |_: Request<_>| async move {
            burn(cpu);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
    let mut request = Request::new(Body::empty());
    let peer: std::net::SocketAddr = "127.0.0.1:9".parse().unwrap();
    request.extensions_mut().insert(peer);
    let headers = request.headers_mut();
    headers.insert(
        HOP,
        "1;shop;GET%20%2F;0123456789abcdef;s;1".parse().unwrap(),
    );
    let origin = format!("weighbridge.origin=edge;{origin}");
    headers.insert(BAGGAGE, origin.parse().unwrap());
    let answer = service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

/// Requests begun and ended of the operations that the key chooses.
fn requests(delta: &Delta, choose: impl Fn(&OperationKey) -> bool) -> [i64; 2] {
    let mut sum = [0; 2];
    for (key, row) in delta.rows.of_kind(RowKind::Operation) {
        if OperationKey::read(key).is_some_and(|key| choose(&key)) {
            sum[0] += figure(row, column::STARTED);
            sum[1] += figure(row, column::ENDED);
        }
    }
    sum
}

/// Requests that touched one key of the entities that the key.s parts choose.
fn touched(delta: &Delta, choose: impl Fn(&[std::sync::Arc<str>]) -> bool) -> i64 {
    delta
        .rows
        .of_kind(RowKind::Entity)
        .filter(|(key, _)| choose(&key.parts))
        .map(|(_, row)| figure(row, column::KEYS_ONE))
        .sum()
}

/// What has no place of its own, as the loss rows tell it.
fn folded(delta: &Delta, place: &str) -> i64 {
    delta
        .rows
        .of_kind(RowKind::Loss)
        .filter(|(key, _)| LossKey::read(key).is_some_and(|key| *key.place == *place))
        .map(|(_, row)| figure(row, column::LOST))
        .sum()
}

#[test]
fn a_flood_of_names_changes_no_total_and_hides_nothing_heavy() {
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("flooded")
        .window(Duration::from_secs(3_600))
        .operations_max(MAX)
        .origins_max(MAX)
        .entities_max(MAX)
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let light = Duration::from_micros(20);
    let heavy = Duration::from_millis(4);
    for window in 0..WINDOWS {
        let mut sent = 0;
        for n in 0..NEWCOMERS {
            a_job(&runtime, name(format!("{window} {n}")), light);
            a_request(&format!("GET%20%2F{window}%2F{n}"), light);
            sent += 2;
        }
        let is_heavy = window >= HEAVY_FROM;
        if is_heavy {
            a_job(&runtime, "heavy", heavy);
            a_request("GET%20%2Fheavy", heavy);
            sent += 2;
        }
        assert!(agent.flush(PATIENCE));
        let delta = ledger.deltas().pop().unwrap();
        assert_conserved(&delta);
        assert_eq!(requests(&delta, |_| true), [sent; 2], "window {window}");
        let jobs = NEWCOMERS as i64 + i64::from(is_heavy);
        assert_eq!(touched(&delta, |_| true), jobs, "window {window}");
        // Never more names than the limit allows; the rest stands under `__other__` and is counted.
        let other_jobs = requests(&delta, |key| *key.operation == *OTHER)[1];
        let other_origins = requests(&delta, |key| *key.origin_operation == *OTHER)[1];
        let most = i64::try_from(MAX).unwrap();
        assert!(other_jobs >= jobs - most && other_jobs <= folded(&delta, "agent.operations"));
        assert!(other_origins >= jobs - most && other_origins <= folded(&delta, "agent.origins"));
        assert!(folded(&delta, "agent.entities") > 0, "window {window}");
        if window >= HEAVY_FROM + PATIENCE_WINDOWS {
            let own = requests(&delta, |key| *key.operation == *"JOB heavy");
            assert_eq!(own, [1; 2], "the heavy operation, window {window}");
            let own = requests(&delta, |key| *key.origin_operation == *"GET /heavy");
            assert_eq!(own, [1; 2], "the heavy origin, window {window}");
        }
    }
    agent.shutdown();
}
