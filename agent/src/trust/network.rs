//! Networks in CIDR notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network such as `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u32) -> Network {
    Network {
        address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix,
    }
}

const fn v6(first: u16, prefix: u32) -> Network {
    Network {
        address: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)),
        prefix,
    }
}

const V6_LOOPBACK: Network = Network {
    address: IpAddr::V6(Ipv6Addr::LOCALHOST),
    prefix: 128,
};

impl Network {
    /// This host.
    pub(crate) const LOOPBACK: [Self; 2] = [v4(127, 0, 0, 0, 8), V6_LOOPBACK];

    /// Networks that are not routed on the internet, this host included.
    pub(crate) const PRIVATE: [Self; 9] = [
        v4(127, 0, 0, 0, 8),
        V6_LOOPBACK,
        v4(10, 0, 0, 0, 8),
        v4(172, 16, 0, 0, 12),
        v4(192, 168, 0, 0, 16),
        v4(100, 64, 0, 0, 10),
        v4(169, 254, 0, 0, 16),
        v6(0xfc00, 7),
        v6(0xfe80, 10),
    ];

    /// Reads `10.0.0.0/8` or `10.1.2.3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix
                .trim()
                .parse()
                .ok()
                .filter(|&prefix| prefix <= bits)?,
            None => bits,
        };
        Some(Self { address, prefix })
    }

    /// True when the address lies in it. IPv4 addresses written as IPv6 must be made canonical before.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                (mine.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                (mine.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= self.prefix
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
