//! Input that was made to hurt: each is refused with an error that names what is wrong.

use prost::Message as _;
use weighbridge_wire::{
    DecodeError, Delta, FoldedRange, FoldedWindow, Histogram, VERSION, limits, pb,
};

use crate::samples;

/// The sample delta with something changed in it.
fn changed(change: impl FnOnce(&mut pb::Delta)) -> Vec<u8> {
    let mut delta = pb::Delta::decode(samples::delta().encode().as_slice()).unwrap();
    change(&mut delta);
    delta.encode_to_vec()
}

/// The sample delta with its first row changed.
fn changed_row(change: impl FnOnce(&mut pb::Row)) -> Vec<u8> {
    changed(|delta| change(&mut delta.rows[0]))
}

/// The sample delta with a histogram in its first row.
fn with_histogram(bucket_delta: Vec<u32>, count: Vec<u64>) -> Vec<u8> {
    let one = pb::Histogram {
        id: 400,
        bucket_delta,
        count,
    };
    changed_row(|row| row.histogram = vec![one])
}

fn with_sketch(k: u32, hash: Vec<u64>) -> Vec<u8> {
    changed_row(|row| row.sketch = vec![pb::Sketch { id: 408, k, hash }])
}

fn with_tombstone(tombstone: pb::Tombstone) -> Vec<u8> {
    changed(|delta| delta.tombstones = vec![tombstone])
}

/// The sample delta with raw bytes after it.
fn followed_by(bytes: &[u8]) -> Vec<u8> {
    let mut all = samples::delta().encode();
    all.extend(bytes);
    all
}

fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &body.to_vec(), &mut bytes);
    bytes
}

/// Decodes and gives the message of the error.
fn refusal(bytes: &[u8]) -> String {
    match Delta::decode(bytes) {
        Ok(delta) => panic!("accepted: {delta:?}"),
        Err(error) => error.to_string(),
    }
}

fn refused(bytes: &[u8], because: &str) {
    let message = refusal(bytes);
    assert!(
        message.contains(because),
        "wanted {because:?}, got {message:?}"
    );
}

#[test]
fn the_unchanged_sample_is_accepted() {
    assert_eq!(Delta::decode(&changed(|_| ())), Ok(samples::delta()));
    assert!(Delta::decode(&with_histogram(vec![0, 1], vec![1, 1])).is_ok());
    assert!(Delta::decode(&with_sketch(2, vec![0, u64::MAX])).is_ok());
}

