//! `evidence`: the long forms of checks, run when their part changes.

mod fuzz;
mod sanitizers;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::clock::Stopwatch;
use crate::context::Context;
use crate::{release, say};

/// A long form.
struct Evidence {
    name: &'static str,
    what: &'static str,
    run: fn(&Context) -> Result<()>,
}

const ALL: &[Evidence] = &[
    Evidence {
        name: "build",
        what: "build of the quick start from an empty cache in a target directory of its own (about 6 minutes)",
        run: build,
    },
    Evidence {
        name: "demo",
        what: "the demo at its full length, twice with one seed, on the release build (about 4 minutes)",
        run: demo,
    },
    Evidence {
        name: "verify",
        what: "`demo --verify` in full: five placements predicted, run five times, and compared (about 14 minutes; the machine must be quiet)",
        run: verify,
    },
    Evidence {
        name: "kills",
        what: "the collector killed and restarted 100 times under load, and 200 times with a delta on its way (about 12 minutes)",
        run: kills,
    },
    Evidence {
        name: "soak",
        what: "the collector at half of what it can take for ten minutes: memory and files flat, no window lost",
        run: soak,
    },
    Evidence {
        name: "fuzz",
        what: "every decoder by libFuzzer under the address sanitizer, two minutes each (nightly; about 20 minutes with its build; WEIGHBRIDGE_TEST_FUZZ=seconds)",
        run: fuzz::run,
    },
    Evidence {
        name: "month",
        what: "1 000 services and 10 000 edges over 30 days: size on disk, time of a rollup (release build; about 5 minutes)",
        run: month,
    },
    Evidence {
        name: "clock",
        what: "the fast clock under switches, signals and moves for minutes, and the agent's tests on the other clocks",
        run: clock,
    },
    Evidence {
        name: "properties",
        what: "all property tests with 5000 cases each",
        run: properties,
    },
    Evidence {
        name: "hooks",
        what: "the agent's tests with `--cfg tokio_unstable`, in a target directory of its own (about 2 minutes)",
        run: hooks,
    },
    Evidence {
        name: "sqlx_sqlite",
        what: "sqlx on SQLite, in a workspace of its own since it links another libsqlite3 (about 2 minutes)",
        run: sqlx_sqlite,
    },
    Evidence {
        name: "brokers",
        what: "100 000 messages over NATS, JetStream, RabbitMQ and MQTT, with redelivery, reconnects and servers that die (about 5 minutes)",
        run: brokers,
    },
    Evidence {
        name: "clients",
        what: "100 000 calls and statements by each client of HTTP, gRPC, PostgreSQL, Redis and sqlx, over connections that break (about 5 minutes)",
        run: clients,
    },
    Evidence {
        name: "allocators",
        what: "the allocator's counts over jemalloc too, and its storm of threads for a minute (needs make)",
        run: allocators,
    },
    Evidence {
        name: "sanitizers",
        what: "the agent's unsafe code under the address and thread sanitizers (nightly; about 10 minutes)",
        run: sanitizers::run,
    },
    Evidence {
        name: "conservation",
        what: "what the ledger does not explain: by protocol, with the poll hooks beside it, and in the demo's services built with them (about 3 minutes after its builds)",
        run: conservation,
    },
    Evidence {
        name: "bench",
        what: "all benches beside their peers, to target/bench/*.json and benches/RESULTS.md (about 30 minutes; the machine must be quiet, and have the servers that `cargo xtask test` installs)",
        run: bench,
    },
];

/// What nightly builds for: flags of sanitizers go with a target.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Cargo of nightly, which alone has sanitizers.
fn nightly_cargo(context: &Context) -> Command {
    let mut cargo = context.command("rustup");
    cargo
        .args(["run", "nightly", "cargo"])
        .env_remove("RUSTUP_TOOLCHAIN");
    cargo
}

