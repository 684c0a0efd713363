//! The environment behind a lookup.

use std::fmt::Display;
use std::time::Duration;

use super::{WINDOW_DEFAULT, WINDOW_MAX, WINDOW_MIN, parse_duration};
use crate::alloc::{RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MAX, RETAINED_MEAN_BYTES_MIN};

/// Longest text of a setting that is repeated in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// A setting that could not be used. Its default is in force instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ConfigProblem {
    name: String,
    reason: String,
}

impl ConfigProblem {
    /// A problem with the setting `name`; `reason` says what is wrong and what to write instead.
    pub(crate) fn new(name: &str, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }

    /// The variable or setting.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Gives the text of a variable.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads variables and collects what is wrong with them.
pub(crate) struct Env<'a> {
    lookup: Box<Lookup<'a>>,
    problems: Vec<ConfigProblem>,
}

impl<'a> Env<'a> {
    /// An environment behind any lookup.
    pub(crate) fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self {
            lookup: Box::new(lookup),
            problems: Vec::new(),
        }
    }

    /// The environment of this process. A value that is not UTF-8 counts as unset.
    pub(crate) fn process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Everything that could not be used so far.
    pub(crate) fn into_problems(self) -> Vec<ConfigProblem> {
        self.problems
    }

    /// Notes a problem.
    pub(crate) fn problem(&mut self, name: &str, reason: impl Into<String>) {
        self.problems.push(ConfigProblem::new(name, reason));
    }

    /// The text of a variable; empty is unset.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|v| v.trim().to_owned())
            .filter(|v| !v.is_empty())
    }

    /// A switch: `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        if text.eq_ignore_ascii_case("true") || text == "1" {
            return Some(true);
        }
        if text.eq_ignore_ascii_case("false") || text == "0" {
            return Some(false);
        }
        self.problem(
            name,
            format!("`{}` is neither `true` nor `false`", shown(&text)),
        );
        None
    }

    /// A value with its own reader; a problem repeats the text.
    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        read(&text)
            .map_err(|error| self.problem(name, format!("`{}`: {error}", shown(&text))))
            .ok()
    }

    /// A value that may hold a secret; a problem never repeats the text.
    pub(crate) fn secret<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        read(&text)
            .map_err(|error| self.problem(name, error.to_string()))
            .ok()
    }

    /// The length of a window.
    pub(crate) fn window(&mut self, name: &str) -> Duration {
        let Some(window) = self.parsed(name, parse_duration) else {
            return WINDOW_DEFAULT;
        };
        if (WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            return window;
        }
        self.problem(
            name,
            format!("{window:?} is out of range; take {WINDOW_MIN:?} to {WINDOW_MAX:?}"),
        );
        window.clamp(WINDOW_MIN, WINDOW_MAX)
    }

    /// Whether retained memory is sampled, and how often.
    pub(crate) fn retained(&mut self, switch: &str, mean: &str) -> Option<usize> {
        let asked = self.limit(mean, RETAINED_MEAN_BYTES);
        let mean_bytes = asked.clamp(RETAINED_MEAN_BYTES_MIN, RETAINED_MEAN_BYTES_MAX);
        if mean_bytes != asked {
            self.problem(
                mean,
                format!("{asked} is out of range; take {RETAINED_MEAN_BYTES_MIN} to {RETAINED_MEAN_BYTES_MAX}"),
            );
        }
        self.flag(switch).unwrap_or(false).then_some(mean_bytes)
    }

    /// The size of a bounded thing: a whole number above zero.
    pub(crate) fn limit(&mut self, name: &str, default: usize) -> usize {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse::<usize>() {
            Ok(n) if n > 0 => n,
            _ => {
                let text = shown(&text);
                self.problem(
                    name,
                    format!("`{text}` is not a whole number above zero; {default} stays in force"),
                );
                default
            }
        }
    }
}

/// A text short and plain enough for a log line.
fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}
