//! What a report may be told: targets, prices, constraints.

use std::collections::BTreeMap;

/// Settings of a report. [`Default`] is what the command line uses when nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Utilisation up to which a process is planned to be used, 0 to 1. Default 0.7.
    pub target_utilisation: f64,
    /// Load factors of the capacity tables; 1 is the load seen. Default 1, 2, 5. The largest is the load at
    /// which replicas are compared.
    pub load_factors: Vec<f64>,
    /// Days after the end of the range that are planned for, up to 3 650: load factors are multiples of what the load
    /// comes to then, if it goes on growing as it did in the range; the load seen stays among them. Where the range does
    /// not tell its growth nothing is added, and the report says so. Default 0: no growth. A load that somebody asks for
    /// by `simulate` is taken as it is.
    pub plan_days: f64,
    /// What cores and memory cost. Default: no prices, figures in cores and bytes only.
    pub prices: Option<Prices>,
    /// What may not be changed.
    pub constraints: Constraints,
    /// How much data a verdict needs.
    pub sufficiency: Sufficiency,
    /// CPU of a call that stays inside the process, ns: what is left of a message when an edge becomes local.
    /// Default 1 000, an assumption that is subtracted from every saving.
    pub local_call_ns: f64,
    /// What a synchronous call between processes costs beside what its messages and the schedulers show, ns: the
    /// framework around the callee's handler, and caches that each process finds full of another's. It is saved with
    /// a call that becomes local and paid for one that becomes remote. Default 0, a lower estimate: no ledger shows
    /// it. `demo --verify` measures it on its machine.
    pub crossing_ns: f64,
    /// Recommendations that are not to be shown.
    pub ignore: Vec<Ignore>,
    /// Share of a service's CPU in `unattributed` and `runtime or unwrapped` above which its attribution is
    /// called incomplete. Default 0.2.
    pub unexplained_limit: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target_utilisation: 0.7,
            load_factors: vec![1.0, 2.0, 5.0],
            plan_days: 0.0,
            prices: None,
            constraints: Constraints::default(),
            sufficiency: Sufficiency::default(),
            local_call_ns: 1_000.0,
            crossing_ns: 0.0,
            ignore: Vec::new(),
            unexplained_limit: 0.2,
        }
    }
}

impl Options {
    /// The largest load factor.
    pub(crate) fn design_load(&self) -> f64 {
        self.load_factors
            .iter()
            .copied()
            .filter(|f| f.is_finite())
            .fold(1.0, f64::max)
    }

    /// The target utilisation, within what makes sense.
    pub(crate) fn target(&self) -> f64 {
        let default = Self::default().target_utilisation;
        if self.target_utilisation.is_finite() {
            self.target_utilisation.clamp(0.05, 1.0)
        } else {
            default
        }
    }
}

/// Prices in one currency.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// Price of a core for an hour.
    pub core_hour: f64,
    /// Price of a GiB of memory for an hour.
    pub gib_hour: f64,
    /// Name of the currency.
    pub currency: String,
}

/// A recommendation that somebody decided to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    /// Id of the recommendation, `rec:…`.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The last day of it as `2027-01-31`, UTC, compared with the day on which the range ends; empty for no end.
    pub until: String,
}

/// Size of the machines that processes run on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Node {
    /// Cores; `None`: no limit.
    pub cores: Option<f64>,
    /// Memory, bytes; `None`: no limit.
    pub memory_bytes: Option<f64>,
}

/// What may not be changed, and what must be kept. [`ConstraintFile`](crate::ConstraintFile) reads it from TOML.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// Pairs of services that must share a process.
    pub must_link: Vec<(String, String)>,
    /// Pairs of services that may not share a process (owners, compliance, languages).
    pub cannot_link: Vec<(String, String)>,
    /// Fewest processes of a service, for availability. 0 counts as 1.
    pub min_replicas: u32,
    /// Most merges and splits between today's topology and another; `None`: no limit.
    pub boundaries_max: Option<u32>,
    /// Whether every deployable must carry its load with one process lost.
    pub survive_one_lost: bool,
    /// Size of a machine.
    pub node: Node,
    /// Owners by service; services of different ones share no process.
    pub owners: BTreeMap<String, String>,
    /// Runtimes (languages) by service; services of different ones share no process.
    pub runtimes: BTreeMap<String, String>,
    /// Fewest processes by service.
    pub min_replicas_of: BTreeMap<String, u32>,
    /// Limits of the 95th percentile by origin (service, operation), ns.
    pub slo_p95_ns: BTreeMap<(String, String), f64>,
}

impl Constraints {
    /// True when nothing is constrained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when a pair says that these two may not share a process.
    pub(crate) fn forbids(&self, a: &str, b: &str) -> bool {
        self.cannot_link
            .iter()
            .any(|(x, y)| (x == a && y == b) || (x == b && y == a))
    }
}

/// How much data a verdict needs (DESIGN §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sufficiency {
    /// Fewest windows. Default 30.
    pub windows: u64,
    /// Fewest ended requests of each operation involved. Default 400.
    pub ended: i64,
}

impl Default for Sufficiency {
    fn default() -> Self {
        Self {
            windows: 30,
            ended: 400,
        }
    }
}
