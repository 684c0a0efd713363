//! The `Host` header.
//!
//! A page on the internet can let its own name point to 127.0.0.1 and then read from here with the
//! visitor's browser (DNS rebinding). Such a request still carries that name, so only known names are
//! answered.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use http::header;
use http::uri::Authority;

/// The names under which the collector answers.
#[derive(Debug)]
pub(super) struct Hosts {
    listen: Vec<SocketAddr>,
    names: BTreeSet<String>,
}

impl Hosts {
    pub(super) fn new(listen: &[SocketAddr], allowed: &[String]) -> Self {
        let names = allowed
            .iter()
            .map(|name| name.to_lowercase())
            .chain(["localhost".into()])
            .collect();
        Self {
            listen: listen.to_vec(),
            names,
        }
    }

    /// Says why a request is not answered.
    pub(super) fn check(&self, request: &Request) -> Result<(), String> {
        // HTTP/2 and absolute targets carry the name in the URI.
        let given = match request.headers().get(header::HOST) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => request
                .uri()
                .authority()
                .map(Authority::as_str)
                .unwrap_or_default(),
        };
        if self.knows(given) {
            return Ok(());
        }
        let shown: String = given
            .chars()
            .filter(char::is_ascii_graphic)
            .take(100)
            .collect();
        Err(format!(
            "the Host `{shown}` is not a name of this collector. Use its address ({}) or localhost, or \
             add the name to its setting `allowed_hosts`. (Other names are refused so that a web page \
             cannot read from here by DNS rebinding.)",
            self.listen
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ))
    }

    fn knows(&self, given: &str) -> bool {
        let name = without_port(given);
        let address = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match address {
            // An address needs no name server, so it cannot be rebound; it must be one of ours, though.
            Ok(ip) => {
                ip.is_loopback()
                    || self
                        .listen
                        .iter()
                        .any(|mine| ip == mine.ip() || mine.ip().is_unspecified())
            }
            Err(_) => self
                .names
                .contains(&name.trim_end_matches('.').to_lowercase()),
        }
    }
}

fn without_port(given: &str) -> &str {
    match given.rsplit_once(':') {
        // The colons of a bare IPv6 address are not followed by a port alone.
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(listen: &str, allowed: &[&str], given: &str) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|&name| name.to_owned()).collect();
        Hosts::new(&[listen.parse().unwrap()], &allowed).knows(given)
    }

    #[test]
    fn own_names_are_known() {
        for given in [
            "127.0.0.1:4318",
            "127.0.0.1",
            "localhost:4318",
            "LOCALHOST",
            "localhost.",
            "[::1]:4318",
            "[::1]",
        ] {
            assert!(knows("127.0.0.1:4318", &[], given), "{given}");
        }
        assert!(knows(
            "127.0.0.1:4318",
            &["Collector.Example"],
            "collector.example:80"
        ));
        assert!(knows("10.1.2.3:4318", &[], "10.1.2.3:4318"));
        assert!(knows("0.0.0.0:4318", &[], "10.1.2.3:4318"));
    }

    #[test]
    fn foreign_names_are_not() {
        for given in [
            "",
            "evil.example",
            "evil.example:4318",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "10.1.2.3:4318",
            "localhost:evil",
        ] {
            assert!(!knows("127.0.0.1:4318", &[], given), "{given}");
        }
    }
}
