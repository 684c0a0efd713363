//! How processes live and end: exit, panic, signals, forks, threads and runtimes that vanish, agents that come
//! and go. Each test runs this binary again as its subject, with a collector outside.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // fork

#[path = "life/hostile.rs"]
mod hostile;
#[path = "life/panics.rs"]
mod panics;
#[cfg(feature = "tracing-subscriber-0_3")]
#[path = "life/regions.rs"]
mod regions;
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::collector::{Collector, Mood};
use support::{Ledger, PATIENCE, burn, figure};
use weighbridge_agent::wire::{Delta, Epoch, OperationKey, RowKind, SeriesKey, column};
use weighbridge_agent::{Agent, Delivery, Sink, job};

const ROLE: &str = "WEIGHBRIDGE_TEST_ROLE";

fn is_subject() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// This binary as the subject of the test of this name.
fn subject(test: &str, collector: &Collector) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, test)
        .env("OTEL_SERVICE_NAME", "subject")
        .env("WEIGHBRIDGE_WINDOW", "1h")
        .env("WEIGHBRIDGE_ENDPOINT", collector.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Waits for its end, with patience. Returns what it printed to standard error.
fn end(mut child: Child) -> (ExitStatus, String) {
    drop(child.stdin.take());
    let mut pipe = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = pipe.read_to_string(&mut text);
        text
    });
    let mut patience = PATIENCE.as_millis() / 2;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if patience == 0 {
            child.kill().unwrap();
            panic!("it does not end: {}", reader.join().unwrap());
        }
        patience -= 1;
        std::thread::park_timeout(Duration::from_millis(2));
    };
    (status, reader.join().unwrap())
}

fn run(test: &str, collector: &Collector) -> (ExitStatus, String) {
    end(subject(test, collector).spawn().unwrap())
}

/// How many jobs of this name ended, by all deltas that were acknowledged.
fn jobs(deltas: &[Delta], name: &str) -> i64 {
    let name = format!("JOB {name}");
    deltas
        .iter()
        .flat_map(|delta| delta.rows.of_kind(RowKind::Operation))
        .filter(|(key, _)| *OperationKey::read(key).unwrap().operation == *name)
        .filter_map(|(_, row)| row.get(column::ENDED))
        .sum()
}

fn deltas(collector: &Collector) -> Vec<Delta> {
    let received = collector.received();
    received
        .into_iter()
        .map(|received| received.delta)
        .collect()
}

/// Runs a job to its end on this thread.
fn work(name: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(job(name, async { burn(Duration::from_millis(1)) }));
}

#[test]
#[allow(clippy::exit, clippy::disallowed_methods)] // what services do
fn exit_without_dropping_the_guard_sends_the_last_window() {
    const NAME: &str = "exit_without_dropping_the_guard_sends_the_last_window";
    if is_subject() {
        let _agent = weighbridge_agent::init();
        work("last");
        std::process::exit(7);
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.code(), Some(7), "{text}");
    assert_eq!(jobs(&deltas(&collector), "last"), 1, "{text}");
    assert_eq!(collector.received()[0].times, 1);
}

#[test]
#[allow(clippy::exit, clippy::disallowed_methods)]
fn exit_on_any_thread_and_after_the_guard_is_no_second_flush() {
    const NAME: &str = "exit_on_any_thread_and_after_the_guard_is_no_second_flush";
    if is_subject() {
        let agent = weighbridge_agent::init();
        work("first");
        drop(agent);
        let _agent = weighbridge_agent::init();
        work("second");
        std::thread::spawn(|| std::process::exit(7)).join().unwrap();
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.code(), Some(7), "{text}");
    let deltas = deltas(&collector);
    assert_eq!((jobs(&deltas, "first"), jobs(&deltas, "second")), (1, 1));
    assert_eq!(deltas.len(), 2, "{text}");
}

/// A sink that ends the process from the agent's own thread.
struct Exits;

