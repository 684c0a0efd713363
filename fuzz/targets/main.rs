//! The targets. Each gives bytes to decoders and checks, besides that nothing panics, what holds of all that is accepted.
//!
//! `cargo xtask evidence fuzz` builds and runs them; by hand, once built: `WEIGHBRIDGE_FUZZ_TARGET=otlp fuzz
//! seeds/otlp`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use weighbridge_collector::fuzz;
use weighbridge_wire::{Delta, FoldedRange, FoldedWindow};

type Target = fn(&[u8]);

/// As `xtask/src/evidence/fuzz.rs` lists them.
const TARGETS: [(&str, Target); 8] = [
    ("ledger", ledger),
    ("otlp", fuzz::otlp),
    ("stored", fuzz::stored),
    ("frame", fuzz::frame),
    ("text", text),
    ("headers", weighbridge_agent::fuzz::headers),
    ("sql", weighbridge_agent::fuzz::sql),
    ("broker", weighbridge_agent::fuzz::broker),
];

fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("WEIGHBRIDGE_FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.map_or_else(
            || {
                panic!(
                    "WEIGHBRIDGE_FUZZ_TARGET is none of ledger, otlp, stored, frame, text, headers, sql, broker"
                )
            },
            |(_, target)| *target,
        )
    });
    target(bytes);
});

/// What is accepted can be written, and read again as the same.
fn ledger(bytes: &[u8]) {
    if let Ok(delta) = Delta::decode(bytes) {
        assert_eq!(Delta::decode(&delta.encode()), Ok(delta));
    }
    if let Ok(window) = FoldedWindow::decode(bytes) {
        assert_eq!(FoldedWindow::decode(&window.encode()), Ok(window));
    }
    if let Ok(range) = FoldedRange::decode(bytes) {
        assert_eq!(FoldedRange::decode(&range.encode()), Ok(range));
    }
}

/// What people write: settings, constraints, changes, and a report to compare with.
fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    fuzz::text(text);
    let _ = weighbridge_reports::ConstraintFile::parse(text);
    let _ = weighbridge_reports::topology::parse_changes(text);
    let _ = serde_json::from_str::<weighbridge_reports::Document>(text);
}
