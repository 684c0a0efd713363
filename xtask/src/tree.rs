//! Who may depend on whom (DESIGN §3).

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::context::Context;
use crate::say;

/// The folders that hold crates.
pub(crate) const FOLDERS: &[&str] = &[
    "wire",
    "agent",
    "collector",
    "reports",
    "cli",
    "demo",
    "lab",
    "tests",
    "benches",
    "xtask",
];

/// What a crate of ours may name in its manifest. `None`: anything.
/// Tests of a crate obey the same rule, so that no crate can be understood only with its users.
const ALLOWED: &[(&str, Option<&[&str]>)] = &[
    ("weighbridge-wire", Some(&[])),
    ("weighbridge-agent-macros", Some(&[])),
    (
        "weighbridge-agent",
        Some(&["weighbridge-wire", "weighbridge-agent-macros"]),
    ),
    ("weighbridge-reports", Some(&["weighbridge-wire"])),
    (
        "weighbridge-collector",
        Some(&[
            "weighbridge-wire",
            "weighbridge-agent",
            "weighbridge-reports",
        ]),
    ),
    (
        "weighbridge",
        Some(&[
            "weighbridge-wire",
            "weighbridge-agent",
            "weighbridge-reports",
            "weighbridge-collector",
            "weighbridge-demo",
        ]),
    ),
    ("weighbridge-demo", None),
    ("weighbridge-lab", None),
    ("weighbridge-tests", None),
    ("weighbridge-benches", None),
    ("xtask", Some(&[])),
];

/// Nobody outside these may depend on them: they are ends, not parts.
const ENDS: &[&str] = &[
    "weighbridge",
    "weighbridge-tests",
    "weighbridge-benches",
    "xtask",
];

/// Checks the direction of dependencies.
pub(crate) fn check(context: &Context) -> Result<()> {
    let text =
        context.read(
            context
                .cargo()
                .args(["metadata", "--format-version", "1", "--locked"]),
        )?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
    let wrong = wrong_directions(&metadata);
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    say::line("dependencies point one way");
    Ok(())
}

fn wrong_directions(metadata: &Value) -> Vec<String> {
    let members: BTreeSet<&str> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let packages: Vec<&Value> = list(metadata, "packages")
        .iter()
        .filter(|package| {
            package["id"]
                .as_str()
                .is_some_and(|id| members.contains(id))
        })
        .collect();
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!(
                "{name} is not in the table of xtask/src/tree.rs: say there what it may depend on"
            ));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let other = dependency["name"].as_str().unwrap_or_default();
            if !ours.contains(other) || other == name {
                continue;
            }
            if allowed.is_some_and(|allowed| !allowed.contains(&other)) || ENDS.contains(&other) {
                wrong.push(format!(
                    "{name} depends on {other}, against DESIGN §3; move what it needs to a crate that both may see"
                ));
            }
        }
    }
    wrong
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(name: &str, dependency: &str) -> Value {
        json!({
            "workspace_members": ["a", "b"],
            "packages": [
                { "id": "a", "name": name, "version": "1.0.0", "dependencies": [{ "name": dependency }, { "name": "serde" }] },
                { "id": "b", "name": dependency, "version": "1.0.0", "dependencies": [] },
            ],
        })
    }

    #[test]
    fn the_agent_may_see_the_wire_and_not_the_collector() {
        assert_eq!(
            wrong_directions(&metadata("weighbridge-agent", "weighbridge-wire")),
            Vec::<String>::new()
        );
        assert_eq!(
            wrong_directions(&metadata("weighbridge-agent", "weighbridge-collector")).len(),
            1
        );
        assert_eq!(
            wrong_directions(&metadata("weighbridge-reports", "weighbridge-agent")).len(),
            1
        );
    }

    #[test]
    fn nobody_depends_on_an_end_and_a_new_crate_must_be_placed() {
        assert_eq!(
            wrong_directions(&metadata("weighbridge-demo", "weighbridge")).len(),
            1
        );
        let wrong = wrong_directions(&metadata("weighbridge-new", "weighbridge-wire"));
        assert!(
            wrong.iter().any(|line| line.contains("not in the table")),
            "{wrong:?}"
        );
    }
}
