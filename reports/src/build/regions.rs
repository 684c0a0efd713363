//! Named pieces of code inside operations.

use weighbridge_wire::column;

use super::figures::{figure, plain};
use crate::document::{Figure, FigureUnit, QualityWord, RegionReport};
use crate::model::{Model, OperationFacts, OperationId, ServiceFacts, Sums, as_f64};

/// Regions of one operation that are shown; the dearest.
const REGIONS_MAX: usize = 50;

/// The regions of an operation, dearest first. Rows of regions name no component.
pub(crate) fn regions(
    model: &Model,
    service: &ServiceFacts,
    id: &OperationId,
    facts: &OperationFacts,
) -> Vec<RegionReport> {
    let Some(of) = service
        .regions
        .get(&(id.operation.clone(), id.class.clone()))
    else {
        return Vec::new();
    };
    let ended = model.column(&facts.all, column::ENDED);
    let per_request = |sums: &Sums, wanted: u32, unit: FigureUnit| -> Figure {
        let each = model
            .column(sums, wanted)
            .zip(ended.as_ref())
            .and_then(|(sum, ended)| sum.over(ended));
        figure(each.as_ref(), unit, "no request ended, or no row holds it")
    };
    let mut regions: Vec<(f64, RegionReport)> = of
        .iter()
        .map(|(path, sums)| {
            let region = RegionReport {
                id: format!("region:{}/{path}", id.row(&service.label)),
                path: path.split(';').map(str::to_owned).collect(),
                runs: per_request(sums, column::COUNT, FigureUnit::PerRequest),
                cpu: per_request(sums, column::CPU_EXCLUSIVE_NS, FigureUnit::NsPerRequest),
                cpu_inclusive: per_request(
                    sums,
                    column::CPU_INCLUSIVE_NS,
                    FigureUnit::NsPerRequest,
                ),
                alloc_bytes: per_request(sums, column::ALLOC_BYTES, FigureUnit::BytesPerRequest),
            };
            (region.cpu.value.unwrap_or(0.0), region)
        })
        .collect();
    regions.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    regions.truncate(REGIONS_MAX);
    regions.into_iter().map(|(_, region)| region).collect()
}

/// Bytes that an operation held at the ends of windows, mean, with its interval.
pub(crate) fn retained(facts: &OperationFacts) -> Figure {
    let rows = &facts.distribution;
    let samples = rows.get(column::SAMPLES).filter(|n| *n > 0).map(as_f64);
    let mean = |wanted| Some(as_f64(rows.get(wanted)?) / samples?);
    let Some(held) = mean(column::RETAINED_SUM_BYTES) else {
        return Figure::unknown(
            FigureUnit::Bytes,
            "sampling of retained memory is off (WEIGHBRIDGE_RETAINED)",
        );
    };
    let mut figure = plain(Some(held), FigureUnit::Bytes, QualityWord::Sampled, "");
    let bytes_a_sample = rows.get(column::RETAINED_MEAN_BYTES).map(as_f64);
    match mean(column::RETAINED_ERROR_SUM_BYTES).zip(bytes_a_sample) {
        Some((error, bytes_a_sample)) => {
            let (low, high) = retained_interval(held, error, bytes_a_sample);
            (figure.low, figure.high) = (Some(low), Some(high));
        }
        None => {
            figure.interval_absent_reason =
                Some("the agent of this service does not tell its standard error".to_owned());
        }
    }
    figure
}

/// Upper 5 % of the normal distribution.
const Z: f64 = 1.645;

/// The 90 % interval of a weighted sum of Poisson counts `held`, of standard error `error`, with a sample every
/// `bytes_a_sample` (Fay & Feuer 1997, with the quantiles of Wilson & Hilferty 1931): it holds for few samples and for
/// none. See `docs/accounting.md`, Memory.
fn retained_interval(held: f64, error: f64, bytes_a_sample: f64) -> (f64, f64) {
    // A quantile of χ² with `k` degrees of freedom.
    let chi2 = |k: f64, z: f64| {
        let part = 2.0 / (9.0 * k);
        k * libm::pow((1.0 - part + z * libm::sqrt(part)).max(0.0), 3.0)
    };
    let variance = error * error;
    let low = match (held > 0.0, variance > 0.0) {
        (false, _) => 0.0,
        (true, false) => held,
        (true, true) => variance / (2.0 * held) * chi2(2.0 * held * held / variance, -Z),
    };
    let (most, spread) = (
        held + bytes_a_sample,
        variance + bytes_a_sample * bytes_a_sample,
    );
    let high = if most > 0.0 && spread > 0.0 {
        spread / (2.0 * most) * chi2(2.0 * most * most / spread, Z)
    } else {
        held
    };
    (low.min(held), high.max(held))
}

#[cfg(test)]
mod tests {
    use super::retained_interval;

    const MIB: f64 = 1_048_576.0;

    #[test]
    fn the_interval_of_samples_is_that_of_poisson_counts() {
        // Ten samples of small things: 10 ± √10 means of 512 KiB. Exact: 5.43 to 16.96.
        let mean = 0.5 * MIB;
        let (low, high) = retained_interval(10.0 * mean, libm::sqrt(10.0) * mean, mean);
        assert!((low / mean - 5.43).abs() < 0.05, "{}", low / mean);
        assert!((high / mean - 16.96).abs() < 0.05, "{}", high / mean);
    }

    #[test]
    fn without_a_sample_there_may_still_be_three_means() {
        let (low, high) = retained_interval(0.0, 0.0, 0.5 * MIB);
        assert!(low.abs() < f64::EPSILON);
        // −ln 0.05 = 2.996.
        assert!((high / (0.5 * MIB) - 2.996).abs() < 0.05, "{high}");
    }

    #[test]
    fn what_is_surely_sampled_has_no_less() {
        let (low, high) = retained_interval(64.0 * MIB, 0.0, 0.5 * MIB);
        assert!((low - 64.0 * MIB).abs() < 1.0 && high > 64.0 * MIB && high < 66.0 * MIB);
    }
}
