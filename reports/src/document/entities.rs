//! Entities: which data stands where, who uses it, what its copies cost.

use serde::{Deserialize, Serialize};

use super::Figure;

/// One entity name over all services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityReport {
    /// Row id, `entity:…`.
    pub id: String,
    /// The entity.
    pub entity: String,
    /// Where it stands, by service and database.
    pub places: Vec<EntityPlace>,
    /// Is the same name in several databases the same data?
    pub finding: CopyFinding,
    /// The service whose entity the copies follow; absent when there is no copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What shows that a place is a copy.
    pub evidence: Vec<CopyEvidence>,
    /// What the copies cost; absent when none is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CopyCost>,
}

/// Is the same name in several databases the same data?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyFinding {
    /// It stands in one place only.
    Single,
    /// It stands in several places, and messages show that they are copies.
    Copies,
    /// Same name, not shown to be a copy.
    SameNameOnly,
}

/// One entity in one database of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityPlace {
    /// Row id, `place:…`.
    pub id: String,
    /// The service.
    pub service: String,
    /// The database, as the service names it.
    pub database: String,
    /// True when the place is shown to be a copy of the owner's.
    pub copy: bool,
    /// Rows in it.
    pub rows: Figure,
    /// Bytes that it occupies, indexes included.
    pub size: Figure,
    /// Statements that read it, in a second.
    pub reads: Figure,
    /// Statements that write it, in a second.
    pub writes: Figure,
    /// Who uses it, by operation.
    pub uses: Vec<EntityUse>,
}

/// How an operation uses an entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityUse {
    /// Row id of the operation; empty for background work.
    pub row: String,
    /// The operation; empty for background work.
    pub operation: String,
    /// `read` or `write`.
    pub access: String,
    /// Statements in the range.
    pub statements: Figure,
    /// Statements for each ended request.
    pub statements_per_request: Figure,
    /// Rows touched, where the client shows them.
    pub rows: Figure,
    /// CPU inside the database client for these statements, ns.
    pub cpu_store: Figure,
    /// Share of the requests that touched more than one key, where keys are known.
    pub multi_key_share: Figure,
}

/// What shows that a place is a copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyEvidence {
    /// The service that writes the owner's entity and sends the change.
    pub from_service: String,
    /// The operation there.
    pub from_operation: String,
    /// The service that applies the change.
    pub to_service: String,
    /// The operation there.
    pub to_operation: String,
    /// Row id of the edge.
    pub edge: String,
    /// The evidence in one sentence.
    pub sentence: String,
}

/// What the copies of an entity cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyCost {
    /// Number of copies beside the owner's.
    pub copies: u64,
    /// Bytes that the copies occupy.
    pub storage: Figure,
    /// Messages that keep them in step, in a second.
    pub messages: Figure,
    /// Their body bytes, in a second.
    pub message_bytes: Figure,
    /// CPU of carrying them (both sides and broker), cores.
    pub message_cpu: Figure,
    /// Parallel logic: CPU of the operations that apply the change, messages left out, cores.
    pub apply_cpu: Figure,
    /// Carrying and applying together, cores.
    pub total_cpu: Figure,
    /// The same for one message applied, ns/message.
    pub per_message: Figure,
    /// Mean time from publishing to applying, ns: how old a copy may be.
    pub staleness: Figure,
}
