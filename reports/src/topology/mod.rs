//! Topologies: what a system would cost if it were cut differently.
//!
//! [`Weighed`] reads what was weighed into plain numbers ([`Inputs`]), once, with their spread. A [`Topology`] says
//! which operations stand in which deployable, how calls travel and where copies of data are; [`Change`]s make one
//! from another. [`evaluate`] prices a topology: CPU, memory, processes, messages, copies, latency, blast radius.
//! Everything that recommends or asks "what if" takes its figures from here, so there is one model.
//!
//! Formulas, sources, and where they fail: `docs/decisions.md`.

mod blast;
mod change;
mod climb;
mod compared;
mod copies;
mod deployable;
mod direct;
mod evaluate;
mod exact;
mod figures;
mod groups;
mod inputs;
mod latency;
mod moved;
mod notes;
mod pair;
mod place;
mod proxy;
mod read;
mod rules;
mod search;
mod sections;
mod sharded;
mod steps;
mod tails;
mod taken_out;
#[cfg(test)]
mod tests;
mod value;
mod weighed;
mod whatif;

pub(crate) use change::nearest;
pub use change::{Access, Change, ChangeError, WayWord, apply_all};
pub(crate) use compared::{Compared, TOO_FEW_WINDOWS, resized, touched};
pub(crate) use copies::CopiesGone;
pub(crate) use deployable::{CoreQueue, peak_processes};
pub(crate) use evaluate::{Beside, saved_together};
pub use evaluate::{Load, evaluate};
pub use exact::EXACT_MAX;
pub use figures::{DeployableFigures, Figures, OriginFigures};
pub use groups::Weights;
pub use inputs::{
    Branch, Component, Edge, EdgePart, End, Entity, Inputs, Operation, Origin, Part, Place,
    Service, Shape, Step,
};
pub(crate) use moved::Moved;
pub(crate) use pair::{EdgesOf, Together, apart_and_together, service_of};
pub use rules::Rules;
pub(crate) use search::search_with;
pub use search::{Found, PARETO_MAX, Proposal, SEARCH_MAX, search};
pub(crate) use sharded::{Sharded, change as shard_change};
pub(crate) use tails::Tails;
pub(crate) use taken_out::{Copied, TakenOut};
pub use value::{Deployable, Shards, Topology, Way};
pub use weighed::Weighed;
pub use whatif::{Answer, Question, QuestionError, answer_markdown, parse_changes, what_if};
