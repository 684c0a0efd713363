//! What may not be changed, and what must be kept: from a file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::options::{Constraints, Node, Prices};
use crate::plan::DAYS_MAX;
use crate::topology::{Inputs, nearest};

/// Largest number in a file: beyond it sums and products of figures are none.
const NUMBER_MAX: f64 = 1e12;

/// Why a constraint file is refused. Says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConstraintError(String);

impl ConstraintError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What a constraint file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConstraintFile {
    /// Links, owners, limits.
    pub constraints: Constraints,
    /// Prices, when there are any.
    pub prices: Option<Prices>,
    /// Days that are planned for ahead; 0 for none.
    pub plan_days: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    must_link: Vec<Vec<String>>,
    #[serde(default)]
    cannot_link: Vec<Vec<String>>,
    min_replicas: Option<u32>,
    boundaries_max: Option<u32>,
    #[serde(default)]
    survive_one_lost: bool,
    #[serde(default)]
    plan_days: f64,
    node: Option<NodeFile>,
    prices: Option<PricesFile>,
    #[serde(default)]
    service: BTreeMap<String, ServiceFile>,
    #[serde(default)]
    origin: Vec<OriginFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    cores: Option<f64>,
    memory_gib: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PricesFile {
    core_hour: f64,
    gib_hour: f64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFile {
    owner: Option<String>,
    runtime: Option<String>,
    min_replicas: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginFile {
    service: String,
    operation: String,
    slo_p95_ms: f64,
}

impl ConstraintFile {
    /// Reads a constraint file (TOML; `docs/decisions.md` shows one). Names are compared with a system later.
    ///
    /// # Errors
    /// An unknown key, a figure that makes no sense, links that contradict each other.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConstraintError::new(error.to_string()))?;
        let positive = |name: &str, x: Option<f64>| match x {
            Some(x) if !(x > 0.0 && x <= NUMBER_MAX) => Err(ConstraintError::new(format!(
                "`{name}` is {x}; write a number above 0, {NUMBER_MAX:e} at most"
            ))),
            x => Ok(x),
        };
        if !(0.0..=DAYS_MAX).contains(&file.plan_days) {
            return Err(ConstraintError::new(format!(
                "`plan_days` is {}; write the days after the range that are planned for, 0 (no growth) to {DAYS_MAX}",
                file.plan_days
            )));
        }
        let prices = file
            .prices
            .map(|prices| {
                for (name, x) in [
                    ("prices.core_hour", prices.core_hour),
                    ("prices.gib_hour", prices.gib_hour),
                ] {
                    if !(0.0..=NUMBER_MAX).contains(&x) {
                        return Err(ConstraintError::new(format!(
                            "`{name}` is {x}; a price is 0 or more, {NUMBER_MAX:e} at most"
                        )));
                    }
                }
                Ok(Prices {
                    core_hour: prices.core_hour,
                    gib_hour: prices.gib_hour,
                    currency: prices.currency,
                })
            })
            .transpose()?;
        let node = file.node.unwrap_or(NodeFile {
            cores: None,
            memory_gib: None,
        });
        let mut constraints = Constraints {
            cannot_link: Vec::new(),
            min_replicas: file.min_replicas.unwrap_or(0),
            must_link: Vec::new(),
            boundaries_max: file.boundaries_max,
            survive_one_lost: file.survive_one_lost,
            node: Node {
                cores: positive("node.cores", node.cores)?,
                memory_bytes: positive("node.memory_gib", node.memory_gib)?
                    .map(|gib| gib * 1024.0 * 1024.0 * 1024.0),
            },
            owners: BTreeMap::new(),
            runtimes: BTreeMap::new(),
            min_replicas_of: BTreeMap::new(),
            slo_p95_ns: BTreeMap::new(),
        };
        for (name, service) in file.service {
            if let Some(owner) = service.owner {
                constraints.owners.insert(name.clone(), owner);
            }
            if let Some(runtime) = service.runtime {
                constraints.runtimes.insert(name.clone(), runtime);
            }
            if let Some(least) = service.min_replicas {
                constraints.min_replicas_of.insert(name, least);
            }
        }
        for origin in file.origin {
            let slo = positive("origin.slo_p95_ms", Some(origin.slo_p95_ms))?.unwrap_or(0.0);
            constraints
                .slo_p95_ns
                .insert((origin.service, origin.operation), slo * 1e6);
        }
        constraints.must_link = pairs("must_link", &file.must_link)?;
        constraints.cannot_link = pairs("cannot_link", &file.cannot_link)?;
        constraints.contradiction()?;
        Ok(Self {
            constraints,
            prices,
            plan_days: file.plan_days,
        })
    }
}

/// Every pair of each group.
fn pairs(what: &str, groups: &[Vec<String>]) -> Result<Vec<(String, String)>, ConstraintError> {
    let mut pairs = Vec::new();
    for group in groups {
        if group.len() < 2 {
            return Err(ConstraintError::new(format!(
                "`{what}` has a group of {}; name at least two services in each",
                group.len()
            )));
        }
        for (at, a) in group.iter().enumerate() {
            for b in &group[at + 1..] {
                if a == b {
                    return Err(ConstraintError::new(format!(
                        "`{what}` links `{a}` with itself"
                    )));
                }
                pairs.push((a.clone(), b.clone()));
            }
        }
    }
    Ok(pairs)
}

impl Constraints {
    /// Refuses links that contradict each other: services that must share a process, over any chain of links, and may
    /// not, by a link, an owner or a runtime.
    fn contradiction(&self) -> Result<(), ConstraintError> {
        let names: BTreeSet<&str> = self
            .must_link
            .iter()
            .flat_map(|(a, b)| [a.as_str(), b.as_str()])
            .collect();
        for a in &names {
            let together = self.together(a);
            for b in together.iter().filter(|b| *b > a) {
                if let Some(why) = self.apart(a, b) {
                    return Err(ConstraintError::new(format!(
                        "`{a}` and `{b}` must share a process (must_link) and may not ({why}); take one of the two away"
                    )));
                }
            }
        }
        Ok(())
    }

    /// What a service must share a process with, itself included.
    fn together<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([name]);
        loop {
            let before = found.len();
            for (a, b) in &self.must_link {
                if found.contains(a.as_str()) {
                    found.insert(b);
                }
                if found.contains(b.as_str()) {
                    found.insert(a);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Fewest processes of a service.
    pub(crate) fn least(&self, service: &str) -> f64 {
        let own = self.min_replicas_of.get(service).copied().unwrap_or(0);
        f64::from(own.max(self.min_replicas).max(1))
    }

    /// Why two services may not share a process; `None` when they may.
    pub(crate) fn apart(&self, a: &str, b: &str) -> Option<String> {
        if self.forbids(a, b) {
            return Some("cannot_link".to_owned());
        }
        for (what, of) in [("owner", &self.owners), ("runtime", &self.runtimes)] {
            if let Some((x, y)) = of.get(a).zip(of.get(b))
                && x != y
            {
                return Some(format!("{what} `{x}` and {what} `{y}`"));
            }
        }
        None
    }

    /// Compares all names with a system.
    ///
    /// # Errors
    /// The first name that is not there, with the nearest that is.
    pub fn check<N>(&self, inputs: &Inputs<N>) -> Result<(), ConstraintError> {
        let labels: BTreeSet<&str> = inputs.services.iter().map(|s| s.label.as_str()).collect();
        let links = self
            .must_link
            .iter()
            .chain(&self.cannot_link)
            .flat_map(|(a, b)| [a, b]);
        let tables = [&self.owners, &self.runtimes]
            .into_iter()
            .flat_map(BTreeMap::keys);
        for name in links
            .chain(tables)
            .chain(self.min_replicas_of.keys())
            .chain(self.slo_p95_ns.keys().map(|(s, _)| s))
        {
            if !labels.contains(name.as_str()) {
                let near = nearest(name, labels.iter().copied())
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(ConstraintError::new(format!(
                    "the constraints name a service `{name}` that was not weighed{near}"
                )));
            }
        }
        for (service, operation) in self.slo_p95_ns.keys() {
            let mut origins = inputs.origins.iter().filter(|o| o.service == *service);
            if !origins.clone().any(|o| o.operation == *operation) {
                let near = nearest(operation, origins.by_ref().map(|o| o.operation.as_str()))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(ConstraintError::new(format!(
                    "the constraints name an origin `{operation}` of `{service}` at which no request begins{near}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        ConstraintFile::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let file = ConstraintFile::parse(
            r#"
must_link = [["store", "warehouse"]]
cannot_link = [["store", "accounting"]]
min_replicas = 2
boundaries_max = 3
survive_one_lost = true
plan_days = 90
[node]
cores = 8
memory_gib = 16
[prices]
core_hour = 0.04
gib_hour = 0.005
currency = "EUR"
[service.store]
owner = "shop"
runtime = "rust"
min_replicas = 3
[[origin]]
service = "store"
operation = "POST /orders"
slo_p95_ms = 50
"#,
        )
        .unwrap();
        assert_eq!(file.prices.unwrap().currency, "EUR");
        assert_eq!(file.plan_days, 90.0);
        let c = file.constraints;
        assert_eq!(c.must_link, [("store".to_owned(), "warehouse".to_owned())]);
        assert_eq!(c.node.memory_bytes, Some(16.0 * 1024.0 * 1024.0 * 1024.0));
        assert_eq!(c.slo_p95_ns.values().copied().collect::<Vec<_>>(), [50e6]);
        assert_eq!((c.min_replicas, c.boundaries_max), (2, Some(3)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        assert!(
            refused("[prices]\ncore_hour = -1\ngib_hour = 0\ncurrency = \"EUR\"")
                .contains("a price is 0 or more")
        );
        assert!(refused("must_lnik = []").contains("unknown field `must_lnik`"));
        assert!(refused("[node]\ncores = 0").contains("above 0"));
        assert!(refused("cannot_link = [[\"a\"]]").contains("at least two"));
        assert!(
            refused("[[origin]]\nservice=\"a\"\noperation=\"b\"\nslo_p95_ms=-5")
                .contains("above 0")
        );
    }

    #[test]
    fn days_that_nobody_can_plan_for_are_refused() {
        for bad in ["-1", "-0.5", "nan", "inf", "3651", "1e300"] {
            let why = refused(&format!("plan_days = {bad}"));
            assert!(
                why.contains("`plan_days` is") && why.contains("0 (no growth) to 3650"),
                "{why}"
            );
        }
        assert!(refused("plan_days = \"soon\"").contains("plan_days"));
        for good in ["0", "0.5", "3650"] {
            assert!(ConstraintFile::parse(&format!("plan_days = {good}")).is_ok());
        }
        assert_eq!(ConstraintFile::parse("").unwrap().plan_days, 0.0);
    }

    #[test]
    fn links_that_contradict_each_other_are_refused_over_any_chain() {
        let text =
            refused("must_link = [[\"a\", \"b\"], [\"b\", \"c\"]]\ncannot_link = [[\"c\", \"a\"]]");
        assert!(
            text.contains("`a` and `c`") && text.contains("cannot_link"),
            "{text}"
        );
        let text = refused(
            "must_link = [[\"a\", \"b\"]]\n[service.a]\nowner = \"x\"\n[service.b]\nowner = \"y\"",
        );
        assert!(text.contains("owner `x` and owner `y`"), "{text}");
    }
}
