//! A summary in Markdown, for a pull request or a terminal.

use std::fmt::Write as _;

use crate::Document;
use crate::decide::say;
use crate::document::{AfterReport, Figure, FigureUnit, Judgement, Prediction, Recommendation};
use crate::html::text::sanitize;

/// A summary: verdicts, origins, dearest edges, capacity, sum check. Names are escaped, so that none of them
/// becomes markup.
#[must_use]
pub fn markdown(document: &Document) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut text, document);
    text
}

fn write(out: &mut String, d: &Document) -> std::fmt::Result {
    let w = &d.window;
    writeln!(out, "# Weighbridge report\n")?;
    writeln!(
        out,
        "From {} to {}, {} windows, {} services.\n",
        escape(&w.start),
        escape(&w.end),
        w.windows,
        d.services.len()
    )?;
    for note in &w.notes {
        writeln!(out, "- {}", escape(note))?;
    }
    writeln!(out, "\n## Verdicts\n")?;
    if d.recommendations.is_empty() {
        writeln!(out, "No candidate for a change was found.\n")?;
    } else {
        writeln!(out, "| verdict | kind | what | why |\n|---|---|---|---|")?;
        for r in &d.recommendations {
            writeln!(
                out,
                "| {} | {} | {} | {} |",
                r.verdict.as_str(),
                r.kind.as_str(),
                escape(&r.title),
                escape(&r.verdict_reason)
            )?;
        }
        writeln!(out)?;
        for r in &d.recommendations {
            recommendation(out, r)?;
        }
    }
    left(out, d)?;
    if let Some(after) = &d.after {
        after_the_change(out, after)?;
    }
    topologies(out, d)?;
    origins(out, d)?;
    edges(out, d)?;
    capacity(out, d)?;
    obstacles(out, d)?;
    conservation(out, d)
}

/// What an ignore file took from the list: how many, and why.
fn left(out: &mut String, d: &Document) -> std::fmt::Result {
    if d.suppressed.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Left on purpose, by an ignore file: {}.\n",
        d.suppressed.len()
    )?;
    for s in &d.suppressed {
        let until = if s.until.is_empty() {
            String::new()
        } else {
            format!(" until {}", escape(&s.until))
        };
        writeln!(
            out,
            "- {} ({}): {}{until}",
            escape(&s.title),
            s.verdict.as_str(),
            escape(&s.reason)
        )?;
    }
    writeln!(out)
}

fn recommendation(out: &mut String, r: &Recommendation) -> std::fmt::Result {
    writeln!(out, "### {}\n", escape(&r.title))?;
    for e in &r.evidence {
        writeln!(out, "- {}", escape(&e.sentence))?;
    }
    if !r.prediction.is_empty() {
        writeln!(
            out,
            "\n| figure | before | after | 90 % interval |\n|---|---:|---:|---|"
        )?;
        for p in &r.prediction {
            writeln!(out, "{}", prediction_row(p))?;
        }
    }
    if let Some(j) = &r.judgement {
        judgement(out, j)?;
    }
    writeln!(out, "\nWhat gets worse: {}", escape(&r.downsides.join(" ")))?;
    writeln!(
        out,
        "\nHow to prove it wrong: {}",
        escape(&r.falsify.join(" "))
    )?;
    writeln!(out, "\nFirst step: {}\n", escape(&r.first_step))
}

fn judgement(out: &mut String, j: &Judgement) -> std::fmt::Result {
    let unit = j.gain.unit;
    let shown_or = |x: Option<f64>| x.map_or_else(|| "not known".to_owned(), |x| shown(x, unit));
    writeln!(
        out,
        "\nHow sure: {} is {} ({} to {}) after allowing for {} candidates, above nothing in {} of {} draws; cost falls in {}. Regret: {}.",
        escape(&j.objective),
        shown_or(j.gain.value),
        shown_or(j.gain.low),
        shown_or(j.gain.high),
        j.candidates,
        say::share(j.improves),
        j.draws,
        say::share(j.cost_falls),
        shown_or(j.regret.value)
    )?;
    for turn in j
        .turns
        .iter()
        .filter(|turn| turn.turns_at.is_some())
        .take(3)
    {
        writeln!(
            out,
            "- Nothing is gained when {} is {} in place of {}.",
            escape(&turn.input),
            shown(turn.turns_at.unwrap_or(turn.point), turn.unit),
            shown(turn.point, turn.unit)
        )?;
    }
    Ok(())
}

