//! One line per phase on standard error; on a terminal the current one moves.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock;

/// How often the moving line is drawn.
const TICK: Duration = Duration::from_millis(120);

/// Says how far the demo is.
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Draws only when standard error is a terminal that can be drawn on.
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal() && !dumb;
        Self {
            start: clock::now(),
            terminal,
            bar: None,
        }
    }

    /// Begins a phase.
    pub(crate) fn phase(&mut self, text: &str) {
        self.finish();
        let elapsed = self.elapsed().as_secs_f64();
        let line = format!("[{elapsed:5.1} s] {text}");
        if self.terminal {
            let bar = ProgressBar::new_spinner().with_message(line);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            self.bar = Some(bar);
        } else {
            // Nobody to tell when standard error is closed; the demo goes on.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Since the start of the demo.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.start)
    }

    /// Ends the current phase.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
