//! Files that fix the format: what was written once is read for ever, and today's encoder writes it still.
//!
//! `UPDATE_GOLDEN=1 cargo test -p weighbridge-wire` writes them anew; a change to an existing `.bin` is a
//! change of the format and needs a new major version.

use std::fmt::Write as _;
use std::path::PathBuf;

use prost::Message as _;
use weighbridge_wire::{
    Delta, FoldedRange, FoldedWindow, Identity, RowKind, RowSet, ServiceId, Window, pb,
};

use crate::samples;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name]
        .iter()
        .collect()
}

/// The bytes of the file; rewritten first when asked to.
fn golden(name: &str, bytes: &[u8], rendering: &str) -> Vec<u8> {
    let (bin, txt) = (path(&format!("{name}.bin")), path(&format!("{name}.txt")));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&bin, bytes).unwrap();
        std::fs::write(&txt, rendering).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&txt).unwrap(),
        rendering,
        "{name}.txt"
    );
    std::fs::read(&bin).unwrap()
}

fn render_window(window: Window) -> String {
    format!("{} .. {}", window.start_unix_ns, window.end_unix_ns)
}

fn render_delta(delta: &Delta) -> String {
    let Identity {
        namespace,
        environment,
        service,
        version,
        instance,
        host,
    } = &delta.identity;
    let mut out = format!(
        "delta {} of epoch {}\n\
         {namespace}/{environment}/{service} {version}, instance {instance}, host {host}\n\
         window {}\n\
         cumulative {:?}\n",
        delta.seq,
        delta.epoch,
        render_window(delta.window),
        delta.cumulative,
    );
    for tombstone in &delta.tombstones {
        writeln!(out, "{tombstone:?}").unwrap();
    }
    write!(out, "\n{}", delta.rows).unwrap();
    out
}

fn render_folded(folded: &FoldedWindow) -> String {
    let ServiceId {
        tenant,
        namespace,
        environment,
        service,
        version,
    } = &folded.service;
    let window = render_window(folded.window);
    format!(
        "folded window {window}\n{tenant}/{namespace}/{environment}/{service} {version}\n\n{}",
        folded.rows
    )
}

fn folded() -> FoldedWindow {
    FoldedWindow {
        service: ServiceId {
            tenant: "acme".into(),
            namespace: "shop".into(),
            environment: "test".into(),
            service: "store".into(),
            version: "1.2.3".into(),
        },
        window: samples::delta().window,
        rows: samples::rows(),
    }
}

#[test]
fn delta() {
    let delta = samples::delta();
    let bytes = golden("delta", &delta.encode(), &render_delta(&delta));
    assert_eq!(
        delta.encode(),
        bytes,
        "today's encoder writes the same bytes"
    );
    assert_eq!(Delta::decode(&bytes), Ok(delta));
}

#[test]
fn folded_window() {
    let folded = folded();
    let bytes = golden("folded-window", &folded.encode(), &render_folded(&folded));
    assert_eq!(
        folded.encode(),
        bytes,
        "today's encoder writes the same bytes"
    );
    assert_eq!(FoldedWindow::decode(&bytes), Ok(folded));
}

#[test]
fn folded_range() {
    let mut later = folded();
    later.window.start_unix_ns = later.window.end_unix_ns;
    later.window.end_unix_ns += 10_000_000_000;
    later.service.service = "warehouse".into();
    let range = FoldedRange {
        window: folded().window.cover(later.window),
        windows: vec![folded(), later],
    };
    let rendering = format!(
        "folded range {}\n\n{}",
        render_window(range.window),
        range
            .windows
            .iter()
            .map(render_folded)
            .collect::<Vec<_>>()
            .join("\n")
    );
    let bytes = golden("folded-range", &range.encode(), &rendering);
    assert_eq!(
        range.encode(),
        bytes,
        "today's encoder writes the same bytes"
    );
    assert_eq!(FoldedRange::decode(&bytes), Ok(range));
}

/// A field that today's format does not have, for appending to any message.
fn unknown_field() -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::string::encode(99, &"from a later version".to_owned(), &mut bytes);
    prost::encoding::uint64::encode(100, &u64::MAX, &mut bytes);
    prost::encoding::fixed64::encode(101, &7, &mut bytes);
    prost::encoding::fixed32::encode(102, &7, &mut bytes);
    bytes
}

