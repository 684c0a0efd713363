//! What the environment says. Whether its values can be read, the agent itself says (see `itself`).

use super::finding::Finding;

/// Looks at the variables that decide whether anything is measured and who speaks.
pub(super) fn look(env: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    vec![switch(env), service(env), trust(env)]
}

fn switch(env: &dyn Fn(&str) -> Option<String>) -> Finding {
    const WHAT: &str = "switch";
    let is = |name: &str, values: &[&str]| {
        env(name).is_some_and(|value| values.contains(&value.trim().to_ascii_lowercase().as_str()))
    };
    if is("WEIGHBRIDGE_ENABLED", &["false", "0", "no", "off"]) {
        return Finding::broken(
            WHAT,
            "WEIGHBRIDGE_ENABLED switches the agent off",
            "unset it",
        );
    }
    if is("OTEL_SDK_DISABLED", &["true", "1", "yes", "on"]) {
        return Finding::broken(
            WHAT,
            "OTEL_SDK_DISABLED switches the agent off",
            "unset it; WEIGHBRIDGE_ENABLED=false is for the agent alone",
        );
    }
    Finding::good(WHAT, "on")
}

fn service(env: &dyn Fn(&str) -> Option<String>) -> Finding {
    const WHAT: &str = "service name";
    if let Some(name) = env("OTEL_SERVICE_NAME") {
        return Finding::good(WHAT, format!("{name} (OTEL_SERVICE_NAME)"));
    }
    let attributes = env("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let named = attributes
        .split(',')
        .find_map(|pair| pair.trim().strip_prefix("service.name="));
    match named {
        Some(name) => Finding::good(WHAT, format!("{name} (OTEL_RESOURCE_ATTRIBUTES)")),
        None => Finding::less(
            WHAT,
            "not set: the service speaks under a name made up from its program",
            "set OTEL_SERVICE_NAME, the same for all its instances",
        ),
    }
}

fn trust(env: &dyn Fn(&str) -> Option<String>) -> Finding {
    const WHAT: &str = "trust";
    match env("WEIGHBRIDGE_TRUST") {
        None => Finding::good(
            WHAT,
            "callers on this machine are believed (loopback); services on other machines need WEIGHBRIDGE_TRUST",
        ),
        // The key is a secret.
        Some(value) if value.starts_with("key:") => {
            Finding::good(WHAT, "callers that know the key")
        }
        Some(value) if value == "none" => Finding::less(
            WHAT,
            "nobody is believed: every request begins a chain of its own",
            "set WEIGHBRIDGE_TRUST to loopback, to networks like 10.0.0.0/8, or to key:SECRET",
        ),
        Some(value) => Finding::good(WHAT, format!("callers from {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::State;

    fn states(pairs: &[(&str, &str)]) -> Vec<State> {
        let env = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        look(&env)
            .into_iter()
            .map(|finding| finding.state)
            .collect()
    }

    #[test]
    fn an_empty_environment_lacks_only_a_name() {
        assert_eq!(states(&[]), [State::Good, State::Less, State::Good]);
        assert_eq!(
            states(&[("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=store")])[1],
            State::Good
        );
    }

    #[test]
    fn a_switch_that_is_off_is_broken() {
        assert_eq!(
            states(&[("WEIGHBRIDGE_ENABLED", "False")])[0],
            State::Broken
        );
        assert_eq!(states(&[("OTEL_SDK_DISABLED", "true")])[0], State::Broken);
        assert_eq!(states(&[("WEIGHBRIDGE_ENABLED", "true")])[0], State::Good);
    }

    #[test]
    fn a_key_is_not_shown() {
        let env = |name: &str| (name == "WEIGHBRIDGE_TRUST").then(|| "key:secret".to_owned());
        assert!(
            look(&env)
                .iter()
                .all(|finding| !finding.found.contains("secret"))
        );
    }
}
