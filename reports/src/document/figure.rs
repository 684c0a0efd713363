//! A figure: a number with its unit, its interval and how it came about.

use serde::{Deserialize, Serialize};

/// How a figure came about (DESIGN's `quality`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityWord {
    /// Read from a clock or a counter.
    Measured,
    /// Scaled up from a random part.
    Sampled,
    /// A measured sum, shared out by a stated rule.
    Apportioned,
    /// Derived from a model.
    Estimated,
    /// A quality that this version does not know.
    Other,
}

impl QualityWord {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Sampled => "sampled",
            Self::Apportioned => "apportioned",
            Self::Estimated => "estimated",
            Self::Other => "other",
        }
    }
}

/// The share of a figure that came about in one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityShare {
    /// The way.
    pub quality: QualityWord,
    /// Share of the figure, 0 to 1.
    pub share: f64,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FigureUnit {
    /// A number of things.
    #[serde(rename = "count")]
    Count,
    /// A share, 0 to 1, or a ratio of like things.
    #[serde(rename = "ratio")]
    Ratio,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Ns,
    /// Nanoseconds for each request.
    #[serde(rename = "ns/request")]
    NsPerRequest,
    /// Nanoseconds for each call over an edge.
    #[serde(rename = "ns/call")]
    NsPerCall,
    /// Nanoseconds for each message.
    #[serde(rename = "ns/message")]
    NsPerMessage,
    /// Nanoseconds for each byte.
    #[serde(rename = "ns/byte")]
    NsPerByte,
    /// Things in a second.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Bytes for each request.
    #[serde(rename = "bytes/request")]
    BytesPerRequest,
    /// Bytes for each message.
    #[serde(rename = "bytes/message")]
    BytesPerMessage,
    /// Bytes in a second.
    #[serde(rename = "bytes/s")]
    BytesPerSecond,
    /// Things for each request.
    #[serde(rename = "1/request")]
    PerRequest,
    /// Cores: CPU seconds in a second.
    #[serde(rename = "cores")]
    Cores,
    /// Money in an hour, in the currency of the price sheet.
    #[serde(rename = "money/h")]
    MoneyPerHour,
}

impl FigureUnit {
    /// The unit as it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Ratio => "ratio",
            Self::Ns => "ns",
            Self::NsPerRequest => "ns/request",
            Self::NsPerCall => "ns/call",
            Self::NsPerMessage => "ns/message",
            Self::NsPerByte => "ns/byte",
            Self::PerSecond => "1/s",
            Self::Bytes => "bytes",
            Self::BytesPerRequest => "bytes/request",
            Self::BytesPerMessage => "bytes/message",
            Self::BytesPerSecond => "bytes/s",
            Self::PerRequest => "1/request",
            Self::Cores => "cores",
            Self::MoneyPerHour => "money/h",
        }
    }
}

/// A number that may be unknown. `value` is absent when it is, and `unknown_reason` says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure; absent when it is not known. Always finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of the 90 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the 90 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Why there is no interval, when there is none and the figure is one that could have one. Counters
    /// that were read exactly have neither an interval nor a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_absent_reason: Option<String>,
    /// Why the figure is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_reason: Option<String>,
    /// The unit.
    pub unit: FigureUnit,
    /// How the figure came about; several entries when its parts came about in different ways, largest
    /// share first. Empty when it is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<QualityShare>,
}

/// CPU by class of work. Each may be unknown on its own; `total` is the sum of the known ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Application code.
    pub handler: Figure,
    /// Serialisation of messages.
    pub encode: Figure,
    /// Deserialisation of messages.
    pub decode: Figure,
    /// Parsing, framing, TLS.
    pub protocol: Figure,
    /// Socket calls.
    pub io: Figure,
    /// Database client.
    pub store: Figure,
    /// Sum of the known classes.
    pub total: Figure,
}

impl ClassFigures {
    /// The classes with their words, in the order in which they are shown; `total` is not among them.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Figure); 6] {
        [
            ("handler", &self.handler),
            ("encode", &self.encode),
            ("decode", &self.decode),
            ("protocol", &self.protocol),
            ("io", &self.io),
            ("store", &self.store),
        ]
    }
}

/// Points of a distribution, from a histogram (each within 0.4 % of a recorded value).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many values were recorded.
    pub count: u64,
    /// The mean.
    pub mean: Figure,
    /// Half of the values are at or below this.
    pub p50: Figure,
    /// 95 % of the values are at or below this.
    pub p95: Figure,
    /// 99 % of the values are at or below this.
    pub p99: Figure,
    /// The largest bucket's middle.
    pub max: Figure,
}
