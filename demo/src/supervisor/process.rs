//! One child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::child::protocol::{ChildConfig, Command, Ended, Reply};

/// Longest start of a child.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer to a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Longest orderly end of a child; then it is killed.
const END_PATIENCE: Duration = Duration::from_secs(15);
/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 12;

/// What to start.
pub(crate) struct Spawn<'a> {
    /// The role's word on the command line, for who looks at the process list.
    pub(crate) role: &'a str,
    /// Unique among the children.
    pub(crate) name: &'a str,
    pub(crate) config: &'a ChildConfig,
    pub(crate) environment: &'a [(&'a str, String)],
    pub(crate) logs: &'a Path,
}

/// A running child. Dropping it kills it.
pub(crate) struct ChildProcess {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Where it listens, if it does.
    pub(crate) address: Option<String>,
    child: Child,
    stdin: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl ChildProcess {
    /// Starts a child from this very program and waits until it is ready.
    pub(crate) async fn start(spawn: Spawn<'_>) -> anyhow::Result<Self> {
        let Spawn {
            role,
            name,
            config,
            environment,
            logs,
        } = spawn;
        let program = std::env::current_exe().context("finding this program's own file")?;
        let log = logs.join(format!("{name}.log"));
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}; choose another --out", log.display()))?;
        let mut command = tokio::process::Command::new(program);
        command
            .args(["demo-child", role, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true);
        // Ctrl-C goes to the group of the terminal: children have one of their own and end by their input.
        #[cfg(unix)]
        command.process_group(0);
        for (key, _) in std::env::vars_os() {
            // What the caller weighs its own services with must not change what this demo shows.
            let ours = key.to_str().is_some_and(|key| {
                (key.starts_with("WEIGHBRIDGE_") && key != "WEIGHBRIDGE_CLOCK")
                    || key.starts_with("OTEL_")
            });
            if ours {
                command.env_remove(key);
            }
        }
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        let mut child = command
            .spawn()
            .with_context(|| format!("starting `{name}`"))?;
        let pid = child.id().context("a child without a process id")?;
        let stdin = child
            .stdin
            .take()
            .context("a child without standard input")?;
        let stdout = child
            .stdout
            .take()
            .context("a child without standard output")?;
        let replies = BufReader::new(stdout).lines();
        let name = name.to_owned();
        let mut process = Self {
            name,
            pid,
            address: None,
            child,
            stdin,
            replies,
            log,
        };
        process.write(&serde_json::to_string(config)?).await?;
        match process.read(START_PATIENCE).await? {
            Reply::Ready { address } => process.address = address,
            other => bail!("`{}` said {other:?} before it was ready", process.name),
        }
        Ok(process)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, command: Command) -> anyhow::Result<Reply> {
        self.send(command).await?;
        self.read(ANSWER_PATIENCE).await
    }

    /// Gives a command whose answer is awaited later.
    pub(crate) async fn send(&mut self, command: Command) -> anyhow::Result<()> {
        self.write(&serde_json::to_string(&command)?).await
    }

    /// Looks for an answer for a while. `None` when there is none yet.
    pub(crate) async fn poll(&mut self, patience: Duration) -> anyhow::Result<Option<Reply>> {
        // A line half read stays in the reader when the wait is given up.
        match timeout(patience, self.replies.next_line()).await {
            Err(_) => Ok(None),
            Ok(line) => self.reply(line).map(Some),
        }
    }

    /// Waits for an answer.
    async fn read(&mut self, patience: Duration) -> anyhow::Result<Reply> {
        match timeout(patience, self.replies.next_line()).await {
            Ok(line) => self.reply(line),
            Err(_) => Err(self.failure(&format!("said nothing for {} s", patience.as_secs()))),
        }
    }

    fn reply(&self, line: std::io::Result<Option<String>>) -> anyhow::Result<Reply> {
        match line {
            Ok(Some(line)) => serde_json::from_str(&line)
                .with_context(|| format!("`{}` said {line:?}, which is no reply", self.name)),
            _ => Err(self.failure("ended")),
        }
    }

    /// An error when the child is gone, which it must not be before it is told to.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.failure("ended")),
        }
    }

    /// Tells the child to stop and waits for its last word.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Ended> {
        drop(self.stdin);
        let last = timeout(END_PATIENCE, async {
            let mut last = None;
            while let Ok(Some(line)) = self.replies.next_line().await {
                if let Ok(Reply::Ended(ended)) = serde_json::from_str(&line) {
                    last = Some(ended);
                }
            }
            let status = self.child.wait().await;
            (last, status)
        })
        .await;
        match last {
            Ok((Some(ended), Ok(status))) if status.success() => Ok(ended),
            Ok((_, status)) => bail!(
                "`{}` did not end in order ({}); its log is {}",
                self.name,
                status.map_or_else(|e| e.to_string(), |s| s.to_string()),
                self.log.display()
            ),
            Err(_) => bail!(
                "`{}` did not end within {} s and was killed; its log is {}",
                self.name,
                END_PATIENCE.as_secs(),
                self.log.display()
            ),
        }
    }

    /// Kills the child as a power cut would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("killing `{}`", self.name))
    }

    async fn write(&mut self, line: &str) -> anyhow::Result<()> {
        let written = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.write_all(b"\n").await?;
            self.stdin.flush().await
        };
        if written.await.is_err() {
            return Err(self.failure("takes no commands"));
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        anyhow!(
            "`{}` {what}; its log is {}, and ends:\n{tail}",
            self.name,
            self.log.display()
        )
    }
}