impl Sink for Exits {
    #[allow(clippy::exit, clippy::disallowed_methods)]
    fn deliver(&self, _: &[u8]) -> Delivery {
        std::process::exit(9)
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // it would wait for longer than a drop of the guard may
fn exit_on_the_agents_own_thread_does_not_wait_for_itself() {
    const NAME: &str = "exit_on_the_agents_own_thread_does_not_wait_for_itself";
    if is_subject() {
        let agent = weighbridge_agent::builder().sink(Arc::new(Exits)).init();
        ready();
        agent.flush(PATIENCE);
        unreachable!("the process has ended");
    }
    let child = start(NAME, &Collector::start(Mood::Honest));
    let begun = Instant::now();
    let (status, text) = end(child);
    assert_eq!(status.code(), Some(9), "{text}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_panic_that_unwinds_main_sends_the_last_window() {
    const NAME: &str = "a_panic_that_unwinds_main_sends_the_last_window";
    if is_subject() {
        let _agent = weighbridge_agent::init();
        work("last");
        panic!("as planned");
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.code(), Some(101), "{text}");
    assert!(text.contains("as planned"), "{text}");
    assert_eq!(jobs(&deltas(&collector), "last"), 1);
}

#[test]
fn an_abort_keeps_what_was_acknowledged() {
    use std::os::unix::process::ExitStatusExt as _;
    const NAME: &str = "an_abort_keeps_what_was_acknowledged";
    if is_subject() {
        let agent = weighbridge_agent::init();
        work("sent");
        assert!(agent.flush(PATIENCE));
        work("lost");
        // What a panic does under panic = "abort".
        std::process::abort();
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.signal(), Some(6), "{text}");
    let deltas = deltas(&collector);
    assert_eq!((jobs(&deltas, "sent"), jobs(&deltas, "lost")), (1, 0));
}

/// Starts a subject and waits until it says `ready`.
fn start(test: &str, collector: &Collector) -> Child {
    let mut child = subject(test, collector).spawn().unwrap();
    let mut pipe = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(pipe.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    child.stderr = Some(pipe.into_inner());
    child
}

fn ready() {
    use std::io::Write as _;
    std::io::stderr().write_all(b"ready\n").unwrap();
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

#[test]
fn signals_that_end_a_process_still_do() {
    use std::os::unix::process::ExitStatusExt as _;
    const NAME: &str = "signals_that_end_a_process_still_do";
    if is_subject() {
        // SAFETY: the default action, which shells take from what they start in the background.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        let agent = weighbridge_agent::init();
        work("sent");
        assert!(agent.flush(PATIENCE));
        ready();
        loop {
            std::thread::park();
        }
    }
    for (name, number) in [("TERM", 15), ("INT", 2), ("KILL", 9)] {
        let collector = Collector::start(Mood::Honest);
        let child = start(NAME, &collector);
        signal(&child, name);
        let (status, text) = end(child);
        assert_eq!(status.signal(), Some(number), "{name}: {text}");
        assert_eq!(jobs(&deltas(&collector), "sent"), 1, "{name}");
    }
}

#[test]
fn a_service_that_waits_for_the_shutdown_signal_sends_the_last_window() {
    const NAME: &str = "a_service_that_waits_for_the_shutdown_signal_sends_the_last_window";
    if is_subject() {
        let _agent = weighbridge_agent::init();
        let runtime = weighbridge_agent::runtime().build().unwrap();
        runtime.block_on(async {
            let signal = weighbridge_agent::shutdown_signal();
            let mut signal = std::pin::pin!(signal);
            // Its handler is there once it was polled.
            assert!(futures_util::poll!(signal.as_mut()).is_pending());
            ready();
            signal.await;
            job("last", async {}).await;
        });
        return;
    }
    for name in ["TERM", "INT"] {
        let collector = Collector::start(Mood::Honest);
        let child = start(NAME, &collector);
        signal(&child, name);
        let (status, text) = end(child);
        assert!(status.success(), "{name}: {text}");
        assert_eq!(jobs(&deltas(&collector), "last"), 1, "{name}: {text}");
    }
}

/// Forks; the child runs this and ends without running anything else of the test.
fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: what the child may do after that in a process of many threads is what is tested.
    match unsafe { libc::fork() } {
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        id => id,
    }
}

#[test]
#[allow(clippy::exit, clippy::disallowed_methods)] // what services do
fn a_forked_child_that_exits_does_not_wait_for_its_parents_agent() {
    const NAME: &str = "a_forked_child_that_exits_does_not_wait_for_its_parents_agent";
    if is_subject() {
        let agent = weighbridge_agent::init();
        work("parents");
        let begun = Instant::now();
        reap(fork(|| std::process::exit(0)));
        // It would take 2.5 s: the child has no agent's thread that could answer.
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        drop(agent);
        return;
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert!(status.success(), "{text}");
    let deltas = deltas(&collector);
    assert_eq!((jobs(&deltas, "parents"), deltas.len()), (1, 1), "{text}");
}

/// Waits for a child; the test's own patience bounds it.
fn reap(id: i32) {
    let mut status = 0;
    // SAFETY: the pointer is valid for the call.
    assert_eq!(unsafe { libc::waitpid(id, &raw mut status, 0) }, id);
    assert_eq!(status, 0, "the child failed");
}

#[test]
fn a_forked_child_delivers_nothing_of_its_parent_and_may_have_an_agent_of_its_own() {
    const NAME: &str =
        "a_forked_child_delivers_nothing_of_its_parent_and_may_have_an_agent_of_its_own";
    if is_subject() {
        let agent = weighbridge_agent::init();
        work("before");
        // One is under way while the process forks.
        let runtime = weighbridge_agent::runtime()
            .worker_threads(1)
            .build()
            .unwrap();
        let (begun, waiting) = std::sync::mpsc::sync_channel(0);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let open = runtime.spawn(job("open", async move {
            begun.send(()).unwrap();
            let _ = gone.await;
        }));
        waiting.recv().unwrap();
        let mut inherited = Some(agent);
        let id = fork(|| {
            assert!(!weighbridge_agent::is_enabled(), "nothing is measured");
            work("unmeasured");
            assert!(!inherited.as_ref().unwrap().flush(PATIENCE));
            let own = weighbridge_agent::init();
            assert!(weighbridge_agent::is_enabled());
            // The parent's guard takes nothing away from the child's agent.
            drop(inherited.take());
            assert!(weighbridge_agent::is_enabled());
            work("child");
            work("child");
            work("open");
            assert!(own.flush(PATIENCE));
            assert!(weighbridge_agent::try_init().is_err(), "one at a time");
            drop(own);
        });
        reap(id);
        assert!(weighbridge_agent::is_enabled(), "the parent goes on");
        work("after");
        go.send(()).unwrap();
        runtime.block_on(open).unwrap();
        drop(inherited);
        return;
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert!(status.success(), "{text}");
    let all = deltas(&collector);
    let epochs: std::collections::BTreeSet<Epoch> = all.iter().map(|delta| delta.epoch).collect();
    assert_eq!(epochs.len(), 2);
    assert!(
        collector
            .received()
            .iter()
            .all(|received| received.times == 1)
    );
    let counts = [
        ("before", 1),
        ("after", 1),
        ("child", 2),
        ("open", 2),
        ("unmeasured", 0),
    ];
    for (name, count) in counts {
        assert_eq!(jobs(&all, name), count, "{name}");
    }
    for epoch in epochs {
        let own: Vec<Delta> = all.iter().filter(|d| d.epoch == epoch).cloned().collect();
        let parent = jobs(&own, "before") == 1;
        assert_eq!(jobs(&own, "after"), i64::from(parent));
        assert_eq!(jobs(&own, "child"), if parent { 0 } else { 2 });
        own.iter().for_each(support::assert_conserved);
        // What is under way in the parent is not in the child.
        let most = own
            .iter()
            .flat_map(|delta| delta.rows.of_kind(RowKind::Series))
            .filter(|(key, _)| {
                SeriesKey::read(key).is_some_and(|key| *key.operation == *"JOB open")
            })
            .map(|(_, row)| figure(row, column::IN_FLIGHT))
            .max();
        assert_eq!(most, Some(1), "parent: {parent}");
        let instances: std::collections::BTreeSet<_> =
            own.iter().map(|delta| &delta.identity.instance).collect();
        assert_eq!(instances.len(), 1);
    }
}

#[test]
fn a_child_forked_in_the_middle_of_everything_finds_no_lock_taken() {
    const NAME: &str = "a_child_forked_in_the_middle_of_everything_finds_no_lock_taken";
    const FORKS: usize = 40;
    if is_subject() {
        let agent = weighbridge_agent::builder()
            .window(Duration::from_millis(100))
            .init();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let runtime = weighbridge_agent::runtime()
                        .worker_threads(1)
                        .build()
                        .unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        runtime.block_on(job("busy", async {
                            weighbridge_agent::spawn(async {}).await.unwrap();
                        }));
                    }
                });
            }
            // Takes the agent's thread through its locks all the time.
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    agent.flush(Duration::from_millis(50));
                }
            });
            for _ in 0..FORKS {
                reap(fork(|| {
                    // A child that waits for a lock for ever is ended here, and fails.
                    // SAFETY: sets a timer of this process.
                    unsafe { libc::alarm(10) };
                    let own = weighbridge_agent::builder().sink(Ledger::new()).init();
                    assert!(weighbridge_agent::is_enabled());
                    work("child");
                    assert!(own.flush(PATIENCE));
                }));
            }
            stop.store(true, Ordering::Relaxed);
        });
        return;
    }
    let (status, text) = run(NAME, &Collector::start(Mood::Honest));
    assert!(status.success(), "{text}");
}

