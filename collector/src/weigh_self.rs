//! The collector weighs itself: its own agent delivers into its own engine, without a socket.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weighbridge_agent::{Agent, Delivery, Sink};
use weighbridge_wire::{Delta, LossKey, OwnerKind, Quality, RowValue, column};

use crate::STORE_THREAD;
use crate::ingest::Engine;
use crate::metrics::{Loss, Metrics};
use crate::store::Encoding;

/// Name of the collector as a service.
pub const SERVICE: &str = "weighbridge-collector";

/// How long a delivery waits for its commit; the agent comes again afterwards.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the agent of this process. `None` when it has one already, or cannot have one.
pub(crate) fn start(engine: &Arc<Engine>, metrics: &Metrics) -> Option<Agent> {
    let sink = EngineSink {
        engine: engine.clone(),
        metrics: metrics.clone(),
        told: Mutex::default(),
    };
    let agent = weighbridge_agent::builder()
        .service(SERVICE)
        .version(env!("CARGO_PKG_VERSION"))
        .thread_owner(STORE_THREAD, OwnerKind::Background, "store")
        .sink(Arc::new(sink))
        .try_init();
    match agent {
        Ok(agent) => Some(agent),
        Err(error) => {
            tracing::warn!(%error, "the collector does not weigh itself");
            None
        }
    }
}

/// Delivers into an engine, and adds what the collector refused from others or could not use of it: a loss that its
/// senders cannot always tell.
struct EngineSink {
    engine: Arc<Engine>,
    metrics: Metrics,
    told: Mutex<Told>,
}

/// Losses that already stand in rows.
#[derive(Default)]
struct Told {
    accepted: BTreeMap<Loss, u64>,
    /// The delta on its way and what it tells: the same again when the same delta comes again.
    on_its_way: Option<(u64, BTreeMap<Loss, u64>)>,
}

impl Sink for EngineSink {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        let mut delta = match Delta::decode(delta) {
            Ok(delta) => delta,
            Err(error) => {
                return Delivery::Refused {
                    reason: error.to_string(),
                };
            }
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_losses(&mut told, &mut delta);
        let (reply, answer) = sync_channel(1);
        let body = delta.encode().into();
        let sent = self
            .engine
            .submit(&"".into(), Encoding::Identity, body, move |outcome| {
                // The one who waited may have given up.
                let _ = reply.try_send(outcome);
            });
        let outcome = sent.and_then(|()| match answer.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(crate::Refusal::QueueFull)
            }
        });
        match outcome {
            Ok(_) => {
                if let Some((_, all)) = told.on_its_way.take() {
                    told.accepted = all;
                }
                Delivery::Accepted
            }
            Err(refusal) => match refusal.retry_after_seconds() {
                Some(seconds) => Delivery::Busy {
                    retry_after: Some(Duration::from_secs(seconds.into())),
                    reason: refusal.to_string(),
                },
                None => Delivery::Refused {
                    reason: refusal.to_string(),
                },
            },
        }
    }
}

impl EngineSink {
    fn add_losses(&self, told: &mut Told, delta: &mut Delta) {
        let all = match told.on_its_way.take() {
            Some((seq, all)) if seq == delta.seq => all,
            _ => self.metrics.losses(),
        };
        for (loss, &count) in &all {
            let new = count - told.accepted.get(loss).copied().unwrap_or(0).min(count);
            if new > 0 {
                let (place, reason) = loss;
                let key = LossKey {
                    place: (*place).into(),
                    reason: reason.as_str().into(),
                };
                let lost = i64::try_from(new).unwrap_or(i64::MAX);
                delta.rows.add(
                    key.row_key(Quality::Measured),
                    &RowValue::new().with(column::LOST, lost),
                );
            }
        }
        told.on_its_way = Some((delta.seq, all));
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::RowKind;

    use super::*;
    use crate::join::Counts;
    use crate::otlp::derive::Tally;
    use crate::otlp::{Outcome, Signal};
    use crate::store::MemoryStore;
    use crate::testing::SECOND_NS;
    use crate::testing::{DeltaSpec, START_UNIX_NS};
    use crate::{Clock, Limits};

    #[test]
    fn refusals_stand_in_one_delta_each() {
        let metrics = Metrics::new();
        let engine = Engine::start(
            Arc::new(MemoryStore::new(1_000)),
            Limits::default(),
            Clock::fixed(START_UNIX_NS + 100 * SECOND_NS),
            metrics.clone(),
        )
        .unwrap();
        let engine = Arc::new(engine);
        let sink = EngineSink {
            engine: engine.clone(),
            metrics: metrics.clone(),
            told: Mutex::default(),
        };
        metrics.refused("too_old");
        metrics.refused("too_old");
        let first = DeltaSpec::new(1, 0).service(SERVICE).delta().encode();
        assert_eq!(sink.deliver(&first), Delivery::Accepted);
        metrics.refused("too_old");
        // The answer to the first was lost: it comes again, and tells nothing new.
        assert_eq!(sink.deliver(&first), Delivery::Accepted);
        metrics.refused("malformed");
        let tally = Tally {
            too_old: 3,
            ..Tally::default()
        };
        let outcome = Outcome {
            tally,
            is_repeated: false,
        };
        metrics.otlp.taken(Signal::Traces, &outcome);
        metrics
            .otlp
            .refused(Signal::Metrics, &crate::Refusal::QueueFull);
        let counts = Counts {
            joined: 9,
            unjoined: 4,
            given_up: 5,
            skewed: 6,
        };
        metrics.otlp.joins(counts, 7);
        let second = DeltaSpec::new(1, 1).service(SERVICE).delta().encode();
        assert_eq!(sink.deliver(&second), Delivery::Accepted);
        let mut lost: Vec<_> = engine
            .view("", 0, u64::MAX)
            .unwrap()
            .flat_map(|folded| {
                let folded = folded.unwrap();
                folded
                    .rows
                    .of_kind(RowKind::Loss)
                    .map(|(key, value)| {
                        let loss = LossKey::read(key).unwrap();
                        (
                            format!("{}: {}", loss.place, loss.reason),
                            value.get(column::LOST).unwrap(),
                        )
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        lost.sort();
        assert_eq!(
            lost,
            [
                (
                    "collector.otlp: calls whose ends contradict each other's clocks".to_owned(),
                    6
                ),
                (
                    "collector.otlp: halves of calls given up because too many waited".to_owned(),
                    5
                ),
                (
                    "collector.otlp: halves of calls whose other half did not come".to_owned(),
                    4
                ),
                (
                    "collector.otlp: requests of metrics refused for now: queue_full".to_owned(),
                    1
                ),
                ("collector.otlp: spans rejected: too_old".to_owned(), 3),
                ("collector.refused: malformed".to_owned(), 1),
                ("collector.refused: too_old".to_owned(), 2),
            ]
        );
        assert!(matches!(
            sink.deliver(b"nonsense"),
            Delivery::Refused { .. }
        ));
        engine.stop();
        let third = DeltaSpec::new(1, 2).service(SERVICE).delta().encode();
        assert!(matches!(sink.deliver(&third), Delivery::Busy { .. }));
    }
}
