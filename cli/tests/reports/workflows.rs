//! The workflow files of `docs/ci/`: they are YAML, say only what the program knows, and end as it ends.

use yaml_rust2::{Yaml, YamlLoader};

use super::*;

fn docs(name: &str) -> String {
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/ci")
            .join(name),
    )
}

fn workflow(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&docs(name)).expect("YAML");
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

fn steps<'a>(workflow: &'a Yaml, job: &str) -> &'a [Yaml] {
    let steps = &workflow["jobs"][job]["steps"];
    steps
        .as_vec()
        .unwrap_or_else(|| panic!("the steps of {job}"))
}

/// What a shell would run of this program: the words of each command, without the first.
fn commands(script: &str) -> Vec<Vec<String>> {
    let lines = script.replace("\\\n", " ");
    lines
        .lines()
        .filter(|line| !line.trim_start().starts_with("echo "))
        .filter_map(|line| {
            let (_, ours) = line.split_once("weighbridge ")?;
            let ends = |word: &&str| !["||", "|", "&&", "&", ">"].contains(word);
            let words = ours.split_whitespace().take_while(ends);
            Some(
                words
                    .map(|word| word.trim_matches('`').to_owned())
                    .collect(),
            )
        })
        .collect()
}

/// Fails on a subcommand or a flag that the program does not know.
fn known(command: &[String]) {
    let help = run(weighbridge().args(["help", &command[0]]));
    assert_eq!(help.code, 0, "{command:?}: {}", help.stderr);
    for flag in command.iter().filter(|word| word.starts_with("--")) {
        let is_known = help
            .stdout
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .any(|word| word == flag);
        assert!(
            is_known,
            "{flag} of {command:?} is not in:\n{}",
            help.stdout
        );
    }
}

#[test]
fn the_workflows_are_yaml_and_belong_together() {
    let (weigh, comment) = (
        workflow("weighbridge.yml"),
        workflow("weighbridge-comment.yml"),
    );
    assert_eq!(comment["on"]["workflow_run"]["workflows"][0], weigh["name"]);
    // The job that runs the pull request's code holds no token that can write.
    assert_eq!(weigh["permissions"]["contents"].as_str(), Some("read"));
    let permissions = weigh["permissions"].as_hash().expect("a table");
    assert_eq!(permissions.len(), 1);
    let uploaded = steps(&weigh, "weigh").last().expect("steps");
    assert_eq!(
        uploaded["if"].as_str(),
        Some("always()"),
        "also after a breach"
    );
    let taken = &steps(&comment, "comment")[0];
    assert_eq!(uploaded["with"]["name"], taken["with"]["name"]);
    let script = steps(&comment, "comment")[1]["run"]
        .as_str()
        .expect("a script");
    for file in ["diff/number", "diff/diff.md"] {
        assert!(script.contains(file), "{file}");
    }
    // What comes from outside reaches a shell by its environment only.
    for step in steps(&weigh, "weigh")
        .iter()
        .chain(steps(&comment, "comment"))
    {
        let script = step["run"].as_str().unwrap_or_default();
        assert!(!script.contains("${{"), "{script}");
    }
}

#[test]
fn the_workflows_use_only_flags_that_there_are() {
    let weigh = workflow("weighbridge.yml");
    let scripts: Vec<&str> = steps(&weigh, "weigh")
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    let ran: Vec<Vec<String>> = scripts.iter().flat_map(|script| commands(script)).collect();
    let names: Vec<&str> = ran.iter().map(|command| command[0].as_str()).collect();
    // What takes the place of the demo is told beside it.
    let weighing = ["collect", "report", "demo"];
    assert_eq!(names, [&weighing[..], &weighing, &["diff"]].concat());
    ran.iter().for_each(|command| known(command));
    // Those that the page about them names.
    let told = docs("README.md").replace('\n', " ");
    let told: Vec<Vec<String>> = told
        .split('`')
        .filter(|code| code.starts_with("weighbridge "))
        .flat_map(commands)
        .collect();
    assert!(told.len() >= 4, "{told:?}");
    told.iter().for_each(|command| known(command));
}

