//! How far two reports lie apart.

use weighbridge_reports::Document;

/// Requests below which a unit cost is left out: it would be compared with its own noise.
const ENDED_MIN: f64 = 400.0;

/// The largest difference between two reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The origin at which it was found.
    pub origin: String,
    /// CPU per request in the first report, ns.
    pub first_ns: f64,
    /// CPU per request in the second report, ns.
    pub second_ns: f64,
    /// `|second − first| ÷ first`.
    pub share: f64,
}

/// Compares the unit cost of every origin that both reports have at least 400 requests of. Gives the one
/// furthest apart; `None` when there is nothing to compare.
#[must_use]
pub fn compare(first: &Document, second: &Document) -> Option<Difference> {
    first
        .origins
        .iter()
        .filter(|origin| origin.ended.value.is_some_and(|ended| ended >= ENDED_MIN))
        .filter_map(|origin| {
            let other = second.origins.iter().find(|o| {
                o.operation == origin.operation
                    && o.service == origin.service
                    && o.ended.value.is_some_and(|ended| ended >= ENDED_MIN)
            })?;
            let first_ns = origin.unit_cost.total.value.filter(|ns| *ns > 0.0)?;
            let second_ns = other.unit_cost.total.value?;
            Some(Difference {
                origin: format!("{} {}", origin.service, origin.operation),
                first_ns,
                second_ns,
                share: (second_ns - first_ns).abs() / first_ns,
            })
        })
        .max_by(|a, b| a.share.total_cmp(&b.share))
}

#[cfg(test)]
mod tests {
    use weighbridge_reports::Options;
    use weighbridge_wire::{FoldedRange, Window};

    use super::*;

    #[test]
    fn reports_without_requests_cannot_be_compared() {
        let window = Window {
            start_unix_ns: 0,
            end_unix_ns: 1_000_000_000,
        };
        let range = FoldedRange {
            window,
            windows: Vec::new(),
        };
        let empty = Document::build(&range, &Options::default());
        assert_eq!(compare(&empty, &empty), None);
    }
}
