//! Carrying an account to another thread.

use crate::account::{Account, enter};
use crate::bill::Child;

/// The current account, to be installed on another thread: a thread pool's, or one of one's own. The request
/// stays open until the scope is dropped.
#[derive(Debug)]
pub struct Scope {
    account: Account,
    _child: Option<Child>,
}

impl Scope {
    /// The scope of the current request, or of the current owner outside one.
    #[must_use]
    pub fn current() -> Self {
        let (account, child) = super::spawn::child_account();
        Self {
            account,
            _child: child,
        }
    }

    /// Runs `f` in the account.
    pub fn install<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = enter(self.account.clone());
        f()
    }
}
