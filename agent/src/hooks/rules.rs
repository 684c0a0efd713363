//! Whose a task is, by the file in which it was spawned: pools, drivers and servers of known libraries.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{LazyLock, RwLock};

use weighbridge_wire::OwnerKind;

use super::site::{Key, SITES_CACHED_MAX, key, shown};
use crate::account::{OwnerRef, owner};
use crate::ledger::limits::TASK_RULES_MAX;
use crate::ledger::loss;
use crate::sync::{read, write};

/// Files of well-known libraries whose tasks serve many requests: crate, path in it, kind of owner, name.
/// The first match counts. Paths as of the versions current in 2026; a file that moved away is merely not
/// recognised, and its tasks are children of the request that spawned them.
const KNOWN: &[(&str, &str, OwnerKind, &str)] = &[
    ("axum", "src/serve", OwnerKind::Connection, "axum"),
    (
        "tonic",
        "src/transport/server",
        OwnerKind::Connection,
        "tonic",
    ),
    ("warp", "src/", OwnerKind::Connection, "warp"),
    ("hyper", "src/server", OwnerKind::Connection, "hyper"),
    ("tonic", "src/transport/channel", OwnerKind::Pool, "tonic"),
    ("hyper-util", "src/client", OwnerKind::Pool, "hyper-util"),
    ("reqwest", "src/", OwnerKind::Pool, "reqwest"),
    ("sqlx-core", "src/", OwnerKind::Pool, "sqlx"),
    ("sqlx-postgres", "src/", OwnerKind::Pool, "sqlx"),
    ("sqlx-mysql", "src/", OwnerKind::Pool, "sqlx"),
    ("bb8", "src/", OwnerKind::Pool, "bb8"),
    ("deadpool", "src/", OwnerKind::Pool, "deadpool"),
    ("deadpool-runtime", "src/", OwnerKind::Pool, "deadpool"),
    ("deadpool-postgres", "src/", OwnerKind::Driver, "postgres"),
    ("bb8-postgres", "src/", OwnerKind::Driver, "postgres"),
    ("diesel-async", "src/", OwnerKind::Driver, "diesel"),
    ("mysql_async", "src/", OwnerKind::Pool, "mysql"),
    ("mongodb", "src/", OwnerKind::Driver, "mongodb"),
    ("redis", "src/", OwnerKind::Driver, "redis"),
    ("fred", "src/", OwnerKind::Driver, "redis"),
    ("scylla", "src/", OwnerKind::Driver, "scylla"),
    ("async-nats", "src/", OwnerKind::Driver, "nats"),
    ("lapin", "src/", OwnerKind::Driver, "amqp"),
    // What lapin spawns its tasks with.
    ("async-rs", "src/", OwnerKind::Driver, "amqp"),
    ("rdkafka", "src/", OwnerKind::Driver, "kafka"),
    ("rskafka", "src/", OwnerKind::Driver, "kafka"),
    ("rumqttc", "src/", OwnerKind::Driver, "mqtt"),
    ("quinn", "src/", OwnerKind::Driver, "quic"),
    ("h2", "src/", OwnerKind::Driver, "h2"),
    ("h3-quinn", "src/", OwnerKind::Driver, "quic"),
    ("hickory-proto", "src/", OwnerKind::Driver, "dns"),
    ("hickory-resolver", "src/", OwnerKind::Driver, "dns"),
    ("kube-client", "src/", OwnerKind::Driver, "kube"),
    ("tower", "src/buffer", OwnerKind::Driver, "tower buffer"),
    (
        "opentelemetry_sdk",
        "src/",
        OwnerKind::Driver,
        "opentelemetry",
    ),
    ("moka", "src/", OwnerKind::Driver, "moka"),
];

/// hyper's executor: in a request it drives a client's connection, elsewhere also streams of a server.
const HYPER_EXECUTOR: (&str, &str) = ("hyper-util", "src/rt");

/// A rule of the program's own.
struct Rule {
    path: String,
    kind: OwnerKind,
    name: String,
}

/// What is known of a place.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the agent: its futures carry their accounts themselves.
    Agent,
    /// In a known pool, driver or server.
    Known(OwnerRef, OwnerKind),
    /// In hyper's executor.
    HyperExecutor,
    /// Anywhere else.
    Program,
}

#[derive(Default)]
struct Rules {
    own: Vec<Rule>,
    places: HashMap<Key, Place>,
}

static RULES: LazyLock<RwLock<Rules>> = LazyLock::new(RwLock::default);

/// Declares that tasks spawned in files whose path contains `path` belong to this owner, such as
/// `task_owner("my-cache-", OwnerKind::Pool, "cache")`. Looked at with the poll hooks of `tokio_unstable`
/// only; call it before the first task is spawned there. At most [`TASK_RULES_MAX`](crate::limits::TASK_RULES_MAX) are kept.
pub fn task_owner(path: &str, kind: OwnerKind, name: &str) {
    declare(&RULES, path, kind, name);
}

