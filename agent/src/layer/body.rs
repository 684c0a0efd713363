//! Bodies that count their bytes, and tell when a response has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::carrier::Carrier;
use super::messages::Messages;
use super::outcome;
use crate::bill::{Bill, Outcome};
use crate::codec;
use crate::ledger::Direction;

pin_project! {
    /// A request body that counts what is read of it.
    ///
    /// A body with a declared length that the handler leaves unread counts in full: the caller sent it, and
    /// the server reads or discards the rest.
    #[derive(Debug)]
    pub struct RequestBody<B: Body> {
        #[pin]
        inner: B,
        bill: Option<Arc<Bill>>,
        done: bool,
        messages: Option<Box<Messages>>,
    }

    impl<B: Body> PinnedDrop for RequestBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(bill) = this.bill.take()
                && !*this.done
                && let Some(rest) = this.inner.size_hint().exact()
                && rest > 0
            {
                bill.add_request_bytes(rest);
            }
        }
    }
}

impl<B: Body> RequestBody<B> {
    pub(super) fn new(inner: B, bill: Option<Arc<Bill>>) -> Self {
        Self {
            inner,
            messages: Messages::of(bill.as_ref()),
            bill,
            done: false,
        }
    }
}

impl<B: Body> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let poll = this.inner.poll_frame(cx);
        if let Poll::Ready(frame) = &poll {
            match frame {
                Some(Ok(frame)) => {
                    if let (Some(bill), Some(data)) = (&this.bill, frame.data_ref()) {
                        let bytes = data.remaining() as u64;
                        bill.add_request_bytes(bytes);
                        if let Some(messages) = this.messages {
                            messages
                                .pass(data, |bytes| bill.count_message(Direction::Request, bytes));
                        }
                    } else if let Some(bill) = &this.bill {
                        bill.count_trailers();
                    }
                }
                // After the end or an error there is no rest to count.
                Some(Err(_)) | None => *this.done = true,
            }
        }
        if this.messages.is_some() {
            let data = match &poll {
                Poll::Ready(Some(Ok(frame))) => frame.data_ref(),
                _ => None,
            };
            codec::request_was_read(data.is_some_and(Buf::has_remaining));
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

pin_project! {
    /// A response body: produced in the request's account. Its end or its drop ends the request.
    #[derive(Debug)]
    pub struct ResponseBody<B: Body> {
        #[pin]
        inner: Option<B>,
        carrier: Carrier,
        outcome: Outcome,
        // Of the body, where they are told at its end.
        bytes: u64,
        // Nobody needs to poll on: no frame was asked for yet (HEAD, empty bodies), or the trailers have come.
        may_end: bool,
        // Stays true when a poll unwinds: a panic in the body.
        polling: bool,
        messages: Option<Box<Messages>>,
    }

    impl<B: Body> PinnedDrop for ResponseBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(body) = this.inner.as_ref().as_pin_ref() else { return };
            // With an exact length nobody polls again after the last byte, so the end shows only here.
            let complete = this.carrier.bill().is_some()
                && (body.is_end_stream() || body.size_hint().exact() == Some(0));
            let inside = this.carrier.enter();
            this.inner.set(None);
            drop(inside);
            let Carrier::Bill(bill) = this.carrier.take() else { return };
            let outcome = if *this.polling {
                Outcome::Error
            } else if complete || *this.may_end || *this.outcome != Outcome::Ok {
                *this.outcome
            } else {
                // The client went away in the middle.
                Outcome::ClientError
            };
            bill.end_answered(outcome, *this.bytes);
        }
    }
}

impl<B: Body> ResponseBody<B> {
    pub(super) fn new(inner: B, carrier: Carrier, outcome: Outcome) -> Self {
        Self {
            inner: Some(inner),
            messages: Messages::of(carrier.bill()),
            carrier,
            outcome,
            bytes: 0,
            may_end: true,
            polling: false,
        }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let inside = this.carrier.enter();
        *this.may_end = false;
        *this.polling = true;
        let poll = match this.messages {
            Some(_) => codec::answering(|| inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        };
        *this.polling = false;
        let ended = match &poll {
            Poll::Pending => false,
            // Whoever has the last byte need not poll again.
            Poll::Ready(Some(Ok(_))) => this
                .inner
                .as_ref()
                .as_pin_ref()
                .is_none_or(|body| body.is_end_stream()),
            Poll::Ready(None | Some(Err(_))) => true,
        };
        if ended {
            this.inner.set(None);
        }
        drop(inside);
        if let Poll::Ready(Some(frame)) = &poll {
            let Some(bill) = this.carrier.bill() else {
                return poll;
            };
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        let bytes = data.remaining() as u64;
                        if bill.tells_at_once() {
                            bill.add_response_bytes(bytes);
                        } else {
                            *this.bytes += bytes;
                        }
                        if let Some(messages) = this.messages {
                            messages
                                .pass(data, |bytes| bill.count_message(Direction::Response, bytes));
                        }
                    }
                    if let Some(trailers) = frame.trailers_ref() {
                        *this.may_end = true;
                        bill.count_trailers();
                        if let Some(outcome) = outcome::of_grpc(trailers) {
                            *this.outcome = outcome;
                        }
                    }
                }
                Err(_) => *this.outcome = Outcome::Error,
            }
        }
        if ended && let Carrier::Bill(bill) = this.carrier.take() {
            bill.end_answered(*this.outcome, *this.bytes);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