/// Runs one, or lists them.
pub(crate) fn run(context: &Context, name: Option<&str>) -> Result<()> {
    let Some(name) = name else {
        for evidence in ALL {
            say::line(&format!("{:<12} {}", evidence.name, evidence.what));
        }
        return Ok(());
    };
    let evidence = ALL
        .iter()
        .find(|evidence| evidence.name == name)
        .with_context(|| {
            let names: Vec<&str> = ALL.iter().map(|evidence| evidence.name).collect();
            format!(
                "there is no evidence named `{name}`; there are: {}",
                names.join(", ")
            )
        })?;
    let watch = Stopwatch::start();
    (evidence.run)(context)?;
    say::line(&format!(
        "{name}: held, {:.0} s",
        watch.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn build(context: &Context) -> Result<()> {
    let target = context.target.join("evidence").join("build");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let alone = Context {
        root: context.root.clone(),
        target: target.clone(),
        strict: context.strict,
    };
    let watch = Stopwatch::start();
    let mut cargo = context.cargo();
    cargo.env("CARGO_TARGET_DIR", &target).args([
        "build",
        "--release",
        "--locked",
        "--timings",
        "--package",
        "weighbridge",
    ]);
    context.run(&mut cargo)?;
    let took = watch.elapsed();
    let bytes = std::fs::metadata(alone.binary("release"))?.len();
    say::line(&format!(
        "built in {:.0} s; the binary has {:.1} MiB",
        took.as_secs_f64(),
        bytes as f64 / f64::from(1 << 20)
    ));
    if took > release::COLD_MAX {
        bail!(
            "more than {} s; {} shows which crates to put behind a feature",
            release::COLD_MAX.as_secs(),
            target.join("cargo-timings").display()
        );
    }
    Ok(())
}

fn hooks(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo
        .env("RUSTFLAGS", "--cfg tokio_unstable")
        .env(
            "CARGO_TARGET_DIR",
            context.target.join("evidence").join("hooks"),
        )
        .args([
            "test",
            "--locked",
            "--package",
            "weighbridge-agent",
            "--features",
            "axum-0_8,async-nats-0_51,hyper-util-0_1,reqwest-0_13,tonic-0_14",
            "--lib",
        ]);
    for test in ["hooks", "shapes", "conservation", "http2"] {
        cargo.args(["--test", test]);
    }
    context.run(&mut cargo)
}

fn sqlx_sqlite(context: &Context) -> Result<()> {
    let manifest = context.root.join("tests/sqlx_sqlite/Cargo.toml");
    let mut cargo = context.cargo();
    cargo
        .args(["test", "--locked", "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", &context.target);
    context.run(&mut cargo)
}

fn brokers(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    // A server that is not there is a failure here.
    cargo
        .env("CI", "true")
        .env("WEIGHBRIDGE_EVIDENCE", "1")
        .args(["test", "--locked", "--package", "weighbridge-agent"])
        .args([
            "--features",
            "async-nats-0_51,lapin-4,rumqttc-0_25,axum-0_8",
        ])
        .args(["--test", "nats", "--test", "amqp", "--test", "mqtt"]);
    context.run(&mut cargo)
}

fn clients(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo
        .env("CI", "true")
        .env("WEIGHBRIDGE_EVIDENCE", "1")
        .args(["test", "--locked", "--package", "weighbridge-agent"])
        .args(["--features", "axum-0_8,hyper-util-0_1,reqwest-0_13"])
        .args([
            "--features",
            "tonic-0_14,tokio-postgres-0_7,redis-1,sqlx-0_9",
        ]);
    for test in ["clients", "grpc_client", "postgres", "redis", "sqlx"] {
        cargo.args(["--test", test]);
    }
    context.run(&mut cargo)
}

fn demo(context: &Context) -> Result<()> {
    release::build(context)?;
    integration(context, "demo", "", &[("WEIGHBRIDGE_TEST_LONG", "1")])
}

fn kills(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo.env("WEIGHBRIDGE_TEST_KILLS", "200").args([
        "test",
        "--locked",
        "--package",
        "weighbridge-collector",
        "--test",
        "kill",
        "--",
        "--nocapture",
    ]);
    context.run(&mut cargo)?;
    integration(
        context,
        "it",
        "collector_kill::",
        &[("WEIGHBRIDGE_TEST_KILLS", "100")],
    )
}

fn soak(context: &Context) -> Result<()> {
    release::build(context)?;
    integration(context, "it", "soak::", &[("WEIGHBRIDGE_TEST_SOAK", "600")])
}

fn month(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo.env("WEIGHBRIDGE_TEST_MONTH", "1").args([
        "test",
        "--locked",
        "--release",
        "--package",
        "weighbridge-collector",
        "--test",
        "month",
        "--",
        "--nocapture",
    ]);
    context.run(&mut cargo)
}

fn clock(context: &Context) -> Result<()> {
    /// Those whose figures depend on how time is read.
    const WEIGHED_TESTS: [&str; 12] = [
        "bill_life",
        "conservation",
        "edges",
        "grpc",
        "http2",
        "life",
        "process",
        "regions",
        "serve",
        "shapes",
        "task_monitor",
        "upgrades",
    ];
    // Alone: its threads are to share the processors with each other.
    let mut minutes = context.cargo();
    minutes.args([
        "test",
        "--locked",
        "--package",
        "weighbridge-agent",
        "--lib",
        "clock::",
        "--release",
        "--",
        "--ignored",
        "--test-threads=1",
    ]);
    context.run(&mut minutes)?;
    for (name, value) in crate::gate::OTHER_CLOCKS {
        say::line(&format!("{name}={value}"));
        let mut tests = context.cargo();
        tests.env(name, value).args([
            "test",
            "--locked",
            "--package",
            "weighbridge-agent",
            "--all-features",
            "--no-fail-fast",
            "--lib",
        ]);
        for test in WEIGHED_TESTS {
            tests.args(["--test", test]);
        }
        context.run(&mut tests)?;
    }
    Ok(())
}

fn properties(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo.env("PROPTEST_CASES", "5000").args([
        "test",
        "--locked",
        "--package",
        "weighbridge-wire",
        "--package",
        "weighbridge-agent",
        "--package",
        "weighbridge-collector",
        "--package",
        "weighbridge-reports",
    ]);
    context.run(&mut cargo)
}

fn allocators(context: &Context) -> Result<()> {
    let jemalloc = [
        "test",
        "--locked",
        "--package",
        "weighbridge-tests",
        "--features",
        "jemalloc",
        "--test",
        "alloc_jemalloc",
    ];
    context.run(context.cargo().args(jemalloc))?;
    let storm = [
        "test",
        "--locked",
        "--release",
        "--package",
        "weighbridge-agent",
        "--lib",
        "samples_survive_a_storm",
    ];
    context.run(
        context
            .cargo()
            .env("WEIGHBRIDGE_TEST_STORM", "40000000")
            .args(storm),
    )
}

/// How benches are built.
const MEASURED: [&str; 5] = [
    "--profile",
    "measure",
    "--locked",
    "--package",
    "weighbridge-benches",
];

/// The bench with the server of the poll hooks and the demo's report beside it.
fn conservation(context: &Context) -> Result<()> {
    let kept = context.run(
        bench_command(context)?
            .args(MEASURED)
            .args(["--bench", "conservation"]),
    );
    write_results(context, &[])?;
    kept.context("it broke off or missed a limit; benches/RESULTS.md says which")
}

/// Every bench runs even when one misses a limit; then the results are written down, and then it fails.
fn bench(context: &Context) -> Result<()> {
    const PEERS: [&str; 2] = ["--features", "peers,regions,clients,messages,stores"];
    let documents = context.target.join("bench");
    if documents.exists() {
        // What an older commit left must not stand beside new figures.
        std::fs::remove_dir_all(&documents)?;
    }
    let benches = context.run(
        bench_command(context)?
            .args(MEASURED)
            .args(PEERS)
            .arg("--no-fail-fast"),
    );
    write_results(context, &PEERS)?;
    benches.context("a bench failed or missed a limit; benches/RESULTS.md says which")
}

/// `cargo bench`, which knows where the server with poll hooks and the demo's report are.
fn bench_command(context: &Context) -> Result<Command> {
    let mut cargo = context.cargo();
    cargo
        .env("WEIGHBRIDGE_BENCH_HOOKED", hooked_server(context)?)
        .env("WEIGHBRIDGE_BENCH_DEMO", demo_report(context)?)
        .arg("bench");
    Ok(cargo)
}

/// Writes what the benches left into `benches/RESULTS.md`.
fn write_results(context: &Context, features: &[&str]) -> Result<()> {
    let mut results = context.cargo();
    results
        .arg("run")
        .args(MEASURED)
        .args(features)
        .args(["--bin", "results", "--"])
        .arg(context.target.join("bench"));
    context.run(&mut results)
}

/// The weighed server with poll hooks.
fn hooked_server(context: &Context) -> Result<PathBuf> {
    hooked(context, "weighbridge-benches", "serve_weighed")
}

/// A program built with Tokio's poll hooks, in a target directory of its own: the flag changes every crate.
fn hooked(context: &Context, package: &str, program: &str) -> Result<PathBuf> {
    let target = context.target.join("tokio_unstable");
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = context.cargo();
    cargo
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", format!("{flags} --cfg tokio_unstable"))
        .args(["build", "--quiet", "--locked", "--profile", "measure"])
        .args(["--package", package, "--bin", program]);
    context.run(&mut cargo)?;
    Ok(target
        .join("measure")
        .join(format!("{program}{}", std::env::consts::EXE_SUFFIX)))
}

/// Predictions for other placements, tried for real. The sealed file stays in `target/bench-verify`.
fn verify(context: &Context) -> Result<()> {
    release::build(context)?;
    let out = context.target.join("bench-verify");
    context.run(
        context
            .command(context.binary("release"))
            .args(["demo", "--verify", "--out"])
            .arg(&out),
    )
}

/// The report of a run of the demo at its usual length. Its services have the poll hooks: without them nobody can
/// tell the scheduler from a task that nothing wrapped.
fn demo_report(context: &Context) -> Result<PathBuf> {
    let weighbridge = hooked(context, "weighbridge", "weighbridge")?;
    let out = context.target.join("bench-demo");
    context.run(
        context
            .command(weighbridge)
            .args(["demo", "--out"])
            .arg(&out),
    )?;
    Ok(out.join("report.json"))
}

fn integration(
    context: &Context,
    binary: &str,
    filter: &str,
    settings: &[(&str, &str)],
) -> Result<()> {
    let mut cargo = context.cargo();
    cargo
        .envs(settings.iter().copied())
        .env("WEIGHBRIDGE_TEST_BINARY", context.binary("release"))
        .args([
            "test",
            "--locked",
            "--package",
            "weighbridge-tests",
            "--test",
            binary,
            "--",
            "--nocapture",
            filter,
        ]);
    context.run(&mut cargo)
}
