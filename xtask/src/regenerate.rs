//! The code that is generated from the protocol definitions. It is checked in, so that nobody needs a
//! compiler of protocol definitions to build.

use anyhow::Result;

use crate::context::Context;

/// Compares by a run of this program with the feature that holds the compiler.
pub(crate) fn check_by_cargo(context: &Context) -> Result<()> {
    context.run(context.cargo().args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "xtask",
        "--features",
        "regenerate",
        "--",
        "regenerate",
        "--check",
    ]))
}

/// Says how to get the feature.
#[cfg(not(feature = "regenerate"))]
pub(crate) fn run(_context: &Context, check: bool) -> Result<()> {
    anyhow::bail!(
        "this needs the compiler of protocol definitions: cargo run --package xtask --features regenerate -- regenerate{}",
        if check { " --check" } else { "" }
    )
}

/// Compiles the definitions; with `check` only compares the result with what is checked in.
#[cfg(feature = "regenerate")]
pub(crate) fn run(context: &Context, check: bool) -> Result<()> {
    use anyhow::{Context as _, bail};

    let protocol = context.root.join("wire").join("proto");
    let checked_in = context.root.join("wire").join("src").join("generated");
    let fresh = context.target.join("xtask").join("generated");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    std::fs::create_dir_all(&fresh)?;
    let definitions = protox::compile(["weighbridge/v1/ledger.proto"], [&protocol])
        .context("the protocol definitions do not compile; the line above says where")?;
    prost_build::Config::new()
        .out_dir(&fresh)
        .compile_fds(definitions)
        .context("no Rust code can be made of the protocol definitions")?;
    let mut stale = Vec::new();
    for entry in std::fs::read_dir(&fresh)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let new = std::fs::read(&path)?;
        let old_path = checked_in.join(name);
        if std::fs::read(&old_path).ok().as_deref() != Some(new.as_slice()) {
            stale.push(name.to_string_lossy().into_owned());
            if !check {
                std::fs::create_dir_all(&checked_in)?;
                std::fs::write(&old_path, new)?;
            }
        }
    }
    match (stale.is_empty(), check) {
        (true, _) => crate::say::line("wire/src/generated is current"),
        (false, false) => {
            crate::say::line(&format!("wrote {} to wire/src/generated", stale.join(", ")));
        }
        (false, true) => bail!(
            "wire/src/generated is not current ({}); run: cargo run --package xtask --features regenerate -- regenerate",
            stale.join(", ")
        ),
    }
    Ok(())
}
