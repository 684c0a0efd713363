//! Settings: built in, then a TOML file, then the environment, then flags; the later wins.

mod file;
mod settings;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Token;
use crate::ingest::Limits;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use file::apply_text;
pub(crate) use settings::quoted;
pub use settings::{SETTINGS, Setting};
pub(crate) use units::parse_duration;

/// Beginning of the environment variables of all settings: `data_dir` is
/// `WEIGHBRIDGE_COLLECTOR_DATA_DIR`.
pub const ENVIRONMENT_PREFIX: &str = "WEIGHBRIDGE_COLLECTOR_";

/// Everything that can be set. [`Config::default`] holds what is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the ledger is kept.
    pub data_dir: PathBuf,
    /// Address of the HTTP port; port 0 takes a free one.
    pub listen_http: SocketAddr,
    /// Address of the HTTPS port, if there is one.
    pub listen_https: Option<SocketAddr>,
    /// What the HTTPS port shows and asks for.
    pub tls: Option<TlsFiles>,
    /// Address of a second port, which gRPC's clients expect. Both ports serve everything. `None`: 4317 of the same
    /// address when `listen_http` is on 4318 and that port is free, else no second port.
    pub listen_grpc: Option<SocketAddr>,
    /// Names, beside those of `listen_http`, that a request's `Host` may have.
    pub allowed_hosts: Vec<String>,
    /// Listen beyond loopback although there is no token.
    pub insecure_no_auth: bool,
    /// Who may come in. Without any, everybody on this machine may.
    pub tokens: Vec<Token>,
    /// Weigh the collector itself, as one service more.
    pub weigh_self: bool,
    /// How long a request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long a shutdown waits for requests.
    pub drain_timeout: Duration,
    /// How the log is written; libraries leave that to the program.
    pub log_format: LogFormat,
    /// Bounds and rhythms of the engine.
    pub limits: Limits,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the collector, with the chain that leads to it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority whose clients may come in, and then no others.
    pub client_ca: Option<PathBuf>,
}

/// How a program writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "weighbridge-data".into(),
            listen_http: SocketAddr::from(([127, 0, 0, 1], 4318)),
            listen_https: None,
            tls: None,
            listen_grpc: None,
            allowed_hosts: Vec::new(),
            insecure_no_auth: false,
            tokens: Vec::new(),
            weigh_self: true,
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            log_format: LogFormat::default(),
            limits: Limits::default(),
        }
    }
}

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// Settings given by flags of their own or by `--set KEY=VALUE`, in order.
    pub set: Vec<(String, String)>,
}

impl Flags {
    /// Flags that give one setting more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set.push((key.to_owned(), value.into()));
        self
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; give an existing file with --config, or leave it out")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        why: String,
    },
    /// There is no such setting.
    #[error("unknown setting `{key}` in {place}; {hint}")]
    UnknownKey {
        /// The setting.
        key: String,
        /// Where it stands.
        place: String,
        /// The nearest known one, or where all are listed.
        hint: String,
    },
    /// A setting has a value that it cannot have.
    #[error("setting `{key}` in {place}: {why}")]
    BadValue {
        /// The setting.
        key: String,
        /// Where it stands.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A file of TLS is not as it should be.
    #[error(
        "TLS: {path}: {why}; give PEM files by `tls.cert`, `tls.key` and, for clients, `tls.client_ca`"
    )]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; nothing of what it holds.
        why: String,
    },
    /// The port would be open to the network without a token.
    #[error(
        "refusing to listen on {listen} without a token: anybody who reaches it could read and write. \
         Give a token (`[[token]]` in the file, or {ENVIRONMENT_PREFIX}TOKEN), listen on 127.0.0.1, or \
         set `insecure_no_auth = true` if the network itself keeps others out"
    )]
    OpenWithoutToken {
        /// The address.
        listen: SocketAddr,
    },
}

impl Config {
    /// Reads the file that the flags name, then the environment through `env`, then the flags, and checks
    /// that the whole makes sense.
    ///
    /// # Errors
    /// [`ConfigError`], with the place at which the wrong thing stands.
    pub fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let path = flags
            .config
            .clone()
            .or_else(|| env(&format!("{ENVIRONMENT_PREFIX}CONFIG")).map(PathBuf::from));
        if let Some(path) = path {
            file::apply(&mut config, &path)?;
        }
        for setting in SETTINGS {
            let variable = setting.variable();
            if let Some(value) = env(&variable) {
                setting.apply(&mut config, &value, &variable)?;
            }
        }
        let variable = format!("{ENVIRONMENT_PREFIX}TOKEN");
        if let Some(secret) = env(&variable).filter(|secret| !secret.is_empty()) {
            let token =
                Token::new("environment", &secret).map_err(|why| ConfigError::BadValue {
                    key: "token".into(),
                    place: variable,
                    why,
                })?;
            config.tokens.push(token);
        }
        for (key, value) in &flags.set {
            settings::find(key, "the command line")?.apply(
                &mut config,
                value,
                "the command line",
            )?;
        }
        config.check()?;
        Ok(config)
    }

    /// Checks what only the whole can show, and reads the files of TLS.
    ///
    /// # Errors
    /// [`ConfigError`] when a port would be open to the network, or the files of TLS are not as they should be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let closed = |listen: SocketAddr| listen.ip().is_loopback();
        let known = !self.tokens.is_empty() || self.insecure_no_auth;
        let plain = [Some(self.listen_http), self.listen_grpc];
        let open = plain.into_iter().flatten().find(|listen| !closed(*listen));
        if let Some(listen) = open
            && !known
        {
            return Err(ConfigError::OpenWithoutToken { listen });
        }
        let files = self.tls.as_ref();
        match (self.listen_https, files) {
            (Some(listen), Some(files)) => {
                if !closed(listen) && !known && files.client_ca.is_none() {
                    return Err(ConfigError::OpenWithoutToken { listen });
                }
                crate::http::tls_server(files).map(drop)
            }
            (Some(_), None) => Err(ConfigError::BadValue {
                key: "listen_https".into(),
                place: "the configuration".into(),
                why: "needs `tls.cert` and `tls.key`".into(),
            }),
            (None, Some(_)) => Err(ConfigError::BadValue {
                key: "tls.cert".into(),
                place: "the configuration".into(),
                why: "is used by `listen_https` alone, which is not set".into(),
            }),
            (None, None) => Ok(()),
        }
    }

    /// All settings as a TOML file. Secrets are left out.
    #[must_use]
    pub fn print(&self) -> String {
        let mut sections: BTreeMap<&str, String> = BTreeMap::new();
        for setting in SETTINGS {
            let (section, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
            let text = sections.entry(section).or_default();
            let line = format!("{key} = {}  # {}\n", setting.show(self), setting.meaning);
            text.push_str(&line);
        }
        let mut all = String::new();
        for (section, lines) in sections {
            if !section.is_empty() {
                all.push_str(&format!("\n[{section}]\n"));
            }
            all.push_str(&lines);
        }
        for token in &self.tokens {
            all.push_str(&token.print());
        }
        all
    }
}

#[cfg(test)]
mod tests;