/// Uses the agent while the thread's storage is torn down.
struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        // Tokio's own storage may be gone already.
        let done = futures_util::FutureExt::now_or_never(job("in tear-down", async {}));
        assert!(done.is_some());
        let _ = weighbridge_agent::Scope::current();
    }
}

#[test]
fn threads_that_end_in_the_middle_of_an_account_lose_nothing() {
    const NAME: &str = "threads_that_end_in_the_middle_of_an_account_lose_nothing";
    thread_local! {
        static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    if is_subject() {
        let sink = Ledger::new();
        let agent = weighbridge_agent::builder().sink(sink.clone()).init();
        for late_first in [true, false] {
            std::thread::spawn(move || {
                if late_first {
                    LATE.set(Some(Late));
                }
                // The worker's account is current until the runtime's thread is gone.
                let runtime = weighbridge_agent::runtime()
                    .worker_threads(1)
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let task = tokio::spawn(job("cut", async {
                        burn(Duration::from_millis(5));
                        std::future::pending::<()>().await;
                    }));
                    tokio::task::yield_now().await;
                    burn(Duration::from_millis(5));
                    drop(task);
                });
                runtime.shutdown_background();
                if !late_first {
                    LATE.set(Some(Late));
                }
                work("before its end");
            })
            .join()
            .unwrap();
        }
        assert!(agent.flush(PATIENCE));
        let cut = sink.operation("JOB cut", "");
        support::eventually(|| {
            agent.flush(PATIENCE);
            sink.operation("JOB cut", "").get(column::ENDED) == Some(2)
        });
        assert!(cut.get(column::STARTED) == Some(2), "{cut:?}");
        assert_eq!(
            figure(&sink.operation("JOB before its end", ""), column::ENDED),
            2
        );
        for delta in sink.deltas() {
            support::assert_conserved(&delta);
        }
        return;
    }
    let (status, text) = run(NAME, &Collector::start(Mood::Honest));
    assert!(status.success(), "{text}");
}

