//! Decoding never holds more memory than a stated multiple of its input, whatever the input is.
//!
//! A binary of its own, because it replaces the global allocator.
#![allow(unsafe_code, reason = "a counting allocator")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use prost::Message as _;
use weighbridge_wire::{
    DecodeError, Delta, Epoch, FoldedRange, FoldedWindow, Histogram, Identity, OperationKey,
    Quality, RowSet, ServiceId, Totals, VERSION, Window, column, limits, pb,
};

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Counts the live bytes of each thread and their peak.
struct Counting;

fn grew(bytes: usize) {
    // Outside a thread's life nothing is counted.
    let _ = LIVE.try_with(|live| {
        live.set(live.get().saturating_add(bytes));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn shrank(bytes: usize) {
    let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(bytes)));
}

// SAFETY: every call is passed on to the system allocator unchanged; the counting neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: as above; `at` came from the system allocator with this layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be held at once while the content moves.
        grew(size);
        shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs it and gives the peak of live bytes above what was live before.
fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = run();
    (result, PEAK.get() - before)
}

fn held(name: &str, bytes: &[u8], per_byte: usize, decode: impl Fn(&[u8]) -> bool) {
    let (accepted, peak) = peak_of(|| decode(bytes));
    let limit = limits::DECODE_BASE_BYTES + per_byte * bytes.len();
    let (len, whole) = (bytes.len(), peak / bytes.len());
    // Shown by `--nocapture`: where the limits come from.
    println!("{name}: {len} bytes, accepted {accepted}, peak {peak} ({whole} per byte)");
    assert!(
        peak <= limit,
        "{name}: {peak} bytes held for an input of {len}"
    );
}

fn delta(name: &str, bytes: &[u8]) {
    held(name, bytes, limits::DECODE_BYTES_PER_BYTE, |bytes| {
        Delta::decode(bytes).is_ok()
    });
}

fn range(name: &str, bytes: &[u8]) {
    held(name, bytes, limits::FOLDED_DECODE_BYTES_PER_BYTE, |bytes| {
        FoldedRange::decode(bytes).is_ok()
    });
}

