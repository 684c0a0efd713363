//! How the program ends.

use std::process::ExitCode;

/// Exit codes, the same for all subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It could not.
    Failure = 1,
    /// It was asked in a way that it does not understand, or its configuration is wrong.
    Usage = 2,
    /// A request became dearer than its budget allows, or a limit or a constraint is not kept.
    BudgetBreached = 3,
    /// There is not enough data to answer.
    NotEnoughData = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a subcommand stopped: what is wrong, what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Stop {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Stop {
    /// A stop because of how the program was called or configured.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// A stop for want of data.
    pub(crate) fn not_enough_data(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::NotEnoughData,
            message: message.into(),
        }
    }
}

/// Everything else is a failure.
impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Failure,
            message: chain(&error),
        }
    }
}

/// What went wrong and why. Many errors repeat their cause in their own text; it is said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::new(error)
            .context("cannot write the output")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error =
            anyhow::anyhow!("disk full").context("cannot write a: disk full; free some space");
        assert_eq!(chain(&error), "cannot write a: disk full; free some space");
        let error = anyhow::anyhow!("disk full").context("cannot write a");
        assert_eq!(chain(&error), "cannot write a: disk full");
    }
}
