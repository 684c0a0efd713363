//! `check-deps`: rules about the tree that no compiler knows.

use anyhow::Result;

use crate::context::Context;
use crate::steps::Steps;
use crate::{counts, lengths, tree};

/// Runs the rules as a task of its own.
pub(crate) fn check_deps(context: &Context) -> Result<()> {
    let mut steps = Steps::new(context.strict);
    add(&mut steps, context);
    steps.finish()
}

/// Adds the rules to a longer run.
pub(crate) fn add(steps: &mut Steps, context: &Context) {
    steps.run("direction of dependencies", |_| tree::check(context));
    steps.run("crate counts", |_| counts::check(context));
    steps.run("file lengths", |_| lengths::check(context));
}
