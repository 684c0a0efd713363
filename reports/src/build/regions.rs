//! Named pieces of code inside operations.

use weighbridge_wire::column;

use super::figures::{figure, plain};
use crate::document::{Figure, FigureUnit, QualityWord, RegionReport};
use crate::model::{Model, NO_ERROR, OperationFacts, OperationId, ServiceFacts, Sums};

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
    let Some(found) = crate::model::retained(facts) else {
        return Figure::unknown(
            FigureUnit::Bytes,
            "sampling of retained memory is off (WEIGHBRIDGE_RETAINED)",
        );
    };
    let sampled = QualityWord::Sampled;
    let mut figure = plain(Some(found.held), FigureUnit::Bytes, sampled, "");
    match found.interval {
        Some((low, high)) => (figure.low, figure.high) = (Some(low), Some(high)),
        None => figure.interval_absent_reason = Some(NO_ERROR.to_owned()),
    }
    figure
}
