//! `report` and `diff` as they are run: from a data directory into files, with what they say and how they end.

#[path = "reports/steers.rs"]
mod steers;
#[path = "../../reports/src/testing.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "rollups of made-up systems, as the tests of the reports use them"
)]
mod testing;
#[path = "reports/workflows.rs"]
mod workflows;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use testing::System;
use weighbridge_collector::store::{FoldBatch, RedbStore, Store as _};

/// A handler's CPU for one order, ns.
const CHEAP: i64 = 300_000;
const DEAR: i64 = 3_000_000;

/// Orders that the store takes and for each of which it asks the warehouse a dozen times.
fn shop(handler_ns: i64) -> System {
    let mut system = System::new(60);
    let orders = ("store", "POST /orders");
    let us = [handler_ns, 40_000, 40_000, 60_000, 60_000, 90_000];
    system.root(orders.0, orders.1, 20, us);
    system.http(
        orders,
        ("warehouse", "POST /reservations"),
        20,
        12,
        240_000,
        60_000,
    );
    system.uses("store", "POST /orders", "order", "write", 20);
    system
}

struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a collector would have kept of a system.
    fn collected(&self, name: &str, system: &System) -> PathBuf {
        let data = self.path(name);
        let store = RedbStore::open(&data, 10_000).expect("a store");
        let windows = system.range().windows.into_iter();
        let batch = FoldBatch {
            windows: windows.map(|w| ((w.window, w.service), w.rows)).collect(),
            ..FoldBatch::default()
        };
        store.fold(&batch).expect("kept");
        data
    }

    /// The report on a system in all formats; the folder it stands in.
    fn reported(&self, name: &str, system: &System) -> PathBuf {
        let data = self.collected(&format!("{name}-data"), system);
        let out = self.path(name);
        let ended = report(&data, &out, &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        out
    }
}

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn weighbridge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

fn run(command: &mut Command) -> Ended {
    command.output().expect("it starts").into()
}

fn report(data: &Path, out: &Path, args: &[&str]) -> Ended {
    let mut command = weighbridge();
    command.args(["report", "--format", "html,json,csv,md", "--from"]);
    run(command.arg(data).arg("--out").arg(out).args(args))
}

