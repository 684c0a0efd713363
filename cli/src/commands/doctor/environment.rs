//! What the environment says. Whether its values can be read, the agent itself says (see `itself`).

use weighbridge_agent::VARIABLES;

use super::finding::Finding;

/// Looks at the variables that decide whether anything is measured and who speaks, and at the names of all.
pub(super) fn look(
    env: &dyn Fn(&str) -> Option<String>,
    names: impl Iterator<Item = String>,
) -> Vec<Finding> {
    let mut findings = vec![switch(env), service(env), trust(env)];
    findings.extend(names.filter_map(|name| unknown(&name)));
    findings
}

/// A variable that nobody reads, with the name that was probably meant.
fn unknown(name: &str) -> Option<Finding> {
    /// Read by this program, or by its tests; the collector checks its own.
    const OTHERS: [&str; 3] = [
        "WEIGHBRIDGE_COLLECTOR_",
        "WEIGHBRIDGE_LOG",
        "WEIGHBRIDGE_TEST_",
    ];
    let ours = name.starts_with("WEIGHBRIDGE_");
    if !ours || VARIABLES.contains(&name) || OTHERS.iter().any(|other| name.starts_with(other)) {
        return None;
    }
    let nearest = VARIABLES
        .iter()
        .min_by_key(|known| strsim::damerau_levenshtein(name, known))?;
    Some(Finding::less(
        "variable",
        format!("{name} is read by nobody"),
        format!("did you mean {nearest}?"),
    ))
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
        look(&env, std::iter::empty())
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
            look(&env, std::iter::empty())
                .iter()
                .all(|finding| !finding.found.contains("secret"))
        );
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_nearest_known() {
        let names = [
            "WEIGHBRIDGE_ENDPIONT",
            "WEIGHBRIDGE_SPOOL_MAX_WINDOWS",
            "WEIGHBRIDGE_WINDOW",
            "WEIGHBRIDGE_COLLECTOR_DATA_DIR",
            "WEIGHBRIDGE_LOG",
            "PATH",
        ];
        let findings = look(&|_| None, names.into_iter().map(str::to_owned));
        let found: Vec<(&str, &str)> = findings
            .iter()
            .filter(|finding| finding.what == "variable")
            .map(|finding| (finding.found.as_str(), finding.remedy.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "WEIGHBRIDGE_ENDPIONT is read by nobody",
                    "did you mean WEIGHBRIDGE_ENDPOINT?"
                ),
                (
                    "WEIGHBRIDGE_SPOOL_MAX_WINDOWS is read by nobody",
                    "did you mean WEIGHBRIDGE_SPOOL_WINDOWS_MAX?"
                ),
            ]
        );
    }
}
