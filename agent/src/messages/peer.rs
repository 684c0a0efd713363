//! Whom messages go to, or come from.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, RwLock};

use rustc_hash::FxHashMap;

use super::{Arrival, Call, Consumption, Publication, TARGETS_MAX};
use crate::ledger::{EdgeId, ServiceName, ledger, limits};
use crate::propagation::{CallId, CallSite, Mode};
use crate::state;
use crate::sync::{lock, read, write};

/// A peer as this service names it: a service that is called, or a broker. Cheap to clone; clones are the same
/// peer.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Shared>);

type Sites = FxHashMap<Box<str>, Arc<Site>>;

#[derive(Debug)]
struct Shared {
    transport: &'static str,
    name: Arc<str>,
    /// None while unknown.
    addresses: RwLock<Vec<IpAddr>>,
    /// What is called, and what is published.
    sites: [Mutex<Sites>; 2],
}

/// One kind of call to one peer: its id, and the caller's side of its edge.
#[derive(Debug)]
pub(crate) struct Site {
    service: ServiceName,
    pub(crate) call_id: CallId,
    pub(crate) edge: EdgeId,
}

impl Peer {
    /// A peer under this name, over a transport such as `nats`. Nothing is sent along until it is known where
    /// the peer is.
    #[must_use]
    pub fn new(transport: &'static str, name: &str) -> Self {
        Self(Arc::new(Shared {
            transport,
            name: limits::cut(name).into(),
            addresses: RwLock::default(),
            sites: Default::default(),
        }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Says where the peer is: all addresses that a message may go to or come from.
    pub fn set_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        *write(&self.0.addresses) = addresses.into_iter().collect();
    }

    /// Looks up where the peer is. A name that cannot be resolved is trusted by nobody.
    pub async fn resolve(&self, host: &str, port: u16) {
        let found = look_up(host, port).await;
        self.set_addresses(found);
    }

    /// Whether our headers may go to the peer: all its addresses are trusted.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        let addresses = read(&self.0.addresses);
        !addresses.is_empty()
            && state::with_trust(|trust| {
                let trusted = |&address: &IpAddr| trust.trusts_address(address);
                addresses.iter().all(trusted)
            })
    }

    /// The address whose trust decides about messages from the peer: one that is not trusted if any is not.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let addresses = read(&self.0.addresses);
        let suspect = state::with_trust(|trust| {
            let suspect = |&&address: &&IpAddr| !trust.trusts_address(address);
            addresses.iter().find(suspect).copied()
        });
        suspect.or(addresses.first().copied())
    }

    /// Begins a call of the current request, whose answer it waits for. Without a current request it is
    /// background work.
    pub fn call(&self, target: &'static str) -> Call {
        self.call_named(target)
    }

    /// Begins a message of the current request that nobody answers.
    pub fn publish(&self, target: &'static str) -> Publication {
        Publication::new(self.clone(), self.site(Mode::Async, target))
    }

    /// As [`publish`](Self::publish), for names that code made at run time.
    pub(crate) fn publish_named(&self, target: &str) -> Publication {
        Publication::new(self.clone(), self.site(Mode::Async, target))
    }

    /// Opens the request `CONSUME target` for a message that has arrived.
    pub fn consume(&self, target: &'static str, arrival: &Arrival) -> Consumption {
        Consumption::open(self, target, arrival)
    }

    /// As [`consume`](Self::consume), for names that code made at run time.
    pub(crate) fn consume_named(&self, target: &str, arrival: &Arrival) -> Consumption {
        Consumption::open(self, target, arrival)
    }

    /// As [`call`](Self::call), for names that code made at run time.
    pub(crate) fn call_named(&self, target: &str) -> Call {
        Call::new(self.clone(), self.site(Mode::Sync, target))
    }

    pub(crate) fn transport(&self) -> &'static str {
        self.0.transport
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.0.name.clone()
    }

    /// The call of this name, made once for each service name.
    pub(crate) fn site(&self, mode: Mode, target: &str) -> Arc<Site> {
        let service = ledger().service();
        let mut sites = lock(&self.0.sites[usize::from(mode == Mode::Async)]);
        if let Some(site) = sites.get(target)
            && site.service == service
        {
            return site.clone();
        }
        let site = Arc::new(self.make_site(service, mode, target));
        if sites.len() < TARGETS_MAX || sites.contains_key(target) {
            sites.insert(target.into(), site.clone());
        }
        site
    }

    fn make_site(&self, service: ServiceName, mode: Mode, target: &str) -> Site {
        let target = limits::cut(target);
        let call_id = CallId::of(CallSite {
            namespace: &service.namespace,
            service: &service.service,
            transport: self.0.transport,
            peer: &self.0.name,
            target,
        });
        let edge = EdgeId {
            side: weighbridge_wire::side::CALLER,
            mode: mode.as_str(),
            transport: self.0.transport,
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: call_id.to_arc(),
            peer: self.0.name.clone(),
            target: target.into(),
        };
        Site {
            service,
            call_id,
            edge,
        }
    }
}

/// The addresses of a host; none when the name cannot be resolved.
pub(crate) async fn look_up(host: &str, port: u16) -> Vec<IpAddr> {
    // `[::1]` is how URLs write it.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(address) => vec![address],
        Err(_) => match tokio::net::lookup_host((bare, port)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        },
    }
}
