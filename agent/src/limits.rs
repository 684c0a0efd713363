//! Every limit of the agent in one place. Beyond a limit nothing fails: costs are folded into
//! [`OTHER`](crate::wire::OTHER), windows are merged, texts are cut, and a loss row says how often.
//!
//! Limits that name a variable are adjustable by it and by the [`Builder`](crate::Builder)'s setter of the
//! same name.

pub use crate::agent::{OVERHEAD_FREE_PERMILLE, OVERHEAD_MAX_PERMILLE};
pub use crate::alloc::{
    RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MAX, RETAINED_MEAN_BYTES_MIN, RETAINED_SAMPLES_MAX,
};
pub use crate::config::{WINDOW_DEFAULT, WINDOW_MAX, WINDOW_MIN};
pub use crate::entities::{
    KEY_ENTITIES_MAX, KEY_SECRET_BYTES_MIN, KEY_SKETCH_HASHES, KEYS_COUNTED_MAX,
};
pub use crate::export::{
    CONNECT_TIMEOUT, REQUEST_TIMEOUT, RESPONSE_BYTES_MAX, SPOOL_BYTES_MAX, SPOOL_WINDOWS_MAX,
};
pub use crate::identity::IDENTITY_BYTES_MAX;
pub use crate::ledger::limits::{
    CALLERS_MAX, CALLS_PER_REQUEST_MAX, CHILD_PATIENCE_NS, CLASSES_PER_OPERATION_MAX,
    DRIVER_THREADS_MAX, EDGES_MAX, ENTITIES_MAX, FORGET_AFTER_NS, NAME_BYTES_MAX,
    OPERATION_ROWS_MAX, OPERATIONS_MAX, ORIGINS_MAX, OWNERS_MAX, REGION_DEPTH_MAX,
    REGION_PATH_BYTES_MAX, REGION_STACK_MAX, REGIONS_MAX, SHAPE_STEPS_MAX, SHAPES_MAX,
    SHAPES_PER_OPERATION_MAX, SPAWN_SITES_MAX, TASK_RULES_MAX, TASKS_MAX, THREADS_MAX,
    WAITING_BILLS_MAX,
};
#[cfg(feature = "otlp-metrics")]
pub use crate::otlp::OTLP_ROWS_MAX;
pub use crate::propagation::{BAGGAGE_BYTES_MAX, BAGGAGE_HEADERS_MAX, HOP_BYTES_MAX};
pub use crate::serve::HEADER_READ_TIMEOUT;
#[cfg(any(
    feature = "rusqlite-0_42",
    feature = "tokio-postgres-0_7",
    feature = "sqlx-0_9"
))]
pub use crate::sql::{SQL_BYTES_MAX, SQL_CACHED_BYTES_MAX, SQL_CACHED_MAX, SQL_ENTITIES_MAX};
pub use crate::trust::{KEY_BYTES_MIN, NETWORKS_MAX};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/accounting.md");
    const SOURCE: &str = include_str!("limits.rs");

    /// Digits in groups of three.
    fn count(n: usize) -> String {
        let digits = n.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(' ');
            }
            out.push(digit);
        }
        out
    }

    fn bytes(n: usize) -> String {
        match n {
            n if n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
            n if n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
            n => format!("{n} bytes"),
        }
    }

    fn time(duration: Duration) -> String {
        match duration.subsec_millis() {
            0 => format!("{} s", count(usize::try_from(duration.as_secs()).unwrap())),
            _ => format!("{} ms", duration.as_millis()),
        }
    }

    fn ns(ns: u64) -> String {
        time(Duration::from_nanos(ns))
    }

    fn percent(permille: u32) -> String {
        format!("{}.{} %", permille / 10, permille % 10)
    }

    macro_rules! values {
        ($($form:ident { $($name:ident),* $(,)? })*) => {
            vec![$($((stringify!($name), $form($name)),)*)*]
        };
    }

    #[test]
    fn the_table_in_the_document_names_every_limit_with_its_value() {
        let values: Vec<(&str, String)> = values! {
            count {
                OPERATIONS_MAX, CLASSES_PER_OPERATION_MAX, CALLERS_MAX, ORIGINS_MAX,
                OPERATION_ROWS_MAX, OWNERS_MAX, EDGES_MAX, ENTITIES_MAX, RETAINED_SAMPLES_MAX,
                SPAWN_SITES_MAX, TASK_RULES_MAX, TASKS_MAX, THREADS_MAX, WAITING_BILLS_MAX,
                SPOOL_WINDOWS_MAX, BAGGAGE_HEADERS_MAX, NETWORKS_MAX, REGIONS_MAX,
                REGION_DEPTH_MAX, REGION_STACK_MAX, KEY_ENTITIES_MAX, KEYS_COUNTED_MAX,
                KEY_SKETCH_HASHES, DRIVER_THREADS_MAX, CALLS_PER_REQUEST_MAX, SHAPE_STEPS_MAX,
                SHAPES_PER_OPERATION_MAX, SHAPES_MAX
            }
            bytes {
                RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MIN, RETAINED_MEAN_BYTES_MAX,
                NAME_BYTES_MAX, IDENTITY_BYTES_MAX, SPOOL_BYTES_MAX, RESPONSE_BYTES_MAX,
                BAGGAGE_BYTES_MAX, HOP_BYTES_MAX, KEY_BYTES_MIN, KEY_SECRET_BYTES_MIN,
                REGION_PATH_BYTES_MAX
            }
            time {
                HEADER_READ_TIMEOUT, WINDOW_DEFAULT, WINDOW_MIN, WINDOW_MAX, CONNECT_TIMEOUT,
                REQUEST_TIMEOUT
            }
            ns { CHILD_PATIENCE_NS, FORGET_AFTER_NS }
            percent { OVERHEAD_MAX_PERMILLE, OVERHEAD_FREE_PERMILLE }
        };
        #[cfg(feature = "rusqlite-0_42")]
        let values = [
            values,
            values! {
                count { SQL_CACHED_MAX, SQL_ENTITIES_MAX }
                bytes { SQL_BYTES_MAX, SQL_CACHED_BYTES_MAX }
            },
        ]
        .concat();
        #[cfg(feature = "otlp-metrics")]
        let values = [values, values! { count { OTLP_ROWS_MAX } }].concat();
        for (name, value) in &values {
            let cells = format!("| `{name}` | {value} |");
            assert!(
                DOCUMENT.contains(&cells),
                "the table of limits in docs/accounting.md lacks `{cells}`"
            );
        }
        let listed = SOURCE.split("#[cfg(test)]").next().unwrap();
        let constants = listed
            .lines()
            .filter(|line| !line.starts_with("//"))
            .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
            .filter(|word| !word.contains(|c: char| c.is_lowercase()));
        for constant in constants {
            let known = values.iter().any(|(name, _)| *name == constant);
            let sql = cfg!(not(feature = "rusqlite-0_42")) && constant.starts_with("SQL_");
            let otlp = cfg!(not(feature = "otlp-metrics")) && constant.starts_with("OTLP_");
            assert!(
                known || sql || otlp,
                "add {constant} to this test and to the table"
            );
        }
    }

    macro_rules! paths {
        ($($form:ident { $($path:path),* $(,)? })*) => {
            vec![$($((stringify!($path).replace(' ', ""), $form($path)),)*)*]
        };
    }

    /// The limits of clients whose features are on, by path.
    fn of_clients() -> Vec<(String, String)> {
        #[allow(unused_mut, reason = "features add to it")]
        let mut values: Vec<(String, String)> = paths! { count { crate::messages::TARGETS_MAX } };
        #[cfg(feature = "hyper-util-0_1")]
        values.extend(paths! {
            time {
                crate::http_client::TIMEOUT_DEFAULT, crate::http_client::CONNECT_TIMEOUT,
                crate::http_client::IDLE_TIMEOUT, crate::http_client::DRAIN_TIME_MAX,
            }
            count { crate::http_client::IDLE_CONNECTIONS_MAX }
            bytes { crate::http_client::BODY_BYTES_MAX }
        });
        #[cfg(feature = "async-nats-0_51")]
        values.extend(paths! {
            count { crate::nats::UNSURE_MAX }
            time { crate::nats::LOOK_UP_PATIENCE }
        });
        #[cfg(feature = "rumqttc-0_25")]
        values.extend(paths! {
            time { crate::mqtt::CONNECTION_PATIENCE, crate::mqtt::ACKNOWLEDGE_TIMEOUT }
            count { crate::mqtt::WAITING_MESSAGES_MAX, crate::mqtt::SUBSCRIPTIONS_MAX }
        });
        #[cfg(feature = "rusqlite-0_42")]
        values.extend(paths! { count { crate::sqlite::PREPARED_MAX } });
        #[cfg(feature = "redis-1")]
        values.extend(paths! {
            count { crate::redis::ENTITIES_MAX }
            time { crate::redis::CONNECT_TIMEOUT }
        });
        #[cfg(feature = "tokio-postgres-0_7")]
        values.extend(paths! { time { crate::postgres::CONNECT_TIMEOUT } });
        values
    }

    #[test]
    fn the_table_of_clients_has_the_values_that_hold() {
        for (path, value) in of_clients() {
            let cells = format!("| `{}` | {value} |", path.trim_start_matches("crate::"));
            assert!(
                DOCUMENT.contains(&cells),
                "docs/accounting.md lacks `{cells}`"
            );
        }
    }

    /// A constant in the source that bounds something.
    #[derive(Debug)]
    struct Bound {
        /// Within the source, with slashes.
        file: String,
        name: String,
        public: bool,
        /// What it is, as it stands in the source.
        expression: String,
    }

    impl Bound {
        /// The paths under which a table may name it: in its own module and in those around it.
        fn paths(&self) -> Vec<String> {
            let module = self.file.trim_end_matches(".rs").trim_end_matches("/mod");
            let mut path = module.replace('/', "::");
            let mut paths = vec![format!("{path}::{}", self.name)];
            while let Some((outer, _)) = path.rsplit_once("::").map(|(a, b)| (a.to_owned(), b)) {
                paths.push(format!("{outer}::{}", self.name));
                path = outer;
            }
            paths
        }

        /// As a table shows it; `None` where it is not a plain number or time.
        fn shown(&self) -> Option<String> {
            let number = |text: &str| -> Option<u64> {
                let text = text.trim().replace('_', "");
                match text.split_once("<<") {
                    Some((n, shift)) => {
                        Some(n.trim().parse::<u64>().ok()? << shift.trim().parse::<u32>().ok()?)
                    }
                    None => text.parse().ok(),
                }
            };
            let expression = self.expression.trim_start_matches("std::time::");
            if let Some(call) = expression.strip_prefix("Duration::from_") {
                let (unit, n) = call.trim_end_matches(')').split_once('(')?;
                return Some(time(match unit {
                    "secs" => Duration::from_secs(number(n)?),
                    "millis" => Duration::from_millis(number(n)?),
                    _ => return None,
                }));
            }
            let n = number(expression)?;
            let ends = |end: &str| self.name.ends_with(end);
            let whole = usize::try_from(n).ok()?;
            Some(match () {
                () if self.name.contains("BYTES") => bytes(whole),
                () if ends("_MS") => time(Duration::from_millis(n)),
                () if self.name.contains("_NS") => ns(n),
                () if ends("_PERMILLE") => percent(u32::try_from(n).ok()?),
                () => count(whole),
            })
        }
    }

    /// Constants at the top of a file that bound something.
    fn bounds(source: &std::path::Path, folder: &std::path::Path, found: &mut Vec<Bound>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                bounds(source, &path, found);
                continue;
            }
            let file = path.strip_prefix(source).unwrap();
            let file = file.to_str().unwrap().replace('\\', "/");
            let of_tests = ["tests.rs", "testing.rs", "wanted.rs", "bench.rs"];
            if file.contains("tests/") || of_tests.iter().any(|end| file.ends_with(end)) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                let (public, rest) = match line.strip_prefix("pub const ") {
                    Some(rest) => (true, Some(rest)),
                    None => {
                        let visible = ["pub(crate) ", "pub(super) "];
                        let bare = visible.iter().find_map(|it| line.strip_prefix(it));
                        (false, bare.unwrap_or(line).strip_prefix("const "))
                    }
                };
                let Some((name, rest)) = rest.and_then(|rest| rest.split_once(": ")) else {
                    continue;
                };
                let ends = ["_MAX", "_MIN", "_TIMEOUT", "_PATIENCE", "_DEFAULT"];
                if ends.iter().any(|end| name.contains(end)) {
                    let (_, expression) = rest.split_once(" = ").unwrap();
                    found.push(Bound {
                        file: file.clone(),
                        name: name.to_owned(),
                        public,
                        expression: expression.trim_end_matches(';').to_owned(),
                    });
                }
            }
        }
    }

    /// Private bounds that nobody has to know, by file and name.
    const UNTOLD: &[(&str, &str)] = &[
        // What only saves work: beyond it the work is done again. The page has a paragraph on these.
        ("http_client/client.rs", "CALLS_MAX"),
        ("layer/known.rs", "TEXT_BYTES_MAX"),
        ("messages/whereabouts.rs", "HOSTS_MAX"),
        ("mqtt/had.rs", "REMEMBERED_MAX"),
        ("propagation/memo.rs", "TEXT_BYTES_MAX"),
        // What is full goes to the next table, at once and in whole.
        ("account/pending.rs", "OWNERS_MAX"),
        ("account/pending.rs", "PENDING_NS_MAX"),
        ("ledger/shapes.rs", "HELD_MAX"),
        ("ledger/shard.rs", "DISTRIBUTIONS_MAX"),
        ("ledger/shard.rs", "ROWS_MAX"),
        ("ledger/shard.rs", "SHAPES_HELD_MAX"),
        // What tells one kind of piece of CPU time from another.
        ("account/thread/birth.rs", "BIRTH_NS_MAX"),
        ("bill/timed.rs", "PIECE_NS_MAX"),
        ("clock/thread_clock.rs", "AGE_MAX_NS"),
        ("clock/thread_clock.rs", "PIECE_MAX_NS"),
        ("clock/thread_clock.rs", "RUNTIME_PIECE_MAX_NS"),
        // Texts of messages in a log.
        ("config/env.rs", "SHOWN_CHARS_MAX"),
        ("export/http.rs", "REASON_CHARS_MAX"),
        // What a protocol or a table of this crate cannot exceed.
        ("amqp/headers.rs", "OTHER_PROPERTIES_BYTES_MAX"),
        ("mqtt/packet.rs", "PACKET_BYTES_MAX"),
        ("redis/commands.rs", "NAME_BYTES_MAX"),
        // Under another name in the table.
        ("alloc/live.rs", "SLOTS_MAX"),
    ];

    #[test]
    fn every_bound_in_the_source_stands_in_a_table_with_its_value() {
        let mut found = Vec::new();
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        bounds(&source, &source, &mut found);
        let public = found.iter().filter(|bound| bound.public).count();
        assert!(public > 60 && found.len() > public + 30, "{found:#?}");
        let listed = SOURCE.split("#[cfg(test)]").next().unwrap();
        for bound in &found {
            let untold = |(file, name): &(&str, &str)| *file == bound.file && *name == bound.name;
            if !bound.public && UNTOLD.iter().any(untold) {
                continue;
            }
            let mut names = bound.paths();
            if listed.contains(&bound.name) {
                names.push(bound.name.clone());
            }
            // One that is another's value has its own test above.
            let value = bound
                .shown()
                .map_or(String::new(), |shown| format!("{shown} |"));
            let stands = names
                .iter()
                .any(|name| DOCUMENT.contains(&format!("| `{name}` | {value}")));
            assert!(
                stands,
                "docs/accounting.md has no row of {bound:?} with the value `{value}`"
            );
        }
        for (file, name) in UNTOLD {
            let is = |bound: &Bound| bound.file == *file && bound.name == *name && !bound.public;
            assert!(
                found.iter().any(is),
                "there is no {name} in {file} any more"
            );
        }
    }

    #[test]
    fn every_variable_of_the_agent_is_documented() {
        let documents = [
            DOCUMENT,
            include_str!("../../docs/integrations.md"),
            include_str!("../../docs/operating.md"),
            include_str!("../../README.md"),
        ];
        for variable in crate::VARIABLES {
            assert!(
                documents.iter().any(|document| document.contains(variable)),
                "no document says what {variable} does"
            );
        }
    }
}
