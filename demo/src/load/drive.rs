//! Sends what was planned, each request at its instant, whether or not the ones before came back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep_until, timeout};

use super::mix::MIX;
use super::schedule::{Planned, SHARD_KEY_HEADER};
use super::tally::{Results, Tally};
use crate::clock;
use crate::placement::Component;

/// Longest wait for one answer: long, so that a machine that is busy with something else makes the demo slow, but
/// not fail.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most requests in flight; beyond it they count as failed, so that a dead system ends the run in time.
const IN_FLIGHT_MAX: usize = 4_000;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Where the instances of a component listen, as `http://host:port`.
pub(crate) type Targets = BTreeMap<Component, Vec<String>>;

/// Sends requests; what it opened stays open from one plan to the next.
pub(crate) struct Driver {
    client: HttpClient,
    targets: Targets,
}

impl Driver {
    pub(crate) fn new(targets: Targets) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            targets,
        }
    }

    /// Sends a whole plan and waits for all answers.
    pub(crate) async fn drive(&self, planned: Vec<Planned>) -> anyhow::Result<Results> {
        drive(&self.client, planned, &self.targets).await
    }
}

async fn drive(
    client: &HttpClient,
    plan: Vec<Planned>,
    targets: &Targets,
) -> anyhow::Result<Results> {
    let tally = Arc::new(Mutex::new(
        Tally::new().context("making the latency histograms")?,
    ));
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let turn = AtomicUsize::new(0);
    let start = clock::now();
    for planned in plan {
        let due = start + planned.at;
        sleep_until(due.into()).await;
        let origin = planned.origin;
        let base = targets
            .get(&component(origin))
            .and_then(|all| all.get(turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1)))
            .with_context(|| format!("no address for `{}`", component(origin).as_str()))?;
        let request = build(base, planned)?;
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tally
                .lock()
                .await
                .record(origin, 0, Err("too many requests in flight".to_owned()));
            continue;
        };
        let (client, tally) = (client.clone(), tally.clone());
        tokio::spawn(async move {
            let outcome = send(&client, request).await;
            tally
                .lock()
                .await
                .record(origin, micros_since(due), outcome);
            drop(permit);
        });
    }
    // All permits back: all answers in. Each request ends within its own patience.
    let _all = room
        .acquire_many(IN_FLIGHT_MAX as u32)
        .await
        .context("waiting for answers")?;
    let results = tally.lock().await.results();
    Ok(results)
}

/// Who answers a row of the mix.
fn component(origin: usize) -> Component {
    MIX.get(origin)
        .map_or(Component::Orders, |origin| origin.component)
}

fn build(base: &str, planned: Planned) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(planned.method)
        .uri(format!("{base}{}", planned.path));
    if let Some(key) = planned.shard_key {
        request = request.header(SHARD_KEY_HEADER, key);
    }
    request
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(planned.body)))
        .with_context(|| format!("building a request for {base}{}", planned.path))
}

async fn send(client: &HttpClient, request: Request<Full<Bytes>>) -> Result<(), String> {
    let what = format!("{} {}", request.method(), request.uri());
    let exchange = async {
        let response = client
            .request(request)
            .await
            .map_err(|e| format!("{what}: {e:?}"))?;
        let status = response.status();
        let mut body = response.into_body();
        // Read as it comes: an export must not be held twice on this machine.
        while let Some(frame) = body.frame().await {
            frame.map_err(|e| format!("{what}: body broke off: {e}"))?;
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{what}: answered {status}"))
        }
    };
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(format!("{what}: no answer within {} s", PATIENCE.as_secs())))
}

fn micros_since(due: Instant) -> u64 {
    u64::try_from(clock::now().saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX)
}