fn after_the_change(out: &mut String, after: &AfterReport) -> std::fmt::Result {
    writeln!(out, "## After the change\n")?;
    writeln!(
        out,
        "Advice of {} to {}, at {} times its load.\n",
        escape(&after.earlier_start),
        escape(&after.earlier_end),
        after
            .load_factor
            .map_or_else(|| "an unknown multiple of".to_owned(), say::number)
    )?;
    for note in &after.notes {
        writeln!(out, "- {}", escape(note))?;
    }
    for outcome in &after.outcomes {
        let seen = if outcome.applied {
            "applied"
        } else {
            "not applied"
        };
        writeln!(
            out,
            "\n### {}\n\n{seen}: {}.\n",
            escape(&outcome.title),
            escape(&outcome.seen)
        )?;
        if outcome.figures.is_empty() {
            continue;
        }
        writeln!(
            out,
            "| figure | predicted | 90 % interval | observed | off by | |\n|---|---:|---|---:|---:|---|"
        )?;
        for f in &outcome.figures {
            let show =
                |x: Option<f64>| x.map_or_else(|| "not known".to_owned(), |x| shown(x, f.unit));
            writeln!(
                out,
                "| {} | {} | {} to {} | {} | {} | {} |",
                escape(&f.figure),
                show(f.predicted),
                show(f.low),
                show(f.high),
                show(f.observed),
                f.error.map_or_else(String::new, say::share),
                escape(match (f.inside, &f.not_scored_reason) {
                    (_, Some(reason)) => reason,
                    (Some(true), None) => "inside",
                    (Some(false), None) => "outside",
                    (None, None) => "no interval",
                })
            )?;
        }
    }
    for (name, score) in [
        ("This report", &after.score),
        ("All so far", &after.running),
    ] {
        writeln!(
            out,
            "\n{name}: {} figures, {} of {} inside their interval; off by {} at the median and {} at the worst.",
            score.figures,
            score.inside,
            score.with_interval,
            score
                .error_median
                .map_or_else(|| "nothing known".to_owned(), say::share),
            score
                .error_max
                .map_or_else(|| "nothing known".to_owned(), say::share)
        )?;
    }
    writeln!(out)
}

fn obstacles(out: &mut String, d: &Document) -> std::fmt::Result {
    if d.services.iter().all(|s| s.obstacles.is_empty()) {
        return Ok(());
    }
    writeln!(
        out,
        "## What stands in the way of more processes or shards\n"
    )?;
    writeln!(
        out,
        "| service | kind | name | how much | |\n|---|---|---|---:|---|"
    )?;
    for s in &d.services {
        for o in &s.obstacles {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                escape(&s.service),
                escape(o.kind.as_str()),
                escape(&o.name),
                figure(&o.figure),
                escape(&o.sentence)
            )?;
        }
    }
    writeln!(out)
}

/// A row of a table of predictions: figure, before, after, interval.
pub(crate) fn prediction_row(p: &Prediction) -> String {
    let show = |x: Option<f64>| x.map_or_else(|| "not known".to_owned(), |x| shown(x, p.unit));
    let interval = match (p.low, p.high) {
        (Some(low), Some(high)) => format!("{} to {}", shown(low, p.unit), shown(high, p.unit)),
        _ => escape(p.interval_absent_reason.as_deref().unwrap_or("none")),
    };
    format!(
        "| {} | {} | {} | {interval} |",
        escape(&p.figure),
        show(p.before),
        show(p.after)
    )
}

fn topologies(out: &mut String, d: &Document) -> std::fmt::Result {
    let Some(found) = &d.topologies else {
        return Ok(());
    };
    writeln!(out, "## Other cuts of the system\n")?;
    if let Some(why) = &found.infeasible {
        return writeln!(out, "None is possible: {}\n", escape(why));
    }
    writeln!(
        out,
        "At {} times the load. Cost: {}. {} Today {}, best {}, no cut costs less than {}.\n",
        say::factor(found.load_factor),
        escape(&found.cost_is),
        if found.exact {
            "Every cut was looked at."
        } else {
            "Not every cut was looked at."
        },
        figure(&found.today),
        figure(&found.best),
        figure(&found.bound)
    )?;
    writeln!(
        out,
        "| cut | cost | worst latency ÷ today's | fail with one service | first step | says otherwise |\n|---|---:|---:|---:|---|---|"
    )?;
    for proposal in &found.proposals {
        let cut = if proposal.steps.is_empty() {
            "as it is today".to_owned()
        } else {
            proposal.steps.join("; ")
        };
        let objections: Vec<&str> = proposal
            .objections
            .iter()
            .map(|objection| objection.sentence.as_str())
            .collect();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            escape(&cut),
            figure(&proposal.cost),
            figure(&proposal.latency),
            figure(&proposal.blast_radius),
            escape(
                proposal
                    .first_step
                    .as_deref()
                    .unwrap_or("none saves by itself")
            ),
            escape(&objections.join(" "))
        )?;
    }
    writeln!(out)
}

fn origins(out: &mut String, d: &Document) -> std::fmt::Result {
    writeln!(out, "## Cost per origin\n")?;
    writeln!(
        out,
        "| origin | rate | CPU per request | messages | share |\n|---|---:|---:|---:|---:|"
    )?;
    for o in &d.origins {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            escape(&format!("{} {}", o.service, o.operation)),
            figure(&o.rate),
            figure(&o.unit_cost.total),
            figure(&o.message_overhead.share),
            figure(&o.share)
        )?;
    }
    writeln!(out)
}

