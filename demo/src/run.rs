//! The whole demo, from an empty directory to a verdict.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use weighbridge_reports::Document;

use crate::options::{Options, Outcome};
use crate::placement::{DEFAULT_TOML, Placement};
use crate::supervisor::{OutDirectory, Progress};
use crate::verdict;
use crate::verify::verify;
use crate::weigh::weigh;

/// Runs the demo: starts its processes, loads them, and says whether the report found what was planted.
///
/// Every process that it starts ends with it, by whatever way it ends itself.
///
/// # Errors
/// When the demo could not be run to its end. The text says what to do. A planted truth that was missed is no
/// error but an [`Outcome`] that did not pass.
pub fn run(options: Options) -> anyhow::Result<Outcome> {
    let limits = Options::SECONDS_MIN..=Options::SECONDS_MAX;
    if !limits.contains(&options.seconds) {
        bail!(
            "--seconds {} is not within {} to {}; shorter loads give no verdict",
            options.seconds,
            limits.start(),
            limits.end()
        );
    }
    if !(1..=Options::ROUNDS_MAX).contains(&options.rounds) {
        bail!(
            "--rounds {} is not within 1 to {}",
            options.rounds,
            Options::ROUNDS_MAX
        );
    }
    let placement = placement_text(options.placement.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async move {
        tokio::select! {
            outcome = demo(&options, &placement) => outcome,
            // Dropping the demo drops its children, which kills them.
            () = interrupted() => bail!("stopped; every process that the demo started is ended"),
        }
    })
}

async fn demo(options: &Options, placement: &str) -> anyhow::Result<Outcome> {
    let mut progress = Progress::new();
    let out = OutDirectory::prepare(&options.out)?;
    let (passed, mut text, document) = if options.verify {
        let verified = verify(options, placement, &out, &mut progress).await?;
        (verified.passed, verified.text, verified.document)
    } else {
        let weighing = weigh(placement, options, &out, &mut progress).await?;
        let summary = verdict::summary(&weighing);
        (summary.passed, summary.text, weighing.document)
    };
    write_report(&out, &document)?;
    text.push_str(&verdict::next_step(&out.report_html()));
    drop(progress);
    if options.open {
        open(&out.report_html());
    }
    Ok(Outcome {
        passed,
        text,
        report_html: out.report_html(),
        report_json: out.report_json(),
    })
}

fn placement_text(file: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = file else {
        return Ok(DEFAULT_TOML.to_owned());
    };
    let text = fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read the placement {}; check --placement",
            file.display()
        )
    })?;
    Placement::parse(&text).with_context(|| format!("in {}", file.display()))?;
    Ok(text)
}

fn write_report(out: &OutDirectory, document: &Document) -> anyhow::Result<()> {
    let html = weighbridge_reports::html::render(document);
    let mut json = serde_json::to_string_pretty(document).context("writing JSON")?;
    json.push('\n');
    // A known place, and a copy that the next run does not replace.
    let copy = out.kept(&weighbridge_reports::formats::page_name(document));
    for (path, text) in [
        (out.report_html(), &html),
        (copy, &html),
        (out.report_json(), &json),
    ] {
        fs::write(&path, text)
            .with_context(|| format!("cannot write {}; choose another --out", path.display()))?;
    }
    Ok(())
}

/// Opens a file in the browser, on a terminal only: a script that asks for it gets nothing.
fn open(report: &Path) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let null = std::process::Stdio::null;
    let started = std::process::Command::new(program)
        .arg(report)
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .spawn();
    if let Err(error) = started {
        tracing::warn!(%error, "`{program}` could not open the report");
    }
}

/// Waits for Ctrl-C or, where there is such a thing, SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Nobody can interrupt then; the demo ends by itself.
        std::future::pending::<()>().await;
    }
}
