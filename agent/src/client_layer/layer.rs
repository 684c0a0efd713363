//! The layer: one peer.

use std::marker::PhantomData;
use std::sync::Arc;

use http::Uri;

use super::service::{AsIs, Calls};
use crate::messages::{Peer, Whereabouts};

/// A tower layer that weighs calls to one peer. Made by [`client_layer`]. Cheap to clone; clones are the same peer.
#[derive(Debug)]
pub struct ClientLayer<K = AsIs> {
    called: Arc<Called>,
    kind: PhantomData<fn() -> K>,
}

/// Who is called.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    http: Peer,
    grpc: Peer,
    whereabouts: Arc<Whereabouts>,
    /// For requests that do not say it.
    hosts: Vec<Box<str>>,
}

/// The layer for clients that take an `http::Request`, of hyper-util, of one's own, or a stack around them. `peer` is
/// what this service calls the one at the other end.
///
/// The client inside takes requests whose body is a [`CallRequestBody`](crate::CallRequestBody) around the caller's.
#[must_use]
pub fn client_layer(peer: &str) -> ClientLayer {
    ClientLayer::of(peer)
}

impl<K> ClientLayer<K> {
    pub(crate) fn of(peer: &str) -> Self {
        Self {
            called: Arc::new(Called {
                http: Peer::new("http", peer),
                grpc: Peer::new(crate::bill::GRPC, peer),
                whereabouts: Arc::default(),
                hosts: Vec::new(),
            }),
            kind: PhantomData,
        }
    }

    /// Says where requests go that have no host in their URI, such as those of a client that is connected to one
    /// server. Said more than once, all of the hosts must be trusted.
    #[must_use]
    pub fn at(mut self, uri: &Uri) -> Self {
        if let Some(host) = uri.host() {
            let called = Arc::make_mut(&mut self.called);
            called.hosts.push(host.into());
        }
        self
    }
}

impl Called {
    pub(super) fn peer(&self, is_grpc: bool) -> &Peer {
        if is_grpc { &self.grpc } else { &self.http }
    }

    /// Where a request to this URI goes.
    fn hosts<'a>(&'a self, uri: &'a Uri) -> impl Iterator<Item = &'a str> {
        let own = uri.host();
        let told = self.hosts.iter().map(|host| &**host);
        own.into_iter().chain(told.filter(move |_| own.is_none()))
    }

    /// Whether our headers may go along; `None` when somebody has to be looked up. Nowhere is trusted by nobody.
    pub(super) fn is_trusted(&self, uri: &Uri) -> Option<bool> {
        let mut trusted = None;
        for host in self.hosts(uri) {
            trusted = Some(trusted.unwrap_or(true) & self.whereabouts.is_trusted(host)?);
        }
        Some(trusted.unwrap_or(false))
    }

    /// Looks up who has to be.
    pub(super) async fn look_up(self: Arc<Self>, uri: Uri) -> bool {
        let mut trusted = None;
        for host in self.hosts(&uri) {
            let known = match self.whereabouts.is_trusted(host) {
                Some(known) => known,
                None => self.whereabouts.look_up(host).await,
            };
            trusted = Some(trusted.unwrap_or(true) & known);
        }
        trusted.unwrap_or(false)
    }
}

impl<K> Clone for ClientLayer<K> {
    fn clone(&self) -> Self {
        Self {
            called: self.called.clone(),
            kind: PhantomData,
        }
    }
}

impl<S, K> tower_layer::Layer<S> for ClientLayer<K> {
    type Service = Calls<S, K>;

    fn layer(&self, inner: S) -> Calls<S, K> {
        Calls::new(inner, self.called.clone())
    }
}
