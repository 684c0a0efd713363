//! Minutes are added up beside ingest and reading, not before them.

use std::sync::mpsc::sync_channel;

use super::*;
use crate::store::Tier;

/// How long it is waited for what another thread would bring about at once.
const PATIENCE: Duration = Duration::from_secs(20);

const SERVICES: [&str; 6] = ["accounts", "broker", "cart", "depot", "errands", "freight"];

/// A delta for its service's window of ten seconds.
fn delta(epoch: u8, seq: u64) -> Delta {
    let service = SERVICES[usize::from(epoch) % SERVICES.len()];
    let mut spec = DeltaSpec::new(epoch, seq)
        .service(service)
        .start(START_UNIX_NS + 10 * SECOND_NS * seq);
    spec.len_ns = 10 * SECOND_NS;
    spec.delta()
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("{what} waits for minutes that are added up"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledgement_and_no_reader_waits_for_minutes_that_are_added_up() {
    let store = Arc::new(RedbStore::open_backend(1_000, Shared::default).unwrap());
    let hour_later = START_UNIX_NS + 3_600 * SECOND_NS;
    let mut sent = 0;
    // Half an hour of six services, of which nothing is added up.
    let mut batch = FoldBatch::default();
    for (epoch, seq) in (0..6u8).flat_map(|epoch| (0..180).map(move |seq| (epoch, seq))) {
        let delta = delta(epoch, seq);
        sent += delta.rows.accounts_cpu_ns();
        batch.add(&"".into(), &delta, 1_000);
    }
    store.fold(&batch).unwrap();
    // Each piece tells that it is made, and is put in its place when it is told to.
    let (made, pieces) = sync_channel(0);
    let (go_on, told) = sync_channel::<()>(0);
    store.while_summing(move || {
        // At the end of the test nobody listens any more.
        if made.send(()).is_ok() {
            let _ = told.recv();
        }
    });
    let engine = Engine::start(
        store.clone(),
        limits(),
        Clock::fixed(hour_later),
        Metrics::new(),
    );
    let engine = Arc::new(engine.unwrap());
    let mut seq = 180;
    let mut held = 0;
    while held < 40 && pieces.recv_timeout(PATIENCE).is_ok() {
        held += 1;
        // For the present, and late for what is just being added up.
        for delta in [delta(held % 6, seq), delta(6 + held, u64::from(held))] {
            sent += delta.rows.accounts_cpu_ns();
            let (engine, body) = (engine.clone(), gzip(&delta.encode()));
            let acknowledged = tokio::spawn(async move {
                engine.ingest(&"".into(), Encoding::Gzip, body.into()).await
            });
            in_time("an acknowledgement", acknowledged)
                .await
                .unwrap()
                .unwrap();
        }
        seq += 1;
        let folding = engine.clone();
        let folded = tokio::spawn(async move { folding.fold_now().await });
        in_time("a fold", folded).await.unwrap().unwrap();
        for finest in Tier::ALL {
            let (engine, expected) = (engine.clone(), sent);
            let read = tokio::task::spawn_blocking(move || {
                let view = engine.view_by("", 0, u64::MAX, Some(finest)).unwrap();
                let cpu = view.map(|folded| folded.unwrap().rows.accounts_cpu_ns());
                assert_eq!(cpu.sum::<i64>(), expected, "{finest:?}");
            });
            in_time("a reader", read).await.unwrap();
        }
        go_on.send(()).unwrap();
    }
    assert_eq!(held, 40, "it was added up in few pieces");
    drop((pieces, go_on));
    engine.stop();
    let due = Marks::due(hour_later, limits().keep(0));
    while store.age(due, 0).unwrap().more {}
    for finest in Tier::ALL {
        let (_, scan) = store.scan(0, u64::MAX, Some(finest)).unwrap();
        let cpu: i64 = scan
            .map(|folded| folded.unwrap().rows.accounts_cpu_ns())
            .sum();
        assert_eq!(cpu, sent, "{finest:?}");
    }
}
