use std::collections::HashMap;

use super::endpoint::EndpointError;
use super::*;

fn read(pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
    let map: HashMap<String, String> = pairs
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let mut env = Env::new(|name| map.get(name).cloned());
    let settings = Settings::read(&mut env);
    (
        settings,
        env.into_problems()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

#[test]
fn nothing_set_is_a_working_default() {
    let (settings, problems) = read(&[]);
    assert!(problems.is_empty(), "{problems:?}");
    assert!(settings.enabled);
    assert_eq!(settings.window, WINDOW_DEFAULT);
    assert!(settings.endpoint.is_none());
    assert!(settings.trust.trusts_address("127.0.0.1".parse().unwrap()));
    assert!(!settings.trust.trusts_address("10.0.0.1".parse().unwrap()));
    assert!(!settings.identity.service.is_empty());
}

#[test]
fn either_switch_turns_everything_off() {
    for pair in [
        ("WEIGHBRIDGE_ENABLED", "false"),
        ("OTEL_SDK_DISABLED", "TRUE"),
    ] {
        assert!(!read(&[pair]).0.enabled, "{pair:?}");
    }
    assert!(
        read(&[("OTEL_SDK_DISABLED", "")]).0.enabled,
        "empty is unset"
    );
}

#[test]
fn retained_memory_is_sampled_when_asked_and_within_bounds() {
    use crate::alloc::{RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MIN};
    let mean = |pairs: &[(&str, &str)]| {
        let (settings, problems) = read(pairs);
        (settings.retained_mean_bytes, problems.len())
    };
    let (switch, size) = ("WEIGHBRIDGE_RETAINED", "WEIGHBRIDGE_RETAINED_MEAN_BYTES");
    assert_eq!(mean(&[]), (None, 0));
    assert_eq!(mean(&[(size, "65536")]), (None, 0));
    assert_eq!(mean(&[(switch, "true")]), (Some(RETAINED_MEAN_BYTES), 0));
    assert_eq!(
        mean(&[(switch, "true"), (size, "65536")]),
        (Some(65_536), 0)
    );
    assert_eq!(
        mean(&[(switch, "true"), (size, "7")]),
        (Some(RETAINED_MEAN_BYTES_MIN), 1)
    );
}

#[test]
fn bad_values_warn_and_leave_the_default() {
    let (settings, problems) = read(&[
        ("WEIGHBRIDGE_ENABLED", "perhaps"),
        ("WEIGHBRIDGE_WINDOW", "soon"),
        ("WEIGHBRIDGE_ENDPOINT", "ftp://collector:4318"),
        ("WEIGHBRIDGE_SPOOL_BYTES_MAX", "-3"),
        ("WEIGHBRIDGE_TRUST", "key:"),
        ("WEIGHBRIDGE_TOKEN", "a\nb"),
    ]);
    assert_eq!(problems.len(), 6, "{problems:#?}");
    assert!(settings.enabled);
    assert_eq!(settings.window, WINDOW_DEFAULT);
    assert!(settings.endpoint.is_none());
    assert_eq!(settings.spool_bytes_max, SPOOL_BYTES_MAX);
}

#[test]
fn secrets_are_never_repeated() {
    let (settings, problems) = read(&[
        ("WEIGHBRIDGE_TOKEN", "s3cret-t\u{7f}oken"),
        ("WEIGHBRIDGE_TRUST", "keys:s3cret"),
        ("WEIGHBRIDGE_KEY_SECRET", "s3cret"),
    ]);
    assert_eq!(problems.len(), 3);
    assert!(!problems.concat().contains("s3cret"), "{problems:?}");
    let (good, _) = read(&[
        ("WEIGHBRIDGE_TOKEN", "s3cret"),
        ("WEIGHBRIDGE_TRUST", "key:s3cret-and-long-enough"),
        ("WEIGHBRIDGE_KEY_SECRET", "s3cret-and-long-enough"),
    ]);
    assert!(!format!("{good:?}{settings:?}").contains("s3cret"));
}

#[test]
fn windows_are_clamped_into_their_range() {
    assert_eq!(
        read(&[("WEIGHBRIDGE_WINDOW", "1s")]).0.window,
        Duration::from_secs(1)
    );
    let (settings, problems) = read(&[("WEIGHBRIDGE_WINDOW", "1ms")]);
    assert_eq!((settings.window, problems.len()), (WINDOW_MIN, 1));
    let (settings, _) = read(&[("WEIGHBRIDGE_WINDOW", "99999999999999999999h")]);
    assert_eq!(settings.window, WINDOW_DEFAULT);
}

#[test]
fn endpoints_are_checked() {
    let ledger = |text: &str| Endpoint::parse(text).map(|e| e.ledger().to_string());
    assert_eq!(
        ledger("http://127.0.0.1:4318/"),
        Ok("http://127.0.0.1:4318/v1/ledger".into())
    );
    assert_eq!(
        ledger("http://h:1/prefix"),
        Ok("http://h:1/prefix/v1/ledger".into())
    );
    assert_eq!(ledger("ftp://h:1"), Err(EndpointError::Scheme));
    #[cfg(feature = "tls")]
    assert_eq!(ledger("https://h:1"), Ok("https://h:1/v1/ledger".into()));
    #[cfg(not(feature = "tls"))]
    assert_eq!(ledger("https://h:1"), Err(EndpointError::NoTls));
    for bad in [
        "h:1:2",
        "127.0.0.1:4318/x",
        "http://",
        "http://u:p@h",
        "http://h/?a=b",
        "",
    ] {
        assert!(ledger(bad).is_err(), "{bad}");
    }
}
