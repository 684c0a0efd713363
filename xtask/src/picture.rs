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

/// Makes picture and excerpt anew; with `check` elsewhere, and compares what can be compared: figures differ from run
/// to run, the form does not.
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
        say::line("the README's picture and excerpt have the form of the report");
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

/// Of a report as Markdown: what it says should be done or tried, and what the dearest origins cost.
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
    lines.push("");
    lines.extend(origins.iter().take(2 + ORIGINS));
    Ok(lines.join("\n") + "\n")
}

/// The rows of the table under a heading, its two head rows first.
fn table<'a>(markdown: &'a str, heading: &str) -> Result<Vec<&'a str>> {
    let rows: Vec<&str> = markdown
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
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
        // A cell may hold an escaped bar.
        let cells = line.replace("\\|", "/");
        let count = cells
            .trim_matches('|')
            .split('|')
            .filter(|cell| !cell.trim().is_empty())
            .count();
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

    const REPORT: &str = "# Weighbridge report\n\n## Verdicts\n\n| verdict | what |\n|---|---|\n| do | merge a \\| b |\n\
        | leave | c |\n\n### Merge\n\n## Cost per origin\n\n| origin | rate |\n|---|---:|\n| x | 1 |\n| y | 2 |\n\n## Edges\n";

    #[test]
    fn an_excerpt_holds_advice_and_origins() {
        let made = excerpt(REPORT).unwrap();
        assert_eq!(
            made,
            "| verdict | what |\n|---|---|\n| do | merge a \\| b |\n\n| origin | rate |\n|---|---:|\n| x | 1 |\n| y | 2 |\n"
        );
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
