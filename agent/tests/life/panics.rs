//! Programs in which a panic ends the process at once.

use std::os::unix::process::ExitStatusExt as _;

use super::*;

const SIGABRT: i32 = 6;

/// As long as a subject waits for its collector.
const SHORT: Duration = Duration::from_millis(300);

/// Has each panic abort after the hook that is there, as in a program built with `panic = "abort"`: tests are built to
/// unwind.
fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        std::process::abort();
    }));
}

#[test]
fn a_panic_that_aborts_sends_the_last_window_first_if_asked_to() {
    const NAME: &str = "panics::a_panic_that_aborts_sends_the_last_window_first_if_asked_to";
    if is_subject() {
        let _agent = weighbridge_agent::init();
        abort_on_panic();
        weighbridge_agent::flush_on_panic(PATIENCE);
        // Once is enough.
        weighbridge_agent::flush_on_panic(PATIENCE);
        work("last");
        std::thread::spawn(|| panic!("as planned")).join().unwrap();
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.signal(), Some(SIGABRT), "{text}");
    assert!(
        text.contains("as planned"),
        "the hook before it runs: {text}"
    );
    let deltas = deltas(&collector);
    assert_eq!(jobs(&deltas, "last"), 1, "{text}");
    assert_eq!(deltas.len(), 1, "{text}");
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long a process takes is told from outside"
)]
fn a_panic_waits_no_longer_than_it_may_for_its_collector() {
    const NAME: &str = "panics::a_panic_waits_no_longer_than_it_may_for_its_collector";
    if is_subject() {
        let _agent = weighbridge_agent::init();
        abort_on_panic();
        weighbridge_agent::flush_on_panic(SHORT);
        work("last");
        panic!("as planned");
    }
    for mood in [Mood::Silent, Mood::Deaf] {
        let collector = Collector::start(mood);
        let begun = Instant::now();
        let (status, text) = run(NAME, &collector);
        let took = begun.elapsed();
        assert_eq!(status.signal(), Some(SIGABRT), "{text}");
        assert!(collector.attempts() > 0, "{mood:?}: it tried");
        // A process takes a while to begin on a busy machine; an exchange alone may take 15 s.
        assert!(took < Duration::from_secs(8), "{mood:?}: {took:?}");
    }
}

/// A sink that panics on the agent's own thread, which cannot wait for itself.
struct Panics;

impl Sink for Panics {
    fn deliver(&self, _: &[u8]) -> Delivery {
        panic!("as planned");
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long a process takes is told from outside"
)]
fn a_panic_of_a_sink_or_without_an_agent_is_not_held_up() {
    const NAME: &str = "panics::a_panic_of_a_sink_or_without_an_agent_is_not_held_up";
    if is_subject() {
        weighbridge_agent::flush_on_panic(Duration::from_secs(3_600));
        let nobody = std::panic::catch_unwind(|| panic!("nobody measures"));
        assert!(nobody.is_err());
        abort_on_panic();
        let agent = weighbridge_agent::builder()
            .sink(Arc::new(Panics))
            .try_init()
            .unwrap();
        work("last");
        agent.flush(PATIENCE);
        unreachable!("the sink ended it");
    }
    let collector = Collector::start(Mood::Honest);
    let begun = Instant::now();
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.signal(), Some(SIGABRT), "{text}");
    assert!(begun.elapsed() < PATIENCE, "{text}");
}
