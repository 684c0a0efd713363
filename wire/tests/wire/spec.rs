//! The tables in docs/wire.md are what the code says.
//!
//! `UPDATE_SPEC=1 cargo test -p weighbridge-wire` writes them anew.

use std::fmt::Write as _;

use weighbridge_wire::{ALL_COLUMNS, ALL_ROW_KINDS, ColumnInfo, Merge, RowKindInfo, limits};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md");

/// Replaces what stands between the markers of a section.
fn replaced(document: &str, section: &str, content: &str) -> String {
    let begin = format!("<!-- generated: {section} -->\n");
    let (before, rest) = document.split_once(&begin).expect("the section begins");
    let (_, after) = rest.split_once("<!-- end -->").expect("the section ends");
    format!("{before}{begin}\n{content}\n<!-- end -->{after}")
}

fn kind_section(info: &RowKindInfo) -> String {
    let number = info.kind.to_wire();
    let meaning = info.meaning.trim();
    let mut out = format!("### {number} `{}`\n\n{meaning}\n\n", info.name);
    out.push_str("| key part | meaning |\n|---|---|\n");
    for (name, meaning) in info.parts {
        writeln!(out, "| `{name}` | {} |", meaning.trim()).unwrap();
    }
    let names: Vec<_> = info
        .columns
        .iter()
        .map(|column| format!("`{}`", ColumnInfo::find(*column).expect("registered").name))
        .collect();
    writeln!(out, "\nColumns: {}.", names.join(", ")).unwrap();
    out
}

fn columns() -> String {
    let mut out =
        String::from("| number | name | merge | unit | meaning |\n|---:|---|---|---|---|\n");
    for info in ALL_COLUMNS {
        let merge = match Merge::of(info.column) {
            Merge::Sum => "sum",
            Merge::Max => "max",
            Merge::Min => "min",
        };
        let (column, name) = (info.column, info.name);
        let (unit, meaning) = (info.unit.symbol(), info.meaning.trim());
        writeln!(
            out,
            "| {column} | `{name}` | {merge} | {unit} | {meaning} |"
        )
        .unwrap();
    }
    out
}

fn limit_table() -> String {
    let mut out = String::from("| limit | value |\n|---|---:|\n");
    macro_rules! rows {
        ($($name:ident: $meaning:literal,)*) => {$(
            writeln!(out, "| {} (`{}`) | {} |", $meaning, stringify!($name), limits::$name).unwrap();
        )*};
    }
    rows! {
        DELTA_BYTES_MAX: "bytes of a delta after decompression",
        RANGE_BYTES_MAX: "bytes of a folded window or range",
        DECODE_BYTES_PER_BYTE: "memory while decoding a delta, bytes per byte of input",
        FOLDED_DECODE_BYTES_PER_BYTE: "memory while decoding folded windows, bytes per byte of input",
        DECODE_BASE_BYTES: "memory while decoding whatever the input is, bytes",
        STRINGS_MAX: "strings in the table of a delta",
        FOLDED_STRINGS_MAX: "strings in the table of a folded window",
        STRING_BYTES_MAX: "bytes of a string",
        ROWS_MAX: "rows in a delta",
        FOLDED_ROWS_MAX: "rows in a folded window",
        WINDOWS_MAX: "folded windows in a range",
        KEY_PARTS_MAX: "parts in a key",
        COLUMNS_MAX: "columns in a row",
        HISTOGRAMS_MAX: "histograms in a row",
        SKETCHES_MAX: "sketches in a row",
        SKETCH_HASHES_MAX: "hashes in a sketch, and its `k`",
        TOMBSTONES_MAX: "tombstones in a delta",
        VALUE_MAX: "magnitude of a sum column, and of a histogram count, in a delta",
        GAUGE_MAX: "magnitude of a max or min column, of totals and of tombstones",
        WINDOW_NS_MAX: "length of a window, ns",
        UNIX_NS_MAX: "end of a window, ns since 1970",
    }
    out
}

#[test]
fn the_tables_in_the_specification_are_current() {
    let document = std::fs::read_to_string(PATH).expect("docs/wire.md");
    let kinds: Vec<_> = ALL_ROW_KINDS.iter().map(kind_section).collect();
    let mut current = replaced(&document, "row kinds", &kinds.join("\n"));
    current = replaced(&current, "columns", &columns());
    current = replaced(&current, "limits", &limit_table());
    if std::env::var_os("UPDATE_SPEC").is_some() {
        std::fs::write(PATH, &current).expect("docs/wire.md is writable");
    } else {
        assert!(
            document == current,
            "docs/wire.md is out of date: run UPDATE_SPEC=1 cargo test -p weighbridge-wire"
        );
    }
}

#[test]
fn the_proto_file_names_the_same_row_kinds_and_keys() {
    let proto = include_str!("../../proto/weighbridge/v1/ledger.proto");
    let declared: Vec<_> = proto
        .lines()
        .filter(|l| l.trim().starts_with("ROW_KIND_"))
        .collect();
    assert_eq!(
        declared.len(),
        ALL_ROW_KINDS.len() + 1,
        "all kinds and UNSPECIFIED"
    );
    // The comments above the values list the parts of the key, in order.
    let plain = proto.replace("\n  //", "");
    for info in ALL_ROW_KINDS {
        let value = format!(
            "ROW_KIND_{} = {};",
            info.name.to_uppercase(),
            info.kind.to_wire()
        );
        assert!(proto.contains(&value), "{value}");
        let parts: Vec<_> = info
            .parts
            .iter()
            .map(|(name, _)| name.replace('_', " "))
            .collect();
        let comment = format!("Key: {}.", parts.join(", "));
        assert!(
            plain.contains(&comment),
            "the comment of {} should say {comment:?}",
            info.name
        );
    }
}
