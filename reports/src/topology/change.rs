//! Changes of a topology.

use serde::{Deserialize, Serialize};

use super::{Deployable, End, Inputs, Shards, Topology, Way, copies};

/// One change, as a change file or the command line names it. Services are named as in the report, or as an earlier
/// change of the same list named what it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Puts services into one process. Synchronous calls between them become local; consumers keep their executor and
    /// their broker.
    Merge {
        /// At least two.
        services: Vec<String>,
        /// Name of the result; default: theirs with `+`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Puts operations into a process of their own.
    Split {
        /// Where they are.
        service: String,
        /// Operations or components.
        operations: Vec<String>,
        /// Name of the result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Moves operations from one service to another.
    Move {
        /// Where they are.
        service: String,
        /// Operations or components.
        operations: Vec<String>,
        /// Where they go.
        to: String,
    },
    /// Runs more processes: of a service, or of operations taken out of it, each process with its own copy of what
    /// they read.
    Replicate {
        /// Where they are.
        service: String,
        /// Operations or components; empty: the whole service.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
        /// How many processes.
        replicas: u32,
    },
    /// Divides a service by the key of an entity.
    Shard {
        /// The service.
        service: String,
        /// Whose key.
        entity: String,
        /// Into how many.
        shards: u32,
    },
    /// Takes a copy of an entity away (its readers ask the owner), or gives a service one, which takes the place of its
    /// calls to operations of the owner that do nothing but read the entity.
    PlaceEntity {
        /// The entity.
        entity: String,
        /// The service that reads it.
        service: String,
        /// How it reads.
        access: Access,
    },
    /// Makes one call of many.
    Batch {
        /// The edge: its row id, or as the report shows it.
        edge: String,
        /// How many calls become one; default: all of a request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        calls: Option<f64>,
    },
    /// Lets the calls between two services that share a process take another way.
    Transport {
        /// The caller's service.
        from: String,
        /// The callee's.
        to: String,
        /// `remote`, `local`, `serial` (local, and one after the other where they ran side by side), or `inline` (an
        /// asynchronous consumer inside the caller's request).
        way: WayWord,
    },
}

/// How an entity is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// From a copy of its own.
    Copy,
    /// From the owner, by a call.
    Remote,
}

/// [`Way`] as a file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayWord {
    /// [`Way::Remote`].
    Remote,
    /// [`Way::Local`].
    Local,
    /// [`Way::Local`], and one after the other.
    Serial,
    /// [`Way::Inline`].
    Inline,
}

/// Most services that a sentence names.
const NAMED_MAX: usize = 8;

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Merge { services, .. } if services.len() > NAMED_MAX => {
                let named = services[..NAMED_MAX].join(", ");
                write!(f, "merge {named} and {} more", services.len() - NAMED_MAX)
            }
            Self::Merge { services, .. } => write!(f, "merge {}", services.join(" and ")),
            Self::Split {
                service,
                operations,
                ..
            } => {
                write!(f, "split {} out of {service}", operations.join(", "))
            }
            Self::Move {
                service,
                operations,
                to,
            } => {
                write!(f, "move {} from {service} to {to}", operations.join(", "))
            }
            Self::Replicate {
                service,
                operations,
                replicas,
            } if operations.is_empty() => {
                write!(f, "run {replicas} processes of {service}")
            }
            Self::Replicate {
                service,
                operations,
                replicas,
            } => {
                write!(
                    f,
                    "run {replicas} processes of {} of {service}, with copies of what they read",
                    operations.join(", ")
                )
            }
            Self::Shard {
                service,
                entity,
                shards,
            } => {
                write!(f, "divide {service} into {shards} by the key of {entity}")
            }
            Self::PlaceEntity {
                entity,
                service,
                access: Access::Remote,
            } => {
                write!(f, "let {service} read {entity} from its owner")
            }
            Self::PlaceEntity {
                entity,
                service,
                access: Access::Copy,
            } => {
                write!(f, "give {service} a copy of {entity}")
            }
            Self::Batch {
                edge,
                calls: Some(calls),
            } => {
                write!(f, "make one call of {calls} of {edge}")
            }
            Self::Batch { edge, calls: None } => {
                write!(f, "make one call of all of {edge} in a request")
            }
            Self::Transport { from, to, way } => {
                let way = match way {
                    WayWord::Remote => "as messages",
                    WayWord::Local => "inside the process",
                    WayWord::Serial => "inside the process, one after the other",
                    WayWord::Inline => "inside the caller's request",
                };
                write!(f, "let calls from {from} to {to} go {way}")
            }
        }
    }
}

