//! The agent's own thread: ends windows, closes bills whose children never end, sends deltas.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::sync::mpsc;
use weighbridge_wire::{Class, OwnerKind, Window, limits};

use super::back_off::{self, BackOff};
use super::handle::{Handle, Last};
use super::process::{ForeignThreads, Process};
use super::table::Table;
use crate::account::{Account, be_born_here, become_new_thread_of, enter, leave_thread, owner};
use crate::export::Exporter;
use crate::ledger::{ProcessGauges, Rotation, ledger};
use crate::{bill, clock};

/// Name of the thread and of its owner row.
pub(super) const THREAD_NAME: &str = "weighbridge";
/// How often bills that wait for their children are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Most commands that wait; more are refused.
const COMMANDS_MAX: usize = 16;

/// Most threads that look up the collector's name: a resolver that hangs must not gather threads.
const LOOKUP_THREADS_MAX: usize = 2;

/// The host wants the window ended and everything sent.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) patience: Duration,
    pub(super) reply: SyncSender<bool>,
}

/// The same, and the thread ends.
#[derive(Debug)]
pub(super) struct Shutdown {
    pub(super) patience: Duration,
    pub(super) reply: SyncSender<bool>,
}

/// State of the thread.
pub(super) struct Worker {
    pub(super) rotation: Rotation,
    pub(super) process: Process,
    pub(super) foreign: ForeignThreads,
    pub(super) window_ns: u64,
    pub(super) exporter: Option<Arc<Exporter>>,
    pub(super) print_table: bool,
    pub(super) overhead_max_permille: u32,
    pub(super) service: String,
    #[cfg(feature = "otlp-metrics")]
    pub(super) otlp: Option<Arc<crate::otlp::OtlpExporter>>,
}

/// That of all the agent does for itself, on its thread or on another.
pub(super) fn own_account() -> Account {
    Account::new(owner(OwnerKind::Agent, THREAD_NAME), Class::Handler)
}

/// Starts the thread.
pub(super) fn spawn(worker: Worker) -> std::io::Result<(Handle, ThreadId)> {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    // The guard and the end of the process may both ask.
    let (last, ending) = mpsc::channel(2);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUP_THREADS_MAX)
        .on_thread_start(|| become_new_thread_of(own_account()))
        .on_thread_stop(leave_thread)
        .build()?;
    let thread = std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || {
            be_born_here();
            let _agent = enter(own_account());
            runtime.block_on(run(worker, inbox, ending));
        })?;
    let last = Last(last);
    Ok((Handle { commands, last }, thread.thread().id()))
}

async fn run(
    mut worker: Worker,
    mut inbox: mpsc::Receiver<Command>,
    mut ending: mpsc::Receiver<Shutdown>,
) {
    let mut back_off = BackOff::new(worker.overhead_max_permille, back_off::crossing_ps());
    let mut table = worker.print_table.then(Table::new);
    if let Some(exporter) = worker.exporter.clone() {
        tokio::spawn(async move { exporter.pump().await });
    }
    #[cfg(feature = "otlp-metrics")]
    if let Some(otlp) = worker.otlp.clone() {
        tokio::spawn(async move { otlp.pump().await });
    }
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut signals = Signals::new();
    let mut begin_unix_ns = clock::wall_unix_ns();
    loop {
        let now = clock::wall_unix_ns();
        let boundary = (begin_unix_ns / worker.window_ns + 1) * worker.window_ns;
        // A clock that was set back must not stretch the window.
        let wait = boundary.saturating_sub(now).min(worker.window_ns);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(wait)) => {
                begin_unix_ns = worker.end_window(begin_unix_ns, table.as_mut(), &mut back_off);
            }
            _ = sweep.tick() => bill::sweep(clock::monotonic_ns()),
            () = signals.next() => {
                begin_unix_ns = worker.end_window(begin_unix_ns, table.as_mut(), &mut back_off);
                print(table.as_ref(), &worker.service);
            }
            shutdown = ending.recv() => {
                bill::sweep(clock::monotonic_ns());
                worker.end_window(begin_unix_ns, table.as_mut(), &mut back_off);
                // `None`: the guard is gone without a word, e.g. by a panic in its drop.
                if let Some(Shutdown { patience, reply }) = shutdown {
                    let sent = worker.flush(patience).await;
                    print(table.as_ref(), &worker.service);
                    let _ = reply.try_send(sent);
                }
                return;
            }
            Some(Command { patience, reply }) = inbox.recv() => {
                bill::sweep(clock::monotonic_ns());
                begin_unix_ns = worker.end_window(begin_unix_ns, table.as_mut(), &mut back_off);
                let flushed = worker.flush(patience);
                tokio::spawn(async move {
                    // Who asked may have lost patience.
                    let _ = reply.try_send(flushed.await);
                });
            }
        }
    }
}

