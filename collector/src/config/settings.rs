//! The list of settings: the only place where a key, its meaning and its effect are written down.

use std::path::PathBuf;

use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::{Config, ConfigError, ENVIRONMENT_PREFIX, LogFormat, TlsFiles};

type Apply = fn(&mut Config, &str) -> Result<(), String>;
type Show = fn(&Config) -> String;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the file, with its section: `limits.body`.
    pub key: &'static str,
    /// What it means.
    pub meaning: &'static str,
    apply: Apply,
    show: Show,
}

impl Setting {
    /// The environment variable: the key in capitals, dots as underscores, after
    /// [`ENVIRONMENT_PREFIX`].
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{ENVIRONMENT_PREFIX}{}",
            self.key.replace('.', "_").to_uppercase()
        )
    }

    /// The value in a configuration, as TOML.
    #[must_use]
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config)
    }

    pub(super) fn apply(
        &self,
        config: &mut Config,
        value: &str,
        place: &str,
    ) -> Result<(), ConfigError> {
        (self.apply)(config, value).map_err(|why| ConfigError::BadValue {
            key: self.key.to_owned(),
            place: place.to_owned(),
            why,
        })
    }
}

/// The setting with this key.
pub(super) fn find(key: &str, place: &str) -> Result<&'static Setting, ConfigError> {
    SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| ConfigError::UnknownKey {
            key: key.to_owned(),
            place: place.to_owned(),
            hint: hint(key, SETTINGS.iter().map(|setting| setting.key)),
        })
}

/// Names the nearest known word, when one is near.
pub(super) fn hint<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len() / 2).max(2));
    nearest.map_or_else(
        || "`weighbridge print-config` and docs/operating.md list all of them".to_owned(),
        |(_, name)| format!("did you mean `{name}`?"),
    )
}

fn number(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| format!("`{text}` is not a number from 1 upwards"))
}

fn truth(text: &str) -> Result<bool, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is neither true nor false"))
}

/// A text as TOML that reads back the same and steers no terminal: TOML itself lets characters stand that nobody sees.
pub(crate) fn quoted(text: &str) -> String {
    let mut toml = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => toml.extend(['\\', c]),
            c if weighbridge_wire::steers(c) => toml.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => toml.push(c),
        }
    }
    toml.push('"');
    toml
}

fn set_tls_file(
    config: &mut Config,
    value: &str,
    file: fn(&mut TlsFiles) -> &mut PathBuf,
) -> Result<(), String> {
    if !value.trim().is_empty() {
        *file(config.tls.get_or_insert_default()) = value.into();
    }
    Ok(())
}

fn shown_tls_file(path: Option<&PathBuf>) -> String {
    quoted(&path.map_or(String::new(), |path| path.to_string_lossy().into_owned()))
}

macro_rules! settings {
    ($($key:literal, $meaning:literal, $apply:expr, $show:expr;)*) => {
        /// All settings but the tokens, in the order of their sections.
        pub const SETTINGS: &[Setting] = &[
            $(Setting { key: $key, meaning: $meaning, apply: $apply, show: $show },)*
        ];
    };
}

