//! Reading a placement file and saying what is wrong with it.

use serde::Deserialize;
use thiserror::Error;

use super::{Component, DatabaseName, Edge, Front, Placement, Process, Transport};

/// Most instances of one process.
const REPLICAS_MAX: usize = 4;
/// Names that the demo's own helpers run under.
const RESERVED: [&str; 3] = ["broker", "collector", "load"];

/// Why a placement file was refused. Each text says what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("placement: {0}")]
pub struct PlacementError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    process: Vec<FileProcess>,
    #[serde(default)]
    edge: Vec<FileEdge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProcess {
    name: String,
    components: Vec<String>,
    #[serde(default = "one")]
    replicas: usize,
    front: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEdge {
    from: String,
    to: String,
    transport: String,
}

fn one() -> usize {
    1
}

fn refuse<T>(text: impl Into<String>) -> Result<T, PlacementError> {
    Err(PlacementError(text.into()))
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

pub(super) fn parse(text: &str) -> Result<Placement, PlacementError> {
    let file: File = toml::from_str(text).map_err(|e| PlacementError(e.to_string()))?;
    let processes = processes(file.process)?;
    let edges = edges(file.edge)?;
    let placement = Placement { processes, edges };
    check_wiring(&placement)?;
    check_divided(&placement)?;
    Ok(placement)
}

fn component(word: &str) -> Result<Component, PlacementError> {
    match Component::parse(word) {
        Some(component) => Ok(component),
        None => refuse(format!(
            "there is no component `{word}`; use one of {}",
            list(Component::ALL.map(Component::as_str))
        )),
    }
}

fn processes(found: Vec<FileProcess>) -> Result<Vec<Process>, PlacementError> {
    let mut processes: Vec<Process> = Vec::new();
    for process in found {
        let name = process.name;
        let plain = !name.is_empty()
            && name.len() <= 32
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain {
            return refuse(format!(
                "process name {name:?} is not usable; take up to 32 of a-z, 0-9 and `-`"
            ));
        }
        if RESERVED.contains(&name.as_str()) {
            return refuse(format!(
                "process name `{name}` belongs to the demo itself; choose another"
            ));
        }
        if processes.iter().any(|p| p.name == name) {
            return refuse(format!("process `{name}` stands twice; join the two lists"));
        }
        if !(1..=REPLICAS_MAX).contains(&process.replicas) {
            return refuse(format!(
                "process `{name}` asks for {} replicas; choose 1 to {REPLICAS_MAX}",
                process.replicas
            ));
        }
        if process.components.is_empty() {
            return refuse(format!(
                "process `{name}` has no components; list one or leave it out"
            ));
        }
        let mut components = Vec::new();
        for word in &process.components {
            let component = component(word)?;
            let elsewhere = processes.iter().find(|p| p.components.contains(&component));
            if elsewhere.is_some() || components.contains(&component) {
                let other = elsewhere.map_or(name.as_str(), |p| p.name.as_str());
                return refuse(format!(
                    "component `{word}` of process `{name}` already stands in `{other}`; place it once \
                     (replicas are a number, not a second place)"
                ));
            }
            components.push(component);
        }
        let front = front(&name, process.front.as_deref(), process.replicas)?;
        let process = Process {
            name,
            components,
            replicas: process.replicas,
            front,
        };
        let foreign = process
            .components
            .iter()
            .find(|c| c.database() != DatabaseName::Store);
        if let (true, Some(component)) = (process.is_divided(), foreign) {
            return refuse(format!(
                "process `{}` is divided by key, but the requests of `{}` carry none; place only catalog, search \
                 and orders there",
                process.name,
                component.as_str()
            ));
        }
        processes.push(process);
    }
    let fronts: Vec<String> = processes.iter().filter_map(Process::front_name).collect();
    if let Some(process) = processes.iter().find(|p| fronts.contains(&p.name)) {
        return refuse(format!(
            "process name `{}` belongs to what stands before another; choose another",
            process.name
        ));
    }
    for component in Component::ALL {
        if !processes.iter().any(|p| p.components.contains(&component)) {
            return refuse(format!(
                "component `{}` has no place; add it to the components of a process",
                component.as_str()
            ));
        }
    }
    Ok(processes)
}

fn front(name: &str, word: Option<&str>, replicas: usize) -> Result<Option<Front>, PlacementError> {
    let Some(word) = word else { return Ok(None) };
    let Some(front) = Front::parse(word) else {
        return refuse(format!(
            "process `{name}` has the front `{word}`; choose turn or key, or leave it out"
        ));
    };
    if replicas < 2 {
        return refuse(format!(
            "process `{name}` has a front but one replica; ask for 2 or more, or leave the front out"
        ));
    }
    Ok(Some(front))
}

fn edges(found: Vec<FileEdge>) -> Result<Vec<(Edge, Transport)>, PlacementError> {
    let mut edges: Vec<(Edge, Transport)> = Vec::new();
    for edge in found {
        let known = Edge {
            from: component(&edge.from)?,
            to: component(&edge.to)?,
        };
        if !Edge::ALL.contains(&known) {
            return refuse(format!(
                "no component calls along `{}` → `{}`; the edges are {}",
                edge.from,
                edge.to,
                list(Edge::ALL.map(name_of).iter().map(String::as_str))
            ));
        }
        if edges.iter().any(|(e, _)| *e == known) {
            return refuse(format!("edge {} stands twice; keep one", name_of(known)));
        }
        let allowed = known.transports();
        let transport = Transport::parse(&edge.transport).filter(|t| allowed.contains(t));
        let Some(transport) = transport else {
            return refuse(format!(
                "edge {} cannot take `{}`; choose {}",
                name_of(known),
                edge.transport,
                allowed
                    .iter()
                    .map(|t| t.as_str())
                    .collect::<Vec<_>>()
                    .join(" or ")
            ));
        };
        edges.push((known, transport));
    }
    for edge in Edge::ALL {
        if !edges.iter().any(|(e, _)| *e == edge) {
            return refuse(format!(
                "edge {} has no transport; add an [[edge]] with one of {}",
                name_of(edge),
                list(edge.transports().iter().map(|t| t.as_str()))
            ));
        }
    }
    Ok(edges)
}

fn check_wiring(placement: &Placement) -> Result<(), PlacementError> {
    for (edge, transport) in &placement.edges {
        let same = placement.process_of(edge.from) == placement.process_of(edge.to);
        if *transport == Transport::Direct && !same {
            return refuse(format!(
                "edge {} is `direct` but its ends stand in two processes; put both components into one, or \
                 take `{}`",
                name_of(*edge),
                edge.transports()[0].as_str()
            ));
        }
    }
    Ok(())
}

/// Shards tell each other of changed products over the broker, so there must be one.
fn check_divided(placement: &Placement) -> Result<(), PlacementError> {
    let published = placement
        .edges
        .iter()
        .any(|(edge, way)| edge.from == Component::Catalog && *way == Transport::Mqtt);
    let catalog = placement.process_of(Component::Catalog);
    match catalog.filter(|process| process.is_divided() && !published) {
        Some(process) => refuse(format!(
            "process `{}` is divided by key, but no change of a product is published; let an edge from catalog take \
             `mqtt`",
            process.name
        )),
        None => Ok(()),
    }
}

fn name_of(edge: Edge) -> String {
    format!("{} → {}", edge.from.as_str(), edge.to.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_TOML;
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn each_mistake_is_named_with_what_to_do() {
        let change = |from: &str, to: &str| DEFAULT_TOML.replacen(from, to, 1);
        let cases = [
            (
                change("\"search\"", "\"serach\""),
                "no component `serach`; use one of catalog",
            ),
            (change("\"search\", ", ""), "`search` has no place; add it"),
            (
                change("[\"stock\"]", "[\"stock\", \"export\"]"),
                "place it once",
            ),
            (change("\"warehouse\"", "\"store\""), "`store` stands twice"),
            (change("\"warehouse\"", "\"ware house\""), "take up to 32"),
            (change("\"warehouse\"", "\"broker\""), "choose another"),
            (
                change("\"http\"", "\"direct\""),
                "put both components into one, or take `http`",
            ),
            (change("\"http\"", "\"mqtt\""), "choose http or direct"),
            (
                change("to = \"stock\"", "to = \"export\""),
                "the edges are orders → stock",
            ),
            (
                change("name = \"store\"", "name = \"store\"\nreplicas = 0"),
                "choose 1 to 4",
            ),
            (
                change("name = \"store\"", "name = \"store\"\nreplica = 2"),
                "unknown field `replica`",
            ),
            (
                change("name = \"store\"", "name = \"store\"\nfront = \"turn\""),
                "ask for 2 or more",
            ),
            (
                change(
                    "name = \"store\"",
                    "name = \"store\"\nreplicas = 2\nfront = \"hash\"",
                ),
                "choose turn or key",
            ),
            (
                change(
                    "name = \"warehouse\"",
                    "name = \"warehouse\"\nreplicas = 2\nfront = \"key\"",
                ),
                "the requests of `stock` carry none",
            ),
            (
                DEFAULT_TOML
                    .replace("name = \"warehouse\"", "name = \"store-router\"")
                    .replace(
                        "name = \"store\"",
                        "name = \"store\"\nreplicas = 2\nfront = \"key\"",
                    ),
                "belongs to what stands before another",
            ),
            (String::new(), "`catalog` has no place"),
        ];
        for (text, says) in cases {
            let error = error(&text);
            assert!(error.contains(says), "wanted {says:?} in {error}");
        }
    }

    #[test]
    fn a_missing_edge_asks_for_its_transport() {
        let cut = DEFAULT_TOML.rfind("[[edge]]").expect("has edges");
        assert!(error(&DEFAULT_TOML[..cut]).contains("catalog → ledger has no transport"));
    }

    #[test]
    fn replicas_are_taken() {
        let text = DEFAULT_TOML.replacen("name = \"store\"", "name = \"store\"\nreplicas = 3", 1);
        assert_eq!(parse(&text).expect("parses").processes[0].replicas, 3);
    }
}
