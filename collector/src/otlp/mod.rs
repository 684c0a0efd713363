//! OTLP in: spans, metrics and logs of any language, over gRPC and HTTP, protobuf and JSON.
//!
//! What a request is turned into is [`derived::Derived`]; its way from there is that of a delta. What is read of a
//! span stands in [`attributes`], an allow-list; nothing else reaches disk or report.

pub(crate) mod attributes;
mod counters;
pub(crate) mod derive;
pub(crate) mod derived;
pub(crate) mod grpc;
pub(crate) mod http;
mod json;
mod metrics;
mod name;
mod names;
mod proto;
mod receive;
pub(crate) mod rows;
mod spans;
mod status;
#[cfg(test)]
mod tests;
mod way;

use crate::ingest::Refusal;
pub(crate) use counters::Counters;
use derive::{Derive, Rules, Tally};
use derived::Derived;
pub(crate) use spans::Kind;
pub(crate) use way::Way;

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// How its body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What became of an accepted request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// The body had come before, as a whole.
    pub(crate) is_repeated: bool,
}

/// Decodes a request. Spans for which `skip` is true are left out and counted.
pub(crate) fn derive(
    signal: Signal,
    format: Format,
    body: &[u8],
    rules: &Rules,
    skip: &dyn Fn(u64, Kind) -> bool,
) -> Result<(Derived, Tally), Refusal> {
    let mut made = match signal {
        Signal::Traces => {
            let mut derive = Derive::new(rules, skip);
            match format {
                Format::Protobuf => {
                    spans::read(body, &mut derive).map_err(|error| malformed(&error))?;
                }
                Format::Json => {
                    json::spans(body, &mut derive).map_err(|error| malformed(&error))?;
                }
            }
            derive.finish()
        }
        Signal::Metrics => {
            let mut take = metrics::Derive::new(rules);
            match format {
                Format::Protobuf => {
                    metrics::read(body, &mut take).map_err(|error| malformed(&error))?;
                }
                Format::Json => {
                    json::metrics(body, &mut take).map_err(|error| malformed(&error))?;
                }
            }
            take.finish()
        }
        Signal::Logs => {
            let spans = match format {
                Format::Protobuf => metrics::count_logs(body).map_err(|error| malformed(&error))?,
                Format::Json => json::count_logs(body).map_err(|error| malformed(&error))?,
            };
            let tally = Tally {
                spans,
                ..Tally::default()
            };
            (Derived::default(), tally)
        }
    };
    if signal != Signal::Logs && !body.is_empty() {
        made.0.body_hash = hash(body, &rules.tenant);
    }
    Ok(made)
}

fn malformed(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::NotOtlp(error.to_string())
}

/// Never 0.
fn hash(body: &[u8], tenant: &str) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = rustc_hash::FxHasher::default();
    tenant.hash(&mut hasher);
    hasher.write(body);
    hasher.finish().max(1)
}