/// A delta without rows and strings, to put raw fields behind.
fn head() -> Vec<u8> {
    pb::Delta {
        version: VERSION,
        identity: Some(pb::Identity {
            service: "s".into(),
            ..Default::default()
        }),
        epoch: vec![0; 16],
        seq: 9,
        window: Some(pb::Window {
            start_unix_ns: 1,
            end_unix_ns: 2,
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

fn with(fields: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = head();
    fields.into_iter().for_each(|field| bytes.extend(field));
    bytes
}

fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &body.to_vec(), &mut bytes);
    bytes
}

fn row(row: &pb::Row) -> Vec<u8> {
    field(7, &row.encode_to_vec())
}

/// As many fields as fit.
fn filled(one: &[u8], limit: usize) -> Vec<u8> {
    let room = limit - head().len();
    with([one.repeat(room / one.len())])
}

/// Rows with keys of their own, the least that a row can be.
fn small_rows(count: usize, change: impl Fn(&mut pb::Row)) -> Vec<u8> {
    with((1..=u32::try_from(count).unwrap()).map(|kind| {
        let mut small = pb::Row {
            kind,
            quality: 1,
            ..Default::default()
        };
        change(&mut small);
        row(&small)
    }))
}

/// What a service of some size sends in a window.
fn usual(row_count: u64) -> Delta {
    let mut rows = RowSet::new();
    for n in 0..row_count {
        let key = OperationKey {
            component: "".into(),
            operation: format!("GET /resource-{}/{{id}}", n / 4).into(),
            class: "".into(),
            caller_service: format!("caller-{}", n % 4).into(),
            caller_operation: "GET /".into(),
            origin_service: "edge".into(),
            origin_operation: "GET /".into(),
        };
        let value = rows.row_mut(key.row_key(Quality::Measured));
        for (at, column) in (column::STARTED..column::CPU_STORE_NS)
            .step_by(4)
            .zip(1..)
            .map(|(c, at)| (at, c))
        {
            value.add(column, 1_000_003 * at);
        }
        for v in 0..20 {
            value
                .histogram_mut(column::HIST_WALL_NS)
                .record((n + 1) * v * v * 1_000);
        }
    }
    Delta {
        identity: Identity {
            service: "usual".into(),
            ..Identity::default()
        },
        epoch: Epoch([7; 16]),
        seq: 1,
        window: Window {
            start_unix_ns: 1,
            end_unix_ns: 2,
        },
        rows,
        cumulative: Totals::default(),
        tombstones: Vec::new(),
    }
}

#[test]
fn what_agents_send() {
    let bytes = usual(200).encode();
    let (read, peak) = peak_of(|| Delta::decode(&bytes));
    assert!(read.is_ok());
    println!("200 rows: {} bytes, peak {peak}", bytes.len());
    assert!(
        peak < bytes.len() * 8,
        "{peak} bytes held for an input of {}",
        bytes.len()
    );
}

#[test]
fn empty_rows_are_counted_before_they_are_built() {
    let bytes = filled(&[0x3a, 0], limits::DELTA_BYTES_MAX);
    let (result, peak) = peak_of(|| Delta::decode(&bytes));
    assert!(
        matches!(result, Err(DecodeError::TooLarge { what: "rows", .. })),
        "{result:?}"
    );
    assert!(peak < 1_024, "{peak} bytes held for rows that are refused");
    // The generated decoder is what would have been hurt: this is why it is not used.
    let few = with([[0x3a, 0].repeat(10_000)]);
    let (_, peak) = peak_of(|| pb::Delta::decode(few.as_slice()));
    assert!(peak > 50 * few.len(), "{peak}");
}

#[test]
fn bombs() {
    const LONG: usize = 2_000_000;
    for (name, one) in [
        ("empty strings", [0x32, 0]),
        ("empty identities", [0x12, 0]),
        ("empty windows", [0x2a, 0]),
        ("empty totals", [0x42, 0]),
        ("empty tombstones", [0x4a, 0]),
        ("unknown fields", [0x7a, 0]),
        ("varints that do not end", [0x80, 0x80]),
    ] {
        delta(name, &filled(&one, 1 << 20));
    }
    let in_row = |bytes: &[u8]| field(7, &[&[0x08, 1, 0x10, 1], bytes].concat());
    for (name, one) in [
        ("a long string", field(6, &vec![b'x'; LONG])),
        ("a long epoch", field(3, &vec![1; LONG])),
        ("a long key", in_row(&field(3, &vec![0; LONG]))),
        ("many columns", in_row(&field(4, &vec![0; LONG]))),
        ("many values", in_row(&field(5, &vec![0; LONG]))),
        ("many histograms", in_row(&[0x32, 0].repeat(LONG / 2))),
        ("many sketches", in_row(&[0x3a, 0].repeat(LONG / 2))),
        ("many buckets", in_row(&field(6, &field(2, &vec![1; LONG])))),
        ("many hashes", in_row(&field(7, &field(3, &vec![1; LONG])))),
    ] {
        let bytes = with([one]);
        let (result, peak) = peak_of(|| Delta::decode(&bytes));
        assert!(result.is_err(), "{name}: {result:?}");
        assert!(
            peak < 1_024,
            "{name}: {peak} bytes held for input that is refused"
        );
    }
}

/// A histogram with buckets 1 to `buckets`.
fn histogram(id: u32, buckets: usize) -> pb::Histogram {
    pb::Histogram {
        id,
        bucket_delta: vec![1; buckets],
        count: vec![1; buckets],
    }
}

fn sketch(id: u32) -> pb::Sketch {
    pb::Sketch {
        id,
        k: 1,
        hash: vec![],
    }
}

#[test]
fn the_dearest_rows_that_are_legal() {
    const ROWS: usize = limits::ROWS_MAX;
    delta("smallest rows", &small_rows(ROWS, |_| ()));
    delta("few smallest rows", &small_rows(100, |_| ()));
    let one = row(&pb::Row {
        kind: 1,
        quality: 1,
        ..Default::default()
    });
    delta(
        "one smallest row, again and again",
        &with([one.repeat(ROWS)]),
    );
    let one_column = |row: &mut pb::Row| {
        row.column = vec![1];
        row.value = vec![1];
    };
    delta("one column", &small_rows(ROWS, one_column));
    let all_columns = |row: &mut pb::Row| {
        row.column = (0..64).collect();
        row.value = vec![1; 64];
    };
    delta("all columns", &small_rows(20_000, all_columns));
    let keys = small_rows(ROWS, |row| row.key = vec![0; limits::KEY_PARTS_MAX]);
    delta("all key parts", &[keys, field(6, b"")].concat());
    let descending = (1..=60_000).rev().map(|kind| {
        row(&pb::Row {
            kind,
            quality: 1,
            ..Default::default()
        })
    });
    delta("rows in descending order", &with(descending));
}

#[test]
fn the_dearest_histograms_and_sketches_that_are_legal() {
    const ROWS: usize = limits::ROWS_MAX;
    for buckets in [0, 1] {
        let one = small_rows(ROWS, |row| row.histogram = vec![histogram(0, buckets)]);
        delta(&format!("a histogram of {buckets} buckets"), &one);
        let eight = |row: &mut pb::Row| {
            row.histogram = (0..8).map(|id| histogram(id, buckets)).collect();
        };
        delta(
            &format!("eight histograms of {buckets} buckets"),
            &small_rows(ROWS, eight),
        );
    }
    let full =
        |row: &mut pb::Row| row.histogram = vec![histogram(0, Histogram::INDEX_MAX as usize)];
    delta("full histograms", &small_rows(300, full));
    delta(
        "a sketch",
        &small_rows(ROWS, |row| row.sketch = vec![sketch(0)]),
    );
    let eight = |row: &mut pb::Row| row.sketch = (0..8).map(sketch).collect();
    delta("eight sketches", &small_rows(ROWS, eight));
}

#[test]
fn the_dearest_of_the_rest_that_is_legal() {
    let names = (0..u16::MAX).map(|n| field(6, format!("{n:x}").as_bytes()));
    delta("short distinct strings", &with(names));
    let twice = (0..u16::MAX).map(|n| field(6, format!("{:x}", n / 2).as_bytes()));
    delta("every string twice", &with(twice));
    let tombstone = field(9, &pb::Tombstone::default().encode_to_vec());
    delta(
        "tombstones",
        &with([tombstone.repeat(limits::TOMBSTONES_MAX)]),
    );
    delta("200 usual rows", &usual(200).encode());
    delta("20 usual rows", &usual(20).encode());
}

#[test]
fn ranges() {
    let head = pb::FoldedRange {
        version: VERSION,
        window: Some(pb::Window {
            start_unix_ns: 1,
            end_unix_ns: 2,
        }),
        windows: vec![],
    }
    .encode_to_vec();
    let windows = |one: &[u8], count: usize| [head.clone(), field(3, one).repeat(count)].concat();
    let smallest = pb::FoldedWindow {
        version: VERSION,
        window: Some(pb::Window {
            start_unix_ns: 0,
            end_unix_ns: 1,
        }),
        ..Default::default()
    }
    .encode_to_vec();
    range("empty windows", &windows(&[], 1_000_000));
    range("smallest windows", &windows(&smallest, 100_000));
    let rows = |count: u32| {
        let rows = (1..=count).map(|kind| {
            field(
                9,
                &pb::Row {
                    kind,
                    quality: 1,
                    ..Default::default()
                }
                .encode_to_vec(),
            )
        });
        [smallest.clone(), rows.collect::<Vec<_>>().concat()].concat()
    };
    range("windows of one smallest row", &windows(&rows(1), 30_000));
    range(
        "windows of a hundred smallest rows",
        &windows(&rows(100), 1_000),
    );
    let folded = FoldedWindow {
        service: ServiceId::default(),
        window: Window {
            start_unix_ns: 1,
            end_unix_ns: 2,
        },
        rows: usual(200).rows,
    };
    range("windows of 200 usual rows", &windows(&folded.encode(), 50));
}
