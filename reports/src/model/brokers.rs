//! What a broker's hop costs: a price for each publication, and one for each delivery of it.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{OwnerKind, column};

use super::edges::{Joined, SideRef};
use super::rollup::Rollup;
use super::separate::{CONDITION_MAX, condition, least_squares};
use super::tally::Tally;
use super::{Estimate, Resampler, as_f64};
use crate::document::QualityWord;

/// Prices of the brokers of a range.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    prices: BTreeMap<usize, Price>,
    /// Publications for each message delivered, by the side that published.
    published: BTreeMap<SideRef, Estimate>,
}

/// CPU of a broker's process, ns.
#[derive(Debug)]
struct Price {
    publication: Estimate,
    delivery: Estimate,
}

/// A broker's part in a message that it delivered, ns.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Its part of taking the publication in, which all who get it share.
    pub(crate) publication: Estimate,
    /// Sending it on.
    pub(crate) delivery: Estimate,
}

/// Widest 90 % interval, as high ÷ low, of a ratio of prices that is believed.
const RATIO_SPREAD_MAX: f64 = 3.0;
/// Ratios of prices are kept within this factor either way.
const RATIO_MAX: f64 = 10.0;

/// What went through a broker.
#[derive(Default)]
struct Traffic<'a> {
    publishers: BTreeSet<&'a SideRef>,
    published: Tally,
    delivered: Tally,
}

impl Brokers {
    pub(super) fn new(rollup: &Rollup, sampler: &Resampler, joined: &[Joined]) -> Self {
        let messages = |side: &SideRef| {
            let facts = rollup.services.get(side.service)?.edges.get(&side.id)?;
            facts.all.get(column::REQUEST_MESSAGES)
        };
        let mut traffic: BTreeMap<usize, Traffic<'_>> = BTreeMap::new();
        let mut of_publisher: BTreeMap<&SideRef, Tally> = BTreeMap::new();
        for edge in joined {
            let Some(broker) = edge.broker else { continue };
            let through = traffic.entry(broker).or_default();
            if let Some(caller) = &edge.caller
                && through.publishers.insert(caller)
                && let Some(count) = messages(caller)
            {
                through.published.merge_sum(count);
            }
            if let Some(count) = edge.callee.as_ref().and_then(messages) {
                through.delivered.merge_sum(count);
                if let Some(caller) = &edge.caller {
                    of_publisher.entry(caller).or_default().merge_sum(count);
                }
            }
        }
        let mut brokers = Self::default();
        for (broker, through) in &traffic {
            let cpu =
                rollup.services[*broker].owners_cpu(|kind, _| kind != OwnerKind::Agent.as_str());
            if let Some(price) = cpu.and_then(|cpu| price(rollup, sampler, &cpu, through)) {
                brokers.prices.insert(*broker, price);
            }
        }
        for (publisher, delivered) in of_publisher {
            let each = messages(publisher)
                .and_then(|count| sampler.estimate(count).over(&sampler.estimate(&delivered)));
            if let Some(each) = each {
                brokers.published.insert(publisher.clone(), each);
            }
        }
        brokers
    }

    /// The hop of a message of this edge; per publication where nobody with an agent consumes. `None` where there is no
    /// broker, or its CPU is not known.
    pub(crate) fn hop(&self, edge: &Joined) -> Option<Hop> {
        let price = self.prices.get(&edge.broker?)?;
        let publication = match (&edge.caller, &edge.callee) {
            (None, _) => Estimate::zero(),
            (Some(_), None) => price.publication.clone(),
            (Some(caller), Some(_)) => price.publication.times(self.published.get(caller)?),
        };
        let delivery = if edge.callee.is_some() {
            price.delivery.clone()
        } else {
            Estimate::zero()
        };
        Some(Hop {
            publication: publication.of_quality(QualityWord::Apportioned),
            delivery: delivery.of_quality(QualityWord::Apportioned),
        })
    }
}

/// All CPU of a broker over what it took in and what it sent on: `CPU = p · publications + r · p · deliveries`. What a
/// delivery costs for each publication, `r`, is told by the windows where they vary apart; else both are taken to cost
/// the same.
fn price(
    rollup: &Rollup,
    sampler: &Resampler,
    cpu: &Tally,
    through: &Traffic<'_>,
) -> Option<Price> {
    let ratio = ratio(rollup, sampler, cpu, through)
        .unwrap_or_else(|| Estimate::exact(1.0, QualityWord::Apportioned));
    let weighted = sampler
        .estimate(&through.published)
        .plus(&sampler.estimate(&through.delivered).times(&ratio));
    let publication = sampler.estimate(cpu).over(&weighted)?;
    Some(Price {
        delivery: publication.times(&ratio),
        publication,
    })
}

