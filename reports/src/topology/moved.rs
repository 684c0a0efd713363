//! An operation in the process of another service: the part of a system that this hangs on, priced as everything else
//! is.
//!
//! Its calls to and from the service that it goes to come inside; those to and from what stays, which were inside,
//! become messages. It equals what [`evaluate`](super::evaluate) says of the whole changed topology (a test holds them
//! together).

use super::deployable::Sized;
use super::evaluate::price;
use super::pair::part;
use super::{Beside, Change, EdgesOf, Figures, Inputs, Load, Topology, Way, Weighed};
use crate::model::Estimate;

/// What becomes of two services when an operation goes from one to the other, at the load seen with the processes there
/// are.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// Cores of both services as they are, and after.
    pub(crate) before: Estimate,
    pub(crate) after: Estimate,
    /// Calls in a second that come inside a process.
    pub(crate) inside: Estimate,
    /// Calls in a second that were inside one and become messages.
    pub(crate) outside: Estimate,
    /// The figures of both at the largest load planned for: as they are, and after.
    pub(crate) planned: (Figures, Figures),
}

impl Weighed {
    /// An operation moved to another service by this change. `None` where that saves no more than `share_min` of both
    /// services' cores by the point figures, or the change cannot be made.
    pub(crate) fn moved(
        &self,
        edges: &EdgesOf,
        (operation, to): (usize, usize),
        change: &Change,
        loads: (&Load, &Load),
        share_min: f64,
    ) -> Option<Moved> {
        let (seen, planned) = loads;
        let services = [self.inputs().operations[operation].service, to];
        let point = part(self.inputs(), edges, &services);
        let today = Topology::as_it_is(&point);
        let after = change.apply(&point, &today).ok()?;
        let figures = |inputs: &Inputs| {
            let cores = |topology| -> f64 {
                let priced = price(inputs, topology, seen);
                priced.sized.iter().map(Sized::cores).sum()
            };
            vec![
                cores(&today),
                cores(&after),
                turned(inputs, &today, &after, Way::Local),
                turned(inputs, &today, &after, Way::Remote),
            ]
        };
        // All draws only for what is worth a word.
        let [was, is, ..] = figures(&point)[..] else {
            return None;
        };
        if was - is <= share_min * was {
            return None;
        }
        let weighed = self.part_of(|inputs| part(inputs, edges, &services));
        let [before, cores, inside, outside] = weighed.spread(figures).try_into().ok()?;
        let now = Beside::today(&point, seen);
        Some(Moved {
            before,
            after: cores,
            inside,
            outside,
            planned: (now.evaluate(&today, planned), now.evaluate(&after, planned)),
        })
    }
}

/// Calls in a second that go another way than before, and this one.
fn turned(inputs: &Inputs, before: &Topology, after: &Topology, way: Way) -> f64 {
    let ways = before.ways.iter().zip(&after.ways).zip(&inputs.edges);
    ways.filter(|((was, is), _)| was != is && **is == way)
        .map(|(_, edge)| edge.rate)
        .sum()
}
