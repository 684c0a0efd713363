use http::header::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::trust::Trust;

fn party(service: &str, operation: &str) -> Party {
    Party {
        service: service.into(),
        operation: operation.into(),
    }
}

fn hop() -> Hop {
    let site = CallSite {
        namespace: "shop",
        service: "store",
        transport: "http",
        peer: "warehouse",
        target: "GET /stock/{sku}",
    };
    Hop {
        caller: party("store", "POST /orders"),
        call_id: CallId::of(site),
        mode: Mode::Sync,
        sent_unix_us: 1_700_000_000_000_000,
    }
}

fn local() -> Option<std::net::IpAddr> {
    "127.0.0.1".parse().ok()
}

fn foreign() -> Option<std::net::IpAddr> {
    "203.0.113.9".parse().ok()
}

fn sent(trust: &Trust) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let (origin, hop) = (party("web", "GET /shop;x"), hop());
    let out = HeadersOut {
        trace: TraceContext::new_root(),
        origin: &origin,
        hop: &hop,
    };
    inject(&mut headers, &out, trust);
    headers
}

#[test]
fn what_is_sent_arrives() {
    let mut headers = sent(&Trust::Loopback);
    let inbound = extract(&Trust::Loopback, local(), &mut headers);
    assert_eq!(inbound.hop, Some(hop()));
    assert_eq!(inbound.origin, Some(party("web", "GET /shop;x")));
    assert!(inbound.trace.is_some());
}

#[test]
fn the_call_id_is_the_documented_hash() {
    // printf 'shop\0store\0http\0warehouse\0GET /stock/{sku}' | sha256sum | cut -c1-16
    assert_eq!(hop().call_id.to_string(), CALL_ID);
}

const CALL_ID: &str = "b77c87442cdb0875";

#[test]
fn from_others_the_chain_begins_here_and_our_headers_are_removed() {
    let mut headers = sent(&Trust::Loopback);
    headers.append(
        BAGGAGE,
        HeaderValue::from_static("tenant=7, weighbridge.origin=x;y ,a=b;p"),
    );
    let inbound = extract(&Trust::Loopback, foreign(), &mut headers);
    assert_eq!((inbound.hop, inbound.origin), (None, None));
    assert!(inbound.trace.is_some(), "a trace moves no cost");
    assert!(!headers.contains_key(HOP));
    let baggage: Vec<_> = headers.get_all(BAGGAGE).iter().collect();
    assert_eq!(baggage, ["tenant=7,a=b;p"]);
}

#[test]
fn an_origin_without_a_hop_is_not_believed() {
    let mut headers = sent(&Trust::Loopback);
    headers.remove(HOP);
    let inbound = extract(&Trust::Loopback, local(), &mut headers);
    assert_eq!(inbound.origin, None);
    assert!(!headers.contains_key(BAGGAGE));
}

#[test]
fn with_a_key_the_code_decides() {
    let key = Trust::parse("key:0123456789abcdef").unwrap();
    assert!(extract(&key, foreign(), &mut sent(&key)).hop.is_some());
    assert!(
        extract(&key, local(), &mut sent(&Trust::Loopback))
            .hop
            .is_none()
    );
    let mut forged = sent(&key);
    let value = forged[HOP].to_str().unwrap().replace("store", "other");
    forged.insert(HOP, HeaderValue::try_from(value).unwrap());
    assert!(extract(&key, local(), &mut forged).hop.is_none());
}

#[test]
fn injecting_keeps_what_others_set() {
    let mut headers = HeaderMap::new();
    headers.insert(BAGGAGE, HeaderValue::from_static("tenant=7"));
    let tracer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert(TRACEPARENT, HeaderValue::from_static(tracer));
    let (origin, hop) = (party("web", "GET /"), hop());
    let out = HeadersOut {
        trace: TraceContext::new_root(),
        origin: &origin,
        hop: &hop,
    };
    inject(&mut headers, &out, &Trust::Loopback);
    inject(&mut headers, &out, &Trust::Loopback);
    assert_eq!(headers[TRACEPARENT], tracer);
    let baggage: Vec<_> = headers.get_all(BAGGAGE).iter().collect();
    assert_eq!(baggage, ["tenant=7", "weighbridge.origin=web;GET%20%2F"]);
}

