use std::io::Read as _;

use proptest::prelude::*;
use weighbridge_wire::{
    Class, EdgeKey, OperationKey, OwnerKey, RowKind, Window, column, limits as wire_limits,
};

use super::*;
use crate::testing::WindowLedger;

const SECOND: u64 = 1_000_000_000;

fn operation(name: &str) -> OperationKey {
    OperationKey {
        component: "".into(),
        operation: name.into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: "s".into(),
        origin_operation: name.into(),
    }
}

/// Window number `n` with `requests` requests that cost `cpu_ns` each, and an owner row.
fn window(n: u64, requests: u64, cpu_ns: i64) -> WindowLedger {
    let mut rows = RowSet::new();
    let row = rows.row_mut(operation("GET /").row_key(Quality::Measured));
    row.add(column::STARTED, requests as i64);
    row.add(column::ENDED, requests as i64);
    row.add(Class::Handler.column(), requests as i64 * cpu_ns);
    let owner = OwnerKey {
        owner_kind: "unattributed".into(),
        name: "".into(),
    };
    rows.row_mut(owner.row_key(Quality::Measured))
        .add(Class::Handler.column(), -7);
    WindowLedger {
        end: WindowEnd {
            window: Window {
                start_unix_ns: n * SECOND,
                end_unix_ns: (n + 1) * SECOND,
            },
            started: requests,
            ended: requests,
            process_cpu_ns: (n as i64 + 1) * 1_000,
        },
        rows,
    }
}

fn spool(windows_max: usize, bytes_max: usize) -> Spool {
    let identity = Identity {
        service: "store".into(),
        ..Identity::default()
    };
    Spool::new(
        identity,
        Epoch([7; 16]),
        Form::Plain,
        windows_max,
        bytes_max,
    )
}

fn encoded(form: Form, ledger: &WindowLedger) -> Encoder {
    let mut encoder = Encoder::new(form);
    encoder.add(&ledger.rows);
    encoder
}

fn offer(spool: &mut Spool, ledger: &WindowLedger) {
    spool.offer(ledger.end, encoded(spool.form, ledger));
}

fn pending(ledger: &WindowLedger) -> Pending {
    Pending::new(ledger.end, encoded(Form::Plain, ledger).finish().1)
}

fn gzip_spool(windows_max: usize) -> Spool {
    let identity = Identity {
        service: "store".into(),
        ..Identity::default()
    };
    Spool::new(identity, Epoch([7; 16]), Form::Gzip, windows_max, 1 << 20)
}

/// What a collector would have: sums of what it acknowledged, and the last totals.
#[derive(Default)]
struct Collector {
    deltas: Vec<Delta>,
    rows: RowSet,
}

impl Collector {
    fn take(&mut self, spool: &mut Spool) -> bool {
        let Some((seq, body)) = spool.next() else {
            return false;
        };
        let delta = Delta::decode(&body).unwrap();
        assert_eq!(delta.seq, seq);
        self.rows.merge(&delta.rows);
        self.deltas.push(delta);
        spool.acknowledge(seq);
        true
    }

    fn drain(&mut self, spool: &mut Spool) {
        while self.take(spool) {}
    }

    fn ended(&self) -> u64 {
        let rows = self.rows.of_kind(RowKind::Operation);
        rows.filter_map(|(_, row)| row.get(column::ENDED))
            .sum::<i64>() as u64
    }

    fn tombstones(&self) -> Vec<Tombstone> {
        self.deltas
            .iter()
            .flat_map(|delta| delta.tombstones.clone())
            .collect()
    }

    /// Received + given up = what the agent says it made. Holds after every delta.
    fn assert_complete(&self) {
        let last = self.deltas.last().unwrap();
        let buried_ended: u64 = self.tombstones().iter().map(|t| t.ended).sum();
        let buried_cpu: i64 = self.tombstones().iter().map(|t| t.cpu_ns).sum();
        assert_eq!(self.ended() + buried_ended, last.cumulative.ended);
        let received = self.rows.accounts_cpu_ns();
        assert_eq!(received + buried_cpu, last.cumulative.accounts_cpu_ns);
        let buried: u64 = self
            .tombstones()
            .iter()
            .map(|t| t.seq_last - t.seq_first + 1)
            .sum();
        assert_eq!(
            self.deltas.len() as u64 + buried,
            last.seq + 1,
            "every number is explained"
        );
    }
}

#[test]
fn the_same_bytes_come_until_they_are_acknowledged() {
    let mut spool = spool(10, 1 << 20);
    offer(&mut spool, &window(0, 3, 100));
    let first = spool.next().unwrap();
    for n in 1..50 {
        offer(&mut spool, &window(n, 1, 100));
        assert_eq!(spool.next().unwrap(), first);
    }
    spool.acknowledge(99);
    assert_eq!(
        spool.next().unwrap(),
        first,
        "a foreign number acknowledges nothing"
    );
    spool.acknowledge(0);
    assert_eq!(spool.next().unwrap().0, 1);
}

