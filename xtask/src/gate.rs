//! `test` and `ci`: the same steps, in the order in which their build caches help each other.

use std::path::Path;

use anyhow::Result;

use crate::context::Context;
use crate::steps::{Outcome, Steps, Tests};
use crate::{browser, checks, install, instructions, otlp, picture, regenerate, release, say};

/// All tests.
pub(crate) fn test(context: &Context) -> Result<()> {
    let mut steps = Steps::new(context.strict).watch_disk_of(&context.target);
    add_tests(&mut steps, context);
    steps.finish()
}

/// The gate. The format comes first since it takes no build; the quick start's build comes next, so
/// that it is timed from an empty cache on a new machine; its binary then runs the demo in the tests.
pub(crate) fn ci(context: &Context) -> Result<()> {
    let mut steps = Steps::new(context.strict).watch_disk_of(&context.target);
    steps.run("format", |_| {
        context.run(context.cargo().args(["fmt", "--all", "--check"]))
    });
    checks::add(&mut steps, context);
    add_tests(&mut steps, context);
    steps.run("generated code is current", |_| {
        regenerate::check_by_cargo(context)
    });
    steps.run("clippy", |_| {
        context.run(context.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))
    });
    steps.run("features alone", |_| features_alone(context));
    add_other_processor(&mut steps, context);
    steps.run_or_skip("instructions of a request", |_| {
        instructions::check(context)
    });
    steps.run("docs", |_| {
        let mut cargo = context.cargo();
        cargo.env("RUSTDOCFLAGS", "--deny warnings").args([
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--quiet",
        ]);
        context.run(&mut cargo)
    });
    steps.finish()
}

/// How the agent is told not to use the fast clock: by a libc that does not register with the kernel, and by name.
pub(crate) const OTHER_CLOCKS: [(&str, &str); 3] = [
    ("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),
    ("WEIGHBRIDGE_CLOCK", "scaled"),
    ("WEIGHBRIDGE_CLOCK", "thread"),
];

fn add_tests(steps: &mut Steps, context: &Context) {
    steps.run("build of the quick start", |_| release::build(context));
    // Before any test: some of the workspace's own start one of them too.
    steps.run_or_skip("servers of the tests", |_| servers(context));
    steps.run("build of the tests", |_| {
        context.run(context.cargo().args([
            "test",
            "--workspace",
            "--locked",
            "--no-run",
            "--quiet",
        ]))
    });
    steps.run("weighing on the other clocks", |tests| {
        // The tests are built; these few show what depends on the clock, in seconds.
        for (name, value) in OTHER_CLOCKS {
            let mut cargo = context.cargo();
            cargo
                .env(name, value)
                .args(["test", "--workspace", "--locked", "--no-fail-fast"])
                .args(["--test", "conservation", "--test", "http2"])
                .args(["--test", "bill_life", "--test", "regions"]);
            context.run_lines(&mut cargo, |line| tests.read_line(line))?;
        }
        Ok(())
    });
    let report = browser::report_dir(context);
    steps.run("tests", |tests| {
        // The browser looks at the report that the demo test leaves; an old one must not stand in for it.
        if report.exists() {
            std::fs::remove_dir_all(&report)?;
        }
        let mut cargo = context.cargo();
        cargo
            .env("WEIGHBRIDGE_TEST_BINARY", context.binary("release"))
            .env("WEIGHBRIDGE_TEST_REPORT_DIR", &report)
            .args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        context.run_lines(&mut cargo, |line| tests.read_line(line))
    });
    steps.run("clients against their servers", |tests| {
        clients(context, tests)
    });
    steps.run_or_skip("OpenTelemetry's SDKs against the collector", |tests| {
        otlp::check(context, tests)
    });
    steps.run_or_skip("reports and the live page in a browser", |_| {
        browser::check(context)
    });
    steps.run_or_skip("picture and excerpt of the README", |_| {
        picture::regenerate(context, true)
    });
}

/// The agent's clients whose servers are programs of their own. Each test binary starts its server.
const CLIENTS: &[(&str, &str)] = &[
    ("tokio-postgres-0_7", "postgres"),
    ("redis-1", "redis"),
    ("sqlx-0_9", "sqlx"),
    ("async-nats-0_51", "nats"),
    ("lapin-4", "amqp"),
    ("rumqttc-0_25", "mqtt"),
    ("axum-0_8,reqwest-0_13,tracing-opentelemetry-0_34", "chain"),
    ("hyper-util-0_1,tonic-0_14", "call_shapes"),
    ("hyper-util-0_1,tonic-0_14", "codec_cost"),
];

fn servers(context: &Context) -> Result<Outcome> {
    let missing = install::ensure(context, install::SERVERS)?;
    if missing.is_empty() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Skipped(format!(
        "missing: {}; install them (Debian: apt-get install {}), or what needs them is not tested",
        missing.join(", "),
        missing.join(" ")
    )))
}

fn clients(context: &Context, tests: &mut Tests) -> Result<()> {
    let mut cargo = context.cargo();
    cargo.args(["test", "--package", "weighbridge-agent", "--locked"]);
    cargo.arg("--no-fail-fast");
    for (feature, test) in CLIENTS {
        cargo.args(["--features", feature, "--test", test]);
    }
    context.run_lines(&mut cargo, |line| tests.read_line(line))
}

/// A processor that the fast clock does not know: what stands in for it there is compiled nowhere else.
const OTHER_PROCESSOR: &str = "aarch64-unknown-linux-gnu";

/// Checks the agent for another processor where its standard library is installed. Elsewhere there is no such step: a
/// gate shall not fail for want of a target that nobody was told to install.
fn add_other_processor(steps: &mut Steps, context: &Context) {
    let library = context
        .command("rustc")
        .args(["--print", "target-libdir", "--target", OTHER_PROCESSOR])
        .output();
    let is_installed = library.is_ok_and(|output| {
        output.status.success()
            && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if !is_installed {
        say::line(&format!(
            "the agent was not checked for other processors; `rustup target add {OTHER_PROCESSOR}` has it checked"
        ));
        return;
    }
    steps.run("agent on another processor", |_| {
        context.run(context.cargo().args([
            "check",
            "--quiet",
            "--locked",
            "--package",
            "weighbridge-agent",
            "--features",
            "axum-0_8,http2",
            "--target",
            OTHER_PROCESSOR,
        ]))
    });
}

/// Services choose features of the agent one by one, and a shipped binary leaves the demo out: each must
/// compile without what the rest of the workspace switches on.
fn features_alone(context: &Context) -> Result<()> {
    for feature in [
        "",
        "async-nats-0_51",
        "axum-0_8",
        "http2",
        "hyper-util-0_1",
        "lapin-4",
        "otlp-metrics",
        "reqwest-0_13",
        "rumqttc-0_25",
        "redis-1",
        "rusqlite-0_42",
        "sqlx-0_9",
        "tokio-postgres-0_7",
        "tonic-0_14",
        "tracing-opentelemetry-0_34",
        "tracing-subscriber-0_3",
    ] {
        context.run(context.cargo().args([
            "check",
            "--quiet",
            "--locked",
            "--package",
            "weighbridge-agent",
            "--no-default-features",
            "--features",
            feature,
        ]))?;
    }
    context.run(context.cargo().args([
        "check",
        "--quiet",
        "--locked",
        "--package",
        "weighbridge",
        "--no-default-features",
    ]))
}