fn edges(out: &mut String, d: &Document) -> std::fmt::Result {
    writeln!(out, "## Edges, largest message overhead first\n")?;
    writeln!(
        out,
        "| edge | calls | per request | overhead | work | cores for messages |\n|---|---:|---:|---:|---:|---:|"
    )?;
    for e in d.edges.iter().take(20) {
        let name = format!(
            "{} {} → {} {}",
            e.from.service, e.from.operation, e.to.service, e.to.operation
        );
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            escape(&name),
            figure(&e.rate),
            figure(&e.calls_per_request),
            figure(&e.overhead),
            figure(&e.work),
            figure(&e.overhead_cores)
        )?;
    }
    writeln!(out)
}

fn capacity(out: &mut String, d: &Document) -> std::fmt::Result {
    writeln!(out, "## Capacity\n")?;
    let factors: Vec<String> = d
        .capacity
        .load_factors
        .iter()
        .map(|f| format!("{}× load", say::factor(*f)))
        .collect();
    if factors.is_empty() {
        return writeln!(out, "No load factors were asked for.\n");
    }
    writeln!(out, "| service | {} |", factors.join(" | "))?;
    writeln!(out, "|---|{}", "---:|".repeat(factors.len()))?;
    for s in &d.capacity.services {
        let cells: Vec<String> = s
            .points
            .iter()
            .map(|p| {
                let mark = match (p.saturated, p.extrapolated) {
                    (true, _) => " (saturated)",
                    (false, true) => " (extrapolated)",
                    (false, false) => "",
                };
                format!("{}{mark}", figure(&p.cores))
            })
            .collect();
        writeln!(out, "| {} | {} |", escape(&s.service), cells.join(" | "))?;
    }
    if let Some(growth) = d.capacity.growth.as_ref().filter(|g| !g.said.is_empty()) {
        writeln!(out, "\n{}", escape(&growth.said))?;
    }
    for s in &d.capacity.services {
        if let Some(serial) = &s.serial {
            writeln!(
                out,
                "\nOne at a time: {} of {}, {} at most, which is {} times the load seen. More processes do not lift it.",
                escape(&serial.name),
                escape(&s.service),
                figure(&serial.throughput_max),
                figure(&serial.full_load)
            )?;
        }
    }
    writeln!(out)
}

fn conservation(out: &mut String, d: &Document) -> std::fmt::Result {
    writeln!(out, "## Sum check\n")?;
    writeln!(
        out,
        "| service | process CPU | accounts + in progress | difference | unexplained |\n|---|---:|---:|---:|---:|"
    )?;
    for s in &d.conservation.services {
        let ns = |x: Option<i64>| x.map_or_else(|| "not known".to_owned(), |x| format!("{x} ns"));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            escape(&s.service),
            ns(s.process_cpu_ns),
            ns(s.sum_ns),
            ns(s.difference_ns),
            figure(&s.unexplained_share)
        )?;
    }
    Ok(())
}

pub(super) fn figure(figure: &Figure) -> String {
    figure
        .value
        .map_or_else(|| "not known".to_owned(), |value| shown(value, figure.unit))
}

fn shown(value: f64, unit: FigureUnit) -> String {
    match unit {
        FigureUnit::Ns
        | FigureUnit::NsPerRequest
        | FigureUnit::NsPerCall
        | FigureUnit::NsPerMessage => say::ns(value),
        FigureUnit::Bytes | FigureUnit::BytesPerRequest | FigureUnit::BytesPerMessage => {
            say::bytes(value)
        }
        FigureUnit::Ratio => say::share(value),
        FigureUnit::PerSecond => say::rate(value),
        FigureUnit::Cores => say::cores(value),
        FigureUnit::Count | FigureUnit::PerRequest => say::factor(value),
        FigureUnit::NsPerByte | FigureUnit::BytesPerSecond | FigureUnit::MoneyPerHour => {
            format!("{} {}", say::number(value), unit.as_str())
        }
    }
}

/// Makes a name plain text: no table cell, link, HTML or line ends where it ends.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in sanitize(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Nobody is called by a name in a pull request.
            '@' => out.push_str("&#64;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_and_not_zero() {
        let unknown = Figure::unknown(FigureUnit::Ns, "no row");
        assert_eq!(figure(&unknown), "not known");
    }

    #[test]
    fn names_do_not_become_markup() {
        assert_eq!(escape("a|b"), "a\\|b");
        assert_eq!(escape("<img src=x>"), "&lt;img src=x&gt;");
        assert_eq!(escape("a\nb"), "a b");
        assert_eq!(escape("[x](y)"), "\\[x\\](y)");
    }
}
