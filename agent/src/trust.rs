//! Whose headers are believed, and to whom ours are sent.
//!
//! A header that says "the chain began at checkout" moves cost on the bill, so it counts only from peers that
//! are trusted; from all others the chain begins here and our headers are taken off the request.

mod network;

use std::fmt;
use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub use network::Network;

use crate::ledger::loss;

/// Shortest key, in bytes.
pub const KEY_BYTES_MIN: usize = 16;
/// Most networks in a list.
pub const NETWORKS_MAX: usize = 256;
/// Where headers that are not believed for want of the right code are counted.
const LOSS: &str = "agent.trust";
/// Bytes of the authentication code that travel.
const MAC_BYTES: usize = 8;

/// The rule of trust. Set by `WEIGHBRIDGE_TRUST` or the builder.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Trust {
    /// Nobody: every chain begins here, nothing is sent along.
    None,
    /// Peers on this host (`loopback`, the default).
    #[default]
    Loopback,
    /// Peers in these networks (`10.0.0.0/8,fd00::/8`; `loopback` may stand in the list).
    Networks(Vec<Network>),
    /// Whoever holds the key (`key:…`): the per-hop header carries a code made with it. Right behind an
    /// ingress, where the address says nothing. Headers go to peers in private networks only, because the
    /// code keeps them from being forged, not from being read.
    Key(TrustKey),
}

/// Why a rule of trust cannot be used. Never repeats the text, which may hold a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The word is unknown.
    #[error(
        "not a rule of trust; write `none`, `loopback`, a list of networks such as `10.0.0.0/8,fd00::/8`, or `key:SECRET`"
    )]
    Malformed,
    /// The key is too short.
    #[error(
        "the key is too short; take at least {KEY_BYTES_MIN} random bytes, for example from `openssl rand -hex 16`"
    )]
    KeyTooShort,
    /// The list is too long.
    #[error("more than {NETWORKS_MAX} networks; write larger networks or use `key:SECRET`")]
    TooMany,
}

/// A shared secret. Never shown.
#[derive(Clone)]
pub struct TrustKey(Box<[u8]>);

impl fmt::Debug for TrustKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustKey(…)")
    }
}

impl Trust {
    /// Reads `none`, `loopback`, a list of networks, or `key:SECRET`.
    ///
    /// # Errors
    /// [`TrustError`] when it is none of these.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let text = text.trim();
        if let Some(key) = text.strip_prefix("key:") {
            let key = key.as_bytes();
            if key.len() < KEY_BYTES_MIN {
                return Err(TrustError::KeyTooShort);
            }
            return Ok(Self::Key(TrustKey(key.into())));
        }
        match text {
            "none" => return Ok(Self::None),
            "loopback" => return Ok(Self::Loopback),
            _ => {}
        }
        let mut networks = Vec::new();
        for word in text.split(',').map(str::trim) {
            if networks.len() > NETWORKS_MAX {
                return Err(TrustError::TooMany);
            }
            match word {
                "loopback" => networks.extend(Network::LOOPBACK),
                _ => networks.push(Network::parse(word).ok_or(TrustError::Malformed)?),
            }
        }
        Ok(Self::Networks(networks))
    }

    /// Whether our headers may go to this address, and whether its headers count as far as the address
    /// decides.
    pub(crate) fn trusts_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::None => false,
            Self::Loopback => address.is_loopback(),
            Self::Networks(networks) => networks.iter().any(|network| network.contains(address)),
            Self::Key(_) => Network::PRIVATE
                .iter()
                .any(|network| network.contains(address)),
        }
    }

    /// Whether a per-hop header is believed: `signed` is the part of the header before the code.
    /// An unknown address is trusted by nobody but the key. With a key, what carries no code or a wrong one is
    /// counted: somebody forges headers, or a service has another key.
    pub(crate) fn believes(&self, peer: Option<IpAddr>, signed: &str, mac: Option<&str>) -> bool {
        match self {
            Self::Key(key) => {
                let refused = match mac {
                    Some(mac) if key.verify(signed, mac) => return true,
                    Some(_) => "wrong code",
                    None => "no code",
                };
                loss(LOSS, refused, 1);
                false
            }
            _ => peer.is_some_and(|address| self.trusts_address(address)),
        }
    }

    /// The code for a per-hop header, when there is a key.
    pub(crate) fn mac(&self, signed: &str) -> Option<String> {
        match self {
            Self::Key(key) => key.sign(signed),
            _ => None,
        }
    }
}

