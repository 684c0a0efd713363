//! Real servers from Debian for tests, each on a free loopback port with a folder of its own. They are stopped by
//! their process ids when dropped, also by a panic.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How long a server may take until it answers. Erlang takes long on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How to run a server: its command, for a port and a folder.
type Run = Box<dyn Fn(u16, &Path) -> Command + Send + Sync>;

/// A server that runs.
pub struct Server {
    run: Run,
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Runs a server and waits until it takes connections. `None`, told loudly, where the program is not
    /// installed; with `CI=true` that is a failure.
    pub fn start(
        program: &str,
        package: &str,
        run: impl Fn(&Path, u16, &Path) -> Command + Send + Sync + 'static,
    ) -> Option<Self> {
        let Some(program) = find(program) else {
            let missing = format!("{program} is not installed (Debian: apt-get install {package})");
            assert!(
                !std::env::var("CI").is_ok_and(|ci| ci == "true"),
                "{missing}"
            );
            // Past the harness, which keeps what passing tests print.
            drop(writeln!(std::io::stderr(), "SKIPPED: {missing}"));
            return None;
        };
        let mut run: Run = Box::new(move |port, folder| run(&program, port, folder));
        // Somebody may take the port between asking for it and listening on it.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let child = spawn(&run, port, folder.path());
            let mut server = Self {
                run,
                child,
                port,
                folder,
            };
            if server.until_it_answers() {
                return Some(server);
            }
            run = server.into_run();
        }
        panic!("the server does not start, on five ports");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Runs it again, on the same port and with what it left on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.run, self.port, self.folder.path());
        assert!(self.until_it_answers(), "the server does not start again");
    }

    fn until_it_answers(&mut self) -> bool {
        for _ in 0..START_PATIENCE.as_millis() / LOOK_AGAIN.as_millis() {
            if TcpStream::connect(self.address()).is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        panic!("the server does not answer within {START_PATIENCE:?}");
    }

    fn into_run(mut self) -> Run {
        self.kill();
        std::mem::replace(&mut self.run, Box::new(|_, _| Command::new("false")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(run: &Run, port: u16, folder: &Path) -> Child {
    run(port, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A program by its path, or by its name in `PATH` and where Debian puts daemons.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// NATS with JetStream.
pub fn nats() -> Option<Server> {
    Server::start("nats-server", "nats-server", |program, port, folder| {
        let mut command = Command::new(program);
        command
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder);
        command
    })
}

/// RabbitMQ, with a port mapper of its own: the one that Erlang starts by itself outlives its node.
pub struct RabbitMq {
    // Dropped first.
    pub server: Server,
    _mapper: Server,
}

/// RabbitMQ as a node of its own.
pub fn rabbitmq() -> Option<RabbitMq> {
    let mapper = Server::start("epmd", "erlang-base", |program, port, _| {
        let mut command = Command::new(program);
        command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
        command
    })?;
    let mapper_port = mapper.port().to_string();
    // Not the one in `PATH`, which changes the user.
    let program = "usr/lib/rabbitmq/bin/rabbitmq-server";
    let server = Server::start(program, "rabbitmq-server", move |program, port, folder| {
        let mut command = Command::new(program);
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
        command
    })?;
    Some(RabbitMq {
        server,
        _mapper: mapper,
    })
}
