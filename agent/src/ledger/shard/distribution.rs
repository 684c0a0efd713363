//! How the costs and times of an operation's requests are spread.

use weighbridge_wire::{Hints, Histogram};

use super::packed::{Figures, Show};
use super::paged::Cell;

/// Distributions of one operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct DistributionCell {
    pub(crate) request_cpu: Histogram,
    /// Of requests that got shares of common work.
    pub(crate) shared_request_cpu: Histogram,
    /// Wall time of requests that another service sent on.
    pub(crate) called_wall: Histogram,
    /// Of those at which their chain began.
    pub(crate) root_wall: Histogram,
    cpu_hints: Hints,
    wall_hints: Hints,
}

impl DistributionCell {
    /// Records what a request's own polls cost; `shared` if it got shares of common work.
    #[inline]
    pub(crate) fn record_cpu(&mut self, own_ns: u64, shared: bool) {
        let histogram = if shared {
            &mut self.shared_request_cpu
        } else {
            &mut self.request_cpu
        };
        histogram.record_with(own_ns, &mut self.cpu_hints);
    }

    /// Records how long a request took; `root` if its chain began with it.
    #[inline]
    pub(crate) fn record_wall(&mut self, wall_ns: u64, root: bool) {
        let histogram = if root {
            &mut self.root_wall
        } else {
            &mut self.called_wall
        };
        histogram.record_with(wall_ns, &mut self.wall_hints);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.request_cpu.merge(&other.request_cpu);
        self.shared_request_cpu.merge(&other.shared_request_cpu);
        self.called_wall.merge(&other.called_wall);
        self.root_wall.merge(&other.root_wall);
    }
}

impl Figures for DistributionCell {
    fn show(&mut self, to: &mut impl Show) {
        to.histogram(&mut self.request_cpu);
        to.histogram(&mut self.shared_request_cpu);
        to.histogram(&mut self.called_wall);
        to.histogram(&mut self.root_wall);
    }
}

impl Cell for DistributionCell {
    fn reset(&mut self) {
        *self = Self::default();
    }
}
