//! The future of a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

use super::carrier::Carrier;
use super::{ResponseBody, outcome};
use crate::bill::Outcome;

pin_project! {
    /// Resolves to the response, whose body goes on with the bill.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        carrier: Carrier,
        // Stays true when a poll unwinds: a panic in the handler.
        polling: bool,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.inner.is_none() {
                return;
            }
            let inside = this.carrier.enter();
            this.inner.set(None);
            drop(inside);
            if let Carrier::Bill(bill) = this.carrier.take() {
                // Dropped before there was a response: the handler panicked, or the client went away.
                bill.end_unanswered(if *this.polling { Outcome::Error } else { Outcome::ClientError });
            }
        }
    }
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn new(inner: F) -> Self {
        Self {
            inner: Some(inner),
            carrier: Carrier::Nobody,
            polling: false,
        }
    }

    /// Whose work it is.
    #[inline]
    pub(super) fn carry(&mut self, carrier: Carrier) {
        self.carrier = carrier;
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inside = this.carrier.enter();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        *this.polling = true;
        let poll = inner.poll(cx);
        *this.polling = false;
        let Poll::Ready(result) = poll else {
            return Poll::Pending;
        };
        this.inner.set(None);
        drop(inside);
        let carrier = this.carrier.take();
        Poll::Ready(match result {
            Ok(response) => {
                let mut outcome = Outcome::Ok;
                if let Some(bill) = carrier.bill() {
                    outcome = outcome::of_head(response.status(), response.headers());
                    if bill.tells_at_once() {
                        bill.answered();
                    }
                }
                Ok(response.map(|body| ResponseBody::new(body, carrier, outcome)))
            }
            Err(error) => {
                if let Carrier::Bill(bill) = carrier {
                    bill.end_unanswered(Outcome::Error);
                }
                Err(error)
            }
        })
    }
}
