//! A server in a process of its own, so that its CPU is the server's only.

use std::io::{self, BufRead as _, BufReader, Error, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::sink::Shares;

/// A running server that follows the words of [`crate::server`]. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the program and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not say where it listens.
    pub fn start(program: &Path, settings: &[(&str, &str)]) -> io::Result<Self> {
        let mut process = Command::new(program)
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("cannot start {}: {error}", program.display()),
                )
            })?;
        let words = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().ok_or(ErrorKind::BrokenPipe)?);
        let line = read_line(&mut answers)?;
        let address = line.parse().map_err(|_| {
            Error::new(
                ErrorKind::InvalidData,
                format!(
                    "{} did not say where it listens but `{line}`",
                    program.display()
                ),
            )
        })?;
        Ok(Self {
            process,
            words,
            answers,
            address,
        })
    }

    /// CPU time of its process in nanoseconds. Ask while it is idle: the kernel leaves out what a running
    /// thread spent since its last tick.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_ns(&mut self) -> io::Result<i64> {
        let answer = self.ask("cpu")?;
        answer
            .parse()
            .map_err(|_| Error::new(ErrorKind::InvalidData, format!("`{answer}` is no CPU time")))
    }

    /// Switches measuring on or off.
    ///
    /// # Errors
    /// When it is gone, or has nothing to switch.
    pub fn switch(&mut self, on: bool) -> io::Result<()> {
        let answer = self.ask(if on { "resume" } else { "pause" })?;
        if answer == "ok" {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unsupported, answer))
        }
    }

    /// Where its CPU went since it was asked before, by its own ledger.
    ///
    /// # Errors
    /// When it is gone, or keeps no ledger.
    pub fn ledger(&mut self) -> io::Result<Shares> {
        let answer = self.ask("ledger")?;
        serde_json::from_str(&answer)
            .map_err(|error| Error::new(ErrorKind::InvalidData, format!("{error}: {answer}")))
    }

    fn ask(&mut self, word: &str) -> io::Result<String> {
        let words = self.words.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        writeln!(words, "{word}")?;
        words.flush()?;
        read_line(&mut self.answers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends it; one that does not listen any more is ended by force.
        drop(self.words.take());
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_line(answers: &mut BufReader<ChildStdout>) -> io::Result<String> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err(Error::new(
            ErrorKind::UnexpectedEof,
            "the server ended; what it printed above says why",
        ));
    }
    Ok(line.trim_end().to_owned())
}
