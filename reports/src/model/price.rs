//! Price of a message: so much each, so much per byte, from the size classes.

use weighbridge_wire::{Class, column};

use super::service::{MESSAGE_COLUMNS, SizeId};
use super::{Estimate, Model, SideRef, as_f64};

/// Fewest messages in a size class that counts.
const MESSAGES_MIN: i64 = 20;
/// By how much the mean sizes of the classes must differ.
const SIZE_SPREAD_MIN: f64 = 4.0;

/// A fitted price of one direction on one side.
#[derive(Clone, Debug)]
pub(crate) struct Price {
    pub(crate) side: String,
    pub(crate) direction: String,
    pub(crate) messages: u64,
    pub(crate) per_message: Option<Estimate>,
    pub(crate) per_byte: Option<Estimate>,
    pub(crate) bytes_per_message: Option<Estimate>,
    /// Root of the mean squared distance of the classes from the line ÷ mean cost of a message.
    pub(crate) residual: Option<f64>,
    pub(crate) note: String,
}

/// Fits `CPU = a·messages + b·bytes` to the size classes of each direction, by least squares weighted with
/// the number of messages. Where sizes hardly vary only the mean per message is given.
pub(crate) fn prices(model: &Model, side: &SideRef) -> Vec<Price> {
    let Some(service) = model.services().get(side.service) else {
        return Vec::new();
    };
    service
        .sizes
        .range(
            SizeId {
                edge: side.id.clone(),
                direction: "".into(),
            }..,
        )
        .take_while(|(id, _)| id.edge == side.id)
        .filter_map(|(id, classes)| {
            let mut fit = Fit::new();
            let (mut messages, mut cpu_known) = (0i64, false);
            for sums in classes.values() {
                let count = sums.total(column::MESSAGES).unwrap_or(0);
                messages += count;
                let columns: Vec<u32> = MESSAGE_COLUMNS.to_vec();
                let (Some(n), Some(bytes), Some(cpu)) = (
                    model.column(sums, column::MESSAGES),
                    model.column(sums, column::BODY_BYTES),
                    model.columns(sums, &columns),
                ) else {
                    continue;
                };
                cpu_known = true;
                fit.add(count, &n, &bytes, &cpu);
            }
            let messages_u = u64::try_from(messages).ok().filter(|n| *n > 0)?;
            let bytes_per_message = fit.x.over(&fit.n);
            let points = std::mem::take(&mut fit.points);
            let (per_message, per_byte, note) = if cpu_known {
                fit.solve()
            } else {
                (
                    None,
                    None,
                    "the rows of the size classes hold no CPU".to_owned(),
                )
            };
            Some(Price {
                side: side.id.side.to_string(),
                direction: id.direction.to_string(),
                messages: messages_u,
                bytes_per_message,
                residual: per_message
                    .as_ref()
                    .zip(per_byte.as_ref())
                    .and_then(|(each, byte)| residual(&points, each.point, byte.point)),
                per_message,
                per_byte,
                note,
            })
        })
        .collect()
}

/// Weighted least squares in sums: each class counts as `n` messages of its mean size and cost.
struct Fit {
    n: Estimate,
    x: Estimate,
    y: Estimate,
    xx: Estimate,
    xy: Estimate,
    classes: u32,
    sizes: Vec<f64>,
    /// Messages, mean size and mean cost of each class.
    points: Vec<(f64, f64, f64)>,
}

/// How far the classes lie from the line, as a share of the mean cost of a message.
fn residual(points: &[(f64, f64, f64)], each: f64, per_byte: f64) -> Option<f64> {
    let n: f64 = points.iter().map(|(n, ..)| n).sum();
    let mean = points.iter().map(|(n, _, cost)| n * cost).sum::<f64>() / n;
    let off: f64 = points
        .iter()
        .map(|(n, size, cost)| {
            let off = cost - each - per_byte * size;
            n * off * off
        })
        .sum();
    let residual = libm::sqrt(off / n) / mean;
    (mean > 0.0 && residual.is_finite()).then_some(residual)
}

impl Fit {
    fn new() -> Self {
        Self {
            n: Estimate::zero(),
            x: Estimate::zero(),
            y: Estimate::zero(),
            xx: Estimate::zero(),
            xy: Estimate::zero(),
            classes: 0,
            sizes: Vec::new(),
            points: Vec::new(),
        }
    }

