//! Set-up from the environment, with setters that override it.

use std::sync::Arc;
use std::time::Duration;

use weighbridge_wire::{Epoch, Identity, OwnerKind, ProcessKey};

use super::handle::Agent;
use super::process::{ForeignThreads, Process};
use super::worker::{self, Worker};
use super::{Place, life};
use crate::alloc::{self, RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MAX, RETAINED_MEAN_BYTES_MIN};
use crate::config::{ConfigProblem, Endpoint, Env, Settings, Token, WINDOW_MAX, WINDOW_MIN};
use crate::entities::{self, KeySecret};
use crate::export::{ExportConfig, Exporter, HttpTarget, Sink, Target};
use crate::ledger::limits::{
    CALLERS_MAX, EDGES_MAX, ENTITIES_MAX, OPERATION_ROWS_MAX, OPERATIONS_MAX, ORIGINS_MAX,
    OWNERS_MAX, REGIONS_MAX,
};
use crate::ledger::{Limits, Rotation, ledger};
#[cfg(feature = "otlp-metrics")]
use crate::otlp::OtlpExporter;
use crate::trust::Trust;
use crate::{account, clock, identity, state};

/// Why an agent could not be set up as asked. [`init`] warns instead and measures what it can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A variable or setter cannot be used.
    #[error("{0}; correct it, or remove it to use the default")]
    Setting(#[from] ConfigProblem),
    /// There is an agent in this process already.
    #[error(
        "this process has an agent already; keep the first one and drop it before another is made"
    )]
    Twice,
    /// The agent's thread could not be started.
    #[error("cannot start the agent's thread: {0}; allow the process one more thread")]
    Thread(std::io::Error),
}

/// Sets the agent up from the environment. Never fails: what cannot be used is warned about (by `tracing`)
/// and counted, and less is measured. Keep the guard for the life of the process.
#[must_use = "the agent ends when the guard is dropped"]
pub fn init() -> Agent {
    builder().init()
}

/// Sets the agent up from the environment.
///
/// # Errors
/// [`InitError`] when a variable cannot be used, or the agent cannot run.
pub fn try_init() -> Result<Agent, InitError> {
    builder().try_init()
}

/// Starts from the environment; setters override it.
#[must_use]
pub fn builder() -> Builder {
    Builder::from_env(Env::process())
}

/// Settings of an agent. Made by [`builder`].
pub struct Builder {
    settings: Settings,
    limits: Limits,
    problems: Vec<ConfigProblem>,
    target: Option<Box<HttpTarget>>,
    sink: Option<Arc<dyn Sink>>,
    threads: Vec<(String, OwnerKind, String)>,
    print_table: Option<bool>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

macro_rules! limit_setters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, max: usize) -> Self {
            self.limits.$name = max.max(1);
            self
        })*
    };
}

impl Builder {
    pub(crate) fn from_env(mut env: Env<'_>) -> Self {
        let settings = Settings::read(&mut env);
        let limits = Limits {
            operations_max: env.limit("WEIGHBRIDGE_OPERATIONS_MAX", OPERATIONS_MAX),
            callers_max: env.limit("WEIGHBRIDGE_CALLERS_MAX", CALLERS_MAX),
            origins_max: env.limit("WEIGHBRIDGE_ORIGINS_MAX", ORIGINS_MAX),
            operation_rows_max: env.limit("WEIGHBRIDGE_OPERATION_ROWS_MAX", OPERATION_ROWS_MAX),
            owners_max: env.limit("WEIGHBRIDGE_OWNERS_MAX", OWNERS_MAX),
            edges_max: env.limit("WEIGHBRIDGE_EDGES_MAX", EDGES_MAX),
            entities_max: env.limit("WEIGHBRIDGE_ENTITIES_MAX", ENTITIES_MAX),
            regions_max: env.limit("WEIGHBRIDGE_REGIONS_MAX", REGIONS_MAX),
        };
        Self {
            settings,
            limits,
            problems: env.into_problems(),
            target: None,
            sink: None,
            threads: Vec::new(),
            print_table: None,
        }
    }

