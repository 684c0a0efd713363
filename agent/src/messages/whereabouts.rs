//! Where peers are: looked up by name and remembered, to decide whether our headers may go to them.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::sync::lock;
use crate::{clock, state};

/// How long addresses are remembered, in ns.
const KNOWN_NS: u64 = 30_000_000_000;
/// How long it is remembered that a name could not be resolved, in ns: a peer that comes up later than we do is
/// trusted soon, and a name that only a proxy knows is not asked for with every call.
const UNKNOWN_NS: u64 = 1_000_000_000;
/// Longest time for a lookup. The call's own one may well take longer; ours only decides about headers.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most hosts that are remembered.
const HOSTS_MAX: usize = 256;

/// The addresses of hosts.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    hosts: Mutex<FxHashMap<Box<str>, Known>>,
}

#[derive(Debug)]
struct Known {
    until_ns: u64,
    /// Empty when the name could not be resolved.
    addresses: Box<[IpAddr]>,
}

impl Whereabouts {
    /// Whether our headers may go to the host; `None` when it has to be looked up. Of those who ask for what is
    /// out of date, one looks it up again, and the others go by what was known.
    pub(crate) fn is_trusted(&self, host: &str) -> Option<bool> {
        self.is_trusted_at(host, clock::monotonic_ns())
    }

    fn is_trusted_at(&self, host: &str, now_ns: u64) -> Option<bool> {
        if let Ok(address) = bare(host).parse() {
            return Some(trusts(&[address]));
        }
        let mut hosts = lock(&self.hosts);
        let known = hosts.get_mut(host)?;
        if known.until_ns <= now_ns {
            known.until_ns = now_ns.saturating_add(KNOWN_NS);
            return None;
        }
        Some(trusts(&known.addresses))
    }

    /// Looks a host up. A name that cannot be resolved is trusted by nobody; the call will fail and say so.
    pub(crate) async fn look_up(&self, host: &str) -> bool {
        let addresses = addresses_of(host).await;
        let trusted = trusts(&addresses);
        self.remember(host, addresses.into(), clock::monotonic_ns());
        trusted
    }

    fn remember(&self, host: &str, addresses: Box<[IpAddr]>, now_ns: u64) {
        let kept_ns = if addresses.is_empty() {
            UNKNOWN_NS
        } else {
            KNOWN_NS
        };
        let mut hosts = lock(&self.hosts);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            hosts.retain(|_, known| known.until_ns > now_ns);
        }
        if hosts.len() < HOSTS_MAX || hosts.contains_key(host) {
            let until_ns = now_ns.saturating_add(kept_ns);
            hosts.insert(
                host.into(),
                Known {
                    until_ns,
                    addresses,
                },
            );
        }
    }
}

/// All addresses of a host; none when it cannot be resolved, or when there is no runtime to do it on.
async fn addresses_of(host: &str) -> Vec<IpAddr> {
    let bare = bare(host);
    if let Ok(address) = bare.parse() {
        return vec![address];
    }
    if tokio::runtime::Handle::try_current().is_err() {
        return Vec::new();
    }
    // The port says nothing about where a host is.
    let looking = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((bare, 0)));
    match looking.await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => Vec::new(),
    }
}

/// `[::1]` is how URLs write it.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Whether our headers may go to a peer that has these addresses: all of them are trusted.
fn trusts(addresses: &[IpAddr]) -> bool {
    !addresses.is_empty()
        && state::with_trust(|trust| addresses.iter().all(|at| trust.trusts_address(*at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_lookup_and_names_do() {
        let whereabouts = Whereabouts::default();
        for (host, trusted) in [("127.0.0.1", true), ("[::1]", true), ("192.0.2.1", false)] {
            assert_eq!(whereabouts.is_trusted(host), Some(trusted), "{host}");
        }
        assert_eq!(whereabouts.is_trusted("localhost"), None);
        assert!(whereabouts.look_up("localhost").await);
        assert_eq!(whereabouts.is_trusted("localhost"), Some(true));
    }

    #[test]
    fn what_is_out_of_date_is_looked_up_by_one() {
        let whereabouts = Whereabouts::default();
        let at = |address: &str| [address.parse::<IpAddr>().unwrap()].into();
        whereabouts.remember("near", at("127.0.0.1"), 0);
        whereabouts.remember("lost", [].into(), 0);
        whereabouts.remember("far", at("192.0.2.1"), 0);
        let asked = |host: &str, now_ns: u64| whereabouts.is_trusted_at(host, now_ns);
        assert_eq!(asked("near", KNOWN_NS - 1), Some(true));
        assert_eq!(asked("far", KNOWN_NS - 1), Some(false));
        assert_eq!(asked("lost", UNKNOWN_NS - 1), Some(false));
        assert_eq!(asked("lost", UNKNOWN_NS), None, "asked again soon");
        assert_eq!(asked("near", KNOWN_NS), None);
        assert_eq!(asked("near", KNOWN_NS), Some(true), "the others go on");
    }

    #[test]
    fn few_hosts_are_remembered() {
        let whereabouts = Whereabouts::default();
        for n in 0..2 * HOSTS_MAX {
            whereabouts.remember(&format!("host{n}"), [].into(), 0);
        }
        assert_eq!(lock(&whereabouts.hosts).len(), HOSTS_MAX);
        whereabouts.remember("new", [].into(), UNKNOWN_NS);
        assert_eq!(lock(&whereabouts.hosts).len(), 1, "old ones make room");
    }

    #[test]
    fn without_a_runtime_nobody_is_known() {
        use futures_util::FutureExt as _;
        let whereabouts = Whereabouts::default();
        let looked_up = whereabouts.look_up("localhost").now_or_never();
        assert_eq!(looked_up, Some(false));
    }
}