    fn add(&mut self, count: i64, n: &Estimate, bytes: &Estimate, cpu: &Estimate) {
        let Some(size) = bytes.over(n) else { return };
        self.points.push((n.point, size.point, cpu.point / n.point));
        self.n = self.n.plus(n);
        self.x = self.x.plus(bytes);
        self.y = self.y.plus(cpu);
        self.xx = self.xx.plus(&bytes.times(&size));
        self.xy = self.xy.plus(&cpu.times(&size));
        if count >= MESSAGES_MIN {
            self.classes += 1;
            self.sizes.push(bytes.point / as_f64(count));
        }
    }

    fn solve(self) -> (Option<Estimate>, Option<Estimate>, String) {
        let mean = self.y.over(&self.n);
        let smallest = self
            .sizes
            .iter()
            .copied()
            .reduce(f64::min)
            .unwrap_or(0.0)
            .max(1.0);
        let largest = self.sizes.iter().copied().reduce(f64::max).unwrap_or(0.0);
        if self.classes < 2 || largest < SIZE_SPREAD_MIN * smallest {
            let note =
                "sizes vary too little to tell a price per byte; the mean per message".to_owned();
            return (mean, None, note);
        }
        let spread = self.n.times(&self.xx).minus(&self.x.times(&self.x));
        let slope = self
            .n
            .times(&self.xy)
            .minus(&self.x.times(&self.y))
            .over(&spread);
        let Some(slope) = slope else {
            return (
                mean,
                None,
                "the fit has no solution; the mean per message".to_owned(),
            );
        };
        let each = self.y.minus(&slope.times(&self.x)).over(&self.n);
        let classes = self.classes;
        (
            each,
            Some(slope),
            format!("weighted least squares over {classes} size classes"),
        )
    }
}

/// The words of the classes that carry messages, for notes.
pub(crate) fn message_classes() -> String {
    [Class::Encode, Class::Decode, Class::Protocol, Class::Io]
        .map(Class::as_str)
        .join(", ")
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{EdgeSizeKey, FoldedRange, Quality, RowValue, direction, side};

    use super::*;
    use crate::testing::System;

    /// Adds size classes in which a message costs `each + per_byte · size`.
    fn with_sizes(sizes: &[i64], each: i64, per_byte: i64) -> FoldedRange {
        let mut s = System::new(20);
        s.root("front", "POST /a", 20, [900_000; 6]);
        s.http(
            ("front", "POST /a"),
            ("back", "POST /b"),
            20,
            1,
            240_000,
            60_000,
        );
        let mut range = s.range();
        for (w, folded) in range.windows.iter_mut().enumerate() {
            if folded.service.service != "front" {
                continue;
            }
            for (class, size) in sizes.iter().enumerate() {
                let key = EdgeSizeKey {
                    side: side::CALLER.into(),
                    transport: "http".into(),
                    operation: "POST /a".into(),
                    peer_service: "".into(),
                    peer_operation: "".into(),
                    call_id: "00000000000000c1".into(),
                    direction: direction::REQUEST.into(),
                    size_class: class.to_string().into(),
                };
                let n = 10 + i64::try_from(w + class).unwrap() % 5;
                let value = RowValue::new()
                    .with(column::MESSAGES, n)
                    .with(column::BODY_BYTES, n * size)
                    .with(column::CPU_ENCODE_NS, n * (each + per_byte * size));
                folded.rows.add(key.row_key(Quality::Measured), &value);
            }
        }
        range
    }

    fn only_price(range: &FoldedRange) -> Price {
        let model = Model::new(range);
        let edge = model
            .edges
            .iter()
            .find(|e| e.is_sync() && e.joined.caller.is_some())
            .unwrap();
        let mut prices = prices(&model, edge.joined.caller.as_ref().unwrap());
        assert_eq!(prices.len(), 1);
        prices.remove(0)
    }

    #[test]
    fn sizes_that_vary_tell_the_price_of_a_byte() {
        let price = only_price(&with_sizes(&[100, 1_000, 10_000], 5_000, 3));
        let (each, per_byte) = (price.per_message.unwrap(), price.per_byte.unwrap());
        assert!((each.point - 5_000.0).abs() < 1e-3, "{}", each.point);
        assert!((per_byte.point - 3.0).abs() < 1e-6, "{}", per_byte.point);
        assert!(each.low().unwrap() <= each.point && each.high().unwrap() >= each.point);
    }

    #[test]
    fn equal_sizes_do_not() {
        let price = only_price(&with_sizes(&[100, 120], 5_000, 3));
        assert!(price.per_byte.is_none());
        assert!(price.note.contains("vary too little"));
        assert!((price.per_message.unwrap().point - 5_330.0).abs() < 60.0);
    }
}
