//! How a figure came about.

use std::fmt;

/// How a figure came about. Rows of different quality are different rows: a reader that adds them up
/// shows the shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// Read from a clock or a counter.
    Measured,
    /// Scaled up from a random part.
    Sampled,
    /// A measured sum, shared out by a stated rule.
    Apportioned,
    /// Derived from a model.
    Estimated,
    /// A quality that this version does not know; kept as it came.
    Other(u8),
}

impl Quality {
    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        match self {
            Self::Measured => 1,
            Self::Sampled => 2,
            Self::Apportioned => 3,
            Self::Estimated => 4,
            Self::Other(n) => n,
        }
    }

    /// The quality for a number on the wire.
    #[must_use]
    pub fn from_wire(n: u8) -> Self {
        match n {
            1 => Self::Measured,
            2 => Self::Sampled,
            3 => Self::Apportioned,
            4 => Self::Estimated,
            n => Self::Other(n),
        }
    }

    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Sampled => "sampled",
            Self::Apportioned => "apportioned",
            Self::Estimated => "estimated",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
