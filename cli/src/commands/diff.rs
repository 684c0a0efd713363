//! `diff`.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use weighbridge_reports::compare::{Budget, compare};
use weighbridge_reports::document::SCHEMA_VERSION;
use weighbridge_reports::{Document, formats, html};

use crate::args::{DiffArgs, DiffFormat};
use crate::exit::{Exit, Stop};
use crate::output;

/// Largest document read; a report on a thousand services has some 40 MB.
const DOCUMENT_BYTES_MAX: u64 = 512 << 20;

/// Compares two reports.
pub(crate) fn run(args: &DiffArgs) -> Result<Exit, Stop> {
    let budget = args.fail_over.map(|percent| Budget { percent });
    let (base, head) = (read(&args.base)?, read(&args.head)?);
    let change = compare(&base, &head);
    let json = || formats::change_json(&change).context("the change cannot be written as JSON");
    match &args.out {
        Some(out) => super::report::write(
            &[
                ("diff.html".into(), html::render_change(&change, budget)),
                ("diff.json".into(), json()?),
                ("diff.md".into(), formats::change_markdown(&change, budget)),
            ],
            out,
        )?,
        None => match args.format {
            DiffFormat::Md => {
                let text = formats::change_markdown(&change, budget);
                output::data(&output::visible(&text))?;
            }
            DiffFormat::Json => output::data(&json()?)?,
            DiffFormat::Html => output::data(&html::render_change(&change, budget))?,
        },
    }
    if change.is_empty() {
        return Err(Stop::not_enough_data(
            "no kind of request has a unit cost in both reports, so there is nothing to compare: give both the same load",
        ));
    }
    let Some(budget) = budget else {
        return Ok(Exit::Ok);
    };
    let over = change.over(budget).len();
    if over == 0 {
        return Ok(Exit::Ok);
    }
    output::note(&format!(
        "over budget: {over} of {} kinds of requests became dearer by more than {} %",
        change.origins.len(),
        budget.percent
    ));
    Ok(Exit::BudgetBreached)
}

/// Reads a document.
pub(crate) fn read(path: &Path) -> Result<Document, Stop> {
    let what = || format!("cannot read the report {}", path.display());
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(DOCUMENT_BYTES_MAX).read_to_string(&mut text))
        .with_context(what)?;
    let version = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| {
            value
                .get("schema_version")
                .and_then(serde_json::Value::as_u64)
        });
    match version {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) => {
            return Err(Stop::usage(format!(
                "{} has schema_version {version}, and this program reads {SCHEMA_VERSION}; make it again with this version",
                path.display()
            )));
        }
        None => {
            return Err(Stop::usage(format!(
                "{} is no report: give a report.json that `weighbridge report --format json` wrote",
                path.display()
            )));
        }
    }
    Ok(serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no whole report; make it again with `weighbridge report --format json`",
            path.display()
        )
    })?)
}