/// Why a change is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A name that nothing has.
    #[error("no {what} is called `{name}`{}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?")))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// What was written.
        name: String,
        /// What comes nearest.
        nearest: Option<String>,
    },
    /// Something that cannot be done.
    #[error("{0}")]
    Impossible(String),
}

/// The known name that is most like a word, when one is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 2)
        .map(|(_, name)| name.to_owned())
}

fn impossible<T>(text: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Impossible(text.into()))
}

/// The deployable that goes by a name: its own, or that of the service whose process it was.
fn deployable<N>(
    inputs: &Inputs<N>,
    topology: &Topology,
    name: &str,
) -> Result<usize, ChangeError> {
    if let Some(at) = topology.named(name) {
        return Ok(at);
    }
    if let Some(at) = service(inputs, name)
        .ok()
        .and_then(|service| topology.home(service))
    {
        return Ok(at);
    }
    let alive = topology.alive();
    let names = alive
        .iter()
        .map(|at| topology.deployables[*at].name.as_str());
    Err(ChangeError::Unknown {
        what: "service",
        name: name.to_owned(),
        nearest: nearest(name, names),
    })
}

fn service<N>(inputs: &Inputs<N>, name: &str) -> Result<usize, ChangeError> {
    let labels = || inputs.services.iter().map(|s| s.label.as_str());
    labels()
        .position(|label| label == name)
        .ok_or_else(|| ChangeError::Unknown {
            what: "service",
            name: name.to_owned(),
            nearest: nearest(name, labels()),
        })
}

fn entity<N>(inputs: &Inputs<N>, name: &str) -> Result<usize, ChangeError> {
    let names = || inputs.entities.iter().map(|e| e.name.as_str());
    names()
        .position(|known| known == name)
        .ok_or_else(|| ChangeError::Unknown {
            what: "entity",
            name: name.to_owned(),
            nearest: nearest(name, names()),
        })
}