settings! {
    "data_dir", "directory of the ledger; made when absent",
        |c, v| { c.data_dir = v.into(); Ok(()) },
        |c| quoted(&c.data_dir.to_string_lossy());
    "listen_http", "address and port of the HTTP interface",
        |c, v| {
            c.listen_http = v.trim().parse().map_err(|_| {
                format!("`{v}` is not an address and port, like 127.0.0.1:4318 or [::1]:4318")
            })?;
            Ok(())
        },
        |c| quoted(&c.listen_http.to_string());
    "listen_https", "address and port of the same interface under TLS; empty for none",
        |c, v| {
            c.listen_https = match v.trim() {
                "" => None,
                v => Some(v.parse().map_err(|_| {
                    format!("`{v}` is not an address and port, like 0.0.0.0:4319")
                })?),
            };
            Ok(())
        },
        |c| quoted(&c.listen_https.map(|listen| listen.to_string()).unwrap_or_default());
    "listen_grpc", "address and port of the gRPC interface; auto: 4317 beside 4318",
        |c, v| {
            c.listen_grpc = match v.trim() {
                "auto" | "" => None,
                address => Some(address.parse().map_err(|_| {
                    format!("`{v}` is neither auto nor an address and port, like 127.0.0.1:4317 or [::1]:4317")
                })?),
            };
            Ok(())
        },
        |c| quoted(&c.listen_grpc.map_or_else(|| "auto".to_owned(), |listen| listen.to_string()));
    "allowed_hosts", "further names that the Host header may have, with commas between",
        |c, v| {
            c.allowed_hosts =
                v.split(',').map(|h| h.trim().to_lowercase()).filter(|h| !h.is_empty()).collect();
            Ok(())
        },
        |c| quoted(&c.allowed_hosts.join(","));
    "insecure_no_auth", "listen beyond loopback without a token",
        |c, v| { c.insecure_no_auth = truth(v)?; Ok(()) },
        |c| c.insecure_no_auth.to_string();
    "weigh_self", "weigh the collector itself, as one service more",
        |c, v| { c.weigh_self = truth(v)?; Ok(()) },
        |c| c.weigh_self.to_string();
    "request_timeout", "time until the answer to a request begins",
        |c, v| { c.request_timeout = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.request_timeout));
    "drain_timeout", "time that a shutdown gives to open requests",
        |c, v| { c.drain_timeout = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.drain_timeout));
    "log_format", "how the log is written to standard error: text or json",
        |c, v| {
            c.log_format = [LogFormat::Text, LogFormat::Json]
                .into_iter()
                .find(|format| format.as_str() == v.trim())
                .ok_or_else(|| format!("`{v}` is neither text nor json"))?;
            Ok(())
        },
        |c| quoted(c.log_format.as_str());
    "fold_every", "how often folded windows are written",
        |c, v| { c.limits.fold_every = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.fold_every));
    "lateness", "age beyond which a delta is refused",
        |c, v| { c.limits.lateness = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.lateness));
    "ahead", "how far a window may lie in the future",
        |c, v| { c.limits.ahead = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.ahead));
    "otlp_window", "length of the windows that spans and metrics are booked to, whole seconds",
        |c, v| {
            let window = parse_duration(v)?;
            if window.subsec_nanos() != 0 || window.is_zero() {
                return Err(format!("`{v}` is not a number of whole seconds"));
            }
            c.limits.otlp_window = window;
            Ok(())
        },
        |c| quoted(&show_duration(c.limits.otlp_window));
    "join_within", "how long a half of a call waits for the other, 10s to 1h",
        |c, v| {
            let within = parse_duration(v)?;
            if !(crate::join::WITHIN_MIN..=crate::join::WITHIN_MAX).contains(&within) {
                return Err(format!("`{v}` is not between 10s and 1h"));
            }
            c.limits.join_within = within;
            Ok(())
        },
        |c| quoted(&show_duration(c.limits.join_within));
    "retention", "age beyond which everything is removed; until then it is kept by the day",
        |c, v| { c.limits.retention = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.retention));
    "retention_size", "size of folded windows beyond which every tier is kept half as long",
        |c, v| { c.limits.retention_bytes = parse_size(v)? as u64; Ok(()) },
        |c| quoted(&show_size(usize::try_from(c.limits.retention_bytes).unwrap_or(usize::MAX)));
    "tls.cert", "PEM file with the certificate that `listen_https` shows, and its chain",
        |c, v| set_tls_file(c, v, |files| &mut files.cert),
        |c| shown_tls_file(c.tls.as_ref().map(|files| &files.cert));
    "tls.key", "PEM file with its private key",
        |c, v| set_tls_file(c, v, |files| &mut files.key),
        |c| shown_tls_file(c.tls.as_ref().map(|files| &files.key));
    "tls.client_ca", "PEM file with the authority of client certificates, which then are asked for",
        |c, v| {
            if !v.trim().is_empty() {
                c.tls.get_or_insert_default().client_ca = Some(v.into());
            }
            Ok(())
        },
        |c| shown_tls_file(c.tls.as_ref().and_then(|files| files.client_ca.as_ref()));
    "keep.as_sent", "how long windows are kept as they were sent",
        |c, v| { c.limits.keep_as_sent = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.keep_as_sent));
    "keep.minutes", "how long sums by the minute are kept",
        |c, v| { c.limits.keep_minutes = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.keep_minutes));
    "keep.hours", "how long sums by the hour are kept",
        |c, v| { c.limits.keep_hours = parse_duration(v)?; Ok(()) },
        |c| quoted(&show_duration(c.limits.keep_hours));
    "limits.connections", "connections at once; further ones wait",
        |c, v| { c.limits.connections = number(v)?; Ok(()) },
        |c| c.limits.connections.to_string();
    "limits.body", "largest request body as sent",
        |c, v| { c.limits.body_bytes = parse_size(v)?; Ok(()) },
        |c| quoted(&show_size(c.limits.body_bytes));
    "limits.inflated", "largest request body after decompression; at most 8MiB",
        |c, v| {
            let bytes = parse_size(v)?;
            if bytes > weighbridge_wire::limits::DELTA_BYTES_MAX {
                return Err(format!("`{v}` is more than the format allows, 8MiB"));
            }
            c.limits.inflated_bytes = bytes;
            Ok(())
        },
        |c| quoted(&show_size(c.limits.inflated_bytes));
    "limits.otlp_body", "largest OTLP request as sent",
        |c, v| { c.limits.otlp_body_bytes = parse_size(v)?; Ok(()) },
        |c| quoted(&show_size(c.limits.otlp_body_bytes));
    "limits.otlp_inflated", "largest OTLP request after decompression",
        |c, v| { c.limits.otlp_inflated_bytes = parse_size(v)?; Ok(()) },
        |c| quoted(&show_size(c.limits.otlp_inflated_bytes));
    "limits.in_flight", "request bodies in the collector at once, all together",
        |c, v| { c.limits.in_flight_bytes = parse_size(v)?; Ok(()) },
        |c| quoted(&show_size(c.limits.in_flight_bytes));
    "limits.decoded", "memory for deltas from decoding until they are folded",
        |c, v| { c.limits.decoded_bytes = parse_size(v)?; Ok(()) },
        |c| quoted(&show_size(c.limits.decoded_bytes));
    "limits.queue", "deltas that may wait for their commit",
        |c, v| { c.limits.queue_deltas = number(v)?; Ok(()) },
        |c| c.limits.queue_deltas.to_string();
    "limits.readers", "ranges that are read at once",
        |c, v| { c.limits.readers = number(v)?; Ok(()) },
        |c| c.limits.readers.to_string();
    "limits.rows_per_window", "rows kept per window and service; the rest is folded into __other__",
        |c, v| {
            let rows = number(v)?;
            if rows > crate::fold::ROWS_PER_WINDOW_MAX {
                return Err(format!(
                    "`{v}` is more than a folded window holds, {}",
                    crate::fold::ROWS_PER_WINDOW_MAX
                ));
            }
            c.limits.rows_per_window = rows;
            Ok(())
        },
        |c| c.limits.rows_per_window.to_string();
    "limits.epochs", "process starts remembered",
        |c, v| { c.limits.epochs = number(v)?; Ok(()) },
        |c| c.limits.epochs.to_string();
    "limits.ranges_per_epoch", "gaps in the sequence numbers of one process start",
        |c, v| { c.limits.ranges_per_epoch = number(v)?; Ok(()) },
        |c| c.limits.ranges_per_epoch.to_string();
}
