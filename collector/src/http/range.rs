//! `GET /api/v1/range`: folded windows as protobuf.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use prost::Message as _;
use prost::encoding::encode_varint;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use weighbridge_wire::{CONTENT_TYPE, FoldedWindow, VERSION, Window, pb};

use super::{App, answer};
use crate::auth::Scope;
use crate::ingest::{Stop, View};
use crate::span::Span;
use crate::store::{StoreError, Tier};

/// Where a range is read.
pub(crate) const RANGE_PATH: &str = "/api/v1/range";

/// Pieces that wait for the network; each is about [`PIECE_BYTES`].
const PIECES_AHEAD: usize = 4;
const PIECE_BYTES: usize = 64 << 10;
/// How long a reader may take nothing before its range is broken off.
const STALL: Duration = Duration::from_secs(60);

/// The query of every reading request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SpanQuery {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    resolution: Option<String>,
}

impl SpanQuery {
    /// The finest tier that is wanted; `None` leaves it to the store.
    pub(super) fn finest(&self) -> Result<Option<Tier>, Box<Response>> {
        let Some(word) = self.resolution.as_deref().filter(|word| !word.is_empty()) else {
            return Ok(None);
        };
        Tier::parse(word).map(Some).ok_or_else(|| {
            let known: Vec<_> = Tier::ALL.iter().map(|tier| tier.as_str()).collect();
            Box::new(answer::text(
                StatusCode::BAD_REQUEST,
                format!("`resolution` is one of {}", known.join(", ")),
            ))
        })
    }

    pub(super) fn span(&self, app: &App) -> Result<Span, Box<Response>> {
        Span::parse(
            self.since.as_deref(),
            self.until.as_deref(),
            app.clock.now_unix_ns(),
        )
        .map_err(|why| Box::new(answer::text(StatusCode::BAD_REQUEST, why)))
    }
}

pub(super) async fn range(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<SpanQuery>,
) -> Response {
    match stream_range(&app, &headers, &query).await {
        Ok(response) => response,
        Err(response) => *response,
    }
}

async fn stream_range(
    app: &App,
    headers: &HeaderMap,
    query: &SpanQuery,
) -> Result<Response, Box<Response>> {
    let (view, span, permit) = open_view(app, headers, query).await?;
    let body = streamed(Pieces::new(view, span), permit);
    Ok(answer::typed(StatusCode::OK, CONTENT_TYPE, body))
}

/// The windows that a request asks for, if it may, and the permit that stands for one reader.
pub(super) async fn open_view(
    app: &App,
    headers: &HeaderMap,
    query: &SpanQuery,
) -> Result<(View, Span, OwnedSemaphorePermit), Box<Response>> {
    let tenant = app.tenant(headers, Scope::Read)?;
    let span = query.span(app)?;
    let finest = query.finest()?;
    let permit = app.readers.clone().try_acquire_owned().map_err(|_| {
        app.metrics.read_refused();
        Box::new(answer::later(
            "as many ranges are being read as the collector's setting `limits.readers` allows; try again in a few \
             seconds",
        ))
    })?;
    // Blocking: while folded windows are written, a reader waits.
    let engine = app.engine.clone();
    let (view, permit) = read_blocking(move |stop| {
        let (since, until) = (span.since_unix_ns, span.until_unix_ns);
        let view = engine.view_until(&tenant, since, until, finest, &stop);
        (view, permit)
    })
    .await
    .map_err(|error| Box::new(answer::defect(app, "a range", &error)))?;
    let view = view.map_err(|error| Box::new(store_failed(&error)))?;
    Ok((view, span, permit))
}

/// Reads away from the threads that answer. When nobody waits for it any more, since its time is over or its reader
/// has gone, the work is told to stop.
pub(super) async fn read_blocking<T: Send + 'static>(
    work: impl FnOnce(Stop) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    struct Waits(Option<Stop>);
    impl Drop for Waits {
        fn drop(&mut self) {
            if let Some(stop) = &self.0 {
                stop.set();
            }
        }
    }
    let stop = Stop::default();
    let mut waits = Waits(Some(stop.clone()));
    let done = weighbridge_agent::spawn_blocking(move || work(stop)).await;
    // What was opened may be read on.
    waits.0 = None;
    done
}

/// A body of pieces that are made as the reader takes them, which counts as one reader as long as any is left.
pub(super) fn streamed(
    made: impl Iterator<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    permit: OwnedSemaphorePermit,
) -> Body {
    let (pieces, received) = tokio::sync::mpsc::channel(PIECES_AHEAD);
    // Blocking: it reads from disk, and waits for a slow reader, though not for ever: an open read keeps
    // the database from reusing space.
    let runtime = tokio::runtime::Handle::current();
    weighbridge_agent::spawn_blocking(move || {
        let _permit = permit;
        for piece in made {
            let failed = piece.is_err();
            // The reader may have gone.
            let sent = runtime.block_on(pieces.send_timeout(piece, STALL));
            if sent.is_err() || failed {
                break;
            }
        }
        // What was read ahead is in memory until it is taken: all room is free then, or the reader has gone.
        let taken = pieces.reserve_many(PIECES_AHEAD);
        let _ = runtime.block_on(async { tokio::time::timeout(STALL, taken).await.is_ok() });
    });
    Body::from_stream(stream::unfold(received, |mut received| async {
        received.recv().await.map(|piece| (piece, received))
    }))
}

pub(super) fn store_failed(error: &StoreError) -> Response {
    tracing::error!(%error, "a range could not be read");
    answer::text(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// An encoded [`FoldedRange`](weighbridge_wire::FoldedRange), piece by piece: in protobuf the pieces of a
/// message, one after the other, are the message.
struct Pieces {
    view: Option<View>,
    span: Span,
    cover: Option<Window>,
}

impl Pieces {
    fn new(view: View, span: Span) -> Self {
        Self {
            view: Some(view),
            span,
            cover: None,
        }
    }

    fn add(&mut self, piece: &mut BytesMut, folded: &FoldedWindow) {
        self.cover = Some(
            self.cover
                .map_or(folded.window, |cover| cover.cover(folded.window)),
        );
        let encoded = folded.encode();
        // Field 3 of FoldedRange: windows.
        encode_varint(3 << 3 | 2, piece);
        encode_varint(encoded.len() as u64, piece);
        piece.put_slice(&encoded);
    }

    /// Version and window, which are known when everything has been read.
    fn end(&self, piece: &mut BytesMut) {
        let window = self.span.covered(self.cover);
        let rest = pb::FoldedRange {
            version: VERSION,
            window: Some(pb::Window {
                start_unix_ns: window.start_unix_ns,
                end_unix_ns: window.end_unix_ns,
            }),
            windows: Vec::new(),
        };
        piece.put_slice(&rest.encode_to_vec());
    }
}

impl Iterator for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES {
            match self.view.as_mut()?.next() {
                Some(Ok(folded)) => self.add(&mut piece, &folded),
                Some(Err(error)) => {
                    self.view = None;
                    tracing::error!(%error, "a range could not be read to its end");
                    return Some(Err(std::io::Error::other(error)));
                }
                None => {
                    self.end(&mut piece);
                    self.view = None;
                    break;
                }
            }
        }
        Some(Ok(piece.freeze()))
    }
}
