//! The build that a newcomer waits for.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock::Stopwatch;
use crate::context::Context;
use crate::say;

/// The longest that the quick start's build may take from an empty cache on two cores, OTLP and TLS included.
pub(crate) const COLD_MAX: Duration = Duration::from_secs(8 * 60);
/// What the gate bears: the same build took 402 and 497 s on two machines of one kind. `evidence build` is held to
/// [`COLD_MAX`].
const COLD_BORNE: Duration = Duration::from_secs(12 * 60);

/// Builds the quick start's binary and says how long that took, and whether it was too long. It fails when it was far
/// too long, from an empty cache and on two cores or more.
pub(crate) fn build(context: &Context) -> Result<()> {
    let cold = !context.target.join("release").join("deps").is_dir();
    let watch = Stopwatch::start();
    let mut cargo = context.cargo();
    // A cargo that runs inside cargo inherits settings of the outer one; the newcomer has none.
    cargo.env_remove("RUSTFLAGS").args([
        "build",
        "--release",
        "--locked",
        "--package",
        "weighbridge",
    ]);
    context.run(&mut cargo)?;
    let took = watch.elapsed();
    let binary = context.binary("release");
    let bytes = std::fs::metadata(&binary)
        .with_context(|| format!("{} was not built", binary.display()))?
        .len();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    say::line(&format!(
        "release build of weighbridge: {:.0} s {} on {cores} cores; the binary has {:.1} MiB",
        took.as_secs_f64(),
        if cold {
            "from an empty cache"
        } else {
            "with a cache that was not empty"
        },
        bytes as f64 / f64::from(1 << 20),
    ));
    if !cold || cores < 2 || took <= COLD_MAX {
        return Ok(());
    }
    let said = format!(
        "the quick start's build took {:.0} s from an empty cache, more than {} s; see `cargo build --timings` for what to put behind a feature",
        took.as_secs_f64(),
        COLD_MAX.as_secs()
    );
    if took > COLD_BORNE {
        bail!(said);
    }
    say::loud(&said);
    Ok(())
}
