//! Values that wait in queues inside the process.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use weighbridge_wire::Class;

use super::Context;
use super::spawn::ChildTask;
use crate::account::{Account, OwnerRef};
use crate::clock;

/// A value on its way through a queue, with the request that sent it: whoever takes it out works for that request.
///
/// ```
/// # use weighbridge_agent::{Stamped, charge_split};
/// # async fn worker(mut queue: tokio::sync::mpsc::Receiver<Stamped<String>>) {
/// // One at a time:
/// if let Some(order) = queue.recv().await {
///     order.run(|order| async move { drop(order) }).await;
/// }
/// // Or several at once, whose cost is shared out by their lengths:
/// let mut orders = Vec::new();
/// queue.recv_many(&mut orders, 100).await;
/// let weights: Vec<u64> = orders.iter().map(|order| order.len() as u64).collect();
/// let (orders, contexts): (Vec<_>, Vec<_>) = orders.into_iter().map(Stamped::into_parts).unzip();
/// charge_split(&contexts, &weights, async { drop(orders) }).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stamped<T> {
    value: T,
    context: Context,
    sent_ns: u64,
}

impl<T> Stamped<T> {
    /// The value, sent now by the current request.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            value,
            context: Context::current(),
            sent_ns: clock::monotonic_ns(),
        }
    }

    /// Who sent it.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How long ago it was sent.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(clock::monotonic_ns().saturating_sub(self.sent_ns))
    }

    /// The value alone. What is done with it is charged to whoever does it.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value, and who sent it.
    pub fn into_parts(self) -> (T, Context) {
        (self.value, self.context)
    }

    /// Works on the value in the account of the request that sent it; outside one, in the present account.
    pub async fn run<F: Future>(self, work: impl FnOnce(T) -> F) -> F::Output {
        let Self { value, context, .. } = self;
        match context.into_child() {
            None => work(value).await,
            Some(child) => {
                let account = Account::new(OwnerRef::Bill(child.bill().clone()), Class::Handler);
                let work = async move { work(value).await };
                ChildTask::new((account, Some(child)), work).await
            }
        }
    }
}

impl<T> Deref for Stamped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Stamped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
