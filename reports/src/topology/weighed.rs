//! What was weighed, ready to be evaluated.

use weighbridge_wire::FoldedRange;

use super::{Inputs, Topology, read};
use crate::Options;
use crate::document::QualityWord;
use crate::model::{Estimate, Model};

/// A system as it was weighed: the numbers of its model with their spread.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// With all draws.
    pub(crate) estimates: Inputs<Estimate>,
    point: Inputs,
    draws: usize,
}

/// A number in one draw. What is not asked for in it has no price there: that of the whole range then, for no rate all the
/// same.
fn number(estimate: &Estimate, draw: usize) -> f64 {
    let drawn = estimate.draw(draw);
    if drawn.is_nan() {
        estimate.point
    } else {
        drawn
    }
}

impl Weighed {
    /// Reads a rollup. The same range gives the same numbers.
    #[must_use]
    pub fn read(range: &FoldedRange, options: &Options) -> Self {
        Self::of(&Model::new(range), options)
    }

    pub(crate) fn of(model: &Model, options: &Options) -> Self {
        let estimates = read::inputs(model, options);
        Self {
            point: estimates.map(&|estimate| estimate.point),
            draws: model.sampler.draws(),
            estimates,
        }
    }

    /// A part of it, with the same draws.
    pub(super) fn part_of(&self, of: impl Fn(&Inputs<Estimate>) -> Inputs<Estimate>) -> Self {
        let estimates = of(&self.estimates);
        Self {
            point: estimates.map(&|estimate| estimate.point),
            draws: self.draws,
            estimates,
        }
    }

    /// The numbers as they were seen.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.point
    }

    /// How many resampled ranges there are; 0 when too few windows were seen.
    #[must_use]
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// The numbers in one resampled range. All figures of a draw belong together, so differences between topologies
    /// in one draw are free of what they have in common (common random numbers).
    #[must_use]
    pub fn draw(&self, draw: usize) -> Inputs {
        self.estimates.map(&|estimate| number(estimate, draw))
    }

    /// The same in inputs that are there already, of another draw or of the point: nothing is made anew for it.
    pub(crate) fn redraw(&self, inputs: &mut Inputs, draw: usize) {
        inputs.renumber(&self.estimates, |estimate| number(estimate, draw));
    }

    /// The topology that was weighed.
    #[must_use]
    pub fn as_it_is(&self) -> Topology {
        Topology::as_it_is(&self.point)
    }

    /// Figures with their spread: `of` is asked once for the point and once for each draw, for all of them together.
    pub(crate) fn spread(&self, of: impl Fn(&Inputs) -> Vec<f64>) -> Vec<Estimate> {
        let points = of(&self.point);
        if self.draws == 0 {
            let why = "too few windows for an interval";
            return points
                .into_iter()
                .map(|point| Estimate::without_interval(point, QualityWord::Estimated, why))
                .collect();
        }
        let mut draws: Vec<Vec<f64>> = vec![Vec::with_capacity(self.draws); points.len()];
        let mut inputs = self.point.clone();
        for draw in 0..self.draws {
            self.redraw(&mut inputs, draw);
            for (slot, value) in draws.iter_mut().zip(of(&inputs)) {
                slot.push(value);
            }
        }
        points
            .into_iter()
            .zip(draws)
            .map(|(point, draws)| Estimate::of_draws(point, draws))
            .collect()
    }

    /// The 90 % interval of a figure over all draws. `None` when there are no draws, or when the figure has no value
    /// in more than a tenth of them.
    #[must_use]
    pub fn interval(&self, figure: impl Fn(&Inputs) -> Option<f64>) -> Option<(f64, f64)> {
        let mut inputs = self.point.clone();
        let values = (0..self.draws)
            .map(|draw| {
                self.redraw(&mut inputs, draw);
                figure(&inputs).unwrap_or(f64::NAN)
            })
            .collect();
        let point = figure(&self.point)?;
        Estimate::of_draws(point, values).interval().ok()
    }
}
