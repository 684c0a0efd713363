//! Bodies of calls, which count what passes.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{CallRecord, Caller};
use crate::codec;
use crate::layer::{Messages, outcome_of_grpc};
use crate::ledger::Direction;

/// Longest rest of an answer that is looked at when nobody wants it.
const REST_BYTES_MAX: u64 = 64 << 10;

pin_project! {
    /// The body of a call's request: produced in the account of the request that calls, wherever it is polled.
    #[derive(Debug)]
    pub struct CallRequestBody<B: Body> {
        #[pin]
        inner: Option<B>,
        record: Option<CallRecord>,
        messages: Option<Messages>,
    }

    impl<B: Body> PinnedDrop for CallRequestBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(record) = this.record.take() {
                record.produce(|| this.inner.set(None));
            }
        }
    }
}

impl<B: Body> CallRequestBody<B> {
    pub(crate) fn new(inner: B, record: Option<CallRecord>) -> Self {
        Self {
            inner: Some(inner),
            messages: messages_of(record.as_ref()),
            record,
        }
    }
}

/// Of gRPC, each message within a body counts.
fn messages_of(record: Option<&CallRecord>) -> Option<Messages> {
    record
        .is_some_and(CallRecord::is_grpc)
        .then(Messages::default)
}

impl<B: Body> Body for CallRequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(record) = this.record else {
            return inner.poll_frame(cx);
        };
        record.sent();
        let poll = record.produce(|| match this.messages {
            Some(_) => codec::calling(record, || inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        });
        if let Poll::Ready(Some(Ok(frame))) = &poll
            && let Some(data) = frame.data_ref()
        {
            count(record, this.messages, Direction::Request, data);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.as_ref().is_none_or(Body::is_end_stream);
        // An empty body is not polled: that somebody wants to know shows that the request is being sent. Of gRPC
        // none is empty, and tonic asks before.
        if ended
            && self.messages.is_none()
            && let Some(record) = &self.record
        {
            record.sent();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

fn count(
    record: &CallRecord,
    messages: &mut Option<Messages>,
    direction: Direction,
    data: &impl Buf,
) {
    record.passed(direction, data.remaining() as u64);
    if let Some(messages) = messages {
        messages.pass(data, |bytes| record.message(direction, bytes));
    }
}

pin_project! {
    /// The body of a call's answer. Its end or its drop is the end of the call.
    ///
    /// When it is dropped, what little of it is there already counts as received.
    #[derive(Debug)]
    pub struct CallResponseBody<B: Body> {
        #[pin]
        inner: B,
        caller: Option<Caller>,
        messages: Option<Messages>,
    }

    impl<B: Body> PinnedDrop for CallResponseBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.take_rest();
        }
    }
}

impl<B: Body> CallResponseBody<B> {
    pub(crate) fn new(inner: B, caller: Option<Caller>) -> Self {
        let mut body = Self {
            inner,
            messages: messages_of(caller.as_ref().map(Caller::record)),
            caller,
        };
        if body.inner.is_end_stream() {
            body.caller = None;
        }
        body
    }

    /// With an exact length that has come, nobody would poll for the end; and who wants only the status drops a body
    /// that is there.
    fn take_rest(mut self: Pin<&mut Self>) {
        let is_small = |body: &B| {
            body.size_hint()
                .exact()
                .is_some_and(|bytes| (1..=REST_BYTES_MAX).contains(&bytes))
        };
        // Bodies with timeouts want a runtime to be polled in.
        if std::thread::panicking() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        while self.caller.is_some() && is_small(&self.inner) {
            if !matches!(self.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))) {
                return;
            }
        }
    }
}

impl<B: Body> Body for CallResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(caller) = this.caller else {
            return this.inner.poll_frame(cx);
        };
        let record = caller.record();
        let poll = record.poll(|| this.inner.as_mut().poll_frame(cx));
        let mut ended = false;
        match &poll {
            Poll::Pending => {}
            Poll::Ready(None) => ended = true,
            Poll::Ready(Some(Err(_))) => {
                caller.fail();
                ended = true;
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    count(record, this.messages, Direction::Response, data);
                    if this.messages.is_some() && data.has_remaining() {
                        codec::answer_was_read(record);
                    }
                } else if let Some(outcome) = frame.trailers_ref().and_then(outcome_of_grpc) {
                    record.told(outcome);
                }
                ended = this.inner.is_end_stream();
            }
        }
        if ended {
            *this.caller = None;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
