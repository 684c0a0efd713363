//! What the tests of this crate build deltas from.

use weighbridge_wire::{
    Delta, Epoch, Identity, OperationKey, OwnerKey, OwnerKind, Quality, RowKey, RowSet, RowValue,
    Totals, Window, column,
};

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// Start of the first window of every test, ns since the Unix epoch.
pub(crate) const START_UNIX_NS: u64 = 1_800_000_000 * SECOND_NS;

/// A recipe for a delta. CPU depends on (epoch, seq), so that no two deltas weigh the same, and the totals
/// are those of an epoch without loss.
#[derive(Clone, Debug)]
pub(crate) struct DeltaSpec {
    pub(crate) epoch: u8,
    pub(crate) seq: u64,
    pub(crate) service: &'static str,
    pub(crate) start_unix_ns: u64,
    pub(crate) len_ns: u64,
}

impl DeltaSpec {
    pub(crate) fn new(epoch: u8, seq: u64) -> Self {
        Self {
            epoch,
            seq,
            service: "store",
            start_unix_ns: START_UNIX_NS + seq * SECOND_NS,
            len_ns: SECOND_NS,
        }
    }

    pub(crate) fn service(mut self, service: &'static str) -> Self {
        self.service = service;
        self
    }

    pub(crate) fn start(mut self, start_unix_ns: u64) -> Self {
        self.start_unix_ns = start_unix_ns;
        self
    }

    fn cpu_ns(&self, seq: u64) -> i64 {
        1_000 * i64::from(self.epoch) + 7 * i64::try_from(seq).unwrap() + 3
    }

    /// CPU in all rows of this delta.
    pub(crate) fn total_cpu_ns(&self) -> i64 {
        2 * self.cpu_ns(self.seq)
    }

    pub(crate) fn delta(&self) -> Delta {
        let cpu_ns = self.cpu_ns(self.seq);
        let mut rows = RowSet::new();
        rows.add(
            operation("GET /orders/{id}"),
            &RowValue::new()
                .with(column::ENDED, 1)
                .with(column::CPU_HANDLER_NS, cpu_ns),
        );
        let owner = OwnerKey {
            owner_kind: OwnerKind::Agent.as_str().into(),
            name: "agent".into(),
        };
        rows.add(
            owner.row_key(Quality::Measured),
            &RowValue::new().with(column::CPU_HANDLER_NS, cpu_ns),
        );
        Delta {
            identity: Identity {
                service: self.service.into(),
                instance: format!("{}-{}", self.service, self.epoch),
                ..Identity::default()
            },
            epoch: Epoch([self.epoch; 16]),
            seq: self.seq,
            window: Window {
                start_unix_ns: self.start_unix_ns,
                end_unix_ns: self.start_unix_ns + self.len_ns,
            },
            rows,
            cumulative: Totals {
                started: self.seq + 1,
                ended: self.seq + 1,
                process_cpu_ns: 0,
                accounts_cpu_ns: (0..=self.seq).map(|seq| 2 * self.cpu_ns(seq)).sum(),
            },
            tombstones: Vec::new(),
        }
    }
}

pub(crate) fn operation(name: &str) -> RowKey {
    OperationKey {
        component: "".into(),
        operation: name.into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: "store".into(),
        origin_operation: name.into(),
    }
    .row_key(Quality::Measured)
}

pub(crate) mod disk;
pub(crate) mod losses;
pub(crate) mod otlp;
pub(crate) mod wire;

/// Compresses like an agent.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Waits for a condition that another thread brings about.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("did not come about within 10 s: {what}");
}
