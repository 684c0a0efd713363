//! Snapshots: of a running collector, or of a directory that none holds.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use http::header;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Limited, StreamBody};
use hyper::body::Frame;

use super::fetch::{Access, FetchError, REFUSAL_BYTES_MAX, refused, request};
use crate::http::{RESTORE_PATH, SNAPSHOT_PATH, SNAPSHOT_TYPE};
use crate::store::{DATABASE_FILE, RedbStore, Store as _, StoreError};

/// Bytes sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// A copy beside the database while it is read.
const RESTORE_FILE: &str = "restore.tmp";
/// Where a snapshot is restored while the database that it replaces is damaged.
const RESTORE_DIR: &str = "restore.new";

/// Takes a snapshot of the directory of a collector that does not run.
///
/// # Errors
/// [`StoreError`]; [`StoreError::InUse`] when a collector holds the directory.
pub fn snapshot_dir(data_dir: &Path, to: &Path) -> Result<(), StoreError> {
    RedbStore::open_read_only(data_dir)?.snapshot(to)
}

/// Restores a snapshot into a directory that no collector holds. What is there is only replaced where that is wanted. A
/// database that is damaged is kept under another name, which is returned.
///
/// # Errors
/// [`StoreError`]; when the snapshot is at fault, nothing was changed.
pub fn restore_dir(
    from: &Path,
    data_dir: &Path,
    replace: bool,
) -> Result<Option<PathBuf>, StoreError> {
    let store = match RedbStore::open(data_dir, crate::fold::ROWS_PER_WINDOW_DEFAULT) {
        Err(StoreError::Damaged { path, .. }) if replace => {
            return restore_beside(from, data_dir, &path).map(Some);
        }
        opened => opened?,
    };
    if !replace && !store.is_empty() {
        return Err(StoreError::NotEmpty {
            path: data_dir.to_owned(),
        });
    }
    // Looking whether it is whole may change it.
    let copy = data_dir.join(RESTORE_FILE);
    let copied = std::fs::copy(from, &copy).map_err(|source| StoreError::Directory {
        path: from.to_owned(),
        source,
    });
    let restored = copied.and_then(|_| store.restore(&copy));
    // It may never have been made.
    let _ = std::fs::remove_file(&copy);
    restored.map(|()| None)
}

/// Restores a snapshot in the place of a database that cannot be opened. Returns where that one is now.
fn restore_beside(from: &Path, data_dir: &Path, damaged: &Path) -> Result<PathBuf, StoreError> {
    let in_dir = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Directory { path, source }
    };
    let beside = data_dir.join(RESTORE_DIR);
    // Of a restore that was cut off.
    let _ = std::fs::remove_dir_all(&beside);
    let restored = restore_dir(from, &beside, false).and_then(|_| {
        let aside = unused(damaged);
        std::fs::rename(damaged, &aside).map_err(in_dir(damaged))?;
        let new = beside.join(DATABASE_FILE);
        std::fs::rename(&new, damaged).map_err(in_dir(&new))?;
        File::open(data_dir)
            .and_then(|dir| dir.sync_all())
            .map_err(in_dir(data_dir))?;
        Ok(aside)
    });
    let _ = std::fs::remove_dir_all(&beside);
    restored
}

/// A name for a damaged file that no other one has.
fn unused(damaged: &Path) -> PathBuf {
    let named = |n: usize| {
        let mut name = damaged.as_os_str().to_owned();
        name.push(".damaged");
        if n > 1 {
            name.push(format!("-{n}"));
        }
        PathBuf::from(name)
    };
    (1..)
        .map(named)
        .find(|path| !path.exists())
        .unwrap_or_else(|| named(1))
}

/// Takes a snapshot of the collector at `url` into a new file.
///
/// # Errors
/// [`FetchError`]; no file is left then.
pub async fn fetch_snapshot(url: &str, access: &Access, to: &Path) -> Result<(), FetchError> {
    let file_error = |source| FetchError::File {
        path: to.to_owned(),
        source,
    };
    let request = request(url, access, SNAPSHOT_PATH)?;
    let mut file = File::create_new(to).map_err(file_error)?;
    let fetched = async {
        let no_answer = |why: String| FetchError::NoAnswer {
            url: url.to_owned(),
            why,
        };
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| no_answer(error.to_string()))?;
        let client = access.client::<Empty<Bytes>>(url)?;
        let response = client
            .request(request)
            .await
            .map_err(|error| no_answer(access.explain(url, &error)))?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let said = Limited::new(body, REFUSAL_BYTES_MAX).collect().await;
            let said = said
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            return Err(refused(url, status, &said));
        }
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| no_answer(format!("the answer broke off: {error}")))?;
            if let Ok(piece) = frame.into_data() {
                file.write_all(&piece).map_err(file_error)?;
            }
        }
        file.sync_all().map_err(file_error)
    }
    .await;
    if fetched.is_err() {
        // Half a snapshot must not be taken for one.
        let _ = std::fs::remove_file(to);
    }
    fetched
}

/// Restores a snapshot into the collector at `url`, in the place of everything that it holds.
///
/// # Errors
/// [`FetchError`].
pub async fn send_restore(url: &str, access: &Access, from: &Path) -> Result<(), FetchError> {
    let file_error = |source| FetchError::File {
        path: from.to_owned(),
        source,
    };
    let no_answer = |why: String| FetchError::NoAnswer {
        url: url.to_owned(),
        why,
    };
    let file = File::open(from).map_err(file_error)?;
    let length = file.metadata().map_err(file_error)?.len();
    let pieces = stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Frame::data(Bytes::from(piece))), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    let request = request(url, access, &format!("{RESTORE_PATH}?replace=true"))?
        .method(http::Method::POST)
        .header(header::CONTENT_TYPE, SNAPSHOT_TYPE)
        .header(header::CONTENT_LENGTH, length)
        .body(StreamBody::new(Box::pin(pieces)).boxed_unsync())
        .map_err(|error| no_answer(error.to_string()))?;
    let client = access.client::<UnsyncBoxBody<Bytes, std::io::Error>>(url)?;
    let response = client
        .request(request)
        .await
        .map_err(|error| no_answer(access.explain(url, &error)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let said = Limited::new(response.into_body(), REFUSAL_BYTES_MAX)
        .collect()
        .await;
    let said = said
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    Err(refused(url, status, &said))
}