fn diff(base: &Path, head: &Path, args: &[&str]) -> Ended {
    run(weighbridge().arg("diff").arg(base).arg(head).args(args))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

/// Names and contents of all files in a folder.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), read(&path))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn diff_says_on_its_page_in_markdown_and_by_its_exit_code_whether_the_budget_holds() {
    let desk = Desk::new();
    let base = desk.reported("base", &shop(CHEAP)).join("report.json");
    let head = desk.reported("head", &shop(DEAR)).join("report.json");
    let out = desk.path("over");

    let over = diff(
        &base,
        &head,
        &["--fail-over", "10", "--out", &out.to_string_lossy()],
    );
    assert_eq!(over.code, 3, "{}", over.stderr);
    assert!(
        over.stderr
            .contains("over budget: 1 of 1 kinds of requests became dearer by more than 10 %"),
        "{}",
        over.stderr
    );
    let page = read(&out.join("diff.html"));
    assert!(
        page.contains("<h1>Over budget: 1 kind of request became dearer by more than 10"),
        "{page}"
    );
    assert!(page.contains("default-src 'none'") && page.contains("POST /orders"));
    let markdown = read(&out.join("diff.md"));
    assert!(
        markdown.contains("**Over budget: 1 kind of request"),
        "{markdown}"
    );
    let row = markdown
        .lines()
        .find(|line| line.contains("POST /orders"))
        .expect("its row");
    assert!(row.ends_with("| dearer |"), "{row}");
    let change = json(&out.join("diff.json"));
    let origin = &change["origins"][0];
    let value = |key: &str| origin[key]["value"].as_f64().expect("known");
    // 20 orders a second; the same number of calls, each dearer by 2.7 ms.
    assert!(value("more_calls").abs() < 1e-9, "{origin}");
    assert!(
        (value("unit_after") - value("unit_before") - 2.7e6).abs() < 1.0,
        "{origin}"
    );
    let both = (value("rate_before"), value("rate_after"));
    assert!(
        (value("dearer_calls") - 2.7e-3 * both.0).abs() < 1e-6,
        "{origin} at {both:?}"
    );

    let under = diff(&base, &head, &["--fail-over", "100"]);
    assert_eq!(under.code, 0, "{}", under.stderr);
    assert!(
        under.stdout.contains("**Within budget: no kind of request"),
        "{}",
        under.stdout
    );
    assert_eq!(under.stderr, "");
    // The other way round it is cheaper, and no budget is broken by that.
    assert_eq!(diff(&head, &base, &["--fail-over", "0"]).code, 0);
    // Without a budget it only says what changed: the same Markdown as in the file but for the headline.
    let told = diff(&base, &head, &[]);
    assert_eq!(told.code, 0);
    let rows = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with('|'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(rows(&told.stdout), rows(&markdown));
}

#[test]
fn diff_says_what_is_wrong_with_a_file() {
    let desk = Desk::new();
    let folder = desk.reported("base", &shop(CHEAP));
    let base = folder.join("report.json");
    let wrong = |name: &str, text: &str| {
        let path = desk.path(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let whole = read(&base);
    let mut other = json(&base);
    other["schema_version"] = 2.into();
    let mut part = json(&base);
    part.as_object_mut().expect("an object").remove("origins");
    for (path, code, said) in [
        (
            folder.join("report.html"),
            2,
            "is no report: give a report.json that `weighbridge report --format json` wrote",
        ),
        (
            wrong("half.json", &whole[..whole.len() / 2]),
            2,
            "is no report",
        ),
        (
            wrong("other.json", &other.to_string()),
            2,
            "has schema_version 2, and this program reads 1",
        ),
        (
            wrong("part.json", &part.to_string()),
            1,
            "is no whole report",
        ),
        (desk.path("absent.json"), 1, "cannot read the report"),
    ] {
        for ended in [diff(&base, &path, &[]), diff(&path, &base, &[])] {
            assert_eq!(ended.code, code, "{}", ended.stderr);
            assert!(ended.stderr.contains(said), "{}", ended.stderr);
            assert!(
                ended.stderr.contains(&*path.to_string_lossy()),
                "{}",
                ended.stderr
            );
            assert_eq!(ended.stdout, "");
        }
    }
    let mut other = System::new(60);
    other.root("billing", "GET /bills", 20, [100_000; 6]);
    let other = desk.reported("other", &other).join("report.json");
    let nothing = diff(&base, &other, &["--fail-over", "10"]);
    assert_eq!(nothing.code, 4, "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("there is nothing to compare"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn a_stamped_copy_stands_beside_the_page_and_outlives_the_next_report() {
    let desk = Desk::new();
    let data = desk.collected("data", &shop(CHEAP));
    let out = desk.path("out");
    assert_eq!(report(&data, &out, &[]).code, 0);
    let end = json(&out.join("report.json"))["window"]["end"]
        .as_str()
        .expect("an end")
        .to_owned();
    let copies = |out: &Path| -> Vec<String> {
        files(out)
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("report-"))
            .collect()
    };
    // 2026-11-23T04:01:00.000Z
    let stamp: String = end
        .split('.')
        .next()
        .expect("seconds")
        .replace(['-', ':'], "");
    assert_eq!(copies(&out), [format!("report-{stamp}Z.html")]);
    let page = read(&out.join("report.html"));
    assert_eq!(read(&out.join(&copies(&out)[0])), page);

    // The same range gives the same bytes; a shorter one another copy.
    let again = desk.path("again");
    assert_eq!(report(&data, &again, &[]).code, 0);
    assert_eq!(files(&out), files(&again));
    let until = end.replace("T04:01:00.000Z", "T04:00:30Z");
    assert_ne!(until, end);
    let shorter = report(&data, &out, &["--until", &until]);
    assert_eq!(shorter.code, 0, "{}", shorter.stderr);
    assert_eq!(copies(&out).len(), 2, "{:?}", copies(&out));
    assert_ne!(read(&out.join("report.html")), page);
    assert_eq!(read(&out.join(format!("report-{stamp}Z.html"))), page);
}

#[test]
fn no_written_file_says_where_it_was_made() {
    let desk = Desk::new();
    let base = desk.reported("base", &shop(CHEAP)).join("report.json");
    let data = desk.collected("data", &shop(DEAR));
    let written = |name: &str, text: &str| {
        let path = desk.path(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let constraints = written(
        "constraints.toml",
        "[prices]\ncore_hour = 0.04\ngib_hour = 0.005\ncurrency = \"EUR\"\n",
    );
    let ignore = written(
        "ignore.toml",
        "[[ignore]]\nid = \"rec:merge:nobody+noone\"\nreason = \"gone\"\n",
    );
    let base = base.to_string_lossy();
    let out = desk.path("out");
    let ended = report(
        &data,
        &out,
        &[
            "--baseline",
            &base,
            "--after",
            &base,
            "--ignore",
            &ignore,
            "--constraints",
            &constraints,
        ],
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let compared = desk.path("compared");
    let told = run(weighbridge()
        .args(["diff", &base])
        .arg(out.join("report.json"))
        .arg("--out")
        .arg(&compared));
    assert_eq!(told.code, 0, "{}", told.stderr);
    let simulated = desk.path("simulated");
    let told = run(weighbridge()
        .args(["simulate", "--load", "×2", "--format", "html,json,csv,md"])
        .args(["--constraints", &constraints, "--from"])
        .arg(&data)
        .arg("--out")
        .arg(&simulated));
    assert_eq!(told.code, 0, "{}", told.stderr);
    // The same words stand where a path may: on standard output.
    let here = desk.dir.path().to_string_lossy().into_owned();
    assert!(ended.stdout.contains(&here) && told.stdout.contains(&here));
    for folder in [out, compared, simulated] {
        let files = files(&folder);
        assert!(files.len() >= 3, "{}", folder.display());
        for (name, text) in files {
            // A document that is packed into its page stands beside it.
            for path in [&here, env!("CARGO_MANIFEST_DIR")] {
                assert!(!text.contains(path), "{path} in {name}");
            }
        }
    }
}

#[test]
fn redact_leaves_no_name_in_any_output() {
    const NAMES: [&str; 9] = [
        "covert-store",
        "covert-orders",
        "covert-warehouse",
        "covert-reservations",
        "covert-books",
        "covert-topic",
        "covert-table",
        "covert-owner",
        "covert-broker",
    ];
    let mut system = System::new(60);
    let orders = ("covert-store", "POST /covert-orders/{id}");
    let us = [300_000, 40_000, 40_000, 60_000, 60_000, 90_000];
    system.root(orders.0, orders.1, 20, us);
    system.http(
        orders,
        ("covert-warehouse", "POST /covert-reservations"),
        20,
        12,
        240_000,
        60_000,
    );
    let booked = ("covert-books", "CONSUME covert-topic.placed");
    system
        .message(orders, booked, 20, "covert-topic.placed", 80_000, 60_000)
        .peer = "covert-broker";
    system.uses(orders.0, orders.1, "covert-table", "write", 20);
    system.size("covert-store", "covert-table", 5_000, 2 << 20);
    system.owner(
        "covert-store",
        weighbridge_wire::OwnerKind::Driver,
        "covert-owner",
        2_000_000,
    );

    let desk = Desk::new();
    let data = desk.collected("data", &system);
    let (plain, redacted) = (desk.path("plain"), desk.path("redacted"));
    assert_eq!(report(&data, &plain, &[]).code, 0);
    let ended = report(&data, &redacted, &["--redact"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (plain, redacted) = (files(&plain), files(&redacted));
    assert_eq!(plain.len(), redacted.len());
    for (name, text) in &redacted {
        // Embedded data may be packed: report.json stands for it.
        assert!(!text.contains("covert"), "{name}");
    }
    assert!(!ended.stdout.contains("covert") && !ended.stderr.contains("covert"));
    let whole = &plain
        .iter()
        .find(|(name, _)| name == "report.json")
        .expect("it")
        .1;
    for name in NAMES {
        assert!(whole.contains(name), "{name} stands in the plain report");
    }
    let data = data.to_string_lossy();
    for to in ["md", "json", "html"] {
        let told = run(weighbridge().args(["report", "--redact", "--format", to, "--from", &data]));
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(
            told.stdout.len() > 500 && !told.stdout.contains("covert"),
            "{to}"
        );
    }
    // Files that hold names would bring them back.
    for with in ["--baseline", "--after", "--ignore", "--constraints"] {
        let refused =
            run(weighbridge().args(["report", "--redact", with, "x.json", "--from", &data]));
        assert_eq!(refused.code, 2, "{with}");
        assert!(
            refused.stderr.contains("cannot be used with"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn the_ignore_file_counts_what_it_leaves_and_says_which_entry_has_ended() {
    let desk = Desk::new();
    let data = desk.collected("data", &shop(CHEAP));
    let all = desk.path("all");
    assert_eq!(report(&data, &all, &[]).code, 0);
    let document = json(&all.join("report.json"));
    let ids: Vec<&str> = document["recommendations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|r| r["id"].as_str())
        .collect();
    assert!(ids.len() > 1, "{ids:?}");

    let ignore = desk.path("ignore.toml");
    let text = format!(
        "[[ignore]]\nid = {:?}\nreason = \"two teams\"\nuntil = \"2027-01-31\"\n\
         [[ignore]]\nid = {:?}\nreason = \"no time\"\nuntil = \"2026-01-31\"\n\
         [[ignore]]\nid = \"rec:merge:nobody+noone\"\nreason = \"gone\"\n",
        ids[0], ids[1]
    );
    std::fs::write(&ignore, text).expect("written");
    let out = desk.path("out");
    let ended = report(&data, &out, &["--ignore", &ignore.to_string_lossy()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let left = json(&out.join("report.json"));
    assert_eq!(left["suppressed"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["suppressed"][0]["id"], ids[0]);
    assert_eq!(left["suppressed"][0]["reason"], "two teams");
    assert_eq!(
        left["recommendations"].as_array().map(Vec::len),
        Some(ids.len() - 1)
    );
    let page = read(&out.join("report.html"));
    let markdown = read(&out.join("report.md"));
    assert!(
        page.contains("<h3>Left on purpose: <data value=1 data-as=count>1</data></h3>")
            && page.contains("two teams; until 2027-01-31")
    );
    assert!(
        markdown.contains("Left on purpose, by an ignore file: 1."),
        "{markdown}"
    );
    for said in [
        "until 2026-01-31: that day has passed, so it is shown again.",
        "The ignore file names rec:merge:nobody+noone, which this range does not recommend.",
    ] {
        assert!(page.contains(said), "{said}");
        assert!(markdown.contains(&said.replace('_', "\\_")), "{said}");
    }

    for (text, said) in [
        ("[[ignore]]\nid = \"a\"\nreason = \" \"\n", "has no reason"),
        (
            "[[ignore]]\nid = \"a\"\nreason = \"b\"\nuntil = \"soon\"\n",
            "`soon` is no day",
        ),
        ("[[ignore]]\nname = \"a\"\n", "write entries like"),
    ] {
        std::fs::write(&ignore, text).expect("written");
        let ended = report(&data, &out, &["--ignore", &ignore.to_string_lossy()]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}
