//! The same in the middle of a region.

use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_agent::wire::{RegionKey, RowValue};

use super::*;

const PIECE: Duration = Duration::from_millis(3);
const PIECE_NS: i64 = 3_000_000;

/// Spans are regions from now on, for the whole process.
fn make_spans_regions() {
    tracing_subscriber::registry()
        .with(weighbridge_agent::regions())
        .init();
}

/// The rows of a region of a job, over all deltas.
fn region(deltas: &[Delta], job: &str, region: &str) -> RowValue {
    let job = format!("JOB {job}");
    let mut sum = RowValue::new();
    for delta in deltas {
        for (key, row) in delta.rows.of_kind(RowKind::Region) {
            let key = RegionKey::read(key).unwrap();
            if *key.operation == *job && *key.region == *region {
                sum.merge(row);
            }
        }
    }
    sum
}

fn cpu_ns(row: &RowValue) -> i64 {
    row.get(column::CPU_EXCLUSIVE_NS).unwrap_or(0)
}

fn count(row: &RowValue) -> i64 {
    row.get(column::COUNT).unwrap_or(0)
}

/// Runs a job on this thread, inside a region of this name.
fn work_in_region(job_name: &'static str, f: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(job(job_name, async { info_span!("step").in_scope(f) }));
}

#[test]
#[allow(clippy::exit, clippy::disallowed_methods)] // what services do
fn exit_in_the_middle_of_a_region_sends_what_it_cost_so_far() {
    const NAME: &str = "regions::exit_in_the_middle_of_a_region_sends_what_it_cost_so_far";
    if is_subject() {
        make_spans_regions();
        let _agent = weighbridge_agent::init();
        work_in_region("cut", || {
            burn(PIECE);
            std::process::exit(7)
        });
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.code(), Some(7), "{text}");
    let step = region(&deltas(&collector), "cut", "step");
    assert_eq!(count(&step), 1, "{text}");
    assert!(cpu_ns(&step) >= PIECE_NS, "{step:?}");
}

/// A panic that must not unwind: what every panic does under panic = "abort".
extern "C" fn panics() {
    panic!("as planned");
}

#[test]
fn a_panic_that_aborts_in_a_region_keeps_what_was_acknowledged() {
    use std::os::unix::process::ExitStatusExt as _;
    const NAME: &str = "regions::a_panic_that_aborts_in_a_region_keeps_what_was_acknowledged";
    if is_subject() {
        make_spans_regions();
        let agent = weighbridge_agent::init();
        work_in_region("sent", || burn(PIECE));
        assert!(agent.flush(PATIENCE));
        work_in_region("lost", || {
            burn(PIECE);
            panics();
        });
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert_eq!(status.signal(), Some(6), "{text}");
    assert!(text.contains("as planned"), "{text}");
    let deltas = deltas(&collector);
    assert!(cpu_ns(&region(&deltas, "sent", "step")) >= PIECE_NS);
    assert_eq!(jobs(&deltas, "lost"), 0);
}

#[test]
fn a_panic_that_unwinds_a_region_ends_it() {
    const NAME: &str = "regions::a_panic_that_unwinds_a_region_ends_it";
    if is_subject() {
        make_spans_regions();
        let agent = weighbridge_agent::init();
        let thread = std::thread::spawn(|| {
            work_in_region("unwound", || {
                burn(PIECE);
                panic!("as planned");
            });
        });
        assert!(thread.join().is_err());
        assert!(agent.flush(PATIENCE));
        return;
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert!(status.success(), "{text}");
    let deltas = deltas(&collector);
    let step = region(&deltas, "unwound", "step");
    assert_eq!((count(&step), jobs(&deltas, "unwound")), (1, 1));
    assert!(cpu_ns(&step) >= PIECE_NS, "{step:?}");
    deltas.iter().for_each(support::assert_conserved);
}

#[test]
fn a_fork_in_the_middle_of_a_region_leaves_it_to_the_parent() {
    const NAME: &str = "regions::a_fork_in_the_middle_of_a_region_leaves_it_to_the_parent";
    if is_subject() {
        make_spans_regions();
        let agent = weighbridge_agent::init();
        work_in_region("forks", || {
            burn(PIECE);
            // Left before the fork, and not yet booked.
            info_span!("before").in_scope(|| burn(PIECE));
            let mut open = Some(info_span!("open").entered());
            burn(PIECE);
            let id = fork(|| {
                // SAFETY: sets a timer of this process.
                unsafe { libc::alarm(10) };
                let own = weighbridge_agent::init();
                // The job of the parent is still current here, and its span open.
                info_span!("in the child").in_scope(|| burn(PIECE));
                drop(open.take());
                let worked = std::thread::spawn(|| work_in_region("child", || burn(PIECE)));
                assert!(worked.join().is_ok());
                assert!(own.flush(PATIENCE));
                drop(own);
            });
            reap(id);
            burn(PIECE);
            drop(open);
        });
        drop(agent);
        return;
    }
    let collector = Collector::start(Mood::Honest);
    let (status, text) = run(NAME, &collector);
    assert!(status.success(), "{text}");
    let all = deltas(&collector);
    all.iter().for_each(support::assert_conserved);
    let of_child = |delta: &&Delta| jobs(std::slice::from_ref(*delta), "child") > 0;
    let epoch = all.iter().find(of_child).unwrap().epoch;
    let (child, parent): (Vec<Delta>, Vec<Delta>) =
        all.into_iter().partition(|delta| delta.epoch == epoch);
    for (path, pieces) in [("step", 1), ("step;before", 1), ("step;open", 2)] {
        let row = region(&parent, "forks", path);
        assert_eq!(count(&row), 1, "{path}");
        assert!(cpu_ns(&row) >= pieces * PIECE_NS, "{path}: {row:?}");
        let row = region(&child, "forks", path);
        assert_eq!((count(&row), cpu_ns(&row)), (0, 0), "{path}");
    }
    let step = region(&child, "child", "step");
    assert_eq!(count(&step), 1);
    assert!(
        (PIECE_NS..3 * PIECE_NS).contains(&cpu_ns(&step)),
        "{step:?}"
    );
}

#[test]
fn a_signal_in_the_middle_of_a_region_ends_the_process_as_ever() {
    use std::os::unix::process::ExitStatusExt as _;
    const NAME: &str = "regions::a_signal_in_the_middle_of_a_region_ends_the_process_as_ever";
    if is_subject() {
        make_spans_regions();
        let agent = weighbridge_agent::init();
        work_in_region("sent", || burn(PIECE));
        assert!(agent.flush(PATIENCE));
        work_in_region("cut", || {
            ready();
            // Crosses boundaries all the time, so that the signal meets the agent's own code as well.
            loop {
                info_span!("inner").in_scope(|| weighbridge_agent::encode(|| ()));
            }
        });
    }
    for (name, number) in [("TERM", 15), ("KILL", 9)] {
        let collector = Collector::start(Mood::Honest);
        let child = start(NAME, &collector);
        signal(&child, name);
        let (status, text) = end(child);
        assert_eq!(status.signal(), Some(number), "{name}: {text}");
        let deltas = deltas(&collector);
        assert_eq!(
            (jobs(&deltas, "sent"), jobs(&deltas, "cut")),
            (1, 0),
            "{name}: {text}"
        );
        assert_eq!(count(&region(&deltas, "sent", "step")), 1, "{name}: {text}");
    }
}
