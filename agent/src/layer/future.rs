//! The future of a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;
use weighbridge_wire::Class;

use super::{ResponseBody, outcome};
use crate::account::enter_bill;
use crate::bill::{Bill, Outcome};

pin_project! {
    /// Resolves to the response, whose body goes on with the bill.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        bill: Option<Arc<Bill>>,
        // Stays true when a poll unwinds: a panic in the handler.
        polling: bool,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(bill) = this.bill.take() {
                let entered = enter_bill(&bill, Class::Handler);
                this.inner.set(None);
                drop(entered);
                // Dropped before there was a response: the handler panicked, or the client went away.
                bill.end_unanswered(if *this.polling { Outcome::Error } else { Outcome::ClientError });
            }
        }
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, bill: Option<Arc<Bill>>) -> Self {
        Self {
            inner: Some(inner),
            bill,
            polling: false,
        }
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
        let entered = this
            .bill
            .as_ref()
            .map(|bill| enter_bill(bill, Class::Handler));
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
        drop(entered);
        let bill = this.bill.take();
        Poll::Ready(match result {
            Ok(response) => {
                let outcome = outcome::of_head(response.status(), response.headers());
                if let Some(bill) = &bill {
                    bill.answered();
                }
                Ok(response.map(|body| ResponseBody::new(body, bill, outcome)))
            }
            Err(error) => {
                if let Some(bill) = bill {
                    bill.end_unanswered(Outcome::Error);
                }
                Err(error)
            }
        })
    }
}
