//! A measured figure and the limit it has to keep.

use serde::{Deserialize, Serialize};

use crate::Interval;

/// A measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// Lower end of its 95 % interval, where it has one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Unit of all of these.
    pub unit: String,
    /// What it may be at most; absent for a figure that is only told.
    pub limit: Option<f64>,
    /// Whether it keeps the limit: by the upper end of the interval, without one by the value.
    pub ok: Option<bool>,
    /// What a reader must know.
    #[serde(default)]
    pub note: String,
}

impl Figure {
    /// A figure without interval.
    #[must_use]
    pub fn new(name: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value,
            low: None,
            high: None,
            unit: unit.into(),
            limit: None,
            ok: None,
            note: String::new(),
        }
    }

    /// A figure with its interval. `None` (too few samples) gives one that keeps no limit.
    #[must_use]
    pub fn of(
        name: impl Into<String>,
        interval: Option<Interval>,
        unit: impl Into<String>,
    ) -> Self {
        let Some(interval) = interval else {
            return Self::new(name, f64::NAN, unit).note("too few samples");
        };
        Self {
            low: Some(interval.low),
            high: Some(interval.high),
            ..Self::new(name, interval.mean, unit)
        }
    }

    /// Sets what it may be at most.
    #[must_use]
    pub fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self.ok = Some(self.high.unwrap_or(self.value) <= limit);
        self
    }

    /// As [`at_most`](Self::at_most), for a difference that may go either way: the farther end of the interval keeps
    /// the limit.
    #[must_use]
    pub fn within(mut self, limit: f64) -> Self {
        let [low, high] = [self.low, self.high].map(|end| end.unwrap_or(self.value).abs());
        self.limit = Some(limit);
        self.ok = Some(low.max(high) <= limit);
        self
    }

    /// Says what a reader must know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_end_decides() {
        let interval = |high| {
            Some(Interval {
                mean: 0.5,
                low: 0.4,
                high,
            })
        };
        assert_eq!(
            Figure::of("a", interval(0.6), "µs").at_most(0.6).ok,
            Some(true)
        );
        assert_eq!(
            Figure::of("a", interval(0.61), "µs").at_most(0.6).ok,
            Some(false)
        );
        assert_eq!(Figure::of("a", None, "µs").at_most(0.6).ok, Some(false));
        assert_eq!(Figure::new("a", 0.5, "µs").at_most(0.5).ok, Some(true));
    }
}
