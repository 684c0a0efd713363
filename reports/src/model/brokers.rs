//! What a broker's hop costs: a price for each publication, one for each delivery of it, and one for each byte.

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
    /// Bytes of a message, by side.
    sizes: BTreeMap<SideRef, Estimate>,
}

/// CPU of a broker's process, ns.
#[derive(Debug)]
struct Price {
    publication: Estimate,
    delivery: Estimate,
    /// For each byte of a body, taken in or sent on; none where windows do not tell it.
    byte: Option<Estimate>,
}

/// A broker's part in a message that it delivered, ns.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Its part of taking the publication in, which all who get it share.
    pub(crate) publication: Estimate,
    /// Sending it on.
    pub(crate) delivery: Estimate,
    /// The part of both that grows with bytes; none where windows do not tell it.
    pub(crate) by_bytes: Option<Estimate>,
}

/// Widest 90 % interval, as high ÷ low, of a ratio of prices that is believed.
const RATIO_SPREAD_MAX: f64 = 3.0;
/// Smallest part of a broker's CPU in bytes that is told apart from none.
const BYTES_SHARE_MIN: f64 = 0.01;
/// Ratios of prices are kept within this factor either way.
const RATIO_MAX: f64 = 10.0;

/// What went through a broker.
#[derive(Default)]
struct Traffic<'a> {
    publishers: BTreeSet<&'a SideRef>,
    published: Tally,
    delivered: Tally,
    /// Of bodies, in and out; none where a side does not tell them.
    bytes: Option<Tally>,
}

