//! The order in which deltas arrive leaves no trace: the same report, to the last byte.

use proptest::test_runner::{RngAlgorithm, TestRng};

use weighbridge_wire::FoldedWindow;

use super::*;
use crate::document;
use crate::span::Span;

const HOUR_NS: u64 = 3_600 * SECOND_NS;
const DAYS: u64 = 3;
/// A delta a quarter of an hour: three days of them.
const LEN_NS: u64 = 900 * SECOND_NS;

/// Three days of two services, one of which starts anew once; in the order in which they are made.
fn three_days() -> Vec<Delta> {
    let per_day = 24 * HOUR_NS / LEN_NS;
    (0..DAYS * per_day)
        .flat_map(|n| {
            let start = START_UNIX_NS + n * LEN_NS;
            let half = DAYS * per_day / 2;
            let store = if n < half { (1, n) } else { (2, n - half) };
            [("store", store), ("warehouse", (3, n))].map(|(service, (epoch, seq))| {
                let mut spec = DeltaSpec::new(epoch, seq).service(service).start(start);
                spec.len_ns = LEN_NS;
                spec.delta()
            })
        })
        .collect()
}

fn engine(clock: &Clock) -> (Engine, Arc<RedbStore>) {
    let store = Arc::new(RedbStore::open_backend(1_000, Shared::default).unwrap());
    let engine = Engine::start(store.clone(), limits(), clock.clone(), Metrics::new()).unwrap();
    (engine, store)
}

/// Ages the store as its thread would by now.
fn age(store: &RedbStore, clock: &Clock) {
    let due = Marks::due(clock.now_unix_ns(), limits().keep(0));
    while store.age(due, 0).unwrap().more {}
}

fn report(engine: &Engine) -> Vec<u8> {
    let view = engine.view("", 0, u64::MAX).unwrap();
    let document = document::build(view, Span::default()).unwrap();
    document::json(&document).unwrap()
}

/// Sends in this order; the clock stands at the end of the latest delta sent so far.
async fn arrive(deltas: impl IntoIterator<Item = &Delta>) -> Vec<u8> {
    let clock = Clock::fixed(START_UNIX_NS);
    let (engine, store) = engine(&clock);
    for (n, delta) in deltas.into_iter().enumerate() {
        clock.set(clock.now_unix_ns().max(delta.window.end_unix_ns));
        send(&engine, delta).await.unwrap();
        if n % 50 == 0 {
            engine.fold_now().await.unwrap();
            age(&store, &clock);
        }
    }
    engine.fold_now().await.unwrap();
    age(&store, &clock);
    let report = report(&engine);
    let days = engine.view_by("", 0, u64::MAX, Some(Tier::Days)).unwrap();
    let whole = |folded: Result<FoldedWindow, StoreError>| folded.unwrap().window;
    assert!(
        days.map(whole)
            .filter(|window| window.end_unix_ns - window.start_unix_ns == 24 * HOUR_NS)
            .count()
            > 1
    );
    report
}

#[tokio::test]
async fn three_days_of_deltas_shuffled_give_the_same_report() {
    let deltas = three_days();
    let on_time = arrive(&deltas).await;
    let text = String::from_utf8_lossy(&on_time);
    assert!(text.contains("\"warehouse\""), "{text}");
    let mut shuffled: Vec<&Delta> = deltas.iter().collect();
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    for i in (1..shuffled.len()).rev() {
        let j = usize::try_from(random.next_u64() % (i as u64 + 1)).unwrap();
        shuffled.swap(i, j);
    }
    assert_ne!(shuffled[0].window, deltas[0].window);
    assert!(arrive(shuffled).await == on_time, "shuffled");
    assert!(arrive(deltas.iter().rev()).await == on_time, "backwards");
}

#[tokio::test]
async fn what_comes_after_an_outage_gives_the_report_of_no_outage() {
    let deltas = three_days();
    let on_time = arrive(&deltas).await;
    // For a day and a half nothing comes through from the store; then its spool, newest first, after what
    // is sent on time again.
    let away = |delta: &&Delta| {
        delta.identity.service == "store"
            && (6..42).contains(&((delta.window.start_unix_ns - START_UNIX_NS) / HOUR_NS))
    };
    let (late, mut arriving): (Vec<&Delta>, Vec<&Delta>) = deltas.iter().partition(away);
    assert!(late.len() > 100);
    let back = arriving
        .iter()
        .position(|delta| delta.window.start_unix_ns >= START_UNIX_NS + 42 * HOUR_NS)
        .unwrap();
    let after = arriving.split_off(back);
    arriving.extend(&after[..10]);
    arriving.extend(late.iter().rev());
    arriving.extend(&after[10..]);
    assert!(arrive(arriving).await == on_time);
}

/// The clocks of machines are wrong now and then.
#[tokio::test]
async fn a_clock_set_back_a_leap_and_agents_an_hour_ahead_lose_nothing() {
    let start = START_UNIX_NS + 50 * HOUR_NS;
    let clock = Clock::fixed(start);
    let (engine, store) = engine(&clock);
    let mut sent = Vec::new();
    // (the collector's clock, the agent's): hours from the start.
    for (seq, (collector, agent)) in [
        (0, 0),
        (-1, 0),
        (-1, 0),
        (3, 0),
        (3, 4),
        (1, 2),
        (1, 1),
        (5, 5),
    ]
    .into_iter()
    .enumerate()
    {
        let at = |hours: i64| start.saturating_add_signed(hours * HOUR_NS as i64);
        clock.set(at(collector));
        let delta = DeltaSpec::new(1, seq as u64)
            .start(at(agent) + seq as u64 * 20 * SECOND_NS)
            .delta();
        send(&engine, &delta).await.unwrap();
        engine.fold_now().await.unwrap();
        age(&store, &clock);
        sent.push(delta);
    }
    clock.set(start + 10 * HOUR_NS);
    age(&store, &clock);
    let (_, losses) = totals(&engine);
    assert!(losses.is_empty(), "{losses:?}");
    for tier in Tier::ALL {
        let cpu_ns: i64 = engine
            .view_by("", 0, u64::MAX, Some(tier))
            .unwrap()
            .map(|folded| folded.unwrap().rows.accounts_cpu_ns())
            .sum();
        let all: i64 = sent.iter().map(|delta| delta.rows.accounts_cpu_ns()).sum();
        assert_eq!(cpu_ns, all, "{tier:?}");
    }
}
