//! Real servers for tests: each on a free loopback port, in a directory of its own, stopped by its process id.
//!
//! A server that is not installed skips the test, loudly; under `CI=true` that is a failure.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take until it listens. RabbitMQ takes seconds, and more on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How often a server is asked whether it listens.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// `nobody` of every Unix: some servers refuse to run as root.
const NOBODY: u32 = 65_534;

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Finds a program in `PATH` and in these directories. Without it the test is skipped, or fails under `CI=true`.
pub fn find(program: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(directories.iter().cloned())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        let text =
            format!("{program} is not installed: `cargo xtask test` installs it from Debian");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
        // Past the harness, which keeps what passing tests print.
        drop(writeln!(std::io::stderr(), "SKIPPED: {text}"));
    }
    found
}

/// A directory that a server run as `nobody` may use.
pub fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    if is_root() {
        std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    directory
}

/// A command that does not run as root.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A server under way. Stopped when dropped.
pub struct Server {
    command: Mutex<Command>,
    child: Mutex<Option<Child>>,
    stop: Signal,
    pub port: u16,
    pub directory: TempDir,
}

impl Server {
    /// Starts a server and waits until it listens on its port. `stop` is the signal on which it ends soon.
    pub fn start(mut command: Command, directory: TempDir, port: u16, stop: Signal) -> Self {
        let log = directory.path().join("log");
        let file = File::create(&log).unwrap();
        command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let server = Self {
            command: Mutex::new(command),
            child: Mutex::new(None),
            stop,
            port,
            directory,
        };
        server.run();
        server
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Runs it again, with what it left on disk.
    pub fn restart(&self) {
        self.kill();
        self.run();
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn run(&self) {
        let log = self.directory.path().join("log");
        *self.child.lock().unwrap() = Some(self.command.lock().unwrap().spawn().unwrap());
        let attempts = START_PATIENCE.as_millis() / ASK_EVERY.as_millis();
        for _ in 0..attempts {
            if TcpStream::connect(self.address()).is_ok() {
                return;
            }
            let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait();
            assert!(
                ended.unwrap().is_none(),
                "the server ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(ASK_EVERY);
        }
        panic!(
            "the server does not listen: {}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// Sends it a signal, such as one that makes it silent: `STOP`, until `CONT`. It is silent then: a thread of it
    /// that waits for a processor would else go on for a while.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.lock().unwrap();
        let Some(child) = &*child else { return };
        kill_process(Pid::from_child(child), signal).unwrap();
        if signal != Signal::STOP {
            return;
        }
        let attempts = START_PATIENCE.as_millis();
        for _ in 0..attempts {
            if is_stopped(child.id()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the server does not stop");
    }

    /// Stops it now.
    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let pid = Pid::from_child(&child);
            if kill_process(pid, self.stop).is_err() {
                drop(child.kill());
            }
            drop(child.wait());
        }
    }

    /// The server that the tests of a binary share while at least one of them holds it.
    pub fn shared(
        place: &Mutex<Weak<Self>>,
        start: impl FnOnce() -> Option<Self>,
    ) -> Option<Arc<Self>> {
        let mut shared = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether no thread of a process runs any more.
fn is_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        state.is_none_or(|state| state == Some('T'))
    })
}

/// PostgreSQL with user `postgres` and no password.
pub fn postgres() -> Option<Server> {
    let directories = postgres_directories();
    let (initdb, postgres) = (
        find("initdb", &directories)?,
        find("postgres", &directories)?,
    );
    let directory = directory();
    let data = directory.path().join("data");
    let made = unprivileged(&initdb)
        .args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
        ])
        .args(["--locale=C", "--pgdata"])
        .arg(&data)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let port = free_port();
    let mut command = unprivileged(&postgres);
    command
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "fsync=off", "-c", "unix_socket_directories=."])
        .args(["-c", "dynamic_shared_memory_type=mmap"]);
    // It listens a little before it takes sessions; clients retry.
    Some(Server::start(command, directory, port, Signal::QUIT))
}

/// Debian keeps each version's programs in a directory of its own.
fn postgres_directories() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Redis that keeps nothing.
pub fn redis() -> Option<Server> {
    let program = find("redis-server", &[PathBuf::from("/usr/bin")])?;
    let directory = directory();
    let port = free_port();
    let mut command = unprivileged(&program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"]);
    Some(Server::start(command, directory, port, Signal::TERM))
}

/// NATS with JetStream.
pub fn nats() -> Option<Server> {
    let program = find("nats-server", &["/usr/sbin".into()])?;
    let directory = directory();
    let port = free_port();
    let mut command = unprivileged(&program);
    command
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(directory.path());
    Some(Server::start(command, directory, port, Signal::TERM))
}

/// Mosquitto, for MQTT 5, with sessions that outlive it when it ends in good order.
pub fn mosquitto() -> Option<Server> {
    mosquitto_with("")
}

/// Mosquitto with these lines of configuration besides.
pub fn mosquitto_with(lines: &str) -> Option<Server> {
    let program = find("mosquitto", &["/usr/sbin".into()])?;
    let directory = directory();
    let port = free_port();
    let file = directory.path().join("configuration");
    let data = directory.path().display();
    let configuration = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location {data}/\nmax_queued_messages 0\nset_tcp_nodelay true\n{lines}\n"
    );
    std::fs::write(&file, configuration).unwrap();
    let mut command = unprivileged(&program);
    command.arg("-c").arg(file);
    Some(Server::start(command, directory, port, Signal::TERM))
}

/// RabbitMQ, with a port mapper of its own: the one that Erlang starts by itself outlives its node.
pub struct RabbitMq {
    // Stopped first.
    pub server: Server,
    _mapper: Server,
}

/// RabbitMQ as a node of its own.
pub fn rabbitmq() -> Option<RabbitMq> {
    // The script in `PATH` changes the user; this is what it calls.
    let program = find("rabbitmq-server", &["/usr/sbin".into()])
        .map(|_| PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server"))?;
    let mapper = find("epmd", &[])?;
    let mapper_port = free_port().to_string();
    let mut command = unprivileged(&mapper);
    command.args(["-address", "127.0.0.1", "-port", &mapper_port]);
    let mapper = Server::start(
        command,
        directory(),
        mapper_port.parse().unwrap(),
        Signal::TERM,
    );
    let directory = directory();
    let (folder, port) = (directory.path(), free_port());
    let mut command = unprivileged(&program);
    command
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", &mapper_port)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODENAME", format!("test{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", free_port().to_string())
        .env("RABBITMQ_MNESIA_BASE", folder)
        .env("RABBITMQ_LOG_BASE", folder)
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("env"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
        )
        // The node takes the script's place, and so its process id.
        .env("RUNNING_UNDER_SYSTEMD", "true");
    Some(RabbitMq {
        server: Server::start(command, directory, port, Signal::KILL),
        _mapper: mapper,
    })
}
