//! Call shapes: which calls of a request ran one after the other and which side by side.

use serde::{Deserialize, Serialize};

use super::Figure;

/// Requests of an operation whose calls ran in the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallShapeReport {
    /// The signature: `a;b` one after the other, `a|b` side by side, `a+` several in one step, `a*` again and
    /// again, `a&` not waited for. Names are short ids of calls, `@` and the database for a store;
    /// `__other__` stands for shapes beyond the agent's limit.
    pub signature: String,
    /// The same with the names of calls.
    pub shown: String,
    /// Requests of this shape.
    pub requests: Figure,
    /// Share of the operation's requests that made calls.
    pub share: Figure,
    /// Wall time, ns/request.
    pub wall: Figure,
    /// Of it, what no call that was waited for covers, ns/request.
    pub own: Figure,
    /// Of it, calls on the critical path, ns/request.
    pub critical: Figure,
    /// Its calls, by step.
    pub steps: Vec<CallStepReport>,
}

/// One kind of call in one step of a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallStepReport {
    /// Which step, from 0.
    pub step: u32,
    /// Short id of the call, or `@` and the database.
    pub call_id: String,
    /// Whom it asks for what.
    pub shown: String,
    /// `serial`, `parallel` or `detached`.
    pub order: String,
    /// Calls for each request.
    pub calls: Figure,
    /// Wall time of one, ns/call.
    pub wall: Figure,
    /// What of it lay on the critical path, ns/call.
    pub critical: Figure,
    /// From the start of the request to that of the call, ns/call.
    pub offset: Figure,
}

/// How the calls over an edge ran, in shares of those that stand in a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeShape {
    /// Nothing else ran beside them.
    pub serial: Figure,
    /// Beside other calls of their request.
    pub parallel: Figure,
    /// Their request did not wait for them.
    pub detached: Figure,
    /// Their request made several of them.
    pub repeated: Figure,
    /// Time on the critical path of the request, ns/call.
    pub critical: Figure,
    /// The same as a share of the wall time of the calling operation's requests.
    pub critical_share: Figure,
}
