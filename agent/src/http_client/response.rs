//! Reading a response.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use weighbridge_wire::Class;

use super::record::CallRecord;
use super::{Client, ClientError, DRAIN_BYTES_MAX, DRAIN_TIME_MAX};
use crate::account::{self, Account, InAccount};

/// The head of a response, and its body still to be read.
#[derive(Debug)]
pub struct Response {
    client: Client,
    target: Arc<str>,
    status: StatusCode,
    headers: HeaderMap,
    /// Absent once the body was handed to the background to be read to its end.
    body: Option<MeteredBody>,
}

/// The body with the record of its call.
#[derive(Debug)]
struct MeteredBody {
    incoming: Incoming,
    record: CallRecord,
    ended: bool,
}

impl Response {
    pub(super) fn new(
        client: Client,
        target: Arc<str>,
        mut record: CallRecord,
        response: http::Response<Incoming>,
    ) -> Self {
        let (parts, incoming) = response.into_parts();
        record.answered(parts.status.is_server_error());
        let mut body = MeteredBody {
            incoming,
            record,
            ended: false,
        };
        body.notice_end();
        Self {
            client,
            target,
            status: parts.status,
            headers: parts.headers,
            body: Some(body),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The response itself when its status is below 400.
    ///
    /// # Errors
    /// [`ClientError::Status`] otherwise. The body is read in the background so that it is counted.
    pub fn error_for_status(self) -> Result<Self, ClientError> {
        if self.status.is_client_error() || self.status.is_server_error() {
            let (peer, target) = self.names();
            return Err(ClientError::Status {
                peer,
                target,
                status: self.status,
            });
        }
        Ok(self)
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`ClientError::Broken`] or [`ClientError::Timeout`] when the body does not come to its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let timeout = self.client.timeout();
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        match tokio::time::timeout(timeout, body.next()).await {
            Ok(Some(Ok(data))) => Ok(Some(data)),
            Ok(None) => Ok(None),
            Ok(Some(Err(source))) => {
                body.fail();
                let (peer, target) = self.names();
                Err(ClientError::Broken {
                    peer,
                    target,
                    source: Box::new(source),
                })
            }
            Err(_) => {
                body.fail();
                Err(self.timed_out(timeout))
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk), and [`ClientError::TooLarge`] beyond the client's limit.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        self.collect().await
    }

    /// The whole body, read as JSON; its CPU is booked as `decode`.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and [`ClientError::Decode`] when it is not the JSON that `T` expects.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let bytes = self.collect().await?;
        let (decoded, cpu_ns) =
            account::timed_class(Class::Decode, || serde_json::from_slice(&bytes));
        if let Some(body) = &mut self.body {
            body.record.decoded(cpu_ns);
        }
        decoded.map_err(|source| {
            let (peer, target) = self.names();
            ClientError::Decode {
                peer,
                target,
                source,
            }
        })
    }

    async fn collect(&mut self) -> Result<Bytes, ClientError> {
        let timeout = self.client.timeout();
        let whole = async {
            let bytes_max = self.client.body_bytes_max();
            let Some(first) = self.chunk().await? else {
                return Ok(Bytes::new());
            };
            let Some(second) = self.chunk().await? else {
                return self.fits(first, bytes_max);
            };
            let mut bytes = BytesMut::from(first);
            bytes.extend_from_slice(&second);
            while bytes.len() <= bytes_max {
                match self.chunk().await? {
                    Some(data) => bytes.extend_from_slice(&data),
                    None => break,
                }
            }
            self.fits(bytes.freeze(), bytes_max)
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(result) => result,
            Err(_) => {
                if let Some(body) = &mut self.body {
                    body.fail();
                }
                Err(self.timed_out(timeout))
            }
        }
    }

    fn fits(&self, bytes: Bytes, bytes_max: usize) -> Result<Bytes, ClientError> {
        if bytes.len() <= bytes_max {
            return Ok(bytes);
        }
        let (peer, target) = self.names();
        Err(ClientError::TooLarge {
            peer,
            target,
            bytes_max,
        })
    }

    fn timed_out(&self, after: Duration) -> ClientError {
        let (peer, target) = self.names();
        ClientError::Timeout {
            peer,
            target,
            after,
        }
    }

    fn names(&self) -> (String, String) {
        (self.client.peer().to_owned(), self.target.to_string())
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        // Mostly the rest is there already and one look is enough.
        let mut cx = Context::from_waker(Waker::noop());
        if body.poll_to_end(&mut cx).is_ready() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let account = Account::new(self.client.owner(), Class::Protocol);
            runtime.spawn(InAccount::new(account, async move {
                let to_end = poll_fn(|cx| body.poll_to_end(cx));
                let _ = tokio::time::timeout(DRAIN_TIME_MAX, to_end).await;
            }));
        }
    }
}

impl MeteredBody {
    async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let incoming = Pin::new(&mut self.incoming);
            let frame = match self.record.poll(|| incoming.poll_frame(cx)) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return Poll::Pending,
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.record.received(data.len());
                    // With an exact length nobody would poll again for the end.
                    self.notice_end();
                    return Poll::Ready(Some(Ok(data)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.end();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Reads what nobody wants, as far as it is bounded.
    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.ended {
                return Poll::Ready(());
            }
            match self.poll_next(cx) {
                Poll::Ready(Some(Ok(_))) if self.record.received_bytes() <= DRAIN_BYTES_MAX => {}
                Poll::Ready(Some(Err(_))) => {
                    self.fail();
                    return Poll::Ready(());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn notice_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.record.exchange_ended();
    }

    fn fail(&mut self) {
        self.ended = true;
        self.record.failed();
    }
}