#[test]
fn nothing_of_ours_goes_to_a_peer_that_is_not_trusted() {
    let mut headers = sent(&Trust::Loopback);
    headers.append(BAGGAGE, HeaderValue::from_static("tenant=7"));
    strip(&mut headers);
    assert!(!headers.contains_key(HOP));
    let baggage: Vec<_> = headers.get_all(BAGGAGE).iter().collect();
    assert_eq!(baggage, ["tenant=7"]);
}

#[test]
fn a_child_keeps_the_trace_and_its_flags() {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parent = TraceContext::parse(text).unwrap();
    assert_eq!(parent.to_text(), text);
    let child = parent.child();
    assert_ne!(child, parent);
    assert!(
        child
            .to_text()
            .starts_with("00-0af7651916cd43dd8448eb211c80319c-")
    );
    assert!(child.to_text().ends_with("-01"));
}

#[test]
fn malformed_trace_parents_are_as_good_as_none() {
    for bad in [
        "",
        "00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "00-0af7651916cd43dd8448eb211c80319cäb7ad6b7169203331-01",
        "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
    ] {
        assert_eq!(TraceContext::parse(bad), None, "{bad}");
    }
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later";
    assert!(TraceContext::parse(later).is_some());
}

#[test]
fn s9_many_baggage_headers_and_huge_values_cost_bounded_work() {
    let mut headers = sent(&Trust::Loopback);
    for n in 0..500 {
        headers.append(BAGGAGE, HeaderValue::try_from(format!("k{n}=v")).unwrap());
    }
    headers.append(
        "tracestate",
        HeaderValue::try_from("x".repeat(1 << 20)).unwrap(),
    );
    headers.append(BAGGAGE, HeaderValue::try_from("y".repeat(1 << 20)).unwrap());
    assert!(
        extract(&Trust::Loopback, local(), &mut headers)
            .origin
            .is_some()
    );
    extract(&Trust::Loopback, foreign(), &mut headers);
    let kept = headers.get_all(BAGGAGE).iter().count();
    assert!(kept < BAGGAGE_HEADERS_MAX, "{kept} headers kept");
    assert!(headers.get_all(BAGGAGE).iter().all(|v| v.len() < 1_000));
}

#[test]
fn an_origin_behind_the_bounds_does_not_slip_through() {
    let mut headers = HeaderMap::new();
    headers.append(
        BAGGAGE,
        HeaderValue::try_from("x=".repeat(BAGGAGE_BYTES_MAX)).unwrap(),
    );
    headers.append(
        BAGGAGE,
        HeaderValue::from_static("weighbridge.origin=evil;x"),
    );
    extract(&Trust::Loopback, foreign(), &mut headers);
    assert!(!headers.contains_key(BAGGAGE));
}

#[test]
fn no_more_headers_of_baggage_are_read_than_the_limit_says() {
    for (others, found) in [
        (BAGGAGE_HEADERS_MAX - 1, true),
        (BAGGAGE_HEADERS_MAX, false),
    ] {
        let mut headers = sent(&Trust::Loopback);
        let ours = headers.remove(BAGGAGE).unwrap();
        for _ in 0..others {
            headers.append(BAGGAGE, HeaderValue::from_static("k=v"));
        }
        headers.append(BAGGAGE, ours);
        let origin = extract(&Trust::Loopback, local(), &mut headers).origin;
        assert_eq!(origin.is_some(), found, "behind {others}");
    }
}

#[test]
fn two_trace_parents_contradict_each_other() {
    let mut headers = sent(&Trust::Loopback);
    let other = TraceContext::new_root().to_text();
    headers.append(TRACEPARENT, HeaderValue::try_from(other).unwrap());
    assert_eq!(extract(&Trust::Loopback, local(), &mut headers).trace, None);
}

#[test]
fn properties_of_a_message_read_like_headers() {
    let (origin, hop) = (party("web", "GET /"), hop());
    let out = HeadersOut {
        trace: TraceContext::new_root(),
        origin: &origin,
        hop: &hop,
    };
    let properties = out.properties(&Trust::Loopback);
    let read = |peer| {
        let pairs = properties
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        extract_properties(&Trust::Loopback, peer, pairs)
    };
    assert_eq!(read(local()).origin, Some(origin.clone()));
    assert_eq!(read(local()).hop, Some(hop.clone()));
    assert_eq!((read(foreign()).origin, read(None).hop), (None, None));
}