#[test]
fn a_runtime_shut_down_with_bills_open_closes_them() {
    const NAME: &str = "a_runtime_shut_down_with_bills_open_closes_them";
    if is_subject() {
        let sink = Ledger::new();
        let agent = weighbridge_agent::builder().sink(sink.clone()).init();
        let runtime = weighbridge_agent::runtime()
            .worker_threads(2)
            .build()
            .unwrap();
        let (begun, waiting) = std::sync::mpsc::sync_channel(10);
        for _ in 0..10 {
            let begun = begun.clone();
            runtime.spawn(job("open", async move {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            }));
        }
        (0..10).for_each(|_| waiting.recv().unwrap());
        runtime.shutdown_timeout(PATIENCE);
        assert!(agent.flush(PATIENCE));
        let row = sink.operation("JOB open", "");
        assert_eq!(figure(&row, column::STARTED), 10);
        assert_eq!(figure(&row, column::ENDED), 10);
        assert_eq!(figure(&row, column::ERRORS), 10, "dropped before their end");
        return;
    }
    let (status, text) = run(NAME, &Collector::start(Mood::Honest));
    assert!(status.success(), "{text}");
}

#[test]
fn requests_that_outlive_their_agent_do_not_end_in_the_next_ones_books() {
    const NAME: &str = "requests_that_outlive_their_agent_do_not_end_in_the_next_ones_books";
    if is_subject() {
        let open = |sink: &Arc<Ledger>| {
            weighbridge_agent::builder()
                .sink(sink.clone())
                .try_init()
                .unwrap()
        };
        let runtime = weighbridge_agent::runtime()
            .worker_threads(1)
            .build()
            .unwrap();
        let (first, second) = (Ledger::new(), Ledger::new());
        let agent = open(&first);
        let (begun, waiting) = std::sync::mpsc::sync_channel(0);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let task = runtime.spawn(job("across", async move {
            begun.send(()).unwrap();
            let _ = gone.await;
            weighbridge_agent::class("bulk");
            burn(Duration::from_millis(2));
        }));
        waiting.recv().unwrap();
        drop(agent);
        assert_eq!(
            first.operation("JOB across", "").get(column::STARTED),
            Some(1)
        );

        let agent = open(&second);
        assert!(weighbridge_agent::try_init().is_err(), "one at a time");
        go.send(()).unwrap();
        runtime.block_on(task).unwrap();
        runtime.block_on(job("own", async {}));
        assert!(agent.flush(PATIENCE));
        assert!(agent.flush(PATIENCE), "and in later windows");
        for class in ["", "bulk"] {
            let row = second.operation("JOB across", class);
            for column in [column::STARTED, column::ENDED, column::IN_FLIGHT_NS] {
                assert_eq!(row.get(column).unwrap_or(0), 0, "{class}: {row:?}");
            }
        }
        assert_eq!(figure(&second.operation("JOB own", ""), column::ENDED), 1);
        for (_, row) in second.rows().of_kind(RowKind::Operation) {
            assert!(
                row.get(column::IN_FLIGHT_NS).is_none_or(|ns| ns >= 0),
                "{row:?}"
            );
        }
        for (_, row) in second.rows().of_kind(RowKind::Series) {
            assert!(row.get(column::IN_FLIGHT).is_none_or(|n| n >= 0), "{row:?}");
        }
        second.deltas().iter().for_each(support::assert_conserved);
        return;
    }
    let (status, text) = run(NAME, &Collector::start(Mood::Honest));
    assert!(status.success(), "{text}");
}

