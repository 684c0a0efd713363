//! One statement.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use weighbridge_wire::Class;

use super::Uses;
use crate::bill::{Bill, CallToken, WaitKind, store_name};
use crate::ledger::{EntityFigures, loss, record_entity};
use crate::{account, clock, state};

/// What is known of one statement, or of each that goes out together.
#[derive(Debug)]
enum Touched {
    One(Arc<Uses>),
    Many(Vec<Arc<Uses>>),
}

impl Touched {
    fn each(&self) -> &[Arc<Uses>] {
        match self {
            Self::One(uses) => std::slice::from_ref(uses),
            Self::Many(all) => all,
        }
    }

    /// True when all CPU and waiting was for one entity: of several nobody can say which one it went to.
    fn is_of_one_entity(&self) -> bool {
        let mut all = self.each().iter();
        let Some(first) = all.next() else {
            return false;
        };
        first.entities.len() == 1
            && !first.unknown
            && all.all(|other| other.entities == first.entities && !other.unknown)
    }
}

/// How one statement ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    /// `None` is unknown.
    pub(crate) rows: Option<u64>,
    /// Of the entity's data; `None` is unknown.
    pub(crate) bytes: Option<u64>,
    pub(crate) failed: bool,
}

/// A statement under way. Dropped before its end it counts as failed: an error came back, or the caller went
/// away while it waited.
#[derive(Debug)]
pub(crate) struct Statement {
    bill: Option<Arc<Bill>>,
    database: Arc<str>,
    touched: Touched,
    cpu_ns: i64,
    /// Among the calls of its request, once it was not ready at once.
    token: Option<CallToken>,
    waiting_since_ns: Option<u64>,
    waited_ns: u64,
    /// Of it, with the thread.
    blocked_ns: u64,
    bytes: Option<u64>,
    ended: bool,
}

impl Statement {
    /// A statement of the current request.
    pub(crate) fn begin(database: &Arc<str>, uses: Arc<Uses>) -> Self {
        Self::new(database, Touched::One(uses))
    }

    /// Several statements that go out together.
    pub(crate) fn begin_many(database: &Arc<str>, all: Vec<Arc<Uses>>) -> Self {
        Self::new(database, Touched::Many(all))
    }

    fn new(database: &Arc<str>, touched: Touched) -> Self {
        Self {
            bill: Bill::current_weighed(),
            database: database.clone(),
            touched,
            cpu_ns: 0,
            token: None,
            waiting_since_ns: None,
            waited_ns: 0,
            blocked_ns: 0,
            bytes: None,
            ended: false,
        }
    }

    /// Polls the client in class `store`; while it is not ready the request waits.
    pub(crate) fn poll<R>(&mut self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        self.stop_waiting();
        let (result, cpu_ns) = account::timed_class(Class::Store, poll);
        self.cpu_ns = self.cpu_ns.saturating_add(cpu_ns);
        if result.is_pending() {
            let now_ns = clock::monotonic_ns();
            self.waiting_since_ns = Some(now_ns);
            if self.token.is_none() {
                let name = || store_name(&self.database);
                let bill = self.bill.as_ref();
                self.token = bill.map(|bill| bill.store_began(&name(), now_ns));
            }
        }
        result
    }

    /// [`poll`](Self::poll) until it is ready.
    pub(crate) async fn wait<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.poll(|| future.as_mut().poll(cx))).await
    }

    /// Runs a client that blocks; its time off the CPU is waiting.
    pub(crate) fn block<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let start_ns = clock::monotonic_ns();
        let (result, cpu_ns) = account::timed_class(Class::Store, f);
        let wall_ns = clock::monotonic_ns().saturating_sub(start_ns);
        self.cpu_ns = self.cpu_ns.saturating_add(cpu_ns);
        let blocked_ns = wall_ns.saturating_sub(u64::try_from(cpu_ns).unwrap_or(0));
        self.waited_ns += blocked_ns;
        self.blocked_ns += blocked_ns;
        result
    }

    /// Adds bytes of the entity's data.
    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        *self.bytes.get_or_insert(0) += bytes;
    }

    /// It went well. `None` is unknown.
    pub(crate) fn end(mut self, rows: Option<u64>) {
        let ended = Ended {
            rows,
            bytes: self.bytes,
            failed: false,
        };
        self.record(|_| ended);
    }

    /// They ended, each in its way.
    pub(crate) fn end_each(mut self, ended: impl Fn(usize) -> Ended) {
        self.record(ended);
    }

    /// Ends it by what the client says, which goes back unchanged.
    pub(crate) fn end_with<T, E>(
        self,
        result: Result<T, E>,
        rows: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<T, E> {
        if let Ok(done) = &result {
            self.end(rows(done));
        }
        result
    }

    fn stop_waiting(&mut self) {
        if let Some(since_ns) = self.waiting_since_ns.take() {
            self.waited_ns += clock::monotonic_ns().saturating_sub(since_ns);
        }
    }

    fn record(&mut self, ended: impl Fn(usize) -> Ended) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.stop_waiting();
        if let Some(bill) = &self.bill
            && self.blocked_ns > 0
        {
            bill.add_wait(WaitKind::Store, self.blocked_ns);
        }
        if let Some(token) = &mut self.token {
            // The last crossing was out of the poll that told the end.
            token.end(account::instant_here_ns(), true);
        }
        let of_one = self.touched.is_of_one_entity();
        for (n, uses) in self.touched.each().iter().enumerate() {
            let time = (of_one && n == 0).then_some((self.cpu_ns, self.waited_ns));
            self.record_one(uses, ended(n), time);
        }
    }

    fn record_one(&self, uses: &Uses, ended: Ended, time: Option<(i64, u64)>) {
        if uses.unknown && state::measuring() {
            loss("agent.sql", "statement not understood", 1);
        }
        let of_rows = uses.of_rows();
        let alone = uses.entities.len() == 1 && !uses.unknown;
        for (n, (entity, access)) in uses.entities.iter().enumerate() {
            let figures = EntityFigures {
                statements: u64::from(!ended.failed),
                errors: u64::from(ended.failed),
                rows: ended.rows.filter(|_| of_rows == Some(n)),
                bytes: ended.bytes.filter(|_| alone),
                store_ns: time.map(|(cpu_ns, _)| cpu_ns),
                wait_ns: time.map(|(_, waited_ns)| waited_ns),
            };
            #[cfg(test)]
            super::seen::observe(&self.database, entity, *access, figures);
            record_entity(
                self.bill.as_deref(),
                &self.database,
                entity,
                access.as_str(),
                figures,
            );
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        self.record(|_| Ended {
            failed: true,
            ..Ended::default()
        });
    }
}

/// Runs what is no statement in class `store`: it blocks, and its time off the CPU is waiting.
pub(crate) fn in_store<R>(f: impl FnOnce() -> R) -> R {
    let mut statement = Statement::begin(&Arc::from(""), Arc::default());
    let result = statement.block(f);
    statement.end(None);
    result
}
