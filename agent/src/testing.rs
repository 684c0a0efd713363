//! What unit tests share. Accounts and tables are the process's, so a test that looks at windows holds
//! [`Books`] and looks only at names of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
#[cfg(feature = "hyper-util-0_1")]
use std::time::Duration;

use weighbridge_wire::{
    LossKey, OperationKey, OwnerKey, OwnerKind, ProcessKey, Quality, RegionKey, RowKey, RowKind,
    RowSet, RowValue, Window, column,
};

use crate::ledger::{Limits, ProcessGauges, Rotation, WindowEnd, ledger};
use crate::sync::lock;
use crate::{account, clock, state};

/// A window with all its rows.
#[derive(Clone, Debug)]
pub(crate) struct WindowLedger {
    pub(crate) end: WindowEnd,
    pub(crate) rows: RowSet,
}

static EXCLUSIVE: Mutex<()> = Mutex::new(());

/// How many names of each kind the tests of this process may have together.
const NAMES_MAX: usize = 4_096;

/// The right to rotate the process's tables.
pub(crate) struct Books {
    rotation: Rotation,
    /// Everything rotated so far.
    pub(crate) rows: RowSet,
    _exclusive: MutexGuard<'static, ()>,
}

impl Books {
    /// Starts measuring and forgets what was booked before.
    pub(crate) fn open() -> Self {
        Self::open_on(&clock::SETUP)
    }

    /// The same, with what this clock tells of itself.
    pub(crate) fn open_on(setup: &'static clock::Setup) -> Self {
        let exclusive = lock(&EXCLUSIVE);
        if !state::measuring() {
            state::start_measuring();
        }
        account::start_here();
        // All tests together ask for more names than a service may have.
        ledger().set_limits(Limits {
            operations_max: NAMES_MAX,
            origins_max: NAMES_MAX,
            callers_max: NAMES_MAX,
            owners_max: NAMES_MAX,
            ..Limits::default()
        });
        let key = ProcessKey {
            instance: "test".into(),
            host: "test".into(),
            epoch: "test".into(),
            clock_mode: setup.mode().name().into(),
            agent_version: "test".into(),
        };
        Self {
            rotation: Rotation::begin_on(setup, ledger(), key),
            rows: RowSet::new(),
            _exclusive: exclusive,
        }
    }

    /// Ends a window and adds it to the rows.
    pub(crate) fn rotate(&mut self) -> WindowLedger {
        let window = Window {
            start_unix_ns: 0,
            end_unix_ns: 1,
        };
        let mut rows = RowSet::new();
        let mut before: Option<RowKey> = None;
        let end = self
            .rotation
            .rotate(ledger(), window, ProcessGauges::default, &mut |page| {
                for (key, _) in page.iter() {
                    let ascends = before.as_ref().is_none_or(|before| before < key);
                    assert!(ascends, "{key:?} comes after {before:?}");
                    before = Some(key.clone());
                }
                rows.merge(page);
            });
        self.rows.merge(&rows);
        WindowLedger { end, rows }
    }

    /// The rows of an operation over callers and origins.
    pub(crate) fn operation(&self, name: &str, class: &str) -> RowValue {
        let mut sum = RowValue::new();
        for (key, row) in self.rows.of_kind(RowKind::Operation) {
            let key = OperationKey::read(key).unwrap();
            if *key.operation == *name && *key.class == *class {
                sum.merge(row);
            }
        }
        sum
    }

    /// The row of an owner.
    pub(crate) fn owner(&self, kind: OwnerKind, name: &str) -> RowValue {
        let key = OwnerKey {
            owner_kind: kind.as_str().into(),
            name: name.into(),
        };
        self.of_cpu(|quality| key.clone().row_key(quality))
    }

    /// A row with CPU time, which the clock of this machine may make apportioned. Empty when there is none.
    pub(crate) fn of_cpu(&self, key: impl Fn(Quality) -> RowKey) -> RowValue {
        let mut sum = RowValue::new();
        for quality in [Quality::Measured, Quality::Apportioned] {
            if let Some(row) = self.rows.get(&key(quality)) {
                sum.merge(row);
            }
        }
        sum
    }

    /// The region rows of an operation by path, over classes and qualities.
    pub(crate) fn regions(&self, operation: &str) -> BTreeMap<String, RowValue> {
        let mut regions = BTreeMap::new();
        for (key, row) in self.rows.of_kind(RowKind::Region) {
            let key = RegionKey::read(key).unwrap();
            if *key.operation == *operation {
                let sum: &mut RowValue = regions.entry(key.region.to_string()).or_default();
                sum.merge(row);
            }
        }
        regions
    }

    /// How many were lost at a place.
    pub(crate) fn lost(&self, place: &str) -> i64 {
        self.rows
            .of_kind(RowKind::Loss)
            .filter(|(key, _)| LossKey::read(key).is_some_and(|key| *key.place == *place))
            .filter_map(|(_, row)| row.get(column::LOST))
            .sum()
    }
}

/// A column that must be there.
pub(crate) fn figure(row: &RowValue, column: u32) -> i64 {
    row.get(column)
        .unwrap_or_else(|| panic!("column {column} is absent"))
}

/// Burns CPU on this thread.
pub(crate) fn burn(ns: i64) {
    let begun = clock::thread_cpu_ns();
    while clock::thread_cpu_ns() - begun < ns {
        std::hint::spin_loop();
    }
}

/// Runs `f` on a thread of its own, whose account state is fresh and which ends before this returns.
pub(crate) fn on_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap())
}

/// Asks again until it holds.
#[cfg(feature = "hyper-util-0_1")]
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = tokio::time::timeout(Duration::from_secs(20), poll);
    patience.await.expect(what);
}
