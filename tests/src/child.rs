//! Child processes that end with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::patience::Patience;

/// A child process with its output. Dropping it kills that one process, by its id.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a child ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Child {
    /// Starts a command with its output captured. Its standard input stays open until
    /// [`end_input`](Self::end_input), or the end of the test.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Arc::<Mutex<String>>::default();
        let stderr = Arc::<Mutex<String>>::default();
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(keep(pipe, Arc::clone(&stdout)));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(keep(pipe, Arc::clone(&stderr)));
        }
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends its standard input, which asks well-behaved children to end.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until what it wrote yields something.
    ///
    /// # Panics
    /// When it ends, or patience does, before that; the message holds what it wrote.
    pub fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str, &str) -> Option<T>) -> T {
        let patience = Patience::new();
        loop {
            let running = self.is_running();
            if !running {
                self.readers
                    .drain(..)
                    .for_each(|reader| drop(reader.join()));
            }
            if let Some(found) = find(&self.stdout(), &self.stderr()) {
                return found;
            }
            assert!(
                running && patience.breathe(),
                "no {what} from a process that {}; stdout:\n{}\nstderr:\n{}",
                if running { "still runs" } else { "ended" },
                self.stdout(),
                self.stderr()
            );
        }
    }

    /// Sends a signal to this process.
    pub fn signal(&self, signal: i32) {
        signal_process(self.id(), signal);
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended in time; the message holds what it wrote.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let patience = Patience::of(limit);
        let status = loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                break status;
            }
            assert!(
                patience.breathe(),
                "the process did not end in {} s; stdout:\n{}\nstderr:\n{}",
                limit.as_secs(),
                self.stdout(),
                self.stderr()
            );
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Ended {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to one process, by its id.
pub fn signal_process(id: u32, signal: i32) {
    // The shell's kill needs no unsafe code here.
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{signal} {id}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn keep(pipe: impl std::io::Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe
            .by_ref()
            .read_until(b'\n', &mut line)
            .is_ok_and(|n| n > 0)
        {
            if let Ok(mut text) = text.lock() {
                text.push_str(&String::from_utf8_lossy(&line));
            }
            line.clear();
        }
    })
}

fn read(text: &Mutex<String>) -> String {
    text.lock().map(|text| text.clone()).unwrap_or_default()
}
