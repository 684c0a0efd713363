//! What is remembered of each epoch: which deltas were folded, and what they should add up to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weighbridge_wire::{
    Delta, LossKey, Quality, RowKind, RowSet, RowValue, ServiceId, Totals, Window, column,
};

use super::{DeltaId, EpochId, SeqSet};

/// Place of the loss rows that say which deltas never came.
const PLACE_DELTAS: &str = "collector.deltas";

/// What one delta adds to the state of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which delta.
    pub id: DeltaId,
    /// Whose.
    pub service: ServiceId,
    /// Its span of event time.
    pub window: Window,
    /// The totals that it carries.
    pub cumulative: Totals,
    /// CPU in its operation and owner rows, ns.
    pub accounts_cpu_ns: i64,
    /// Ranges of sequence numbers that the producer gave up.
    pub given_up: Vec<(u64, u64)>,
}

impl Note {
    /// The note of a delta.
    #[must_use]
    pub fn of(tenant: &Arc<str>, delta: &Delta) -> Self {
        let identity = &delta.identity;
        Self {
            id: DeltaId {
                epoch: EpochId {
                    tenant: tenant.clone(),
                    epoch: delta.epoch,
                },
                seq: delta.seq,
            },
            service: ServiceId {
                tenant: tenant.to_string(),
                namespace: identity.namespace.clone(),
                environment: identity.environment.clone(),
                service: identity.service.clone(),
                version: identity.version.clone(),
            },
            window: delta.window,
            cumulative: delta.cumulative,
            accounts_cpu_ns: accounts_cpu_ns(&delta.rows),
            given_up: delta
                .tombstones
                .iter()
                .map(|t| (t.seq_first, t.seq_last))
                .collect(),
        }
    }
}

/// Saturating, because the rows come from outside.
fn accounts_cpu_ns(rows: &RowSet) -> i64 {
    rows.of_kind(RowKind::Operation)
        .chain(rows.of_kind(RowKind::Owner))
        .flat_map(|(_, value)| {
            weighbridge_wire::ALL_CLASSES
                .iter()
                .filter_map(|class| value.class_cpu_ns(*class))
        })
        .fold(0, i64::saturating_add)
}

/// The delta with the highest sequence number: what it says about all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Highest {
    seq: u64,
    window: Window,
    cumulative: Totals,
}

/// What is remembered of an epoch. The same for any order in which its deltas came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochState {
    service: ServiceId,
    folded: SeqSet,
    given_up: SeqSet,
    highest: Option<Highest>,
    folded_cpu_ns: i64,
    last_end_unix_ns: u64,
}

impl EpochState {
    /// Adds a delta. A delta is added once; the caller checks [`contains`](Self::contains).
    pub fn add(&mut self, note: &Note) {
        self.folded.insert(note.id.seq, note.id.seq);
        for &(first, last) in &note.given_up {
            if self.given_up.range_count() < weighbridge_wire::limits::TOMBSTONES_MAX {
                self.given_up.insert(first, last);
            }
        }
        self.folded_cpu_ns = self.folded_cpu_ns.saturating_add(note.accounts_cpu_ns);
        self.last_end_unix_ns = self.last_end_unix_ns.max(note.window.end_unix_ns);
        if self
            .highest
            .as_ref()
            .is_none_or(|highest| highest.seq < note.id.seq)
        {
            self.service = note.service.clone();
            self.highest = Some(Highest {
                seq: note.id.seq,
                window: note.window,
                cumulative: note.cumulative,
            });
        }
    }

    /// True when this delta was folded.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.folded.contains(seq)
    }

    /// The sequence numbers that were folded.
    #[must_use]
    pub fn folded(&self) -> &SeqSet {
        &self.folded
    }

    /// End of the latest window seen, ns since the Unix epoch.
    #[must_use]
    pub fn last_end_unix_ns(&self) -> u64 {
        self.last_end_unix_ns
    }

    /// Where in the report the loss of this epoch belongs, and its rows; `None` when nothing is missing.
    ///
    /// Missing deltas are told apart by whether the producer gave them up or they just never came. Their
    /// CPU is the difference between the totals that the last delta carries and what was folded; where
    /// no delta is missing and the two differ all the same, that is a row of its own.
    #[must_use]
    pub fn loss(&self) -> Option<(Window, &ServiceId, RowSet)> {
        let highest = self.highest.as_ref()?;
        let due = highest.seq.saturating_add(1);
        let missing = due.saturating_sub(self.folded.count());
        let given_up = self
            .given_up
            .count_without(&self.folded, highest.seq)
            .min(missing);
        let never_came = missing - given_up;
        let cpu_ns = highest
            .cumulative
            .accounts_cpu_ns
            .saturating_sub(self.folded_cpu_ns);
        if missing == 0 && cpu_ns == 0 {
            return None;
        }
        // One row carries the CPU: the totals do not say how it is shared between the two reasons.
        let carrier = if never_came > 0 {
            "never came"
        } else if given_up > 0 {
            "given up by the producer"
        } else {
            "totals of the producer differ from what was folded"
        };
        let mut rows = RowSet::new();
        for (reason, count) in [
            ("never came", never_came),
            ("given up by the producer", given_up),
            ("totals of the producer differ from what was folded", 0),
        ] {
            if count == 0 && reason != carrier {
                continue;
            }
            let lost = i64::try_from(count)
                .unwrap_or(i64::MAX)
                .min(weighbridge_wire::limits::VALUE_MAX);
            let mut value = RowValue::new().with(column::LOST, lost);
            if reason == carrier {
                let max = weighbridge_wire::limits::VALUE_MAX;
                value.add(column::LOST_CPU_NS, cpu_ns.clamp(-max, max));
            }
            let key = LossKey {
                place: PLACE_DELTAS.into(),
                reason: reason.into(),
            };
            rows.add(key.row_key(Quality::Measured), &value);
        }
        Some((highest.window, &self.service, rows))
    }

    /// The state as a stored record.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(&Record::from(self)).map_err(|e| e.to_string())
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(crate) fn decode(tenant: &str, bytes: &[u8]) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(record.into_state(tenant))
    }
}

