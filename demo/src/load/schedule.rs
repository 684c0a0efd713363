//! From the mix to a list of requests with their instants, the same for the same seed.

use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::mix::{MIX, Origin, Rhythm};
use crate::data::seed::{self, Size};
use crate::domain::ledger::account;
use crate::domain::money::Cents;
use crate::domain::orders::{NewLine, NewOrder};

/// One request to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    /// When, from the start of the load.
    pub(super) at: Duration,
    /// Row of the mix.
    pub(super) origin: usize,
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// JSON, or empty.
    pub(super) body: Vec<u8>,
}

/// Plans a run of this length, ordered by instant.
pub(super) fn plan(seed: u64, seconds: u64) -> Vec<Planned> {
    let mut planned: Vec<Planned> = MIX
        .iter()
        .enumerate()
        .flat_map(|(index, origin)| {
            // A generator per origin: changing one row of the mix leaves the others as they were.
            let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(index as u64));
            instants(origin, seconds, &mut rng)
                .into_iter()
                .map(|at| {
                    let (method, path, body) = request(origin.operation, &mut rng);
                    Planned {
                        at,
                        origin: index,
                        method,
                        path,
                        body,
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

fn request(operation: &str, rng: &mut StdRng) -> (Method, String, Vec<u8>) {
    let size = Size::DEMO;
    let product = |rng: &mut StdRng| rng.random_range(1..=size.products);
    match operation {
        "GET /products/{id}" => (
            Method::GET,
            format!("/products/{}", product(rng)),
            Vec::new(),
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
            )
        }
        "GET /search" => {
            let words = seed::search_words(rng);
            (
                Method::GET,
                format!("/search?q={}", words.join("+")),
                Vec::new(),
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
            (Method::POST, "/orders".to_owned(), body)
        }
        "GET /stock/{sku}" => (
            Method::GET,
            format!("/stock/{}", seed::sku(product(rng))),
            Vec::new(),
        ),
        "GET /balances/{account}" => {
            let account = account::ALL[rng.random_range(0..account::ALL.len())];
            (Method::GET, format!("/balances/{account}"), Vec::new())
        }
        "POST /closing/{month}" => {
            let month = seed::MONTHS[rng.random_range(0..seed::MONTHS.len())];
            let body = json!({ "branch": rng.random_range(1..=size.branches) });
            (
                Method::POST,
                format!("/closing/{month}"),
                body.to_string().into_bytes(),
            )
        }
        _ => {
            let month = seed::MONTHS[seed::MONTHS.len() - 1];
            (Method::GET, format!("/export/{month}"), Vec::new())
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