#[test]
fn framing() {
    refused(
        b"\x08\x01{\"json\": true}",
        "not a valid weighbridge.v1 message",
    );
    refused(
        &followed_by(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        "says 4294967295 bytes where 0 are left",
    );
    refused(
        &followed_by(&[
            0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ]),
        "says 18446744073709551615 bytes",
    );
    refused(&followed_by(&[0x80; 12]), "a varint beyond 64 bits");
    refused(&followed_by(&[0x3b]), "wire type 3");
    refused(&followed_by(&[0]), "field number 0");
    refused(
        &followed_by(&[0x38, 1]),
        "field 7 holds a varint instead of bytes",
    );
    refused(
        &followed_by(&[0x21, 0, 0, 0, 0, 0, 0, 0, 0]),
        "field 4 holds a 64-bit word instead of a number",
    );
    refused(&followed_by(&field(6, b"\xff\xfe")), "field 6 is not UTF-8");
    // A nested length that goes beyond its own message, though not beyond the body.
    let row = [vec![0x1a, 100, 0], vec![0; 20]].concat();
    refused(
        &followed_by(&[field(7, &row), field(15, &[0; 200])].concat()),
        "says 100 bytes where 21 are left",
    );
    // A packed list whose last number does not end.
    refused(
        &followed_by(&field(7, &[0x08, 1, 0x10, 1, 0x1a, 2, 0, 0x80])),
        "end in the middle",
    );
    // An index that would point to string 0 if its upper half were cut off.
    let cut_off = [0x08, 1, 0x10, 1, 0x1a, 5, 0x80, 0x80, 0x80, 0x80, 0x10];
    refused(
        &followed_by(&field(7, &cut_off)),
        "4294967296 does not fit 32 bits",
    );
}

#[test]
fn versions() {
    for version in [0, VERSION + 1, u32::MAX] {
        let bytes = changed(|delta| delta.version = version);
        assert_eq!(
            Delta::decode(&bytes),
            Err(DecodeError::Version {
                found: version,
                supported: VERSION
            })
        );
    }
    // A later version may mean something else by any other field: the version is what is reported.
    let bytes = [&[0x12, 0][..], &[0x38, 1], &[0x08, 9]].concat();
    assert_eq!(
        Delta::decode(&bytes),
        Err(DecodeError::Version {
            found: 9,
            supported: VERSION
        })
    );
    refused(&[], "upgrade the older side");
}

#[test]
fn identity_epoch_and_window() {
    refused(&changed(|d| d.identity = None), "invalid identity: absent");
    refused(
        &changed(|d| d.identity.as_mut().unwrap().service.clear()),
        "set OTEL_SERVICE_NAME",
    );
    let long = "x".repeat(limits::STRING_BYTES_MAX + 1);
    refused(
        &changed(|d| d.identity.as_mut().unwrap().host = long),
        "bytes of the host: 4097",
    );
    for len in [0, 15, 17, 1 << 20] {
        refused(
            &changed(|d| d.epoch = vec![1; len]),
            &format!("{len} bytes instead of 16"),
        );
    }
    let window = |start_unix_ns, end_unix_ns| {
        let window = pb::Window {
            start_unix_ns,
            end_unix_ns,
        };
        changed(|d| d.window = Some(window))
    };
    refused(&changed(|d| d.window = None), "invalid window: absent");
    refused(&window(10, 9), "does not end after its start");
    refused(&window(10, 10), "does not end after its start");
    refused(&window(u64::MAX, 0), "does not end after its start");
    refused(&window(0, limits::WINDOW_NS_MAX + 1), "longer than a day");
    refused(&window(u64::MAX - 5, u64::MAX), "after the year 2262");
}

#[test]
fn rows() {
    refused(&changed_row(|row| row.kind = 0), "0 is not a kind");
    refused(
        &changed_row(|row| row.quality = 0),
        "every row says how its figures came about",
    );
    refused(&changed_row(|row| row.quality = 256), "256 is beyond 255");
    refused(&changed_row(|row| row.quality = -1), "beyond 255");
    refused(
        &changed_row(|row| row.key = vec![0; 17]),
        "key parts of a row: 17, more than the limit of 16",
    );
    refused(
        &changed_row(|row| row.key = vec![0; 100_000]),
        "key parts of a row",
    );
    refused(
        &changed_row(|row| row.key[0] = 9_999),
        "string 9999 of a table of",
    );
    refused(
        &changed_row(|row| row.key[0] = u32::MAX),
        "string 4294967295 of a table of",
    );
    refused(
        &changed_row(|row| row.value.truncate(1)),
        "7 columns but 1 values",
    );
    refused(
        &changed_row(|row| row.column.truncate(1)),
        "1 columns but 7 values",
    );
    refused(&changed_row(|row| row.column.swap(0, 1)), "do not ascend");
    refused(
        &changed_row(|row| row.column[1] = row.column[0]),
        "do not ascend",
    );
    refused(
        &changed_row(|row| {
            row.column = (0..65).collect();
            row.value = vec![1; 65];
        }),
        "columns of a row: 65, more than the limit of 64",
    );
    for value in [
        i64::MIN,
        -limits::VALUE_MAX - 1,
        limits::VALUE_MAX + 1,
        i64::MAX,
    ] {
        refused(&changed_row(|row| row.value[0] = value), "is beyond ±2^53");
    }
}

#[test]
fn gauges_run_over_the_life_of_a_process() {
    // 64 cores for ten days: more than 2^53 ns.
    let ns = 64 * 10 * 86_400_000_000_000;
    let gauge = |value| {
        changed_row(|row| {
            row.column = vec![weighbridge_wire::column::CPU_CUMULATIVE_NS];
            row.value = vec![value];
        })
    };
    assert!(Delta::decode(&gauge(ns)).is_ok());
    refused(&gauge(limits::GAUGE_MAX + 1), "is beyond ±2^62");
    let totals = |process_cpu_ns| {
        changed(|d| d.cumulative.as_mut().unwrap().process_cpu_ns = process_cpu_ns)
    };
    assert!(Delta::decode(&totals(ns)).is_ok());
    refused(&totals(i64::MIN), "total of process CPU");
    refused(
        &changed(|d| d.cumulative.as_mut().unwrap().accounts_cpu_ns = i64::MAX),
        "account CPU",
    );
    refused(
        &changed(|d| d.cumulative.as_mut().unwrap().started = u64::MAX),
        "started requests",
    );
    refused(
        &changed(|d| d.cumulative.as_mut().unwrap().ended = u64::MAX),
        "ended requests",
    );
}

#[test]
fn rows_of_one_key_are_merged_and_bounded_together() {
    let twice = changed(|d| d.rows.push(d.rows[0].clone()));
    let mut expected = samples::delta();
    let (key, value) = samples::rows()
        .iter()
        .next()
        .map(|(k, v)| (k.clone(), v.clone()))
        .unwrap();
    expected.rows.add(key, &value);
    assert_eq!(Delta::decode(&twice), Ok(expected));

    let beyond = changed(|d| {
        d.rows[0].value[0] = limits::VALUE_MAX;
        d.rows.push(d.rows[0].clone());
    });
    refused(&beyond, "is beyond ±2^53");
    let counts = changed(|d| {
        let histogram = pb::Histogram {
            id: 400,
            bucket_delta: vec![5],
            count: vec![1 << 53],
        };
        d.rows[0].histogram = vec![histogram];
        d.rows.push(d.rows[0].clone());
    });
    refused(&counts, "is beyond 2^53");
}

#[test]
fn histograms() {
    refused(
        &with_histogram(vec![1, 2], vec![1]),
        "2 buckets but 1 counts",
    );
    refused(&with_histogram(vec![], vec![1]), "0 buckets but 1 counts");
    refused(
        &with_histogram(vec![Histogram::INDEX_MAX + 1], vec![1]),
        "is out of range",
    );
    refused(
        &with_histogram(vec![1, u32::MAX], vec![1, 1]),
        "bucket 4294967296 is out of range",
    );
    refused(
        &with_histogram(vec![1, 0], vec![1, 1]),
        "buckets do not ascend",
    );
    refused(
        &with_histogram(vec![1], vec![(1 << 53) + 1]),
        "is beyond 2^53",
    );
    refused(&with_histogram(vec![1], vec![u64::MAX]), "is beyond 2^53");
    refused(
        &with_histogram(vec![1; 6_017], vec![1; 6_017]),
        "buckets of a histogram: 6017",
    );
    refused(
        &changed_row(|row| row.histogram = vec![pb::Histogram::default(); 9]),
        "histograms of a row: 9, more than the limit of 8",
    );
    let one = pb::Histogram {
        id: 400,
        bucket_delta: vec![1],
        count: vec![1],
    };
    refused(
        &changed_row(|row| row.histogram = vec![one; 2]),
        "two histograms of column 400",
    );
}

#[test]
fn sketches() {
    refused(&with_sketch(0, vec![]), "k is 0");
    refused(&with_sketch(1_025, vec![]), "k of a sketch: 1025");
    refused(&with_sketch(u32::MAX, vec![]), "k of a sketch");
    refused(
        &with_sketch(2, vec![1, 2, 3]),
        "hashes of a sketch: 3, more than the limit of 2",
    );
    refused(&with_sketch(2, vec![2, 1]), "hashes do not ascend");
    refused(&with_sketch(2, vec![1, 1]), "hashes do not ascend");
    refused(
        &changed_row(|row| row.sketch = vec![pb::Sketch::default(); 9]),
        "sketches of a row: 9",
    );
    let one = pb::Sketch {
        id: 408,
        k: 1,
        hash: vec![],
    };
    refused(
        &changed_row(|row| row.sketch = vec![one; 2]),
        "two sketches of column 408",
    );
    let uneven = [0x08, 1, 0x10, 1, 0x3a, 6, 0x10, 1, 0x1a, 2, 1, 2];
    refused(&followed_by(&field(7, &uneven)), "end in the middle");
}

#[test]
fn tombstones() {
    let tombstone = |seq_first, seq_last, ended, cpu_ns| {
        with_tombstone(pb::Tombstone {
            seq_first,
            seq_last,
            ended,
            cpu_ns,
        })
    };
    assert!(Delta::decode(&tombstone(0, 6, 0, 0)).is_ok());
    refused(&tombstone(5, 4, 0, 0), "ends at 4, before it begins at 5");
    refused(&tombstone(5, 7, 0, 0), "does not come before delta 7");
    refused(&tombstone(0, u64::MAX, 0, 0), "does not come before");
    refused(&tombstone(1, 2, u64::MAX, 0), "requests in a tombstone");
    refused(&tombstone(1, 2, 0, i64::MIN), "CPU in a tombstone");
    refused(
        &changed(|d| d.tombstones = vec![pb::Tombstone::default(); 1_025]),
        "tombstones: 1025",
    );
}

#[test]
fn sizes() {
    let mut long = samples::delta().encode();
    long.resize(10 << 20, 0);
    refused(
        &long,
        "delta in bytes: 10485760, more than the limit of 8388608",
    );
    let rows = followed_by(&[0x3a, 0].repeat(limits::ROWS_MAX));
    refused(&rows, "rows: 65544, more than the limit of 65536");
    let strings = followed_by(&[0x32, 0].repeat(limits::STRINGS_MAX));
    refused(&strings, "strings in the table");
    let long = "x".repeat(limits::STRING_BYTES_MAX + 1);
    refused(
        &changed(|d| d.strings.push(long)),
        "bytes of a string: 4097",
    );
    refused(&changed(|d| d.strings.clear()), "of a table of 0");
}

#[test]
fn folded_input_is_checked_by_the_same_reader() {
    let window = FoldedWindow {
        service: weighbridge_wire::ServiceId::default(),
        window: samples::delta().window,
        rows: samples::rows(),
    };
    let reversed = |start_unix_ns, end_unix_ns| {
        let mut folded = pb::FoldedWindow::decode(window.encode().as_slice()).unwrap();
        folded.window = Some(pb::Window {
            start_unix_ns,
            end_unix_ns,
        });
        folded
    };
    assert!(FoldedWindow::decode(&reversed(5, 4).encode_to_vec()).is_err());
    let range = |window, windows| {
        pb::FoldedRange {
            version: 1,
            window,
            windows,
        }
        .encode_to_vec()
    };
    let whole = Some(pb::Window {
        start_unix_ns: 1,
        end_unix_ns: 2,
    });
    assert!(FoldedRange::decode(&range(whole, vec![reversed(4, 5)])).is_ok());
    for bytes in [
        range(whole, vec![reversed(5, 4)]),
        range(
            whole,
            vec![pb::FoldedWindow {
                version: 2,
                ..reversed(4, 5)
            }],
        ),
        range(None, vec![]),
        range(
            Some(pb::Window {
                start_unix_ns: 2,
                end_unix_ns: 1,
            }),
            vec![],
        ),
        range(
            Some(pb::Window {
                start_unix_ns: 0,
                end_unix_ns: u64::MAX,
            }),
            vec![],
        ),
        pb::FoldedRange {
            version: 0,
            window: whole,
            windows: vec![],
        }
        .encode_to_vec(),
    ] {
        assert!(FoldedRange::decode(&bytes).is_err(), "{bytes:?}");
    }
}