/// The operations of a deployable that these names mean: an operation's name, or a component's.
fn operations<N>(
    inputs: &Inputs<N>,
    topology: &Topology,
    at: usize,
    names: &[String],
) -> Result<Vec<usize>, ChangeError> {
    let here: Vec<usize> = (0..inputs.operations.len())
        .filter(|o| topology.place[*o] == at)
        .collect();
    let mut found = Vec::new();
    for name in names {
        let component =
            |o: &usize| &inputs.components[inputs.operations[*o].component].name == name;
        let mine: Vec<usize> = here
            .iter()
            .copied()
            .filter(|o| inputs.operations[*o].name == *name || component(o))
            .collect();
        if mine.is_empty() {
            let known = here.iter().map(|o| inputs.operations[*o].name.as_str());
            return Err(ChangeError::Unknown {
                what: "operation there",
                name: name.clone(),
                nearest: nearest(name, known),
            });
        }
        found.extend(mine);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Change {
    /// The topology after this change.
    ///
    /// # Errors
    /// [`ChangeError`] names what is not known, with the nearest name, or what cannot be done.
    pub fn apply<N: Copy + Into<f64>>(
        &self,
        inputs: &Inputs<N>,
        topology: &Topology,
    ) -> Result<Topology, ChangeError> {
        let mut next = topology.clone();
        match self {
            Self::Merge { services, name } => {
                let mut members = Vec::new();
                for service in services {
                    members.push(deployable(inputs, topology, service)?);
                }
                members.sort_unstable();
                members.dedup();
                if members.len() < 2 {
                    return impossible(
                        "a merge needs two services that are apart; name at least two",
                    );
                }
                merge(inputs, &mut next, &members, name.clone());
            }
            Self::Split {
                service,
                operations: names,
                name,
            } => {
                let at = deployable(inputs, topology, service)?;
                let moved = operations(inputs, topology, at, names)?;
                split(
                    inputs,
                    &mut next,
                    at,
                    &moved,
                    name.clone()
                        .unwrap_or_else(|| format!("{service}-{}", names.join("+"))),
                )?;
            }
            Self::Move {
                service,
                operations: names,
                to,
            } => {
                let at = deployable(inputs, topology, service)?;
                let to = deployable(inputs, topology, to)?;
                if at == to {
                    return impossible(format!(
                        "`{service}` is where they are; name another service to move to"
                    ));
                }
                for operation in operations(inputs, topology, at, names)? {
                    next.place[operation] = to;
                }
                next.settle(inputs);
            }
            Self::Replicate {
                service,
                operations: names,
                replicas,
            } => {
                if *replicas == 0 {
                    return impossible("a service needs at least one process; `replicas` is 0");
                }
                let mut at = deployable(inputs, topology, service)?;
                if !names.is_empty() {
                    let moved = operations(inputs, topology, at, names)?;
                    at = split(
                        inputs,
                        &mut next,
                        at,
                        &moved,
                        format!("{service}-{}", names.join("+")),
                    )?;
                    for (index, entity) in inputs.entities.iter().enumerate() {
                        let reads = entity.places.iter().flat_map(|p| &p.reads);
                        if reads.into_iter().any(|(o, _)| moved.contains(o)) {
                            next.copied.push((index, at));
                        }
                    }
                }
                next.deployables[at].replicas = f64::from(*replicas);
            }
            Self::Shard {
                service,
                entity: name,
                shards,
            } => {
                if *shards == 0 {
                    return impossible("a service cannot be divided into 0 shards");
                }
                let at = deployable(inputs, topology, service)?;
                let entity = entity(inputs, name)?;
                let deployable = &mut next.deployables[at];
                deployable.replicas = deployable.replicas.max(f64::from(*shards));
                deployable.shards = Some(Shards {
                    entity,
                    count: *shards,
                });
            }
            Self::PlaceEntity {
                entity: name,
                service: reader,
                access,
            } => {
                let at = entity(inputs, name)?;
                let reader = service(inputs, reader)?;
                place_entity(inputs, &mut next, at, reader, *access)?;
            }
            Self::Batch { edge: name, calls } => {
                let known = || inputs.edges.iter().map(|e| e.shown.as_str());
                let at = inputs
                    .edges
                    .iter()
                    .position(|e| e.id == *name || e.shown == *name)
                    .ok_or_else(|| ChangeError::Unknown {
                        what: "edge",
                        name: name.clone(),
                        nearest: nearest(name, known()),
                    })?;
                let each = match (calls, inputs.edges[at].from) {
                    (Some(calls), _) => *calls,
                    (None, End::Operation(from)) => {
                        let requests: f64 = inputs.operations[from].rate.into();
                        let rate: f64 = inputs.edges[at].rate.into();
                        if requests > 0.0 { rate / requests } else { 1.0 }
                    }
                    (None, _) => {
                        return impossible(
                            "the caller of this edge is no request; say with `calls` how many become one",
                        );
                    }
                };
                if !each.is_finite() || each < 1.0 {
                    return impossible(format!("`calls` is {each}; a batch holds at least 1"));
                }
                next.batched.insert(at, each);
            }
            Self::Transport { from, to, way } => {
                let (from, to) = (service(inputs, from)?, service(inputs, to)?);
                transport(inputs, &mut next, from, to, *way)?;
            }
        }
        Ok(next)
    }
}

/// Applies changes one after the other.
///
/// # Errors
/// The first that fails.
pub fn apply_all<N: Copy + Into<f64>>(
    changes: &[Change],
    inputs: &Inputs<N>,
    topology: &Topology,
) -> Result<Topology, ChangeError> {
    changes
        .iter()
        .try_fold(topology.clone(), |at, change| change.apply(inputs, &at))
}

pub(super) fn merge<N>(
    inputs: &Inputs<N>,
    next: &mut Topology,
    members: &[usize],
    name: Option<String>,
) {
    let Some((first, others)) = members.split_first() else {
        return;
    };
    let names: Vec<&str> = members
        .iter()
        .map(|at| next.deployables[*at].name.as_str())
        .collect();
    let name = name.unwrap_or_else(|| names.join("+"));
    let replicas = members
        .iter()
        .map(|at| next.deployables[*at].replicas)
        .fold(0.0, f64::max);
    // The larger process: both need their cores in it. Unknown only when nobody's is known.
    let limit = members
        .iter()
        .filter_map(|at| next.deployables[*at].cores_limit)
        .reduce(f64::max);
    let shards = members
        .iter()
        .find_map(|at| next.deployables[*at].shards.clone());
    for at in others {
        let home_of = std::mem::take(&mut next.deployables[*at].home_of);
        next.deployables[*first].home_of.extend(home_of);
    }
    let into = &mut next.deployables[*first];
    into.home_of.sort_unstable();
    into.name = name;
    let least = into
        .home_of
        .iter()
        .map(|s| inputs.services[*s].min_replicas);
    into.replicas = least.fold(replicas, f64::max);
    into.cores_limit = limit;
    into.shards = shards;
    for place in &mut next.place {
        if others.contains(place) {
            *place = *first;
        }
    }
    for (_, at) in &mut next.copied {
        if others.contains(at) {
            *at = *first;
        }
    }
    next.settle(inputs);
}

fn split<N>(
    inputs: &Inputs<N>,
    next: &mut Topology,
    at: usize,
    moved: &[usize],
    name: String,
) -> Result<usize, ChangeError> {
    if next.named(&name).is_some() {
        return impossible(format!(
            "a service is called `{name}` already; give the new one another `name`"
        ));
    }
    let stays = (0..next.place.len()).any(|o| next.place[o] == at && !moved.contains(&o));
    if !stays {
        return impossible(format!(
            "nothing but background work would stay in `{}`; leave at least one operation there",
            next.deployables[at].name
        ));
    }
    let new = next.deployables.len();
    next.deployables.push(Deployable {
        name,
        replicas: 1.0,
        cores_limit: next.deployables[at].cores_limit,
        shards: None,
        home_of: Vec::new(),
    });
    for operation in moved {
        next.place[*operation] = new;
    }
    next.settle(inputs);
    Ok(new)
}

fn place_entity<N>(
    inputs: &Inputs<N>,
    next: &mut Topology,
    at: usize,
    reader: usize,
    access: Access,
) -> Result<(), ChangeError> {
    let entity = &inputs.entities[at];
    let label = &inputs.services[reader].label;
    let copy = entity
        .places
        .iter()
        .any(|place| place.service == reader && place.copy);
    match access {
        Access::Remote if copy => {
            if !next.read_remotely.contains(&(at, reader)) {
                next.read_remotely.push((at, reader));
            }
            Ok(())
        }
        Access::Remote => impossible(format!(
            "{label} has no copy of {} that is shown to be one",
            entity.name
        )),
        Access::Copy if copy => {
            next.read_remotely.retain(|place| *place != (at, reader));
            Ok(())
        }
        Access::Copy if entity.owner == Some(reader) => {
            impossible(format!("{label} owns {}: it reads its own", entity.name))
        }
        Access::Copy => {
            let Some(home) = next.home(reader) else {
                return impossible(format!("{label} runs nowhere"));
            };
            if !next.copied.contains(&(at, home)) {
                next.copied.push((at, home));
            }
            read_here(inputs, next, at, home);
            Ok(())
        }
    }
}

/// Lets calls from the process with a new copy read that copy, where all that their callee does is to read the entity at
/// its owner.
fn read_here<N>(inputs: &Inputs<N>, next: &mut Topology, entity: usize, home: usize) {
    for (at, edge) in inputs.edges.iter().enumerate() {
        let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) else {
            continue;
        };
        let owned = inputs.entities[entity].owner == Some(inputs.operations[to].service);
        if edge.sync
            && !edge.local
            && owned
            && next.place[from] == home
            && next.place[to] != home
            && copies::only_reads(inputs, entity, to)
            && !next.read_here.contains(&(entity, at))
        {
            next.ways[at] = Way::Local;
            next.read_here.push((entity, at));
        }
    }
}

fn transport<N>(
    inputs: &Inputs<N>,
    next: &mut Topology,
    from: usize,
    to: usize,
    way: WayWord,
) -> Result<(), ChangeError> {
    let service = |end| match end {
        End::Operation(operation) => Some(inputs.operations[operation].service),
        End::Service(service) => Some(service),
        End::Outside => None,
    };
    let mut found = false;
    for (at, edge) in inputs.edges.iter().enumerate() {
        if (service(edge.from), service(edge.to)) != (Some(from), Some(to)) {
            continue;
        }
        found = true;
        let together = next.deployable_of(edge.from) == next.deployable_of(edge.to);
        if way != WayWord::Remote && !together {
            return impossible(format!(
                "{} and {} are not in one process: merge them first",
                inputs.services[from].label, inputs.services[to].label
            ));
        }
        next.read_here.retain(|(_, here)| *here != at);
        if way == WayWord::Serial && edge.sync {
            next.serial.insert(at);
        } else {
            next.serial.remove(&at);
        }
        next.ways[at] = match way {
            WayWord::Remote => Way::Remote,
            WayWord::Local | WayWord::Serial => Way::Local,
            WayWord::Inline if edge.sync => Way::Local,
            WayWord::Inline => Way::Inline,
        };
    }
    if found {
        return Ok(());
    }
    impossible(format!(
        "nothing goes from {} to {}",
        inputs.services[from].label, inputs.services[to].label
    ))
}
