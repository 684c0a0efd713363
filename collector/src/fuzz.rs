//! Doors to the decoders for the fuzz targets in `fuzz/`, and for a test that gives them every seed kept there: what
//! once crashed stays there as a seed.
//!
//! The first byte of an input says how the rest is read, so that one run covers all ways. Besides that nothing
//! panics, what is accepted must mean the same once it was stored and read again.

use std::path::Path;

use bytes::Bytes;

use crate::config::Config;
use crate::ingest::inflate;
use crate::join;
use crate::otlp::derive::Rules;
use crate::otlp::derived::Derived;
use crate::otlp::{Format, Signal, derive, grpc};
use crate::span::Span;
use crate::store::{Encoding, EpochState, decode_group, decode_window};

/// An instant that the seeds are around, ns since the Unix epoch.
pub const NOW_UNIX_NS: u64 = 1_764_000_000_000_000_000;

/// Largest body after decompression here, bytes: enough for everything but patience.
const INFLATED_MAX: usize = 1 << 20;

/// A request of OTLP: bits of the first byte are its signal, its format, and how it is compressed.
pub fn otlp(bytes: &[u8]) {
    let Some((how, body)) = bytes.split_first() else {
        return;
    };
    let signal = match how & 3 {
        0 | 3 => Signal::Traces,
        1 => Signal::Metrics,
        _ => Signal::Logs,
    };
    let format = if how & 4 == 0 {
        Format::Protobuf
    } else {
        Format::Json
    };
    let encoding = match how >> 3 & 3 {
        1 => Encoding::Gzip,
        2 => Encoding::Zstd,
        _ => Encoding::Identity,
    };
    let mut held = 0;
    let body = inflate(
        encoding,
        &Bytes::copy_from_slice(body),
        INFLATED_MAX,
        &mut |bytes| {
            held = bytes;
            Ok(())
        },
    );
    let Ok(body) = body else {
        return;
    };
    assert!(body.len() <= INFLATED_MAX, "inflated beyond the limit");
    assert!(
        encoding == Encoding::Identity || held >= body.len(),
        "more than was asked for"
    );
    let rules = Rules {
        tenant: "".into(),
        window_ns: 10_000_000_000,
        not_before_unix_ns: NOW_UNIX_NS - 604_800_000_000_000,
        not_after_unix_ns: NOW_UNIX_NS + 86_400_000_000_000,
    };
    if let Ok((derived, _)) = derive(signal, format, &body, &rules, &|_, _| false) {
        stored_again(&derived);
        // All of it came before.
        let again = derive(signal, format, &body, &rules, &|_, _| true);
        assert!(again.is_ok_and(|(derived, _)| derived.wants.is_empty()));
    }
}

fn stored_again(derived: &Derived) {
    let read = Derived::decode(&derived.encode());
    assert_eq!(read.as_ref(), Some(derived), "not what was stored");
}

/// What a file may hold: the first byte says which kind of record.
pub fn stored(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind & 3 {
        0 => {
            if let Some(derived) = Derived::decode(bytes) {
                stored_again(&derived);
            }
        }
        1 => join::read_stored(bytes),
        2 => {
            if let Ok(state) = EpochState::decode("", bytes) {
                let again = state
                    .encode()
                    .and_then(|bytes| EpochState::decode("", &bytes));
                assert_eq!(again, Ok(state), "not what was stored");
            }
        }
        _ if kind & 4 != 0 => drop(decode_group(bytes)),
        _ => drop(decode_window(bytes)),
    }
}

/// A call of gRPC, and a question about health.
pub fn frame(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Ok((_, message)) = grpc::message(body, Some(Encoding::Gzip)) {
        assert!(
            message.len() < bytes.len(),
            "a message longer than its call"
        );
        grpc::knows(&message);
    }
}

/// Settings, and the range of a question.
pub fn text(text: &str) {
    let mut config = Config::default();
    if crate::config::apply_text(&mut config, text, Path::new("fuzz.toml")).is_ok() {
        // Whoever may not see secrets may see this.
        let _ = config.print();
    }
    let (since, until) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(span) = Span::parse(Some(since), Some(until), NOW_UNIX_NS) {
        assert!(span.since_unix_ns < span.until_unix_ns, "an empty range");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_the_fuzz_targets_is_read_without_a_panic() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        for (target, door, least) in [
            ("otlp", otlp as fn(&[u8]), 8),
            ("stored", stored, 2),
            ("frame", frame, 1),
            ("text", |bytes| text(&String::from_utf8_lossy(bytes)), 2),
        ] {
            let mut count = 0;
            for seed in std::fs::read_dir(seeds.join(target)).unwrap() {
                door(&std::fs::read(seed.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count >= least, "{target}: {count} seeds");
        }
    }
}