#[test]
fn the_workflow_installs_the_program_and_builds_nothing_else_of_ours() {
    let weigh = workflow("weighbridge.yml");
    let all = steps(&weigh, "weigh");
    // `cargo install` takes the package that this test belongs to, out of the sources that were fetched for it.
    let sources = &all[0]["with"];
    assert_eq!(
        sources["repository"].as_str(),
        Some("${{ vars.WEIGHBRIDGE_REPOSITORY }}")
    );
    let package = Path::new(env!("CARGO_MANIFEST_DIR"))
        .file_name()
        .expect("a name");
    let install = format!(
        "cargo install --locked --path {}/{}",
        sources["path"].as_str().expect("a folder"),
        package.to_string_lossy()
    );
    assert_eq!(all[1]["run"].as_str(), Some(install.as_str()));
    // The user's own checkouts need not know of Weighbridge.
    for step in &all[2..] {
        let script = step["run"].as_str().unwrap_or_default();
        assert!(!script.contains("cargo"), "{script}");
    }
    for name in ["Weigh the base", "Weigh the head"] {
        let step = all.iter().find(|step| step["name"].as_str() == Some(name));
        let script = step.and_then(|step| step["run"].as_str()).expect(name);
        assert!(script.starts_with("# PLACEHOLDER"), "{script}");
    }
}

/// The step that compares, run as a runner runs it, with this program as the one that was installed.
fn compare(desk: &Desk, name: &str, base: &Path, head: &Path) -> (Ended, PathBuf) {
    let weigh = workflow("weighbridge.yml");
    let step = steps(&weigh, "weigh")
        .iter()
        .find(|step| step["name"].as_str() == Some("Compare"))
        .expect("a step that compares");
    let at = desk.path(name);
    let place = |folder: &str| {
        let folder = at.join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    };
    assert!(
        step["working-directory"].is_badvalue(),
        "it runs beside both"
    );
    let bin = place("bin");
    for (folder, report) in [("out-base", base), ("out-head", head)] {
        let to = place(folder).join("report.json");
        if report.exists() {
            std::fs::copy(report, to).expect("copied");
        }
    }
    let program = env!("CARGO_BIN_EXE_weighbridge");
    std::os::unix::fs::symlink(program, bin.join("weighbridge")).expect("a link");
    let script = at.join("step.sh");
    std::fs::write(&script, step["run"].as_str().expect("a script")).expect("written");
    let path = std::env::var("PATH").unwrap_or_default();
    // As GitHub's runners start a script whose step names no shell.
    let ended = run(Command::new("bash")
        .arg("-e")
        .arg(&script)
        .current_dir(&at)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("NO_COLOR", "1")
        .env("NUMBER", "17")
        .env("GITHUB_STEP_SUMMARY", at.join("summary")));
    (ended, at)
}

#[test]
fn the_step_that_compares_ends_as_diff_ends_and_always_leaves_what_the_comment_needs() {
    let desk = Desk::new();
    let cheap = desk.reported("cheap", &shop(CHEAP)).join("report.json");
    let dear = desk.reported("dear", &shop(DEAR)).join("report.json");
    let mut other = System::new(60);
    other.root("billing", "GET /bills", 20, [100_000; 6]);
    let other = desk.reported("other", &other).join("report.json");
    let broken = desk.path("broken.json");
    std::fs::write(&broken, "{}").expect("written");
    let absent = desk.path("absent.json");
    for (name, head, code, said) in [
        ("same", &cheap, 0, "**Within budget: no kind of request"),
        ("over", &dear, 3, "**Over budget: 1 kind of request"),
        ("nothing", &other, 4, "Nothing can be compared"),
        ("broken", &broken, 2, "`weighbridge diff` ended with 2"),
        ("absent", &absent, 1, "`weighbridge diff` ended with 1"),
    ] {
        let (ended, at) = compare(&desk, name, &cheap, head);
        assert_eq!(ended.code, code, "{name}: {}{}", ended.stdout, ended.stderr);
        let summary = read(&at.join("summary"));
        assert!(summary.contains(said), "{name}: {summary}");
        assert_eq!(read(&at.join("diff/diff.md")), summary, "{name}");
        assert_eq!(read(&at.join("diff/number")), "17\n", "{name}");
    }
}
