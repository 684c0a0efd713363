//! Hostile names and the terminal.

use super::*;

/// What would clear a screen, hide a word or turn text round.
fn steers(text: &str) -> bool {
    text.chars().any(|c| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

#[test]
fn s7_names_from_rows_and_of_files_cannot_steer_the_terminal() {
    const BAD: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\u{7}";
    fn named(name: &str) -> &'static str {
        Box::leak(format!("{name}{BAD}").into_boxed_str())
    }
    let mut system = System::new(60);
    let orders = (named("store"), named("POST /orders"));
    let us = [300_000, 40_000, 40_000, 60_000, 60_000, 90_000];
    system.root(orders.0, orders.1, 20, us);
    system.http(
        orders,
        (named("warehouse"), named("POST /r")),
        20,
        12,
        240_000,
        60_000,
    );
    // Something that stays when orders are split off.
    system.root(orders.0, named("GET /a"), 20, us);
    system.uses(orders.0, orders.1, named("order"), "write", 20);
    let desk = Desk::new();
    let data = desk.collected(&format!("data{BAD}"), &system);
    let out = desk.path(&format!("out{BAD}"));

    // What was written is told by its path.
    let ended = report(&data, &out, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("\\u{1b}[2J"), "{}", ended.stdout);
    assert!(!steers(&ended.stdout) && !steers(&ended.stderr));
    for (name, text) in files(&out) {
        let text = text.replace("\r\n", "\n");
        let is_csv = Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "csv");
        // A CSV is for programs: they get the name as it is.
        assert!(is_csv || !steers(&text), "{name}");
    }
    let from = data.to_string_lossy();
    for to in ["md", "json", "html"] {
        let told = run(weighbridge().args(["report", "--format", to, "--from", &from]));
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(
            told.stdout.contains("store") && !steers(&told.stdout),
            "{to}"
        );
    }
    let base = out.join("report.json");
    for to in ["md", "json", "html"] {
        let told = diff(&base, &base, &["--format", to]);
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(
            told.stdout.contains("store") && !steers(&told.stdout),
            "{to}"
        );
    }

    // What `simulate` says of the same ledger.
    let both = [named("store"), named("warehouse")].join(",");
    for to in ["md", "json", "html"] {
        for change in [
            &["--load", "×2"][..],
            &["--merge", &both],
            &["--split", &format!("{}:{}", orders.0, orders.1)],
        ] {
            let told = run(weighbridge()
                .args(["simulate", "--format", to, "--from", &from])
                .args(change));
            assert_eq!(told.code, 0, "{change:?}: {}", told.stderr);
            assert!(
                told.stdout.contains("store") && !steers(&told.stdout) && !steers(&told.stderr),
                "{to} {change:?}"
            );
        }
    }
    let out = desk.path(&format!("simulated{BAD}"));
    let written = run(weighbridge()
        .args([
            "simulate",
            "--load",
            "×2",
            "--format",
            "html,json,csv,md",
            "--from",
            &from,
            "--out",
        ])
        .arg(&out));
    assert_eq!(written.code, 0, "{}", written.stderr);
    assert!(written.stdout.contains("\\u{1b}[2J") && !steers(&written.stdout));

    // What `snapshot` wrote, and what the collector's configuration holds.
    let copy = desk.path(&format!("copy{BAD}"));
    let taken = run(weighbridge()
        .args(["snapshot", "--from", &from, "--out"])
        .arg(&copy));
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(taken.stdout.contains("copy\\u{1b}[2J"), "{}", taken.stdout);
    assert!(!steers(&taken.stdout) && !steers(&taken.stderr));
    let printed = run(weighbridge().args(["print-config", "--data", &from]));
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(
        printed.stdout.contains("data\\U0000001B[2J") && !steers(&printed.stdout),
        "{}",
        printed.stdout
    );
    // It is a file that says the same.
    let file = desk.path(&format!("settings{BAD}.toml"));
    std::fs::write(&file, &printed.stdout).expect("written");
    let file = file.to_string_lossy();
    let again = run(weighbridge().args(["print-config", "--config", &file]));
    assert_eq!(again.stdout, printed.stdout, "{}", again.stderr);
    let right = run(weighbridge().args(["check-config", "--config", &file]));
    assert_eq!(right.code, 0, "{}", right.stderr);
    assert!(!steers(&right.stdout) && !steers(&right.stderr));

    // What `doctor` says of an environment.
    let doctor = run(weighbridge()
        .arg("doctor")
        .env("OTEL_SERVICE_NAME", named("store"))
        .env("WEIGHBRIDGE_TRUST", BAD)
        .env(format!("WEIGHBRIDGE_{BAD}"), BAD)
        .env("WEIGHBRIDGE_ENDPOINT", format!("http://127.0.0.1:9/{BAD}")));
    let said = format!("{}{}", doctor.stdout, doctor.stderr);
    assert!(said.contains("store\\u{1b}[2J"), "{said}");
    assert!(said.contains("callers from \\u{1b}"), "{said}");
    assert!(!steers(&said), "{said}");

    // It says what is wrong among what it found.
    let doctor = run(weighbridge().args(["doctor", "--endpoint", BAD]));
    assert_ne!(doctor.code, 0);
    assert!(doctor.stdout.contains("\\u{9b}"), "{}", doctor.stdout);
    assert!(!steers(&doctor.stdout) && !steers(&doctor.stderr));

    // What went wrong is told with the name of the file.
    let absent = desk.path(&format!("absent{BAD}"));
    let absent = absent.to_string_lossy();
    let data = data.to_string_lossy();
    let below_a_file = format!("{file}/out");
    let set = format!("lateness={BAD}");
    for args in [
        vec!["diff", &absent, &absent],
        vec!["report", "--from", &absent],
        vec!["snapshot", "--from", &absent, "--out", &absent],
        vec!["restore", "--from", &absent, "--to", &data],
        vec!["check-config", "--config", &absent],
        vec!["check-config", "--set", &set],
        vec!["print-config", "--config", &absent],
        vec!["print-config", "--listen-http", BAD],
        #[cfg(feature = "demo")]
        vec!["demo", "--placement", &absent],
        #[cfg(feature = "demo")]
        vec!["demo", "--out", &below_a_file],
        vec!["report", "--from", &data, "--ignore", &absent],
        vec!["report", "--from", &data, "--constraints", &absent],
        vec!["report", "--from", &data, "--baseline", &absent],
        vec!["report", "--from", &data, "--after", &absent],
        vec!["report", "--from", &data, "--since", BAD],
        vec!["report", "--from", &data, "--format", BAD],
        vec!["diff", &absent, &absent, "--fail-over", BAD],
        vec!["simulate", "--load", "×2", "--from", &absent],
        vec!["simulate", "--from", &data, "--change", &absent],
        vec!["simulate", "--from", &data, "--merge", BAD],
        vec!["simulate", "--from", &data, "--split", BAD],
        vec!["simulate", "--from", &data, "--load", BAD],
        vec![BAD],
    ] {
        let ended = run(weighbridge().args(&args));
        assert_ne!(ended.code, 0, "{args:?}");
        assert!(
            ended.stderr.contains("\\u{9b}"),
            "{args:?}: {}",
            ended.stderr
        );
        assert!(
            !steers(&ended.stderr) && !steers(&ended.stdout),
            "{args:?}: {}",
            ended.stderr
        );
    }
}
