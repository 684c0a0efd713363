//! The picture of a report in the README and the excerpt beside it, made from the demo's report that the tests left.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::browser;
use crate::context::Context;
use crate::say;
use crate::steps::Outcome;

/// Size of the picture, pixels.
const SIZE: (u32, u32) = (1280, 1480);
/// Where the README shows it.
const PICTURE: &str = "docs/img/report.png";
const BEGIN: &str = "<!-- begin: made by `cargo xtask regenerate picture` -->";
const END: &str = "<!-- end -->";
/// Origins in the excerpt, the dearest.
const ORIGINS: usize = 5;
/// Figures that the first change is predicted to alter, in the excerpt: rows that begin so.
const PREDICTED: [&str; 2] = ["| cores of ", "| CPU of a request of "];
/// Most of them.
const PREDICTIONS: usize = 4;
/// Units that the size of a figure chooses, so that they differ from run to run as its digits do.
const UNITS: [&str; 8] = ["ns", "µs", "ms", "s", "B", "KiB", "MiB", "GiB"];

/// Makes picture and excerpt anew; with `check` elsewhere, and compares what can be compared: figures differ from run
/// to run, the form and the words do not.
pub(crate) fn regenerate(context: &Context, check: bool) -> Result<Outcome> {
    if let Some(skipped) = browser::prepare(context)? {
        return Ok(skipped);
    }
    let reports = browser::report_dir(context);
    let (report, ledger) = (reports.join("report.html"), reports.join("ledger"));
    browser::present(&report, "the demo test")?;
    browser::present(&ledger, "the demo test")?;
    let picture = if check {
        let folder = context.target.join("xtask").join("picture");
        std::fs::create_dir_all(&folder)?;
        folder.join("report.png")
    } else {
        context.root.join(PICTURE)
    };
    draw(context, &report, &picture)?;
    expect_png(&picture)?;
    let mut binary = context.command(context.binary("release"));
    binary.arg("report").arg("--from").arg(&ledger);
    let markdown = context.read(binary.args(["--format", "md"]))?;
    let fresh = excerpt(&markdown)?;
    let path = context.root.join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let (before, current, after) = parts(&readme)?;
    if check {
        expect_png(&shown(&context.root, &readme)?)?;
        let (there, made) = (form(current), form(&fresh));
        if there != made {
            bail!(
                "the README's excerpt has another form than the report now: {there:?} there, {made:?} made; \
                 run `cargo xtask regenerate picture` and look at both"
            );
        }
        let stale = stale_words(current, &fresh);
        if let Some(stale) = stale.first() {
            bail!(
                "the README's excerpt has other words than the report now: `{stale}`; run `cargo xtask regenerate \
                 picture` and look at the picture too"
            );
        }
        say::line("the README's picture and excerpt have the form and the words of the report");
    } else {
        std::fs::write(&path, format!("{before}{BEGIN}\n\n{fresh}\n{END}{after}"))?;
        say::line(&format!("wrote {PICTURE} and the excerpt in README.md"));
    }
    Ok(Outcome::Passed)
}

/// By hand: what cannot be made is an error.
pub(crate) fn run(context: &Context, check: bool) -> Result<()> {
    match regenerate(context, check)? {
        Outcome::Skipped(why) | Outcome::Failed(why) => bail!(why),
        Outcome::Passed => Ok(()),
    }
}

fn draw(context: &Context, report: &Path, picture: &Path) -> Result<()> {
    let mut node = context.command("node");
    node.arg(browser::folder(context).join("picture.mjs"))
        .arg(report)
        .arg(picture)
        .args([SIZE.0.to_string(), SIZE.1.to_string()]);
    context.run(&mut node)
}

/// The picture that the README shows.
fn shown(root: &Path, readme: &str) -> Result<PathBuf> {
    if !readme.contains(&format!("]({PICTURE})")) {
        bail!("README.md does not show {PICTURE}");
    }
    Ok(root.join(PICTURE))
}

/// Fails when a file is no PNG of the size that is promised.
fn expect_png(path: &Path) -> Result<()> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let size = png_size(&bytes).with_context(|| format!("{} is no PNG", path.display()))?;
    if size != SIZE {
        bail!("{} has {size:?} pixels, not {SIZE:?}", path.display());
    }
    Ok(())
}