/// A message written by hand as a field, with unknown fields after its own.
fn with_unknown_fields(number: u32, message: &impl prost::Message, out: &mut Vec<u8>) {
    let mut body = message.encode_to_vec();
    body.extend(unknown_field());
    prost::encoding::bytes::encode(number, &body, out);
}

/// What a later minor version may send: unknown fields in every message, an unknown kind, an unknown
/// quality, unknown columns of all merge rules, more key parts than today.
fn from_a_later_version() -> Vec<u8> {
    let mut known = pb::Delta::decode(samples::delta().encode().as_slice()).unwrap();
    let at = |known: &mut pb::Delta, text: &str| {
        known.strings.push(text.into());
        u32::try_from(known.strings.len() - 1).unwrap()
    };
    let key = vec![
        at(&mut known, "a new thing"),
        at(&mut known, "its second part"),
    ];
    known.rows.push(pb::Row {
        kind: 4_000,
        quality: 9,
        key: key.clone(),
        column: vec![4_000, 4_001, 4_002],
        value: vec![1, -2, 3],
        histogram: vec![pb::Histogram {
            id: 4_004,
            bucket_delta: vec![3],
            count: vec![5],
        }],
        sketch: vec![pb::Sketch {
            id: 4_008,
            k: 4,
            hash: vec![11, 22],
        }],
    });
    if let Some(row) = known.rows.first_mut() {
        row.key.extend(&key);
        row.column.push(4_000);
        row.value.push(17);
    }
    let mut out = Vec::new();
    prost::encoding::uint32::encode(1, &known.version, &mut out);
    with_unknown_fields(2, &known.identity.unwrap(), &mut out);
    prost::encoding::bytes::encode(3, &known.epoch, &mut out);
    prost::encoding::uint64::encode(4, &known.seq, &mut out);
    with_unknown_fields(5, &known.window.unwrap(), &mut out);
    prost::encoding::string::encode_repeated(6, &known.strings, &mut out);
    for row in &known.rows {
        with_unknown_fields(7, row, &mut out);
    }
    with_unknown_fields(8, &known.cumulative.unwrap(), &mut out);
    for tombstone in &known.tombstones {
        with_unknown_fields(9, tombstone, &mut out);
    }
    out.extend(unknown_field());
    out
}

#[test]
fn delta_from_a_later_version() {
    let written = from_a_later_version();
    let delta = Delta::decode(&written).unwrap();
    let bytes = golden("delta-unknown", &written, &render_delta(&delta));
    assert_eq!(bytes, written);

    let (_, unknown) = delta
        .rows
        .iter()
        .find(|(key, _)| key.kind == 4_000)
        .unwrap();
    assert_eq!(
        unknown.columns().collect::<Vec<_>>(),
        [(4_000, 1), (4_001, -2), (4_002, 3)]
    );
    assert_eq!(
        unknown
            .histogram(4_004)
            .map(weighbridge_wire::Histogram::count),
        Some(5)
    );
    assert_eq!(
        unknown.sketch(4_008).map(|s| s.hashes().collect()),
        Some(vec![11, 22])
    );
    let (operation, value) = delta.rows.of_kind(RowKind::Operation).next().unwrap();
    assert_eq!(
        operation.parts.len(),
        9,
        "parts of a later version are kept"
    );
    assert_eq!(value.get(4_000), Some(17), "so are its columns");
    let known = |rows: &RowSet| {
        rows.of_kind(RowKind::Edge)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        known(&delta.rows),
        known(&samples::rows()),
        "the rest is what it was"
    );

    // A store merges and keeps what it does not know, by the rules in the column numbers.
    let mut rows = delta.rows.clone();
    rows.merge(&delta.rows);
    let folded = FoldedWindow {
        service: ServiceId::default(),
        window: delta.window,
        rows,
    };
    let folded = FoldedWindow::decode(&folded.encode()).unwrap();
    let (_, unknown) = folded
        .rows
        .iter()
        .find(|(key, _)| key.kind == 4_000)
        .unwrap();
    assert_eq!(
        unknown.columns().collect::<Vec<_>>(),
        [(4_000, 2), (4_001, -2), (4_002, 3)]
    );
    assert_eq!(
        unknown
            .histogram(4_004)
            .map(weighbridge_wire::Histogram::count),
        Some(10)
    );
}
