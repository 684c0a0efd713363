//! Who speaks: from the OpenTelemetry variables, with defaults that keep two processes apart.

mod random;

pub(crate) use random::{random_bytes, random_u64};

use percent_encoding::percent_decode_str;
use weighbridge_wire::Identity;

use crate::config::Env;

/// Longest text of an identity field, in bytes; longer ones are cut.
pub const IDENTITY_BYTES_MAX: usize = crate::ledger::limits::NAME_BYTES_MAX;
/// Longest `OTEL_RESOURCE_ATTRIBUTES` that is read, in bytes.
const ATTRIBUTES_BYTES_MAX: usize = 65_536;

/// Reads `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`. The first beats `service.name` in the second.
pub(crate) fn from_env(env: &mut Env<'_>) -> Identity {
    let mut identity = Identity::default();
    if let Some(attributes) = env.text("OTEL_RESOURCE_ATTRIBUTES") {
        read_attributes(&attributes, &mut identity, env);
    }
    if let Some(service) = env.text("OTEL_SERVICE_NAME") {
        identity.service = service;
    }
    complete(&mut identity);
    identity
}

/// Fills what is not set and cuts what is too long, so that the identity can go on the wire.
pub(crate) fn complete(identity: &mut Identity) {
    if identity.service.is_empty() {
        identity.service = default_service();
    }
    if identity.host.is_empty() {
        identity.host = sysinfo::System::host_name().unwrap_or_default();
    }
    if identity.instance.is_empty() {
        // Two processes under one name would be one producer, so the default never repeats.
        identity.instance = format!("{}-{:08x}", std::process::id(), random_u64() as u32);
    }
    for field in [
        &mut identity.namespace,
        &mut identity.environment,
        &mut identity.service,
        &mut identity.version,
        &mut identity.instance,
        &mut identity.host,
    ] {
        cut(field, IDENTITY_BYTES_MAX);
    }
}

/// Shortens a text to at most `bytes_max` bytes, on a character boundary.
pub(crate) fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

fn read_attributes(text: &str, identity: &mut Identity, env: &mut Env<'_>) {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    if text.len() > ATTRIBUTES_BYTES_MAX {
        env.problem(
            NAME,
            format!("longer than {ATTRIBUTES_BYTES_MAX} bytes; shorten it"),
        );
        return;
    }
    let mut deprecated_environment = None;
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let decoded = pair.split_once('=').and_then(|(key, value)| {
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((key.trim(), value.into_owned()))
        });
        let Some((key, value)) = decoded else {
            // The specification says that one bad pair makes the whole value useless.
            env.problem(
                NAME,
                "not a list of `key=value` pairs with percent-encoded values",
            );
            *identity = Identity::default();
            return;
        };
        match key {
            "service.name" => identity.service = value,
            "service.namespace" => identity.namespace = value,
            "service.version" => identity.version = value,
            "service.instance.id" => identity.instance = value,
            "deployment.environment.name" => identity.environment = value,
            "deployment.environment" => deprecated_environment = Some(value),
            "host.name" => identity.host = value,
            _ => {}
        }
    }
    if identity.environment.is_empty() {
        identity.environment = deprecated_environment.unwrap_or_default();
    }
}

fn default_service() -> String {
    let exe = std::env::current_exe().ok();
    match exe.as_deref().and_then(|path| path.file_name()) {
        Some(name) => format!("unknown_service:{}", name.to_string_lossy()),
        None => "unknown_service".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, attributes: &str) -> (Identity, usize) {
        let mut env = Env::new(|key| match key {
            "OTEL_SERVICE_NAME" => Some(name.to_owned()),
            "OTEL_RESOURCE_ATTRIBUTES" => Some(attributes.to_owned()),
            _ => None,
        });
        let identity = from_env(&mut env);
        (identity, env.into_problems().len())
    }

    #[test]
    fn the_name_variable_beats_the_attribute() {
        let (id, problems) = identity(
            "store",
            "service.name=other, service.namespace=shop,service.version=1.2%2C3,\
             deployment.environment=old,deployment.environment.name=prod,service.instance.id=a,host.name=h,x=y",
        );
        assert_eq!(problems, 0);
        assert_eq!(id.service, "store");
        assert_eq!(
            (id.namespace.as_str(), id.version.as_str()),
            ("shop", "1.2,3")
        );
        assert_eq!(
            (id.environment.as_str(), id.instance.as_str()),
            ("prod", "a")
        );
        assert_eq!(id.host, "h");
        assert_eq!(identity("", "service.name=other").0.service, "other");
    }

    #[test]
    fn one_bad_pair_discards_all_and_is_told() {
        for bad in ["service.namespace=shop,novalue", "service.namespace=%ff"] {
            let (id, problems) = identity("store", bad);
            assert_eq!((id.namespace.as_str(), problems), ("", 1), "{bad}");
            assert_eq!(id.service, "store");
        }
    }

    #[test]
    fn defaults_keep_processes_apart_and_are_never_empty() {
        let (a, b) = (identity("", "").0, identity("", "").0);
        assert!(a.service.starts_with("unknown_service"));
        assert_ne!(a.instance, b.instance);
    }

    #[test]
    fn long_texts_are_cut_on_a_character_boundary() {
        let (id, _) = identity(&"ä".repeat(1_000), "");
        assert_eq!(id.service.len(), IDENTITY_BYTES_MAX);
        assert!(id.service.chars().all(|c| c == 'ä'));
    }
}
