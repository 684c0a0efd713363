//! From the mix to a list of requests with their instants, the same for the same seed.

use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::mix::{MIX, Origin, Rhythm};
use crate::data::seed::{self, Size};
use crate::domain::ledger::account;
use crate::domain::money::Cents;
use crate::domain::orders::{NewLine, NewOrder};

/// Header that names the customer of an order, for whoever divides orders by customer.
pub(crate) const SHARD_KEY_HEADER: &str = "x-shard-key";

/// In the place of a row of the mix: orders' requests that only call.
pub(super) const PROBE: usize = usize::MAX;

/// A stretch of load with a mix of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) seed: u64,
    pub(crate) millis: u64,
    /// Requests by row of the mix; arrivals are random and independent of each other.
    pub(crate) requests: Vec<usize>,
    /// Requests that ask for calls between processes, for what those cost.
    pub(crate) probe: Option<ProbeLoad>,
}

/// Requests that make the store call the warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeLoad {
    pub(crate) requests: usize,
    /// Calls of each.
    pub(crate) calls: usize,
    /// Over HTTP, or inside the process.
    pub(crate) remote: bool,
}

/// One request to send.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    /// When, from the start of the load.
    pub(super) at: Duration,
    /// Row of the mix.
    pub(super) origin: usize,
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// JSON, or empty.
    pub(super) body: Vec<u8>,
    /// The customer of an order.
    pub(super) shard_key: Option<i64>,
}

/// Plans a run of this length, ordered by instant.
pub(crate) fn plan(seed: u64, seconds: u64) -> Vec<Planned> {
    planned(seed, |origin, rng| instants(&MIX[origin], seconds, rng))
}

/// Plans a segment, ordered by instant.
pub(crate) fn plan_segment(segment: &Segment) -> Vec<Planned> {
    let length = Duration::from_millis(segment.millis);
    let mut plan = planned(segment.seed, |origin, rng| {
        let count = segment.requests.get(origin).copied().unwrap_or(0);
        // A Poisson process of which the number of arrivals is known: they lie uniformly.
        (0..count)
            .map(|_| length.mul_f64(rng.random::<f64>()))
            .collect()
    });
    if let Some(probe) = segment.probe {
        let mut rng = StdRng::seed_from_u64(segment.seed);
        plan.extend((0..probe.requests).map(|_| Planned {
            at: length.mul_f64(rng.random::<f64>()),
            origin: PROBE,
            method: Method::GET,
            path: format!(
                "/probe/{}?sku={}&remote={}",
                probe.calls,
                seed::sku(rng.random_range(1..=Size::DEMO.products)),
                probe.remote
            ),
            body: Vec::new(),
            shard_key: None,
        }));
        plan.sort_by_key(|planned| planned.at);
    }
    plan
}

fn planned(seed: u64, instants: impl Fn(usize, &mut StdRng) -> Vec<Duration>) -> Vec<Planned> {
    let mut planned: Vec<Planned> = (0..MIX.len())
        .flat_map(|origin| {
            // A generator per origin: changing one row of the mix leaves the others as they were.
            let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(origin as u64));
            instants(origin, &mut rng)
                .into_iter()
                .map(|at| {
                    let (method, path, body, shard_key) = request(MIX[origin].operation, &mut rng);
                    Planned {
                        at,
                        origin,
                        method,
                        path,
                        body,
                        shard_key,
                    }
                })
                .collect::<Vec<_>>()
        })
        .collect();
    planned.sort_by(|a, b| a.at.cmp(&b.at).then(a.origin.cmp(&b.origin)));
    planned
}

/// Requests of one origin in a run.
pub(super) fn count(origin: &Origin, seconds: u64) -> usize {
    ((origin.per_second * seconds as f64).round() as usize).max(origin.requests_min)
}

fn instants(origin: &Origin, seconds: u64, rng: &mut StdRng) -> Vec<Duration> {
    let count = count(origin, seconds);
    let length = seconds as f64;
    let at = |share: f64| Duration::from_secs_f64(length * share);
    match origin.rhythm {
        // A Poisson process of which the number of arrivals is known: they lie uniformly.
        Rhythm::Poisson => (0..count).map(|_| at(rng.random::<f64>())).collect(),
        Rhythm::Even => (0..count)
            .map(|n| at((n as f64 + 0.5) / count as f64))
            .collect(),
        Rhythm::Bursts { size } => {
            let bursts = count.div_ceil(size.max(1));
            (0..bursts * size)
                .map(|n| at(((n / size) as f64 + 0.5) / bursts as f64))
                .collect()
        }
    }
}

