//! `simulate`.

use weighbridge_reports::document::Verdict;
use weighbridge_reports::topology::{
    Answer, Change, Question, answer_markdown, parse_changes, what_if,
};

use super::report;
use crate::args::{Format, SimulateArgs};
use crate::exit::{Exit, Stop};
use crate::output;

/// Predicts a change.
pub(crate) fn run(args: &SimulateArgs) -> Result<Exit, Stop> {
    let wanted = report::formats_of(&args.format, args.out.is_some())?;
    let question = question(args)?;
    let mut options = report::options(args.constraints.as_deref())?;
    options.target_utilisation = args.target_utilisation;
    let range = report::range(&args.source)?;
    let answer =
        what_if(&range, &options, &question).map_err(|error| Stop::usage(error.to_string()))?;
    for format in wanted {
        report::emit(&files(&answer, format)?, format, args.out.as_deref())?;
    }
    if !answer.broken.is_empty() {
        for why in &answer.broken {
            output::note(why);
        }
        return Ok(Exit::BudgetBreached);
    }
    let undecided = |r: &weighbridge_reports::document::Recommendation| {
        r.verdict == Verdict::CannotSay
            && answer.document.window.windows < options.sufficiency.windows
    };
    if answer.document.recommendations.iter().any(undecided) {
        return Ok(Exit::NotEnoughData);
    }
    Ok(Exit::Ok)
}

/// The files of a format; Markdown is the change alone.
fn files(answer: &Answer, format: Format) -> Result<Vec<(String, String)>, Stop> {
    match format {
        Format::Md => Ok(vec![("simulate.md".into(), answer_markdown(answer))]),
        Format::Html | Format::Json | Format::Csv => report::files(&answer.document, format),
    }
}

fn question(args: &SimulateArgs) -> Result<Question, Stop> {
    let mut changes = Vec::new();
    if let Some(path) = &args.change {
        let wrong = |why: String| Stop::usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        changes = parse_changes(&text).map_err(wrong)?;
        if changes.is_empty() {
            return Err(wrong("no [[change]] in it".to_owned()));
        }
    }
    if !args.merge.is_empty() {
        changes.push(Change::Merge {
            services: args.merge.clone(),
            name: None,
        });
    }
    if let Some(split) = &args.split {
        let Some((service, operations)) = split.split_once(':') else {
            return Err(Stop::usage(format!(
                "`--split {split}` names no operation: write SERVICE:OP, or SERVICE:OP,OP"
            )));
        };
        changes.push(Change::Split {
            service: service.to_owned(),
            operations: operations
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            name: None,
        });
    }
    if changes.is_empty() && args.load == 1.0 {
        return Err(Stop::usage(
            "nothing to simulate: give --merge A,B, --split SERVICE:OP, --change FILE, or --load ×N",
        ));
    }
    Ok(Question {
        changes,
        load: args.load,
    })
}
