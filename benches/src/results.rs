//! `RESULTS.md`: a section per bench, written from the documents that the benches left.

use std::fmt::Write as _;
use std::path::Path;

use crate::Document;
use crate::report::{limit, value, verdict};

/// Reads the documents in a directory, by name. What is no document is an error.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn read(dir: &Path) -> std::io::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let document: Document =
            serde_json::from_slice(&std::fs::read(&path)?).map_err(|error| {
                std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    format!(
                        "{} is no bench document ({error}); remove it or run its bench again",
                        path.display()
                    ),
                )
            })?;
        documents.push(document);
    }
    documents.sort_by(|a, b| a.bench.cmp(&b.bench));
    Ok(documents)
}

/// The text with the section of each document replaced, or added at the end where it had none. What stands
/// outside of the sections stays: it is written by hand.
#[must_use]
pub fn update(text: &str, documents: &[Document]) -> String {
    let mut text = text.trim_end().to_owned();
    for document in documents {
        let begin = format!("<!-- begin {} -->", document.bench);
        let end = format!("<!-- end {} -->", document.bench);
        let section = format!("{begin}\n{}{end}", section(document));
        match (text.find(&begin), text.find(&end)) {
            (Some(from), Some(to)) if from < to => {
                text.replace_range(from..to + end.len(), &section);
            }
            _ => {
                text.push_str("\n\n");
                text.push_str(&section);
            }
        }
    }
    text.push('\n');
    text
}

fn section(document: &Document) -> String {
    let machine = &document.machine;
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "## `{}`\n", document.bench);
    let _ = writeln!(
        out,
        "`{}`, commit {}, on {}, {} cores, Linux {}, Rust {}, load average before {}.\n",
        document.command,
        document.commit,
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.rustc,
        machine.load
    );
    let _ = writeln!(
        out,
        "| figure | value | unit | limit | |\n|---|---|---|---|---|"
    );
    for figure in &document.figures {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            figure.name,
            value(figure),
            figure.unit,
            limit(figure),
            verdict(figure)
        );
    }
    let notes: Vec<String> = document
        .figures
        .iter()
        .filter(|figure| !figure.note.is_empty())
        .map(|figure| format!("- {}: {}\n", figure.name, figure.note))
        .collect();
    if !notes.is_empty() {
        let _ = write!(out, "\n{}", notes.concat());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Figure, Machine};

    fn document(bench: &str, value: f64) -> Document {
        Document {
            bench: bench.into(),
            commit: "0123456789ab".into(),
            command: "cargo bench".into(),
            machine: Machine {
                cpu: "a processor".into(),
                cores: 2,
                kernel: "6.18".into(),
                rustc: "1.95.0".into(),
                load: "0.10".into(),
            },
            figures: vec![
                Figure::new("added", value, "µs")
                    .at_most(0.6)
                    .note("with all on"),
            ],
        }
    }

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let first = update(
            "# Results\n\nBy hand.\n",
            &[document("a", 0.5), document("b", 0.7)],
        );
        assert!(first.starts_with("# Results\n\nBy hand.\n\n<!-- begin a -->"));
        assert!(
            first.contains("| added | 0.70 | µs | ≤ 0.60 | MISSED |"),
            "{first}"
        );
        assert!(first.contains("- added: with all on\n"), "{first}");
        let second = update(&first, &[document("a", 0.25)]);
        assert!(second.contains("| added | 0.25 |") && !second.contains("| added | 0.50 |"));
        assert!(
            second.contains("| added | 0.70 |"),
            "the other section stays"
        );
        assert_eq!(update(&second, &[document("a", 0.25)]), second);
    }
}