type Parts = (Method, String, Vec<u8>, Option<i64>);

fn request(operation: &str, rng: &mut StdRng) -> Parts {
    let size = Size::DEMO;
    let product = |rng: &mut StdRng| rng.random_range(1..=size.products);
    match operation {
        "GET /products/{id}" => (
            Method::GET,
            format!("/products/{}", product(rng)),
            Vec::new(),
            None,
        ),
        "PUT /products/{id}" => {
            let id = product(rng);
            let body = json!({
                "price": Cents(rng.random_range(200..60_000)),
                "description": seed::description(rng),
            });
            (
                Method::PUT,
                format!("/products/{id}"),
                body.to_string().into_bytes(),
                None,
            )
        }
        "GET /search" => {
            let words = seed::search_words(rng);
            (
                Method::GET,
                format!("/search?q={}", words.join("+")),
                Vec::new(),
                None,
            )
        }
        "POST /orders" => {
            let lines = (0..rng.random_range(8..=12))
                .map(|_| NewLine {
                    product_id: product(rng),
                    quantity: rng.random_range(1..40),
                })
                .collect();
            let coupon = rng.random_bool(0.2).then(|| "SPRING10".to_owned());
            let order = NewOrder {
                customer: rng.random_range(1..5_000),
                coupon,
                lines,
            };
            let body = serde_json::to_vec(&order).unwrap_or_default();
            (
                Method::POST,
                "/orders".to_owned(),
                body,
                Some(order.customer),
            )
        }
        "GET /stock/{sku}" => (
            Method::GET,
            format!("/stock/{}", seed::sku(product(rng))),
            Vec::new(),
            None,
        ),
        "GET /balances/{account}" => {
            let account = account::ALL[rng.random_range(0..account::ALL.len())];
            (
                Method::GET,
                format!("/balances/{account}"),
                Vec::new(),
                None,
            )
        }
        "POST /closing/{month}" => {
            let month = seed::MONTHS[rng.random_range(0..seed::MONTHS.len())];
            let body = json!({ "branch": rng.random_range(1..=size.branches) });
            (
                Method::POST,
                format!("/closing/{month}"),
                body.to_string().into_bytes(),
                None,
            )
        }
        _ => {
            let month = seed::MONTHS[seed::MONTHS.len() - 1];
            (Method::GET, format!("/export/{month}"), Vec::new(), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_plan_and_another_gives_another() {
        assert_eq!(plan(7, 15), plan(7, 15));
        assert_ne!(plan(7, 15), plan(8, 15));
    }

    #[test]
    fn a_plan_is_ordered_within_its_length_and_long_enough_for_a_verdict() {
        for seconds in [15, 40] {
            let plan = plan(1, seconds);
            assert!(plan.is_sorted_by_key(|p| p.at));
            assert!(plan.iter().all(|p| p.at < Duration::from_secs(seconds)));
            for (index, origin) in MIX.iter().enumerate() {
                let planned = plan.iter().filter(|p| p.origin == index).count();
                assert!(planned >= count(origin, seconds), "{}", origin.operation);
                assert!(planned >= origin.requests_min);
            }
        }
    }

    #[test]
    fn a_segment_sends_what_it_says_within_its_length() {
        let segment = Segment {
            seed: 5,
            millis: 1_500,
            requests: vec![0, 3, 0, 40],
            probe: None,
        };
        let planned = plan_segment(&segment);
        assert_eq!(planned, plan_segment(&segment));
        assert_eq!(planned.len(), 43);
        assert!(planned.is_sorted_by_key(|p| p.at));
        assert!(planned.iter().all(|p| p.at < Duration::from_millis(1_500)));
        for order in planned.iter().filter(|p| p.origin == 3) {
            let body: NewOrder = serde_json::from_slice(&order.body).expect("an order");
            assert_eq!(order.shard_key, Some(body.customer));
        }
    }

    #[test]
    fn closings_come_in_bursts_and_orders_have_eight_to_twelve_lines() {
        let plan = plan(3, 40);
        let closings: Vec<_> = plan
            .iter()
            .filter(|p| MIX[p.origin].operation.contains("closing"))
            .collect();
        let instants: std::collections::BTreeSet<_> = closings.iter().map(|p| p.at).collect();
        assert!(closings.len() >= 10 * instants.len());
        for order in plan
            .iter()
            .filter(|p| MIX[p.origin].operation == "POST /orders")
        {
            let order: NewOrder = serde_json::from_slice(&order.body).expect("an order");
            assert!((8..=12).contains(&order.lines.len()));
        }
    }
}
