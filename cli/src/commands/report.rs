//! `report`.

mod ignore;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use weighbridge_collector::{Access, Clock, SERVICE, Span, fetch_range, read_range};
use weighbridge_reports::compare::compare;
use weighbridge_reports::topology::Weighed;
use weighbridge_reports::{ConstraintFile, Document, Options, Prices, formats, html};
use weighbridge_wire::FoldedRange;

use crate::args::{Format, ReportArgs, SourceArgs};
use crate::exit::{Exit, Stop};
use crate::{output, runtime};

/// Makes a report.
pub(crate) fn run(args: &ReportArgs) -> Result<Exit, Stop> {
    let wanted = formats_of(&args.format, args.out.is_some())?;
    let options = report_options(args)?;
    let range = range(&args.source)?;
    if !options.constraints.is_empty() {
        let weighed = Weighed::read(&range, &options);
        options
            .constraints
            .check(weighed.inputs())
            .map_err(|error| Stop::usage(error.to_string()))?;
    }
    let range = if args.redact {
        weighbridge_reports::redact(&range)
    } else {
        range
    };
    let mut document = Document::build(&range, &options);
    if let Some(path) = &args.baseline {
        document.change = Some(compare(&super::diff::read(path)?, &document));
    }
    if let Some(path) = &args.after {
        document.compare_with_earlier(&super::diff::read(path)?);
    }
    for format in wanted {
        emit(&files(&document, format)?, format, args.out.as_deref())?;
    }
    Ok(Exit::Ok)
}

/// The settings of a report: those of the file of constraints, prices and what is to be left out.
fn report_options(args: &ReportArgs) -> Result<Options, Stop> {
    let mut options = options(args.constraints.as_deref())?;
    options.target_utilisation = args.target_utilisation;
    if args.core_hour.is_some() || args.gib_hour.is_some() {
        options.prices = Some(Prices {
            core_hour: args.core_hour.unwrap_or(0.0),
            gib_hour: args.gib_hour.unwrap_or(0.0),
            currency: args.currency.clone(),
        });
    }
    if let Some(path) = &args.ignore {
        options.ignore = ignore::read(path)?;
    }
    Ok(options)
}

/// The formats asked for: those that a directory gets by default, or one for standard output.
pub(super) fn formats_of(asked: &[Format], has_out: bool) -> Result<BTreeSet<Format>, Stop> {
    let mut wanted: BTreeSet<Format> = asked.iter().copied().collect();
    if wanted.is_empty() {
        wanted = if has_out {
            BTreeSet::from([Format::Html, Format::Json])
        } else {
            BTreeSet::from([Format::Md])
        };
    }
    if !has_out && (wanted.len() > 1 || wanted.contains(&Format::Csv)) {
        return Err(Stop::usage(
            "several files need a directory: give --out DIR, or one of html, json, md with --format",
        ));
    }
    Ok(wanted)
}

/// The settings, with the constraints of a file.
pub(super) fn options(constraints: Option<&Path>) -> Result<Options, Stop> {
    let mut options = Options::default();
    if let Some(path) = constraints {
        let wrong = |why: String| Stop::usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let file = ConstraintFile::parse(&text).map_err(|error| wrong(error.to_string()))?;
        options.constraints = file.constraints;
        options.prices = file.prices;
        options.plan_days = file.plan_days;
    }
    Ok(options)
}

/// To a directory, or to standard output.
pub(super) fn emit(
    files: &[(String, String)],
    format: Format,
    out: Option<&Path>,
) -> Result<(), Stop> {
    match out {
        Some(out) => write(files, out),
        None => print(files, format),
    }
}

/// To standard output. What a person reads there holds names from outside.
fn print(files: &[(String, String)], format: Format) -> Result<(), Stop> {
    // Of the page there are two copies.
    for (_, text) in files.iter().rev().take(1) {
        match format {
            Format::Md => output::data(&output::visible(text))?,
            Format::Html | Format::Json | Format::Csv => output::data(text)?,
        }
    }
    Ok(())
}

/// What was collected; an error when that is nothing.
pub(super) fn range(args: &SourceArgs) -> Result<FoldedRange, Stop> {
    let range = read(args)?;
    refuse_empty(&range, args)?;
    Ok(range)
}

fn read(args: &SourceArgs) -> Result<FoldedRange, Stop> {
    let (since, until) = (args.since.as_deref(), args.until.as_deref());
    // Read here even when the collector reads it again: a wrong range is wrong usage.
    let span = Span::parse(since, until, Clock::system().now_unix_ns()).map_err(Stop::usage)?;
    if args.from.contains("://") {
        let access = Access::from_env();
        let fetch = fetch_range(&args.from, &access, since, until);
        return Ok(runtime::current_thread()?
            .block_on(fetch)
            .map_err(anyhow::Error::new)?);
    }
    Ok(read_range(Path::new(&args.from), span).map_err(anyhow::Error::new)?)
}

fn refuse_empty(range: &FoldedRange, args: &SourceArgs) -> Result<(), Stop> {
    // A collector weighs itself: that alone is no data.
    if range
        .windows
        .iter()
        .any(|window| window.service.service != SERVICE && !window.rows.is_empty())
    {
        return Ok(());
    }
    let asked = match (&args.since, &args.until) {
        (None, None) => String::new(),
        (since, until) => format!(
            " between {} and {}",
            since.as_deref().unwrap_or("the beginning"),
            until.as_deref().unwrap_or("now")
        ),
    };
    Err(Stop::not_enough_data(format!(
        "{} holds no service's ledger{asked}: give the services load and wait for a window to end (10 s), ask for a longer \
         range, or see with `weighbridge doctor` why nothing arrives",
        args.from
    )))
}

pub(super) fn write(files: &[(String, String)], out: &Path) -> Result<(), Stop> {
    std::fs::create_dir_all(out).with_context(|| {
        format!(
            "cannot make the directory {}; choose one that can be written with --out",
            out.display()
        )
    })?;
    for (name, text) in files {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| {
            format!(
                "cannot write {}; see its permissions and the free space",
                path.display()
            )
        })?;
        output::data(&output::visible(&format!("{}\n", path.display())))?;
    }
    Ok(())
}

/// The files of a format: name and contents.
pub(super) fn files(document: &Document, format: Format) -> Result<Vec<(String, String)>, Stop> {
    Ok(match format {
        // A known place, and a copy that the next report does not replace.
        Format::Html => {
            let page = html::render(document);
            vec![
                (formats::page_name(document), page.clone()),
                ("report.html".into(), page),
            ]
        }
        Format::Json => {
            let json = formats::json(document).context("the document cannot be written as JSON")?;
            vec![("report.json".into(), json)]
        }
        Format::Csv => formats::csv(document)
            .into_iter()
            .map(|table| (format!("{}.csv", table.name), table.text))
            .collect(),
        Format::Md => vec![("report.md".into(), formats::markdown(document))],
    })
}
