//! The words of a placement file and what they may stand for.

use serde::{Deserialize, Serialize};

/// What can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Component {
    Catalog,
    Search,
    Orders,
    Stock,
    Ledger,
    Closing,
    Export,
}

/// A database, by the service that it grew up in. Components bring theirs along wherever they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DatabaseName {
    Store,
    Warehouse,
    Accounting,
}

impl DatabaseName {
    pub(crate) const ALL: [Self; 3] = [Self::Store, Self::Warehouse, Self::Accounting];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Warehouse => "warehouse",
            Self::Accounting => "accounting",
        }
    }
}

impl Component {
    pub(crate) const ALL: [Self; 7] = [
        Self::Catalog,
        Self::Search,
        Self::Orders,
        Self::Stock,
        Self::Ledger,
        Self::Closing,
        Self::Export,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Search => "search",
            Self::Orders => "orders",
            Self::Stock => "stock",
            Self::Ledger => "ledger",
            Self::Closing => "closing",
            Self::Export => "export",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|component| component.as_str() == word)
    }

    pub(crate) fn database(self) -> DatabaseName {
        match self {
            Self::Catalog | Self::Search | Self::Orders => DatabaseName::Store,
            Self::Stock => DatabaseName::Warehouse,
            Self::Ledger | Self::Closing | Self::Export => DatabaseName::Accounting,
        }
    }
}

/// How messages go along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// A call inside one process.
    Direct,
    Http,
    /// A message over the broker.
    Mqtt,
}

impl Transport {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Direct, Self::Http, Self::Mqtt]
            .into_iter()
            .find(|t| t.as_str() == word)
    }
}

/// What stands before the replicas of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Front {
    /// A balancer: each request goes to the next replica. All of them open the same database.
    Turn,
    /// A router: each request goes to the replica that its key belongs to. Each has a database of its own.
    Key,
}

impl Front {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "turn" => Some(Self::Turn),
            "key" => Some(Self::Key),
            _ => None,
        }
    }

    /// What its process is called, behind the name of the process that it stands before.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Turn => "balancer",
            Self::Key => "router",
        }
    }
}

/// Who needs whom. The code knows these edges; a file only says how each is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: Component,
    pub(crate) to: Component,
}

impl Edge {
    pub(crate) const ALL: [Self; 4] = [
        Self {
            from: Component::Orders,
            to: Component::Stock,
        },
        Self {
            from: Component::Orders,
            to: Component::Ledger,
        },
        Self {
            from: Component::Catalog,
            to: Component::Stock,
        },
        Self {
            from: Component::Catalog,
            to: Component::Ledger,
        },
    ];

    /// What can carry the edge: reservations are answered, so a broker cannot; events are not, so HTTP is no
    /// match for them.
    pub(crate) fn transports(self) -> &'static [Transport] {
        match (self.from, self.to) {
            (Component::Orders, Component::Stock) => &[Transport::Http, Transport::Direct],
            _ => &[Transport::Mqtt, Transport::Direct],
        }
    }
}
