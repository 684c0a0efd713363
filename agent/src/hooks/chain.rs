//! Our hooks and somebody else's on one runtime.

use tokio::runtime::Builder;

type Hook = Box<dyn Fn() + Send + Sync>;
#[cfg(tokio_unstable)]
type TaskHook = Box<dyn Fn(&tokio::runtime::TaskMeta<'_>) + Send + Sync>;

/// The agent's hooks, to which one closure of each kind can be added. Made by [`chain`].
///
/// The closures run in the account of the runtime: after ours where something begins on the thread's side,
/// before ours where a task or a sleep begins. A closure that panics does what it would without us.
#[derive(Default)]
#[must_use = "nothing is set before `install`"]
pub struct Chain {
    thread_start: Option<Hook>,
    thread_stop: Option<Hook>,
    thread_park: Option<Hook>,
    thread_unpark: Option<Hook>,
    #[cfg(tokio_unstable)]
    task_spawn: Option<TaskHook>,
    #[cfg(tokio_unstable)]
    task_terminate: Option<TaskHook>,
    #[cfg(tokio_unstable)]
    before_task_poll: Option<TaskHook>,
    #[cfg(tokio_unstable)]
    after_task_poll: Option<TaskHook>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").finish_non_exhaustive()
    }
}

/// The agent's hooks, to be set on a runtime's builder together with one's own.
pub fn chain() -> Chain {
    Chain::default()
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident: $field:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
            self.$field = Some(Box::new(hook));
            self
        }
    )*};
}

#[cfg(tokio_unstable)]
macro_rules! task_hooks {
    ($($(#[$doc:meta])* $name:ident: $field:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(
            mut self,
            hook: impl Fn(&tokio::runtime::TaskMeta<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.$field = Some(Box::new(hook));
            self
        }
    )*};
}

impl Chain {
    hooks! {
        /// Also runs this when a thread starts.
        on_thread_start: thread_start;
        /// Also runs this when a thread stops.
        on_thread_stop: thread_stop;
        /// Also runs this before a thread sleeps.
        on_thread_park: thread_park;
        /// Also runs this when a thread woke up.
        on_thread_unpark: thread_unpark;
    }

    #[cfg(tokio_unstable)]
    task_hooks! {
        /// Also runs this when a task is spawned.
        on_task_spawn: task_spawn;
        /// Also runs this when a task has ended.
        on_task_terminate: task_terminate;
        /// Also runs this before each poll of a task.
        on_before_task_poll: before_task_poll;
        /// Also runs this after each poll of a task.
        on_after_task_poll: after_task_poll;
    }

    /// Sets all hooks on a builder, in place of those that it had.
    pub fn install(self, builder: &mut Builder) -> &mut Builder {
        let (start, stop) = (self.thread_start, self.thread_stop);
        let (park, unpark) = (self.thread_park, self.thread_unpark);
        builder
            .on_thread_start(move || {
                super::on_thread_start();
                run(start.as_ref());
            })
            .on_thread_stop(move || {
                run(stop.as_ref());
                super::on_thread_stop();
            })
            .on_thread_park(move || {
                run(park.as_ref());
                super::on_thread_park();
            })
            .on_thread_unpark(move || {
                super::on_thread_unpark();
                run(unpark.as_ref());
            });
        #[cfg(tokio_unstable)]
        {
            super::task::go_live();
            let (spawn, terminate) = (self.task_spawn, self.task_terminate);
            let (before, after) = (self.before_task_poll, self.after_task_poll);
            builder
                .on_task_spawn(move |meta| {
                    super::on_task_spawn(meta);
                    run_task(spawn.as_ref(), meta);
                })
                .on_task_terminate(move |meta| {
                    run_task(terminate.as_ref(), meta);
                    super::on_task_terminate(meta);
                })
                .on_before_task_poll(move |meta| {
                    run_task(before.as_ref(), meta);
                    super::on_before_task_poll(meta);
                })
                .on_after_task_poll(move |meta| {
                    super::on_after_task_poll(meta);
                    run_task(after.as_ref(), meta);
                });
        }
        builder
    }
}

fn run(hook: Option<&Hook>) {
    if let Some(hook) = hook {
        hook();
    }
}

#[cfg(tokio_unstable)]
fn run_task(hook: Option<&TaskHook>, meta: &tokio::runtime::TaskMeta<'_>) {
    if let Some(hook) = hook {
        hook(meta);
    }
}