/// Width and height from the first chunk of a PNG.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    // Length and name of the chunk, then its data.
    let data = rest.get(4..16)?.strip_prefix(b"IHDR")?;
    let number = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?))
}

/// The README before the excerpt, the excerpt, and what follows.
fn parts(readme: &str) -> Result<(&str, &str, &str)> {
    let split = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (excerpt, after) = rest.split_once(END)?;
        Some((before, excerpt, after))
    });
    split.with_context(|| format!("README.md has no part between `{BEGIN}` and `{END}`"))
}

/// Of a report as Markdown: what it says should be done or tried, what the dearest origins cost, and what the first
/// change is predicted to make of it.
fn excerpt(markdown: &str) -> Result<String> {
    let verdicts = table(markdown, "## Verdicts")?;
    let origins = table(markdown, "## Cost per origin")?;
    let is_advice = |row: &&&str| row.starts_with("| do |") || row.starts_with("| try |");
    let advice: Vec<&str> = verdicts[2..].iter().filter(is_advice).copied().collect();
    if advice.is_empty() || origins.len() <= 2 {
        bail!("the report advises nothing or has no origin: no excerpt can be made of it");
    }
    let mut lines: Vec<&str> = verdicts[..2].to_vec();
    lines.extend(advice);
    let title = cells(lines[2]).get(2).cloned().unwrap_or_default();
    let card = table(markdown, &format!("### {title}"))?;
    let is_changed_cost = |row: &&&str| {
        PREDICTED.iter().any(|begins| row.starts_with(begins))
            && matches!(&cells(row)[..], [_, before, after, ..] if before != after)
    };
    let predicted: Vec<&str> = card[2..]
        .iter()
        .filter(is_changed_cost)
        .take(PREDICTIONS)
        .copied()
        .collect();
    if predicted.is_empty() {
        bail!("the card `{title}` predicts no CPU: no excerpt can be made of it");
    }
    lines.push("");
    lines.extend(origins.iter().take(2 + ORIGINS));
    lines.push("");
    lines.extend(&card[..2]);
    lines.extend(predicted);
    Ok(lines.join("\n") + "\n")
}

/// The cells of a row. One may hold an escaped bar.
fn cells(row: &str) -> Vec<String> {
    row.replace("\\|", "\u{0}")
        .trim()
        .trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "\\|"))
        .collect()
}

/// Advice in one excerpt that the other words differently. Which advice there is differs from run to run: only verdicts
/// and kinds that both have are compared.
fn stale_words(current: &str, fresh: &str) -> Vec<String> {
    let fresh = advice(fresh);
    advice(current)
        .into_iter()
        .filter(|(key, words)| {
            let mut same = fresh.iter().filter(|(other, _)| other == key).peekable();
            same.peek().is_some() && same.all(|(_, other)| other != words)
        })
        .map(|(_, words)| words)
        .collect()
}

/// The advice in an excerpt: verdict and kind, and its words without figures.
fn advice(excerpt: &str) -> Vec<([String; 2], String)> {
    excerpt
        .lines()
        .filter_map(|line| match &cells(line)[..] {
            [verdict, kind, what, why] if verdict == "do" || verdict == "try" => Some((
                [verdict.clone(), kind.clone()],
                masked(&format!("{what} {why}")),
            )),
            _ => None,
        })
        .collect()
}

/// A text with `#` for each figure and its unit.
fn masked(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut after_figure = false;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_figure = bare.starts_with(|c: char| c.is_ascii_digit());
        let shown = if is_figure || (after_figure && UNITS.contains(&bare)) {
            word.replace(bare, "#")
        } else {
            word.to_owned()
        };
        words.push(shown);
        after_figure = is_figure;
    }
    words.join(" ")
}

/// The rows of the table under a heading, its two head rows first.
fn table<'a>(markdown: &'a str, heading: &str) -> Result<Vec<&'a str>> {
    let rows: Vec<&str> = markdown
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    if rows.len() < 2 {
        bail!("the report has no table under `{heading}`");
    }
    Ok(rows)
}

