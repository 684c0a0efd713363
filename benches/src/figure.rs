//! A measured figure and the limit it has to keep.

use serde::{Deserialize, Serialize};

use crate::Interval;

/// How a limit is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// The upper end of the interval is at most the limit.
    #[default]
    Most,
    /// The lower end is at least the limit.
    Least,
    /// The lower end is at most the limit: nothing more than noise is shown.
    Noise,
}

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
    /// What it is held to; absent for a figure that is only told.
    pub limit: Option<f64>,
    /// How it is held to that.
    #[serde(default)]
    pub bar: Bar,
    /// Whether it keeps the limit: by an end of the interval, without one by the value.
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
            bar: Bar::default(),
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

    /// Sets what it must be at least.
    #[must_use]
    pub fn at_least(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self.bar = Bar::Least;
        self.ok = Some(self.low.unwrap_or(self.value) >= limit);
        self
    }

    /// Of a difference that should not be there: the interval holds zero or lies below it, and half of it is at most
    /// `resolution`, since an interval that is wide enough holds zero whatever is true. Without an interval it is
    /// missed.
    #[must_use]
    pub fn noise(mut self, resolution: f64) -> Self {
        self.limit = Some(0.0);
        self.bar = Bar::Noise;
        self.ok = Some(match (self.low, self.high) {
            (Some(low), Some(high)) => low <= 0.0 && (high - low) / 2.0 <= resolution,
            _ => false,
        });
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

    #[test]
    fn the_lower_end_decides_where_something_must_be_there() {
        let figure = |low| {
            let interval = Interval {
                mean: 5.0,
                low,
                high: 9.0,
            };
            Figure::of("a", Some(interval), "%").at_least(1.0).ok
        };
        assert_eq!(figure(1.0), Some(true));
        assert_eq!(figure(0.9), Some(false));
        assert_eq!(Figure::new("a", 0.0, "%").at_least(1.0).ok, Some(false));
        assert_eq!(Figure::of("a", None, "%").at_least(1.0).ok, Some(false));
    }

    #[test]
    fn noise_holds_zero_and_is_told_from_what_it_could_hide() {
        let figure = |low, high| {
            let mean = f64::midpoint(low, high);
            Figure::of("a", Some(Interval { mean, low, high }), "µs")
                .noise(0.5)
                .ok
        };
        assert_eq!(figure(-0.2, 0.6), Some(true));
        assert_eq!(figure(-0.6, -0.2), Some(true));
        assert_eq!(figure(0.1, 0.3), Some(false));
        assert_eq!(figure(-0.6, 0.6), Some(false), "it could hide 0.6");
        assert_eq!(Figure::new("a", 0.0, "µs").noise(0.5).ok, Some(false));
    }
}
