//! What doctor found.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It works, and measures less than it could.
    Less,
    /// The service is not weighed like this.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) state: State,
    /// What was looked at.
    pub(super) what: &'static str,
    /// What was found.
    pub(super) found: String,
    /// What to do about it; empty when nothing.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            state: State::Good,
            what,
            found: found.into(),
            remedy: String::new(),
        }
    }

    pub(super) fn less(
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Less,
            what,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn broken(
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Broken,
            what,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// One line per finding, and the remedy under it.
pub(super) fn render(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Good => "ok",
            State::Less => "less",
            State::Broken => "BROKEN",
        };
        text.push_str(&format!(
            "{state:<7} {:<width$}  {}\n",
            finding.what, finding.found
        ));
        if !finding.remedy.is_empty() {
            text.push_str(&format!("{:7} {:width$}  -> {}\n", "", "", finding.remedy));
        }
    }
    text
}
