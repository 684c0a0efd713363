//! The client: one peer, one pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::{Client as PooledClient, ResponseFuture};
use hyper_util::rt::TokioTimer;

use super::connection::{Connector, PoolExecutor, pool_owner};
use super::{
    BODY_BYTES_MAX, ClientError, IDLE_CONNECTIONS_MAX, IDLE_TIMEOUT, RequestBuilder,
    TIMEOUT_DEFAULT,
};
use crate::account::OwnerRef;
use crate::ledger::{EdgeId, ServiceName, ledger};
use crate::messages::Whereabouts;
use crate::propagation::{CallId, CallSite, Mode};
use crate::sync::lock;

/// The word for HTTP in edges.
const TRANSPORT: &str = "http";
/// Most calls whose id is kept; templates are written in code, so there are few.
const CALLS_MAX: usize = 1_024;

/// A client for one peer. Cheap to clone; clones share the pool.
///
/// Use it on one runtime: the pool's connections live on the one that opened them.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
    body_bytes_max: usize,
}

#[derive(Debug)]
struct Shared {
    peer: Arc<str>,
    base: Uri,
    owner: OwnerRef,
    pool: PooledClient<Connector, Full<Bytes>>,
    calls: Mutex<HashMap<(Method, &'static str), Call>>,
    whereabouts: Whereabouts,
}

/// A call with its id, made once for each service name.
#[derive(Clone, Debug)]
struct Call {
    service: Arc<str>,
    namespace: Arc<str>,
    id: CallId,
    edge: EdgeId,
}

impl Client {
    /// A client that calls `base` and books its calls under the logical name `peer`.
    ///
    /// # Errors
    /// [`ClientError::Base`] when `base` is not `http://host:port`.
    pub fn new(peer: &str, base: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Base {
            base: base.to_owned(),
        };
        let uri: Uri = base.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && uri.query().is_none();
        if !plain || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        let owner = pool_owner(peer);
        let pool = PooledClient::builder(PoolExecutor {
            owner: owner.clone(),
        })
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(Connector {
            owner: owner.clone(),
        });
        Ok(Self {
            shared: Arc::new(Shared {
                peer: peer.into(),
                base: uri,
                owner,
                pool,
                calls: Mutex::default(),
                whereabouts: Whereabouts::default(),
            }),
            timeout: TIMEOUT_DEFAULT,
            body_bytes_max: BODY_BYTES_MAX,
        })
    }

    /// Another time for the head of a response, and again for its body.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another limit for bodies that are collected.
    #[must_use]
    pub fn with_body_bytes_max(mut self, bytes_max: usize) -> Self {
        self.body_bytes_max = bytes_max;
        self
    }

    /// The peer's logical name.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Begins a request. The template, such as `/stock/{sku}`, is what the call is booked under; the values
    /// of its parameters never are.
    pub fn request(&self, method: Method, template: &'static str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, template)
    }

    /// Begins a `GET`.
    pub fn get(&self, template: &'static str) -> RequestBuilder {
        self.request(Method::GET, template)
    }

    /// Begins a `POST`.
    pub fn post(&self, template: &'static str) -> RequestBuilder {
        self.request(Method::POST, template)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    pub(super) fn owner(&self) -> OwnerRef {
        self.shared.owner.clone()
    }

    pub(super) fn start(&self, request: http::Request<Full<Bytes>>) -> ResponseFuture {
        self.shared.pool.request(request)
    }

    /// The whole address of a path.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let mut parts = self.shared.base.clone().into_parts();
        let prefix = self.shared.base.path().trim_end_matches('/');
        parts.path_and_query = Some(format!("{prefix}{path}").parse()?);
        Ok(Uri::from_parts(parts)?)
    }

    /// The id of a call and this side of its edge.
    pub(super) fn call(&self, method: &Method, template: &'static str) -> (CallId, EdgeId) {
        let ServiceName { namespace, service } = ledger().service();
        let mut calls = lock(&self.shared.calls);
        let key = (method.clone(), template);
        if let Some(call) = calls.get(&key)
            && call.service == service
            && call.namespace == namespace
        {
            return (call.id.clone(), call.edge.clone());
        }
        let target = format!("{method} {template}");
        let id = CallId::of(CallSite {
            namespace: &namespace,
            service: &service,
            transport: TRANSPORT,
            peer: &self.shared.peer,
            target: &target,
        });
        let edge = EdgeId {
            side: weighbridge_wire::side::CALLER,
            mode: Mode::Sync.as_str(),
            transport: TRANSPORT,
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: id.to_arc(),
            peer: self.shared.peer.clone(),
            target: target.into(),
        };
        if calls.len() < CALLS_MAX {
            let call = Call {
                service,
                namespace,
                id: id.clone(),
                edge: edge.clone(),
            };
            calls.insert(key, call);
        }
        (id, edge)
    }

    /// Whether our headers may go to the peer: all its addresses are trusted.
    pub(super) async fn is_trusted(&self) -> bool {
        let Some(host) = self.shared.base.host() else {
            return false;
        };
        match self.shared.whereabouts.is_trusted(host) {
            Some(trusted) => trusted,
            None => self.shared.whereabouts.look_up(host).await,
        }
    }
}