/// A sink that keeps the agent's thread busy until it is let go.
#[derive(Default)]
struct Gate {
    taken: Arc<Ledger>,
    shut: Mutex<()>,
    entered: AtomicBool,
}

impl Sink for Gate {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        self.entered.store(true, Ordering::SeqCst);
        let _gate = self.shut.lock().unwrap();
        self.taken.deliver(delta)
    }
}

#[test]
fn flushes_that_wait_do_not_keep_the_end_from_being_asked_for() {
    const NAME: &str = "flushes_that_wait_do_not_keep_the_end_from_being_asked_for";
    if is_subject() {
        let gate = Arc::new(Gate::default());
        let agent: Agent = weighbridge_agent::builder().sink(gate.clone()).init();
        let shut = gate.shut.lock().unwrap();
        // The agent's thread is inside the sink; more flushes than it has room for.
        agent.flush(Duration::ZERO);
        support::eventually(|| gate.entered.load(Ordering::SeqCst));
        for _ in 0..20 {
            assert!(!agent.flush(Duration::ZERO));
        }
        work("last");
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| drop(agent));
            // Let go while it waits.
            std::thread::park_timeout(Duration::from_millis(100));
            drop(shut);
            ending.join().unwrap();
        });
        assert_eq!(
            gate.taken.operation("JOB last", "").get(column::ENDED),
            Some(1)
        );
        return;
    }
    let (status, text) = run(NAME, &Collector::start(Mood::Honest));
    assert!(status.success(), "{text}");
}