impl Worker {
    /// Sends everything. False when there is nobody to send to, or it takes longer than this.
    fn flush(&self, patience: Duration) -> impl Future<Output = bool> + use<> {
        let exporter = self.exporter.clone();
        #[cfg(feature = "otlp-metrics")]
        let otlp = self.otlp.clone();
        async move {
            #[cfg(feature = "otlp-metrics")]
            let metrics = async {
                if let Some(otlp) = otlp {
                    otlp.flush(patience).await;
                }
            };
            let deltas = async {
                match exporter {
                    Some(exporter) => exporter.flush(patience).await,
                    None => false,
                }
            };
            #[cfg(feature = "otlp-metrics")]
            {
                tokio::join!(deltas, metrics).0
            }
            #[cfg(not(feature = "otlp-metrics"))]
            {
                deltas.await
            }
        }
    }

    /// Ends the window that began at `begin`; returns where the next one begins.
    fn end_window(
        &mut self,
        begin_unix_ns: u64,
        mut table: Option<&mut Table>,
        back_off: &mut BackOff,
    ) -> u64 {
        let now = clock::wall_unix_ns();
        let window = aligned(begin_unix_ns, now, self.window_ns);
        let (process, foreign) = (&mut self.process, &mut self.foreign);
        let mut encoder = self.exporter.as_ref().map(|exporter| exporter.encoder());
        let gauges = || ProcessGauges {
            foreign: foreign.read(),
            columns: process.read(),
        };
        let end = self.rotation.rotate(ledger(), window, gauges, &mut |rows| {
            back_off.end_window(rows);
            if let Some(table) = &mut table {
                table.add(rows);
            }
            if let Some(encoder) = &mut encoder {
                encoder.add(rows);
            }
            #[cfg(feature = "otlp-metrics")]
            if let Some(otlp) = &self.otlp {
                otlp.add(rows);
            }
        });
        #[cfg(feature = "otlp-metrics")]
        if let Some(otlp) = &self.otlp {
            otlp.end_window(window);
        }
        if let Some(table) = table {
            table.end_window(&end);
        }
        if let Some((exporter, rows)) = self.exporter.as_ref().zip(encoder) {
            exporter.offer(end, rows);
        }
        now
    }
}

/// The smallest span of whole windows that holds these instants. When that is longer than the wire carries,
/// the clock was set (or the host slept for days): the window is then the one that ends now.
fn aligned(begin_unix_ns: u64, now_unix_ns: u64, window_ns: u64) -> Window {
    let span = |first: u64, last: u64| {
        let start = first / window_ns * window_ns;
        // A rotation a moment after its boundary ends the window before it.
        let end = last.saturating_sub(window_ns / 4).max(start + 1);
        Window {
            start_unix_ns: start,
            end_unix_ns: end.div_ceil(window_ns) * window_ns,
        }
    };
    let whole = span(
        begin_unix_ns.min(now_unix_ns),
        begin_unix_ns.max(now_unix_ns),
    );
    if whole.len_ns() <= limits::WINDOW_NS_MAX {
        return whole;
    }
    span(now_unix_ns, now_unix_ns)
}

fn print(table: Option<&Table>, service: &str) {
    if let Some(table) = table {
        use std::io::Write as _;
        // A closed standard error is no reason to fail.
        let _ = std::io::stderr()
            .lock()
            .write_all(table.render(service).as_bytes());
    }
}

/// SIGUSR1, where it is wanted and can be had.
struct Signals(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Signals {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // Also where no table is kept: who asks for one must not end the service by the signal's default.
        Self(signal(SignalKind::user_defined1()).ok())
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self()
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(begin: u64, now: u64) -> (u64, u64) {
        let window = aligned(begin, now, 100);
        (window.start_unix_ns, window.end_unix_ns)
    }

    #[test]
    fn windows_are_aligned_and_never_empty() {
        assert_eq!(span(1_000, 1_100), (1_000, 1_100));
        assert_eq!(
            span(1_000, 1_101),
            (1_000, 1_100),
            "a late timer does not stretch the window"
        );
        assert_eq!(
            span(1_037, 1_101),
            (1_000, 1_100),
            "the first one begins within"
        );
        assert_eq!(
            span(1_100, 1_101),
            (1_100, 1_200),
            "a flush right after a boundary"
        );
        assert_eq!(span(1_101, 1_150), (1_100, 1_200), "a flush in the middle");
        assert_eq!(
            span(1_000, 1_450),
            (1_000, 1_500),
            "a process that was stopped for a while"
        );
        assert_eq!(
            span(1_450, 1_020),
            (1_000, 1_500),
            "a clock that was set back"
        );
    }

    #[test]
    fn a_clock_that_was_set_by_days_makes_no_window_that_is_refused() {
        const DAY_NS: u64 = 86_400_000_000_000;
        let (old, new) = (1_000, 20_000 * DAY_NS + 1_050);
        let now = (new / 100 * 100, new / 100 * 100 + 100);
        assert_eq!(span(old, new), now, "set forward");
        assert_eq!(span(new, old), (1_000, 1_100), "set back");
        assert_eq!(span(1_000, DAY_NS).1, DAY_NS, "a day is one window still");
    }
}
