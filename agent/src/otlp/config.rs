//! The variables of OpenTelemetry that say where metrics go, and how.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::config::Env;

/// Most headers that are taken.
const HEADERS_MAX: usize = 32;

/// Whether sums begin anew with each export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temporality {
    /// Sums since the start of the process.
    Cumulative,
    /// Sums since the last export.
    Delta,
}

/// Where metrics go, and how.
#[derive(Clone, Debug)]
pub(crate) struct OtlpSettings {
    pub(super) address: Uri,
    pub(super) headers: HeaderMap,
    pub(super) temporality: Temporality,
}

impl OtlpSettings {
    /// Reads the variables. `None` when no endpoint is set, or one that cannot be used.
    pub(crate) fn read(env: &mut Env<'_>) -> Option<Self> {
        if env
            .text("OTEL_METRICS_EXPORTER")
            .is_some_and(|name| name == "none")
        {
            return None;
        }
        let own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
        let shared = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let (name, text) = match (env.text(own), env.text(shared)) {
            (Some(text), _) => (own, text),
            (None, Some(base)) => (shared, format!("{}/v1/metrics", base.trim_end_matches('/'))),
            (None, None) => return None,
        };
        let protocol = env
            .text("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")
            .or_else(|| env.text("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
            env.problem(
                name,
                format!(
                    "metrics are sent by `http/protobuf` only, not `{}`; set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT and OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf",
                    protocol.escape_debug()
                ),
            );
            return None;
        }
        let Some(address) = address(&text) else {
            env.problem(
                name,
                "no address that metrics can be sent to; write `http://HOST:PORT`, for example `http://127.0.0.1:4318` (TLS is not spoken)",
            );
            return None;
        };
        let named = "OTEL_EXPORTER_OTLP_METRICS_HEADERS";
        let all = "OTEL_EXPORTER_OTLP_HEADERS";
        let mut headers = HeaderMap::new();
        for name in [all, named] {
            let Some(text) = env.text(name) else { continue };
            match parse_headers(&text) {
                // Those of metrics replace those of all signals.
                Some(parsed) => headers.extend(parsed),
                None => env.problem(name, "no list of headers; write `name=value,name=value`"),
            }
        }
        let preference = env.text("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
        Some(Self {
            address,
            headers,
            temporality: match preference.map(|text| text.to_ascii_lowercase()).as_deref() {
                Some("delta" | "lowmemory") => Temporality::Delta,
                _ => Temporality::Cumulative,
            },
        })
    }
}

fn address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let plain = uri.scheme_str() == Some("http")
        && uri
            .authority()
            .is_some_and(|host| !host.host().is_empty() && !host.as_str().contains('@'));
    plain.then_some(uri)
}

fn parse_headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = HeaderName::try_from(name.trim()).ok()?;
        let mut value = HeaderValue::try_from(&*value).ok()?;
        value.set_sensitive(true);
        if headers.len() >= HEADERS_MAX {
            return None;
        }
        headers.insert(name, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<OtlpSettings>, usize) {
        let mut env = Env::new(|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let settings = OtlpSettings::read(&mut env);
        (settings, env.into_problems().len())
    }

    #[test]
    fn it_is_off_unless_an_endpoint_is_set() {
        assert!(read(&[]).0.is_none());
        assert!(
            read(&[("WEIGHBRIDGE_ENDPOINT", "http://127.0.0.1:1")])
                .0
                .is_none()
        );
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        let none = ("OTEL_METRICS_EXPORTER", "none");
        assert!(read(&[base, none]).0.is_none());
        let (settings, problems) = read(&[base]);
        assert_eq!(problems, 0);
        assert_eq!(
            settings.unwrap().address.to_string(),
            "http://127.0.0.1:4318/v1/metrics"
        );
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://h:1/as/it/is");
        let settings = read(&[base, own]).0.unwrap();
        assert_eq!(settings.address.to_string(), "http://h:1/as/it/is");
        assert_eq!(settings.temporality, Temporality::Cumulative);
    }

    #[test]
    fn what_cannot_be_spoken_is_off_and_said() {
        for (endpoint, protocol) in [
            ("https://127.0.0.1:1", ""),
            ("127.0.0.1:1", ""),
            ("http://user:secret@h:1", ""),
            ("http://127.0.0.1:1", "grpc"),
        ] {
            let (settings, problems) = read(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ]);
            assert!(settings.is_none() && problems == 1, "{endpoint} {protocol}");
        }
    }

    #[test]
    fn headers_are_decoded_and_those_of_metrics_win() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=all, x=a%20b"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=mine"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ])
        .0
        .unwrap();
        assert_eq!(settings.headers["api-key"], "mine");
        assert_eq!(settings.headers["x"], "a b");
        assert_eq!(settings.temporality, Temporality::Delta);
        assert!(!format!("{settings:?}").contains("mine"));
        let (settings, problems) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no list"),
        ]);
        assert!(settings.unwrap().headers.is_empty());
        assert_eq!(problems, 1);
    }
}
