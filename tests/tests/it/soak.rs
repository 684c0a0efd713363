//! The collector at half of what it can take, for a while: memory and file descriptors stay flat, and every window is
//! there. Ten minutes with `cargo xtask evidence soak`; some seconds otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use weighbridge_tests::{Collector, Patience, http, new_dir, rows};
use weighbridge_wire::{RowKind, column};

const PROTOBUF: &str = "application/x-protobuf";
const SENDERS: u8 = 8;
/// How long the full load is measured.
const FULL: Duration = Duration::from_secs(3);

fn seconds() -> u64 {
    std::env::var("WEIGHBRIDGE_TEST_SOAK")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6)
}

/// Resident set, KiB, and open files.
fn weigh(id: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("its memory");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok());
    let files = std::fs::read_dir(format!("/proc/{id}/fd"))
        .expect("its files")
        .count();
    (kib.expect("a number"), files)
}

/// Sends deltas, one after the other, from one process each; `pause` between two of one sender. Returns how many.
fn load(
    collector: &Collector,
    epoch: u8,
    pause: Duration,
    lasts: Duration,
    mut each: impl FnMut(),
) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let address = collector.address();
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            std::thread::spawn(move || {
                let service = format!("service-{n}");
                let mut seq = 0;
                while !stop.load(Ordering::Relaxed) {
                    let delta = rows::delta(&service, epoch + n, seq, 5, 1);
                    let answer = http::post(address, "/v1/ledger", PROTOBUF, &delta.encode());
                    if answer.status == 200 {
                        seq += 1;
                        sent.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(answer.status, 503, "{}", answer.text());
                    }
                    std::thread::sleep(pause);
                }
            })
        })
        .collect();
    let watch = Patience::of(lasts);
    while watch.elapsed() < lasts {
        std::thread::sleep(Duration::from_millis(500));
        each();
    }
    stop.store(true, Ordering::Relaxed);
    senders
        .into_iter()
        .for_each(|sender| sender.join().expect("a sender"));
    sent.load(Ordering::Relaxed)
}

#[test]
fn at_half_load_memory_and_files_stay_flat_and_no_window_is_lost() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let full = load(&collector, 0, Duration::ZERO, FULL, || {});
    let per_second = full as f64 / FULL.as_secs_f64();
    // Half of it: twice the time between two deltas of a sender.
    let pause = Duration::from_secs_f64(f64::from(SENDERS) / per_second);
    let lasts = Duration::from_secs(seconds());
    let mut weighed = Vec::new();
    let half = load(&collector, 100, pause, lasts, || {
        weighed.push(weigh(collector.id()));
    });
    // The first third fills caches and the first windows.
    let third = weighed.len() / 3;
    let most = |part: &[(u64, usize)]| {
        let kib = part.iter().map(|(kib, _)| *kib).max().unwrap_or_default();
        let files = part
            .iter()
            .map(|(_, files)| *files)
            .max()
            .unwrap_or_default();
        (kib, files)
    };
    let (middle, last) = (
        most(&weighed[third..2 * third]),
        most(&weighed[2 * third..]),
    );
    println!(
        "{per_second:.0} deltas/s at full load, {:.0} at half for {lasts:?}; RSS {} MiB in the middle third, {} MiB in the \
         last; files {} and {}",
        half as f64 / lasts.as_secs_f64(),
        middle.0 >> 10,
        last.0 >> 10,
        middle.1,
        last.1,
    );
    assert!(
        last.0 <= middle.0 + middle.0 / 10 + (8 << 10),
        "memory grows: {middle:?}, {last:?}"
    );
    assert!(
        last.1 <= middle.1 + usize::from(SENDERS),
        "files grow: {middle:?}, {last:?}"
    );
    let range = collector.range();
    let ended: i64 = (0..SENDERS)
        .map(|n| {
            rows::sum(
                &rows::of_service(&range, &format!("service-{n}")),
                RowKind::Operation,
                column::ENDED,
            )
        })
        .sum();
    assert_eq!(u64::try_from(ended).expect("a count"), full + half);
    let lost: i64 = (0..SENDERS)
        .map(|n| {
            rows::sum(
                &rows::of_service(&range, &format!("service-{n}")),
                RowKind::Loss,
                column::LOST,
            )
        })
        .sum();
    assert_eq!(lost, 0);
    assert!(collector.shut_down().status.success());
}
