//! How sure a recommendation is, and what would turn it.

use serde::{Deserialize, Serialize};

use super::{Figure, FigureUnit};

/// A recommendation judged over many resampled ranges and draws of what is assumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What is gained, e.g. `cores saved`. All of `gain`, `regret` and `turns` is in its unit.
    pub objective: String,
    /// Draws behind the shares below. All candidates are judged on the same draws.
    pub draws: u32,
    /// Candidates that were looked at: the gain is reduced by what the best of so many shows by luck alone.
    pub candidates: u32,
    /// The gain as it was found, before that.
    pub gain_found: f64,
    /// The gain after it, with its 90 % interval.
    pub gain: Figure,
    /// Share of the draws in which the objective improves, after the correction.
    pub improves: f64,
    /// Share of the draws in which cost (CPU; money where prices are given) falls, after the correction.
    pub cost_falls: f64,
    /// Share of the draws in which the service-level objectives are kept; absent when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo_kept: Option<f64>,
    /// Why it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo_kept_absent_reason: Option<String>,
    /// What following the verdict costs on average against the better of doing and leaving.
    pub regret: Figure,
    /// What the gain hangs on, largest swing first.
    pub turns: Vec<Turn>,
    /// The cheapest experiment that would settle it.
    pub experiment: String,
}

/// One input of a gain, moved over its 90 % interval while the others stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The input.
    pub input: String,
    /// Its unit.
    pub unit: FigureUnit,
    /// As it was found or assumed.
    pub point: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// The gain at the lower end.
    pub gain_at_low: f64,
    /// The gain at the upper end.
    pub gain_at_high: f64,
    /// The value at which the gain is nothing, within a thousandth and a thousand times the point; absent when there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns_at: Option<f64>,
}