    /// Name of the service (`service.name`).
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        self.settings.identity.service = name.to_owned();
        self
    }

    /// Namespace of the service (`service.namespace`).
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.settings.identity.namespace = name.to_owned();
        self
    }

    /// Environment (`deployment.environment.name`).
    #[must_use]
    pub fn environment(mut self, name: &str) -> Self {
        self.settings.identity.environment = name.to_owned();
        self
    }

    /// Version of the service (`service.version`).
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.settings.identity.version = version.to_owned();
        self
    }

    /// Instance (`service.instance.id`); unique among the running processes of the service.
    #[must_use]
    pub fn instance(mut self, name: &str) -> Self {
        self.settings.identity.instance = name.to_owned();
        self
    }

    /// A collector, e.g. `http://127.0.0.1:4318`, or `https://…` with the feature `tls`. Without one a table of costs is printed at the end.
    #[must_use]
    pub fn endpoint(mut self, url: &str) -> Self {
        match Endpoint::parse(url) {
            Ok(endpoint) => self.settings.endpoint = Some(endpoint),
            Err(error) => self
                .problems
                .push(ConfigProblem::new("endpoint", error.to_string())),
        }
        self
    }

    /// Under TLS: the authority to trust in place of the system's, as a PEM file.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_ca(mut self, pem: impl Into<std::path::PathBuf>) -> Self {
        self.settings.tls.ca = Some(pem.into());
        self
    }

    /// Under TLS: the certificate, with its chain, that this process shows, and its private key, as PEM files.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_identity(
        mut self,
        cert: impl Into<std::path::PathBuf>,
        key: impl Into<std::path::PathBuf>,
    ) -> Self {
        self.settings.tls.cert = Some(cert.into());
        self.settings.tls.key = Some(key.into());
        self
    }

    /// What the collector asks for.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        match Token::parse(token) {
            Ok(token) => self.settings.token = Some(token),
            Err(error) => self
                .problems
                .push(ConfigProblem::new("token", error.to_string())),
        }
        self
    }

    /// With what keys of entities are hashed, see [`entity!`](crate::entity): at least 16 bytes, the same in all
    /// instances of a deployment.
    #[must_use]
    pub fn key_secret(mut self, secret: &str) -> Self {
        match KeySecret::parse(secret) {
            Ok(secret) => self.settings.key_secret = Some(secret),
            Err(error) => self
                .problems
                .push(ConfigProblem::new("key_secret", error.to_string())),
        }
        self
    }

    /// Length of a window: 10 s by default, 100 ms to 1 h.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.settings.window = window.clamp(WINDOW_MIN, WINDOW_MAX);
        self
    }

    /// Whose headers are believed, and to whom ours are sent.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.settings.trust = trust;
        self
    }

    /// Delivers inside the process instead of to a collector.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Estimates how many bytes each operation and owner retains, by sampling; off by default. Needs
    /// [`Alloc`](crate::Alloc) as the global allocator, and costs every allocation and every free some ns.
    #[must_use]
    pub fn retained(mut self, on: bool) -> Self {
        let mean_bytes = self.settings.retained_mean_bytes;
        self.settings.retained_mean_bytes = on.then(|| mean_bytes.unwrap_or(RETAINED_MEAN_BYTES));
        self
    }

    /// One sample in so many allocated bytes, on average: 512 KiB by default, 16 KiB to 64 MiB. Switches
    /// sampling on.
    #[must_use]
    pub fn retained_mean_bytes(mut self, mean: usize) -> Self {
        self.settings.retained_mean_bytes =
            Some(mean.clamp(RETAINED_MEAN_BYTES_MIN, RETAINED_MEAN_BYTES_MAX));
        self
    }

    /// Books the CPU of threads that the agent does not run on, such as an embedded broker's, to an owner: of
    /// all threads whose name begins so. Their clocks are read at the end of each window; what a thread spent
    /// between its last reading and its end is `unattributed`.
    #[must_use]
    pub fn thread_owner(mut self, thread_name_prefix: &str, kind: OwnerKind, name: &str) -> Self {
        self.threads
            .push((thread_name_prefix.to_owned(), kind, name.to_owned()));
        self
    }

    /// Whether a table of costs is printed at the end and on SIGUSR1. By default: when there is neither a
    /// collector nor a sink.
    #[must_use]
    pub fn print_table(mut self, print: bool) -> Self {
        self.print_table = Some(print);
        self
    }

    limit_setters! {
        /// How many operations are told apart; see [`OPERATIONS_MAX`].
        operations_max;
        /// How many callers are told apart; see [`CALLERS_MAX`].
        callers_max;
        /// How many origins are told apart; see [`ORIGINS_MAX`].
        origins_max;
        /// How many rows of operation, class, caller and origin are kept; see [`OPERATION_ROWS_MAX`].
        operation_rows_max;
        /// How many owners are told apart; see [`OWNERS_MAX`].
        owners_max;
        /// How many edge rows one window holds; see [`EDGES_MAX`].
        edges_max;
        /// How many entity rows one window holds; see [`ENTITIES_MAX`].
        entities_max;
        /// How many regions are told apart; see [`REGIONS_MAX`].
        regions_max;
    }

    /// How many windows wait unsent before neighbours are merged; see `SPOOL_WINDOWS_MAX`.
    #[must_use]
    pub fn spool_windows_max(mut self, max: usize) -> Self {
        self.settings.spool_windows_max = max.max(1);
        self
    }

    /// How many bytes unacknowledged windows may take; see `SPOOL_BYTES_MAX`.
    #[must_use]
    pub fn spool_bytes_max(mut self, max: usize) -> Self {
        self.settings.spool_bytes_max = max.max(1);
        self
    }

    /// The agent's own share of the process's CPU time, in thousandths, past which it measures less; see
    /// `OVERHEAD_MAX_PERMILLE`. 1000 means never.
    #[must_use]
    pub fn overhead_max_permille(mut self, max: u32) -> Self {
        self.settings.overhead_max_permille = max.clamp(1, 1_000);
        self
    }

    /// Sets the agent up. Never fails; see [`init`].
    #[must_use = "the agent ends when the guard is dropped"]
    pub fn init(mut self) -> Agent {
        self.aim();
        for problem in std::mem::take(&mut self.problems) {
            tracing::warn!(%problem, "a setting of the agent cannot be used; its default is in force");
        }
        let identity = self.settings.identity.clone();
        match self.start() {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(%error, "this process is not measured");
                Agent::idle(identity)
            }
        }
    }

    /// Sets the agent up.
    ///
    /// # Errors
    /// [`InitError`] when a setting cannot be used, or the agent cannot run.
    pub fn try_init(mut self) -> Result<Agent, InitError> {
        self.aim();
        if !self.problems.is_empty() {
            return Err(self.problems.swap_remove(0).into());
        }
        self.start()
    }

    /// Makes the way to the collector. Without one that can be used there is none: nothing is sent in the clear, or to
    /// somebody unknown, because a file is missing.
    fn aim(&mut self) {
        let Some(endpoint) = self.settings.endpoint.take() else {
            return;
        };
        if !self.settings.enabled || self.sink.is_some() {
            return;
        }
        match HttpTarget::new(endpoint, self.settings.token.take(), &self.settings.tls) {
            Ok(target) => self.target = Some(Box::new(target)),
            Err(error) => self
                .problems
                .push(ConfigProblem::new(error.setting(), error.to_string())),
        }
    }

    fn start(self) -> Result<Agent, InitError> {
        let Self {
            mut settings,
            limits,
            target,
            sink,
            threads,
            print_table,
            ..
        } = self;
        identity::complete(&mut settings.identity);
        let place = Place::take().ok_or(InitError::Twice)?;
        let names = settings.identity.clone();
        ledger().set_service(&names.namespace, &names.service);
        ledger().set_limits(limits);
        state::set_trust(settings.trust);
        entities::set_secret(settings.key_secret);
        if !settings.enabled {
            // Propagation goes on: the chain must not break at this service.
            return Ok(Agent::off(names, place));
        }

        let epoch = Epoch(identity::random_bytes());
        let target = sink.map(Target::Sink).or(target.map(Target::Http));
        let print_table = print_table.unwrap_or(target.is_none());
        let exporter = target.map(|target| {
            Arc::new(Exporter::new(ExportConfig {
                identity: names.clone(),
                epoch,
                target,
                spool_windows_max: settings.spool_windows_max,
                spool_bytes_max: settings.spool_bytes_max,
            }))
        });

        if let Some(reason) = clock::start(settings.clock) {
            tracing::warn!(
                reason,
                "the clock asked for by WEIGHBRIDGE_CLOCK cannot be had"
            );
        }
        state::start_measuring();
        account::start_here();
        let _own = account::enter(worker::own_account());
        if let Some(mean_bytes) = settings.retained_mean_bytes {
            if alloc::is_installed() {
                alloc::start_sampling(mean_bytes, identity::random_u64());
            } else {
                tracing::warn!(
                    "retained bytes are unknown: make `weighbridge_agent::Alloc` the global allocator"
                );
            }
        }
        let rotation = Rotation::begin(ledger(), process_key(&names, epoch));
        let worker = Worker {
            rotation,
            process: Process::new(),
            foreign: ForeignThreads::new(threads),
            window_ns: u64::try_from(settings.window.as_nanos()).unwrap_or(u64::MAX),
            exporter,
            print_table,
            service: names.service.clone(),
            overhead_max_permille: settings.overhead_max_permille,
            #[cfg(feature = "otlp-metrics")]
            otlp: settings
                .otlp
                .map(|otlp| Arc::new(OtlpExporter::new(otlp, names.clone()))),
        };
        match worker::spawn(worker) {
            Ok((handle, thread)) => {
                life::begin(handle.commands.clone(), handle.last.clone(), thread);
                Ok(Agent::running(names, place, handle))
            }
            Err(error) => {
                state::stop_measuring();
                Err(InitError::Thread(error))
            }
        }
    }
}

fn process_key(identity: &Identity, epoch: Epoch) -> ProcessKey {
    ProcessKey {
        instance: identity.instance.as_str().into(),
        host: identity.host.as_str().into(),
        epoch: epoch.to_string().into(),
        clock_mode: clock::mode().name().into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
    }
}
