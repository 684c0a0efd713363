//! What was predicted against what the kernel measured.

use std::fmt::Write as _;

use weighbridge_reports::document::{FigureUnit, Recommendation, RecommendationKind};

use super::find;
use crate::placement::Component;
use crate::weigh::Weighing;

/// Compares the merge of store and warehouse as predicted from one weighing with the kernel's figures of both.
pub(crate) fn prediction(separate: &Weighing, merged: &Weighing) -> String {
    let mut text = String::from("\nPrediction against the kernel: store and warehouse merged\n");
    let (Some(before_ms), Some(after_ms)) = (separate.kernel_cpu_ms(), merged.kernel_cpu_ms())
    else {
        text.push_str("The kernel of this machine does not tell the CPU time of processes.\n");
        return text;
    };
    let orders = orders(separate).max(1.0);
    let measured_ms = before_ms as f64 - after_ms as f64;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "measured:  {before_ms} ms in {} processes, {after_ms} ms in {}: {:.2} ms less an order",
        separate.ends.len(),
        merged.ends.len(),
        measured_ms / orders
    );
    match predicted_cores(separate) {
        Some(cores) => {
            let predicted_ms = cores * 1e3 * observed_s(separate);
            let _ = writeln!(
                text,
                "predicted: {:.2} ms less an order, {:.0} % of what was measured; what a process and its \
                 scheduler cost beside messages is not predicted",
                predicted_ms / orders,
                predicted_ms / measured_ms * 100.0
            );
        }
        None => text.push_str("predicted: nothing; the report recommends no such merge\n"),
    }
    text
}

fn orders(weighing: &Weighing) -> f64 {
    let of = |o: &&crate::load::OriginResult| o.operation == "POST /orders";
    weighing
        .results
        .origins
        .iter()
        .find(of)
        .map_or(0.0, |o| o.sent as f64)
}

fn observed_s(weighing: &Weighing) -> f64 {
    weighing.document.window.duration_ns as f64 / 1e9
}

/// Cores that the merge of the two services saves, as the report says.
fn predicted_cores(weighing: &Weighing) -> Option<f64> {
    let name = |component| {
        weighing
            .placement
            .process_of(component)
            .map(|p| p.name.as_str())
    };
    let (store, warehouse) = (name(Component::Orders)?, name(Component::Stock)?);
    let merge: &Recommendation = find::of_kind(&weighing.document, RecommendationKind::Merge)
        .find(|r| find::touches(r, store) && find::touches(r, warehouse))?;
    (merge.gain.unit == FigureUnit::Cores).then_some(merge.gain.value?)
}
