//! The app as hyper calls it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::{Extensions, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Served;
use super::connection::Arrived;
use crate::layer::outcome_of_head;
use crate::state;

/// Hands requests to the app and then follows the account of the request that began.
#[derive(Clone, Debug)]
pub(super) struct AppService<S> {
    app: S,
    served: Served,
}

impl<S> AppService<S> {
    pub(super) fn new(app: S, served: Served) -> Self {
        Self { app, served }
    }
}

/// What each request begins with, and on HTTP/1 while something is measured, but for whose it is: that is put in
/// after copying, so that no connection keeps a table while it is idle.
struct Blank {
    plain: Extensions,
    weighed: Extensions,
}

static BLANK: LazyLock<Blank> = LazyLock::new(|| {
    let plain = roomy();
    let mut weighed = plain.clone();
    weighed.insert(Arrived(None));
    Blank { plain, weighed }
});

/// A peer, in a table that has room for what a router adds: growing it costs more than copying this one.
fn roomy() -> Extensions {
    #[derive(Clone)]
    struct Room<const N: usize>;
    let mut extensions = Extensions::new();
    extensions.insert(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    extensions.insert(Room::<0>);
    extensions.insert(Room::<1>);
    extensions.insert(Room::<2>);
    extensions.remove::<Room<0>>();
    extensions.remove::<Room<1>>();
    extensions.remove::<Room<2>>();
    extensions
}

/// Says who asks, in a table that may have somebody.
fn set_peer(extensions: &mut Extensions, peer: SocketAddr) {
    match extensions.get_mut::<SocketAddr>() {
        Some(there) => *there = peer,
        None => drop(extensions.insert(peer)),
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for AppService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Call<S, S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let served = self.served.of_request();
        served.head_is_complete(request.body().is_end_stream());
        let extensions = request.extensions_mut();
        let measuring = state::measuring();
        if extensions.is_empty() {
            extensions.clone_from(if measuring && !served.is_http2() {
                &BLANK.weighed
            } else {
                &BLANK.plain
            });
        }
        set_peer(extensions, served.peer());
        if measuring {
            // Only a bill that is recorded looks for its connection.
            let arrived = Some(served.clone());
            match extensions.get_mut::<Arrived>() {
                Some(there) => there.0 = arrived,
                None => drop(extensions.insert(Arrived(arrived))),
            }
        }
        self.begin(request, served)
    }
}

impl<S> AppService<S> {
    /// Calls the app. On HTTP/2 that is left to the stream's task: here runs what all streams share.
    #[inline]
    fn begin(&self, request: Request<Incoming>, served: Served) -> Call<S, S::Future>
    where
        S: Service<Request<Incoming>> + Clone,
    {
        let mut app = self.app.clone();
        if !served.is_http2() {
            // Most apps are ready at all times. One that is not is asked again by the task, another clone of it.
            let mut nobody = Context::from_waker(Waker::noop());
            if let Poll::Ready(Ok(())) = app.poll_ready(&mut nobody) {
                return Call {
                    state: State::Running {
                        future: app.call(request),
                    },
                    served: Some(served),
                };
            }
            app = self.app.clone();
        }
        Call {
            state: State::Waiting {
                app,
                request: Some(request),
            },
            served: Some(served),
        }
    }
}

pin_project! {
    /// Waits until the app is ready, calls it, and waits for the response.
    pub(super) struct Call<S, F> {
        #[pin]
        state: State<S, F>,
        served: Option<Served>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        Waiting { app: S, request: Option<Request<Incoming>> },
        Running { #[pin] future: F },
    }
}

impl<S, B> Future for Call<S, S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<Answer<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                StateProj::Waiting { app, request } => {
                    match app.poll_ready(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(())) => {}
                    }
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    app.call(request)
                }
                StateProj::Running { future } => {
                    let poll = future.poll(cx);
                    // The layer's account is left; framing and writing are the request's too.
                    if let Some(served) = this.served {
                        served.follow();
                    }
                    let Poll::Ready(result) = poll else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(result.map(|response| {
                        if let Some(bill) = this.served.as_ref().and_then(Served::unanswered) {
                            let outcome = outcome_of_head(response.status(), response.headers());
                            let bytes = response.body().size_hint().exact().unwrap_or(0);
                            bill.answered_outside(outcome, bytes);
                        }
                        let served = this.served.take();
                        response.map(|inner| Answer { inner, served })
                    }));
                }
            };
            this.state.set(State::Running { future });
        }
    }
}

pin_project! {
    /// A response's body, whose end lets the connection wait for the next head.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        inner: B,
        served: Option<Served>,
    }

    impl<B> PinnedDrop for Answer<B> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(served) = &this.served {
                served.answer_is_complete();
            }
        }
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
