//! Encoding and decoding give back what went in.

use proptest::collection::vec;
use proptest::prelude::*;
use weighbridge_wire::{
    Delta, FoldedRange, FoldedWindow, RowKey, RowSet, RowWriter, ServiceId, column,
};

use crate::{oracle, samples};

fn any_folded() -> impl Strategy<Value = FoldedWindow> {
    (
        vec(samples::any_text(), 5),
        samples::any_window(),
        samples::any_rows(),
    )
        .prop_map(|(names, window, rows)| FoldedWindow {
            service: ServiceId {
                tenant: names[0].to_string(),
                namespace: names[1].to_string(),
                environment: names[2].to_string(),
                service: names[3].to_string(),
                version: names[4].to_string(),
            },
            window,
            rows,
        })
}

proptest! {
    #[test]
    fn a_delta_comes_back(delta in samples::any_delta()) {
        let bytes = delta.encode();
        prop_assert_eq!(Delta::decode(&bytes), Ok(delta.clone()));
        prop_assert_eq!(delta.encode(), bytes, "the same delta gives the same bytes");
    }

    #[test]
    fn the_generated_decoder_reads_the_same(delta in samples::any_delta()) {
        prop_assert_eq!(oracle::delta(&delta.encode()), Some(delta));
    }

    #[test]
    fn rows_that_are_written_one_by_one_are_the_same_delta(
        delta in samples::any_delta(),
        writers in 1..4usize,
    ) {
        let bare = Delta { rows: RowSet::new(), ..delta.clone() };
        let mut bytes = bare.encode();
        let rows: Vec<_> = delta.rows.iter().collect();
        let mut strings = 0;
        for part in rows.chunks(rows.len() / writers + 1) {
            let mut writer = RowWriter::after(strings);
            part.iter().for_each(|(key, value)| writer.write(key, value, &mut bytes));
            strings = writer.strings();
        }
        prop_assert_eq!(Delta::decode(&bytes), Ok(delta.clone()));
        prop_assert_eq!(oracle::delta(&bytes), Some(delta));
    }

    #[test]
    fn a_folded_window_comes_back(folded in any_folded()) {
        prop_assert_eq!(FoldedWindow::decode(&folded.encode()), Ok(folded));
    }

    #[test]
    fn a_folded_range_comes_back(
        windows in vec(any_folded(), 0..4),
        window in samples::any_window(),
    ) {
        let range = FoldedRange { window, windows };
        prop_assert_eq!(FoldedRange::decode(&range.encode()), Ok(range));
    }
}

#[test]
fn sums_over_many_windows_may_leave_the_bounds_of_one() {
    let key = samples::rows()
        .iter()
        .next()
        .map(|(key, _)| key.clone())
        .unwrap();
    let mut rows = RowSet::new();
    let row = rows.row_mut(key);
    row.add(column::IN_FLIGHT_NS, i64::MAX);
    row.add(column::CPU_HANDLER_NS, i64::MIN);
    assert!(
        row.histogram_mut(column::HIST_WALL_NS)
            .add_bucket(0, u64::MAX)
    );
    let folded = FoldedWindow {
        service: ServiceId::default(),
        window: samples::delta().window,
        rows: rows.clone(),
    };
    assert_eq!(FoldedWindow::decode(&folded.encode()), Ok(folded));

    let delta = Delta {
        rows,
        ..samples::delta()
    };
    assert!(
        Delta::decode(&delta.encode()).is_err(),
        "a delta's own figures are bounded"
    );
}

#[test]
fn an_empty_range_comes_back() {
    let mut window = samples::delta().window;
    window.end_unix_ns = window.start_unix_ns;
    let range = FoldedRange {
        window,
        windows: Vec::new(),
    };
    assert_eq!(FoldedRange::decode(&range.encode()), Ok(range));
}

#[test]
fn names_are_shared_between_the_windows_of_a_range() {
    let folded = |start_unix_ns| FoldedWindow {
        service: ServiceId::default(),
        window: weighbridge_wire::Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns + 1,
        },
        rows: samples::rows(),
    };
    let windows = vec![folded(1), folded(2)];
    let bytes = FoldedRange {
        window: folded(1).window,
        windows,
    }
    .encode();
    let read = FoldedRange::decode(&bytes).unwrap();
    let addresses = |at: usize| -> Vec<*const u8> {
        let keys = read.windows[at].rows.iter().map(|(key, _)| key);
        keys.flat_map(|key: &RowKey| key.parts.iter().map(|part| part.as_ptr()))
            .collect()
    };
    assert_eq!(addresses(0), addresses(1));
}
