//! Figures of every quality.

use weighbridge_reports::document::*;

/// Length of the range, ns: 60 windows of 1 s.
pub(crate) const DURATION_NS: u64 = 60_000_000_000;

pub(crate) fn measured(value: f64, unit: FigureUnit) -> Figure {
    Figure {
        value: Some(value),
        low: None,
        high: None,
        interval_absent_reason: None,
        unknown_reason: None,
        unit,
        quality: vec![QualityShare {
            quality: QualityWord::Measured,
            share: 1.0,
        }],
    }
}

/// The value of a figure made here, which is always known.
pub(crate) fn known(figure: &Figure) -> f64 {
    figure.value.unwrap_or_default()
}

pub(crate) fn between(value: f64, spread: f64, unit: FigureUnit) -> Figure {
    Figure {
        low: Some(value * (1.0 - spread)),
        high: Some(value * (1.0 + spread)),
        ..measured(value, unit)
    }
}

pub(crate) fn mixed(value: f64, apportioned: f64, unit: FigureUnit) -> Figure {
    Figure {
        quality: vec![
            QualityShare {
                quality: QualityWord::Measured,
                share: 1.0 - apportioned,
            },
            QualityShare {
                quality: QualityWord::Apportioned,
                share: apportioned,
            },
        ],
        ..measured(value, unit)
    }
}

pub(crate) fn estimated(value: f64, unit: FigureUnit) -> Figure {
    Figure {
        quality: vec![QualityShare {
            quality: QualityWord::Estimated,
            share: 1.0,
        }],
        ..measured(value, unit)
    }
}

pub(crate) fn unknown(reason: &str, unit: FigureUnit) -> Figure {
    Figure {
        value: None,
        low: None,
        high: None,
        interval_absent_reason: None,
        unknown_reason: Some(reason.to_owned()),
        unit,
        quality: Vec::new(),
    }
}

/// handler, encode, decode, protocol, io, store.
pub(crate) fn classes(parts: [f64; 6], spread: f64, unit: FigureUnit) -> ClassFigures {
    ClassFigures {
        handler: measured(parts[0], unit),
        encode: measured(parts[1], unit),
        decode: measured(parts[2], unit),
        protocol: mixed(parts[3], 0.12, unit),
        io: measured(parts[4], unit),
        store: measured(parts[5], unit),
        total: between(parts.iter().sum(), spread, unit),
    }
}

pub(crate) fn quantiles(count: u64, mean: f64) -> Quantiles {
    let of = |factor: f64| measured(mean * factor, FigureUnit::Ns);
    Quantiles {
        count,
        mean: of(1.0),
        p50: of(0.8),
        p95: of(2.4),
        p99: of(4.1),
        max: of(9.0),
    }
}

/// An operation: name, rate, µs by class, wall in ms, peak live bytes.
pub(crate) struct Op {
    pub(crate) name: String,
    pub(crate) rate: f64,
    pub(crate) us: [f64; 6],
    pub(crate) wall_ms: f64,
    pub(crate) peak: f64,
}

pub(crate) fn op(name: &str, rate: f64, us: [f64; 6], wall_ms: f64, peak: f64) -> Op {
    Op {
        name: name.to_owned(),
        rate,
        us,
        wall_ms,
        peak,
    }
}

pub(crate) const UNIT: FigureUnit = FigureUnit::Ns;