/// The form of an excerpt: the heads of its tables, and for each how many cells its rows have. An empty cell, or a
/// table without rows, shows in it.
fn form(excerpt: &str) -> Vec<(String, Vec<usize>)> {
    let mut tables: Vec<(String, Vec<usize>)> = Vec::new();
    let mut within = false;
    for line in excerpt.lines().map(str::trim) {
        if !line.starts_with('|') {
            within = false;
            continue;
        }
        let count = cells(line).iter().filter(|cell| !cell.is_empty()).count();
        match tables.last_mut() {
            Some((_, counts)) if within => {
                if !counts.contains(&count) {
                    counts.push(count);
                }
            }
            _ => tables.push((line.to_owned(), Vec::new())),
        }
        within = true;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "# Weighbridge report\n\n## Verdicts\n\n| verdict | kind | what | why |\n|---|---|---|---|\n\
        | do | merge | Merge a \\| b. | It saves 12.6 % of 2.06 ms. |\n| leave | keep | c | d |\n\n\
        ### Merge a \\| b.\n\n- evidence\n\n| figure | before | after |\n|---|---:|---:|\n\
        | cores of a and b together | 0.2 | 0.1 |\n| calls | 5 | 0 |\n| CPU of a request of y | 1 ms | 1 ms |\n| CPU of a request of x | 3 ms | 2 ms |\n\n\
        ### c\n\n## Cost per origin\n\n| origin | rate |\n|---|---:|\n| x | 1 |\n| y | 2 |\n\n## Edges\n";

    #[test]
    fn an_excerpt_holds_advice_origins_and_what_is_predicted_of_the_first() {
        let made = excerpt(REPORT).unwrap();
        assert_eq!(
            made,
            "| verdict | kind | what | why |\n|---|---|---|---|\n| do | merge | Merge a \\| b. | It saves 12.6 % of 2.06 ms. |\n\n\
             | origin | rate |\n|---|---:|\n| x | 1 |\n| y | 2 |\n\n\
             | figure | before | after |\n|---|---:|---:|\n| cores of a and b together | 0.2 | 0.1 |\n\
             | CPU of a request of x | 3 ms | 2 ms |\n"
        );
        let dumb = REPORT
            .replace("cores of", "calls of")
            .replace("CPU of", "wall of");
        assert!(excerpt(&dumb).is_err());
        assert!(excerpt(&REPORT.replace("| do |", "| leave |")).is_err());
        assert!(excerpt("# Weighbridge report\n").is_err());
    }

    #[test]
    fn the_form_is_that_of_the_heads_and_rows_and_not_of_the_figures() {
        let made = form(&excerpt(REPORT).unwrap());
        let other = excerpt(REPORT).unwrap().replace("| x | 1 |", "| z | 7.5 |");
        assert_eq!(form(&other), made);
        let narrower = excerpt(REPORT).unwrap().replace("| x | 1 |", "| z |");
        assert_ne!(form(&narrower), made);
        let another = excerpt(REPORT).unwrap().replace("rate", "cost");
        assert_ne!(form(&another), made);
        let empty = excerpt(REPORT).unwrap().replace("| 2 |", "|  |");
        assert_ne!(form(&empty), made);
    }

    #[test]
    fn other_figures_are_no_other_words_and_other_words_are() {
        let made = excerpt(REPORT).unwrap();
        let stale = |changed: &str| stale_words(&made, changed);
        assert_eq!(stale(&made), [""; 0]);
        assert_eq!(
            stale(&made.replace("12.6 % of 2.06 ms", "9 % of 870 µs")),
            [""; 0]
        );
        let other = made.replace("It saves", "It spares");
        assert_eq!(stale(&other), ["Merge a \\| b. It saves # % of # #."]);
        // Advice that the other run has not, or has beside it.
        assert_eq!(stale(&made.replace("| do |", "| try |")), [""; 0]);
        let two = format!("{other}{}", made.lines().nth(2).unwrap());
        assert_eq!(stale(&two), [""; 0]);
    }

    #[test]
    fn the_excerpt_stands_between_its_marks() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb");
        assert_eq!(parts(&readme).unwrap(), ("a\n", "\nold\n", "\nb"));
        assert!(parts("a b").is_err());
    }

    #[test]
    fn a_png_says_its_size() {
        let bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x05\0\0\0\x04\x7e\x08";
        assert_eq!(png_size(bytes), Some((1280, 1150)));
        assert_eq!(png_size(b"GIF89a"), None);
        assert_eq!(png_size(&bytes[..20]), None);
    }
}
