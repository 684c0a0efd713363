//! How many crates a build holds, and how many of them the agent brings into a service.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::say;

/// The most crates that the agent may add to an axum service (DESIGN §3).
const AGENT_ADDS_MAX: usize = 40;

/// Crates that compile C or look for it.
const C_BUILDERS: &[&str] = &["cc", "cmake", "bindgen", "pkg-config", "vcpkg", "nasm-rs"];

/// Crates named `-sys` that are plain Rust.
const SYS_WITHOUT_C: &[&str] = &["linux-raw-sys", "windows-sys", "js-sys", "web-sys"];

/// Crates of which what is shipped holds one version only: the runtime. The demo is left out; its broker
/// brings a web server of its own.
const ONE_VERSION: &[&str] = &[
    "tokio",
    "hyper",
    "http",
    "http-body",
    "axum",
    "tower",
    "prost",
    "rusqlite",
    "redb",
];

/// Prints the counts; fails when the agent adds too many or needs a C compiler.
pub(crate) fn check(context: &Context) -> Result<()> {
    let binary = crates(
        context,
        &["--package", "weighbridge", "--edges", "normal,build"],
    )?;
    say::line(&format!(
        "{} crates in the default build of weighbridge",
        binary.len()
    ));
    let shipped = crates(
        context,
        &[
            "--package",
            "weighbridge",
            "--no-default-features",
            "--edges",
            "normal",
        ],
    )?;
    say::line(&format!(
        "{} crates in weighbridge without the demo",
        shipped.len()
    ));
    let twice = twice(&shipped);
    if !twice.is_empty() {
        bail!(
            "more than one version in what is shipped: {}; bring their users to one",
            twice.join(", ")
        );
    }
    no_c_compiler(context)?;
    agent_adds(context)
}

fn twice(crates: &BTreeSet<String>) -> Vec<&'static str> {
    ONE_VERSION
        .iter()
        .copied()
        .filter(|name| {
            crates
                .iter()
                .filter(|line| line.split(' ').next() == Some(name))
                .count()
                > 1
        })
        .collect()
}

fn no_c_compiler(context: &Context) -> Result<()> {
    let agent = crates(
        context,
        &[
            "--package",
            "weighbridge-agent",
            "--no-default-features",
            "--edges",
            "normal,build",
        ],
    )?;
    let c = needs_c(&agent);
    if !c.is_empty() {
        bail!(
            "the agent without features pulls in {}, so services would need a C compiler; put it behind a feature",
            c.join(", ")
        );
    }
    say::line(&format!(
        "{} crates in the agent without features, none needs a C compiler",
        agent.len()
    ));
    Ok(())
}

fn needs_c(crates: &BTreeSet<String>) -> Vec<&str> {
    crates
        .iter()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| {
            C_BUILDERS.contains(name) || (name.ends_with("-sys") && !SYS_WITHOUT_C.contains(name))
        })
        .collect()
}

/// Resolves a plain axum service and the same one with the agent, outside the workspace so that its
/// features do not leak in, and compares.
fn agent_adds(context: &Context) -> Result<()> {
    let folder = context.target.join("xtask").join("axum-service");
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("src").join("main.rs"), "fn main() {}\n")?;
    // The same versions as in the workspace.
    std::fs::copy(context.root.join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("cannot copy Cargo.lock; restore it with git checkout Cargo.lock")?;
    let agent = context.root.join("agent");
    std::fs::write(
        folder.join("Cargo.toml"),
        format!(
            r#"[package]
name = "axum-service"
version = "0.0.0"
edition = "2024"

[workspace]

[features]
weighed = ["dep:weighbridge-agent"]

[dependencies]
axum = "0.8"
tokio = {{ version = "1", features = ["full"] }}
weighbridge-agent = {{ path = {agent:?}, features = ["axum-0_8"], optional = true }}
"#
        ),
    )?;
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest
        .to_str()
        .context("the target directory's path is not UTF-8; set CARGO_TARGET_DIR")?;
    let plain = crates(context, &["--manifest-path", manifest, "--edges", "normal"])?;
    let weighed = crates(
        context,
        &[
            "--manifest-path",
            manifest,
            "--edges",
            "normal",
            "--features",
            "weighed",
        ],
    )?;
    let added: Vec<&str> = weighed.difference(&plain).map(String::as_str).collect();
    say::line(&format!(
        "{} crates in an axum service, {} with the agent: it adds {} (limit {AGENT_ADDS_MAX}): {}",
        plain.len(),
        weighed.len(),
        added.len(),
        added.join(", ")
    ));
    if added.len() > AGENT_ADDS_MAX {
        bail!(
            "the agent adds {} crates, more than {AGENT_ADDS_MAX}; drop one or put it behind a feature",
            added.len()
        );
    }
    Ok(())
}

/// The crates of a resolved tree as `name version`.
fn crates(context: &Context, args: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = context.cargo();
    command
        .args([
            "tree",
            "--quiet",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}",
        ])
        .args(args);
    Ok(context
        .read(&mut command)?
        .lines()
        .filter_map(name_and_version)
        .collect())
}

fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.trim_start_matches('v');
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_tree_are_read() {
        assert_eq!(
            name_and_version("tokio v1.54.1"),
            Some("tokio 1.54.1".into())
        );
        assert_eq!(
            name_and_version("wire v0.1.0 (/some/path)"),
            Some("wire 0.1.0".into())
        );
        assert_eq!(name_and_version("[build-dependencies]"), None);
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn two_versions_of_the_runtime_are_found() {
        let crates: BTreeSet<String> = ["tokio 0.2.0", "tokio 1.54.0", "syn 1.0.0", "syn 2.0.0"]
            .map(str::to_owned)
            .into();
        assert_eq!(twice(&crates), ["tokio"]);
    }

    #[test]
    fn c_compilers_are_found_and_raw_bindings_are_not() {
        let crates: BTreeSet<String> = [
            "cc 1.2.0",
            "linux-raw-sys 0.9.0",
            "libsqlite3-sys 0.35.0",
            "serde 1.0.0",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(needs_c(&crates), ["cc", "libsqlite3-sys"]);
    }
}
