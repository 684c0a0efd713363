//! Which placements are tried, and what load each gets.

use crate::load::{MIX, Segment};
use crate::placement::{
    ALL_IN_ONE_TOML, MERGED_STORE_WAREHOUSE_TOML, Placement, REPLICATED_SEARCH_TOML,
    SHARDED_STORE_TOML, SPLIT_CLOSING_TOML,
};

/// Utilisation of the services' core that every segment aims at.
pub(super) const UTILISATION: f64 = 0.32;
/// Utilisation above which a segment is no fair comparison: waiting and caches change what a request costs.
pub(super) const UTILISATION_MAX: f64 = 0.6;

/// A placement to try.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Word for it on the command line and in tables.
    pub(super) name: &'static str,
    /// What is different, in a few words.
    pub(super) what: &'static str,
    pub(super) text: String,
    pub(super) placement: Placement,
}

/// Word for the placement that is weighed.
pub(super) const GIVEN: &str = "given";

/// Words of the others, in the order of tables.
pub(super) const TRIED: [(&str, &str, &str); 5] = [
    (
        "merged",
        "store and warehouse in one process, direct calls",
        MERGED_STORE_WAREHOUSE_TOML,
    ),
    (
        "closing",
        "closing in a process of its own",
        SPLIT_CLOSING_TOML,
    ),
    ("one", "all in one process, direct calls", ALL_IN_ONE_TOML),
    (
        "search",
        "search in two processes behind a balancer",
        REPLICATED_SEARCH_TOML,
    ),
    (
        "sharded",
        "store divided by key behind a router",
        SHARDED_STORE_TOML,
    ),
];

/// The placements that are asked for, those of the others only; all when none is named.
///
/// # Errors
/// When a word means none.
pub(super) fn trials(only: &[String]) -> anyhow::Result<Vec<Trial>> {
    let known = TRIED.map(|(name, ..)| name);
    if let Some(word) = only.iter().find(|word| !known.contains(&word.as_str())) {
        anyhow::bail!(
            "--only {word} is no placement to try; use {}",
            known.join(", ")
        );
    }
    TRIED
        .iter()
        .filter(|(name, ..)| only.is_empty() || only.iter().any(|word| word == name))
        .map(|(name, what, text)| {
            Ok(Trial {
                name,
                what,
                text: (*text).to_owned(),
                placement: Placement::parse(text)?,
            })
        })
        .collect()
}

/// CPU of a request by origin (row of the mix), ns: what rates are set by.
pub(super) type Costs = Vec<f64>;

/// Requests of each origin within a length, such that each origin takes the same part of the utilisation. The same
/// proportions in every placement: `given` sets them, `total` is what such a mix costs in the placement at hand.
pub(super) fn mix(given: &Costs, total: &Costs, millis: u64) -> Vec<usize> {
    let budget_ns = UTILISATION * millis as f64 * 1e6;
    let shares: Vec<f64> = given.iter().map(|cost| 1.0 / cost.max(1.0)).collect();
    let unit: f64 = shares.iter().zip(total).map(|(n, cost)| n * cost).sum();
    shares
        .iter()
        .map(|share| whole(share * budget_ns / unit.max(1.0)))
        .collect()
}

/// Requests of one origin alone within a length.
pub(super) fn alone(origin: usize, costs: &Costs, millis: u64) -> Vec<usize> {
    let budget_ns = UTILISATION * millis as f64 * 1e6;
    let mut requests = vec![0; MIX.len()];
    if let (Some(requests), Some(cost)) = (requests.get_mut(origin), costs.get(origin)) {
        *requests = whole(budget_ns / cost.max(1.0));
    }
    requests
}

/// At least one request, or nothing would be measured.
fn whole(count: f64) -> usize {
    (count.round() as usize).max(1)
}

/// A segment with a seed of its own.
pub(super) fn segment(seed: u64, number: u64, millis: u64, requests: Vec<usize>) -> Segment {
    Segment {
        seed: seed.wrapping_mul(1_000).wrapping_add(number),
        millis,
        requests,
        probe: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_gives_each_origin_the_same_part_and_keeps_its_proportions_elsewhere() {
        let given = vec![1e6; MIX.len()];
        let mut dear = given.clone();
        dear[0] = 4e6;
        let one = mix(&given, &given, 8_000);
        assert_eq!(one, vec![320; MIX.len()]);
        // The placement where the first origin costs four times as much gets fewer of all, not of that one.
        let other = mix(&given, &dear, 8_000);
        assert!(
            other.iter().all(|n| *n == other[0] && *n < 320),
            "{other:?}"
        );
        let spent: f64 = other.iter().zip(&dear).map(|(n, c)| *n as f64 * c).sum();
        assert!((spent / 8e9 - UTILISATION).abs() < 0.01);
    }

    #[test]
    fn one_origin_alone_fills_the_utilisation() {
        let costs = vec![2e6; MIX.len()];
        let requests = alone(3, &costs, 2_000);
        assert_eq!((requests[3], requests.iter().sum::<usize>()), (320, 320));
    }

    #[test]
    fn a_word_that_means_no_placement_is_refused() {
        let error = trials(&["merge".to_owned()])
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("merged, closing, one, search, sharded"),
            "{error}"
        );
        assert_eq!(trials(&["one".to_owned()]).expect("known").len(), 1);
        assert_eq!(trials(&[]).expect("all").len(), TRIED.len());
    }
}
