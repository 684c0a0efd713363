//! The end of a process whose collector does not behave: it comes soon, and as it was meant.

use std::time::Instant;

use super::*;

/// How long an end may take beyond what it takes where the collector behaves: the guard's patience of 2 s, half a second
/// for its thread, and a machine that is busy. An exchange with the collector alone may take 15 s.
const LONGER_MAX: Duration = Duration::from_secs(6);

/// Runs the subject against whoever listens there and says how long it took to end.
#[allow(
    clippy::disallowed_methods,
    reason = "how long a process takes is told from outside"
)]
fn ends_with(test: &str, url: &str, how: &str, what: &str) {
    let anybody = Collector::start(Mood::Honest);
    let mut command = subject(test, &anybody);
    command
        .env("WEIGHBRIDGE_ENDPOINT", url)
        .env("WEIGHBRIDGE_TEST_END", how);
    let begun = Instant::now();
    let (status, text) = end(command.spawn().unwrap());
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(7), "{what}, {how}: {text}");
    assert!(took < LONGER_MAX, "{what}, {how}: it took {took:?}; {text}");
}

#[test]
#[allow(clippy::exit, clippy::disallowed_methods)] // what services do
fn a_process_ends_soon_whatever_its_collector_does() {
    const NAME: &str = "hostile::a_process_ends_soon_whatever_its_collector_does";
    if is_subject() {
        let agent = weighbridge_agent::init();
        work("last");
        if std::env::var("WEIGHBRIDGE_TEST_END").unwrap() == "drop" {
            drop(agent);
        }
        std::process::exit(7);
    }
    let nobody = Collector::unreachable();
    let mut cases = vec![("nobody accepts".to_owned(), nobody.url())];
    let moods = [
        Mood::Deaf,
        Mood::Silent,
        Mood::Trickle,
        Mood::Flood,
        Mood::Reset,
    ];
    for mood in moods {
        cases.push((format!("{mood:?}"), Collector::start(mood).url()));
    }
    // They wait far more than they work.
    std::thread::scope(|scope| {
        for (what, url) in &cases {
            for how in ["drop", "exit"] {
                scope.spawn(move || ends_with(NAME, url, how, what));
            }
        }
    });
}
