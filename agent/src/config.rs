//! Settings from the environment.
//!
//! Everything is read through [`Env`], a lookup that tests replace, so that no test touches the process
//! environment. An empty variable counts as unset; a value that cannot be used is a [`ConfigProblem`], and
//! the default stays in force: a typo must not keep a service from starting.

mod duration;
mod endpoint;
mod env;
mod percent;
mod variables;

pub(crate) use duration::parse_duration;
pub(crate) use endpoint::{Endpoint, Token};
pub use env::ConfigProblem;
pub(crate) use env::Env;
use percent::parse_permille;
pub use variables::VARIABLES;

use std::time::Duration;

use weighbridge_wire::Identity;

use crate::agent::OVERHEAD_MAX_PERMILLE;
use crate::clock::Mode;
use crate::entities::KeySecret;
use crate::export::{SPOOL_BYTES_MAX, SPOOL_WINDOWS_MAX};
use crate::identity;
use crate::tls::TlsFiles;
use crate::trust::Trust;

/// Length of a window when nothing else is set.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(10);
/// Shortest window that can be set.
pub const WINDOW_MIN: Duration = Duration::from_millis(100);
/// Longest window that can be set.
pub const WINDOW_MAX: Duration = Duration::from_secs(3_600);

/// What the environment says. A builder overrides single fields.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// False: nothing is measured, propagation excepted.
    pub(crate) enabled: bool,
    /// Who speaks.
    pub(crate) identity: Identity,
    /// Where deltas go.
    pub(crate) endpoint: Option<Endpoint>,
    /// What the collector asks for.
    pub(crate) token: Option<Token>,
    /// Whom to trust, and whom to be, under TLS.
    pub(crate) tls: TlsFiles,
    /// With what keys of entities are hashed.
    pub(crate) key_secret: Option<KeySecret>,
    /// Length of a window.
    pub(crate) window: Duration,
    /// Whose headers are believed.
    pub(crate) trust: Trust,
    /// The clock that was asked for.
    pub(crate) clock: Option<Mode>,
    /// One sample of retained memory in so many bytes; `None`: none.
    pub(crate) retained_mean_bytes: Option<usize>,
    /// Largest number of windows in the spool.
    pub(crate) spool_windows_max: usize,
    /// Largest size of the spool.
    pub(crate) spool_bytes_max: usize,
    /// The agent's own share past which it measures less, in thousandths.
    pub(crate) overhead_max_permille: u32,
    /// Where metrics go besides.
    #[cfg(feature = "otlp-metrics")]
    pub(crate) otlp: Option<crate::otlp::OtlpSettings>,
}

impl Settings {
    /// Reads all variables. What could not be used stands in `env.problems()` afterwards.
    pub(crate) fn read(env: &mut Env<'_>) -> Self {
        let disabled = env.flag("OTEL_SDK_DISABLED").unwrap_or(false);
        let enabled = env.flag("WEIGHBRIDGE_ENABLED").unwrap_or(true);
        Self {
            enabled: enabled && !disabled,
            identity: identity::from_env(env),
            endpoint: env.parsed("WEIGHBRIDGE_ENDPOINT", Endpoint::parse),
            token: env.secret("WEIGHBRIDGE_TOKEN", Token::parse),
            tls: TlsFiles::read(env),
            key_secret: env.secret("WEIGHBRIDGE_KEY_SECRET", KeySecret::parse),
            window: env.window("WEIGHBRIDGE_WINDOW"),
            trust: env
                .secret("WEIGHBRIDGE_TRUST", Trust::parse)
                .unwrap_or_default(),
            clock: env.parsed("WEIGHBRIDGE_CLOCK", Mode::parse),
            retained_mean_bytes: env
                .retained("WEIGHBRIDGE_RETAINED", "WEIGHBRIDGE_RETAINED_MEAN_BYTES"),
            spool_windows_max: env.limit("WEIGHBRIDGE_SPOOL_WINDOWS_MAX", SPOOL_WINDOWS_MAX),
            spool_bytes_max: env.limit("WEIGHBRIDGE_SPOOL_BYTES_MAX", SPOOL_BYTES_MAX),
            overhead_max_permille: env
                .parsed("WEIGHBRIDGE_OVERHEAD_MAX", parse_permille)
                .unwrap_or(OVERHEAD_MAX_PERMILLE),
            #[cfg(feature = "otlp-metrics")]
            otlp: crate::otlp::OtlpSettings::read(env),
        }
    }
}

#[cfg(test)]
mod tests;
