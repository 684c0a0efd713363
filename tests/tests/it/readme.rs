//! What the documents promise exists.

use std::collections::BTreeSet;
use std::process::Command;

use weighbridge_tests::{weighbridge, workspace_root};

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace_root().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> Vec<String> {
    let mut found: Vec<String> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ]
    .map(str::to_owned)
    .into();
    for entry in std::fs::read_dir(workspace_root().join("docs"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.push(format!("docs/{name}"));
        }
    }
    found
}

/// The words of command lines in code blocks and code spans that begin with `prefix`.
fn commands(text: &str, prefix: &str) -> Vec<Vec<String>> {
    text.lines()
        .flat_map(|line| {
            let block = line.strip_prefix("    ").map(str::to_owned);
            let spans = line
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>();
            block.into_iter().chain(spans)
        })
        .filter_map(|code| {
            let rest = code.trim().strip_prefix(prefix)?.to_owned();
            Some(rest.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}

fn help(args: &[&str]) -> String {
    let output = Command::new(weighbridge())
        .args(args)
        .arg("--help")
        .output();
    let output = output.unwrap_or_else(|error| panic!("the binary does not start: {error}"));
    assert!(output.status.success(), "{args:?} --help: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_command_of_the_documents_is_understood() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        let mut found = commands(&text, "cargo run --release -- ");
        found.extend(commands(&text, "weighbridge "));
        for words in found {
            let Some(subcommand) = words
                .first()
                .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            else {
                continue;
            };
            let help = help(&[subcommand]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag
                    .split('=')
                    .next()
                    .unwrap_or(flag)
                    .trim_end_matches([',', '.', ')']);
                assert!(
                    help.contains(flag),
                    "{document}: `weighbridge {subcommand}` has no {flag}:\n{help}"
                );
            }
            seen.insert(subcommand.clone());
        }
    }
    for expected in ["demo", "collect", "report"] {
        assert!(
            seen.contains(expected),
            "the documents do not show `weighbridge {expected}`; saw {seen:?}"
        );
    }
}

#[test]
fn every_task_of_the_documents_exists() {
    let tasks = read("xtask/src/main.rs");
    for document in documents() {
        for words in commands(&read(&document), "cargo xtask ") {
            let Some(task) = words
                .first()
                .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            else {
                continue;
            };
            let variant: String = task
                .split('-')
                .map(|part| {
                    let (head, tail) = part.split_at(1);
                    head.to_ascii_uppercase() + tail
                })
                .collect();
            assert!(
                tasks.contains(&format!("    {variant}")),
                "{document}: there is no task {task}"
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = std::path::Path::new(&document)
            .parent()
            .map(std::path::Path::to_path_buf)
            .unwrap_or_default();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or(link);
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = workspace_root().join(&folder).join(path);
            assert!(target.exists(), "{document}: {link} leads nowhere");
        }
    }
}
