//! The app as hyper calls it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Served;

/// Hands requests to the app and then follows the account of the request that began.
#[derive(Clone, Debug)]
pub(super) struct AppService<S> {
    pub(super) app: S,
    pub(super) served: Served,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for AppService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Call<S, S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.served.peer());
        request.extensions_mut().insert(self.served.clone());
        Call {
            state: State::Waiting {
                app: self.app.clone(),
                request: Some(request),
            },
            served: self.served.clone(),
        }
    }
}

pin_project! {
    /// Waits until the app is ready, calls it, and waits for the response.
    pub(super) struct Call<S, F> {
        #[pin]
        state: State<S, F>,
        served: Served,
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
{
    type Output = Result<Response<B>, S::Error>;

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
                    this.served.follow();
                    return poll;
                }
            };
            this.state.set(State::Running { future });
        }
    }
}
