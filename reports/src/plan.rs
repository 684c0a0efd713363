//! The load that is planned for: with the growth up to a day, where one is named.

use crate::Options;
use crate::decide::say;
use crate::document::{FigureUnit, PlanReport};
use crate::model::{Estimate, Model, Trend};

/// Most days ahead that a trend is followed.
pub(crate) const DAYS_MAX: f64 = 3_650.0;

/// Growth up to the day that is planned for; only with one.
struct Plan {
    days: f64,
    /// Load then, as a multiple of the load seen, or why that is not known.
    grown: Result<Estimate, String>,
}

impl Plan {
    fn is_wanted(options: &Options) -> bool {
        options.plan_days > 0.0 && options.plan_days <= DAYS_MAX
    }

    fn of(trend: &Result<Trend, String>, options: &Options) -> Option<Self> {
        let days = options.plan_days;
        Self::is_wanted(options).then(|| Self {
            days,
            grown: trend
                .as_ref()
                .map(|trend| trend.load_after(days))
                .map_err(Clone::clone),
        })
    }

    /// What loads are multiplied by. Nobody plans for less than was seen: a load that falls counts as one that stays.
    fn in_loads(&self) -> f64 {
        self.grown
            .as_ref()
            .map_or(1.0, |grown| hundredth_up(grown.point).max(1.0))
    }
}

fn hundredth_up(x: f64) -> f64 {
    libm::ceil(x * 100.0 - 1e-6) / 100.0
}

/// The settings with the growth in their load factors: 1, the load seen, and each factor times the growth.
pub(crate) fn with_growth(model: &Model, options: &Options) -> Options {
    let mut options = options.clone();
    if !Plan::is_wanted(&options) {
        return options;
    }
    let trend = model.trend(model.services().iter());
    let Some(grown) = Plan::of(&trend, &options)
        .map(|plan| plan.in_loads())
        .filter(|grown| *grown > 1.0)
    else {
        return options;
    };
    for factor in &mut options.load_factors {
        *factor = libm::round(*factor * grown * 1e6) / 1e6;
    }
    options.load_factors.push(1.0);
    options.load_factors.sort_by(f64::total_cmp);
    options.load_factors.dedup();
    options
}

/// The plan with the sentence that says whether growth is in the loads.
pub(crate) fn report(
    trend: &Result<Trend, String>,
    options: &Options,
) -> (Option<PlanReport>, String) {
    let Some(plan) = Plan::of(trend, options) else {
        let said =
            "Growth is not in the loads that are planned for: they are multiples of the load seen.";
        return (None, said.to_owned());
    };
    let in_loads = plan.in_loads();
    let days = say::factor(plan.days);
    let (load_factor, said) = match &plan.grown {
        Ok(grown) if in_loads > 1.0 => (
            grown.figure(FigureUnit::Ratio),
            format!(
                "Growth is in the loads that are planned for: those beyond the load seen are multiples of {} times it, to which the load comes {days} days after the range if it goes on growing as it did.",
                say::factor(in_loads)
            ),
        ),
        Ok(grown) => (
            grown.figure(FigureUnit::Ratio),
            format!(
                "Growth is not in the loads that are planned for, although {days} days ahead were asked for: the load did not grow in the range."
            ),
        ),
        Err(why) => (
            crate::document::Figure::unknown(FigureUnit::Ratio, why),
            format!(
                "Growth is not in the loads that are planned for, although {days} days ahead were asked for: {why}."
            ),
        ),
    };
    let plan = PlanReport {
        days: plan.days,
        load_factor,
        in_loads,
    };
    (Some(plan), said)
}