/// The stored form. Names may be added, never reused.
#[derive(Serialize, Deserialize)]
struct Record {
    namespace: String,
    environment: String,
    service: String,
    version: String,
    folded: Vec<(u64, u64)>,
    given_up: Vec<(u64, u64)>,
    folded_cpu_ns: i64,
    last_end_unix_ns: u64,
    highest: Option<HighestRecord>,
}

#[derive(Serialize, Deserialize)]
struct HighestRecord {
    seq: u64,
    start_unix_ns: u64,
    end_unix_ns: u64,
    started: u64,
    ended: u64,
    process_cpu_ns: i64,
    accounts_cpu_ns: i64,
}

impl From<&EpochState> for Record {
    fn from(state: &EpochState) -> Self {
        Self {
            namespace: state.service.namespace.clone(),
            environment: state.service.environment.clone(),
            service: state.service.service.clone(),
            version: state.service.version.clone(),
            folded: state.folded.ranges().collect(),
            given_up: state.given_up.ranges().collect(),
            folded_cpu_ns: state.folded_cpu_ns,
            last_end_unix_ns: state.last_end_unix_ns,
            highest: state.highest.as_ref().map(|highest| HighestRecord {
                seq: highest.seq,
                start_unix_ns: highest.window.start_unix_ns,
                end_unix_ns: highest.window.end_unix_ns,
                started: highest.cumulative.started,
                ended: highest.cumulative.ended,
                process_cpu_ns: highest.cumulative.process_cpu_ns,
                accounts_cpu_ns: highest.cumulative.accounts_cpu_ns,
            }),
        }
    }
}

impl Record {
    fn into_state(self, tenant: &str) -> EpochState {
        let seqs = |ranges: Vec<(u64, u64)>| {
            let mut set = SeqSet::default();
            ranges
                .into_iter()
                .for_each(|(first, last)| set.insert(first, last));
            set
        };
        EpochState {
            service: ServiceId {
                tenant: tenant.to_owned(),
                namespace: self.namespace,
                environment: self.environment,
                service: self.service,
                version: self.version,
            },
            folded: seqs(self.folded),
            given_up: seqs(self.given_up),
            highest: self.highest.map(|highest| Highest {
                seq: highest.seq,
                window: Window {
                    start_unix_ns: highest.start_unix_ns,
                    end_unix_ns: highest.end_unix_ns,
                },
                cumulative: Totals {
                    started: highest.started,
                    ended: highest.ended,
                    process_cpu_ns: highest.process_cpu_ns,
                    accounts_cpu_ns: highest.accounts_cpu_ns,
                },
            }),
            folded_cpu_ns: self.folded_cpu_ns,
            last_end_unix_ns: self.last_end_unix_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DeltaSpec;

    fn state(deltas: &[Delta]) -> EpochState {
        let tenant = Arc::from("");
        let mut state = EpochState::default();
        for delta in deltas {
            state.add(&Note::of(&tenant, delta));
        }
        state
    }

    fn loss(state: &EpochState) -> Vec<(String, Option<i64>, Option<i64>)> {
        state.loss().map_or_else(Vec::new, |(_, _, rows)| {
            rows.iter()
                .map(|(key, value)| {
                    let key = LossKey::read(key).expect("a loss row");
                    (
                        key.reason.to_string(),
                        value.get(column::LOST),
                        value.get(column::LOST_CPU_NS),
                    )
                })
                .collect()
        })
    }

    fn four() -> Vec<Delta> {
        (0..4).map(|seq| DeltaSpec::new(1, seq).delta()).collect()
    }

    #[test]
    fn a_complete_epoch_has_no_loss_in_any_order() {
        let mut deltas = four();
        assert_eq!(loss(&state(&deltas)), []);
        let forwards = state(&deltas);
        deltas.reverse();
        assert_eq!(state(&deltas), forwards);
    }

    #[test]
    fn a_gap_shows_with_the_cpu_that_stood_in_it() {
        let mut deltas = four();
        let gone = deltas.remove(1);
        let cpu_ns = gone.rows.accounts_cpu_ns();
        assert_eq!(
            loss(&state(&deltas)),
            [("never came".to_owned(), Some(1), Some(cpu_ns))]
        );
    }

    #[test]
    fn a_tombstone_shows_as_given_up_unless_the_delta_had_come_after_all() {
        let mut deltas = four();
        deltas[3].tombstones.push(weighbridge_wire::Tombstone {
            seq_first: 0,
            seq_last: 1,
            ended: 0,
            cpu_ns: 0,
        });
        assert_eq!(loss(&state(&deltas)), []);
        let gone = deltas.remove(1);
        assert_eq!(
            loss(&state(&deltas)),
            [(
                "given up by the producer".to_owned(),
                Some(1),
                Some(gone.rows.accounts_cpu_ns())
            )]
        );
    }

    #[test]
    fn totals_that_differ_without_a_gap_show() {
        let mut deltas = four();
        deltas[3].cumulative.accounts_cpu_ns += 7;
        let rows = loss(&state(&deltas));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].1, rows[0].2), (Some(0), Some(7)));
    }

    #[test]
    fn a_record_reads_back() {
        let state = state(&four());
        let bytes = state.encode().unwrap();
        assert_eq!(EpochState::decode("", &bytes), Ok(state));
    }
}
