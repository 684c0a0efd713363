//! The collector weighs itself: its own agent delivers into its own engine, without a socket.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use weighbridge_agent::{Agent, Delivery, Sink};
use weighbridge_wire::OwnerKind;

use crate::STORE_THREAD;
use crate::ingest::Engine;
use crate::store::Encoding;

/// Name of the collector as a service.
pub const SERVICE: &str = weighbridge_wire::COLLECTOR_SERVICE;

/// How long a delivery waits for its commit; the agent comes again afterwards.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the agent of this process. `None` when it has one already, or cannot have one.
pub(crate) fn start(engine: &Arc<Engine>) -> Option<Agent> {
    let sink = EngineSink(engine.clone());
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

/// Delivers into an engine.
struct EngineSink(Arc<Engine>);

impl Sink for EngineSink {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        let (reply, answer) = sync_channel(1);
        let body = delta.to_vec().into();
        let sent = self
            .0
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
            Ok(_) => Delivery::Accepted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::store::MemoryStore;
    use crate::testing::{DeltaSpec, SECOND_NS, START_UNIX_NS};
    use crate::{Clock, Limits};

    #[test]
    fn an_own_delta_is_delivered_once_refused_or_to_be_sent_again() {
        let engine = Engine::start(
            Arc::new(MemoryStore::new(1_000)),
            Limits::default(),
            Clock::fixed(START_UNIX_NS + 100 * SECOND_NS),
            Metrics::new(),
        )
        .unwrap();
        let sink = EngineSink(Arc::new(engine));
        let first = DeltaSpec::new(1, 0).service(SERVICE).delta().encode();
        // The answer to the first may get lost: it comes again.
        for _ in 0..2 {
            assert_eq!(sink.deliver(&first), Delivery::Accepted);
        }
        let windows = sink.0.view("", 0, u64::MAX).unwrap();
        let ended: i64 = windows
            .flat_map(|folded| {
                let rows = folded.unwrap().rows;
                let of = rows.of_kind(weighbridge_wire::RowKind::Operation);
                of.filter_map(|(_, value)| value.get(weighbridge_wire::column::ENDED))
                    .collect::<Vec<_>>()
            })
            .sum();
        assert_eq!(ended, 1);
        assert!(matches!(
            sink.deliver(b"nonsense"),
            Delivery::Refused { .. }
        ));
        sink.0.stop();
        let second = DeltaSpec::new(1, 1).service(SERVICE).delta().encode();
        assert!(matches!(sink.deliver(&second), Delivery::Busy { .. }));
    }
}
