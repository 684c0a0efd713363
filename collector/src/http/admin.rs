//! `GET /api/v1/snapshot` and `POST /api/v1/restore`: everything, of all tenants, while the collector runs.
//!
//! Both pass through a file of a fixed name in the data directory; nothing in a request names a file.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{App, answer};
use crate::auth::Scope;
use crate::store::StoreError;

/// Where a snapshot is read.
pub(crate) const SNAPSHOT_PATH: &str = "/api/v1/snapshot";
/// Where one is restored.
pub(crate) const RESTORE_PATH: &str = "/api/v1/restore";
/// The type of a snapshot. A web page elsewhere cannot send it without being asked first, and here nobody says yes.
pub(crate) const SNAPSHOT_TYPE: &str = "application/vnd.weighbridge.snapshot";

/// Bytes read from the file at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for the network.
const PIECES_AHEAD: usize = 4;

/// A file in the data directory that goes with its last user.
struct Passing {
    path: PathBuf,
    /// One snapshot or restore at a time.
    _alone: OwnedSemaphorePermit,
}

impl Passing {
    fn new(app: &App, name: &str) -> Result<Self, Box<Response>> {
        let alone = app.copies.clone().try_acquire_owned().map_err(|_| {
            let mut response = answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "another snapshot or restore is going on; try again when it has ended",
            );
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
            Box::new(response)
        })?;
        let passing = Self {
            path: app.data_dir.join(name),
            _alone: alone,
        };
        passing.remove();
        Ok(passing)
    }

    /// What an earlier process left, or what is not needed any more.
    fn remove(&self) {
        // It may not be there.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(super) async fn snapshot(State(app): State<App>, headers: HeaderMap) -> Response {
    match make(&app, &headers).await {
        Ok(response) => response,
        Err(response) => *response,
    }
}

async fn make(app: &App, headers: &HeaderMap) -> Result<Response, Box<Response>> {
    app.grant(headers, Scope::Admin)?;
    let passing = Passing::new(app, "snapshot.tmp")?;
    let engine = app.engine.clone();
    let (file, passing) = weighbridge_agent::spawn_blocking(move || {
        engine.snapshot(&passing.path)?;
        let file = std::fs::File::open(&passing.path).map_err(|source| StoreError::Directory {
            path: passing.path.clone(),
            source,
        })?;
        Ok((file, passing))
    })
    .await
    .map_err(|error| Box::new(answer::defect(app, "a snapshot", &error)))?
    .map_err(|error: StoreError| Box::new(failed(&error)))?;
    tracing::info!("a snapshot is taken");
    let (pieces, received) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(PIECES_AHEAD);
    weighbridge_agent::spawn_blocking(move || {
        let _passing = passing;
        let mut file = file;
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece);
            let end = matches!(read, Ok(0) | Err(_));
            let piece = read.map(|length| {
                piece.truncate(length);
                Bytes::from(piece)
            });
            // The reader may have gone.
            if matches!(piece, Ok(ref piece) if piece.is_empty())
                || pieces.blocking_send(piece).is_err()
                || end
            {
                break;
            }
        }
    });
    let body = Body::from_stream(stream::unfold(received, |mut received| async {
        received.recv().await.map(|piece| (piece, received))
    }));
    Ok(answer::typed(StatusCode::OK, SNAPSHOT_TYPE, body))
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoreQuery {
    #[serde(default)]
    replace: bool,
}

pub(super) async fn restore(
    State(app): State<App>,
    Query(query): Query<RestoreQuery>,
    request: Request,
) -> Response {
    match take(&app, &query, request).await {
        Ok(response) => response,
        Err(response) => *response,
    }
}

async fn take(
    app: &App,
    query: &RestoreQuery,
    request: Request,
) -> Result<Response, Box<Response>> {
    app.grant(request.headers(), Scope::Admin)?;
    let refused = |status, text: &str| Box::new(answer::text(status, text));
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value != SNAPSHOT_TYPE) {
        return Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a snapshot is sent as `Content-Type: application/vnd.weighbridge.snapshot`; `weighbridge restore` does",
        ));
    }
    if !query.replace {
        return Err(refused(
            StatusCode::CONFLICT,
            "a restore takes the place of everything that the collector holds; say `replace=true` if you mean it",
        ));
    }
    let passing = Passing::new(app, "restore.tmp")?;
    let broken = |error: std::io::Error, path: &PathBuf| {
        Box::new(failed(&StoreError::Directory {
            path: path.clone(),
            source: error,
        }))
    };
    let mut file =
        std::fs::File::create(&passing.path).map_err(|error| broken(error, &passing.path))?;
    let mut body = request.into_body().into_data_stream();
    let mut bytes = 0u64;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| {
            refused(
                StatusCode::BAD_REQUEST,
                "the snapshot broke off; nothing was changed, send it again",
            )
        })?;
        bytes += piece.len() as u64;
        if bytes > app.snapshot_bytes_max {
            return Err(refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the snapshot is larger than four times `retention_size`; raise the setting, or restore into the \
                 directory while no collector runs",
            ));
        }
        // To the page cache; short enough not to need a thread of its own.
        file.write_all(&piece)
            .map_err(|error| broken(error, &passing.path))?;
    }
    drop(file);
    app.engine
        .restore(passing.path.clone())
        .await
        .map_err(|error| Box::new(failed(&error)))?;
    Ok(answer::text(
        StatusCode::OK,
        "restored; what had come since the snapshot comes again, or shows as lost",
    ))
}

fn failed(error: &StoreError) -> Response {
    tracing::error!(%error, "a snapshot could not be taken or restored");
    let status = match error {
        StoreError::Snapshot { .. } | StoreError::NewerFormat { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer::text(status, error.to_string())
}
