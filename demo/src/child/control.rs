//! A child's end of its line to the supervisor.

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::protocol::{ChildConfig, Command, Reply};

/// Commands waiting to be read. A supervisor asks one thing at a time.
const COMMANDS_MAX: usize = 4;

/// Commands from the supervisor; `recv` gives `None` when it is gone or wants this child to stop.
pub(super) struct Control {
    commands: mpsc::Receiver<Command>,
}

impl Control {
    /// Reads the configuration, then listens on a thread of its own, so that the end of standard input is seen
    /// whatever the runtime does.
    pub(super) fn open() -> anyhow::Result<(ChildConfig, Self)> {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("reading the configuration")?;
        let config = serde_json::from_str(&line)
            .context("this command is started by `weighbridge demo`; run that instead")?;
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        std::thread::Builder::new()
            .name("demo-control".to_owned())
            .spawn(move || {
                for line in std::io::stdin().lock().lines() {
                    let Ok(line) = line else { break };
                    let Ok(command) = serde_json::from_str(&line) else {
                        continue;
                    };
                    if sender.blocking_send(command).is_err() {
                        break;
                    }
                }
            })
            .context("starting the control thread")?;
        Ok((config, Self { commands }))
    }

    /// The next command.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        self.commands.recv().await
    }
}

/// Says something to the supervisor.
pub(super) fn say(reply: &Reply) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(reply).context("writing a reply")?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .context("the supervisor is gone")
}