impl Brokers {
    pub(super) fn new(rollup: &Rollup, sampler: &Resampler, joined: &[Joined]) -> Self {
        let of_side = |side: &SideRef, column| {
            let facts = rollup.services.get(side.service)?.edges.get(&side.id)?;
            facts.all.get(column)
        };
        let messages = |side: &SideRef| of_side(side, column::REQUEST_MESSAGES);
        let bytes = |side: &SideRef| of_side(side, column::REQUEST_BODY_BYTES);
        let mut traffic: BTreeMap<usize, Traffic<'_>> = BTreeMap::new();
        let mut of_publisher: BTreeMap<&SideRef, Tally> = BTreeMap::new();
        let mut sides: BTreeSet<&SideRef> = BTreeSet::new();
        for edge in joined {
            let Some(broker) = edge.broker else { continue };
            let through = traffic.entry(broker).or_insert_with(|| Traffic {
                bytes: Some(Tally::default()),
                ..Traffic::default()
            });
            sides.extend(edge.caller.iter().chain(&edge.callee));
            if let Some(caller) = &edge.caller
                && through.publishers.insert(caller)
                && let Some(count) = messages(caller)
            {
                through.published.merge_sum(count);
                through.carry(bytes(caller));
            }
            if let Some((callee, count)) =
                edge.callee.as_ref().and_then(|s| Some((s, messages(s)?)))
            {
                through.delivered.merge_sum(count);
                through.carry(bytes(callee));
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
        for side in sides {
            let size = bytes(side)
                .zip(messages(side))
                .and_then(|(bytes, count)| sampler.estimate(bytes).over(&sampler.estimate(count)));
            if let Some(size) = size {
                brokers.sizes.insert(side.clone(), size);
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
        let by_bytes = |side: &Option<SideRef>| {
            let size = self.sizes.get(side.as_ref()?)?;
            Some(price.byte.as_ref()?.times(size))
        };
        let mut publication = match &edge.caller {
            None => Estimate::zero(),
            Some(_) => price.publication.clone(),
        };
        let mut taken_in = by_bytes(&edge.caller);
        if let Some(bytes) = &taken_in {
            publication = publication.plus(bytes);
        }
        if let (Some(caller), Some(_)) = (&edge.caller, &edge.callee) {
            let each = self.published.get(caller)?;
            publication = publication.times(each);
            taken_in = taken_in.map(|bytes| bytes.times(each));
        }
        let mut delivery = match &edge.callee {
            None => Estimate::zero(),
            Some(_) => price.delivery.clone(),
        };
        let sent_on = by_bytes(&edge.callee);
        if let Some(bytes) = &sent_on {
            delivery = delivery.plus(bytes);
        }
        let apportioned = |part: Estimate| part.of_quality(QualityWord::Apportioned);
        Some(Hop {
            publication: apportioned(publication),
            delivery: apportioned(delivery),
            by_bytes: price.byte.as_ref().map(|_| {
                let both = [taken_in, sent_on].into_iter().flatten();
                apportioned(both.fold(Estimate::zero(), |sum, part| sum.plus(&part)))
            }),
        })
    }

    /// Whether windows told a price per byte of the broker of this edge; `None` where it has no price at all.
    pub(crate) fn byte_told(&self, edge: &Joined) -> Option<bool> {
        Some(self.prices.get(&edge.broker?)?.byte.is_some())
    }
}

impl Traffic<'_> {
    /// Bytes of a side; one that does not tell them leaves all unknown.
    fn carry(&mut self, bytes: Option<&Tally>) {
        match (&mut self.bytes, bytes) {
            (Some(sum), Some(bytes)) => sum.merge_sum(bytes),
            (sum, None) => *sum = None,
            (None, Some(_)) => {}
        }
    }
}

/// All CPU of a broker over what it took in and what it sent on, `CPU = p · publications + d · deliveries + b · bytes`. What
/// windows tell apart is told by them: bytes, then what a delivery costs for each publication; else both cost the same,
/// and bytes nothing of their own.
fn price(
    rollup: &Rollup,
    sampler: &Resampler,
    cpu: &Tally,
    through: &Traffic<'_>,
) -> Option<Price> {
    let all = sampler.estimate(cpu);
    let (published, delivered) = (
        sampler.estimate(&through.published),
        sampler.estimate(&through.delivered),
    );
    if let Some((bytes, parts)) = through
        .bytes
        .as_ref()
        .and_then(|bytes| Some((bytes, by_bytes(rollup, sampler, cpu, through, bytes)?)))
    {
        let weighted = published
            .times(&parts.publication)
            .plus(&delivered.times(&parts.delivery))
            .plus(&sampler.estimate(bytes).times(&parts.byte));
        let scale = all.over(&weighted)?;
        return Some(Price {
            publication: scale.times(&parts.publication),
            delivery: scale.times(&parts.delivery),
            byte: Some(scale.times(&parts.byte)),
        });
    }
    let ratio = ratio(rollup, sampler, cpu, through)
        .unwrap_or_else(|| Estimate::exact(1.0, QualityWord::Apportioned));
    let publication = all.over(&published.plus(&delivered.times(&ratio)))?;
    Some(Price {
        delivery: publication.times(&ratio),
        publication,
        byte: None,
    })
}

/// An amount in each slot.
fn series(rollup: &Rollup, tally: &Tally) -> Vec<f64> {
    let mut series = vec![0.0; rollup.slots as usize];
    for (slot, value) in tally.slots() {
        if let Some(sum) = series.get_mut(*slot as usize) {
            *sum = as_f64(*value);
        }
    }
    series
}

/// Seconds of each slot: what runs without messages.
#[allow(clippy::cast_precision_loss)]
fn time(rollup: &Rollup) -> Vec<f64> {
    rollup.slot_ns.iter().map(|ns| *ns as f64 / 1e9).collect()
}

/// Whether windows tell these columns apart.
fn are_told_apart(columns: &[&Vec<f64>], cpu: &[f64]) -> bool {
    columns.iter().all(|column| column.len() == cpu.len())
        && cpu.len() >= 2 * columns.len()
        && condition(columns.iter().copied()).is_some_and(|c| c <= CONDITION_MAX)
}

/// True when an interval is so narrow that its number is believed.
fn is_told(estimate: &Estimate) -> bool {
    estimate
        .interval()
        .is_ok_and(|(low, high)| low > 0.0 && high <= RATIO_SPREAD_MAX * low)
}

/// Prices before they are scaled to all of the CPU, ns.
struct Parts {
    publication: Estimate,
    delivery: Estimate,
    byte: Estimate,
}

/// With a price per byte, by non-negative least squares over the windows; a price for publications and one for deliveries
/// where these vary apart, else one for both. `None` where sizes vary too little beside the number of messages, or the
/// windows leave the price of a byte open.
fn by_bytes(
    rollup: &Rollup,
    sampler: &Resampler,
    cpu: &Tally,
    through: &Traffic<'_>,
    bytes: &Tally,
) -> Option<Parts> {
    let time = time(rollup);
    let (cpu, published, delivered, bytes) = (
        series(rollup, cpu),
        series(rollup, &through.published),
        series(rollup, &through.delivered),
        series(rollup, bytes),
    );
    let fit = |columns: &[&Vec<f64>], at: usize| {
        sampler.over_slots(|weight| least_squares(columns, &cpu, weight).map(|found| found[at]))
    };
    let costs = |byte: &Estimate| {
        let of_bytes = byte.point * bytes.iter().sum::<f64>();
        is_told(byte) && of_bytes >= BYTES_SHARE_MIN * cpu.iter().sum::<f64>()
    };
    let apart = [&time, &published, &delivered, &bytes];
    if are_told_apart(&apart, &cpu)
        && let (Some(publication), Some(delivery), Some(byte)) =
            (fit(&apart, 1), fit(&apart, 2), fit(&apart, 3))
        && costs(&byte)
        && delivery.over(&publication).as_ref().is_some_and(is_told)
    {
        return Some(Parts {
            publication,
            delivery,
            byte,
        });
    }
    let messages: Vec<f64> = published
        .iter()
        .zip(&delivered)
        .map(|(a, b)| a + b)
        .collect();
    let together = [&time, &messages, &bytes];
    if !are_told_apart(&together, &cpu) {
        return None;
    }
    let (message, byte) = (fit(&together, 1)?, fit(&together, 2)?);
    costs(&byte).then(|| Parts {
        publication: message.clone(),
        delivery: message,
        byte,
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
    let time = time(rollup);
    let (cpu, published, delivered) = (
        series(rollup, cpu),
        series(rollup, &through.published),
        series(rollup, &through.delivered),
    );
    let columns = [&time, &published, &delivered];
    if !are_told_apart(&columns, &cpu) {
        return None;
    }
    let ratio = sampler.over_slots(|weight| {
        let found = least_squares(&columns, &cpu, weight)?;
        (found[1] > 0.0).then(|| (found[2] / found[1]).clamp(1.0 / RATIO_MAX, RATIO_MAX))
    })?;
    is_told(&ratio).then_some(ratio)
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

    const BYTE_NS: i64 = 3;
    const SMALL: i64 = 200;
    const LARGE: i64 = 20_000;

    fn three(w: u64) -> i64 {
        5 + i64::try_from((w * 11 + w * w) % 23).unwrap()
    }

    /// Small messages to one, large ones to one, and `shared` bytes to two, with a broker that takes three nanoseconds for
    /// each byte that comes or goes beside its prices for messages.
    fn sizes(large: i64, cpu_ns: fn(u64) -> i64) -> Model {
        let mut s = System::new(90);
        let from = ("shop", "POST /a");
        s.root(from.0, from.1, 10, [1_000_000, 0, 0, 0, 0, 0]);
        let topics = [
            (
                "mail",
                "CONSUME one",
                "one",
                "00000000000000d1",
                one as fn(u64) -> i64,
                SMALL,
            ),
            (
                "mail",
                "CONSUME two",
                "two",
                "00000000000000d2",
                two as fn(u64) -> i64,
                SMALL,
            ),
            (
                "books",
                "CONSUME two",
                "two",
                "00000000000000d2",
                two as fn(u64) -> i64,
                SMALL,
            ),
            (
                "books",
                "CONSUME three",
                "three",
                "00000000000000d3",
                three as fn(u64) -> i64,
                large,
            ),
        ];
        for (service, operation, topic, id, course, bytes) in topics {
            let call = s.message(from, (service, operation), 10, topic, 80_000, 60_000);
            call.call_id = id;
            call.publishes = (service, topic) != ("books", "two");
            call.course = Some(course);
            call.request_bytes = bytes;
        }
        s.owner_course("broker", OwnerKind::Driver, "mqtt broker", cpu_ns);
        Model::new(&s.range())
    }

    fn by_size(w: u64, large: i64) -> i64 {
        let (one, two, three) = (one(w), two(w), three(w));
        let bytes = (2 * one + 3 * two) * SMALL + 2 * three * large;
        spent(one + three, two) + bytes * BYTE_NS
    }

    #[test]
    fn sizes_that_vary_tell_the_price_of_a_byte() {
        let model = sizes(LARGE, |w| by_size(w, LARGE));
        let small = hop(&model, "mail CONSUME one");
        let large = hop(&model, "books CONSUME three");
        let bytes = |hop: &Hop| hop.by_bytes.as_ref().unwrap().point;
        // The prices are scaled by what runs without messages, all alike.
        let per_byte = bytes(&large) / (2 * LARGE) as f64;
        assert!((bytes(&small) / (2 * SMALL) as f64 / per_byte - 1.0).abs() < 1e-9);
        let per_message = small.publication.point - per_byte * SMALL as f64;
        let want = PUBLICATION_NS as f64 / BYTE_NS as f64;
        assert!(
            (per_message / per_byte / want - 1.0).abs() < 1e-3,
            "{per_message} {per_byte}"
        );
        let per_delivery = small.delivery.point - per_byte * SMALL as f64;
        let want = DELIVERY_NS as f64 / PUBLICATION_NS as f64;
        assert!(
            (per_delivery / per_message / want - 1.0).abs() < 1e-3,
            "{per_delivery}"
        );
        assert!((told(&model) - 1.0).abs() < 1e-9, "{}", told(&model));
        let shared = hop(&model, "books CONSUME two");
        assert!((shared.publication.point * 2.0 / small.publication.point - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sizes_that_hardly_vary_tell_no_price_of_a_byte() {
        let model = sizes(SMALL + 1, |w| by_size(w, SMALL + 1));
        let edge = model
            .edges
            .iter()
            .find(|e| e.shown().ends_with("CONSUME three"));
        let joined = &edge.unwrap().joined;
        assert_eq!(model.brokers.byte_told(joined), Some(false));
        let hop = model.brokers.hop(joined).unwrap();
        assert!(hop.by_bytes.is_none());
        // Per message as before, and still apart by fan-out.
        assert!(hop.delivery.point > 2.0 * hop.publication.point);
        assert!((told(&model) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_broker_that_bytes_cost_nothing_has_no_price_of_a_byte() {
        let model = sizes(LARGE, |w| spent(one(w) + three(w), two(w)));
        assert!(hop(&model, "books CONSUME three").by_bytes.is_none());
        assert!((told(&model) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_fan_out_never_varies_bytes_are_told_beside_one_price_for_both() {
        // All go to one: as many are sent on as come in.
        let mut s = System::new(90);
        let from = ("shop", "POST /a");
        s.root(from.0, from.1, 10, [1_000_000, 0, 0, 0, 0, 0]);
        let topics = [
            ("one", "00000000000000d1", one as fn(u64) -> i64, SMALL),
            ("three", "00000000000000d3", three as fn(u64) -> i64, LARGE),
        ];
        for (topic, id, course, bytes) in topics {
            let to = if topic == "one" {
                "CONSUME one"
            } else {
                "CONSUME three"
            };
            let call = s.message(from, ("mail", to), 10, topic, 80_000, 60_000);
            (call.call_id, call.course, call.request_bytes) = (id, Some(course), bytes);
        }
        s.owner_course("broker", OwnerKind::Driver, "mqtt broker", |w| {
            let bytes = 2 * (one(w) * SMALL + three(w) * LARGE);
            1_000_000 + 2 * (one(w) + three(w)) * PUBLICATION_NS + bytes * BYTE_NS
        });
        let model = Model::new(&s.range());
        let small = hop(&model, "CONSUME one");
        assert!((small.delivery.point / small.publication.point - 1.0).abs() < 1e-9);
        let bytes = small.by_bytes.unwrap().point / (2 * SMALL) as f64;
        let message = small.publication.point - bytes * SMALL as f64;
        let want = PUBLICATION_NS as f64 / BYTE_NS as f64;
        assert!(
            (message / bytes / want - 1.0).abs() < 1e-3,
            "{message} {bytes}"
        );
        assert!((told(&model) - 1.0).abs() < 1e-9);
    }
}