#[test]
fn without_pressure_each_window_is_its_own_delta() {
    let (mut spool, mut collector) = (spool(10, 1 << 20), Collector::default());
    for n in 0..10 {
        offer(&mut spool, &window(n, n, 100));
    }
    collector.drain(&mut spool);
    assert_eq!(collector.deltas.len(), 10);
    assert!(
        collector
            .deltas
            .iter()
            .all(|delta| delta.window.len_ns() == SECOND)
    );
    assert_eq!(collector.deltas[4].cumulative.process_cpu_ns, 5_000);
    collector.assert_complete();
    assert!(spool.is_empty());
}

#[test]
fn under_pressure_windows_are_merged_evenly_and_nothing_is_lost() {
    let (mut spool, mut collector) = (spool(8, 1 << 20), Collector::default());
    for n in 0..1_000 {
        offer(&mut spool, &window(n, 2, 50));
        assert!(spool.pending.len() <= 8);
    }
    let spans: Vec<u64> = spool
        .pending
        .iter()
        .map(|pending| pending.window().len_ns() / SECOND)
        .collect();
    assert_eq!(spans.iter().sum::<u64>(), 1_000);
    assert!(spans.iter().all(|&span| span <= 512), "{spans:?}");
    collector.drain(&mut spool);
    assert_eq!(collector.ended(), 2_000);
    assert!(collector.tombstones().is_empty());
    collector.assert_complete();
}

#[test]
fn a_spool_too_small_for_one_window_gives_it_up_and_says_so() {
    let (mut spool, mut collector) = (spool(4, 10), Collector::default());
    for n in 0..5 {
        offer(&mut spool, &window(n, 2, 50));
        assert!(spool.bytes() <= 10);
    }
    spool.bytes_max = 1 << 20;
    offer(&mut spool, &window(5, 1, 50));
    collector.drain(&mut spool);
    let expected = Tombstone {
        seq_first: 0,
        seq_last: 4,
        ended: 10,
        cpu_ns: 5 * (100 - 7),
    };
    assert_eq!(collector.tombstones(), [expected]);
    let (_, loss) = collector.rows.of_kind(RowKind::Loss).next().unwrap();
    assert_eq!(loss.get(column::LOST), Some(5));
    assert_eq!(loss.get(column::LOST_CPU_NS), Some(5 * 93));
    collector.assert_complete();
}

#[test]
fn refused_deltas_leave_tombstones_that_survive_a_refusal_of_their_own() {
    let (mut spool, mut collector) = (spool(10, 1 << 20), Collector::default());
    for n in 0..6 {
        offer(&mut spool, &window(n, 1, 100));
    }
    collector.take(&mut spool);
    for _ in 0..3 {
        let (seq, _) = spool.next().unwrap();
        spool.give_up(seq, GivenUp::Refused);
    }
    collector.drain(&mut spool);
    let expected = Tombstone {
        seq_first: 1,
        seq_last: 3,
        ended: 3,
        cpu_ns: 3 * 93,
    };
    assert_eq!(collector.tombstones(), [expected]);
    let lost: i64 = collector
        .rows
        .of_kind(RowKind::Loss)
        .filter_map(|(_, row)| row.get(column::LOST))
        .sum();
    assert_eq!(lost, 3);
    collector.assert_complete();
}

#[test]
fn a_window_too_large_for_one_delta_comes_in_pieces() {
    let (mut spool, mut collector) = (spool(10, 1 << 30), Collector::default());
    let mut ledger = window(0, 4, 100);
    let long = "x".repeat(3_000);
    for n in 0..12_000 {
        let key = EdgeKey {
            side: "caller".into(),
            mode: "sync".into(),
            transport: "http".into(),
            component: "".into(),
            operation: format!("{n}").into(),
            class: "".into(),
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: format!("{n:016x}").into(),
            peer: format!("p{n}").into(),
            target: format!("{n}{long}").into(),
            origin_service: format!("s{n}").into(),
            origin_operation: format!("o{n}").into(),
        };
        ledger
            .rows
            .row_mut(key.row_key(Quality::Measured))
            .add(column::REQUEST_MESSAGES, 1);
    }
    let rows = ledger.rows.clone();
    offer(&mut spool, &ledger);
    collector.drain(&mut spool);
    assert!(collector.deltas.len() > 3, "{}", collector.deltas.len());
    assert_eq!(collector.rows, rows);
    assert_eq!(collector.deltas.last().unwrap().cumulative.ended, 4);
    assert_eq!(
        collector.deltas.last().unwrap().cumulative.process_cpu_ns,
        1_000
    );
}