/// Price of a delivery ÷ that of a publication by non-negative least squares over the windows, what runs without
/// messages apart. `None` where fan-out hardly varies, or the windows leave the ratio open.
fn ratio(
    rollup: &Rollup,
    sampler: &Resampler,
    cpu: &Tally,
    through: &Traffic<'_>,
) -> Option<Estimate> {
    let series = |tally: &Tally| {
        let mut series = vec![0.0; rollup.slots as usize];
        for (slot, value) in tally.slots() {
            if let Some(sum) = series.get_mut(*slot as usize) {
                *sum = as_f64(*value);
            }
        }
        series
    };
    #[allow(clippy::cast_precision_loss)]
    let time: Vec<f64> = rollup.slot_ns.iter().map(|ns| *ns as f64 / 1e9).collect();
    let (cpu, published, delivered) = (
        series(cpu),
        series(&through.published),
        series(&through.delivered),
    );
    let columns = [&time, &published, &delivered];
    if time.len() != cpu.len()
        || cpu.len() < 2 * columns.len()
        || condition(columns.into_iter()).is_none_or(|c| c > CONDITION_MAX)
    {
        return None;
    }
    let ratio = sampler.over_slots(|weight| {
        let found = least_squares(&columns, &cpu, weight)?;
        (found[1] > 0.0).then(|| (found[2] / found[1]).clamp(1.0 / RATIO_MAX, RATIO_MAX))
    })?;
    let (low, high) = ratio.interval().ok()?;
    (high <= RATIO_SPREAD_MAX * low).then_some(ratio)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::testing::System;

    const PUBLICATION_NS: i64 = 40_000;
    const DELIVERY_NS: i64 = 90_000;

    fn wave(w: u64, of: u64) -> i64 {
        10 + i64::try_from((w * 7 + w * w * 3) % of).unwrap()
    }

    fn one(w: u64) -> i64 {
        if w % 3 == 1 { 50 } else { wave(w, 3) }
    }

    fn two(w: u64) -> i64 {
        if w % 4 == 1 { 60 } else { wave(w, 3) }
    }

    fn spent(one: i64, two: i64) -> i64 {
        1_000_000 + (one + two) * PUBLICATION_NS + (one + 2 * two) * DELIVERY_NS
    }

    /// Topic `one` with a single consumer and topic `two` with two, and a broker of known prices that spends a
    /// millisecond in each window whatever comes.
    fn fan_out(one: fn(u64) -> i64, two: fn(u64) -> i64, cpu_ns: fn(u64) -> i64) -> Model {
        let mut s = System::new(60);
        let from = ("shop", "POST /a");
        s.root(from.0, from.1, 10, [1_000_000, 0, 0, 0, 0, 0]);
        let call = s.message(from, ("mail", "CONSUME one"), 10, "one", 80_000, 60_000);
        call.call_id = "00000000000000d1";
        call.course = Some(one);
        for service in ["mail", "books"] {
            let call = s.message(from, (service, "CONSUME two"), 10, "two", 80_000, 60_000);
            call.call_id = "00000000000000d2";
            call.publishes = service == "mail";
            call.course = Some(two);
        }
        s.owner_course("broker", OwnerKind::Driver, "mqtt broker", cpu_ns);
        Model::new(&s.range())
    }

    fn hop(model: &Model, to: &str) -> Hop {
        let edge = model
            .edges
            .iter()
            .find(|e| e.shown().ends_with(to))
            .unwrap();
        model.brokers.hop(&edge.joined).unwrap()
    }

    /// What all messages cost together ÷ the broker's CPU without the agent's.
    fn told(model: &Model) -> f64 {
        let broker = model
            .services()
            .iter()
            .find(|s| s.label == "broker")
            .unwrap();
        let cpu = broker
            .owners_cpu(|kind, _| kind != OwnerKind::Agent.as_str())
            .unwrap();
        let edges = model.edges.iter();
        let all: f64 = edges
            .map(|e| e.cost.calls.as_ref().unwrap().point * e.cost.broker.as_ref().unwrap().point)
            .sum();
        all / as_f64(cpu.total)
    }

    #[test]
    fn fan_out_that_varies_tells_the_price_of_a_publication_and_of_a_delivery() {
        let model = fan_out(one, two, |w| spent(one(w), two(w)));
        let (single, shared) = (hop(&model, "CONSUME one"), hop(&model, "books CONSUME two"));
        let ratio = single.delivery.point / single.publication.point;
        let want = DELIVERY_NS as f64 / PUBLICATION_NS as f64;
        assert!(
            (ratio / want - 1.0).abs() < 1e-6,
            "{ratio} instead of {want}"
        );
        // Two share a publication; each is delivered by itself.
        assert!((shared.publication.point * 2.0 / single.publication.point - 1.0).abs() < 1e-9);
        assert!((shared.delivery.point / single.delivery.point - 1.0).abs() < 1e-9);
        // Nothing of the broker's CPU is lost: what runs without messages is shared out with the rest.
        assert!((told(&model) - 1.0).abs() < 1e-9, "{}", told(&model));
    }

    #[test]
    fn where_fan_out_never_varies_taking_in_and_sending_on_cost_the_same() {
        let model = fan_out(one, one, |w| spent(one(w), one(w)));
        let single = hop(&model, "CONSUME one");
        assert!((single.delivery.point / single.publication.point - 1.0).abs() < 1e-9);
        assert!((told(&model) - 1.0).abs() < 1e-9, "{}", told(&model));
    }

    #[test]
    fn windows_that_leave_the_ratio_open_do_not_tell_it() {
        // Its CPU has nothing to do with its messages.
        let model = fan_out(one, two, |w| 1_000_000 * wave(w * 5 + 3, 29));
        let single = hop(&model, "CONSUME one");
        assert!((single.delivery.point / single.publication.point - 1.0).abs() < 1e-9);
    }
}