impl TrustKey {
    fn hmac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length; the type does not say so.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }

    fn sign(&self, signed: &str) -> Option<String> {
        let code = self.hmac(signed)?.finalize().into_bytes();
        Some(
            code[..MAC_BYTES]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    fn verify(&self, signed: &str, mac: &str) -> bool {
        let mut code = [0; MAC_BYTES];
        if mac.len() != 2 * MAC_BYTES || !mac.is_ascii() {
            return false;
        }
        for (byte, digits) in code.iter_mut().zip(mac.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).unwrap_or_default();
            let Ok(value) = u8::from_str_radix(digits, 16) else {
                return false;
            };
            *byte = value;
        }
        // Compares in constant time.
        self.hmac(signed)
            .is_some_and(|mac| mac.verify_truncated_left(&code).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(rule: &str, address: &str) -> bool {
        Trust::parse(rule)
            .unwrap()
            .trusts_address(address.parse().unwrap())
    }

    #[test]
    fn addresses_follow_the_rule() {
        assert!(trusts("loopback", "127.8.9.1") && trusts("loopback", "::1"));
        assert!(
            trusts("loopback", "::ffff:127.0.0.1"),
            "a dual-stack listener shows IPv4 so"
        );
        assert!(!trusts("loopback", "10.1.2.3") && !trusts("none", "127.0.0.1"));
        assert!(trusts("10.0.0.0/8, fd00::/8", "10.200.0.1"));
        assert!(trusts("10.0.0.0/8, fd00::/8", "fd12::1"));
        assert!(!trusts("10.0.0.0/8, fd00::/8", "127.0.0.1"));
        assert!(trusts("loopback,192.168.1.7", "127.0.0.1"));
        assert!(trusts("192.168.1.7", "192.168.1.7") && !trusts("192.168.1.7", "192.168.1.8"));
        assert!(trusts("0.0.0.0/0", "8.8.8.8") && !trusts("0.0.0.0/0", "::2"));
    }

    #[test]
    fn a_key_sends_only_inside_private_networks() {
        let rule = "key:0123456789abcdef";
        assert!(trusts(rule, "172.20.1.1") && trusts(rule, "127.0.0.1") && trusts(rule, "fd00::5"));
        assert!(!trusts(rule, "8.8.8.8") && !trusts(rule, "2001:db8::1"));
    }

    #[test]
    fn the_key_decides_and_not_the_address() {
        let trust = Trust::parse("key:0123456789abcdef").unwrap();
        let other = Trust::parse("key:0123456789abcdeX").unwrap();
        let local = "127.0.0.1".parse().ok();
        let mac = trust.mac("1;a;b").unwrap();
        assert_eq!(mac.len(), 16);
        assert!(trust.believes(None, "1;a;b", Some(&mac)));
        assert!(!trust.believes(local, "1;a;c", Some(&mac)), "another text");
        assert!(!other.believes(local, "1;a;b", Some(&mac)), "another key");
        assert!(!trust.believes(local, "1;a;b", None));
        for bad in [
            "",
            "0",
            "zz",
            "+1+1+1+1+1+1+1+1",
            "ääääääää",
            &mac[..14],
            &format!("{mac}00"),
        ] {
            assert!(!trust.believes(local, "1;a;b", Some(bad)), "{bad}");
        }
    }

    #[test]
    fn bad_rules_are_refused_without_repeating_them() {
        for (text, error) in [
            ("", TrustError::Malformed),
            ("everybody", TrustError::Malformed),
            ("10.0.0.0/33", TrustError::Malformed),
            ("10.0.0.0/8,", TrustError::Malformed),
            ("key:short", TrustError::KeyTooShort),
        ] {
            let found = Trust::parse(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(
                !found.to_string().contains("short,") && !found.to_string().contains("everybody")
            );
        }
        let many = vec!["10.0.0.0/8"; NETWORKS_MAX + 2].join(",");
        assert_eq!(Trust::parse(&many).unwrap_err(), TrustError::TooMany);
    }
}
