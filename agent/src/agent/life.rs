//! What becomes of the agent when the process forks, or ends without dropping the guard.
//!
//! **Fork.** Only the thread that forks lives on in the child: there the agent has no thread, and what stands
//! in its tables belongs to the parent, who delivers it. So measuring stops in the child before `fork` returns,
//! and nothing of the parent's is ever sent from there. The child may call `init` and is then a producer of
//! its own, with an epoch of its own. The locks of the ledger are taken before the fork and given back on both
//! sides, so that none stays locked for ever in the child because another thread held it at that instant.
//! A process made by a bare system call, past the C library, is not noticed until it calls `init`.
//!
//! **Exit.** `std::process::exit` runs no destructors, and services do call it. The last window is sent then as
//! it is when the guard is dropped, with the same patience. Nothing can be done about `abort` (but for a panic that
//! leads to it: [`flush_on_panic`](super::flush_on_panic)), a signal that kills, or `_exit`: what was not sent by then, at most the windows since the last acknowledgement, is lost,
//! and the gap shows in the totals that each delta carries.

use std::cell::RefCell;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, Once};
use std::thread::ThreadId;
use std::time::Duration;

use tokio::sync::mpsc;

use super::handle::{Last, THREAD_PATIENCE};
use super::worker::Command;
use crate::sync::lock;
use crate::{account, bill, clock, ledger, state};

/// How the running agent is reached at the end of the process.
struct Running {
    commands: mpsc::Sender<Command>,
    last: Last,
    /// The agent's own thread cannot wait for itself.
    thread: ThreadId,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// An agent runs: from now on forks and the end of the process concern it.
pub(super) fn begin(commands: mpsc::Sender<Command>, last: Last, thread: ThreadId) {
    *lock(&RUNNING) = Some(Running {
        commands,
        last,
        thread,
    });
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        if !clock::at_fork(before_fork, after_fork_in_parent, after_fork_in_child) {
            tracing::warn!("a child that is forked off this process must not use the agent");
        }
        if !clock::at_exit(at_exit) {
            tracing::warn!("the last window is sent only if the agent's guard is dropped");
        }
    });
}

/// The guard is dropped: the end of the process is no concern any more.
pub(super) fn end() {
    drop(lock(&RUNNING).take());
}

/// Asks the agent's thread to end the window and send it, and waits for that, for at most so long. For a thread that
/// may stand anywhere, in the agent's own code with a table locked too: it books nothing and takes no lock that it may
/// hold.
pub(super) fn flush_elsewhere(patience: Duration) {
    let commands = RUNNING.try_lock().ok().and_then(|running| {
        let running = running.as_ref()?;
        (std::thread::current().id() != running.thread).then(|| running.commands.clone())
    });
    let Some(commands) = commands else {
        return;
    };
    let (reply, answer) = sync_channel(1);
    if commands.try_send(Command { patience, reply }).is_ok() {
        // Whether it was sent changes nothing about what comes.
        let _ = answer.recv_timeout(patience.saturating_add(THREAD_PATIENCE));
    }
}

extern "C" fn at_exit() {
    // Who holds the lock is beginning or ending an agent right now.
    let Some(running) = RUNNING.try_lock().ok().and_then(|mut it| it.take()) else {
        return;
    };
    if std::thread::current().id() != running.thread {
        running.last.shut_down();
    }
}

/// All locks that the thread which forks, or its child, may want.
struct Held {
    running: MutexGuard<'static, Option<Running>>,
    _waiting: bill::Held,
    ledger: ledger::Held,
    threads: account::Held,
    _trust: state::Held,
    _clock: clock::Held,
}

thread_local! {
    /// The same thread takes the locks and gives them back, in the child as a copy of itself.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    // In the order in which they nest elsewhere.
    let held = Held {
        running: lock(&RUNNING),
        _waiting: bill::hold(),
        ledger: ledger::ledger().hold(),
        threads: account::hold(),
        _trust: state::hold(),
        _clock: clock::hold(),
    };
    // Without storage, in a thread that is being torn down, they are given back at once.
    let _ = HELD.try_with(|cell| cell.replace(Some(held)));
}

extern "C" fn after_fork_in_parent() {
    let _ = HELD.try_with(RefCell::take);
}

#[allow(
    clippy::mem_forget,
    reason = "dropped here, a channel might want a lock that nobody in the child gives back"
)]
extern "C" fn after_fork_in_child() {
    state::stop_measuring();
    let _ = HELD.try_with(|cell| {
        if let Some(mut held) = cell.take() {
            // Nobody would answer at the child's end.
            std::mem::forget(held.running.take());
            held.threads.forget_other_threads();
            held.ledger.forget_requests();
        }
    });
}
