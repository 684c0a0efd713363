//! The future of an answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{CallHandle, CallResponseBody, Caller};
use crate::bill::Outcome;
use crate::layer::{outcome_of_grpc, outcome_of_head};

type Looking = Pin<Box<dyn Future<Output = bool> + Send>>;

pin_project! {
    /// Resolves to the answer, whose body goes on with the record of the call.
    pub struct CallFuture<S, R>
    where
        S: Service<Request<R>>,
    {
        #[pin]
        state: State<S, R, S::Future>,
        // Dropped after the client's future.
        caller: Option<Caller>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R, F> {
        /// Whether the peer is trusted is being found out.
        Looking {
            looking: Looking,
            held: Option<(S, Request<R>)>,
        },
        Calling {
            #[pin]
            calling: F,
        },
        Ended,
    }
}

impl<S: Service<Request<R>>, R> CallFuture<S, R> {
    pub(super) fn calling(calling: S::Future, caller: Option<Caller>) -> Self {
        Self {
            state: State::Calling { calling },
            caller,
        }
    }

    pub(super) fn looking(
        looking: Looking,
        client: S,
        request: Request<R>,
        caller: Caller,
    ) -> Self {
        Self {
            state: State::Looking {
                looking,
                held: Some((client, request)),
            },
            caller: Some(caller),
        }
    }
}

impl<S: Service<Request<R>>, R> std::fmt::Debug for CallFuture<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

impl<S, R, Out> Future for CallFuture<S, R>
where
    S: Service<Request<R>, Response = Response<Out>>,
    Out: http_body::Body,
{
    type Output = Result<Response<CallResponseBody<Out>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Looking { looking, held } => {
                    let mut poll = || looking.as_mut().poll(cx);
                    let found = match this.caller {
                        Some(caller) => caller.record().poll(poll),
                        None => poll(),
                    };
                    let Poll::Ready(trusted) = found else {
                        return Poll::Pending;
                    };
                    let (Some((mut client, mut request)), Some(caller)) =
                        (held.take(), &this.caller)
                    else {
                        return Poll::Pending;
                    };
                    let record = caller.record();
                    record.set_headers(request.headers_mut(), trusted);
                    let calling = record.work(|| client.call(request));
                    this.state.set(State::Calling { calling });
                }
                StateProjection::Calling { calling } => {
                    let poll = || calling.poll(cx);
                    let poll = match this.caller {
                        Some(caller) => caller.record().poll(poll),
                        None => poll(),
                    };
                    let Poll::Ready(result) = poll else {
                        return Poll::Pending;
                    };
                    this.state.set(State::Ended);
                    return Poll::Ready(answer(result, this.caller.take()));
                }
                // Polled after it was ready, against the contract of futures: never ready again.
                StateProjection::Ended => return Poll::Pending,
            }
        }
    }
}

fn answer<B: http_body::Body, E>(
    result: Result<Response<B>, E>,
    caller: Option<Caller>,
) -> Result<Response<CallResponseBody<B>>, E> {
    match result {
        Ok(mut response) => {
            if let Some(caller) = &caller {
                let mut outcome = outcome_of_head(response.status(), response.headers());
                // By HTTP's status alone answers what is no gRPC server: to a client that is UNKNOWN and the like.
                if caller.record().is_grpc()
                    && response.status() != StatusCode::OK
                    && outcome_of_grpc(response.headers()).is_none()
                {
                    outcome = Outcome::Error;
                }
                caller.record().answered(outcome);
                let handle = CallHandle::new(caller.record().clone());
                response.extensions_mut().insert(handle);
            }
            Ok(response.map(|body| CallResponseBody::new(body, caller)))
        }
        Err(error) => {
            if let Some(caller) = &caller {
                caller.fail();
            }
            Err(error)
        }
    }
}