fn declare(rules: &RwLock<Rules>, path: &str, kind: OwnerKind, name: &str) {
    let mut rules = write(rules);
    if rules.own.len() >= TASK_RULES_MAX {
        drop(rules);
        loss("agent.task_rules", "table full", 1);
        return;
    }
    rules.own.push(Rule {
        path: path.to_owned(),
        kind,
        name: name.to_owned(),
    });
    rules.places.clear();
}

/// What is known of a place.
pub(crate) fn place(location: &'static Location<'static>) -> Place {
    place_by(&RULES, location)
}

fn place_by(rules: &RwLock<Rules>, location: &'static Location<'static>) -> Place {
    if let Some(place) = read(rules).places.get(&key(location)) {
        return place.clone();
    }
    let path = shown(location.file());
    let rule = read(rules)
        .own
        .iter()
        .find(|rule| path.contains(&rule.path))
        .map(|rule| (rule.kind, rule.name.clone()));
    let place = match rule {
        Some((kind, name)) => Place::Known(owner(kind, &name), kind),
        None if is_agent(location.file()) => Place::Agent,
        None => known(&path),
    };
    let mut rules = write(rules);
    if rules.places.len() < SITES_CACHED_MAX {
        rules.places.insert(key(location), place.clone());
    }
    place
}

fn known(path: &str) -> Place {
    let lies_in = |krate: &str, inside: &str| {
        path.split_once('/')
            .is_some_and(|(folder, rest)| is_crate(folder, krate) && rest.starts_with(inside))
    };
    if lies_in(HYPER_EXECUTOR.0, HYPER_EXECUTOR.1) {
        return Place::HyperExecutor;
    }
    KNOWN
        .iter()
        .find(|(krate, inside, ..)| lies_in(krate, inside))
        .map_or(Place::Program, |(_, _, kind, name)| {
            Place::Known(owner(*kind, name), *kind)
        })
}

/// `axum-0.8.9` is `axum`, and `axum-extra-0.10.1` is not.
fn is_crate(folder: &str, krate: &str) -> bool {
    folder
        .strip_prefix(krate)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// This file's own path tells where the agent was compiled.
fn is_agent(file: &str) -> bool {
    let source = file!().trim_end_matches("hooks/rules.rs");
    file.starts_with(source) && !source.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Books;

    #[test]
    fn known_files_are_told_by_crate_and_path() {
        let named = |path: &str| match known(path) {
            Place::Known(owner, _) => Some(owner),
            _ => None,
        };
        let same = |path: &str, kind, name| {
            named(path).is_some_and(|found| found.same(&owner(kind, name)))
        };
        assert!(same(
            "sqlx-core-0.8.6/src/pool/inner.rs",
            OwnerKind::Pool,
            "sqlx"
        ));
        assert!(same(
            "axum-0.8.9/src/serve/mod.rs",
            OwnerKind::Connection,
            "axum"
        ));
        assert!(same(
            "tonic-0.14.9/src/transport/server/mod.rs",
            OwnerKind::Connection,
            "tonic"
        ));
        assert!(
            named("axum-extra-0.10.1/src/serve/mod.rs").is_none(),
            "another crate"
        );
        assert!(
            named("axum-0.8.9/src/extract/ws.rs").is_none(),
            "another file"
        );
        assert!(named("src/jobs.rs").is_none());
        assert!(matches!(
            known("hyper-util-0.1.21/src/rt/tokio.rs"),
            Place::HyperExecutor
        ));
    }

    #[test]
    fn the_agents_own_files_are_told_from_the_programs() {
        assert!(is_agent(file!()));
        assert!(!is_agent("src/jobs.rs"));
        assert!(matches!(place(Location::caller()), Place::Agent));
    }

    #[test]
    fn the_programs_own_rule_comes_first() {
        let rules = RwLock::default();
        declare(&rules, "hooks/rules.rs", OwnerKind::Pool, "ruled");
        assert!(is_of_pool(&place_by(&rules, Location::caller()), "ruled"));
    }

    fn is_of_pool(place: &Place, name: &str) -> bool {
        matches!(place, Place::Known(found, OwnerKind::Pool) if found.same(&owner(OwnerKind::Pool, name)))
    }

    #[test]
    fn rules_beyond_the_limit_are_not_kept_and_are_counted() {
        let mut books = Books::open();
        let here = Location::caller();
        let rules = RwLock::default();
        for n in 1..TASK_RULES_MAX {
            declare(&rules, &format!("nowhere {n}"), OwnerKind::Pool, "nobody");
        }
        declare(&rules, "hooks/rules.rs", OwnerKind::Pool, "the last");
        assert!(is_of_pool(&place_by(&rules, here), "the last"));
        books.rotate();
        assert_eq!(books.lost("agent.task_rules"), 0, "all had room");
        // Its place is found anew, and its tasks are whose they were.
        let full = RwLock::default();
        for n in 0..TASK_RULES_MAX {
            declare(&full, &format!("nowhere {n}"), OwnerKind::Pool, "nobody");
        }
        declare(&full, "hooks/rules.rs", OwnerKind::Pool, "one too many");
        assert!(matches!(place_by(&full, here), Place::Agent));
        books.rotate();
        assert_eq!(books.lost("agent.task_rules"), 1);
    }
}