#[test]
fn windows_are_not_merged_beyond_what_the_wire_can_hold() {
    let mut big = window(0, 1, 100);
    let row = big
        .rows
        .row_mut(operation("GET /").row_key(Quality::Measured));
    row.add(column::IN_FLIGHT_NS, wire_limits::VALUE_MAX);
    let a = pending(&big);
    let merged = |later: &WindowLedger| a.merged(&pending(later), Form::Plain);
    assert!(merged(&window(1, 1, 100)).is_some());
    let mut more = window(1, 1, 100);
    let row = more
        .rows
        .row_mut(operation("GET /").row_key(Quality::Measured));
    row.add(column::IN_FLIGHT_NS, 1);
    assert!(merged(&more).is_none());
    let day = wire_limits::WINDOW_NS_MAX / SECOND;
    assert!(merged(&window(day, 1, 1)).is_none());
}

/// A window with so many operations.
fn wide(n: u64, operations: usize) -> WindowLedger {
    let mut ledger = window(n, 1, 1);
    for n in 0..operations {
        let row = ledger
            .rows
            .row_mut(operation(&format!("GET /{n}")).row_key(Quality::Measured));
        row.add(column::ENDED, n as i64);
        row.add(Class::Io.column(), (n * n) as i64);
    }
    ledger
}

#[test]
fn compressed_deltas_are_gzip_of_the_same_bytes() {
    for operations in [0, 1, 5_000] {
        let (mut zipped, mut plain) = (gzip_spool(10), spool(10, 1 << 20));
        // A tombstone and rows of losses are around the window's own.
        for spool in [&mut zipped, &mut plain] {
            offer(spool, &window(0, 1, 1));
            let (seq, _) = spool.next().unwrap();
            spool.give_up(seq, GivenUp::Refused);
            offer(spool, &wide(1, operations));
        }
        let body = zipped.next().unwrap().1;
        let mut bytes = Vec::new();
        // It reads one member: there must be no other behind it.
        let mut reader = flate2::bufread::GzDecoder::new(&body[..]);
        reader.read_to_end(&mut bytes).unwrap();
        assert!(reader.into_inner().is_empty());
        assert!(bytes == plain.next().unwrap().1, "{operations} operations");
        let delta = Delta::decode(&bytes).unwrap();
        assert_eq!(delta.tombstones.len(), 1);
        assert_eq!(delta.rows.of_kind(RowKind::Loss).count(), 1);
        let mut rows = delta.rows;
        rows.retain(|key| key.kind != RowKind::Loss.to_wire());
        assert_eq!(rows, wide(1, operations).rows);
    }
}

#[test]
fn compressed_windows_are_merged_as_plain_ones_are() {
    let (mut zipped, mut plain) = (gzip_spool(1), spool(1, 1 << 20));
    let mut rows = RowSet::new();
    for n in 0..7 {
        rows.merge(&wide(n, 700).rows);
        offer(&mut zipped, &wide(n, 700));
        offer(&mut plain, &wide(n, 700));
    }
    assert_eq!((zipped.pending.len(), plain.pending.len()), (1, 1));
    let mut bytes = Vec::new();
    flate2::bufread::GzDecoder::new(&zipped.next().unwrap().1[..])
        .read_to_end(&mut bytes)
        .unwrap();
    assert!(bytes == plain.next().unwrap().1);
    let delta = Delta::decode(&bytes).unwrap();
    assert_eq!(delta.rows, rows);
    assert_eq!(delta.cumulative.accounts_cpu_ns, rows.accounts_cpu_ns());
    assert_eq!(delta.window.len_ns(), 7 * SECOND);
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u64),
    Acknowledge,
    Refuse,
    Resend,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20u64).prop_map(Step::Offer),
        2 => Just(Step::Acknowledge),
        1 => Just(Step::Refuse),
        1 => Just(Step::Resend),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_totals_are_explained(
        steps in prop::collection::vec(step(), 1..120),
        windows_max in 1..6usize,
        bytes_max in 300..4_000usize,
    ) {
        let (mut spool, mut collector) = (spool(windows_max, bytes_max), Collector::default());
        let (mut offered, mut ended) = (0, 0);
        for step in steps {
            match step {
                Step::Offer(requests) => {
                    offer(&mut spool, &window(offered, requests, 10));
                    offered += 1;
                    ended += requests;
                }
                Step::Acknowledge => {
                    collector.take(&mut spool);
                }
                Step::Refuse => {
                    if let Some((seq, _)) = spool.next() {
                        spool.give_up(seq, GivenUp::Refused);
                    }
                }
                Step::Resend => {
                    prop_assert_eq!(spool.next(), spool.next());
                }
            }
            prop_assert!(spool.pending.len() <= windows_max);
            prop_assert!(spool.tombstones.len() < 8);
        }
        spool.bytes_max = 1 << 20;
        offer(&mut spool, &window(offered, 1, 10));
        collector.drain(&mut spool);
        collector.assert_complete();
        prop_assert_eq!(collector.deltas.last().unwrap().cumulative.ended, ended + 1);
        let lost: i64 = collector.rows.of_kind(RowKind::Loss)
            .filter_map(|(_, row)| row.get(column::LOST_CPU_NS)).sum();
        prop_assert_eq!(lost, collector.tombstones().iter().map(|t| t.cpu_ns).sum::<i64>());
    }
}