proptest! {
    #[test]
    fn any_names_survive_the_way(service in "\\PC{1,40}", operation in "\\PC{0,40}", us: u64) {
        let mut hop = hop();
        hop.caller = party(&service, &operation);
        hop.sent_unix_us = us;
        let origin = hop.caller.clone();
        let mut headers = HeaderMap::new();
        let out = HeadersOut { trace: TraceContext::new_root(), origin: &origin, hop: &hop };
        inject(&mut headers, &out, &Trust::Loopback);
        let inbound = extract(&Trust::Loopback, local(), &mut headers);
        prop_assert_eq!(inbound.hop, Some(hop));
        prop_assert_eq!(inbound.origin, Some(origin));
    }

    #[test]
    fn no_input_panics(
        trace in "\\PC*", hop in "\\PC*|1;[a-z%;0-9]*", baggage in "\\PC*|weighbridge.origin=[%;a-z]*"
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(TRACEPARENT, &trace), (HOP, &hop), (BAGGAGE, &baggage)] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(name, value);
            }
        }
        extract(&Trust::Loopback, local(), &mut headers.clone());
        let inbound = extract(&Trust::Loopback, foreign(), &mut headers);
        prop_assert_eq!(inbound.origin, None);
        TraceContext::parse(&trace);
    }

    /// Any bytes in any of the headers that are read, any number of them, from anybody.
    #[test]
    fn any_headers_are_bounded_and_say_nothing_that_is_not_believed(
        lines in prop::collection::vec(
            (0..4usize, prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "1;[a-z%;0-9äß]{0,60}".prop_map(String::into_bytes),
                "00-[0-9a-fA-Z]{32}-[0-9a-f]{16}-[0-9a-f]{2}".prop_map(String::into_bytes),
                "weighbridge.origin ?= ?[%;a-z0-9]{0,30}(,[a-z]=[a-z])?".prop_map(String::into_bytes),
                (1..40_000usize).prop_map(|n| vec![b','; n]),
                (1..40_000usize).prop_map(|n| vec![b'%'; n]),
            ]),
            0..140,
        ),
        from in prop_oneof![Just(None), Just(local()), Just(foreign())],
    ) {
        const NAMES: [&str; 4] = [TRACEPARENT, HOP, BAGGAGE, "tracestate"];
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(NAMES[*name], value);
            }
        }
        let traces = headers.get_all(TRACEPARENT).iter().count();
        let states: Vec<_> = headers.get_all("tracestate").iter().cloned().collect();
        for trust in ["none", "loopback", "key:0123456789abcdef"] {
            let trust = Trust::parse(trust).unwrap();
            let mut headers = headers.clone();
            let inbound = extract(&trust, from, &mut headers);
            let believed = matches!(trust, Trust::Loopback) && from == local();
            prop_assert!(believed || (inbound.hop.is_none() && inbound.origin.is_none()));
            prop_assert!(inbound.hop.is_some() || inbound.origin.is_none());
            prop_assert!(traces == 1 || inbound.trace.is_none(), "two contradict each other");
            if inbound.hop.is_none() {
                prop_assert!(!headers.contains_key(HOP), "taken off");
                let kept: usize = headers.get_all(BAGGAGE).iter().map(HeaderValue::len).sum();
                prop_assert!(kept <= BAGGAGE_BYTES_MAX, "{kept}");
                prop_assert!(headers.get_all(BAGGAGE).iter().count() <= BAGGAGE_HEADERS_MAX);
            }
            let after: Vec<_> = headers.get_all("tracestate").iter().cloned().collect();
            prop_assert_eq!(&after, &states, "other people's headers pass untouched");
            for name in [inbound.origin.map(|p| p.operation), inbound.hop.map(|h| h.caller.operation)] {
                prop_assert!(name.is_none_or(|name| name.len() <= NAME_BYTES_MAX));
            }
        }
    }
}
