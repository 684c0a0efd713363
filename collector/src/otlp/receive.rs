//! What both transports do: read a body within its bounds, and hand it on.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{Format, Outcome, Signal};
use crate::auth::Grant;
use crate::http::{App, KIB};
use crate::ingest::Refusal;
use crate::store::Encoding;

/// Most bytes that a body gets at once because it says so.
const FORESEEN_MAX: usize = 1 << 20;
/// Memory is reserved in steps of this many KiB.
const STEP_KIB: usize = 64;

/// A body and its share of the memory for all bodies.
pub(super) struct Read {
    pub(super) body: Bytes,
    pub(super) permits: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most `limit_bytes`. Memory is reserved as the bytes come, not as they are promised.
/// `foreseen` says how long it will be, from its first bytes.
pub(super) async fn body(
    app: &App,
    body: Body,
    limit_bytes: usize,
    foreseen: impl Fn(&[u8]) -> Option<usize>,
) -> Result<Read, Refusal> {
    let reading = read(app, body, limit_bytes, foreseen);
    tokio::time::timeout(app.request_timeout / 2, reading)
        .await
        .map_err(|_| Refusal::Interrupted)?
}

async fn read(
    app: &App,
    mut body: Body,
    limit_bytes: usize,
    foreseen: impl Fn(&[u8]) -> Option<usize>,
) -> Result<Read, Refusal> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut permits: Option<OwnedSemaphorePermit> = None;
    let mut reserved = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Interrupted)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let bytes = first.as_ref().map_or(all.len(), Bytes::len) + data.remaining();
        if bytes > limit_bytes {
            return Err(Refusal::TooLarge { limit_bytes });
        }
        if bytes > reserved {
            let steps = (bytes - reserved) / (STEP_KIB * KIB) + 1;
            let kib = u32::try_from(steps * STEP_KIB).unwrap_or(u32::MAX);
            let more = app
                .in_flight
                .clone()
                .try_acquire_many_owned(kib)
                .map_err(|_| Refusal::Busy {
                    limit_bytes: app.in_flight_bytes,
                })?;
            match &mut permits {
                Some(permits) => permits.merge(more),
                None => permits = Some(more),
            }
            reserved += steps * STEP_KIB * KIB;
        }
        // One frame, the common case of a small body, is not copied.
        match (&first, all.is_empty()) {
            (None, true) => first = Some(data),
            (Some(_), _) => {
                if let Some(begin) = first.take() {
                    // In one piece from the start, so that a body is not copied again and again as it grows.
                    let foreseen = foreseen(&begin).unwrap_or(0).min(FORESEEN_MAX);
                    all.reserve(foreseen.max(begin.len() + data.len()));
                    all.extend_from_slice(&begin);
                }
                all.extend_from_slice(&data);
            }
            (None, false) => all.extend_from_slice(&data),
        }
    }
    Ok(Read {
        body: first.unwrap_or_else(|| all.freeze()),
        permits,
    })
}

/// Hands a body on and waits until what it holds is on disk.
pub(super) async fn take(
    app: &App,
    grant: &Grant,
    signal: Signal,
    format: Format,
    encoding: Encoding,
    body: Bytes,
) -> Result<Outcome, Refusal> {
    app.engine
        .ingest_otlp(&grant.tenant, signal, format, encoding, body, &|service| {
            grant.services.allow(service)
        })
        .await
}
